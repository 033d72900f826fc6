#!/usr/bin/env bash
# Print the domain XML of one test guest, and make its disk.
#
#   tools/guest-xml.sh NAME GUESTDIR [STATEDIR]
#
# GUESTDIR is what tools/build-guest.sh filled. The guest's own disk is an overlay, STATEDIR/NAME.qcow2 (the base in
# GUESTDIR is never written), its console log STATEDIR/NAME.console; STATEDIR is GUESTDIR unless given.
# COVIRT_KVM=yes|no decides the accelerator, else it is probed. COVIRT_GUEST_NET names a libvirt network ("default"
# unless set); `user` is QEMU's own network, for a libvirtd without one.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -ge 2 ] || { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
name=$1
guest=$(readlink -f "$2")
state=$(readlink -f "${3:-$2}")
case $name in '' | *[!A-Za-z0-9_.-]*) echo "guest-xml: '$name' is no plain name" >&2; exit 2 ;; esac

type=qemu
"$HERE/kvm-works.sh" && type=kvm
case ${COVIRT_GUEST_NET:=default} in
    user) interface="<interface type='user'><model type='virtio'/><rom enabled='no'/></interface>" ;;
    *) interface="<interface type='network'><source network='$COVIRT_GUEST_NET'/><model type='virtio'/><rom enabled='no'/></interface>" ;;
esac

rm -f "$state/$name.qcow2" "$state/$name.console"
qemu-img create -q -f qcow2 -b "$guest/data.qcow2" -F qcow2 "$state/$name.qcow2"
sed -e "s|@TYPE@|$type|; s|@NAME@|$name|g; s|@UUID@|$(cat /proc/sys/kernel/random/uuid)|; s|@GUEST@|$guest|g" \
    -e "s|@STATE@|$state|g; s|@CMDLINE@|$(cat "$HERE/../fixtures/guest/cmdline")|; s|@INTERFACE@|$interface|" \
    "$HERE/../fixtures/guest/pc.xml"
