#!/usr/bin/env bash
# Install covirt's package in a clean Debian, use it, upgrade it, remove it and purge it.
#
#   tools/test-deb.sh [BIN]     BIN: the folder of covirt and covirtd; the debug build's unless said otherwise
#
# The package holds the debug build by default, because the release build takes minutes: the programs are the same code,
# and all else in the package is the same. The Debian is made by mmdebstrap and kept in ~/.cache/covirt/deb-root under
# the hash of what it is made from; nothing is installed on the host. There is no systemd in it that runs: covirtd is
# started as its user, without capabilities, as its unit does. The last line counts as cargo's does. Needs root; where it
# cannot run it says why and counts as skipped.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$HERE/.."
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
SUITE=bookworm
INCLUDE=libvirt0,systemd,passwd,procps
CACHE=${XDG_CACHE_HOME:-${HOME:?}/.cache}/covirt/deb-root
bin=${1:-${CARGO_TARGET_DIR:-target}/debug}
passed=0

cannot() {
    echo "SKIPPED: test-deb: $*" | tee -a "${COVIRT_SKIPS:-/dev/null}"
    echo 'test result: ok. 1 passed; 0 failed; 0 ignored; (skipped)'
    exit 0
}
fact() {
    passed=$((passed + 1))
    echo "test-deb: $*: ok"
}
# Shows what is wrong; the exit code is the test's.
wrong() {
    echo "test-deb: FAILED: $*" >&2
    [ -z "${root:-}" ] || tail -n 40 "$root/covirtd.log" >&2 2>/dev/null || true
    echo "test result: FAILED. $passed passed; 1 failed; 0 ignored;"
    exit 1
}

[ "$(id -u)" = 0 ] || cannot "a Debian of its own needs root"
for program in mmdebstrap dpkg-deb strip unshare setpriv; do
    command -v "$program" >/dev/null 2>&1 || cannot "$program is missing (tools/install-deps.sh guest)"
done
[ -x "$bin/covirtd" ] || cannot "there is no $bin/covirtd; build it first"
unshare --mount --pid --fork true 2>/dev/null || cannot "this machine gives no namespaces"

mkdir -p "$CACHE"
tar=$CACHE/$(printf '%s %s' "$SUITE" "$INCLUDE" | sha256sum | cut -c1-16).tar
exec 9>"$CACHE/lock"
flock 9
if [ ! -e "$tar" ]; then
    mmdebstrap --quiet --mode=root --variant=minbase --include="$INCLUDE" --aptopt='Apt::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/{doc,man,locale,info}/*' "$SUITE" "$tar.part.tar" >"$CACHE/log" 2>&1 ||
        cannot "mmdebstrap made no Debian: $(grep -m1 '^E:' "$CACHE/log" || tail -n1 "$CACHE/log")"
    mv "$tar.part.tar" "$tar"
fi
flock -u 9

work=$(mktemp -d)
root=$work/root
trap 'rm -rf "$work"' EXIT
mkdir "$root"
tar -C "$root" -xf "$tar"
# Manual pages are left out in this Debian to keep it small, but ours are what is tested.
rm -f "$root"/etc/dpkg/dpkg.cfg.d/99mmdebstrap

old=$(tools/build-deb.sh --fast --bin "$bin" --version 0.0.9 --out "$work")
new=$(tools/build-deb.sh --fast --bin "$bin" --out "$work")
version=$(dpkg-deb --field "$new" Version)
dpkg --compare-versions "$version" gt 0.0.9 || wrong "$version is not newer than 0.0.9"
cp "$old" "$root/old.deb"
cp "$new" "$root/new.deb"
fact 'the package is built'
if command -v lintian >/dev/null 2>&1; then
    lintian --allow-root --fail-on error,warning "$new" >"$work/lintian" 2>&1 || wrong "lintian: $(cat "$work/lintian")"
    fact 'lintian has nothing to say'
else
    echo 'test-deb: lintian: skipped: it is not installed'
fi

# Everything below runs in the Debian, in namespaces that end with it.
cat >"$root/inside.sh" <<'INSIDE'
set -eu
fact() { echo "fact $*"; }
wrong() { echo "wrong $*"; exit 1; }
is() { [ "$2" = "$3" ] || wrong "$1 is '$2', not '$3'"; }
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
mount -t proc proc /proc
find / -xdev -not -path '/proc/*' | sort >/before

agent() {
    # As the unit does it: the user, no capabilities, nothing to be gained.
    setpriv --reuid covirt --regid covirt --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
        /usr/bin/covirtd >>/covirtd.log 2>&1 &
    pid=$!
    for _ in $(seq 300); do
        covirt health >/dev/null 2>&1 && return 0
        kill -0 $pid 2>/dev/null || wrong "covirtd ended: $(tail -n 3 /covirtd.log)"
        sleep 0.1
    done
    wrong 'covirtd does not answer'
}
stop() { kill -TERM $pid; wait $pid || wrong "covirtd ended with $?"; }
north() { setpriv --reuid 1001 --regid 1001 --groups "$(getent group covirt | cut -d: -f3)" covirt "$@"; }

dpkg --install /old.deb >/install.log 2>&1 || wrong "dpkg: $(tail -n 5 /install.log)"
getent passwd covirt >/dev/null || wrong 'there is no user covirt'
is 'the state folder' "$(stat -c '%a %U' /var/lib/covirt)" '700 covirt'
is 'the credentials folder' "$(stat -c '%a %U' /etc/covirt/credentials)" '700 root'
is 'the version' "$(dpkg-query -W -f '${Version}' covirt)" 0.0.9
covirtd --check-config >/dev/null || wrong 'its own configuration has a mistake'
for file in /usr/share/man/man8/covirtd.8.gz /usr/share/man/man1/covirt-run.1.gz \
    /usr/share/bash-completion/completions/covirt /usr/share/zsh/vendor-completions/_covirt \
    /usr/share/fish/vendor_completions.d/covirt.fish /usr/share/doc/covirt/configuration.md \
    /lib/systemd/system/covirtd.service /usr/share/polkit-1/rules.d/60-covirt.rules \
    /usr/lib/systemd/catalog/covirt.catalog; do
    [ -s "$file" ] || wrong "there is no $file"
done
bash -n /usr/share/bash-completion/completions/covirt
journalctl --dump-catalog 6f10a7cddfe159e5857f0df1b8c63cdd | grep -q 'A VM is co-managed' || wrong 'the catalogue does not explain our messages'
[ -L /etc/systemd/system/multi-user.target.wants/covirtd.service ] || wrong 'the unit is not enabled'
[ -L /etc/systemd/system/sockets.target.wants/covirtd.socket ] || wrong 'the socket is not enabled'
fact 'it is installed'

cat >/etc/covirt/conf.d/10-test.toml <<'TOML'
[agent]
connect = "test:///default"
[[provider]]
id = "north"
uids = [1001]
may_enroll = true
TOML
agent
is 'its user' "$(stat -c %U /proc/$pid)" covirt
grep -q '^CapBnd:[[:space:]]*0*$' /proc/$pid/status || wrong 'it has capabilities'
north vm enroll test >/dev/null
north run test power.suspend >/dev/null || wrong 'a command does not work'
covirt audit verify | grep -q intact || wrong 'the journal is not intact'
stop
fact 'it works as its own user without capabilities'

printf '\n# changed by the operator\n' >>/etc/covirt/covirt.toml
dpkg --install --force-confdef --force-confold /new.deb >/install.log 2>&1 || wrong "dpkg: $(tail -n 5 /install.log)"
grep -q 'changed by the operator' /etc/covirt/covirt.toml || wrong "the operator's configuration is gone"
[ -s /etc/covirt/conf.d/10-test.toml ] || wrong 'conf.d is gone'
agent
north timeline test | grep -q power.suspend || wrong 'the journal did not survive the upgrade'
north run test power.suspend >/dev/null || wrong 'a command does not work after the upgrade'
covirt audit verify | grep -q intact || wrong 'the journal is not intact after the upgrade'
stop
fact 'it is upgraded, with its configuration and its journal'

dpkg --remove covirt >/install.log 2>&1 || wrong "dpkg: $(tail -n 5 /install.log)"
[ -s /var/lib/covirt/journal.sqlite ] || wrong 'removing took the journal'
[ -s /etc/covirt/covirt.toml ] || wrong 'removing took the configuration'
[ ! -e /usr/bin/covirtd ] || wrong 'removing left the program'
if journalctl --dump-catalog 6f10a7cddfe159e5857f0df1b8c63cdd 2>/dev/null | grep -q 'A VM is co-managed'; then
    wrong 'the catalogue explains what is gone'
fi
fact 'removed, its journal and configuration stay'

dpkg --purge covirt >/install.log 2>&1 || wrong "dpkg: $(tail -n 5 /install.log)"
find / -xdev -not -path '/proc/*' | sort >/after
left=$(comm -13 /before /after | grep -v -e '^/before$' -e '^/after$' -e '^/install.log$' -e '^/covirtd.log$' -e '^/proc' || true)
# dpkg's and the passwords' own older copies of their files.
left=$(printf '%s\n' "$left" | grep -v -e '^/etc/\(passwd\|group\|shadow\|gshadow\)-$' -e '^/var/lib/dpkg/[a-z]*-old$' -e '^/etc/\.pwd\.lock$' -e '^/var/log/' -e '^/var/lib/systemd$' -e '^$' || true)
[ -z "$left" ] || wrong "purging left $left"
! getent passwd covirt >/dev/null || wrong 'purging left the user'
! getent group covirt >/dev/null || wrong 'purging left the group'
fact 'purged, nothing is left'
INSIDE
unshare --mount --pid --fork --propagation private sh -c '
    mount --rbind /dev "$0/dev"
    exec chroot "$0" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp sh /inside.sh' "$root" >"$work/said" 2>&1 || true
sed -n 's/^fact \(.*\)/test-deb: \1: ok/p' "$work/said"
passed=$((passed + $(grep -c '^fact ' "$work/said" || true)))
if [ "$(tail -n1 "$work/said")" != 'fact purged, nothing is left' ]; then wrong "$(tail -n 5 "$work/said")"; fi
echo "test result: ok. $passed passed; 0 failed; 0 ignored;"
