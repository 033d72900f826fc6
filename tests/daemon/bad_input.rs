//! What a client can get wrong, and what it gets: a status, a stable code, a sentence; never a dead agent, and never an
//! effect on another VM's lane.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::agent::{Agent, Setup};

/// Two VMs enrolled by north; the second is the one that must not notice.
async fn two(tables: &str) -> Agent {
    let agent = Setup::with_vms(2).and(tables).start();
    agent.enroll(1).await;
    agent.enroll(2).await;
    agent
}

/// A command that waits until its test is over: it is to come after one that never comes.
fn held() -> Value {
    json!({ "order": { "after": [Uuid::now_v7()] } })
}

fn at(offset_ms: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    let micros = i64::try_from(now.as_micros()).expect("a date") + offset_ms * 1000;
    covirt::model::Wall::from_micros(micros).to_string()
}

#[tokio::test]
async fn unknown_fields_are_refused_by_name() {
    let agent = two("").await;
    let vm = agent.vm(1);
    let id = Uuid::now_v7();
    let commands = format!("/v1/vms/{vm}/commands");
    for (path, body, field) in [
        (commands.clone(), json!({ "id": id, "action": "power.suspend", "speed": 9 }), "speed"),
        (commands.clone(), json!({ "id": id, "action": "power.suspend", "order": { "sec": 1 } }), "sec"),
        (commands.clone(), json!({ "id": id, "action": "power.suspend", "guard": { "mood": 1 } }), "mood"),
        (commands, json!({ "id": id, "action": "power.suspend", "args": { "force": true } }), "force"),
        (format!("/v1/vms/{vm}/enrollment"), json!({ "owner": "north" }), "owner"),
        (format!("/v1/vms/{vm}/delegations"), json!({ "to": "south", "actions": [], "modus": "shared" }), "modus"),
    ] {
        let answer = agent.request("POST", &path, "north", Some(body)).await.refused(400, "malformed");
        assert!(answer.text("detail").contains(field), "{}", answer.json);
    }
    agent.get("/v1/events?before=3", "north").await.refused(400, "malformed");
    agent.still_works(1).await;
    agent.still_works(2).await;
}

#[tokio::test]
async fn wrong_types_and_broken_json_are_refused() {
    let agent = two("").await;
    let path = format!("/v1/vms/{}/commands", agent.vm(1));
    let id = Uuid::now_v7();
    for body in [
        json!({ "id": "seven", "action": "power.suspend" }),
        json!({ "id": Uuid::nil(), "action": "power.suspend" }),
        json!({ "id": id, "action": "power.explode" }),
        json!({ "id": id, "action": "power.suspend", "order": { "seq": "1" } }),
        json!({ "id": id, "action": "power.suspend", "order": { "seq": -1 } }),
        json!({ "id": id, "action": "power.suspend", "issued_at": 1_700_000_000 }),
        json!({ "id": id, "action": "power.suspend", "issued_at": "yesterday" }),
        json!({ "id": id, "action": "power.suspend", "class": "urgent" }),
        json!({ "id": id, "action": "power.suspend", "args": [] }),
        json!({ "id": id, "action": "cpu.set", "args": { "vcpus": 0 } }),
        json!({ "action": "power.suspend" }),
        json!([]),
    ] {
        agent.request("POST", &path, "north", Some(body)).await.refused(400, "malformed");
    }
    for body in ["{", "nonsense", "{\"id\":1}}", "\u{0}", &"[".repeat(100_000)] {
        agent.request_with("POST", &path, "north", body.to_owned(), &[]).await.refused(400, "malformed");
    }
    agent.get("/v1/vms/not-a-uuid", "north").await.refused(400, "malformed");
    agent.get("/v1/commands/7", "north").await.refused(400, "malformed");
    agent.get("/v1/events?after=soon", "north").await.refused(400, "malformed");
    agent.still_works(1).await;
    agent.still_works(2).await;
}

#[tokio::test]
async fn a_vm_that_does_not_exist_is_unknown_on_every_path() {
    let agent = two("").await;
    let vm = format!("/v1/vms/{}", Uuid::from_u128(99));
    for tail in ["", "/inventory", "/delegations", "/commands", "/conflicts"] {
        agent.get(&format!("{vm}{tail}"), "north").await.refused(404, "unknown-vm");
    }
    let command = json!({ "id": Uuid::now_v7(), "action": "power.suspend" });
    agent.request("POST", &format!("{vm}/commands"), "north", Some(command)).await.refused(404, "unknown-vm");
    agent.request("POST", &format!("{vm}/enrollment"), "north", None).await.refused(404, "unknown-vm");
    agent.request("DELETE", &format!("{vm}/enrollment"), "north", None).await.refused(404, "unknown-vm");
    let body = json!({ "to": "south", "actions": ["power.*"], "mode": "shared" });
    agent.request("POST", &format!("{vm}/delegations"), "north", Some(body)).await.refused(404, "unknown-vm");
    agent.request("DELETE", &format!("{vm}/delegations/south"), "north", None).await.refused(404, "unknown-vm");
    let id = Uuid::now_v7();
    agent.get(&format!("/v1/commands/{id}"), "north").await.refused(404, "unknown-command");
    agent.get(&format!("/v1/commands/{id}/explain"), "north").await.refused(404, "unknown-command");
    agent.get(&format!("/v1/vms/{}/commands/{id}", agent.vm(1)), "north").await.refused(404, "unknown-command");
    agent.still_works(2).await;
}

#[tokio::test]
async fn an_action_that_is_not_delegated_names_its_holder() {
    let agent = two("").await;
    agent.delegate(1, &["snapshot.*"], "exclusive").await;
    let refused = agent.submit(1, "south", "power.reset", json!({})).await.refused(403, "not-delegated");
    assert_eq!(refused.json["holder"], "north");
    let refused = agent.submit(1, "north", "snapshot.create", json!({ "args": { "name": "n" } })).await;
    assert_eq!(refused.refused(403, "not-delegated").json["holder"], "south");
    // With a lease the refusal says until when.
    let body = json!({ "to": "south", "actions": ["cpu.set"], "mode": "exclusive", "lease_s": 600 });
    let path = format!("/v1/vms/{}/delegations", agent.vm(1));
    agent.request("POST", &path, "north", Some(body)).await.expect(201);
    let refused = agent.submit(1, "north", "cpu.set", json!({ "args": { "vcpus": 2 } })).await;
    assert!(refused.refused(403, "not-delegated").json["until"].is_string());
    agent.still_works(2).await;
}

#[tokio::test]
async fn a_stale_epoch_is_refused() {
    let agent = two("").await;
    let epoch = agent.delegate(1, &["snapshot.*"], "exclusive").await.json["epoch"].as_u64().expect("an epoch");
    let refused = agent.submit(1, "north", "power.suspend", json!({ "epoch": epoch - 1 })).await;
    assert!(refused.refused(409, "stale-epoch").text("detail").contains(&epoch.to_string()));
    let taken = agent.run_command(1, "north", "power.suspend", json!({ "epoch": epoch })).await.expect(200);
    assert_eq!(taken.json["state"], "done");
    agent.still_works(2).await;
}

#[tokio::test]
async fn a_replayed_sequence_number_is_refused() {
    let agent = two("").await;
    let ran = agent.run_command(1, "north", "power.suspend", json!({ "order": { "seq": 5 } })).await.expect(200);
    assert_eq!(ran.json["state"], "done");
    for seq in [5, 3] {
        let again = agent.submit(1, "north", "power.resume", json!({ "order": { "seq": seq } })).await;
        again.refused(409, "seq-replayed");
    }
    let waiting = json!({ "order": { "seq": 6, "after": [Uuid::now_v7()] } });
    let first = agent.submit(1, "north", "power.resume", waiting).await.expect(202);
    let twin = agent.submit(1, "north", "power.reset", json!({ "order": { "seq": 6 } })).await;
    assert_eq!(twin.refused(409, "seq-taken").json["command"], first.json["id"]);
    agent.still_works(2).await;
}

#[tokio::test]
async fn the_same_command_again_has_the_same_result_and_one_execution() {
    let agent = two("").await;
    let id = Uuid::now_v7();
    let command = json!({ "id": id, "args": { "name": "once" } });
    let first = agent.run_command(1, "north", "snapshot.create", command.clone()).await.expect(200);
    assert_eq!(first.json["state"], "done", "{}", first.json);
    let again = agent.run_command(1, "north", "snapshot.create", command).await.expect(200);
    assert_eq!(again.json, first.json);
    let events = agent.get("/v1/events", "north").await.expect(200);
    let started = |event: &&Value| event["kind"] == "started" && event["fact"]["command"] == json!(id);
    assert_eq!(events.json["events"].as_array().expect("events").iter().filter(started).count(), 1);
    let other = json!({ "id": id, "args": { "name": "twice" } });
    let refused = agent.submit(1, "north", "snapshot.create", other).await.refused(409, "id-reused");
    assert_eq!(refused.json["command"], json!(id));
    agent.still_works(2).await;
}

#[tokio::test]
async fn a_sequence_gap_holds_a_command_for_a_while_and_is_flagged() {
    let agent = two("[lane]\ngap_window_ms = 1500").await;
    agent.run_command(1, "north", "power.suspend", json!({ "order": { "seq": 1 } })).await.expect(200);
    let early = agent.submit(1, "north", "power.resume", json!({ "order": { "seq": 3 } })).await.expect(202);
    assert_eq!(early.json["state"], "queued");
    assert!(early.text("reason").contains("sequence number 2"), "{}", early.json);
    agent.still_works(2).await;
    let ended = agent.ended_command(&early.text("id"), "north").await;
    assert_eq!((&ended["state"], &ended["seq_gap"]), (&json!("done"), &json!(2)), "{ended}");
}

#[tokio::test]
async fn a_cycle_in_after_is_refused_and_names_itself() {
    let agent = two("").await;
    let (a, b) = (Uuid::now_v7(), Uuid::now_v7());
    let waits = json!({ "id": a, "order": { "after": [b] } });
    agent.submit(1, "north", "power.suspend", waits).await.expect(202);
    let closes = json!({ "id": b, "order": { "after": [a] } });
    let refused = agent.submit(1, "north", "power.resume", closes).await.refused(409, "after-cycle");
    let detail = refused.text("detail");
    assert!(detail.contains(&a.to_string()) && detail.contains(&b.to_string()), "{detail}");
    let alone = Uuid::now_v7();
    let itself = json!({ "id": alone, "order": { "after": [alone] } });
    agent.submit(1, "north", "power.resume", itself).await.refused(409, "after-cycle");
    agent.still_works(2).await;
}

#[tokio::test]
async fn a_deadline_that_has_passed_is_refused_and_one_that_passes_ends_the_command() {
    let agent = two("").await;
    let late = json!({ "not_after": at(-1000) });
    agent.submit(1, "north", "power.suspend", late).await.refused(422, "deadline-passed");
    let mut soon = held();
    soon["not_after"] = json!(at(400));
    let command = agent.submit(1, "north", "power.suspend", soon).await.expect(202);
    let ended = agent.ended_command(&command.text("id"), "north").await;
    assert_eq!((&ended["state"], &ended["code"]), (&json!("expired"), &json!("deadline-passed")));
    agent.still_works(2).await;
}

#[tokio::test]
async fn an_impossible_command_ends_with_the_state_that_forbids_it() {
    let agent = two("").await;
    let resume = agent.run_command(1, "north", "power.resume", json!({})).await.expect(200);
    assert_eq!((&resume.json["state"], &resume.json["code"]), (&json!("impossible"), &json!("state-forbids")));
    assert!(resume.text("reason").contains("running"), "{}", resume.json);
    let guarded = json!({ "guard": { "state": "paused" } });
    let guarded = agent.run_command(1, "north", "power.reset", guarded).await.expect(200);
    assert_eq!((&guarded.json["state"], &guarded.json["code"]), (&json!("impossible"), &json!("guard-failed")));
    agent.still_works(2).await;
}

#[tokio::test]
async fn an_issue_time_an_hour_ahead_is_clamped_and_flagged() {
    let agent = two("").await;
    let ahead = json!({ "issued_at": at(3_600_000) });
    let ran = agent.run_command(1, "north", "power.suspend", ahead).await.expect(200);
    assert_eq!((&ran.json["state"], &ran.json["stamp"]), (&json!("done"), &json!("clamped-future")));
    agent.still_works(2).await;
}

#[tokio::test]
async fn a_full_queue_refuses_its_own_provider_only() {
    let agent = two("[lane]\nqueue_limit = 3").await;
    agent.delegate(1, &["power.suspend"], "shared").await;
    for _ in 0..3 {
        agent.submit(1, "north", "power.resume", held()).await.expect(202);
    }
    agent.submit(1, "north", "power.resume", held()).await.refused(429, "queue-full");
    agent.submit(1, "south", "power.suspend", held()).await.expect(202);
    agent.submit(2, "north", "power.resume", held()).await.expect(202);
    agent.still_works(2).await;
}

#[tokio::test]
async fn a_body_of_ten_megabytes_is_refused() {
    let agent = two("").await;
    let path = format!("/v1/vms/{}/commands", agent.vm(1));
    let large = format!("{{\"id\":\"{}\",\"action\":\"{}\"}}", Uuid::now_v7(), "x".repeat(10 << 20));
    agent.request_with("POST", &path, "north", large, &[]).await.refused(413, "too-large");
    // Just above the limit, and just below, where only the content is wrong.
    let fill = |size: usize| format!("\"{}\"", "x".repeat(size - 2));
    agent.request_with("POST", &path, "north", fill((1 << 20) + 1), &[]).await.refused(413, "too-large");
    agent.request_with("POST", &path, "north", fill(1 << 20), &[]).await.refused(400, "malformed");
    agent.still_works(1).await;
    agent.still_works(2).await;
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_are_problems_too() {
    let agent = two("").await;
    agent.get("/v2/vms", "north").await.refused(404, "not-found");
    agent.get("/", "north").await.refused(404, "not-found");
    agent.request("PATCH", "/v1/vms", "north", None).await.refused(405, "method-not-allowed");
    agent
        .request("GET", &format!("/v1/vms/{}/enrollment", agent.vm(1)), "north", None)
        .await
        .refused(405, "method-not-allowed");
    agent.get("/v1/session", "north").await.refused(400, "malformed");
    agent.still_works(2).await;
}

#[tokio::test]
async fn an_unknown_identity_is_refused() {
    let agent = two("").await;
    agent.get("/v1/vms", "west").await.refused(403, "forbidden");
    agent.get("/v1/vms", "No Such Name").await.refused(400, "malformed");
    agent.request("GET", "/v1/session", "operator", None).await.refused(403, "forbidden");
    let body = json!({ "to": "west", "actions": ["power.*"], "mode": "shared" });
    let path = format!("/v1/vms/{}/delegations", agent.vm(1));
    agent.request("POST", &path, "north", Some(body)).await.refused(404, "unknown-provider");
    agent.still_works(2).await;
}

#[tokio::test]
async fn delegations_that_make_no_sense_are_refused() {
    let agent = two("").await;
    agent.delegate(1, &["snapshot.*"], "exclusive").await;
    let path = format!("/v1/vms/{}/delegations", agent.vm(1));
    let ask = async |who: &str, body: Value| agent.request("POST", &path, who, Some(body)).await;
    ask("north", json!({ "to": "north", "actions": ["power.*"], "mode": "shared" })).await.refused(422, "bad-delegate");
    ask("north", json!({ "to": "operator", "actions": ["power.*"], "mode": "shared" }))
        .await
        .refused(422, "bad-delegate");
    ask("north", json!({ "to": "south", "actions": [], "mode": "shared" })).await.refused(400, "malformed");
    ask("north", json!({ "to": "south", "actions": ["disc.*"], "mode": "shared" })).await.refused(400, "malformed");
    ask("north", json!({ "to": "south", "actions": ["power"], "mode": "shared" })).await.refused(400, "malformed");
    ask("north", json!({ "to": "south", "actions": ["power.*"], "mode": "all" })).await.refused(400, "malformed");
    let lease = json!({ "to": "south", "actions": ["power.*"], "mode": "shared", "lease_s": 0 });
    ask("north", lease).await.refused(400, "malformed");
    let refused = ask("south", json!({ "to": "south", "actions": ["power.*"], "mode": "shared" })).await;
    assert_eq!(refused.refused(403, "forbidden").json["holder"], "north");
    agent
        .request("POST", &format!("/v1/vms/{}/enrollment", agent.vm(1)), "north", None)
        .await
        .refused(409, "already-enrolled");
    agent
        .request("POST", &format!("/v1/vms/{}/enrollment", agent.vm(1)), "south", None)
        .await
        .refused(403, "forbidden");
    // What is in flight is not taken away silently.
    let held = agent.submit(1, "north", "power.reset", held()).await.expect(202);
    let refused = ask("north", json!({ "to": "south", "actions": ["power.reset"], "mode": "exclusive" })).await;
    assert_eq!(refused.refused(409, "action-in-flight").json["command"], held.json["id"]);
    agent
        .request("DELETE", &format!("/v1/vms/{}/enrollment", agent.vm(1)), "north", None)
        .await
        .refused(409, "commands-in-flight");
    agent.still_works(2).await;
}

#[tokio::test]
async fn an_after_that_never_comes_ends_the_command() {
    let agent = two("[lane]\nafter_wait_ms = 300").await;
    let unseen = Uuid::now_v7();
    let waits = json!({ "order": { "after": [unseen] } });
    let command = agent.submit(1, "north", "power.suspend", waits).await.expect(202);
    assert!(command.text("reason").contains(&unseen.to_string()));
    let ended = agent.ended_command(&command.text("id"), "north").await;
    assert_eq!((&ended["state"], &ended["code"]), (&json!("expired"), &json!("after-unknown")));
    assert_eq!(ended["cause"], json!(unseen));
    agent.still_works(2).await;
}

#[tokio::test]
async fn waiting_longer_than_a_command_takes_ends_with_it() {
    let agent = two("").await;
    let began = std::time::Instant::now();
    let ran = agent.run_command(1, "north", "power.suspend", json!({})).await.expect(200);
    assert_eq!(ran.json["state"], "done");
    assert!(began.elapsed() < Duration::from_secs(15), "it waited though the command had ended");
    // A wait that is over before the command is answers with where it stands.
    let path = format!("/v1/vms/{}/commands", agent.vm(1));
    let mut body = held();
    body["id"] = json!(Uuid::now_v7());
    body["action"] = json!("power.resume");
    let answer = agent.request_with("POST", &path, "north", body.to_string(), &[("prefer", "wait=1")]).await;
    assert_eq!(answer.expect(202).json["state"], "queued");
}
