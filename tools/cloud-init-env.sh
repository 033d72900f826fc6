#!/bin/sh
# Unpacks Debian's cloud-init and the readers its tests need into a cache folder; nothing is installed on the host.
# Prints the folder (its `run` starts a program with the unpacked modules). Exits 1 with a reason when it cannot.
set -eu
. "$(dirname "$0")/unpack-debs.sh"

cache=${COVIRT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/covirt}/cloud-init
# Raised when the list of packages changes, so that an older cache is made anew.
version=1
packages="cloud-init python3-configobj python3-jinja2 python3-markupsafe python3-jsonpatch python3-json-pointer
    python3-jsonschema python3-attr python3-pyrsistent python3-netifaces python3-oauthlib python3-requests
    python3-urllib3 python3-certifi python3-idna python3-chardet python3-charset-normalizer python3-serial
    python3-six python3-yaml netplan.io libnetplan0 libyaml-0-2 genisoimage"

if [ "$(cat "$cache/version" 2>/dev/null)" = "$version" ]; then
    echo "$cache"
    exit 0
fi
[ -x /usr/bin/python3 ] || give_up "/usr/bin/python3 is needed"

mkdir -p "$(dirname "$cache")"
work=$(mktemp -d "$cache.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
# A package this system has already is unpacked too: the set must not depend on what happens to be installed.
# shellcheck disable=SC2086 # the list is words
unpack_debs "$work" $packages
cat >"$work/run" <<'RUN'
#!/bin/sh
# Starts a program with the unpacked modules and libraries: run PROGRAM ARGUMENT…
here=$(dirname "$(readlink -f "$0")")
export PYTHONPATH="$here/root/usr/lib/python3/dist-packages"
export LD_LIBRARY_PATH="$here/root/usr/lib/x86_64-linux-gnu:$here/root/usr/lib/$(uname -m)-linux-gnu"
export PATH="$here/root/usr/bin:$here/root/usr/sbin:$PATH"
export PYTHONDONTWRITEBYTECODE=1
exec "$@"
RUN
chmod 755 "$work/run"
"$work/run" /usr/bin/python3 -c 'import cloudinit.sources.DataSourceNoCloud, jsonschema, yaml' 2>"$work/log" ||
    give_up "the unpacked cloud-init does not start: $(tail -n1 "$work/log")"
keep "$work" "$cache" "$version"
trap - EXIT
echo "$cache"
