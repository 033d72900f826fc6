#!/usr/bin/env bash
# Build a Debian with cloud-init in it, as a provider's image is: for tests in which our discs configure a real guest.
#
#   tools/build-cloud-image.sh OUTDIR      writes vmlinuz, initrd.img, root.qcow2 (ext4, to be used as a backing file)
#
# Made by mmdebstrap from Debian's archive; nothing of it is installed on the host, and nothing in it is configured for
# the tests: what the guest becomes is what the discs say. A build is kept in $XDG_CACHE_HOME/covirt/cloud-image
# (~/.cache/…), under the hash of this script; with it there the network is not asked. Exit code 77: not possible here.
set -euo pipefail

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
CACHE=${XDG_CACHE_HOME:-${HOME:?}/.cache}/covirt/cloud-image
SUITE=bookworm
PACKAGES=systemd-sysv,udev,dbus,kmod,iproute2,netplan.io,cloud-init,qemu-guest-agent,linux-image-cloud-amd64,initramfs-tools,lz4,zstd

say() { echo "build-cloud-image: $*" >&2; }
cannot() { say "$*"; exit 77; }

# The initial RAM disk has just what finds the root: each megabyte costs time under emulation.
# shellcheck disable=SC2016 # mmdebstrap's shell expands it
initramfs_hook='mkdir -p "$1/etc/initramfs-tools/conf.d"
printf "MODULES=list\nCOMPRESS=lz4\nBUSYBOX=n\n" >"$1/etc/initramfs-tools/conf.d/small"
printf "virtio_pci\nvirtio_blk\next4\n" >"$1/etc/initramfs-tools/modules"'
# Without these the image is a third smaller, and no timer starts in the middle of a test.
# shellcheck disable=SC2016 # mmdebstrap's shell expands it
slim_hook='rm -rf "$1"/usr/share/doc "$1"/usr/share/man "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*
for timer in apt-daily apt-daily-upgrade dpkg-db-backup fstrim e2scrub_all; do
    ln -sf /dev/null "$1/etc/systemd/system/$timer.timer"
done'

build() {
    local into=$1 program
    for program in mmdebstrap mke2fs qemu-img; do
        command -v "$program" >/dev/null 2>&1 || cannot "$program is missing (tools/install-deps.sh guest)"
    done
    [ "$(id -u)" = 0 ] || cannot "making a Debian tree needs root"
    say "making a Debian $SUITE with cloud-init; some minutes"
    mmdebstrap --quiet --mode=root --variant=minbase --format=directory --include="$PACKAGES" \
        --aptopt='Apt::Install-Recommends "false"' --dpkgopt=force-confold \
        --dpkgopt='path-exclude=/usr/share/{doc,man,locale,info}/*' \
        --essential-hook="$initramfs_hook" --customize-hook="$slim_hook" "$SUITE" "$work/root" >"$work/log" 2>&1 ||
        { say "mmdebstrap failed: $(grep -m1 '^E:' "$work/log" || tail -n1 "$work/log")"; exit 1; }
    cp -L "$work/root/vmlinuz" "$into/vmlinuz"
    cp -L "$work/root/initrd.img" "$into/initrd.img"
    truncate -s 2G "$work/root.raw"
    mke2fs -q -t ext4 -F -d "$work/root" "$work/root.raw"
    qemu-img convert -f raw -O qcow2 "$work/root.raw" "$into/root.qcow2"
    chmod 444 "$into"/*
}

[ $# = 1 ] || { say "usage: tools/build-cloud-image.sh OUTDIR"; exit 2; }
[ "$(uname -m)" = x86_64 ] || cannot "the image is x86_64, this machine is $(uname -m)"
out=$1
mkdir -p "$out" "$CACHE"
built=$CACHE/$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-16)
exec 9>"$CACHE/lock"
flock 9
if [ ! -e "$built/root.qcow2" ]; then
    work=$(mktemp -d)
    fresh=$(mktemp -d "$CACHE/XXXXXX.part")
    trap 'rm -rf "$work" "$fresh"' EXIT
    build "$fresh"
    chmod 755 "$fresh"
    mv -T "$fresh" "$built"
fi
for file in vmlinuz initrd.img root.qcow2; do
    rm -f "$out/$file"
    cp --reflink=auto "$built/$file" "$out/$file"
done
