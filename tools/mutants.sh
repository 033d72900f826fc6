#!/usr/bin/env bash
# Mutation testing of the resolver: change it in one place at a time, and see whether a test notices.
#
#   tools/mutants.sh [--only REGEX] [--again] [--behind]
#   tools/mutants.sh --alone REGEX [--every N]
#
# --only tries the mutants whose name matches; --again tries what survived once more, too; --behind asks of those the judges
# that take too long to be asked of each: the tests of all pairs, the simulation (COVIRT_SEEDS), the walk through all states.
# --alone asks how many of what is noticed some tests would notice by themselves, of every N-th.
#
# The pure modules and their tests are made a crate of their own: model, delegation and resolver with the tests beside them,
# the scenarios, the simulation and the model check as one test program. cargo-mutants says which mutants there are. Nearly
# all of them go into one build (tools/weave, tools/mutants.py), so that each costs a run of the tests that reach it and no build;
# cargo-mutants itself tries the rest. All of it and the results (tried.jsonl, mutants.out) are in $COVIRT_MUTANTS, by default in
# the cache; what tried.jsonl has is not tried again, so a run that was broken off goes on, and --again is for new tests.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=${COVIRT_MUTANTS:-$HOME/.cache/covirt/mutants}
crate=$work/crate

command -v cargo-mutants >/dev/null || cargo install --locked cargo-mutants
cargo build --quiet --locked --manifest-path "$here/tools/weave/Cargo.toml" --target-dir "$work/weave"

rm -rf "$crate"
mkdir -p "$crate/src" "$crate/tests" "$crate/fixtures" "$crate/.cargo"
cp -r "$here"/src/{model,delegation,resolver} "$crate/src/"
cp -r "$here"/tests/{scenarios.rs,sim.rs,sim,model_check.rs,model_check} "$crate/tests/"
cp -r "$here/fixtures/scenario" "$crate/fixtures/"
cp "$here"/{clippy,rustfmt}.toml "$crate/"
cp "$here/.cargo/config.toml" "$crate/.cargo/"
cp "$here/Cargo.lock" "$crate/"
{
    printf '%s\n' '//! The pure part of covirt.' '#[cfg(test)]' 'extern crate self as covirt;' \
        'pub mod model;' 'pub mod delegation;' 'pub mod resolver;'
    for test in scenarios sim model_check; do
        printf '%s\n' '#[cfg(test)]' "#[path = \"../tests/$test.rs\"]" "mod $test;"
    done
} >"$crate/src/lib.rs"

# Its dependencies are ours, those that it names, in our versions.
python3 - "$here/Cargo.toml" "$crate" <<'PYTHON'
import json, pathlib, re, sys, tomllib

ours = tomllib.load(open(sys.argv[1], "rb"))
crate = pathlib.Path(sys.argv[2])
text = "\n".join(path.read_text() for path in [*crate.glob("src/**/*.rs"), *crate.glob("tests/**/*.rs")])


def named(section):
    for name, wanted in ours[section].items():
        if re.search(rf"\b{name.replace('-', '_')}::", text):
            fields = wanted if isinstance(wanted, dict) else {"version": wanted}
            inline = ", ".join(f"{key} = {json.dumps(value)}" for key, value in fields.items())
            yield f"{name} = {{ {inline} }}"


lines = ["[package]", 'name = "covirt"', 'version = "0.0.0"', f'edition = "{ours["package"]["edition"]}"']
lines += ["publish = false", "autotests = false"]
lines += ["", "[dependencies]", *named("dependencies"), "", "[dev-dependencies]", *named("dev-dependencies")]
# It is built once and run a thousand times.
lines += ["", "[profile.dev]", "debug = false", "opt-level = 1", ""]
(crate / "Cargo.toml").write_text("\n".join(lines))
PYTHON

judged=(--file 'src/resolver/**' --exclude 'src/resolver/tests/**')
left_out='pairs_while|whatever_clashes_never_overlaps|^sim::|^model_check::'
export CARGO_TARGET_DIR=$work/target
cd "$crate"
cargo mutants "${judged[@]}" --list --json >"$work/mutants.json"
python3 "$here/tools/mutants.py" "$work" "$work/weave/debug/weave" --skip "$left_out" "$@"
# What is left takes a build each; a part of the others is no reason to wait for it.
[[ $# -eq 0 ]] || exit 0
exec cargo mutants "${judged[@]}" --iterate --jobs 1 --timeout 600 --output "$work" -- --lib -- \
    --skip pairs_while --skip whatever_clashes_never_overlaps --skip sim:: --skip model_check::
