#!/usr/bin/env bash
# Exit 0 when /dev/kvm really runs a vCPU, 1 when not.
#
# A device node proves little: nested hosts exist where it opens and the first vCPU then hangs. So a 64 KiB ROM whose
# reset vector writes to QEMU's debug-exit port is run under KVM; only that very exit code counts. That is real mode, which
# KVM may interpret in software: on a processor that shows no virtualisation (vmx, svm) the ROM has been seen to run and
# a guest's kernel to hang at its first instructions, so such a processor is not asked.
# COVIRT_KVM=yes|no answers in its place.
set -euo pipefail

case ${COVIRT_KVM:-probe} in
    yes) exit 0 ;;
    no) exit 1 ;;
    probe) ;;
    *) echo "kvm-works: COVIRT_KVM is yes or no, not '$COVIRT_KVM'" >&2; exit 2 ;;
esac
[ -r /dev/kvm ] && [ -w /dev/kvm ] || exit 1
grep -qwE 'vmx|svm' /proc/cpuinfo || exit 1

rom=$(mktemp)
trap 'rm -f "$rom"' EXIT
# At ffff:0000, 16 bytes before the end: mov al,0x10; out 0xf4,al; hlt. QEMU then leaves with (0x10 << 1) | 1.
{
    head -c 65520 /dev/zero
    printf '\260\020\346\364\364\0\0\0\0\0\0\0\0\0\0\0'
} >"$rom"
code=0
{ timeout -k 1 "${COVIRT_KVM_TIMEOUT:-3}" qemu-system-x86_64 -accel kvm -machine pc -cpu host -m 16 -nodefaults \
    -display none -bios "$rom" -device isa-debug-exit,iobase=0xf4,iosize=4 </dev/null >/dev/null || code=$?; } 2>/dev/null
[ $code = 33 ]
