//! A hostile second provider: mallory has one harmless action on one VM, and tries everything else. The built `covirtd`
//! on libvirt's mock driver. Nothing of others is shown, and nothing changes: the journal's head is the same afterwards.
//!
//! What floods and hinders is in `adversary_load.rs`, what its commands name of the host in `qemu_confinement.rs`.

#[path = "../src/resolver/tests/samples.rs"]
mod samples;
mod support;

use covirt::model::Action;
use serde_json::{Value, json};
use support::agent::{Agent, Answer, Session, Setup};
use uuid::Uuid;

/// What mallory may do, on the second VM alone.
const HARMLESS: Action = Action::MetadataSet;

/// Two VMs of north's. On the first mallory has no part, and on it are: a command that ended, two that meet,
/// and the answer about these that nobody has given yet.
struct Scene {
    agent: Agent,
    south: Session,
    secrets: Vec<(String, String)>,
}

impl Scene {
    async fn set() -> Self {
        let uid = nix::unistd::getuid();
        let slow = "[lane]\nask_timeout_ms = 600000\ncallback_budget_ms = 600000\ngather_for = \"writes\"\n";
        let mallory = format!("[[provider]]\nid = \"mallory\"\nuids = [{uid}]\n{slow}");
        let agent = Setup::with_vms(2).and(&mallory).start();
        agent.enroll(1).await;
        agent.enroll(2).await;
        let give = |to: &str, action: &str| json!({ "to": to, "actions": [action], "mode": "shared" });
        let delegations = |number| format!("/v1/vms/{}/delegations", agent.vm(number));
        agent.request("POST", &delegations(1), "north", Some(give("south", "power.suspend"))).await.expect(201);
        agent.request("POST", &delegations(2), "north", Some(give("mallory", &HARMLESS.to_string()))).await.expect(201);
        let named = json!({ "args": { "name": "norths-own-snapshot" } });
        let ended = agent.run_command(1, "north", "snapshot.create", named).await.expect(200).text("id");
        let mut south = agent.session("south").await;
        let ours = agent.submit(1, "south", "power.suspend", Value::Null).await.expect(202).text("id");
        let theirs = agent.submit(1, "north", "power.reset", Value::Null).await.expect(202).text("id");
        let ask = south.next_of("ask").await;
        let conflicts = agent.get(&format!("/v1/vms/{}/conflicts", agent.vm(1)), "operator").await.expect(200).json;
        let conflict = conflicts["conflicts"][0]["id"].as_str().expect("a conflict").to_owned();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let secrets = vec![
            (agent.vm(1).to_string(), Uuid::from_u128(0xdead).to_string()),
            (ended, Uuid::now_v7().to_string()),
            (ours, Uuid::now_v7().to_string()),
            (theirs, Uuid::now_v7().to_string()),
            (conflict, Uuid::from_u128(0xbeef).to_string()),
            (text(&ask["ask"]), Uuid::from_u128(0xfeed).to_string()),
        ];
        Self { agent, south, secrets }
    }

    /// Of everything that is mallory's not to know, the real id and one of nothing.
    fn real(&self, at: usize) -> &str {
        &self.secrets[at].0
    }

    /// What a text is when each real id in it is one of nothing.
    fn blind(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, (real, none)| text.replace(real, none))
    }

    #[track_caller]
    fn tells_nothing(&self, about: &str, said: &str) {
        let words = self.secrets.iter().map(|(real, _)| real.as_str()).chain(["vm1", "norths-own-snapshot"]);
        for word in words.chain(["power.suspend\"", "power.reset\"", "snapshot.create\""]) {
            assert!(!said.contains(word) || said.contains("\"paths\""), "{about} tells of {word}: {said}");
        }
    }

    /// How the journal stands.
    async fn head(&self) -> Value {
        self.agent.get("/v1/audit/verify", "operator").await.expect(200).json
    }
}

/// Which body a path takes, so that a refusal is about who asks and not about what is asked.
fn body(scene: &Scene, path: &str) -> Value {
    let id = scene.real(1);
    match path.rsplit('/').next().unwrap_or_default() {
        "commands" => json!({ "id": Uuid::now_v7(), "action": "power.stop" }),
        "delegations" => json!({ "to": "mallory", "actions": ["power.stop"], "mode": "shared" }),
        "break-glass" => json!({ "reason": "mine now", "for_s": 60 }),
        "decision" => json!({ "first": id }),
        "release" => json!({ "reason": "mine now" }),
        "freezes" => json!({ "scope": "host", "reason": "mine now" }),
        "providers" => json!({ "id": "friend", "kind": "openstack" }),
        "keys" => json!({ "csr": "none" }),
        _ => json!({}),
    }
}

/// As if for a WebSocket, which some paths are.
const UPGRADE: [(&str, &str); 5] = [
    ("connection", "upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-protocol", "binary"),
];

async fn tries(scene: &Scene, method: &str, path: &str, body: &Value) -> Answer {
    let text = if method == "post" { body.to_string() } else { String::new() };
    let channel = ["console", "vnc", "nbd"].iter().any(|end| path.ends_with(end));
    let headers: &[(&str, &str)] = if channel { &UPGRADE } else { &[] };
    scene.agent.request_with(&method.to_uppercase(), path, "mallory", text, headers).await
}

#[tokio::test]
async fn every_endpoint_answers_as_if_what_is_others_were_not_there() {
    let scene = Scene::set().await;
    let before = scene.head().await;
    let document = scene.agent.get("/openapi.json", "mallory").await.expect(200).json;
    let (mut with_ids, mut without) = (0, 0);
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys().filter(|method| *method != "parameters") {
            if path == "/v1/session" {
                continue;
            }
            let real = path.replace("{vm}", scene.real(0)).replace("{provider}", "south").replace("{hold}", "backup");
            let real = real
                .replace("{format}", "openstack")
                .replace("{target}", "vda")
                .replace("{key}", &format!("sha256:{}", "0a".repeat(32)));
            let id = match path {
                _ if path.contains("conflicts/{id}") => scene.real(4),
                _ if path.contains("providers/{id}") => "south",
                _ => scene.real(1),
            };
            let real = real.replace("{id}", id).replace("{channel}", scene.real(4));
            let sent = body(&scene, path);
            let said = tries(&scene, method, &real, &sent).await;
            let text = String::from_utf8_lossy(&said.body).into_owned();
            if !path.contains('{') {
                without += 1;
                scene.tells_nothing(&format!("{method} {path}"), &text);
                continue;
            }
            with_ids += 1;
            let blind: Value = serde_json::from_str(&scene.blind(&sent.to_string())).expect("JSON");
            let nothing = tries(&scene, method, &scene.blind(&real), &blind).await;
            let none = String::from_utf8_lossy(&nothing.body).into_owned();
            assert!(said.status >= 400, "{method} {path} is let through: {} {text}", said.status);
            assert_eq!((said.status, scene.blind(&text)), (nothing.status, none), "{method} {path}");
            assert_eq!(said.headers.len(), nothing.headers.len(), "{method} {path}");
            let code = said.json["code"].as_str().unwrap_or_default();
            let hides = ["unknown-vm", "unknown-command", "unknown-conflict", "unknown-channel", "forbidden"];
            assert!(hides.contains(&code), "{method} {path} is refused for another reason: {text}");
        }
    }
    assert!(with_ids > 30 && without > 15, "{with_ids} and {without} were tried");
    assert_eq!(scene.head().await, before, "something has changed");
}

#[tokio::test]
async fn events_of_others_reach_nobody_else_by_any_way_to_ask() {
    let mut scene = Scene::set().await;
    let mut session = scene.agent.session("mallory").await;
    session.send(json!({ "type": "subscribe", "after": 0 })).await;
    // What comes last for mallory comes after all that is not for it.
    let mine = json!({ "args": { "uri": "urn:mallory", "key": "m", "xml": "<m/>" } });
    scene.agent.run_command(1, "operator", "metadata.set", mine.clone()).await.expect(200);
    let last = scene.agent.run_command(2, "mallory", "metadata.set", mine).await.expect(200).text("id");
    let mut heard = String::new();
    loop {
        let event = session.next_of("event").await.to_string();
        scene.tells_nothing("the session", &event);
        heard.push_str(&event);
        if event.contains(&last) && event.contains("\"ended\"") {
            break;
        }
    }
    assert!(heard.contains(&scene.agent.vm(2).to_string()));
    for query in ["", "?after=0", "?after=0&limit=1000", &format!("?vm={}", scene.agent.vm(1))] {
        let page = scene.agent.get(&format!("/v1/events{query}"), "mallory").await;
        scene.tells_nothing(query, &String::from_utf8_lossy(&page.body));
    }
    // An ask is south's alone, whoever knows its id.
    let (ask, conflict) = (scene.real(5).to_owned(), scene.real(4).to_owned());
    let before = scene.head().await;
    for id in [&ask, &conflict] {
        for epoch in [0, 1, 2, u64::MAX] {
            session.send(json!({ "type": "answer", "ask": id, "epoch": epoch, "answer": "mine-first" })).await;
            let error = session.next_of("error").await;
            assert_eq!(error["code"], "unknown-ask", "{error}");
        }
    }
    assert_eq!(scene.head().await, before, "somebody else's answer counts");
    scene.south.send(json!({ "type": "answer", "ask": ask, "epoch": 1, "answer": "theirs-first" })).await;
}

#[tokio::test]
async fn what_is_not_delegated_is_refused_whatever_it_is_dressed_as() {
    let scene = Scene::set().await;
    let before = scene.head().await;
    let seen = |view: Value| (view["power"].clone(), view["definition"].clone(), view["devices"].clone());
    let look = async || scene.agent.run_command(2, "operator", "inspect.read", Value::Null).await.expect(200).json;
    let vm = seen(look().await["result"].clone());
    let head = scene.head().await;
    assert_ne!(head, before, "a look is in the journal");
    // Whoever has a part in a VM may look at it.
    for action in Action::ALL.into_iter().filter(|action| *action != HARMLESS && !action.is_read()) {
        let args = samples::args(action, 0);
        for dressed in [
            json!({ "args": args }),
            json!({ "args": args, "class": "emergency" }),
            json!({ "args": args, "break_glass": "it burns" }),
            json!({ "args": args, "epoch": 0 }),
            json!({ "args": args, "provider": "north" }),
            json!({ "args": args, "order": { "after": [scene.real(1)] } }),
        ] {
            let said = scene.agent.submit(2, "mallory", &action.to_string(), dressed.clone()).await;
            let code = said.text("code");
            // Arguments that are none, a channel, or what only libvirt's clients do is refused by what it is.
            let codes = ["not-delegated", "forbidden", "malformed", "opens-channel", "only-relayed", "stale-epoch"];
            assert!(said.status >= 400 && codes.contains(&code.as_str()), "{action} {dressed}: {}", said.json);
            let other = scene.agent.submit(1, "mallory", &action.to_string(), dressed.clone()).await;
            assert!(other.status >= 400, "{action} {dressed}: {}", other.json);
            scene.tells_nothing(&action.to_string(), &other.json.to_string().replace(&action.to_string(), ""));
        }
    }
    assert_eq!(scene.head().await, head, "nothing of it came to a lane");
    assert_eq!(seen(look().await["result"].clone()), vm);
    // What it has, it has: it is not that nothing goes.
    let mine = json!({ "args": { "uri": "urn:mallory", "key": "m", "xml": "<m/>" } });
    let done = scene.agent.run_command(2, "mallory", &HARMLESS.to_string(), mine).await.expect(200).json;
    assert_eq!(done["state"], "done", "{done}");
}

#[tokio::test]
async fn what_is_too_late_or_was_said_before_is_not_done_again() {
    let scene = Scene::set().await;
    let write = |id: Uuid, text: &str, more: Value| {
        let mut body = json!({ "id": id, "action": "metadata.set", "args": { "uri": "urn:m", "key": "m", "xml": format!("<m>{text}</m>") } });
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        body
    };
    // An id that others have used, on a VM of others', is as good as any on a VM that there is not.
    let stolen = write(scene.real(1).parse().expect("an id"), "zero", json!({})).to_string();
    let at = async |vm: &str| {
        scene.agent.request_with("POST", &format!("/v1/vms/{vm}/commands"), "mallory", stolen.clone(), &[]).await
    };
    let (said, nothing) = (at(scene.real(0)).await, at(&scene.secrets[0].1).await);
    assert_eq!((said.status, &said.json), (nothing.status, &nothing.json));
    let path = format!("/v1/vms/{}/commands", scene.agent.vm(2));
    let send = async |body: Value| {
        scene.agent.request_with("POST", &path, "mallory", body.to_string(), &[("prefer", "wait=20")]).await
    };
    let (first, past) = (Uuid::now_v7(), "2020-01-01T00:00:00Z");
    let numbered = write(first, "one", json!({ "order": { "seq": 7 } }));
    assert_eq!(send(numbered.clone()).await.expect(200).json["state"], "done");
    let head = scene.head().await;
    // The same again is the same command, and is not executed anew.
    let again = send(numbered).await.expect(200).json;
    assert_eq!((&again["id"], &again["state"]), (&json!(first), &json!("done")));
    send(write(first, "two", json!({ "order": { "seq": 7 } }))).await.refused(409, "id-reused");
    send(write(Uuid::now_v7(), "three", json!({ "order": { "seq": 7 } }))).await.refused(409, "seq-replayed");
    send(write(Uuid::now_v7(), "four", json!({ "order": { "seq": 3 } }))).await.refused(409, "seq-replayed");
    assert_eq!(scene.head().await, head, "a replay leaves nothing behind");
    // Somebody else's command, repeated word for word, tells nothing of it and is nobody's.
    let stolen: Uuid = scene.real(1).parse().expect("an id");
    let said = send(write(stolen, "five", json!({}))).await;
    scene.tells_nothing("a stolen id", &scene.blind(&said.json.to_string()));
    // A deadline that has passed, and a stamp of long ago or far ahead: neither is executed late nor counts as first.
    let late = send(write(Uuid::now_v7(), "six", json!({ "not_after": past }))).await;
    assert_eq!(late.json["code"], "deadline-passed", "{}", late.json);
    let ahead = send(write(Uuid::now_v7(), "seven", json!({ "issued_at": "2099-01-01T00:00:00Z" }))).await;
    assert_eq!(ahead.expect(200).json["stamp"], "clamped-future", "a stamp from ahead is told as what it is");
}
