#!/usr/bin/env bash
# Run covirt's demonstration: two providers co-manage one VM, and the agent tells what it decided and why.
#
#   tools/demo.sh                         on libvirt's built-in test driver: no daemon, no VM
#   CONNECT=qemu:///system tools/demo.sh  on a real guest, built and booted here, under a libvirtd of our own
#   COVIRT_HOST_LIBVIRT=1 CONNECT=…       … under the host's libvirtd instead (the guest is removed afterwards)
#   CONNECT=URI VM=NAME tools/demo.sh     on a VM that exists already; it is not started, stopped or removed
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$HERE/.."
covirt=${CARGO_TARGET_DIR:-target}/debug/covirt
case $covirt in /*) ;; *) covirt=$PWD/$covirt ;; esac

# Inside tools/with-qemu.sh: define and boot the guest, run the demonstration, remove the guest.
if [ "${1:-}" = --on-guest ]; then
    covirt=$2
    name=${VM:-covirt-demo-$$}
    state=$(dirname "$COVIRT_GUEST_DIR")
    remove() {
        virsh -q -c "$COVIRT_QEMU_URI" destroy "$name" >/dev/null 2>&1 || true
        virsh -q -c "$COVIRT_QEMU_URI" undefine "$name" --snapshots-metadata --managed-save >/dev/null 2>&1 || true
    }
    trap remove EXIT
    trap 'exit 143' TERM
    if [ "${COVIRT_HOST_LIBVIRT:-}" = 1 ] && ! virsh -q -c "$COVIRT_QEMU_URI" net-info default 2>/dev/null |
        grep -q '^Active: *yes'; then
        export COVIRT_GUEST_NET=user
    fi
    "$HERE/guest-xml.sh" "$name" "$COVIRT_GUEST_DIR" "$state" >"$state/$name.xml"
    virsh -q -c "$COVIRT_QEMU_URI" define "$state/$name.xml" >/dev/null
    virsh -q -c "$COVIRT_QEMU_URI" start "$name" >/dev/null
    "$HERE/await-guest.sh" "$COVIRT_QEMU_URI" "$name"
    "$covirt" demo --connect "$COVIRT_QEMU_URI" --vm "$name"
    exit
fi

connect=${CONNECT:-}
groups=(build)
own_guest=no
if [ "$connect" = qemu:///system ] && [ -z "${VM:-}" ]; then
    own_guest=yes
    groups+=(guest qemu)
fi
"$HERE/install-deps.sh" "${groups[@]}"
cargo build --locked --bins

if [ $own_guest = no ]; then
    exec "$covirt" demo ${connect:+--connect "$connect"} ${VM:+--vm "$VM"}
fi
as_root=()
if [ "$(id -u)" != 0 ] && [ "${COVIRT_HOST_LIBVIRT:-}" != 1 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "demo: a private libvirtd needs root, and there is no sudo here: run make as root" >&2
        exit 1
    fi
    as_root=(sudo '--preserve-env=COVIRT_KVM,COVIRT_KEEP')
    [ -t 0 ] || as_root+=(-n)
fi
exec "${as_root[@]}" "$HERE/with-qemu.sh" --need "$HERE/demo.sh" --on-guest "$covirt"
