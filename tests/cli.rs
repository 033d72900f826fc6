//! The built `covirt` as a user runs it: without an agent, and against a stub that answers as the test says.

use std::io::Write;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use covirt::cli::exit::Exit;
use covirt::doors::wire::CommandState;
use serde_json::{Value, json};

const VM: &str = "7c1f9f1e-2f0a-4b7b-9c55-3f6f0e2a6d10";
const ID: &str = "01a20563-3c78-77aa-a150-bfbb8371f16d";

/// What the stub was sent.
#[derive(Debug, Clone)]
struct Seen {
    call: String,
    provider: Option<String>,
    prefer: Option<String>,
    body: Value,
}

/// A stub agent on a socket of its own.
struct Stub {
    folder: tempfile::TempDir,
    seen: Arc<Mutex<Vec<Seen>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Stub {
    /// Answers each `METHOD path` with what `answer` gives.
    fn answering(answer: impl Fn(&str) -> (u16, Value) + Clone + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
            let call = format!("{method} {uri}");
            let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let seen = Seen { call, provider: text("covirt-provider"), prefer: text("prefer"), body };
            let (status, answer) = answer(&seen.call);
            log.lock().unwrap().push(seen);
            let kind = if status < 400 { "application/json" } else { "application/problem+json" };
            (StatusCode::from_u16(status).unwrap(), [(header::CONTENT_TYPE, kind)], answer.to_string())
        };
        let listener = {
            let _inside = runtime.enter();
            tokio::net::UnixListener::bind(folder.path().join("s")).unwrap()
        };
        runtime.spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
        Self { folder, seen, _runtime: runtime }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn run(&self, words: &[&str]) -> Output {
        covirt(&self.socket()).args(words).output().unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn covirt(socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_covirt"));
    command.env_remove("COVIRT_AS").env("COVIRT_SOCKET", socket).stdin(Stdio::null());
    command
}

fn no_agent() -> Command {
    covirt(Path::new("/nonexistent/covirt.sock"))
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("it ended by a signal: {output:?}"))
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn problem(status: u16, code: &str, detail: &str) -> (u16, Value) {
    let kind = format!("urn:covirt:problem:{code}");
    (status, json!({ "type": kind, "status": status, "code": code, "detail": detail }))
}

fn view(state: &str) -> Value {
    json!({
        "id": ID, "vm": VM, "provider": "north", "action": "power.reboot", "args": { "timeout_s": 120 },
        "order": { "seq": 1 }, "class": "routine", "stamp": "good", "state": state, "conflicts": [],
        "received_at": "2026-11-22T20:00:00.000000Z",
    })
}

fn vm_list() -> Value {
    json!({ "vms": [{ "vm": VM, "name": "web01", "state": "running", "primary": "north", "secondaries": ["south"] }] })
}

#[test]
fn discover_reads_standard_input_and_needs_no_agent() {
    let mut child = no_agent().args(["discover", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let xml = b"<domain type='kvm'><name>web01</name><memory unit='GiB'>1</memory></domain>";
    child.stdin.take().unwrap().write_all(xml).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 0);
    let inventory: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(inventory["identity"]["name"], "web01");
}

#[test]
fn discover_names_file_line_and_reason() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.xml");
    std::fs::write(&bad, "<domain>\n<name>x</nam>").unwrap();
    let output = no_agent().arg("discover").arg(&bad).output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(err(&output).starts_with(&format!("{}:2: ", bad.display())), "{}", err(&output));
}

#[test]
fn words_that_make_no_sense_are_a_usage_error() {
    let calls: [&[&str]; 8] = [
        &[],
        &["fly"],
        &["run", "web01", "power.fly"],
        &["run", "web01", "power.reboot", "--guard", "state=up"],
        &["run", "web01", "power.reboot", "--wait", "1s", "--no-wait"],
        &["delegate", "web01", "--to", "No Name", "power.start"],
        &["provider", "session", "--answer", "maybe"],
        &["artifacts", "render", "web01", "--for", "paper", "-o", "x"],
    ];
    for words in calls {
        let output = no_agent().args(words).output().unwrap();
        assert_eq!(code(&output), 2, "{words:?}: {}", err(&output));
    }
}

#[test]
fn an_agent_that_is_not_there_is_named_with_a_hint() {
    for words in [&["health"][..], &["run", VM, "power.reboot"], &["provider", "session", "--as", "north"]] {
        let output = no_agent().args(words).output().unwrap();
        assert_eq!(code(&output), 4, "{words:?}");
        let err = err(&output);
        assert!(err.contains("/nonexistent/covirt.sock: No such file"), "{err}");
        if words[0] == "health" {
            assert!(err.contains("is covirtd running?"), "{err}");
        }
    }
}

#[test]
fn a_connection_that_breaks_leaves_the_id_to_ask_for() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let listener = StdListener::bind(&socket).unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let output = covirt(&socket).args(["run", VM, "power.reboot", "--id", ID]).output().unwrap();
    assert_eq!(code(&output), 4);
    assert!(err(&output).contains(&format!("covirt command {ID}")), "{}", err(&output));
}

#[test]
fn a_refusal_is_a_sentence_for_people_and_a_document_for_programs() {
    let stub = Stub::answering(|_| {
        let (status, mut problem) = problem(403, "held-by-other", "snapshot.create is not yours");
        problem["holder"] = json!("south");
        (status, problem)
    });
    let output = stub.run(&["delegations", VM]);
    assert_eq!(code(&output), 3);
    assert_eq!(err(&output), "covirt: snapshot.create is not yours; south holds it [held-by-other]\n");
    assert_eq!(out(&output), "");
    let output = stub.run(&["delegations", VM, "-o", "json"]);
    assert_eq!(code(&output), 3);
    let problem: Value = serde_json::from_str(&err(&output)).unwrap();
    assert_eq!(problem["code"], "held-by-other");
}

#[test]
fn an_agent_at_fault_is_told_from_one_that_refuses() {
    let stub = Stub::answering(|_| problem(507, "journal-unwritable", "the disk is full"));
    assert_eq!(code(&stub.run(&["health"])), 5);
    let stub = Stub::answering(|_| (200, json!({ "status": 7 })));
    let output = stub.run(&["health"]);
    assert_eq!(code(&output), 5);
    assert!(err(&output).contains("makes no sense"), "{}", err(&output));
    let stub = Stub::answering(|_| (418, json!("teapot")));
    assert_eq!(code(&stub.run(&["health"])), 5);
}

#[test]
fn a_vm_is_found_by_its_name() {
    let stub = Stub::answering(|call| match call {
        "GET /v1/vms" => (200, vm_list()),
        _ => (200, json!({ "primary": "north", "epoch": 3, "delegations": [] })),
    });
    let output = stub.run(&["--as", "south", "delegations", "web01"]);
    assert_eq!(code(&output), 0);
    assert_eq!(out(&output), "primary north, epoch 3\nnothing is delegated: the primary holds every action\n");
    let seen = stub.seen();
    assert_eq!(seen[1].call, format!("GET /v1/vms/{VM}/delegations"));
    assert_eq!(seen[1].provider.as_deref(), Some("south"));
    let output = stub.run(&["delegations", "web02"]);
    assert_eq!(code(&output), 3);
    assert!(err(&output).contains("no VM \"web02\""), "{}", err(&output));
}

#[test]
fn tables_are_aligned_and_json_is_the_agents_own() {
    let stub = Stub::answering(|_| (200, vm_list()));
    let output = stub.run(&["vm", "list"]);
    assert_eq!(
        out(&output),
        format!("NAME   STATE    PRIMARY  SECONDARIES  UUID\nweb01  running  north    south        {VM}\n")
    );
    let answer: Value = serde_json::from_str(&out(&stub.run(&["vm", "list", "-o", "json"]))).unwrap();
    assert_eq!(answer, vm_list());
}

#[test]
fn run_sends_the_whole_envelope() {
    let stub = Stub::answering(|_| (200, view("done")));
    let words = [
        "run",
        VM,
        "snapshot.create",
        "name=demo-1",
        "kind=disk-only",
        "--after",
        ID,
        "--seq",
        "7",
        "--class",
        "critical",
        "--guard",
        "state=running",
        "--guard",
        "vcpus=2",
        "--not-after",
        "2026-11-22T21:00:00Z",
        "--must-start-by",
        "2026-11-22T20:30:00Z",
        "--break-glass",
        "smoke in rack 7",
        "--wait",
        "1500ms",
    ];
    assert_eq!(code(&stub.run(&words)), 0);
    let seen = stub.seen().remove(0);
    assert_eq!(seen.call, format!("POST /v1/vms/{VM}/commands"));
    assert_eq!(seen.prefer.as_deref(), Some("wait=2"));
    let body = seen.body;
    assert_eq!(body["action"], "snapshot.create");
    assert_eq!(body["args"], json!({ "name": "demo-1", "kind": "disk-only" }));
    assert_eq!(body["order"], json!({ "seq": 7, "after": [ID] }));
    assert_eq!(body["guard"], json!({ "state": "running", "vcpus": 2 }));
    assert_eq!(body["class"], "critical");
    assert_eq!(body["not_after"], "2026-11-22T21:00:00.000000Z");
    assert_eq!(body["must_start_by"], "2026-11-22T20:30:00.000000Z");
    assert_eq!(body["break_glass"], "smoke in rack 7");
    assert!(body["issued_at"].as_str().unwrap().ends_with('Z'));
    let id: uuid::Uuid = body["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
}

#[test]
fn the_operators_word_and_a_hand_over_are_said_as_the_api_expects() {
    let conflict = json!({ "id": VM, "between": [ID, ID], "contested": ["power"], "opened_at": "2026-11-22T20:00:00Z",
        "feasible": { "first_then_second": null, "second_then_first": null }, "asked": [], "settled_at": null,
        "verdict": null, "moot": null });
    let stub = Stub::answering(move |_| (200, conflict.clone()));
    assert_eq!(code(&stub.run(&["conflict", "decide", VM, "--first", ID])), 0);
    let seen = stub.seen().remove(0);
    assert_eq!((seen.call, seen.body), (format!("POST /v1/conflicts/{VM}/decision"), json!({ "first": ID })));
    let draining = json!({ "by": "north", "closing": { "south": ["power.stop"] }, "until": "2026-11-22T20:10:00Z",
        "waits_for": [ID] });
    let delegations = json!({ "primary": "north", "epoch": 3, "delegations": [], "draining": draining });
    let stub = Stub::answering(move |_| (200, delegations.clone()));
    let shown = stub.run(&["revoke", VM, "--from", "south", "power.stop", "--drain"]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("power.stop") && text.contains(ID), "{text}");
    assert_eq!(code(&stub.run(&["revoke", VM, "--from", "south", "--drain"])), 0);
    assert_eq!(code(&stub.run(&["delegate", VM, "--to", "south", "power.stop", "--drain"])), 0);
    let seen = stub.seen();
    assert_eq!(seen[0].call, format!("DELETE /v1/vms/{VM}/delegations/south?actions=power.stop&drain=true"));
    assert_eq!(seen[1].call, format!("DELETE /v1/vms/{VM}/delegations/south?drain=true"));
    assert_eq!(seen[2].body["drain"], true);
}

#[test]
fn the_exit_code_says_how_a_command_ended() {
    let endings = [
        (CommandState::Done, 0),
        (CommandState::Coalesced, 0),
        (CommandState::Failed, 10),
        (CommandState::Superseded, 11),
        (CommandState::Impossible, 12),
        (CommandState::Expired, 13),
        (CommandState::Denied, 14),
        (CommandState::Cancelled, 15),
    ];
    for (state, expected) in endings {
        let stub = Stub::answering(move |_| (200, view(state.as_str())));
        assert_eq!(code(&stub.run(&["run", VM, "power.reboot"])), expected, "{state:?}");
        assert_eq!(code(&stub.run(&["command", ID, "-o", "json"])), expected, "{state:?}");
    }
}

#[test]
fn a_wait_ends_before_the_command_does() {
    let stub = Stub::answering(|_| (202, view("queued")));
    assert_eq!(code(&stub.run(&["run", VM, "power.reboot", "--wait", "300ms"])), 6);
    assert!(stub.seen().len() > 1, "it looks again");
    assert_eq!(code(&stub.run(&["run", VM, "power.reboot", "--no-wait"])), 0);
    assert_eq!(stub.seen().last().unwrap().prefer, None);
}

#[test]
fn a_command_that_ends_later_is_seen_to() {
    let stub = Stub::answering(|call| match call.split_once(' ') {
        Some(("POST", _)) => (202, view("queued")),
        _ => (200, view("failed")),
    });
    assert_eq!(code(&stub.run(&["run", VM, "power.reboot"])), 10);
}

#[test]
fn revoke_names_its_actions_in_the_query() {
    let stub = Stub::answering(|_| (200, json!({ "primary": "north", "epoch": 4, "delegations": [] })));
    assert_eq!(code(&stub.run(&["revoke", VM, "--from", "south", "snapshot.*", "power.start"])), 0);
    assert_eq!(code(&stub.run(&["revoke", VM, "--from", "south"])), 0);
    let calls: Vec<String> = stub.seen().into_iter().map(|seen| seen.call).collect();
    let base = format!("DELETE /v1/vms/{VM}/delegations/south");
    assert_eq!(calls, [format!("{base}?actions=snapshot.*,power.start"), base]);
}

fn event(cursor: u64) -> Value {
    json!({
        "cursor": cursor, "at": "2026-11-22T20:00:00.000000Z", "vm": VM, "kind": "admitted",
        "text": "north sent power.reboot", "fact": { "fact": "of-a-later-version" },
    })
}

#[test]
fn events_go_on_past_a_page_of_what_one_may_not_see() {
    let stub = Stub::answering(|call| match call {
        call if call.contains("after=0&") => (200, json!({ "events": [], "cursor": 5 })),
        call if call.contains("after=5&") => (200, json!({ "events": [event(6), event(6)], "cursor": 6 })),
        _ => (200, json!({ "events": [], "cursor": 6 })),
    });
    let output = stub.run(&["events", "-o", "json"]);
    assert_eq!(code(&output), 0);
    let cursors: Vec<Value> =
        out(&output).lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["cursor"].clone()).collect();
    assert_eq!(cursors, [6, 6]);
}

#[test]
fn a_reader_that_has_enough_ends_it_quietly() {
    let page = |after: u64| {
        let events: Vec<Value> = (0..200).map(|_| event(after + 1)).collect();
        (200, json!({ "events": events, "cursor": after + 1 }))
    };
    // Endless: only the closed pipe can end it.
    let stub = Stub::answering(move |call| {
        let after = call.split("after=").nth(1).and_then(|rest| rest.split('&').next()?.parse().ok()).unwrap_or(0);
        page(after)
    });
    let mut child = covirt(&stub.socket()).arg("events").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
    assert!(line.contains("north sent power.reboot"), "{line}");
    drop(reader);
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), err(&output).as_str()), (0, ""));
}

#[test]
fn a_timeline_tells_what_it_does_not_know_in_the_agents_words() {
    let stub = Stub::answering(|call| match call {
        call if call.contains("/v1/events?after=0") => (200, json!({ "events": [event(1)], "cursor": 1 })),
        call if call.contains("/v1/events") => (200, json!({ "events": [], "cursor": 1 })),
        _ => (200, json!({ "commands": [] })),
    });
    let output = stub.run(&["timeline", VM]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert!(out(&output).contains("north sent power.reboot"), "{}", out(&output));
}

#[test]
fn damage_in_the_journal_has_its_own_exit_code() {
    let stub =
        Stub::answering(|_| (200, json!({ "verdict": "damaged", "records": 3, "damage": "record 3 was changed" })));
    let output = stub.run(&["audit", "verify"]);
    assert_eq!(code(&output), 7);
    assert!(out(&output).contains("record 3 was changed"));
}

#[test]
fn a_binding_that_cannot_be_read_is_named() {
    let stub = Stub::answering(|_| (200, vm_list()));
    let words = ["artifacts", "render", VM, "--for", "nocloud", "-o", "x", "--binding", "/nonexistent.json"];
    let output = stub.run(&words);
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("cannot read /nonexistent.json: No such file"), "{}", err(&output));
    assert!(stub.seen().is_empty());
}

#[test]
fn the_documentation_lists_every_exit_code() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md")).unwrap();
    let help = out(&no_agent().arg("--help").output().unwrap());
    for exit in Exit::ALL {
        let row = format!("| {} | {} |", exit.code(), exit.meaning());
        assert!(text.contains(&row), "{row}");
        assert!(help.contains(exit.meaning()), "{}", exit.meaning());
    }
}
