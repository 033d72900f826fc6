//! The ceiling file, and quotas.

use std::process::Command;

use serde_json::{Value, json};

use super::{told, waiting};
use crate::support::agent::{Agent, SOON, Setup};
use crate::support::until;

const LOW: &str = "[host]\nactions = ['power.*', 'lock.*', 'inspect.read']\n\n[provider.south]\nactions = ['power.suspend', 'power.resume']\nclass = 'routine'\nprimary = false\n";

fn reload(agent: &Agent, ceiling: &str) {
    std::fs::write(agent.folder().join("ceiling.toml"), ceiling).expect("write the ceiling");
    let pid = nix::unistd::Pid::from_raw(agent.pid());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).expect("tell the agent");
}

#[tokio::test]
async fn nobody_does_and_nobody_is_given_what_is_above_the_ceiling() {
    let agent = Setup::with_vms(1).under(LOW).start();
    agent.enroll(1).await;
    let refused = agent.submit(1, "north", "snapshot.create", json!({ "args": { "name": "s" } })).await;
    let refused = refused.refused(403, "above-ceiling");
    assert!(refused.text("detail").contains("ceiling.toml, line 1, [host]"), "{}", refused.json);
    let path = format!("/v1/vms/{}/delegations", agent.vm(1));
    let grant = |action: &str| json!({ "to": "south", "actions": [action], "mode": "shared" });
    for who in ["north", "operator"] {
        let refused = agent.request("POST", &path, who, Some(grant("power.stop"))).await.refused(403, "above-ceiling");
        assert!(refused.text("detail").contains("line 4, [provider.south]"), "{}", refused.json);
    }
    agent.request("POST", &path, "north", Some(grant("power.suspend"))).await.expect(201);
    let urgent = json!({ "class": "critical" });
    agent.submit(1, "south", "power.suspend", urgent).await.refused(403, "above-ceiling");
    agent.run_command(1, "south", "power.suspend", Value::Null).await.expect(200);
    // The host's owner is above its own ceiling.
    let own = json!({ "args": { "name": "s" } });
    let own = agent.run_command(1, "operator", "snapshot.create", own).await;
    assert_ne!(own.json["code"], "above-ceiling", "{}", own.json);
    let path = format!("/v1/vms/{}/enrollment", agent.vm(1));
    agent.request("DELETE", &path, "operator", None).await.expect(204);
    agent.request("POST", &path, "operator", Some(json!({ "primary": "south" }))).await.refused(403, "above-ceiling");
}

#[tokio::test]
async fn a_lower_ceiling_takes_back_what_is_above_it_at_once_and_one_that_cannot_be_read_changes_nothing() {
    let agent = Setup::with_vms(1).under("").start();
    agent.enroll(1).await;
    agent.delegate(1, &["power.stop", "power.suspend"], "shared").await;
    let waits = agent.submit(1, "south", "power.stop", waiting()).await.expect(202).text("id");
    reload(&agent, "[provider.south]\nactions = ['power.strat']\n");
    until("the agent says why it keeps the old one", SOON, || agent.log().contains("the ceiling stays").then_some(()));
    assert!(agent.log().contains("line 2") && agent.log().contains("power.strat"), "{}", agent.log());
    assert_eq!(agent.command(&waits, "south").await["state"], "queued");
    reload(&agent, "[provider.south]\nactions = ['power.suspend']\n");
    let ended = agent.ended_command(&waits, "south").await;
    assert_eq!((&ended["state"], &ended["code"]), (&json!("denied"), &json!("above-ceiling")), "{ended}");
    let path = format!("/v1/vms/{}/delegations", agent.vm(1));
    let held = agent.get(&path, "north").await.expect(200).json;
    let actions: Vec<&Value> =
        held["delegations"].as_array().expect("a list").iter().map(|held| &held["action"]).collect();
    assert_eq!(actions, ["power.suspend"]);
    let changes = told(&agent, "operator", "host").await;
    assert_eq!(changes.last().expect("a record")["fact"]["what"], "ceiling-changed");
}

#[tokio::test]
async fn a_file_that_is_mistaken_or_missing_keeps_the_agent_from_starting() {
    let mut agent = Setup::with_vms(1).under("").start();
    agent.terminate();
    agent.ended();
    let start = || {
        let mut covirtd = Command::new(env!("CARGO_BIN_EXE_covirtd"));
        covirtd.arg("--config").arg(agent.folder().join("covirt.toml"));
        covirtd.output().expect("run covirtd")
    };
    let ceiling = agent.folder().join("ceiling.toml");
    for (text, says) in [(Some("[host]\nactions = ['power.strat']\n"), "line 2"), (None, "cannot be read")] {
        match text {
            Some(text) => std::fs::write(&ceiling, text).expect("write"),
            None => std::fs::remove_file(&ceiling).expect("remove"),
        }
        let output = start();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(says) && said.contains("ceiling.toml"), "{said}");
    }
}

#[tokio::test]
async fn a_provider_that_has_used_up_its_quota_is_told_when_to_try_again() {
    let quota = "[quota]\ncommands_per_minute = 3\nqueued = 2\n";
    let agent = Setup::with_vms(2).and(quota).under("[provider.south.quota]\nopen = 1\n").start();
    agent.enroll(1).await;
    agent.enroll(2).await;
    // On whichever VM they wait, they are of one provider.
    let first = agent.submit(1, "north", "power.suspend", waiting()).await.expect(202).text("id");
    agent.submit(2, "north", "power.suspend", waiting()).await.expect(202);
    agent.submit(1, "north", "power.suspend", Value::Null).await.refused(429, "quota-exceeded");
    let path = format!("/v1/vms/{}/commands/{first}", agent.vm(1));
    agent.request("DELETE", &path, "north", None).await.expect(200);
    agent.submit(1, "north", "power.suspend", waiting()).await.expect(202);
    agent.request("DELETE", &path, "north", None).await;
    let refused = agent.submit(1, "north", "power.resume", Value::Null).await.refused(429, "quota-exceeded");
    let host = agent.submit(1, "operator", "inspect.read", Value::Null).await;
    assert!(host.status < 300, "the operator has no quota: {}", host.json);
    let detail = refused.text("detail");
    assert!(detail.contains("try again"), "{detail}");
}
