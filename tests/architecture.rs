//! The shape of `src/`: who may import whom, what the pure core may not name, how long a file may be.
//!
//! Works on the text: comments, strings and `#[cfg(test)]` modules are taken out, then every path is looked at, be it in
//! a `use` or in the middle of an expression. The samples at the end show that each rule can fail.

use std::fs;
use std::path::{Path, PathBuf};

/// Top-level modules in the order of the flow: each may import itself and those before it.
const ORDER: &[&str] = &[
    "model",
    "discovery",
    "artifacts",
    "delegation",
    "sovereignty",
    "resolver",
    "journal",
    "hypervisor",
    "lanes",
    "doors",
    "agent",
    "cli",
];

/// The command line speaks the API as any client does; it has no way around it.
const CLI_MAY_IMPORT: &[&str] =
    &["model", "discovery", "artifacts", "delegation", "sovereignty", "resolver", "doors", "cli"];

/// Of the agent it knows what needs none that runs: the configuration's files, and the words that covirtd takes.
const CLI_MAY_NAME: &[&str] = &["crate::agent::config", "crate::agent::arguments"];

/// No I/O, no clock, no randomness, no unordered maps: the same inputs give the same outputs.
const PURE: &[&str] = &["model", "discovery", "artifacts", "delegation", "sovereignty", "resolver"];

/// What a pure module may not name: a path that starts with one of these …
const IMPURE_START: &[&str] = &[
    "axum",
    "clap",
    "futures_util",
    "hyper",
    "hyper_util",
    "nix",
    "rand",
    "rusqlite",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "tokio_tungstenite",
    "tracing",
    "virt",
];

/// … or has one of these anywhere in it.
const IMPURE_ANYWHERE: &[&str] = &[
    "HashMap",
    "HashSet",
    "Instant::now",
    "RandomState",
    "SystemTime::now",
    "Timestamp::now",
    "Uuid::new_v4",
    "Uuid::now_v7",
    "Zoned::now",
    "hash_map",
    "hash_set",
];

const IMPURE_MACROS: &[&str] = &["dbg", "eprint", "eprintln", "print", "println", "thread_local"];

/// Denied at the head of each pure module: a panic there is a fault of the whole agent.
const PURE_DENIES: &[&str] =
    &["clippy::unwrap_used", "clippy::expect_used", "clippy::indexing_slicing", "clippy::wildcard_enum_match_arm"];

/// Modules whose heads do not yet deny these. Shrinks to nothing.
const PURE_DENIES_PENDING: &[&str] = &[];

const LONGEST_FILE: usize = 500;

/// One source file: its path in `src/`, and its text.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.to_owned() }
    }

    /// The module path: `resolver/lane.rs` is `["resolver", "lane"]`, `lib.rs` and what is in `bin/` is empty.
    fn module(&self) -> Vec<String> {
        let mut parts: Vec<String> = self
            .path
            .with_extension("")
            .components()
            .map(|component| component.as_os_str().to_string_lossy().into_owned())
            .collect();
        if parts.last().is_some_and(|last| last == "mod" || last == "lib") {
            parts.pop();
        }
        if parts.first().is_some_and(|first| first == "bin") {
            parts.clear();
        }
        parts
    }

    fn is_test(&self) -> bool {
        self.module().iter().any(|part| part == "tests")
    }
}

/// The text with comments, string and character literals blanked.
fn without_comments_and_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    let ends_word = |code: &str| code.chars().last().is_some_and(|c| c.is_alphanumeric() || c == '_');
    while at < chars.len() {
        let rest = &chars[at..];
        if rest.starts_with(&['/', '/']) {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if rest.starts_with(&['/', '*']) {
            let mut depth = 0;
            while at < chars.len() {
                if chars[at..].starts_with(&['/', '*']) {
                    depth += 1;
                    at += 2;
                } else if chars[at..].starts_with(&['*', '/']) {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        break;
                    }
                } else {
                    at += 1;
                }
            }
        } else if rest[0] == 'r' && !ends_word(&code) && raw_string_hashes(&rest[1..]).is_some() {
            let hashes = raw_string_hashes(&rest[1..]).unwrap_or(0);
            let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            at += hashes + 2;
            while at < chars.len() && !chars[at..].starts_with(&end) {
                at += 1;
            }
            at += end.len();
        } else if rest[0] == '"' {
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if rest[0] == '\'' && (rest.get(1) == Some(&'\\') || rest.get(2) == Some(&'\'')) {
            at += 2;
            while at < chars.len() && chars[at] != '\'' {
                at += 1;
            }
            at += 1;
        } else {
            code.push(rest[0]);
            at += 1;
            continue;
        }
        code.push(' ');
    }
    code
}

/// The number of `#` when what follows an `r` opens a raw string.
fn raw_string_hashes(after_r: &[char]) -> Option<usize> {
    let hashes = after_r.iter().take_while(|&&c| c == '#').count();
    (after_r.get(hashes) == Some(&'"')).then_some(hashes)
}

/// The code without its `#[cfg(test)] mod … { … }`.
fn without_test_modules(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        let (before, marked) = rest.split_at(start);
        kept.push_str(before);
        let open = marked.find('{');
        let semicolon = marked.find(';');
        let end = match (open, semicolon) {
            (Some(open), semicolon) if semicolon.is_none_or(|semicolon| open < semicolon) => {
                open + closing_brace(&marked[open..])
            }
            (_, Some(semicolon)) => semicolon + 1,
            _ => marked.len(),
        };
        rest = &marked[end..];
    }
    kept + rest
}

/// The length of the block that starts with `{`.
fn closing_brace(block: &str) -> usize {
    let mut depth = 0;
    for (at, c) in block.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    block.len()
}

/// Every path in the code, `use` groups spelled out: `use a::{b, c::d}` gives `a::b` and `a::c::d`.
fn paths(code: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    for c in code.chars().chain(std::iter::once(' ')) {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            tokens.push(std::mem::take(&mut word));
        }
        if !c.is_whitespace() {
            tokens.push(c.to_string());
        }
    }
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_word(&tokens[at]) {
            at = path(&tokens, at, "", &mut found);
        } else {
            at += 1;
        }
    }
    found
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Read the path that starts at a word, below `prefix`; return where reading goes on.
fn path(tokens: &[String], mut at: usize, prefix: &str, found: &mut Vec<String>) -> usize {
    let mut path = prefix.to_owned();
    loop {
        if !path.is_empty() {
            path.push_str("::");
        }
        path.push_str(&tokens[at]);
        at += 1;
        let colons = tokens.get(at).is_some_and(|t| t == ":") && tokens.get(at + 1).is_some_and(|t| t == ":");
        match tokens.get(at + 2) {
            Some(next) if colons && is_word(next) => at += 2,
            Some(next) if colons && next == "{" => {
                at += 3;
                while at < tokens.len() && tokens[at] != "}" {
                    if is_word(&tokens[at]) {
                        at = self::path(tokens, at, &path, found);
                        // `as` gives a name, which is no path.
                        if tokens.get(at).is_some_and(|t| t == "as") {
                            at += 2;
                        }
                    } else {
                        at += 1;
                    }
                }
                return at + 1;
            }
            _ => {
                found.push(path);
                return at;
            }
        }
    }
}

/// The top-level module that a path leads to, when it is one of this crate's.
fn imported(path: &str, module: &[String]) -> Option<String> {
    let mut parts = path.split("::").peekable();
    match *parts.peek()? {
        "crate" | "covirt" => {
            parts.next();
            parts.next().map(str::to_owned)
        }
        "super" => {
            let mut place = module.to_vec();
            while parts.peek() == Some(&"super") {
                parts.next();
                place.pop();
            }
            // Inside an inline module `super` leads less far than assumed here, so only known names count.
            let first = place.into_iter().next().or_else(|| parts.next().map(str::to_owned))?;
            ORDER.contains(&first.as_str()).then_some(first)
        }
        _ => None,
    }
}

fn import_violations(source: &Source) -> Vec<String> {
    let module = source.module();
    let Some(own) = module.first() else { return Vec::new() };
    let Some(rank) = ORDER.iter().position(|name| name == own) else {
        return vec![format!("{}: module '{own}' has no place in the order", source.path.display())];
    };
    let allowed = if own == "cli" { CLI_MAY_IMPORT } else { &ORDER[..=rank] };
    let mut code = without_comments_and_literals(&source.text);
    if own != "cli" {
        // Tests, too, stay in their layer; the command line's may start an agent to talk to.
        code = code.replace("#[cfg(test)]", "");
    }
    let mut violations = Vec::new();
    for path in paths(&without_test_modules(&code)) {
        if let Some(target) = imported(&path, &module)
            && !allowed.contains(&target.as_str())
            && !(own == "cli" && CLI_MAY_NAME.iter().any(|name| path.starts_with(name)))
        {
            violations.push(format!("{}: {own} may not import {target} ({path})", source.path.display()));
        }
    }
    violations
}

fn purity_violations(source: &Source) -> Vec<String> {
    if source.is_test() || !source.module().first().is_some_and(|own| PURE.contains(&own.as_str())) {
        return Vec::new();
    }
    let code = without_test_modules(&without_comments_and_literals(&source.text));
    let mut violations = Vec::new();
    for path in paths(&code) {
        let whole = format!("::{path}::");
        let starts = |banned: &&&str| whole.starts_with(&format!("::{banned}::")) && path.contains("::");
        let has = |banned: &&&str| whole.contains(&format!("::{banned}::"));
        if let Some(banned) = IMPURE_START.iter().find(starts).or_else(|| IMPURE_ANYWHERE.iter().find(has)) {
            violations.push(format!("{}: a pure module names {banned} ({path})", source.path.display()));
        }
    }
    for name in IMPURE_MACROS {
        let called = code
            .match_indices(&format!("{name}!"))
            .any(|(at, _)| !code[..at].chars().last().is_some_and(|c| c.is_alphanumeric() || c == '_'));
        if called {
            violations.push(format!("{}: a pure module calls {name}!", source.path.display()));
        }
    }
    violations
}

fn deny_violations(source: &Source) -> Vec<String> {
    let module = source.module();
    let [own] = module.as_slice() else { return Vec::new() };
    if !PURE.contains(&own.as_str()) || PURE_DENIES_PENDING.contains(&own.as_str()) {
        return Vec::new();
    }
    let code = without_comments_and_literals(&source.text);
    let head: String = code.split("#![").skip(1).filter_map(|rest| rest.split(']').next()).collect();
    let named = paths(&head);
    PURE_DENIES
        .iter()
        .filter(|lint| !head.contains("deny") && !head.contains("forbid") || !named.iter().any(|name| name == *lint))
        .map(|lint| format!("{}: a pure module's head must deny {lint}", source.path.display()))
        .collect()
}

fn length_violations(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines <= LONGEST_FILE {
        return Vec::new();
    }
    vec![format!("{}: {lines} lines; {LONGEST_FILE} at most", source.path.display())]
}

/// `lib.rs` lists the modules in the order in which a reader meets them.
fn listing_violations(lib: &Source) -> Vec<String> {
    let code = without_comments_and_literals(&lib.text);
    let words: Vec<&str> = code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
    let listed: Vec<&str> = words.windows(2).filter(|pair| pair[0] == "mod").map(|pair| pair[1]).collect();
    let mut sorted = listed.clone();
    sorted.sort_by_key(|name| ORDER.iter().position(|known| known == name));
    if listed == sorted { Vec::new() } else { vec![format!("lib.rs lists {listed:?}, the flow is {sorted:?}")] }
}

fn sources(folder: &Path) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("src is readable") {
        let path = entry.expect("src is readable").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            found.push(Source { path: path.strip_prefix(&root).expect("it is below").to_owned(), text });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

#[track_caller]
fn hold(rule: impl Fn(&Source) -> Vec<String>) {
    let all = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(!all.is_empty(), "src has sources");
    let violations: Vec<String> = all.iter().flat_map(rule).collect();
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn modules_import_only_what_comes_before_them() {
    hold(import_violations);
}

#[test]
fn pure_modules_name_no_clock_chance_or_io() {
    hold(purity_violations);
}

#[test]
fn pure_modules_deny_panics() {
    hold(deny_violations);
}

#[test]
fn files_are_short() {
    hold(length_violations);
}

#[test]
fn lib_lists_the_modules_in_the_order_of_the_flow() {
    hold(|source| if source.path == Path::new("lib.rs") { listing_violations(source) } else { Vec::new() });
}

mod samples {
    use super::*;

    #[track_caller]
    fn refused(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) {
        assert_ne!(rule(&Source::new(path, text)), Vec::<String>::new(), "{path}: {text}");
    }

    #[track_caller]
    fn accepted(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) {
        assert_eq!(rule(&Source::new(path, text)), Vec::<String>::new(), "{path}: {text}");
    }

    #[test]
    fn imports() {
        accepted(import_violations, "resolver/lane.rs", "use crate::model::Vm; use super::facts::Fact; use std::fmt;");
        refused(import_violations, "model/mod.rs", "use crate::resolver::Lane;");
        refused(import_violations, "model/mod.rs", "fn f() -> crate::lanes::Registry { todo() }");
        refused(import_violations, "journal/mod.rs", "use crate::{model::Vm, doors::{api, rpc}};");
        refused(import_violations, "resolver/lane.rs", "use super::super::journal::Store;");
        refused(import_violations, "cli/run.rs", "use crate::hypervisor::Adapter;");
        accepted(import_violations, "cli/run.rs", "use crate::doors::api;");
        accepted(import_violations, "cli/config.rs", "use crate::agent::config::Config;");
        refused(import_violations, "cli/config.rs", "use crate::agent::run;");
        refused(import_violations, "extra/mod.rs", "");
        accepted(import_violations, "bin/covirtd.rs", "use covirt::agent; use covirt::cli;");
        accepted(import_violations, "model/mod.rs", "// use crate::cli;\nconst S: &str = r#\"crate::cli::X\"#;");
        accepted(
            import_violations,
            "model/id.rs",
            "fn f<'a>(c: &'a char) -> bool { *c == '\"' && g(\"crate::cli::X\") }",
        );
    }

    #[test]
    fn purity() {
        accepted(
            purity_violations,
            "model/mod.rs",
            "use std::collections::{BTreeMap, BTreeSet}; use std::time::Duration;",
        );
        refused(purity_violations, "model/mod.rs", "use std::collections::{BTreeMap, HashMap as Map};");
        refused(purity_violations, "model/mod.rs", "fn f() { std::fs::read(p); }");
        refused(purity_violations, "model/mod.rs", "use std::{fmt, time::{Duration, Instant}};");
        refused(purity_violations, "artifacts/mod.rs", "fn f() { Timestamp::now(); }");
        refused(purity_violations, "artifacts/mod.rs", "fn f() { jiff::Timestamp::now(); }");
        refused(purity_violations, "delegation/mod.rs", "use uuid::Uuid; fn f() { Uuid::now_v7(); }");
        refused(purity_violations, "delegation/mod.rs", "use virt::domain::Domain;");
        refused(purity_violations, "discovery/mod.rs", "fn f() { println!(); }");
        accepted(
            purity_violations,
            "discovery/mod.rs",
            "fn f() { let virt = 1; g(virt, nix); let hash_map_like = 2; }",
        );
        accepted(purity_violations, "discovery/tests.rs", "use std::fs;");
        accepted(purity_violations, "discovery/mod.rs", "#[cfg(test)] mod tests { use std::fs; } use std::fmt;");
        refused(purity_violations, "discovery/mod.rs", "#[cfg(test)] mod tests; use std::fs; fn f() {}");
        accepted(purity_violations, "lanes/mod.rs", "use std::collections::HashMap;");
    }

    #[test]
    fn denies() {
        let head = "#![deny(clippy::unwrap_used, clippy::expect_used)]\n\
                    #![deny(clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]";
        accepted(deny_violations, "resolver/mod.rs", head);
        refused(deny_violations, "resolver/mod.rs", &head.replace("clippy::expect_used", "clippy::panic"));
        refused(deny_violations, "resolver/mod.rs", &head.replace("#!", "// #!"));
        refused(deny_violations, "resolver/mod.rs", &head.replace("deny", "warn"));
        accepted(deny_violations, "resolver/lane.rs", "");
    }

    #[test]
    fn lengths_and_listing() {
        accepted(length_violations, "model/mod.rs", &"\n".repeat(LONGEST_FILE));
        refused(length_violations, "model/mod.rs", &"\n".repeat(LONGEST_FILE + 1));
        accepted(listing_violations, "lib.rs", "pub mod model; pub mod doors;");
        refused(listing_violations, "lib.rs", "pub mod doors; pub mod model;");
    }
}
