//! A password that is typed, whatever it looks like: it is told nowhere, neither by the command line nor by the agent.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use crate::support::agent::{Agent, Setup};
use crate::support::cli::tree;

/// Runs `covirt` as north.
fn covirt(agent: &Agent, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_covirt"));
    command.env("COVIRT_SOCKET", agent.socket()).env("COVIRT_AS", "north").args(words);
    command.output().expect("run covirt")
}

#[track_caller]
fn is_not_in(bytes: &[u8], secret: &str, place: &Path) {
    assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "it is in {}", place.display());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_told_nowhere_whatever_it_looks_like() {
    let agent = Setup::with_vms(1).start();
    agent.enroll(1).await;
    let vm = agent.vm(1).to_string();
    // What is JSON counts as JSON on the command line; only a text is a password.
    for (typed, secret, is_text) in [
        ("4242424242", "4242424242", false),
        ("-4242424242", "4242424242", false),
        ("4242.424242e7", "4242424242", false),
        ("[4242424242]", "4242424242", false),
        ("{\"4242424242\":4242424242}", "4242424242", false),
        ("\"4242424242\"", "4242424242", true),
        ("correct-horse", "correct-horse", true),
    ] {
        let password = format!("password={typed}");
        for more in [&[][..], &["--output", "json"]] {
            let words = [&["run", &vm, "guest.set-password", "user=root", &password], more].concat();
            let output = covirt(&agent, &words);
            is_not_in(&output.stdout, secret, Path::new("standard output"));
            is_not_in(&output.stderr, secret, Path::new("standard error"));
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(told.contains("a text is expected"), !is_text, "{typed}: {told}");
        }
    }
    let events = agent.get("/v1/events", "north").await.expect(200);
    let commands = agent.get(&format!("/v1/vms/{vm}/commands"), "north").await.expect(200);
    let taken_in = commands.json["commands"].as_array().expect("a list");
    assert_eq!(taken_in.len(), 4, "what is no text was not taken in");
    assert!(taken_in.iter().all(|command| command["args"]["password"] == json!("(hidden)")), "{}", commands.json);
    for secret in ["4242424242", "correct-horse"] {
        is_not_in(&events.body, secret, Path::new("the events"));
        is_not_in(&commands.body, secret, Path::new("the commands"));
        for (path, bytes) in tree(agent.folder()) {
            is_not_in(&bytes, secret, &path);
        }
    }
}
