#!/usr/bin/env bash
# Run every test tier and say how it went; the last line is `N passed, N failed, N skipped`.
#
#   tools/test.sh [FILTER]      FILTER: a substring of test names; without one, all
#
# Tiers: the tests that need nothing but this machine; the documentation's examples; the tests in tests/qemu*.rs, with a
# private libvirtd and a guest. All of it is compiled once. A test that cannot run appends "SKIPPED: <test>: <reason>" to
# the file $COVIRT_SKIPS and returns; the runner calls that a pass, so it is taken off the passes here. Tests marked
# #[ignore] count as skipped as well. A tier that ends without its own verdict counts as one failure.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$HERE/.."
filter=${1:-}
export CARGO_TERM_COLOR=never NO_COLOR=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export COVIRT_SKIPS=$work/skips
: >"$COVIRT_SKIPS"
passed=0 failed=0 ignored=0

# The verdicts in a runner's own output, summed: "passed failed ignored".
verdicts() {
    awk '
        # cargo test: test result: ok. 3 passed; 0 failed; 1 ignored; …
        /^test result: / { for (i = 1; i < NF; i++) {
            if ($(i + 1) == "passed;") p += $i; if ($(i + 1) == "failed;") f += $i; if ($(i + 1) == "ignored;") g += $i } }
        # nextest: Summary [ 0.005s] 5 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 7 skipped (= not selected)
        /^ *Summary \[/ { sub(/^.*run: /, ""); gsub(/\([^)]*\)/, ""); n = split($0, part, ",")
            for (i = 1; i <= n; i++) { split(part[i], w, " ")
                if (w[2] == "passed") p += w[1]
                else if (w[2] == "failed" || w[2] == "timed" || w[2] == "exec") f += w[1] } }
        END { print p + 0, f + 0, g + 0 }' "$1"
}

tier() {
    local name=$1 code=0 p f g
    shift
    printf '\n== %s\n' "$name"
    "$@" 2>&1 | tee "$work/out" || code=${PIPESTATUS[0]}
    read -r p f g < <(verdicts "$work/out")
    if [ $code != 0 ] && [ "$f" = 0 ]; then
        echo "tier '$name' ended with code $code and no failed test: counted as one failure"
        f=1
    fi
    passed=$((passed + p)) failed=$((failed + f)) ignored=$((ignored + g))
}

# The integration tests by file; those on QEMU by their name.
others=() qemu=()
for file in tests/*.rs; do
    [ -e "$file" ] || continue
    name=$(basename "$file" .rs)
    case $name in qemu*) qemu+=("$name") ;; *) others+=("$name") ;; esac
done

# What tests take from elsewhere (the providers' software, libvirt's clients, other libvirts, a Debian with cloud-init) is
# made while the compiler works, so that the time for it is not a test's. What cannot be made is told by the tests that miss it.
{
    "$HERE/cloud-init-env.sh" || true
    "$HERE/ovsdb-env.sh" || true
    "$HERE/promtool-env.sh" || true
    "$HERE/novnc-env.sh" || true
    "$HERE/rpc-clients-env.sh" || true
    for environment in debian light openstack; do "$HERE/consumers-env.sh" "$environment" || true; done
    for release in bullseye trixie-backports; do "$HERE/libvirt-env.sh" "$release" || true; done
    "$HERE/build-cloud-image.sh" "$work/cloud-image" || true
    rm -rf "$work/cloud-image"
} >"$work/prepared" 2>&1 &
prepared=$!

# Once for all tiers, with the compiler's words as they come.
if ! cargo test --locked --no-run; then
    wait "$prepared" || true
    printf '\nthe tests do not compile\n0 passed, 1 failed\n'
    exit 1
fi

wait "$prepared" || true

if cargo nextest --version >/dev/null 2>&1; then
    run=(cargo nextest run --locked --no-fail-fast --no-tests pass ${filter:+"$filter"})
    tier "unit and integration tests" "${run[@]}" -E 'not binary(/^qemu/)'
    [ ${#qemu[@]} = 0 ] || tier "tests on QEMU" "$HERE/with-qemu.sh" "${run[@]}" -E 'binary(/^qemu/)'
    # nextest does not tell the ignored from the unselected.
    more=$(cargo nextest list --locked --run-ignored only --message-format oneline 2>/dev/null | grep -c . || true)
    ignored=$((ignored + more))
else
    run=(cargo test --locked --no-fail-fast)
    tier "unit and integration tests" "${run[@]}" --lib --bins "${others[@]/#/--test=}" -- ${filter:+"$filter"}
    [ ${#qemu[@]} = 0 ] ||
        tier "tests on QEMU" "$HERE/with-qemu.sh" "${run[@]}" "${qemu[@]/#/--test=}" -- ${filter:+"$filter"}
fi
[ -n "$filter" ] || tier "the Debian package" "$HERE/test-deb.sh"
tier "examples in the documentation" cargo test --locked --doc -- ${filter:+"$filter"}

skipped=$(wc -l <"$COVIRT_SKIPS")
if [ "$skipped" != 0 ]; then
    printf '\n== could not run here\n'
    cat "$COVIRT_SKIPS"
fi
printf '\n%d passed, %d failed, %d skipped\n' $((passed - skipped)) "$failed" $((skipped + ignored))
[ "$failed" = 0 ]
