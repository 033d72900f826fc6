//! Providers' sessions and the operator's hook: clocks, asks and answers, silence, events.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::support::agent::{Agent, Session, Setup};

/// Writes wait long enough for a rival to be heard.
const GATHERING: &str = "[lane]\ngather_for = \"writes\"\ngather_ms = 2000\n";

/// Two VMs; on the first, south may use power as well.
async fn rivals(tables: &str) -> Agent {
    let agent = Setup::with_vms(2).and(tables).start();
    agent.enroll(1).await;
    agent.enroll(2).await;
    agent.delegate(1, &["power.*"], "shared").await;
    agent
}

/// North's suspend and south's reset: either order is possible, so they are asked.
async fn conflict(agent: &Agent) -> (String, String) {
    let suspend = agent.submit(1, "north", "power.suspend", json!({})).await.expect(202);
    let reset = agent.submit(1, "south", "power.reset", json!({})).await.expect(202);
    (suspend.text("id"), reset.text("id"))
}

/// That a lane whose neighbour waits for answers goes on.
async fn neighbour_works(agent: &Agent, waiting: &str) {
    agent.still_works(2).await;
    let ran = agent.run_command(2, "north", "inspect.read", json!({})).await.expect(200);
    assert_eq!(ran.json["state"], "done");
    assert_eq!(agent.command(waiting, "north").await["state"], "queued");
}

fn when(command: &Value, field: &str) -> covirt::model::Wall {
    command[field].as_str().unwrap_or_else(|| panic!("no {field} in {command}")).parse().expect("a time")
}

async fn first_of(agent: &Agent, a: &str, b: &str) -> (String, Value, Value) {
    let one = agent.ended_command(a, "operator").await;
    let other = agent.ended_command(b, "operator").await;
    assert_eq!((&one["state"], &other["state"]), (&json!("done"), &json!("done")), "{one}\n{other}");
    let one_first = when(&one, "finished_at") <= when(&other, "started_at");
    assert!(one_first || when(&other, "finished_at") <= when(&one, "started_at"), "they overlap: {one}\n{other}");
    (if one_first { a } else { b }.to_owned(), one, other)
}

#[tokio::test]
async fn both_providers_are_asked_and_what_they_agree_on_is_done() {
    let agent = rivals(&format!("{GATHERING}ask_timeout_ms = 20000\ncallback_budget_ms = 20000")).await;
    let (mut north, mut south) = (agent.session("north").await, agent.session("south").await);
    assert_eq!(north.welcome["provider"], "north");
    let (suspend, reset) = conflict(&agent).await;
    let (asked_north, asked_south) = (north.next_of("ask").await, south.next_of("ask").await);
    assert_eq!(asked_north["ask"], asked_south["ask"]);
    assert_eq!(asked_north["mine"]["id"], json!(suspend));
    assert_eq!(asked_north["theirs"]["id"], json!(reset));
    assert_eq!(asked_south["mine"]["id"], json!(reset));
    assert_eq!(asked_north["feasible"], json!(["mine-first", "theirs-first"]));
    assert_eq!(asked_north["contested"], json!(["power"]));
    neighbour_works(&agent, &suspend).await;
    north.answer(&asked_north, "theirs-first").await;
    south.answer(&asked_south, "mine-first").await;
    assert_eq!(north.next_of("answered").await["ask"], asked_north["ask"]);
    let (first, one, other) = first_of(&agent, &suspend, &reset).await;
    assert_eq!(first, reset);
    assert_eq!((&one["rule"], &other["rule"]), (&json!("callback"), &json!("callback")));
    // An answer to what is settled is refused by name.
    north.answer(&asked_north, "mine-first").await;
    let refused = north.next_of("error").await;
    assert_eq!((&refused["code"], &refused["ask"]), (&json!("answer-late"), &asked_north["ask"]));
    let explained = agent.get(&format!("/v1/commands/{suspend}/explain"), "north").await.expect(200).json;
    assert!(explained["story"].as_array().is_some_and(|story| !story.is_empty()), "{explained}");
    let conflicts = agent.get(&format!("/v1/vms/{}/conflicts", agent.vm(1)), "south").await.expect(200).json;
    assert_eq!(conflicts["conflicts"].as_array().map(Vec::len), Some(1), "{conflicts}");
}

#[tokio::test]
async fn a_provider_that_never_answers_has_said_what_its_silence_means() {
    let text = format!("{GATHERING}ask_timeout_ms = 700\n");
    let agent = rivals(&text).await;
    let (mut north, mut south) = (agent.session("north").await, agent.session("south").await);
    let (suspend, reset) = conflict(&agent).await;
    let asked = north.next_of("ask").await;
    south.next_of("ask").await;
    neighbour_works(&agent, &suspend).await;
    let (_, one, _) = first_of(&agent, &suspend, &reset).await;
    // Silence means no opinion here, so a later rule decides.
    assert_ne!(one["rule"], json!("callback"), "{one}");
    let conflicts = agent.get(&format!("/v1/vms/{}/conflicts", agent.vm(1)), "north").await.expect(200).json;
    assert!(conflicts.to_string().contains("silen"), "{conflicts}");
    north.answer(&asked, "mine-first").await;
    assert_eq!(north.next_of("error").await["code"], "answer-late");
}

#[tokio::test]
async fn silence_that_was_declared_as_a_withdrawal_takes_the_command_back() {
    let agent = Setup::with_vms(2)
        .and(&format!(
            "{GATHERING}ask_timeout_ms = 400\n[[provider]]\nid = \"east\"\nuids = [{}]",
            nix::unistd::getuid()
        ))
        .and("on_silence = \"withdraw-mine\"")
        .start();
    agent.enroll(1).await;
    agent.enroll(2).await;
    let body = json!({ "to": "east", "actions": ["power.*"], "mode": "shared" });
    let path = format!("/v1/vms/{}/delegations", agent.vm(1));
    agent.request("POST", &path, "north", Some(body)).await.expect(201);
    let suspend = agent.submit(1, "north", "power.suspend", json!({})).await.expect(202).text("id");
    let reset = agent.submit(1, "east", "power.reset", json!({})).await.text("id");
    let ended = agent.ended_command(&reset, "east").await;
    assert_eq!((&ended["state"], &ended["code"]), (&json!("cancelled"), &json!("withdrawn")), "{ended}");
    assert_eq!(ended["cause"], json!(suspend));
    assert_eq!(agent.ended_command(&suspend, "north").await["state"], "done");
    agent.still_works(2).await;
}

#[tokio::test]
async fn an_answer_of_an_old_epoch_or_to_nothing_is_refused_by_name() {
    let agent = rivals(&format!("{GATHERING}ask_timeout_ms = 20000\ncallback_budget_ms = 20000")).await;
    let (mut north, mut south) = (agent.session("north").await, agent.session("south").await);
    let (suspend, _) = conflict(&agent).await;
    let asked = north.next_of("ask").await;
    let epoch = asked["epoch"].as_u64().expect("an epoch");
    north.send(json!({ "type": "answer", "ask": asked["ask"], "epoch": epoch + 1, "answer": "mine-first" })).await;
    let refused = north.next_of("error").await;
    assert_eq!(refused["code"], "answer-late");
    assert!(refused["message"].as_str().expect("a sentence").contains(asked["ask"].as_str().expect("an id")));
    north.send(json!({ "type": "answer", "ask": Uuid::now_v7(), "epoch": 1, "answer": "mine-first" })).await;
    assert_eq!(north.next_of("error").await["code"], "unknown-ask");
    // The ask is still open.
    neighbour_works(&agent, &suspend).await;
    let asked_south = south.next_of("ask").await;
    north.answer(&asked, "mine-first").await;
    south.answer(&asked_south, "theirs-first").await;
    assert_eq!(agent.ended_command(&suspend, "north").await["rule"], "callback");
}

#[tokio::test]
async fn a_newer_session_takes_over_and_the_older_is_closed() {
    let agent = rivals(&format!("{GATHERING}ask_timeout_ms = 20000\ncallback_budget_ms = 20000")).await;
    let mut older = agent.session("north").await;
    let mut newer = agent.session("north").await;
    assert_eq!(older.closed().await, (4000, "session-replaced".to_owned()));
    let mut south = agent.session("south").await;
    let (suspend, reset) = conflict(&agent).await;
    let asked = newer.next_of("ask").await;
    let asked_south = south.next_of("ask").await;
    // Taken over once more, while it is asked: what was asked of the older session counts as not answered.
    let newest = agent.session("north").await;
    assert_eq!(newer.closed().await.1, "session-replaced");
    south.answer(&asked_south, "mine-first").await;
    assert_eq!(first_of(&agent, &suspend, &reset).await.0, reset);
    drop(newest);
    let _ = asked;
    agent.still_works(2).await;
}

#[tokio::test]
async fn a_session_that_is_cut_off_is_silent_at_once() {
    let agent = rivals(&format!("{GATHERING}ask_timeout_ms = 25000\ncallback_budget_ms = 25000")).await;
    let (mut north, mut south) = (agent.session("north").await, agent.session("south").await);
    let (suspend, reset) = conflict(&agent).await;
    north.next_of("ask").await;
    let asked = south.next_of("ask").await;
    drop(north);
    south.answer(&asked, "mine-first").await;
    let began = std::time::Instant::now();
    assert_eq!(first_of(&agent, &suspend, &reset).await.0, reset);
    assert!(began.elapsed() < Duration::from_secs(15), "it waited for a session that is gone");
}

#[tokio::test]
async fn an_ask_may_not_go_against_what_is_possible() {
    let agent = rivals(&format!("{GATHERING}ask_timeout_ms = 20000\ncallback_budget_ms = 20000")).await;
    let _sessions = (agent.session("north").await, agent.session("south").await);
    // A VM that was stopped cannot be suspended: only one order lets both succeed, and nobody is asked.
    let suspend = agent.submit(1, "north", "power.suspend", json!({})).await.expect(202).text("id");
    let stop = agent.submit(1, "south", "power.stop", json!({})).await.expect(202).text("id");
    let (first, one, _) = first_of(&agent, &suspend, &stop).await;
    assert_eq!((first, &one["rule"]), (suspend, &json!("feasibility")));
    let events = agent.get("/v1/events", "north").await.expect(200).json;
    assert!(!events["events"].as_array().expect("events").iter().any(|event| event["kind"] == "asked"), "{events}");
}

#[tokio::test]
async fn clock_samples_are_answered_and_the_best_estimate_is_told() {
    let agent = Setup::with_vms(1).start();
    let mut north = agent.session("north").await;
    let t0 = "2026-01-01T00:00:00.000000Z";
    north.send(json!({ "type": "clock", "t0": t0 })).await;
    let exchange = north.next_of("clock").await;
    assert_eq!(exchange["t0"], t0);
    assert!(exchange["t1"].as_str() <= exchange["t2"].as_str());
    // The provider's clock is 4 s ahead, and both ways together take 6 ms.
    let sample = sampled(&mut north, 4_000_000, 6_000).await;
    north.send(sample.clone()).await;
    let estimate = north.next_of("clock-estimate").await;
    let (offset, uncertainty) = (estimate["offset_us"].as_i64().expect("µs"), estimate["uncertainty_us"].as_i64());
    let uncertainty = uncertainty.expect("µs");
    // What the exchange took here comes on top, and what passed since.
    assert!((3_000..1_000_000).contains(&uncertainty), "{estimate}");
    assert!((offset - 4_000_000).abs() <= 1_000_000, "{estimate}");
    // Once, with our own times alone, and forwards: times at both ends of what can be written do not end the session.
    let mut forged = sampled(&mut north, 0, 6_000).await;
    forged["t1"] = json!("2026-01-01T00:00:00Z");
    forged["t2"] = json!("2026-01-01T00:00:00Z");
    let backwards = sampled(&mut north, 0, -1).await;
    let absurd = json!({ "type": "clock-sample", "t0": "0000-01-02T00:00:00Z", "t1": "9999-12-30T00:00:00Z",
        "t2": "0000-01-02T00:00:00Z", "t3": "9999-12-30T00:00:00Z" });
    for sample in [sample, forged, backwards, absurd] {
        north.send(sample).await;
        assert_eq!(north.next_of("error").await["code"], "bad-clock-sample");
    }
    let good = sampled(&mut north, 4_000_000, 6_000).await;
    north.send(good).await;
    north.next_of("clock-estimate").await;
}

/// A sample from a provider whose clock is so far ahead, and for whom the exchange took so long. *Units*: microseconds.
async fn sampled(session: &mut Session, ahead: i64, took: i64) -> Value {
    let now = jiff::Timestamp::now().as_microsecond();
    let time = |us: i64| jiff::Timestamp::from_microsecond(us).expect("a time").to_string();
    session.send(json!({ "type": "clock", "t0": time(now + ahead) })).await;
    let answered = session.next_of("clock").await;
    json!({ "type": "clock-sample", "t0": answered["t0"], "t1": answered["t1"], "t2": answered["t2"],
        "t3": time(now + ahead + took) })
}

#[tokio::test]
async fn a_clock_beyond_the_limit_decides_nothing_and_the_provider_is_told() {
    let agent = Setup::with_vms(1).and("[lane]\nclock_limit_ms = 1000").start();
    agent.enroll(1).await;
    let mut north = agent.session("north").await;
    let sample = sampled(&mut north, 4_000_000, 0).await;
    north.send(sample).await;
    let told = north.next_of("clock-estimate").await;
    assert!(told["warning"].as_str().is_some_and(|text| text.contains("1000 ms")), "{told}");
    let stamped = json!({ "issued_at": "2026-01-01T00:00:04Z" });
    let ran = agent.run_command(1, "north", "power.suspend", stamped).await.expect(200);
    assert_eq!((&ran.json["state"], &ran.json["stamp"]), (&json!("done"), &json!("clock-beyond-limit")));
}

#[tokio::test]
async fn nonsense_is_answered_and_then_ends_the_session() {
    let agent = Setup::with_vms(1).start();
    agent.enroll(1).await;
    let mut north = agent.session("north").await;
    for message in [
        "{",
        "7",
        "{\"type\":\"sing\"}",
        "{\"type\":\"clock\",\"t0\":3}",
        "{\"type\":\"subscribe\",\"after\":1,\"x\":2}",
    ] {
        north.socket.send(Message::text(message)).await.expect("send");
        assert_eq!(north.next_of("error").await["code"], "malformed");
    }
    for _ in 0..11 {
        north.socket.send(Message::binary(vec![0, 1])).await.expect("send");
    }
    assert_eq!(north.closed().await, (4000, "session-misused".to_owned()));
    // A message that is too large ends it as well.
    let mut north = agent.session("north").await;
    let _ = north.socket.send(Message::text("x".repeat(1 << 20))).await;
    assert_ne!(north.closed().await.1, "session-replaced");
    agent.still_works(1).await;
    agent.session("north").await;
}

async fn kinds_until(session: &mut Session, last: &str) -> Vec<String> {
    let mut kinds = Vec::new();
    while kinds.last().map(String::as_str) != Some(last) {
        let event = session.next_of("event").await;
        assert!(!event["text"].as_str().expect("a sentence").is_empty());
        kinds.push(event["kind"].as_str().expect("a kind").to_owned());
    }
    kinds
}

#[tokio::test]
async fn events_come_from_a_cursor_on() {
    let agent = Setup::with_vms(1).start();
    agent.enroll(1).await;
    let mut north = agent.session("north").await;
    let cursor = north.welcome["cursor"].as_u64().expect("a cursor");
    assert!(cursor >= 1);
    north.send(json!({ "type": "subscribe", "after": 0 })).await;
    assert_eq!(kinds_until(&mut north, "enrolled").await, ["enrolled"]);
    agent.run_command(1, "north", "power.suspend", json!({})).await.expect(200);
    let kinds = kinds_until(&mut north, "ended").await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "admitted" || *kind == "started").count(), 2, "{kinds:?}");
    // A session that was away goes on where it was.
    drop(north);
    let mut north = agent.session("north").await;
    north.send(json!({ "type": "subscribe", "after": cursor })).await;
    assert_eq!(kinds_until(&mut north, "ended").await, kinds);
    // The same over HTTP, and waiting for more.
    let page = agent.get(&format!("/v1/events?after={cursor}"), "north").await.expect(200).json;
    assert_eq!(page["events"].as_array().map(Vec::len), Some(kinds.len()), "{page}");
    let path = format!("/v1/events?after={}&wait=20", page["cursor"]);
    let (waited, _) = tokio::join!(agent.get(&path, "north"), async {
        agent.run_command(1, "north", "power.resume", json!({})).await.expect(200)
    });
    assert!(!waited.expect(200).json["events"].as_array().expect("events").is_empty());
}

/// A hook that says this, given what it reads as `$ask`.
fn hook(folder: &tempfile::TempDir, script: &str) -> String {
    let path = folder.path().join("hook");
    std::fs::write(&path, format!("#!/bin/sh\nask=$(cat)\n{script}\n")).expect("write the hook");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("make it executable");
    format!("{GATHERING}hook_timeout_ms = 1500\n[hook]\ncommand = [{path:?}]\n")
}

#[tokio::test]
async fn the_operators_hook_decides_before_anybody_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = folder.path().join("ask");
    // The command whose action is power.reset goes first.
    let script = format!(
        "printf %s \"$ask\" > {}\nid=$(printf %s \"$ask\" | sed 's/.*{{\\([^{{}}]*power.reset[^{{}}]*\\).*/\\1/; s/.*\"id\":\"\\([^\"]*\\)\".*/\\1/')\n\
         echo \"{{\\\"first\\\":\\\"$id\\\"}}\"",
        kept.display()
    );
    let agent = rivals(&hook(&folder, &script)).await;
    let (suspend, reset) = conflict(&agent).await;
    let (first, one, other) = first_of(&agent, &suspend, &reset).await;
    let asked: Value = serde_json::from_slice(&std::fs::read(kept).expect("it was asked")).expect("JSON");
    let ids: Vec<&Value> = asked["commands"].as_array().expect("two").iter().map(|command| &command["id"]).collect();
    assert!(ids.contains(&&json!(suspend)) && ids.contains(&&json!(reset)), "{asked}");
    assert_eq!((&one["rule"], &other["rule"]), (&json!("callback"), &json!("callback")), "{asked}");
    let conflicts = agent.get(&format!("/v1/vms/{}/conflicts", agent.vm(1)), "north").await.expect(200).json;
    assert_eq!(first, reset, "{conflicts}");
}

#[tokio::test]
async fn a_hook_that_hangs_counts_as_silent() {
    let folder = tempfile::tempdir().expect("a folder");
    let agent = rivals(&hook(&folder, "sleep 600")).await;
    let (suspend, reset) = conflict(&agent).await;
    agent.still_works(2).await;
    let (_, one, _) = first_of(&agent, &suspend, &reset).await;
    assert_ne!(one["rule"], json!("callback"));
}

#[tokio::test]
async fn a_provider_that_does_not_read_loses_its_session_and_nobody_else_notices() {
    let agent = Setup::with_vms(2).start();
    agent.enroll(1).await;
    agent.enroll(2).await;
    let mut north = agent.session("north").await;
    // Far more answers than a socket holds, and nobody who reads them.
    let clock = json!({ "type": "clock", "t0": "2026-01-01T00:00:00Z" }).to_string();
    let sending = async { while north.socket.send(Message::text(clock.clone())).await.is_ok() {} };
    let others = async {
        for _ in 0..5 {
            agent.still_works(1).await;
            agent.still_works(2).await;
        }
    };
    let (ended, ()) = tokio::join!(tokio::time::timeout(crate::support::agent::SOON, sending), others);
    ended.expect("the session is ended");
    let log = agent.log();
    assert!(log.contains("does not read"), "{log}");
    agent.session("north").await;
}
