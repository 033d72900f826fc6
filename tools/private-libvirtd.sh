#!/usr/bin/env bash
# A libvirtd of one's own: it shares with the host's only the programs, so no VM, network or file of the host is touched,
# several run side by side, and each can be killed and started again.
#
#   tools/private-libvirtd.sh start [DIR] [OPTIONS]   start one; prints dir= uri= pid= libvirtd_pid= kvm=
#   tools/private-libvirtd.sh info DIR                print those lines again
#   tools/private-libvirtd.sh kill9 DIR               SIGKILL libvirtd, leave it down; its guests run on
#   tools/private-libvirtd.sh up DIR                  start it again after kill9
#   tools/private-libvirtd.sh restart DIR             end it politely and start it; its guests run on
#   tools/private-libvirtd.sh stop DIR                end it and all its guests; DIR stays, for its logs
#
# Options: --share-net DIR2 (live in the network of the one in DIR2), --until-stdin-closes (stop by itself when the other
# end of standard input is gone, so that a starter which is killed leaves nothing behind), --tree FOLDER (the libvirtd and
# QEMU of another Debian, as tools/libvirt-env.sh prints the folder; without a network), --modular (virtqemud in the place of
# libvirtd; without a network).
#
# It has its own mount, host name, PID and network namespace, and its own /etc, /run, /var/lib, /var/log and
# /var/cache/libvirt, which are folders of DIR. A network "default" (NAT, DHCP) is up in
# it. When KVM does not really run here, /dev/kvm is hidden from it. Without DIR one is made, under
# $TMPDIR if that is short enough for the sockets in it, else /tmp. The printed lines are shell assignments: eval "$(tools/private-libvirtd.sh start)".
#
# Exit code 77: it cannot run on this machine, and why (no root, a program missing).
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# Debian's own Python, should a user's PATH put another one first.
PYTHON=$(PATH=/usr/bin:$PATH command -v python3 || true)

fail() { echo "private-libvirtd: $*" >&2; exit 1; }
cannot() { echo "private-libvirtd: $*" >&2; exit 77; }

ask() { "$PYTHON" -I "$HERE/libvirtd_supervisor.py" ask "$1" "$2"; }

# The supervisor is the one child of the `unshare` whose PID `start` noted; libvirtd is one of the supervisor's.
child_named() {
    local pid
    for pid in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ] && { echo "$pid"; return; }
    done
    return 0
}

# The noted PID, if it still is the process that was started for this folder.
outer_pid() {
    local pid
    pid=$(cat "$1/outer.pid" 2>/dev/null) || return 1
    tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF " serve $1 " || return 1
    echo "$pid"
}

supervisor_pid() {
    local outer
    outer=$(outer_pid "$1") && cut -d' ' -f1 "/proc/$outer/task/$outer/children"
}

info() {
    local supervisor
    supervisor=$(supervisor_pid "$1") || fail "$1: not running"
    printf 'dir=%q\n' "$1"
    printf 'uri=%q\n' "qemu:///system?socket=$1/run/libvirt-sock"
    printf 'pid=%q\n' "$supervisor"
    printf 'libvirtd_pid=%q\n' "$(child_named "$supervisor" "$(cat "$1/daemon")")"
    printf 'kvm=%q\n' "$(cat "$1/kvm")"
}

write_config() {
    local dir=$1 network=$2
    # What a host loses at boot: libvirt would take it for the state of networks and guests that run.
    rm -rf "$dir/run"
    mkdir -p "$dir"/etc/qemu/networks/autostart "$dir"/{run,lib,log,cache}
    local uuid
    for uuid in uuid network-uuid; do
        [ -s "$dir/$uuid" ] || cat /proc/sys/kernel/random/uuid >"$dir/$uuid"
    done
    printf 'covirt-%.8s\n' "$(cat "$dir/uuid")" >"$dir/hostname"
    cat >"$dir/etc/libvirtd.conf" <<CONF
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
auth_unix_rw = "none"
auth_unix_ro = "none"
host_uuid = "$(cat "$dir/uuid")"
log_level = ${COVIRT_LIBVIRTD_LOG_LEVEL:-3}
log_outputs = "${COVIRT_LIBVIRTD_LOG_LEVEL:-3}:file:/var/log/libvirt/libvirtd.log"
CONF
    # Root in its own namespaces, so that guest files need no change of owner; control groups are the host's, so none.
    cat >"$dir/etc/qemu.conf" <<'CONF'
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
CONF
    : >"$dir/etc/libvirt.conf"
    if [ "$network" = own ]; then
        # No spanning tree, no ping before an address is offered: either costs a guest seconds.
        cat >"$dir/etc/qemu/networks/default.xml" <<XML
<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'>
  <name>default</name>
  <uuid>$(cat "$dir/network-uuid")</uuid>
  <forward mode='nat'/>
  <bridge name='virbr0' stp='off' delay='0'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='192.168.122.2' end='192.168.122.254'/>
    </dhcp>
  </ip>
  <dnsmasq:options><dnsmasq:option value='no-ping'/></dnsmasq:options>
</network>
XML
        ln -sf ../default.xml "$dir/etc/qemu/networks/autostart/default.xml"
    fi
}

start() {
    local dir='' share='' made='' lifeline=no tree='' daemon=libvirtd
    exec 5</dev/null
    while [ $# -gt 0 ]; do
        case $1 in
            --share-net) share=$(readlink -f "${2:?--share-net needs a folder}"); shift 2 ;;
            --tree) tree=$(readlink -f "${2:?--tree needs a folder}")/tree; shift 2 ;;
            --modular) daemon=virtqemud; shift ;;
            --until-stdin-closes) lifeline=yes; exec 5<&0; shift ;;
            -*) fail "unknown option '$1'" ;;
            *) dir=$1; shift ;;
        esac
    done
    [ "$(id -u)" = 0 ] || cannot "namespaces, bridges and QEMU through qemu:///system need root"
    local program
    for program in libvirtd virsh qemu-system-x86_64 unshare nsenter ip dnsmasq iptables mount chroot; do
        command -v "$program" >/dev/null 2>&1 || cannot "$program is missing (tools/install-deps.sh qemu)"
    done
    [ -x "$tree/usr/sbin/$daemon" ] || { [ -z "$tree" ] && command -v "$daemon" >/dev/null 2>&1; } || cannot "there is no $daemon"
    [ -n "$PYTHON" ] || cannot "python3 is missing (tools/install-deps.sh qemu)"
    unshare --mount --uts --net --pid --fork --mount-proc true 2>/dev/null ||
        cannot "this machine lets even root make no namespaces (a container?)"

    if [ -z "$dir" ]; then
        local base=${TMPDIR:-/tmp}
        [ ${#base} -le 60 ] || base=/tmp
        dir=$(mktemp -d "$base/covirt-XXXXXX")
        made=$dir
    fi
    mkdir -p "$dir"
    dir=$(readlink -f "$dir")
    # A Unix socket's path has at most 107 bytes.
    [ ${#dir} -le 80 ] || fail "$dir: the path is too long for the sockets below it (80 bytes at most)"
    ! outer_pid "$dir" >/dev/null || fail "$dir: already running"
    rm -f "$dir/control"
    local networks=own
    [ -z "$share$tree" ] && [ $daemon = libvirtd ] || networks=none
    write_config "$dir" "$networks"
    [ $daemon = libvirtd ] || mv "$dir/etc/libvirtd.conf" "$dir/etc/$daemon.conf"
    echo "$daemon" >"$dir/daemon"

    if "$HERE/kvm-works.sh"; then echo yes >"$dir/kvm"; else echo no >"$dir/kvm"; fi

    local enter=() network=(--net)
    if [ -n "$share" ]; then
        local peer
        peer=$(supervisor_pid "$share") || fail "$share: not running"
        enter=(nsenter "--net=/proc/$peer/ns/net")
        network=()
    fi

    # The supervisor says on descriptor 3 how the start went; nothing else holds that pipe, so its end is news as well.
    rm -f "$dir/ready"
    mkfifo "$dir/ready"
    local reader answer=''
    exec 4<>"$dir/ready" {reader}<"$dir/ready"
    COVIRT_DAEMON=$daemon COVIRT_KVM=$(cat "$dir/kvm") COVIRT_LIFELINE=$lifeline setsid "${enter[@]}" unshare --mount --uts "${network[@]}" --pid --fork --mount-proc \
        --kill-child "$PYTHON" -I "$HERE/libvirtd_supervisor.py" serve "$dir" ${tree:+"$tree"} \
        3>&4 4>&- <&5 5<&- >"$dir/log/supervisor.out" 2>&1 {reader}<&- &
    local outer=$!
    echo "$outer" >"$dir/outer.pid"
    exec 4>&- 5<&-
    read -r -t 90 -u "$reader" answer || true
    exec {reader}<&-
    rm -f "$dir/ready"
    if [ "$answer" = ok ] && await_drivers "$dir"; then
        info "$dir"
        return
    fi
    stop "$dir" || true
    tail -n 20 "$dir"/log/{supervisor.out,libvirtd.out,libvirtd.log} >&2 2>/dev/null || true
    [ -z "$made" ] || rm -rf "$made"
    fail "libvirtd did not start: ${answer:-the supervisor ended}"
}

# The socket is there before the drivers are; libvirt answers its first call when they are up.
await_drivers() { timeout 60 virsh -q -c "qemu:///system?socket=$1/run/libvirt-sock" uri >/dev/null; }

# Wait for a process that is not ours to wait for, without guessing a time.
await_end() {
    timeout "$2" tail --pid="$1" -s 0.05 -f /dev/null
}

stop() {
    local dir=$1 outer
    outer=$(outer_pid "$dir") || return 0
    ask "$dir" stop 2>/dev/null || true
    if ! await_end "$outer" 30; then
        # unshare --kill-child takes process 1 of the namespace with it, and the kernel the rest.
        kill -KILL "$outer" 2>/dev/null || true
        await_end "$outer" 10 || fail "$dir: process $outer does not end"
    fi
    rm -f "$dir/outer.pid" "$dir/control"
}

main() {
    local command=${1:-}
    [ $# -gt 0 ] && shift
    case $command in
        start) start "$@" ;;
        info | kill9 | up | restart | stop)
            [ $# = 1 ] && [ -d "$1" ] || fail "usage: private-libvirtd.sh $command DIR"
            local dir
            dir=$(readlink -f "$1")
            case $command in
                info) info "$dir" ;;
                stop) stop "$dir" ;;
                kill9) ask "$dir" kill9 ;;
                up) ask "$dir" start && await_drivers "$dir" ;;
                restart) ask "$dir" restart && await_drivers "$dir" ;;
            esac
            ;;
        *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 2 ;;
    esac
}

main "$@"
