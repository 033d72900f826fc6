#!/bin/sh
# Finds promtool, or unpacks Debian's into a cache folder: installing Debian's package would start a Prometheus on the
# host. Prints its path. Exits 1 with a reason when there is none.
set -eu
. "$(dirname "$0")/unpack-debs.sh"

if command -v promtool 2>/dev/null; then exit 0; fi
cache=${COVIRT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/covirt}/promtool
version=1

if [ "$(cat "$cache/version" 2>/dev/null)" != "$version" ]; then
    mkdir -p "$(dirname "$cache")"
    work=$(mktemp -d "$cache.XXXXXX")
    trap 'rm -rf "$work"' EXIT INT TERM
    unpack_debs "$work" prometheus
    "$work/root/usr/bin/promtool" --version >"$work/log" 2>&1 ||
        give_up "the unpacked promtool does not start: $(tail -n1 "$work/log")"
    # The server itself is not needed, and large.
    rm -rf "$work/root/usr/bin/prometheus" "$work/root/usr/share" "$work/root/etc"
    keep "$work" "$cache" "$version"
    trap - EXIT
fi
echo "$cache/root/usr/bin/promtool"
