#!/usr/bin/env python3
"""Hold every dependency to deny.toml: an allowed licence, and no source but crates.io.

cargo-deny checks the same and more; this needs only cargo itself, so that the rule holds on every machine.
"""

import json
import re
import subprocess
import sys
import tomllib

CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


def allowed_by(expression, allowed):
    """Evaluate an SPDX expression: AND binds tighter than OR, `A WITH B` is one term, a slash is an old OR."""
    tokens = re.findall(r"[()]|[^\s()/]+|/", expression)
    position = 0

    def term():
        nonlocal position
        token = tokens[position]
        position += 1
        if token == "(":
            value = either()
            position += 1  # the closing parenthesis
            return value
        if position < len(tokens) and tokens[position] == "WITH":
            token = f"{token} WITH {tokens[position + 1]}"
            position += 2
        return token in allowed

    def both():
        nonlocal position
        value = term()
        while position < len(tokens) and tokens[position] == "AND":
            position += 1
            value = term() and value
        return value

    def either():
        nonlocal position
        value = both()
        while position < len(tokens) and tokens[position] in ("OR", "/"):
            position += 1
            value = both() or value
        return value

    return either()


def self_test():
    allowed = {"MIT", "Apache-2.0 WITH LLVM-exception"}
    for expression, expected in [("MIT", True), ("GPL-3.0", False), ("GPL-3.0 OR MIT", True), ("GPL-3.0 AND MIT", False),
                                 ("MIT/GPL-3.0", True), ("(GPL-3.0 OR MIT) AND MIT", True), ("Apache-2.0", False),
                                 ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", True)]:
        assert allowed_by(expression, allowed) == expected, expression


def packages(manifest):
    command = ["cargo", "metadata", "--locked", "--format-version=1", "--manifest-path", manifest]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["packages"]


def main():
    self_test()
    with open("deny.toml", "rb") as file:
        rules = tomllib.load(file)["licenses"]
    allowed = set(rules["allow"])
    exceptions = {entry["crate"]: set(entry["allow"]) for entry in rules.get("exceptions", [])}
    wrong = 0
    for package in [*packages("Cargo.toml"), *packages("fuzz/Cargo.toml")]:
        name = f"{package['name']} {package['version']}"
        licence = package["license"]
        if licence is None or not allowed_by(licence, allowed | exceptions.get(package["name"], set())):
            print(f"licences: {name}: {licence or 'says none'}: not allowed by deny.toml", file=sys.stderr)
            wrong += 1
        if package["source"] not in (None, CRATES_IO):
            print(f"licences: {name}: comes from {package['source']}", file=sys.stderr)
            wrong += 1
        if package["source"] is None and package["name"] not in ("covirt", "covirt-fuzz"):
            print(f"licences: {name}: a path dependency from outside", file=sys.stderr)
            wrong += 1
    sys.exit(1 if wrong else 0)


main()
