//! Who sees what: identity, VMs in which a provider has no part, and what a revocation takes away.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::agent::{Agent, Setup};

fn names(list: &Value) -> Vec<String> {
    let vms = list["vms"].as_array().unwrap_or_else(|| panic!("no list in {list}"));
    vms.iter().map(|vm| vm["name"].as_str().expect("a name").to_owned()).collect()
}

async fn visible(agent: &Agent, who: &str) -> Vec<String> {
    names(&agent.get("/v1/vms", who).await.expect(200).json)
}

#[tokio::test]
async fn whoever_calls_is_told_who_it_is() {
    let agent = Setup::with_vms(1).start();
    for (header, provider, may_enroll) in
        [("north", "north", true), ("south", "south", false), ("operator", "operator", true), ("", "operator", true)]
    {
        let who = agent.get("/v1/whoami", header).await.expect(200).json;
        assert_eq!((&who["provider"], &who["may_enroll"]), (&json!(provider), &json!(may_enroll)));
    }
}

#[tokio::test]
async fn a_provider_sees_only_vms_in_which_it_has_a_part() {
    let agent = Setup::with_vms(3).start();
    agent.enroll(1).await;
    agent.enroll(2).await;
    agent.delegate(2, &["snapshot.*"], "exclusive").await;
    assert_eq!(visible(&agent, "operator").await, ["vm1", "vm2", "vm3"]);
    assert_eq!(visible(&agent, "north").await, ["vm1", "vm2", "vm3"]);
    assert_eq!(visible(&agent, "south").await, ["vm2"]);
    let command = agent.run_command(1, "north", "power.suspend", json!({})).await.expect(200).text("id");
    let vm = format!("/v1/vms/{}", agent.vm(1));
    for tail in ["", "/inventory", "/delegations", "/commands", "/conflicts", &format!("/commands/{command}")] {
        agent.get(&format!("{vm}{tail}"), "south").await.refused(404, "unknown-vm");
    }
    agent.get(&format!("/v1/commands/{command}"), "south").await.refused(404, "unknown-command");
    agent.get(&format!("/v1/commands/{command}/explain"), "south").await.refused(404, "unknown-command");
    agent.submit(1, "south", "power.reset", json!({})).await.refused(404, "unknown-vm");
    agent.request("DELETE", &format!("{vm}/commands/{command}"), "south", None).await.refused(404, "unknown-vm");
    agent.request("DELETE", &format!("{vm}/enrollment"), "south", None).await.refused(404, "unknown-vm");
    // The same words as for a VM that does not exist at all.
    let nowhere = agent.get(&format!("/v1/vms/{}", Uuid::from_u128(77)), "south").await;
    assert_eq!(nowhere.json, agent.get(&vm, "south").await.json);
    let events = agent.get("/v1/events", "south").await.expect(200).json;
    let of: Vec<&Value> = events["events"].as_array().expect("events").iter().map(|event| &event["vm"]).collect();
    assert!(!of.is_empty() && of.iter().all(|vm| **vm == json!(agent.vm(2))), "{events}");
    agent.get(&format!("/v1/vms/{}/inventory", agent.vm(2)), "south").await.expect(200);
    // Before anybody enrolled it, whoever may do that sees what it is, and nobody else.
    agent.get(&format!("/v1/vms/{}/inventory", agent.vm(3)), "north").await.expect(200);
    agent.get(&format!("/v1/vms/{}/inventory", agent.vm(3)), "south").await.refused(404, "unknown-vm");
    agent.get("/v1/audit/verify", "south").await.refused(403, "forbidden");
}

#[tokio::test]
async fn another_primarys_vm_stays_its_own() {
    let uid = nix::unistd::getuid();
    let agent =
        Setup::with_vms(2).and(&format!("[[provider]]\nid = \"west\"\nuids = [{uid}]\nmay_enroll = true")).start();
    agent.enroll(1).await;
    agent.run_command(1, "north", "power.suspend", json!({})).await.expect(200);
    assert_eq!(visible(&agent, "west").await, ["vm2"]);
    let vm = format!("/v1/vms/{}", agent.vm(1));
    for tail in ["", "/inventory", "/commands", "/delegations"] {
        agent.get(&format!("{vm}{tail}"), "west").await.refused(404, "unknown-vm");
    }
    agent.request("DELETE", &format!("{vm}/enrollment"), "west", None).await.refused(404, "unknown-vm");
    assert!(agent.get("/v1/events", "west").await.expect(200).json["events"].as_array().expect("a list").is_empty());
    // The operator names a primary; a provider names only itself.
    let path = format!("/v1/vms/{}/enrollment", agent.vm(2));
    agent.request("POST", &path, "west", Some(json!({ "primary": "north" }))).await.refused(403, "forbidden");
    agent.request("POST", &path, "operator", None).await.refused(400, "malformed");
    let enrolled = agent.request("POST", &path, "operator", Some(json!({ "primary": "west" }))).await.expect(201);
    assert_eq!(enrolled.json["delegations"]["primary"], "west");
}

#[tokio::test]
async fn a_revocation_denies_what_still_waits_and_its_sender_learns_that() {
    let agent = Setup::with_vms(2).start();
    agent.enroll(1).await;
    agent.enroll(2).await;
    agent.delegate(1, &["snapshot.*"], "exclusive").await;
    let waits = json!({ "args": { "name": "late" }, "order": { "after": [Uuid::now_v7()] } });
    let command = agent.submit(1, "south", "snapshot.create", waits).await.expect(202).text("id");
    let path = format!("/v1/vms/{}/delegations/south", agent.vm(1));
    let after = agent.request("DELETE", &path, "north", None).await.expect(200).json;
    assert_eq!(after["delegations"], json!([]));
    let ended = agent.ended_command(&command, "south").await;
    assert_eq!((&ended["state"], &ended["code"]), (&json!("denied"), &json!("delegation-ended")));
    agent.get(&format!("/v1/commands/{command}/explain"), "south").await.expect(200);
    assert!(visible(&agent, "south").await.is_empty());
    agent.submit(1, "south", "snapshot.create", json!({ "args": { "name": "x" } })).await.refused(404, "unknown-vm");
    agent.request("DELETE", &path, "north", None).await.refused(403, "not-delegated");
    // What it held is the primary's again.
    let ran = agent.run_command(1, "north", "snapshot.create", json!({ "args": { "name": "mine" } })).await;
    assert_eq!(ran.expect(200).json["state"], "done");
    agent.still_works(2).await;
}

#[tokio::test]
async fn a_command_is_cancelled_by_its_provider_or_the_operator_only() {
    let agent = Setup::with_vms(1).start();
    agent.enroll(1).await;
    agent.delegate(1, &["snapshot.*"], "exclusive").await;
    let waits = || json!({ "order": { "after": [Uuid::now_v7()] } });
    let path = |id: &str| format!("/v1/vms/{}/commands/{id}", agent.vm(1));
    let (a, b) = (
        agent.submit(1, "north", "power.suspend", waits()).await.text("id"),
        agent.submit(1, "north", "power.reset", waits()).await.text("id"),
    );
    let refused = agent.request("DELETE", &path(&a), "south", None).await.refused(403, "forbidden");
    assert_eq!(refused.json["holder"], "north");
    let cancelled = agent.request("DELETE", &path(&a), "north", None).await.expect(200).json;
    assert_eq!((&cancelled["state"], &cancelled["code"]), (&json!("cancelled"), &json!("cancelled-by-request")));
    agent.request("DELETE", &path(&b), "operator", None).await.expect(200);
    agent.request("DELETE", &path(&b), "north", None).await.refused(409, "commands-in-flight");
}

#[tokio::test]
async fn a_released_vm_can_be_enrolled_again_and_keeps_its_history() {
    let agent = Setup::with_vms(1).start();
    agent.enroll(1).await;
    let id = Uuid::now_v7();
    agent.run_command(1, "north", "power.suspend", json!({ "id": id })).await.expect(200);
    let path = format!("/v1/vms/{}/enrollment", agent.vm(1));
    agent.request("DELETE", &path, "north", None).await.expect(204);
    agent.get(&format!("/v1/vms/{}", agent.vm(1)), "north").await.refused(404, "unknown-vm");
    assert_eq!(agent.get("/healthz", "").await.json["lanes"], 0);
    let detail = agent.request("POST", &path, "north", None).await.expect(201).json;
    assert_eq!(detail["state"], "paused", "{detail}");
    // The same id is the same command still.
    let again = agent.run_command(1, "north", "power.suspend", json!({ "id": id })).await.expect(200);
    assert_eq!(again.json["state"], "done");
    agent.submit(1, "north", "power.reset", json!({ "id": id })).await.refused(409, "id-reused");
}
