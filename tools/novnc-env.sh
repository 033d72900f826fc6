#!/bin/sh
# Gets noVNC and what it needs outside of a browser (tests/novnc/package-lock.json) by npm into a cache folder. Prints the
# folder. Exits 1 with a reason when that cannot be: it is needed by one test, which is skipped then.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
give_up() {
    echo "novnc-env: $*" >&2
    exit 1
}
for program in node npm; do
    command -v "$program" >/dev/null 2>&1 || give_up "$program is not installed (Debian's nodejs and npm)"
done
[ "$(node -p 'process.versions.node.split(".")[0] >= 18')" = true ] || give_up "node $(node --version) is older than 18"
cache=${COVIRT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/covirt}/novnc
version=$(cat "$here/tests/novnc/package-lock.json" | sha256sum | cut -c1-16)
if [ ! -e "$cache/$version/client.mjs" ] || ! cmp -s "$here/tests/novnc/client.mjs" "$cache/$version/client.mjs"; then
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/XXXXXX")
    trap 'rm -rf "$work"' EXIT INT TERM
    cp "$here"/tests/novnc/* "$work"
    (cd "$work" && npm ci --ignore-scripts --no-audit --no-fund >"$work/log" 2>&1) ||
        give_up "npm cannot get it: $(grep -m1 'npm error' "$work/log" || tail -n1 "$work/log")"
    rm -rf "${cache:?}/$version"
    mv "$work" "$cache/$version"
    trap - EXIT
fi
echo "$cache/$version"
