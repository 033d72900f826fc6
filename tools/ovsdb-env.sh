#!/bin/sh
# Finds the database server of Open vSwitch for tests, or unpacks Debian's into a cache folder; nothing is installed on
# the host and no service is started. Prints a program that starts its arguments with it in their PATH, and the folder
# of the switch's schema is in OVS_SCHEMA_DIR then. Exits 1 with a reason when it cannot.
set -eu
. "$(dirname "$0")/unpack-debs.sh"

cache=${COVIRT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/covirt}/ovsdb
# Raised when the list of packages changes, so that an older cache is made anew.
version=1
packages="openvswitch-common openvswitch-switch libxdp1 libbpf1 libelf1 libunbound8 libevent-2.1-7 libnghttp2-14
    libcap-ng0 libnuma1"

if [ "$(cat "$cache/version" 2>/dev/null)" = "$version" ]; then
    echo "$cache/run"
    exit 0
fi
mkdir -p "$(dirname "$cache")"
work=$(mktemp -d "$cache.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
# shellcheck disable=SC2086 # the list is words
unpack_debs "$work" $packages
cat >"$work/run" <<'RUN'
#!/bin/sh
# Starts a program with the unpacked programs and libraries: run PROGRAM ARGUMENT…
here=$(dirname "$(readlink -f "$0")")
export LD_LIBRARY_PATH="$here/root/usr/lib/$(uname -m)-linux-gnu:$here/root/lib/$(uname -m)-linux-gnu"
export PATH="$here/root/usr/bin:$here/root/usr/sbin:$PATH"
export OVS_SCHEMA_DIR="$here/root/usr/share/openvswitch"
exec "$@"
RUN
chmod 755 "$work/run"
"$work/run" ovsdb-server --version >/dev/null 2>"$work/log" ||
    give_up "the unpacked ovsdb-server does not start: $(tail -n1 "$work/log")"
keep "$work" "$cache" "$version"
trap - EXIT
echo "$cache/run"
