#!/usr/bin/env bash
# All checks that need no run of the program. Each says ok, FAILED, or skipped and why; one failure fails the whole.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$HERE/.."
failures=0

step() {
    local name=$1
    shift
    if "$@"; then
        echo "check: $name: ok"
    else
        echo "check: $name: FAILED" >&2
        failures=$((failures + 1))
    fi
}

skipped() { echo "check: $1: skipped: $2"; }

step format cargo fmt --check
step 'format of the fuzzers' cargo fmt --check --manifest-path fuzz/Cargo.toml
# The part of covirt that the fuzzers build has its own list of dependencies.
step 'what the fuzzers build' cargo check --locked --quiet --manifest-path fuzz/Cargo.toml -p covirt
step lints cargo clippy --locked --quiet --all-targets -- -D warnings
step documentation env RUSTDOCFLAGS='-D warnings' cargo doc --locked --quiet --no-deps --document-private-items
step licences python3 tools/check_licences.py
step tree python3 tools/check_tree.py
step syntax bash -n tools/*.sh .ci/run
step scripts sh -n packaging/deb/postinst packaging/deb/prerm packaging/deb/postrm
units=$(tools/check-units.sh 2>&1) && code=0 || code=$?
if [ $code = 77 ]; then
    skipped units "$units"
else
    step units test $code = 0 || printf '%s\n' "$units" >&2
fi
if command -v shellcheck >/dev/null 2>&1; then
    step shellcheck shellcheck --severity=warning tools/*.sh packaging/deb/p* .ci/run
else
    skipped shellcheck "it is not installed"
fi
# Where tools/install-deps.sh puts it.
PATH=$PATH:${XDG_CACHE_HOME:-$HOME/.cache}/covirt/tools/bin
if cargo deny --version >/dev/null 2>&1; then
    step deny cargo deny --offline --log-level error check bans licenses sources
else
    skipped deny "cargo-deny is not installed (licences and sources were checked by tools/check_licences.py)"
fi

[ $failures = 0 ] || { echo "check: $failures failed" >&2; exit 1; }
