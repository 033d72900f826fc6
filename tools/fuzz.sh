#!/usr/bin/env bash
# Fuzz what a door makes of libvirt's protocol (fuzz/), each target for a while; anything found fails.
#
#   tools/fuzz.sh [SECONDS [TARGET…]]      targets: framing calls replies conversation; without one, all
#
# What was found to reach new code is kept in $COVIRT_FUZZ, by default in the cache, and is where the next run begins, beside
# the seeds. What fails is kept there, too, in artifacts/TARGET; the last lines say how to see it again.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
duration=${1:-60}
shift || true
[[ $# -gt 0 ]] || set -- framing calls replies conversation
work=${COVIRT_FUZZ:-$HOME/.cache/covirt/fuzz}

cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
cd "$here"
cargo fetch --quiet --locked --manifest-path fuzz/Cargo.toml
# Sanitizers need a nightly compiler, and look for what safe code cannot do.
build=(--fuzz-dir fuzz --sanitizer none --target-dir "$work/target")
cargo fuzz build "${build[@]}"
failed=()
for target in "$@"; do
    mkdir -p "$work"/{corpus,seeds,artifacts,logs}/"$target"
    log=$work/logs/$target/last
    # All memory that is bounded is counted in the targets; the limit is for what nobody thought of.
    if COVIRT_FUZZ_SEEDS=$work/seeds/$target cargo fuzz run "${build[@]}" "$target" "$work/corpus/$target" "$work/seeds/$target" -- \
        -max_total_time="$duration" -max_len=4096 -rss_limit_mb=512 -timeout=20 -print_final_stats=1 \
        -artifact_prefix="$work/artifacts/$target/" >"$log" 2>&1; then
        covered=$(grep -o ' cov: [0-9]* ft: [0-9]*' "$log" | tail -n 1 || true)
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        rss=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
        echo "fuzz: $target: nothing found in $runs runs;$covered; at most $rss MiB"
    else
        failed+=("$target")
        tail -n 40 "$log" >&2
        echo "fuzz: $target: FAILED: see $log" >&2
    fi
done
[[ ${#failed[@]} -eq 0 ]]
