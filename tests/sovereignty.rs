//! The host's owner over everybody: freezes, the ceiling, instant revocation, the broken glass, quotas. The built
//! `covirtd` and `covirt`, on libvirt's mock driver.

#[path = "sovereignty/ceiling.rs"]
mod ceiling;
#[path = "sovereignty/freeze.rs"]
mod freeze;
#[path = "sovereignty/glass.rs"]
mod glass;
#[path = "sovereignty/record.rs"]
mod record;
mod support;

use std::process::{Command, Output};

use serde_json::{Value, json};
use uuid::Uuid;

use support::agent::Agent;

/// Runs `covirt` against an agent.
fn covirt(agent: &Agent, who: &str, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_covirt"));
    command.env_remove("COVIRT_AS").arg("--socket").arg(agent.socket()).args(["--as", who]).args(words);
    command.output().expect("run covirt")
}

/// What `covirt` printed; it must have succeeded.
#[track_caller]
fn says(agent: &Agent, who: &str, words: &[&str]) -> String {
    let output = covirt(agent, who, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// A command that waits for one that does not come.
fn waiting() -> Value {
    json!({ "order": { "after": [Uuid::now_v7()] } })
}

/// Everything that the operator is told, of one kind.
async fn told(agent: &Agent, who: &str, kind: &str) -> Vec<Value> {
    let page = agent.get("/v1/events", who).await.expect(200).json;
    let events = page["events"].as_array().expect("events").iter();
    events.filter(|event| event["kind"] == kind).cloned().collect()
}
