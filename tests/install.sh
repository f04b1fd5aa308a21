# Read by tests/{servers,browser,edge}/install.sh, which say: $packages of Debian and Ubuntu, installed
# where `present` fails and this user may install them; and $what, the tests that are skipped otherwise.
# Exit code: 0 where all is there in the end, 1 where not (with one line that says what to do).

present >/dev/null 2>&1 && exit 0

skip() {
    echo "Tests $what are skipped$1" >&2
    exit 1
}

if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    skip "; to run them: apt-get install $packages"
fi
command -v apt-get >/dev/null 2>&1 || skip ": they need $packages"

echo "Installing what tests $what need ($packages) ..."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends $packages >"$log" 2>&1
}
install || { $as_root apt-get update -qq >/dev/null 2>&1 && install; } || {
    tail -n 5 "$log" >&2
    skip ": $packages could not be installed"
}
present >/dev/null 2>&1
