#!/bin/sh
# Installs what tests/edge starts, where it is missing and this user may install packages.
set -eu

what="of the edge"
packages="nginx-light haproxy"
PATH=$PATH:/usr/sbin

present() {
    command -v nginx && command -v haproxy
}

. "$(dirname "$0")/../install.sh"
