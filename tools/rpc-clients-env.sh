#!/bin/sh
# Unpacks Debian's libvirt clients into a cache folder, for the tests in which unmodified clients use a door: libvirt's
# Python binding, virt-install and virt-xml, virtnbdbackup, libvirt-dbus with a bus of its own, socat. Nothing is
# installed on the host. Prints the folder; its `run` starts a program with them. Exits 1 with a reason when it cannot.
#
# libvirt's own library and virsh are the host's (tools/install-deps.sh qemu).
set -eu
. "$(dirname "$0")/unpack-debs.sh"

cache=${COVIRT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/covirt}/rpc-clients
# Raised when the list of packages changes, so that an older cache is made anew.
version=2
packages="python3-libvirt python3-libnbd libnbd0 libnbd-bin
    virtinst python3-gi gir1.2-glib-2.0 libgirepository-1.0-1 gir1.2-freedesktop gir1.2-libosinfo-1.0 libosinfo-1.0-0 osinfo-db
    libsoup-3.0-0 libxslt1.1 python3-libxml2 python3-requests python3-urllib3 python3-certifi python3-idna python3-chardet
    python3-charset-normalizer python3-six
    virtnbdbackup python3-lxml python3-lz4 python3-tqdm python3-typing-extensions python3-paramiko python3-bcrypt
    python3-nacl python3-cffi-backend python3-cryptography
    libvirt-dbus libvirt-glib-1.0-0 dbus-daemon dbus-bin libdbus-1-3
    socat libwrap0"

# Several tests ask at once; only one of them makes it.
mkdir -p "$(dirname "$cache")"
exec 9>"$cache.lock"
command -v flock >/dev/null && flock 9
if [ "$(cat "$cache/version" 2>/dev/null)" = "$version" ]; then
    echo "$cache"
    exit 0
fi
[ -x /usr/bin/python3 ] || give_up "/usr/bin/python3 is needed"

work=$(mktemp -d "$cache.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
# shellcheck disable=SC2086 # the list is words
unpack_debs "$work" $packages
cat >"$work/run" <<'RUN'
#!/bin/sh
# Starts a program with the unpacked modules and libraries: run PROGRAM ARGUMENT…
here=$(dirname "$(readlink -f "$0")")
triplet=$(basename "$(dirname "$(find "$here/root/usr/lib" -name 'libnbd.so.0' | head -n1)")")
export PYTHONPATH="$here/root/usr/lib/python3/dist-packages:$here/root/usr/share/virt-manager"
export LD_LIBRARY_PATH="$here/root/usr/lib/$triplet:$here/root/lib/$triplet"
export GI_TYPELIB_PATH="$here/root/usr/lib/$triplet/girepository-1.0:$here/root/usr/lib/girepository-1.0"
export OSINFO_SYSTEM_DIR="$here/root/usr/share/osinfo"
export PATH="$here/root/usr/bin:$here/root/usr/sbin:$PATH:/usr/sbin:/sbin"
export PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8
exec "$@"
RUN
chmod 755 "$work/run"
# The binding alone, for a Python with packages of its own.
mkdir "$work/binding"
for module in libvirt.py libvirtaio.py libvirt_qemu.py libvirt_lxc.py libvirtmod.* libvirtmod_qemu.* libvirtmod_lxc.*; do
    for file in "$work/root/usr/lib/python3/dist-packages"/$module; do
        ln -s "../root/usr/lib/python3/dist-packages/${file##*/}" "$work/binding/"
    done
done
"$work/run" /usr/bin/python3 -c 'import libvirt, nbd, virtinst' 2>"$work/log" ||
    give_up "the unpacked clients do not start: $(tail -n1 "$work/log")"
keep "$work" "$cache" "$version"
trap - EXIT
echo "$cache"
