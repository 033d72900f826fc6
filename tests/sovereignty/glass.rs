//! `covirt break-glass`.

use serde_json::{Value, json};

use super::{covirt, says, told, waiting};
use crate::support::agent::{SOON, Setup};
use crate::support::until;

#[tokio::test]
async fn the_operator_takes_every_action_past_a_lock_everybody_is_told_and_it_ends_by_itself() {
    let agent = Setup::with_vms(1).start();
    agent.enroll(1).await;
    agent.delegate(1, &["power.suspend", "lock.acquire", "lock.release"], "shared").await;
    let lock = json!({ "args": { "reason": "moving", "lease_s": 600 } });
    agent.run_command(1, "south", "lock.acquire", lock).await.expect(200);
    let waits = agent.submit(1, "north", "power.suspend", waiting()).await.expect(202).text("id");
    let vm = agent.vm(1).to_string();
    let said = says(&agent, "operator", &["break-glass", &vm, "--reason", "a disk burns", "--for", "2s"]);
    assert!(said.contains("the operator's until"), "{said}");
    let ended = agent.ended_command(&waits, "north").await;
    assert_eq!((&ended["state"], &ended["code"]), (&json!("cancelled"), &json!("glass-broken")));
    let ran = agent.run_command(1, "operator", "power.suspend", Value::Null).await.expect(200);
    assert_eq!(ran.json["state"], "done", "{}", ran.json);
    // It mends by itself; the host's own records say so, too.
    let mended = async {
        loop {
            let host = told(&agent, "operator", "host").await;
            let what: Vec<String> =
                host.iter().filter_map(|event| Some(event["fact"]["what"].as_str()?.to_owned())).collect();
            if what == ["glass-broken", "glass-mended"] {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, mended).await.expect("the glass mends");
    for who in ["north", "south"] {
        let broken = told(&agent, who, "glass-broken").await;
        assert!(broken[0]["text"].as_str().is_some_and(|text| text.contains("a disk burns")), "{broken:?}");
        assert_eq!(told(&agent, who, "glass-mended").await.len(), 1);
    }
    assert!(agent.log().contains("broke the glass"), "it is in the log");
    agent.run_command(1, "south", "lock.release", Value::Null).await.expect(200);
    agent.run_command(1, "north", "power.resume", Value::Null).await.expect(200);
}

#[tokio::test]
async fn the_glass_is_whole_again_when_the_operator_says_so_and_nobody_else_touches_it() {
    let agent = Setup::with_vms(1).start();
    agent.enroll(1).await;
    let vm = agent.vm(1).to_string();
    let path = format!("/v1/vms/{vm}/break-glass");
    agent.request("POST", &path, "north", Some(json!({ "reason": "I want to" }))).await.refused(403, "forbidden");
    agent.request("POST", &path, "operator", Some(json!({ "reason": " " }))).await.refused(400, "malformed");
    agent
        .request("POST", &path, "operator", Some(json!({ "reason": "x", "for_s": 0 })))
        .await
        .refused(400, "malformed");
    assert_eq!(covirt(&agent, "operator", &["break-glass", &vm, "--end"]).status.code(), Some(3));
    says(&agent, "operator", &["break-glass", &vm, "--reason", "a disk burns"]);
    agent.submit(1, "north", "power.suspend", Value::Null).await.refused(409, "glass-broken");
    says(&agent, "operator", &["break-glass", &vm, "--end"]);
    agent.run_command(1, "north", "power.suspend", Value::Null).await.expect(200);
    until("the log says so", SOON, || agent.log().contains("is whole again").then_some(()));
}
