//! The demonstration on libvirt's built-in test driver, as `make demo` runs it.

use std::process::{Command, Output};

use serde_json::Value;

fn demo(words: &[&str]) -> Output {
    let covirtd = std::path::Path::new(env!("CARGO_BIN_EXE_covirtd"));
    let covirt = std::path::Path::new(env!("CARGO_BIN_EXE_covirt"));
    assert_eq!(covirt.parent(), covirtd.parent(), "the demonstration looks for covirtd beside covirt");
    Command::new(covirt).arg("demo").args(words).env_remove("COLUMNS").output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The answer to the step whose command begins so.
fn answer<'a>(steps: &'a [Value], words: &[&str]) -> &'a Value {
    let begins = |step: &&Value| {
        let command: Vec<&str> = step["command"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        command.starts_with(words)
    };
    &steps.iter().find(begins).unwrap_or_else(|| panic!("no step {words:?}"))["answer"]
}

fn column<'a>(rows: &'a [Value], event: &str, column: &str) -> Vec<&'a str> {
    rows.iter().filter(|row| row["event"] == event).filter_map(|row| row[column].as_str()).collect()
}

#[test]
fn two_providers_conflict_are_asked_and_are_executed_one_after_the_other() {
    let printed = text(&demo(&["-o", "json"]));
    let steps: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();

    let rows = answer(&steps, &["timeline"]).as_array().unwrap();
    assert_eq!(column(rows, "settled", "rule"), ["callback"]);
    assert_eq!(column(rows, "answered", "who").len(), 2, "both are asked");
    assert_eq!(column(rows, "started", "what"), ["snapshot.create demo-1", "power.reboot"]);
    assert_eq!(column(rows, "ended", "what"), ["snapshot.create demo-1", "power.reboot"]);
    let at = |event: &str| column(rows, event, "at");
    assert!(at("ended")[0] <= at("started")[1], "one after the other: {rows:#?}");
    assert_eq!(column(rows, "admitted", "issued_at").len(), 2);

    let story = answer(&steps, &["explain"]);
    assert_eq!(story["command"]["action"], "power.reboot");
    assert_eq!(story["command"]["state"], "done");
    assert_eq!(story["conflicts"][0]["verdict"]["rule"], "callback");

    let asks = |words: &[&str]| {
        let messages = answer(&steps, words).as_array().unwrap();
        messages.iter().filter(|message| message["type"] == "ask").count()
    };
    assert_eq!(asks(&["provider", "session", "--answer", "theirs-first"]), 1);
    assert_eq!(asks(&["provider", "session", "--answer", "mine-first"]), 1);
    assert_eq!(answer(&steps, &["audit", "verify"])["verdict"], "intact");
    assert_eq!(answer(&steps, &["artifacts", "render"])["manifest"]["format"], "nocloud");
    assert_eq!(answer(&steps, &["vm", "release"])["released"], true);
}

#[test]
fn its_output_for_people_fits_a_page() {
    let printed = text(&demo(&[]));
    for line in printed.lines().filter(|line| !line.starts_with('$')) {
        assert!(line.chars().count() <= 120, "{line}");
    }
    for heading in ["WHEN ", "What happened", "Network", "MAC "] {
        assert!(printed.lines().any(|line| line.starts_with(heading)), "{heading}:\n{printed}");
    }
}

#[test]
fn a_vm_that_is_not_there_fails_it_by_name() {
    let output = demo(&["--vm", "no-such-vm"]);
    assert_eq!(output.status.code(), Some(9), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no-such-vm"), "{said}");
}
