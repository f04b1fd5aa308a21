#!/bin/sh
# Installs what tests/servers/ceph.py starts, where it is missing and this user may install packages.
# Exit code: 0 where Ceph is there in the end, 1 where it is not (with one line that says what to do).
set -eu

packages="ceph-mon ceph-osd radosgw"

present() {
    command -v ceph-mon && command -v ceph-osd && command -v radosgw
} >/dev/null 2>&1

present && exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "Tests that need a real S3 server are skipped; to run them: apt-get install $packages" >&2
    exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "Tests that need a real S3 server are skipped: they need ceph-mon, ceph-osd and radosgw" >&2
    exit 1
fi

echo "Installing a real S3 server for the tests ($packages) ..."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends $packages >"$log" 2>&1
}
install || { $as_root apt-get update -qq >/dev/null 2>&1 && install; } || {
    tail -n 5 "$log" >&2
    echo "Tests that need a real S3 server are skipped: the packages $packages could not be installed" >&2
    exit 1
}
present
