# Debian's packages unpacked into a cache folder, for the tests' environments: nothing is installed on the host, no script
# of a package is run. To be sourced, by sh or bash.
#
#   unpack_debs WORK PACKAGE…     downloads the packages and unpacks them under WORK/root; its log is WORK/log
#   keep WORK FOLDER VERSION      puts WORK in FOLDER's place, unless another run was quicker
#   give_up REASON                ends the script in its own name, as the others do when they cannot
#
# shellcheck shell=sh

give_up() {
    echo "$(basename "$0" .sh): $1" >&2
    exit 1
}

unpack_debs() {
    unpack_to=$1
    shift
    for tool in apt-get dpkg; do
        command -v "$tool" >/dev/null || give_up "$tool is needed (a Debian system)"
    done
    mkdir -p "$unpack_to/debs" "$unpack_to/root"
    # apt fetches as a user of its own, who must be able to write there; as root it warns and goes on.
    (cd "$unpack_to/debs" && apt-get -q download "$@" >"$unpack_to/log" 2>&1) ||
        give_up "apt-get download failed: $(grep -m1 '^E:' "$unpack_to/log" || tail -n1 "$unpack_to/log"); are the package lists there (apt-get update)?"
    for deb in "$unpack_to"/debs/*.deb; do
        dpkg -x "$deb" "$unpack_to/root" || give_up "cannot unpack $deb"
    done
    rm -rf "$unpack_to/debs"
}

keep() {
    rm -f "$1/log"
    echo "$3" >"$1/version"
    chmod 755 "$1"
    rm -rf "$2"
    # Another run may have been quicker; its folder is as good.
    mv -T "$1" "$2" 2>/dev/null || [ -f "$2/version" ] || give_up "cannot put $2 in place"
    rm -rf "$1"
}
