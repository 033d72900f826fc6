#!/usr/bin/env python3
"""Check the tracked files themselves: links between documents, the changelog's form, left-over notes, stray paths."""

import os
import re
import subprocess
import sys

wrong = 0


def report(path, line, text):
    global wrong
    wrong += 1
    print(f"tree: {path}:{line}: {text}", file=sys.stderr)


def tracked():
    listing = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True,
                             stdout=subprocess.PIPE).stdout
    return [name for name in listing.decode().split("\0") if name and os.path.isfile(name)]


def text_of(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except UnicodeDecodeError:
        return None


def anchors(text):
    """The anchors of a Markdown file's headings, as code hosts make them."""
    found = set()
    for heading in re.findall(r"^#+ +(.*?) *#* *$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        name, number = plain, 0
        while name in found:
            number += 1
            name = f"{plain}-{number}"
        found.add(name)
    return found


def without_code(text):
    """The same lines, with fenced blocks and inline code blanked."""
    lines, fenced = [], False
    for line in text.split("\n"):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
            lines.append("")
        else:
            lines.append("" if fenced else re.sub(r"`[^`]*`", "", line))
    return lines


def check_links(path, text):
    for number, line in enumerate(without_code(text), 1):
        for target in re.findall(r"\]\(\s*<?([^)\s>]+)", line) + re.findall(r"^\[[^\]]+\]:\s+(\S+)", line):
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            file, _, anchor = target.partition("#")
            place = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
            if place.startswith("..") or os.path.isabs(place):
                report(path, number, f"link out of the repository: {target}")
            elif not os.path.exists(place):
                report(path, number, f"link to nothing: {target}")
            elif anchor and place.endswith(".md") and anchor not in anchors(text_of(place) or ""):
                report(path, number, f"link to no heading: {target}")


def check_changelog(path, text):
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    lines = text.split("\n")
    if lines[0] != "# Changelog":
        report(path, 1, "the first line is not '# Changelog'")
    releases = [line for line in lines if line.startswith("## ")]
    if not releases or releases[0] != "## [Unreleased]":
        report(path, 1, "the first section is not '## [Unreleased]'")
    for number, line in enumerate(lines, 1):
        if line.startswith("## ") and not re.fullmatch(
                r"## \[(Unreleased|\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d)\]?", line):
            report(path, number, f"no release heading: {line}")
        if line.startswith("### ") and line[4:] not in kinds:
            report(path, number, f"no kind of change: {line}")


# Spelled in two halves, so that this file does not find itself.
NOTES = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
PATHS = re.compile(r"(?<![\w.$}@/-])/(ro" r"ot|wo" r"rk|ho" r"me/[a-z]+)(/|\b)")


def main():
    files = tracked()
    for path in files:
        text = text_of(path)
        if text is None or path == "Cargo.lock" or path.startswith("fixtures/domain/"):
            continue
        for number, line in enumerate(text.split("\n"), 1):
            if NOTES.search(line):
                report(path, number, "an unfinished note")
            if PATHS.search(line):
                report(path, number, "a path of somebody's machine")
        if path.endswith(".md"):
            check_links(path, text)
    if "CHANGELOG.md" in files:
        check_changelog("CHANGELOG.md", text_of("CHANGELOG.md"))
    else:
        print("tree: changelog: skipped: there is none yet")
    sys.exit(1 if wrong else 0)


main()
