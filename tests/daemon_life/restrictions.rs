//! covirtd within the walls of its unit, as far as they can be shown without systemd: the kernel's calls that it makes are
//! looked at one by one, and held against the unit's own filter, which systemd's tool spells out. That it runs as a user
//! of its own without capabilities is shown by `tools/test-deb.sh`.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::json;

use crate::service::Service;
use crate::support::skip;

/// Refused by the unit, and meant to be: what covirtd does without them.
const DONE_WITHOUT: [&str; 3] = [
    // Raising the limit of open files; the unit sets it (LimitNOFILE=).
    "prlimit64",
    // A library of libvirt's looks whether the kernel has it.
    "set_mempolicy",
    // SQLite gives its files the owner of the database, if it is root.
    "fchown",
];

/// The calls of a set, as systemd knows it.
fn calls_of(set: &str) -> Option<BTreeSet<String>> {
    let output = Command::new("systemd-analyze").args(["--no-pager", "syscall-filter", set]).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut calls = BTreeSet::new();
    for word in text.lines().filter(|line| line.starts_with("    ")).map(str::trim) {
        match word.strip_prefix('@') {
            Some(_) => calls.extend(calls_of(word)?),
            None if word.starts_with('#') => {}
            None => _ = calls.insert(word.to_owned()),
        }
    }
    Some(calls)
}

#[test]
fn covirtd_makes_no_call_that_its_unit_forbids() {
    let name = "covirtd_makes_no_call_that_its_unit_forbids";
    let unit = include_str!("../../systemd/covirtd.service");
    let filters = unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter="));
    let (mut allowed, mut forbidden) = (BTreeSet::new(), BTreeSet::new());
    for filter in filters {
        let (sets, into) = match filter.strip_prefix('~') {
            Some(sets) => (sets, &mut forbidden),
            None => (filter, &mut allowed),
        };
        for set in sets.split(' ') {
            let Some(calls) = calls_of(set) else {
                return skip(name, "systemd-analyze does not tell what its sets of calls are");
            };
            into.extend(calls);
        }
    }
    assert!(allowed.len() > 200 && forbidden.len() > 20, "{} {}", allowed.len(), forbidden.len());
    if Command::new("strace").arg("-V").output().is_err() {
        return skip(name, "strace is not installed (tools/install-deps.sh check)");
    }
    let mut service = Service::new("[metrics]\nlisten = '127.0.0.1:0'\n[hook]\ncommand = ['/bin/true']\n");
    let trace = service.folder().join("trace");
    // Those are refused here, too, as the unit's filter refuses them.
    let refused = format!("inject={}:error=EPERM", DONE_WITHOUT.join(","));
    let quiet = ["-D", "-f", "-qq", "-e", "signal=none", "-e", "trace=all", "-e", &refused, "-o"];
    let trace_path = trace.to_string_lossy().into_owned();
    service.wrap(&[&["strace"][..], &quiet, &[&trace_path]].concat());
    service.start();
    service.enroll();
    service.submit("power.suspend", &json!({}));
    service.submit("snapshot.create", &json!({}));
    service.text("/metrics", "operator");
    service.get("/v1/inventory", "operator");
    service.reload();
    service.signal("TERM");
    assert!(service.ended().success(), "{}", service.log());
    let trace = std::fs::read_to_string(trace).expect("the trace");
    let made =
        trace.lines().filter_map(|line| line.trim_start_matches(|c: char| c.is_ascii_digit()).trim().split_once('('));
    let made: BTreeSet<&str> = made.map(|(call, _)| call).filter(|call| !call.contains(' ')).collect();
    assert!(made.contains("accept4") && made.contains("fdatasync") || made.len() > 30, "{made:?}");
    let beyond: Vec<&&str> = made
        .iter()
        .filter(|call| !allowed.contains(**call) || forbidden.contains(**call))
        .filter(|call| !DONE_WITHOUT.contains(call))
        .collect();
    assert!(beyond.is_empty(), "{beyond:?} of {made:?}");
}
