//! `covirt freeze` and `thaw`, and what a revocation says.

use serde_json::{Value, json};

use super::{covirt, says, told, waiting};
use crate::support::agent::Setup;

#[tokio::test]
async fn a_frozen_provider_begins_nothing_keeps_what_it_has_open_and_is_so_after_a_restart() {
    let mut agent = Setup::with_vms(2).start();
    agent.enroll(1).await;
    agent.delegate(1, &["power.suspend", "power.resume", "lock.acquire", "lock.release"], "shared").await;
    let lock = json!({ "args": { "reason": "moving", "lease_s": 600 } });
    agent.run_command(1, "south", "lock.acquire", lock).await.expect(200);
    let waits = agent.submit(1, "south", "power.suspend", waiting()).await.expect(202).text("id");
    let said = says(&agent, "operator", &["freeze", "--provider", "south", "--reason", "it loops"]);
    assert!(said.contains("provider south is frozen") && said.contains("lock"), "{said}");
    let ended = agent.ended_command(&waits, "south").await;
    assert_eq!((&ended["state"], &ended["code"]), (&json!("cancelled"), &json!("frozen")));
    let refused = agent.submit(1, "south", "power.suspend", Value::Null).await.refused(409, "frozen");
    assert!(refused.text("detail").contains("it loops"), "{}", refused.json);
    agent.kill9();
    agent.run();
    agent.submit(1, "south", "power.suspend", Value::Null).await.refused(409, "frozen");
    // North is not frozen, but south's lock keeps it back; south may still let go.
    agent.run_command(1, "south", "lock.release", Value::Null).await.expect(200);
    agent.run_command(1, "north", "power.suspend", Value::Null).await.expect(200);
    let list = says(&agent, "operator", &["freeze", "--list"]);
    assert!(list.contains("provider south") && list.contains("it loops"), "{list}");
    says(&agent, "operator", &["thaw", "--provider", "south", "--reason", "mended"]);
    agent.run_command(1, "south", "power.resume", Value::Null).await.expect(200);
    let host = told(&agent, "operator", "host").await;
    let what: Vec<&str> = host.iter().filter_map(|event| event["fact"]["what"].as_str()).collect();
    assert_eq!(what, ["frozen", "thawed"]);
    let uid = nix::unistd::getuid().as_raw();
    assert_eq!(host[0]["fact"]["by"]["peer"]["uid"], uid, "{}", host[0]);
    assert!(told(&agent, "north", "host").await.is_empty(), "the host's records are the operator's");
    assert_eq!(told(&agent, "north", "frozen").await.len(), 1, "whoever has a part in the VM is told");
    assert!(says(&agent, "operator", &["audit", "verify"]).contains("intact"));
}

#[tokio::test]
async fn a_frozen_host_enrolls_and_delegates_nothing_and_the_operator_goes_on_unless_it_says_otherwise() {
    let agent = Setup::with_vms(2).start();
    agent.enroll(1).await;
    says(&agent, "operator", &["freeze", "--reason", "maintenance"]);
    let path = format!("/v1/vms/{}/enrollment", agent.vm(2));
    agent.request("POST", &path, "north", None).await.refused(409, "frozen");
    let grant = json!({ "to": "south", "actions": ["power.suspend"], "mode": "shared" });
    let path = format!("/v1/vms/{}/delegations", agent.vm(1));
    agent.request("POST", &path, "north", Some(grant)).await.refused(409, "frozen");
    agent.run_command(1, "operator", "power.suspend", Value::Null).await.expect(200);
    says(&agent, "operator", &["freeze", "--all"]);
    agent.submit(1, "operator", "power.resume", Value::Null).await.refused(409, "frozen");
    says(&agent, "operator", &["thaw"]);
    agent.run_command(1, "north", "power.resume", Value::Null).await.expect(200);
}

#[tokio::test]
async fn only_the_operator_freezes_and_only_what_is_frozen_is_thawed() {
    let agent = Setup::with_vms(1).start();
    for who in ["north", "south"] {
        agent.request("POST", "/v1/freezes", who, Some(json!({}))).await.refused(403, "forbidden");
        agent.request("DELETE", "/v1/freezes", who, None).await.refused(403, "forbidden");
        agent.get("/v1/freezes", who).await.refused(403, "forbidden");
    }
    let post = |body: Value| agent.request("POST", "/v1/freezes", "operator", Some(body));
    post(json!({ "provider": "nobody" })).await.refused(404, "unknown-provider");
    post(json!({ "provider": "south", "vm": agent.vm(1) })).await.refused(400, "malformed");
    post(json!({ "reason": "two\nlines" })).await.refused(400, "malformed");
    agent.request("DELETE", "/v1/freezes?provider=south", "operator", None).await.refused(409, "not-frozen");
    assert_eq!(covirt(&agent, "operator", &["thaw"]).status.code(), Some(3));
}

#[tokio::test]
async fn a_revocation_ends_what_waits_under_it_and_says_what_still_runs() {
    let agent = Setup::with_vms(1).start();
    agent.enroll(1).await;
    agent.delegate(1, &["power.suspend", "lock.acquire", "lock.release"], "shared").await;
    let lock = json!({ "args": { "reason": "moving", "lease_s": 600 } });
    agent.run_command(1, "south", "lock.acquire", lock).await.expect(200);
    let waits = agent.submit(1, "south", "power.suspend", waiting()).await.expect(202).text("id");
    let said = says(&agent, "north", &["revoke", &agent.vm(1).to_string(), "--from", "south", "--now"]);
    assert!(said.contains("STILL RUNNING") && said.contains("lock"), "{said}");
    let ended = agent.ended_command(&waits, "south").await;
    assert_eq!((&ended["state"], &ended["code"]), (&json!("denied"), &json!("delegation-ended")));
    agent.submit(1, "south", "power.suspend", Value::Null).await.refused(404, "unknown-vm");
}

#[tokio::test]
async fn a_host_without_an_enrollment_is_only_looked_at() {
    let agent = Setup::with_vms(1).start();
    for who in ["north", "south", "operator"] {
        agent.submit(1, who, "power.suspend", Value::Null).await.refused(404, "unknown-vm");
    }
    let listed = agent.get("/v1/vms", "north").await.expect(200).json;
    assert_eq!(listed["vms"][0]["state"], "running");
    assert_eq!(agent.get("/healthz", "").await.expect(200).json["journal"], 0, "nothing happened");
}
