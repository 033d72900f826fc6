//! Waiting from outside: hand-overs, the operator's word, breaking the glass, turns.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::agent::{Agent, Setup};

async fn rivals(tables: &str) -> Agent {
    let agent = Setup::with_vms(1).and(tables).start();
    agent.enroll(1).await;
    agent.delegate(1, &["power.*"], "shared").await;
    agent
}

#[tokio::test]
async fn a_hand_over_lets_what_is_in_flight_end_and_is_shown_meanwhile() {
    let agent = rivals("").await;
    let path = format!("/v1/vms/{}/delegations", agent.vm(1));
    let waits = json!({ "order": { "after": [Uuid::now_v7()] } });
    let waiting = agent.submit(1, "south", "power.suspend", waits).await.expect(202).text("id");
    let begun = agent.request("DELETE", &format!("{path}/south?drain=true"), "north", None).await.expect(200).json;
    assert_eq!(begun["draining"]["waits_for"], json!([waiting]), "{begun}");
    assert_eq!(begun["draining"]["by"], "north");
    let refused = agent.submit(1, "south", "power.resume", json!({})).await.expect(409);
    assert_eq!((refused.text("code"), refused.text("holder")), ("draining".to_owned(), "north".to_owned()));
    let cancel = format!("/v1/vms/{}/commands/{waiting}", agent.vm(1));
    agent.request("DELETE", &cancel, "south", None).await.expect(200);
    let done = agent.get(&path, "north").await.expect(200).json;
    assert_eq!((&done["draining"], &done["delegations"]), (&Value::Null, &json!([])), "{done}");
    // With nothing in flight there is nothing to wait for.
    let body = json!({ "to": "south", "actions": ["power.reset"], "mode": "exclusive", "drain": true });
    let at_once = agent.request("POST", &path, "north", Some(body)).await.expect(201).json;
    assert_eq!(at_once["delegations"][0]["action"], "power.reset", "{at_once}");
}

#[tokio::test]
async fn a_pair_that_disagrees_waits_for_the_operators_word() {
    let agent = rivals(
        "[lane]\ngather_for = \"writes\"\ngather_ms = 2000\nask_timeout_ms = 20000\ncallback_budget_ms = 20000\n\
         escalate = [[\"north\", \"south\"]]\n",
    )
    .await;
    let (mut north, mut south) = (agent.session("north").await, agent.session("south").await);
    let suspend = agent.submit(1, "north", "power.suspend", json!({})).await.expect(202).text("id");
    let reset = agent.submit(1, "south", "power.reset", json!({})).await.expect(202).text("id");
    let (asked, asked_south) = (north.next_of("ask").await, south.next_of("ask").await);
    north.answer(&asked, "mine-first").await;
    south.answer(&asked_south, "mine-first").await;
    north.next_of("answered").await;
    south.next_of("answered").await;
    let list = agent.get(&format!("/v1/vms/{}/conflicts", agent.vm(1)), "operator").await.expect(200).json;
    assert!(list["conflicts"][0]["escalated_until"].is_string(), "{list}");
    assert_eq!(agent.command(&suspend, "north").await["state"], "queued");
    let path = format!("/v1/conflicts/{}/decision", asked["ask"].as_str().expect("an id"));
    let word = |first: &str| Some(json!({ "first": first }));
    agent.request("POST", &path, "north", word(&suspend)).await.expect(403);
    let nobody = agent.request("POST", &path, "operator", word(&Uuid::now_v7().to_string())).await.expect(404);
    assert_eq!(nobody.text("code"), "unknown-command");
    let settled = agent.request("POST", &path, "operator", word(&reset)).await.expect(200).json;
    assert_eq!((&settled["verdict"]["rule"], &settled["verdict"]["first"]), (&json!("escalation"), &json!(reset)));
    assert_eq!(agent.ended_command(&suspend, "north").await["rule"], "escalation");
    let late = agent.request("POST", &path, "operator", word(&suspend)).await.expect(409);
    assert_eq!(late.text("code"), "conflict-settled");
    let path = format!("/v1/conflicts/{}/decision", Uuid::now_v7());
    let unknown = agent.request("POST", &path, "operator", word(&reset)).await.expect(404);
    assert_eq!(unknown.text("code"), "unknown-conflict");
}

#[tokio::test]
async fn the_operators_reason_to_break_the_glass_is_told_and_kept() {
    let agent = rivals("").await;
    let broken = json!({ "break_glass": "smoke in rack 7" });
    let refused = agent.submit(1, "south", "power.suspend", broken.clone()).await.expect(403);
    assert_eq!(refused.text("code"), "forbidden");
    let ran = agent.run_command(1, "operator", "power.suspend", broken).await.expect(200).json;
    assert_eq!((&ran["state"], &ran["break_glass"]), (&json!("done"), &json!("smoke in rack 7")));
    let id = ran["id"].as_str().expect("an id");
    let explained = agent.get(&format!("/v1/commands/{id}/explain"), "operator").await.expect(200).json;
    assert!(explained["story"][0]["what"].as_str().is_some_and(|what| what.contains("smoke in rack 7")), "{explained}");
    let events = agent.get("/v1/events", "north").await.expect(200).json;
    let told = events["events"].as_array().expect("events").iter();
    assert!(told.filter_map(|event| event["text"].as_str()).any(|text| text.contains("smoke in rack 7")), "{events}");
    let empty = agent.submit(1, "operator", "power.resume", json!({ "break_glass": "" })).await.expect(400);
    assert_eq!(empty.text("code"), "malformed");
}

#[tokio::test]
async fn a_wish_to_begin_by_then_is_shown_and_refused_when_it_is_past() {
    let agent = rivals("").await;
    let refused = agent.submit(1, "south", "power.suspend", json!({ "must_start_by": "2026-01-01T00:00:00Z" })).await;
    assert_eq!(refused.expect(422).text("code"), "deadline-passed");
    let wish = json!({ "must_start_by": "2999-01-01T00:00:00Z" });
    let ran = agent.run_command(1, "south", "power.suspend", wish).await.expect(200).json;
    assert_eq!((&ran["must_start_by"], &ran["deferrals"]), (&json!("2999-01-01T00:00:00.000000Z"), &json!(0)));
}
