#!/usr/bin/env bash
# Another libvirt than this system's: an unpacked Debian with the libvirtd, virsh and QEMU of another release.
#
#   tools/libvirt-env.sh [--cached] RELEASE    prints its folder: bullseye (libvirt 7.0), trixie (11.3), or
#                                              trixie-backports (the newest that is packaged)
#
# Unpacked by mmdebstrap from Debian's archive; no script of a package is run and nothing is installed on the host. To
# start programs in it: `tools/private-libvirtd.sh start --tree FOLDER` the daemon, FOLDER/virsh its virsh, which
# needs neither root nor a namespace. Kept in $XDG_CACHE_HOME/covirt/libvirt (~/.cache/…), under the hash of this script;
# with it there the network is not asked. --cached: only what is there already. Exit code 77: not possible here.
set -euo pipefail

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
CACHE=${COVIRT_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/covirt}/libvirt
PACKAGES=libvirt-daemon,libvirt-daemon-driver-qemu,libvirt-clients,qemu-system-x86

say() { echo "libvirt-env: $*" >&2; }
cannot() { say "$*"; exit 77; }

# Where this system takes Debian from: the others are there as well.
archive() {
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        sed -n 's/^Debian|Debian|//p' | head -n1
}

# libvirt insists that the accounts exist which it was built to run QEMU as, and asks who it is itself.
write_accounts() {
    cat >"$1/etc/passwd" <<'END'
root:x:0:0:root:/:/bin/sh
libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin
END
    printf '%s:\n' root:x:0 kvm:x:104 libvirt:x:105 libvirt-qemu:x:64055 >"$1/etc/group"
    printf '%s: files\n' passwd group hosts >"$1/etc/nsswitch.conf"
    for file in hosts machine-id; do [ -e "$1/etc/$file" ] || : >"$1/etc/$file"; done
}

build() {
    local suite=${1%-backports} root=$2/tree from sources
    command -v mmdebstrap >/dev/null 2>&1 || cannot "mmdebstrap is missing (tools/install-deps.sh guest)"
    command -v apt-get >/dev/null 2>&1 || cannot "apt-get is missing (a Debian system is needed)"
    [ "$(id -u)" = 0 ] || cannot "making a Debian tree needs root"
    from=$(archive)
    [ -n "$from" ] || cannot "apt has no package lists of Debian's (apt-get update)"
    sources=("deb $from $suite main")
    [ "$1" = "$suite" ] || sources+=("deb $from $1 main")
    say "unpacking the libvirt of Debian $1"
    mmdebstrap --quiet --mode=root --variant=extract --format=directory --include="$PACKAGES" \
        --aptopt='Apt::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
        --aptopt="APT::Default-Release \"$1\"" "$suite" "$root" "${sources[@]}" >"$2/log" 2>&1 ||
        cannot "Debian $1 cannot be unpacked: $(grep -m1 '^E:' "$2/log" || tail -n1 "$2/log")"
    rm -rf "$root"/usr/share/{doc,man,locale,info} "$root"/var/cache/apt "$root"/var/lib/apt
    mkdir -p "$root"/{proc,sys,dev,run,tmp} "$root"/etc/libvirt "$root"/var/{lib,log,cache}/libvirt
    write_accounts "$root"
    # By the tree's own loader and libraries, wherever it runs.
    cat >"$2/virsh" <<'RUN'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")/tree
exec "$here/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "$here/lib/x86_64-linux-gnu:$here/usr/lib/x86_64-linux-gnu" "$here/usr/bin/virsh" "$@"
RUN
    chmod 755 "$2/virsh"
    "$2/virsh" --version >"$2/version" 2>>"$2/log" || { cat "$2/log" >&2; say "its virsh does not start"; exit 1; }
    rm -f "$2/log"
}

only_cached=no
if [ "${1:-}" = --cached ]; then only_cached=yes; shift; fi
case ${1:-} in
    bullseye | trixie | trixie-backports) ;;
    *) say "usage: tools/libvirt-env.sh [--cached] bullseye|trixie|trixie-backports"; exit 2 ;;
esac
[ "$(uname -m)" = x86_64 ] || cannot "the guest is x86_64, this machine is $(uname -m)"
built=$CACHE/$1-$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-16)
if [ ! -e "$built/version" ]; then
    [ $only_cached = no ] || cannot "the libvirt of Debian $1 is not unpacked (tools/libvirt-env.sh $1)"
    mkdir -p "$CACHE"
    exec 9>"$CACHE/lock-$1"
    flock 9
fi
if [ ! -e "$built/version" ]; then
    fresh=$(mktemp -d "$CACHE/XXXXXX.part")
    trap 'rm -rf "$fresh"' EXIT
    chmod 755 "$fresh"
    build "$1" "$fresh"
    # What earlier versions of this script made.
    rm -rf "$CACHE/$1"-????????????????
    mv -T "$fresh" "$built"
fi
echo "$built"
