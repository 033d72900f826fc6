#!/usr/bin/env bash
# Mutation testing of the resolver: change it in one place at a time, and see whether a test notices.
#
#   tools/mutants.sh [cargo-mutants' own arguments]      e.g. --shard 0/8, --file src/resolver/turn.rs, --list
#
# The pure modules and their tests are made a crate of their own, which compiles in seconds where the whole takes a
# minute: model, delegation and resolver with the tests beside them, and the scenarios. The crate, what is built of it and
# the result (mutants.out) are in $COVIRT_MUTANTS, by default in the cache. The tests of all pairs, which take longer than
# all others together, are left out: what survives is tried against them and the simulation by hand.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=${COVIRT_MUTANTS:-$HOME/.cache/covirt/mutants}
crate=$work/crate

command -v cargo-mutants >/dev/null || cargo install --locked cargo-mutants

rm -rf "$crate"
mkdir -p "$crate/src" "$crate/tests" "$crate/fixtures" "$crate/.cargo"
cp -r "$here"/src/{model,delegation,resolver} "$crate/src/"
cp "$here"/tests/scenarios.rs "$crate/tests/"
cp -r "$here/fixtures/scenario" "$crate/fixtures/"
cp "$here"/{clippy,rustfmt}.toml "$crate/"
cp "$here/.cargo/config.toml" "$crate/.cargo/"
cp "$here/Cargo.lock" "$crate/"
printf '%s\n' '//! The pure part of covirt.' '#[cfg(test)]' 'extern crate self as covirt;' \
    'pub mod model;' 'pub mod delegation;' 'pub mod resolver;' >"$crate/src/lib.rs"

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


lines = ["[package]", 'name = "covirt"', 'version = "0.0.0"', f'edition = "{ours["package"]["edition"]}"', "publish = false"]
lines += ["", "[dependencies]", *named("dependencies"), "", "[dev-dependencies]", *named("dev-dependencies")]
# Symbols are of no use here, and linking is most of what a mutant costs.
lines += ["", "[profile.dev]", "debug = false", ""]
(crate / "Cargo.toml").write_text("\n".join(lines))
PYTHON

cd "$crate"
exec cargo mutants --test-tool nextest --file 'src/resolver/**' --exclude 'src/resolver/tests/**' --jobs "${COVIRT_MUTANTS_JOBS:-2}" --timeout 240 \
    --output "$work" "$@" -- -E 'not test(pairs_while) and not test(whatever_clashes_never_overlaps)'
