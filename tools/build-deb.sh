#!/usr/bin/env bash
# Build covirt's Debian package from programs that are built already.
#
#   tools/build-deb.sh [--bin DIR] [--version V] [--out DIR] [--fast]
#
# --bin: where covirt and covirtd are (the release build's folder unless said otherwise); --version: another number than
# Cargo.toml's, for tests of upgrades; --out: dist unless said otherwise; --fast: for tests, larger and sooner. Prints the package's path. Needs dpkg-deb; with
# dpkg-shlibdeps the dependencies are those that the programs have, without it those of Debian 12.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$HERE/.."
bin=${CARGO_TARGET_DIR:-target}/release out=dist packing=(-Zxz)
version=$(sed -n 's/^version *= *"\([^"]*\)".*/\1/p' Cargo.toml | head -n1)
while [ $# -gt 0 ]; do
    case $1 in
        --fast) packing=(-Zgzip -z1); shift; continue ;;
        --bin) bin=$2 ;;
        --version) version=$2 ;;
        --out) out=$2 ;;
        *) echo "build-deb: usage: tools/build-deb.sh [--bin DIR] [--version V] [--out DIR]" >&2; exit 2 ;;
    esac
    shift 2
done
architecture=$(dpkg --print-architecture)
maintainer='covirt authors <covirt@covirt.invalid>'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/debian/covirt
chmod 755 "$work"
# The same sources give the same package.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}

# install MODE FILE PLACE
put() { install -D -m "$1" "$2" "$tree/$3"; }
for program in covirt covirtd; do
    put 755 "$bin/$program" "usr/bin/$program"
    strip --strip-unneeded --remove-section=.comment --remove-section=.note "$tree/usr/bin/$program"
done
for unit in systemd/*.service systemd/*.socket; do put 644 "$unit" "lib/systemd/system/$(basename "$unit")"; done
put 644 systemd/covirt.sysusers usr/lib/sysusers.d/covirt.conf
put 644 systemd/covirt.tmpfiles usr/lib/tmpfiles.d/covirt.conf
put 644 systemd/covirt.rules usr/share/polkit-1/rules.d/60-covirt.rules
put 644 systemd/covirt.catalog usr/lib/systemd/catalog/covirt.catalog
put 644 packaging/covirt.toml etc/covirt/covirt.toml
if [ -e packaging/ceiling.toml ]; then put 644 packaging/ceiling.toml etc/covirt/ceiling.toml; fi
install -d -m 755 "$tree/etc/covirt/conf.d" "$tree/etc/covirt/bindings"

"$bin/covirt" generate "$work/generated"
for section in 1 8; do
    for page in "$work/generated/man$section"/*; do
        gzip -9n "$page"
        put 644 "$page.gz" "usr/share/man/man$section/$(basename "$page").gz"
    done
done
for program in covirt covirtd; do
    put 644 "$work/generated/bash/$program.bash" "usr/share/bash-completion/completions/$program"
    put 644 "$work/generated/zsh/_$program" "usr/share/zsh/vendor-completions/_$program"
    put 644 "$work/generated/fish/$program.fish" "usr/share/fish/vendor_completions.d/$program.fish"
done

doc=usr/share/doc/covirt
for file in README.md docs/*.md; do put 644 "$file" "$doc/$(basename "$file")"; done
put 644 packaging/grafana/covirt.json "$doc/examples/grafana/covirt.json"
# A package without a Debian revision has one changelog, in Debian's form; what changed is told in the other.
printf 'covirt (%s) unstable; urgency=medium\n\n  * See /usr/share/doc/covirt/CHANGELOG.md.\n\n -- %s  %s\n' \
    "$version" "$maintainer" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$work/changelog.gz"
put 644 CHANGELOG.md "$doc/CHANGELOG.md"
put 644 "$work/changelog.gz" "$doc/changelog.gz"
sed -e '/^@MIT@$/{
    r /dev/stdin
    d
}' packaging/deb/copyright < <(sed -e 's/^$/./' -e 's/^/ /' LICENSE-MIT) >"$work/copyright"
put 644 "$work/copyright" "$doc/copyright"

depends='libc6 (>= 2.36), libgcc-s1 (>= 4.2), libvirt0 (>= 9.0.0)'
if command -v dpkg-shlibdeps >/dev/null 2>&1; then
    printf 'Source: covirt\n\nPackage: covirt\nArchitecture: %s\n' "$architecture" >"$work/debian/control"
    found=$(cd "$work" && dpkg-shlibdeps -O debian/covirt/usr/bin/covirt debian/covirt/usr/bin/covirtd 2>/dev/null || true)
    [ -z "${found#shlibs:Depends=}" ] || depends=${found#shlibs:Depends=}
fi
mkdir -p "$tree/DEBIAN"
cat >"$tree/DEBIAN/control" <<CONTROL
Package: covirt
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -sk --exclude=DEBIAN "$tree" | cut -f1)
Depends: $depends, passwd
Recommends: libvirt-daemon-system, polkitd | policykit-1
Suggests: prometheus, grafana
Section: admin
Priority: optional
Description: co-management of running virtual machines by several providers
 covirt lets two or more cloud providers co-manage the same running virtual
 machine. It is an agent that runs beside libvirt on a KVM host: each provider
 keeps its own view and its own commands, and covirt sees to it that they do
 not undo each other's work.
 .
 The package has the agent (covirtd), which runs as a user of its own, and the
 command line (covirt).
CONTROL
find "$tree/etc" -type f | sed "s|^$tree||" | sort >"$tree/DEBIAN/conffiles"
for script in postinst prerm postrm; do install -m 755 "packaging/deb/$script" "$tree/DEBIAN/$script"; done
(cd "$tree" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum >DEBIAN/md5sums)

mkdir -p "$out"
package=$out/covirt_${version}_$architecture.deb
dpkg-deb --root-owner-group "${packing[@]}" --build "$tree" "$package" >&2
echo "$package"
