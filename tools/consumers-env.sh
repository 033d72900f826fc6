#!/usr/bin/env bash
# Make an environment with the providers' own software in the cache; nothing is installed on the host.
#
#   tools/consumers-env.sh light        botocore, cs, cot, python-hcl2, jsonschema, PyYAML in a virtual environment
#   tools/consumers-env.sh openstack    nova, cinder, neutron-lib, ceilometer in another: some 600 MB
#   tools/consumers-env.sh debian       xmllint and virt-v2v from Debian's packages, unpacked; its `run` starts them
#
# Prints the folder. Exits 1 with a reason when it cannot be made. Wheels are kept, so that a second making needs no
# network. Python's versions are pinned: a consumer that changes is met on purpose, not by accident.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/unpack-debs.sh"

cache=${COVIRT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/covirt}/consumers

# The programs, then every library they load but the C library and the compiler's. virt-v2v would install a hundred
# packages more (an appliance to boot, file systems, boot loaders), and only reads a description here.
debian=(virt-v2v libxml2-utils
    libguestfs0 libnbd0 libosinfo-1.0-0 libsoup-3.0-0 libvirt0 libxml2 libxslt1.1 libfuse2
    libacl1 libapparmor1 libaudit1 libblkid1 libbrotli1 libcap-ng0 libcom-err2 libcurl3-gnutls libffi8 libglib2.0-0
    libgmp10 libgnutls30 libgssapi-krb5-2 libhogweed6 libicu72 libidn2-0 libjansson4 libk5crypto3 libkeyutils1
    libkrb5-3 libkrb5support0 libldap-2.5-0 liblzma5 libmount1 libnettle8 libnghttp2-14 libnl-3-200 libnuma1
    libp11-kit0 libpcre2-8-0 libpsl5 librtmp1 libsasl2-2 libselinux1 libsqlite3-0 libssh-4 libssh2-1 libssl3
    libtasn1-6 libtirpc3 libunistring2 libyajl2 libzstd1 zlib1g)

case ${1:-} in
    light) packages=(botocore==1.44.5 cs==5.2.0 cot==2.2.1 python-hcl2==8.1.4 jsonschema pyyaml) ;;
    openstack) packages=(nova==34.0.0 cinder==29.0.0 neutron-lib==5.0.1 ceilometer==27.0.0 jsonschema) ;;
    debian) packages=("${debian[@]}") ;;
    *) give_up "say which: light, openstack or debian" ;;
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
rm -rf "$folder"
log=$cache/$1.log

# A virtual environment with the packages. Their wheels are kept in one folder and installed from there, so that only
# what is not there yet is fetched.
make_venv() {
    local pip="$folder/bin/pip --disable-pip-version-check" wheels=$cache/wheels/$1
    command -v python3 >/dev/null || give_up "python3 is needed"
    python3 -m venv "$folder" >"$log" 2>&1 || give_up "python3 -m venv failed: $(tail -n1 "$log")"
    mkdir -p "$wheels"
    $pip install --no-index --find-links "$wheels" "${packages[@]}" >"$log" 2>&1 && return
    $pip wheel --wheel-dir "$wheels" "${packages[@]}" >"$log" 2>&1 ||
        give_up "pip wheel failed: $(grep -m1 -i error "$log" || tail -n1 "$log")"
    $pip install --no-index --find-links "$wheels" "${packages[@]}" >"$log" 2>&1 ||
        give_up "pip install failed: $(grep -m1 -i error "$log" || tail -n1 "$log")"
}

# The packages unpacked, with a program to start what is in them.
make_tree() {
    unpack_debs "$folder" "${packages[@]}"
    mv "$folder/log" "$log"
    cat >"$folder/run" <<'RUN'
#!/bin/sh
# Starts a program with the unpacked libraries: run PROGRAM ARGUMENT…
here=$(dirname "$(readlink -f "$0")")
triplet=$(basename "$(dirname "$(find "$here/root/usr/lib" -name 'libxml2.so.2' | head -n1)")")
export LD_LIBRARY_PATH="$here/root/usr/lib/$triplet:$here/root/lib/$triplet"
export PATH="$here/root/usr/bin:$here/root/usr/sbin:$PATH"
exec "$@"
RUN
    chmod 755 "$folder/run"
    local program
    for program in xmllint virt-v2v; do
        "$folder/run" "$program" --version >>"$log" 2>&1 ||
            give_up "the unpacked $program does not start: $(tail -n1 "$log")"
    done
}

case $1 in
    debian) make_tree ;;
    *) make_venv "$1" ;;
esac
echo "$version" >"$folder/version"
echo "$folder"
