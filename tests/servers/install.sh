#!/bin/sh
# Installs what tests/servers/ceph.py starts, where it is missing and this user may install packages.
set -eu

what="with a real S3 server"
packages="ceph-mon ceph-osd radosgw"

present() {
    command -v ceph-mon && command -v ceph-osd && command -v radosgw
}

. "$(dirname "$0")/../install.sh"
