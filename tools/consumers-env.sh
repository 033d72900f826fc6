#!/usr/bin/env bash
# Make an environment with the providers' own software in the cache; nothing is installed on the host.
#
#   tools/consumers-env.sh light        botocore, cs, cot, python-hcl2, jsonschema, PyYAML in a virtual environment
#   tools/consumers-env.sh openstack    nova, cinder, neutron-lib, ceilometer in another: some 600 MB
#
# Prints the folder. Exits 1 with a reason when it cannot be made. Wheels are kept, so that a second making needs no
# network. Versions are pinned: a consumer that changes is met on purpose, not by accident.
set -euo pipefail

cache=${COVIRT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/covirt}/consumers

give_up() {
    echo "consumers-env: $1" >&2
    exit 1
}

case ${1:-} in
    light) packages=(botocore==1.44.5 cs==5.2.0 cot==2.2.1 python-hcl2==8.1.4 jsonschema pyyaml) ;;
    openstack) packages=(nova==34.0.0 cinder==29.0.0 neutron-lib==5.0.1 ceilometer==27.0.0 jsonschema) ;;
    *) give_up "say which: light or openstack" ;;
esac
folder=$cache/$1
mkdir -p "$cache"

# Raised when something but the list changes, so that an older environment is made anew.
version="1 ${packages[*]}"
exec 9>"$cache/$1.lock"
flock 9
if [ "$(cat "$folder/version" 2>/dev/null)" = "$version" ]; then
    echo "$folder"
    exit 0
fi
command -v python3 >/dev/null || give_up "python3 is needed"
rm -rf "$folder"
log=$cache/$1.log
python3 -m venv "$folder" >"$log" 2>&1 || give_up "python3 -m venv failed: $(tail -n1 "$log")"
"$folder/bin/pip" install --disable-pip-version-check --cache-dir "$cache/wheels" "${packages[@]}" >"$log" 2>&1 ||
    give_up "pip install failed: $(grep -m1 -i error "$log" || tail -n1 "$log")"
echo "$version" >"$folder/version"
echo "$folder"
