#!/usr/bin/env python3
"""Tries many mutants in one build: all are woven into the crate behind switches, and each costs a run of the tests.

    mutants.py WORK WEAVE [--only REGEX] [--again] [--behind] [--skip REGEX]
    mutants.py WORK WEAVE --alone REGEX [--every N]

WORK/crate is the crate, WORK/mutants.json its mutants, WEAVE the program of tools/weave. What cannot be woven or does not compile
so is left to cargo-mutants, but for what is of no type. Who notices is asked quickest first, and only the tests that reach the mutated
place; a run has a bound of time on the processor, not by the clock, so that a busy machine makes no mutant look noticed.
WORK/tried.jsonl says what became of each (it is appended to; what is in it is not tried again), WORK/mutants.out/{caught,unviable}.txt
tell `cargo mutants --iterate` what is left to it.

--alone says how many would be noticed if there were no tests but those that match, of every N-th mutant that tests notice; it
changes none of these files.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import threading

SWITCH = '''//! Which mutant is on: `COVIRT_MUTANT`, by its number. Whose switch was asked is written to `COVIRT_REACHED`.

use std::io::Write;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

static ON: LazyLock<Option<usize>> = LazyLock::new(|| std::env::var("COVIRT_MUTANT").ok()?.parse().ok());
static REACHED: LazyLock<Option<std::fs::File>> =
    LazyLock::new(|| Some(std::fs::File::create(std::env::var_os("COVIRT_REACHED")?).unwrap()));
static ASKED: [AtomicBool; 8192] = [const { AtomicBool::new(false) }; 8192];

pub fn on(number: usize) -> bool {
    if let Some(mut reached) = REACHED.as_ref() {
        if !ASKED[number].swap(true, Ordering::Relaxed) {
            writeln!(reached, "{number}").unwrap();
        }
    }
    *ON == Some(number)
}

/// One of two iterators.
pub enum Either<A, B> {
    One(A),
    Other(B),
}

impl<A: Iterator, B: Iterator<Item = A::Item>> Iterator for Either<A, B> {
    type Item = A::Item;

    fn next(&mut self) -> Option<A::Item> {
        match self {
            Self::One(one) => one.next(),
            Self::Other(other) => other.next(),
        }
    }
}
'''


class Build:
    """The crate with its mutants woven in, without those that do not compile."""

    def __init__(self, work, weave):
        self.work, self.weave = work, weave
        self.crate, self.woven = work / "crate", work / "woven"
        self.list = work / "mutants.json"
        self.mutants = json.loads(self.list.read_text())
        self.left_out, self.ill_typed = set(), set()

    def make(self):
        """Builds the test program."""
        while True:
            self.lay_out()
            errors = self.cargo("check", "--lib", "--profile", "test")
            if not errors:
                break
            guilty = self.guilty(errors)
            if not guilty:
                sys.exit("\n".join(error["rendered"][:400] for error in errors[:9]))
            self.left_out |= guilty
            print(f"{len(guilty)} mutants do not compile woven", flush=True)
        if errors := self.cargo("test", "--no-run", "--lib"):
            sys.exit("\n".join(error["rendered"][:400] for error in errors[:9]))

    def lay_out(self):
        fresh = self.work / "fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(self.crate, fresh, ignore=shutil.ignore_patterns("target"))
        rest = [None if number in self.left_out else mutant for number, mutant in enumerate(self.mutants)]
        (self.work / "woven.json").write_text(json.dumps(rest))
        subprocess.run([self.weave, self.work / "woven.json", fresh], check=True)
        (fresh / "src/woven.rs").write_text(SWITCH)
        library = fresh / "src/lib.rs"
        library.write_text(library.read_text().replace("pub mod model;", "pub mod woven;\npub mod model;"))
        # What stayed the same keeps its time, so that cargo builds nothing in vain.
        for path in [path for path in fresh.rglob("*") if path.is_file()]:
            old = self.woven / path.relative_to(fresh)
            if not old.exists() or old.read_bytes() != path.read_bytes():
                old.parent.mkdir(parents=True, exist_ok=True)
                path.replace(old)
        self.texts = {path: path.read_bytes() for path in self.woven.glob("src/**/*.rs")}
        self.switches = {int(n) for text in self.texts.values() for n in re.findall(rb"/\*<(\d+)\*/", text)}

    def cargo(self, *what):
        command = ["cargo", *what, "--message-format=json", "--target-dir", self.work / "target"]
        done = subprocess.run(command, cwd=self.woven, capture_output=True, text=True)
        errors = []
        for line in done.stdout.splitlines():
            told = json.loads(line)
            if told.get("executable") and told["profile"]["test"]:
                self.binary = told["executable"]
            if told["reason"] == "compiler-message" and told["message"]["level"].startswith("error"):
                errors.append(told["message"])
        if done.returncode and not errors:
            sys.exit(done.stderr)
        return [error for error in errors if error["spans"]]

    def guilty(self, errors):
        """Whose text, between its marks, an error is in; or what the error is about, if it is told of a place outside: what a mutant
        moved is missed behind it."""
        found = set()
        for error in errors:
            primary = [span for span in error["spans"] if span["is_primary"]]
            of_error = self.marked(primary) or self.marked(error["spans"])
            found |= of_error
            # What has no such trait has it nowhere else either.
            if (error["code"] or {}).get("code") in ("E0277", "E0369"):
                self.ill_typed |= of_error
        return found

    def marked(self, spans):
        """The mutants between whose marks these are."""
        found = set()
        for span in spans:
            text = self.texts.get(self.woven / span["file_name"], b"")
            for mark in re.finditer(rb"/\*<(\d+)\*/.*?/\*\1>\*/", text, re.DOTALL):
                if mark.start() <= span["byte_start"] and span["byte_end"] <= mark.end():
                    found.add(int(mark[1]))
        return found


class Judges:
    """The tests, how long each takes, and which mutants it reaches."""

    def __init__(self, build, asked):
        self.binary, self.cwd, self.work = build.binary, build.woven, build.work
        told = subprocess.run([self.binary, "--list"], capture_output=True, text=True, check=True, cwd=self.cwd).stdout
        tests = [test for test in re.findall(r"^(.*): test$", told, re.MULTILINE) if asked(test)]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            self.tests = dict(zip(tests, pool.map(self.measure, tests)))

    def measure(self, test):
        """What it costs, in seconds of the processor, and whom it reaches."""
        reached = self.work / f"reached-{threading.get_ident()}"
        reached.unlink(missing_ok=True)
        process = subprocess.Popen([self.binary, "--exact", test], cwd=self.cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env={**os.environ, "COVIRT_REACHED": str(reached)})
        _, status, used = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"{test} fails without any mutant")
        numbers = reached.read_text().split() if reached.exists() else []
        return used.ru_utime + used.ru_stime, {int(number) for number in numbers}

    def who_notices(self, number):
        """The test that notices, or None; what became of the mutant; how many tests reach it."""
        asked = sorted((took, test) for test, (took, reached) in self.tests.items() if number in reached)
        # Quick ones share a process, ten times slower ones another, and so on.
        batches = {}
        for took, test in asked:
            batches.setdefault(len(str(int(took * 100))), []).append((took, test))
        for _, batch in sorted(batches.items()):
            bound = 2 + int(6 * sum(took for took, _ in batch))
            if found := self.run(number, [test for _, test in batch], bound):
                return *found, len(asked)
        return None, "survived", len(asked)

    def run(self, number, tests, bound):
        def limits():
            resource.setrlimit(resource.RLIMIT_CPU, (bound, bound + 5))
            resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        process = subprocess.Popen([self.binary, "--exact", "--test-threads=1", *tests], cwd=self.cwd, text=True, preexec_fn=limits,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "COVIRT_MUTANT": str(number)})
        last = None
        with process:
            for line in process.stdout:
                if told := re.match(r"test (\S+).* \.\.\. ", line):
                    last = told[1]
                    if "FAILED" in line:
                        process.kill()
                        return last, "noticed"
        if process.returncode == 0:
            return None
        # Of time, of memory, of stack: SIGXCPU, SIGABRT.
        return last, "without end" if process.returncode in (-24, -6) else "noticed"


def alone(work, build, given):
    """How many mutants some tests notice by themselves."""
    judges = Judges(build, lambda test: bool(re.search(given.alone, test)))
    told = map(json.loads, (work / "tried.jsonl").read_text().splitlines())
    noticed = {told["name"] for told in told if told["became"] != "survived"}
    some = [number for number in sorted(build.switches) if build.mutants[number]["name"] in noticed][:: given.every]
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("COVIRT_MUTANTS_JOBS", 2))) as pool:
        became = dict(zip(some, pool.map(judges.who_notices, some)))
    for number, (test, _, asked) in became.items():
        print(f"{test or 'nobody'} ({asked} asked): {build.mutants[number]['name']}")
    reached = [test for test, _, asked in became.values() if asked]
    print(f"of {len(some)}: {len(reached)} reached, {sum(test is not None for test in reached)} noticed")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("work", type=pathlib.Path)
    options.add_argument("weave", type=pathlib.Path)
    options.add_argument("--skip", default="^$", help="the tests that are not asked of each mutant")
    options.add_argument("--only", default="", help="the mutants to try, by a pattern of their names")
    options.add_argument("--again", action="store_true", help="try what survived once more, too")
    options.add_argument("--behind", action="store_true", help="ask those who are not asked of each of what survived")
    options.add_argument("--alone", help="ask these tests alone")
    options.add_argument("--every", type=int, default=1, help="with --alone: try every so many of the mutants that are noticed")
    given = options.parse_args()
    work = given.work.resolve()
    build = Build(work, given.weave.resolve())
    build.make()
    if given.alone:
        return alone(work, build, given)
    judges = Judges(build, lambda test: bool(re.search(given.skip, test)) == given.behind)
    slow = sorted(((took, test) for test, (took, _) in judges.tests.items()), reverse=True)[:8]
    print(f"{len(build.switches)} of {len(build.mutants)} woven, {len(judges.tests)} tests; slowest: {slow}", flush=True)

    results = work / "tried.jsonl"
    results.touch()
    known = {told["name"]: told for told in map(json.loads, results.read_text().splitlines())}
    names = {number: build.mutants[number]["name"] for number in sorted(build.switches)}

    def is_wanted(name):
        before = known[name]["became"] if name in known else None
        untried = before is None and not given.behind
        return (untried or (before == "survived" and (given.again or given.behind))) and re.search(given.only, name)

    lock = threading.Lock()

    def attempt(number):
        test, became, asked = judges.who_notices(number)
        told = {"name": names[number], "became": became, "test": test, "asked": asked}
        with lock, results.open("a") as out:
            known[told["name"]] = told
            out.write(json.dumps(told) + "\n")
            if became == "survived":
                print(f"survived ({asked} tests asked): {told['name']}", flush=True)

    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("COVIRT_MUTANTS_JOBS", 2))) as pool:
        list(pool.map(attempt, [number for number, name in names.items() if is_wanted(name)]))

    out = work / "mutants.out"
    out.mkdir(exist_ok=True)
    ill_typed = [build.mutants[number]["name"] for number in sorted(build.ill_typed)]
    (out / "caught.txt").write_text("".join(f"{name}\n" for name in known))
    (out / "unviable.txt").write_text("".join(f"{name}\n" for name in ill_typed))
    count = {kind: sum(told["became"] == kind for told in known.values()) for kind in ("noticed", "without end", "survived")}
    print(f"{count}; of no type: {len(ill_typed)}; left to cargo-mutants: {len(build.mutants) - len(known) - len(ill_typed)}")


main()
