#!/bin/sh
# Installs the browser that tests/browser drives, where none is there and this user may install packages.
# Exit code: 0 where there is one in the end, 1 where not (with one line that says what to do).
set -eu

present() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
} >/dev/null 2>&1

present && exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "Tests of the pages in a browser are skipped; to run them: apt-get install chromium" >&2
    exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "Tests of the pages in a browser are skipped: they need chromium" >&2
    exit 1
fi

echo "Installing a browser for the tests (chromium) ..."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends chromium >"$log" 2>&1
}
install || { $as_root apt-get update -qq >/dev/null 2>&1 && install; } || {
    tail -n 5 "$log" >&2
    echo "Tests of the pages in a browser are skipped: chromium could not be installed" >&2
    exit 1
}
present
