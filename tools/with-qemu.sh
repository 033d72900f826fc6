#!/usr/bin/env bash
# Run a command with a private libvirtd and the test guest's files at hand, and clear both away afterwards.
#
#   tools/with-qemu.sh [--need] COMMAND…
#
# The command finds COVIRT_QEMU_URI, COVIRT_QEMU_DIR (the private libvirtd's folder), COVIRT_GUEST_DIR and COVIRT_KVM
# (yes or no) in its environment. When this machine cannot provide them, it finds COVIRT_QEMU_SKIP, the reason, instead;
# with --need it is not run then, and the exit code is 77.
# COVIRT_HOST_LIBVIRT=1 takes the host's own qemu:///system instead of a private libvirtd (COVIRT_QEMU_DIR is then unset).
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
need=no
if [ "${1:-}" = --need ]; then need=yes; shift; fi
[ $# -gt 0 ] || { echo "usage: tools/with-qemu.sh [--need] COMMAND…" >&2; exit 2; }

unset COVIRT_QEMU_URI COVIRT_QEMU_DIR COVIRT_GUEST_DIR COVIRT_QEMU_SKIP
folder=''
finish() {
    trap - EXIT INT TERM HUP
    if [ -n "$folder" ]; then
        [ -z "${COVIRT_QEMU_DIR:-}" ] || "$HERE/private-libvirtd.sh" stop "$folder" || true
        if [ "${COVIRT_KEEP:-}" = 1 ]; then echo "with-qemu: kept $folder" >&2; else rm -rf "$folder"; fi
    fi
}
trap finish EXIT
trap 'finish; exit 130' INT
trap 'finish; exit 143' TERM HUP

skip() {
    # The last line that the failing tool wrote says why.
    COVIRT_QEMU_SKIP=$(tail -n 1 "$folder/why" | sed 's/^[a-z-]*: //')
    export COVIRT_QEMU_SKIP
    echo "with-qemu: no QEMU here: $COVIRT_QEMU_SKIP" >&2
    if [ $need = yes ]; then exit 77; fi
}

# Tools that cannot run here say so with 77; any other failure is a fault.
attempt() {
    local code=0
    "$@" 2>"$folder/why" || code=$?
    if [ $code != 0 ] && [ $code != 77 ]; then
        cat "$folder/why" >&2
        echo "with-qemu: $1 failed ($code)" >&2
        exit 1
    fi
    return $code
}

# Short, for the sockets in it.
base=${TMPDIR:-/tmp}
[ ${#base} -le 60 ] || base=/tmp
folder=$(mktemp -d "$base/covirt-XXXXXX")
chmod 755 "$folder"
if [ "${COVIRT_HOST_LIBVIRT:-}" = 1 ]; then
    export COVIRT_QEMU_URI=qemu:///system
    if "$HERE/kvm-works.sh"; then COVIRT_KVM=yes; else COVIRT_KVM=no; fi
    export COVIRT_KVM
else
    # We hold the lifeline's writing end; should we be killed, libvirtd and its guests end with us.
    mkfifo "$folder/lifeline"
    exec 9<>"$folder/lifeline"
    if attempt "$HERE/private-libvirtd.sh" start "$folder" --until-stdin-closes \
        <"$folder/lifeline" 9>&- >"$folder/started"; then
        export COVIRT_QEMU_DIR=$folder
        uri='' kvm=''
        eval "$(grep -E '^(uri|kvm)=' "$folder/started")"
        export COVIRT_QEMU_URI=$uri COVIRT_KVM=$kvm
    else
        skip
    fi
    rm -f "$folder/lifeline"
fi
if [ -n "${COVIRT_QEMU_URI:-}" ]; then
    if attempt "$HERE/build-guest.sh" "$folder/guest"; then
        export COVIRT_GUEST_DIR=$folder/guest
    else
        unset COVIRT_QEMU_URI
        skip
    fi
fi

"$@" 9>&-
