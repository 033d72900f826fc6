#!/usr/bin/env bash
# Make sure that the programs covirt's targets need are on this machine.
#
#   tools/install-deps.sh GROUP…        groups: build qemu guest clients consumers check bench fuzz
#   tools/install-deps.sh --try GROUP…  install when it can be done silently, never fail
#
# Every need is probed by what is really used (a command, a library, a file), so the script answers at once and
# offline when nothing is missing, whatever distribution put it there. Only then is apt asked: by root, or through
# passwordless sudo; anyone else gets the one command to run, and exit code 1.
#
# None of the packages below brings a service: libvirt comes as the bare `libvirt-daemon`, not as
# `libvirt-daemon-system`, so that nothing is started, enabled or reconfigured on the host.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf 'deps: %s\n' "$*" >&2; }

# group | Debian package | probe
needs() {
    cat <<'TABLE'
build  gcc                         cmd:cc
build  libc6-dev                   file:/usr/include/stdlib.h
build  make                        cmd:make
build  pkg-config                  cmd:pkg-config
build  libvirt-dev                 lib:libvirt
qemu   libvirt-daemon              cmd:libvirtd
qemu   libvirt-daemon-driver-qemu  driver:qemu
qemu   libvirt-clients             cmd:virsh
qemu   qemu-system-x86             cmd:qemu-system-x86_64
qemu   qemu-utils                  cmd:qemu-img
qemu   dnsmasq-base                cmd:dnsmasq
qemu   iproute2                    cmd:ip
qemu   iptables                    cmd:iptables
qemu   python3                     cmd:python3
qemu   util-linux                  cmd:unshare
qemu   libnbd-bin                  cmd:nbdinfo
qemu   python3-prometheus-client   file:/usr/lib/python3/dist-packages/prometheus_client
guest  dpkg                        cmd:dpkg-deb
guest  apt                         cmd:apt-get
guest  binutils                    cmd:strip
guest  cpio                        cmd:cpio
guest  lz4                         cmd:lz4
guest  xz-utils                    cmd:xz
guest  zstd                        cmd:zstd
guest  e2fsprogs                   cmd:mke2fs
guest  python3                     cmd:python3
guest  mmdebstrap                  cmd:mmdebstrap
guest  qemu-utils                  cmd:qemu-img
guest  lintian                     cmd:lintian
clients  python3                   file:/usr/bin/python3
clients  dpkg                      cmd:dpkg-deb
clients  apt                       cmd:apt-get
clients  openssl                   cmd:openssl
clients  curl                      cmd:curl
clients  procps                    file:/bin/kill
clients  strace                    cmd:strace
clients  systemd                   cmd:systemd-analyze
consumers  python3                 cmd:python3
consumers  python3-venv            py:ensurepip
consumers  dpkg                    cmd:dpkg-deb
consumers  apt                     cmd:apt-get
check  shellcheck                  cmd:shellcheck
check  python3                     cmd:python3
check  lintian                     cmd:lintian
check  strace                      cmd:strace
bench  socat                       cmd:socat
fuzz   g++                         cmd:c++
TABLE
}

# Daemons live in sbin, which a user's PATH often lacks.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

present() {
    local kind=${1%%:*} what=${1#*:}
    case $kind in
        cmd) command -v "$what" >/dev/null 2>&1 ;;
        file) [ -e "$what" ] ;;
        py) command -v python3 >/dev/null 2>&1 && python3 -c "import $what" >/dev/null 2>&1 ;;
        lib) command -v pkg-config >/dev/null 2>&1 && pkg-config --exists "$what" ;;
        driver) compgen -G "/usr/lib*/*/libvirt/connection-driver/libvirt_driver_$what.so" >/dev/null ||
            compgen -G "/usr/lib*/libvirt/connection-driver/libvirt_driver_$what.so" >/dev/null ;;
        *) say "bug: unknown probe '$1'"; exit 2 ;;
    esac
}

# Rust itself: Debian's is older than the one Cargo.toml asks for, so it is named, never installed.
check_rust() {
    local want have
    want=$(sed -n 's/^rust-version *= *"\([^"]*\)".*/\1/p' "$ROOT/Cargo.toml")
    if ! command -v cargo >/dev/null 2>&1 || ! command -v rustc >/dev/null 2>&1; then
        say "no Rust here; covirt needs Rust $want or newer, which Debian does not package yet: install it with rustup"
        return 1
    fi
    have=$(rustc --version | sed -n 's/^rustc \([0-9.]*\).*/\1/p')
    if [ "$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -n1)" != "$want" ]; then
        say "Rust $have is too old: covirt needs $want or newer (rustup update stable)"
        return 1
    fi
}

# cargo-deny is not Debian's: it is built from crates.io into the cache, in one to two minutes of one core.
cargo_deny() {
    local version=0.20.2 into=${XDG_CACHE_HOME:-$HOME/.cache}/covirt/tools
    cargo deny --version >/dev/null 2>&1 && return 0
    [ ! -x "$into/bin/cargo-deny" ] || return 0
    say "building cargo-deny $version into $into"
    CARGO_TARGET_DIR=$into/target cargo install --quiet --locked --debug --version "$version" --root "$into" cargo-deny >&2 ||
        say "cargo-deny cannot be built here; what it checks is skipped"
    rm -rf "$into/target"
}

missing_packages() {
    local group package probe
    while read -r group package probe; do
        case " $* " in *" $group "*) present "$probe" || echo "$package" ;; esac
    done < <(needs) | sort -u
}

candidate() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p'; }
installed() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Installed: //p' | grep -vx '(none)'; }
known_version() { LC_ALL=C apt-cache madison "$1" 2>/dev/null | awk -F' *[|] *' '{print $2}' | grep -qxF -- "$2"; }

# A qemu-utils newer than the release's QEMU (from backports) forbids installing that QEMU. Take the QEMU of the same
# version if some source has it; else set qemu-utils back to the release's, and say so. Sets PLAN.
plan() {
    PLAN=("$@")
    "${ASROOT[@]}" apt-get -s -qq "${OPTIONS[@]}" install "${PLAN[@]}" >/dev/null 2>&1 && return 0
    local utils system
    utils=$(installed qemu-utils || true)
    system=$(candidate qemu-system-x86)
    if [ -n "$utils" ] && [ -n "$system" ] && dpkg --compare-versions "$utils" gt "$system"; then
        if known_version qemu-system-x86 "$utils"; then
            PLAN=("${@/%qemu-system-x86/qemu-system-x86=$utils}")
            PLAN=("${PLAN[@]/%qemu-utils/qemu-utils=$utils}")
        else
            PLAN=(--allow-downgrades "${@/%qemu-utils/qemu-utils=$system}")
            say "qemu-utils $utils does not go with this release's QEMU: it is set back to $system"
        fi
        "${ASROOT[@]}" apt-get -s -qq "${OPTIONS[@]}" install "${PLAN[@]}" >/dev/null 2>&1 && return 0
    fi
    say "apt cannot install this:"
    LC_ALL=C "${ASROOT[@]}" apt-get -s -qq "${OPTIONS[@]}" install "${PLAN[@]}" >&2 || true
    return 1
}

install() {
    local packages=("$@")
    OPTIONS=(-y --no-install-recommends --no-remove)
    # QEMU and its tools come from one release; naming both makes apt see a conflict instead of solving it by removal.
    case " ${packages[*]} " in
        *' qemu-utils '*) ;;
        *' qemu-system-x86 '*) packages+=(qemu-utils) ;;
    esac
    if ! command -v apt-get >/dev/null 2>&1; then
        say "missing here, under Debian's package names: ${packages[*]}"
        say "this machine has no apt-get: install them with its own package manager, then try again"
        return 1
    fi
    ASROOT=()
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
            ASROOT=(sudo -n)
        else
            plan "${packages[@]}" || PLAN=("${packages[@]}")
            say "missing: ${packages[*]}"
            say "run this as root, then try again:"
            printf 'apt-get update && apt-get install %s %s\n' "${OPTIONS[*]}" "${PLAN[*]}"
            return 1
        fi
    fi
    say "installing ${packages[*]}"
    # A source that is out of reach (some third party's) must not stop the others: apt warns and goes on.
    "${ASROOT[@]}" apt-get update -qq || say "apt-get update failed; going on with the lists at hand"
    plan "${packages[@]}" || return 1
    "${ASROOT[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C \
        apt-get -qq "${OPTIONS[@]}" -o Dpkg::Use-Pty=0 install "${PLAN[@]}" >&2
}

main() {
    local try=0
    if [ "${1:-}" = --try ]; then try=1; shift; fi
    [ $# -gt 0 ] || { say "usage: tools/install-deps.sh [--try] GROUP… (build qemu guest clients consumers check bench fuzz)"; exit 2; }
    local group
    for group in "$@"; do
        needs | grep -q "^$group " || { say "unknown group '$group'"; exit 2; }
        [ "$group" != build ] || check_rust || exit 1
        [ "$group" != check ] || check_rust || exit 1
        [ "$group" != check ] || cargo_deny
    done
    local packages
    mapfile -t packages < <(missing_packages "$@")
    [ ${#packages[@]} -gt 0 ] || exit 0
    if ! install "${packages[@]}"; then
        [ $try = 1 ] && exit 0
        exit 1
    fi
    mapfile -t packages < <(missing_packages "$@")
    if [ ${#packages[@]} -gt 0 ]; then
        say "installed, but still not found: ${packages[*]}"
        [ $try = 1 ] || exit 1
    fi
}

main "$@"
