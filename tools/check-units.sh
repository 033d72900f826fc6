#!/usr/bin/env bash
# Check the units with systemd's own tools, on a tree of their own: that they mean what they say, and how much of the host
# covirtd could reach through them (1.5 of 10 at most). tools/check-units.sh [DIR]; ends with 77 when systemd is not here to ask.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$HERE/.."
from=${1:-systemd}
command -v systemd-analyze >/dev/null 2>&1 || { echo "systemd-analyze is not installed"; exit 77; }
version=$(systemd-analyze --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
[ "${version:-0}" -ge 250 ] || { echo "systemd $version cannot look at units offline"; exit 77; }

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
units=$root/usr/lib/systemd/system
mkdir -p "$units" "$root/usr/bin" "$root/bin" "$root/etc/covirt/credentials"
cp "$from"/*.service "$from"/*.socket "$units/"
for program in usr/bin/covirtd bin/kill; do
    printf '#!/bin/sh\n' >"$root/$program"
    chmod 755 "$root/$program"
done
# The targets that every unit stands on by default, as empty ones.
for unit in sysinit.target basic.target shutdown.target sockets.target multi-user.target network.target; do
    printf '[Unit]\nDescription=%s\n' "$unit" >"$units/$unit"
done
printf '[Slice]\n' | tee "$units/system.slice" >"$units/-.slice"

said=$(SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no --root="$root" "$units"/covirtd*.service "$units"/covirtd*.socket 2>&1 || true)
# What is said about other units, or about this machine, is not about ours.
ours=$(grep 'covirtd' <<<"$said" || true)
if [ -n "$ours" ]; then
    printf '%s\n' "$ours" >&2
    exit 1
fi
systemd-analyze security --offline=true --root="$root" --threshold=15 --no-pager covirtd.service >"$root/report" 2>&1 || {
    cat "$root/report" >&2
    exit 1
}
tail -n 1 "$root/report"
