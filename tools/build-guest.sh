#!/usr/bin/env bash
# Build the tests' guest from Debian's own packages: a small Linux that boots in seconds even without KVM, and that has a
# guest agent, ACPI buttons, DHCP and a shell on its serial console.
#
#   tools/build-guest.sh OUTDIR      writes vmlinux, initrd.cpio, data.qcow2 (64 MiB ext4, to be used as a backing file)
#
# A build is kept in $XDG_CACHE_HOME/covirt/guest (~/.cache/…), under the hash of what it is made of: this script,
# fixtures/guest and the kernel package's name. With it there, neither apt nor the network is asked.
# Nothing is installed: packages are downloaded and unpacked into a temporary folder. Exit code 77: not possible here.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
CACHE=${XDG_CACHE_HOME:-${HOME:?}/.cache}/covirt/guest
SEED_PACKAGES=(busybox-static qemu-guest-agent)
# In the order in which they must be loaded.
MODULES=(
    drivers/virtio/virtio_ring drivers/virtio/virtio drivers/virtio/virtio_pci_modern_dev
    drivers/virtio/virtio_pci_legacy_dev drivers/virtio/virtio_pci drivers/block/virtio_blk drivers/char/virtio_console
    net/core/failover drivers/net/net_failover drivers/net/virtio_net drivers/virtio/virtio_balloon
    drivers/char/hw_random/virtio-rng drivers/input/evdev drivers/acpi/button
)

say() { echo "build-guest: $*" >&2; }
cannot() { say "$*"; exit 77; }

# Dependencies as apt resolves them, one level, first alternatives.
depends() { LC_ALL=C apt-cache depends "$@" 2>/dev/null | sed -n 's/^ *Depends: //p' | grep -v '^<' | sort -u; }

kernel_package() { depends linux-image-cloud-amd64 | grep '^linux-image-' | head -n1; }

recipe_hash() {
    (
        cd "$ROOT"
        {
            find tools/build-guest.sh fixtures/guest/rootfs -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
            find fixtures/guest/rootfs -type f -printf '%P %m\n' | LC_ALL=C sort
        } | sha256sum | cut -c1-16
    )
}

# Copy the libraries that the program given needs, and those that they need, into the guest's /lib.
copy_libraries() {
    local file=$1 library found
    for library in $(readelf -d "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
        [ ! -e "$tree/lib/$library" ] || continue
        found=$(find "$work/debs" -name "$library" -print -quit)
        [ -n "$found" ] || { say "no package at hand has $library"; exit 1; }
        cp -L "$found" "$tree/lib/$library"
        chmod 755 "$tree/lib/$library"
        copy_libraries "$tree/lib/$library"
    done
}

# The kernel inside a bzImage. QEMU starts the plain ELF through its PVH entry: no decompression under emulation.
unpack_kernel() {
    python3 - "$1" "$2" <<'PY'
import struct, subprocess, sys
image = open(sys.argv[1], "rb").read()
setup_sectors = image[0x1F1] or 4
offset, length = struct.unpack_from("<II", image, 0x248)
start = (setup_sectors + 1) * 512 + offset
payload = image[start:start + length]
tools = {b"\x02\x21\x4c\x18": ["lz4", "-dc"], b"\x1f\x8b\x08\x00": ["gzip", "-dc"],
         b"\xfd\x37\x7a\x58": ["xz", "-dc"], b"\x28\xb5\x2f\xfd": ["zstd", "-dc"]}
tool = tools.get(payload[:4])
if tool is None:
    sys.exit("build-guest: the kernel is packed in an unknown way")
# The last four bytes are the unpacked size, no part of the stream; some tools complain after having written all.
run = subprocess.run(tool, input=payload[:-4], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
size = struct.unpack("<I", payload[-4:])[0]
if run.stdout[:4] != b"\x7fELF" or len(run.stdout) != size:
    sys.exit(f"build-guest: unpacking gave {len(run.stdout)} bytes of {size}")
open(sys.argv[2], "wb").write(run.stdout)
PY
}

download() {
    local user=()
    [ "$(id -u)" != 0 ] || user=(-o APT::Sandbox::User=root)
    (cd "$work/debs" && apt-get -qq "${user[@]}" download "$@" >/dev/null)
}

build() {
    local kernel=$1 into=$2 program
    for program in apt-get dpkg-deb strip readelf cpio lz4 mke2fs qemu-img python3; do
        command -v "$program" >/dev/null 2>&1 || cannot "$program is missing (tools/install-deps.sh guest)"
    done
    [ -n "$kernel" ] || cannot "apt knows no linux-image-cloud-amd64 (run apt-get update; Debian only)"
    mkdir "$work/debs" "$work/kernel"
    local packages
    mapfile -t packages < <(depends "${SEED_PACKAGES[@]}" | grep -E '^(lib|zlib)')
    mapfile -t packages < <({ depends "${packages[@]}"; printf '%s\n' "${packages[@]}"; } | grep -E '^(lib|zlib)' | sort -u)
    packages=("$kernel" "${SEED_PACKAGES[@]}" "${packages[@]}")
    say "downloading $kernel and ${#packages[@]} packages in all"
    if ! download "${packages[@]}"; then
        # The lists are older than the archive; only root may refresh them.
        [ "$(id -u)" = 0 ] && apt-get update -qq || true
        download "${packages[@]}" || { say "apt cannot download the packages"; exit 1; }
    fi
    local deb
    for deb in "$work"/debs/*.deb; do
        case ${deb##*/} in
            "$kernel"_*) dpkg-deb -x "$deb" "$work/kernel" ;;
            *) dpkg-deb -x "$deb" "$work/debs/tree" ;;
        esac
    done

    local version=${kernel#linux-image-}
    unpack_kernel "$work/kernel/boot/vmlinuz-$version" "$into/vmlinux"

    local tree=$work/root
    mkdir -p "$tree"/{bin,sbin,usr/sbin,proc,sys,dev,run,tmp,var/run,var/log,mnt,lib/modules,lib64,root}
    cp -a "$ROOT"/fixtures/guest/rootfs/. "$tree/"
    local busybox applet
    busybox=$(find "$work/debs/tree" -path '*/bin/busybox' -type f -print -quit)
    cp "$busybox" "$tree/bin/busybox"
    for applet in $("$busybox" --list); do
        [ "$applet" = busybox ] || ln -sf busybox "$tree/bin/$applet"
    done
    cp "$work/debs/tree/usr/sbin/qemu-ga" "$tree/usr/sbin/"
    strip "$tree/usr/sbin/qemu-ga"
    copy_libraries "$tree/usr/sbin/qemu-ga"
    copy_libraries "$tree/lib/libc.so.6"
    ln -sf ../lib/ld-linux-x86-64.so.2 "$tree/lib64/"
    strip --strip-unneeded "$tree"/lib/*.so*

    local number=10 module file
    for module in "${MODULES[@]}"; do
        file=$tree/lib/modules/$number-${module##*/}.ko
        cp "$work/kernel/lib/modules/$version/kernel/$module.ko" "$file"
        # Also drops the signature, whose check costs time under emulation.
        strip --strip-debug "$file"
        number=$((number + 1))
    done
    (cd "$tree" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$into/initrd.cpio"

    truncate -s 64M "$work/data.raw"
    mke2fs -q -t ext4 -O ^metadata_csum -F "$work/data.raw"
    qemu-img convert -f raw -O qcow2 "$work/data.raw" "$into/data.qcow2"
    echo "$kernel" >"$into/kernel-package"
    chmod 444 "$into"/*
}

[ $# = 1 ] || { say "usage: tools/build-guest.sh OUTDIR"; exit 2; }
[ "$(uname -m)" = x86_64 ] || cannot "the guest is x86_64, this machine is $(uname -m)"
out=$1
mkdir -p "$out" "$CACHE"
recipe=$(recipe_hash)
kernel=''
command -v apt-cache >/dev/null 2>&1 && kernel=$(kernel_package || true)
if [ -n "$kernel" ]; then
    built=$CACHE/$recipe-${kernel#linux-image-}
else
    # apt's lists are gone or it is not there at all: any kernel this recipe was built with will do.
    built=$(find "$CACHE" -maxdepth 1 -name "$recipe-*" ! -name '*.part' -print -quit)
    if [ -z "$built" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        apt-get update -qq || true
        kernel=$(kernel_package || true)
    fi
    [ -n "$built" ] || built=$CACHE/$recipe-${kernel#linux-image-}
fi

if [ ! -e "$built/vmlinux" ]; then
    work=$(mktemp -d)
    fresh=$(mktemp -d "$CACHE/XXXXXX.part")
    trap 'rm -rf "$work" "$fresh"' EXIT
    build "$kernel" "$fresh"
    chmod 755 "$fresh"
    # Whole or not at all; if another run was faster, its build is as good.
    mv -T "$fresh" "$built" 2>/dev/null || [ -e "$built/vmlinux" ]
fi
for file in vmlinux initrd.cpio data.qcow2; do
    rm -f "$out/$file"
    cp --reflink=auto "$built/$file" "$out/$file"
done
