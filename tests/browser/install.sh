#!/bin/sh
# Installs the browser that tests/browser drives, where none is there and this user may install packages.
set -eu

what="of the pages in a browser"
packages=chromium

present() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
}

. "$(dirname "$0")/../install.sh"
