//! The agent's own life: starting, refusing to start, stopping, dying and coming back.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::agent::{Agent, Setup};

fn covirtd(config: &std::path::Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_covirtd")).arg("--config").arg(config).args(more).output().expect("run covirtd")
}

fn says(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn health_tells_what_there_is() {
    let agent = Setup::default().start();
    agent.enroll(1).await;
    let health = agent.get("/healthz", "").await.expect(200).json;
    assert_eq!((&health["status"], &health["lanes"]), (&json!("ok"), &json!(1)));
    assert_eq!(health["hypervisor"], "test:///default");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert!(health["journal"].as_u64() >= Some(1));
}

#[tokio::test]
async fn the_openapi_document_lists_every_route() {
    let agent = Setup::default().start();
    let document = agent.get("/openapi.json", "").await.expect(200).json;
    assert!(document["openapi"].as_str().expect("a version").starts_with("3."));
    let source =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doors/api/mod.rs")).expect("the router");
    let mut routes = 0;
    for line in source.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
        let (path, methods) = line.split_once('"').expect("a path");
        if path == "/openapi.json" {
            continue;
        }
        routes += 1;
        for method in ["get", "post", "delete"] {
            let routed = methods.contains(&format!("{method}("));
            let listed = document["paths"][path][method].is_object();
            assert_eq!(routed, listed, "{method} {path}");
        }
    }
    assert_eq!(document["paths"].as_object().map(serde_json::Map::len), Some(routes));
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("a name");
        assert!(document["components"]["schemas"][name].is_object(), "{name} is not described");
    }
    assert!(document["components"]["schemas"]["Problem"].is_object());
}

#[tokio::test]
async fn told_to_stop_it_drains_and_takes_its_socket_with_it() {
    let mut agent = Setup::with_vms(2).start();
    agent.enroll(1).await;
    let mut session = agent.session("north").await;
    let waits = json!({ "order": { "after": [Uuid::now_v7()] } });
    let waiting = agent.submit(1, "north", "power.suspend", waits).await.expect(202).text("id");
    agent.terminate();
    assert_eq!(session.closed().await, (4000, "closing".to_owned()));
    assert!(agent.ended().success(), "{}", agent.log());
    assert!(!agent.socket().exists());
    // What waited still waits after the next start.
    agent.run();
    assert_eq!(agent.command(&waiting, "north").await["state"], "queued");
    agent.still_works(1).await;
}

#[tokio::test]
async fn a_request_under_way_is_finished_when_it_is_told_to_stop() {
    let mut agent = Setup::with_vms(1).start();
    agent.enroll(1).await;
    let waits = json!({ "order": { "after": [Uuid::now_v7()] }, "not_after": null });
    let began = std::time::Instant::now();
    let path = "/v1/events?after=100000&wait=30";
    let (_, ()) = tokio::join!(
        async {
            // Cut off or answered, but not hanging.
            let stream = tokio::net::UnixStream::connect(agent.socket()).await.expect("connect");
            let request = format!("GET {path} HTTP/1.1\r\nhost: covirt\r\ncovirt-provider: north\r\n\r\n");
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (mut from, mut to) = stream.into_split();
            to.write_all(request.as_bytes()).await.expect("write");
            let mut answer = Vec::new();
            let _ = from.read_to_end(&mut answer).await;
        },
        async {
            agent.submit(1, "north", "power.suspend", waits).await.expect(202);
            agent.terminate();
        }
    );
    assert!(agent.ended().success());
    assert!(began.elapsed() < std::time::Duration::from_secs(25));
}

#[tokio::test]
async fn a_second_agent_on_the_same_state_is_refused() {
    let agent = Setup::default().start();
    let text = std::fs::read_to_string(agent.folder().join("covirt.toml")).expect("the configuration");
    let other = agent.folder().join("other.toml");
    std::fs::write(&other, text.replace("/sock\"", "/sock2\"")).expect("write");
    let second = covirtd(&other, &[]);
    assert!(!second.status.success());
    assert!(says(&second).contains("in use") && says(&second).contains("journal"), "{}", says(&second));
    // With a state of its own it meets the socket.
    std::fs::write(&other, text.replace("/state\"", "/state2\"")).expect("write");
    let second = covirtd(&other, &[]);
    assert!(!second.status.success());
    assert!(says(&second).contains("another agent serves"), "{}", says(&second));
    agent.get("/healthz", "").await.expect(200);
}

#[test]
fn a_bad_configuration_is_refused_with_its_file_and_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("covirt.toml");
    for (text, wanted) in [
        ("[agent]\n\nsokcet = \"/x\"\n", ":3:1: "),
        ("[lane]\ngather_ms = \"soon\"\n", ":2:13: "),
        ("[agent\n", ":1:7: "),
        ("[[provider]]\nid = \"operator\"\n", "operator"),
        ("[agent]\nsocket = \"here\"\n", "absolute"),
    ] {
        std::fs::write(&path, text).expect("write");
        for more in [&["--check-config"][..], &[]] {
            let output = covirtd(&path, more);
            assert!(!output.status.success());
            let said = says(&output);
            assert!(said.contains(wanted) && said.contains(path.to_str().expect("text")), "{said}");
        }
    }
    std::fs::remove_file(&path).expect("remove");
    assert!(says(&covirtd(&path, &["--check-config"])).contains("cannot be read"));
}

#[test]
fn a_good_configuration_is_checked_without_being_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("covirt.toml");
    let state = folder.path().join("state");
    std::fs::write(&path, format!("[agent]\nstate_dir = {state:?}\n[[provider]]\nid = \"north\"\nuids = [1000]\n"))
        .expect("write");
    let output = covirtd(&path, &["--check-config"]);
    assert!(output.status.success(), "{}", says(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("in order: "));
    assert!(!state.exists());
}

#[tokio::test]
async fn without_its_hypervisor_it_starts_and_says_so() {
    let agent = Setup::without_hypervisor().start();
    assert_eq!(agent.get("/healthz", "").await.expect(200).json["status"], "degraded");
    let path = format!("/v1/vms/{}/enrollment", agent.vm(1));
    agent.request("POST", &path, "north", None).await.refused(503, "hypervisor-unreachable");
    agent.get("/v1/vms", "north").await.refused(503, "hypervisor-unreachable");
    agent.get("/v1/vms", "south").await.expect(200);
}

#[tokio::test]
async fn a_socket_that_a_dead_agent_left_is_replaced_and_other_files_are_not() {
    let mut agent = Setup::default().start();
    agent.kill9();
    assert!(agent.socket().exists());
    agent.run();
    agent.get("/healthz", "").await.expect(200);
    agent.kill9();
    std::fs::remove_file(agent.socket()).expect("remove");
    std::fs::write(agent.socket(), "precious").expect("write");
    let output = covirtd(&agent.folder().join("covirt.toml"), &[]);
    assert!(says(&output).contains("not a socket"), "{}", says(&output));
    assert_eq!(std::fs::read_to_string(agent.socket()).expect("it is there"), "precious");
}

/// What two clients sent to a daemon that dies at some moment.
async fn submit_until_it_dies(agent: &Agent, who: &str, count: u64) -> Vec<(Uuid, &'static str)> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut accepted = Vec::new();
    for number in 0..count {
        let id = Uuid::now_v7();
        let body = match (who, number % 3) {
            ("north", 0) => json!({ "id": id, "action": "power.suspend" }),
            ("north", 1) => json!({ "id": id, "action": "power.resume" }),
            ("north", _) => json!({ "id": id, "action": "cpu.set", "args": { "vcpus": 1 + number % 4 } }),
            _ => json!({ "id": id, "action": "snapshot.create", "args": { "name": format!("{who}-{number}") } }),
        };
        let body = body.to_string();
        let Ok(mut stream) = tokio::net::UnixStream::connect(agent.socket()).await else { break };
        let request = format!(
            "POST /v1/vms/{}/commands HTTP/1.1\r\nhost: covirt\r\nconnection: close\r\ncovirt-provider: {who}\r\n\
             content-length: {}\r\n\r\n{body}",
            agent.vm(1),
            body.len()
        );
        if stream.write_all(request.as_bytes()).await.is_err() {
            break;
        }
        let mut answer = Vec::new();
        let whole = stream.read_to_end(&mut answer).await.is_ok();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if answer.starts_with("HTTP/1.1 20") {
            accepted.push((id, if who == "north" { "north" } else { "south" }));
        } else if whole && !answer.is_empty() {
            panic!("{answer}");
        }
        if !whole || answer.is_empty() {
            break;
        }
    }
    accepted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_loses_nothing_it_accepted() {
    // Milliseconds after the clients begin; chosen to fall into admission, execution and idle moments alike.
    for delay in [3, 9, 17, 28, 43, 61, 97, 150] {
        let mut agent = Setup::with_vms(2).start();
        agent.enroll(1).await;
        agent.enroll(2).await;
        agent.delegate(1, &["snapshot.*"], "exclusive").await;
        let pid = agent.pid();
        let killer = tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(delay)).await;
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        });
        let (north, south) =
            tokio::join!(submit_until_it_dies(&agent, "north", 60), submit_until_it_dies(&agent, "south", 60));
        killer.await.expect("the killer");
        agent.kill9();
        agent.run();
        for (id, who) in north.iter().chain(&south) {
            let ended = agent.ended_command(&id.to_string(), who).await;
            assert!(ended["finished_at"].is_string(), "{ended}");
        }
        // One end each, and no second start but after an observation that the first had no effect.
        let mut seen = BTreeMap::<(String, String), usize>::new();
        let mut cursor = 0;
        loop {
            let page = agent.get(&format!("/v1/events?after={cursor}"), "operator").await.expect(200).json;
            let events = page["events"].as_array().expect("events");
            for event in events {
                let of = |field: &Value| field.as_str().unwrap_or_default().to_owned();
                *seen.entry((of(&event["kind"]), of(&event["fact"]["command"]))).or_default() += 1;
            }
            if events.is_empty() {
                break;
            }
            cursor = page["cursor"].as_u64().expect("a cursor");
        }
        let count = |kind: &str, id: &Uuid| seen.get(&(kind.to_owned(), id.to_string())).copied().unwrap_or(0);
        for (id, _) in north.iter().chain(&south) {
            assert_eq!(count("ended", id), 1, "{id} after {delay} ms");
            assert!(count("started", id) <= 1 + count("found-undone", id), "{id} after {delay} ms");
        }
        let audit = agent.get("/v1/audit/verify", "operator").await.expect(200).json;
        assert_eq!(audit["verdict"], "intact", "{audit}");
        agent.still_works(1).await;
        agent.still_works(2).await;
    }
}

#[tokio::test]
async fn what_was_known_before_a_crash_is_known_after_it() {
    let mut agent = Setup::with_vms(1).start();
    agent.enroll(1).await;
    agent.delegate(1, &["snapshot.*"], "exclusive").await;
    let id = Uuid::now_v7();
    let before = agent.run_command(1, "north", "power.suspend", json!({ "id": id })).await.expect(200).json;
    agent.kill9();
    agent.run();
    let after: Value = agent.command(&id.to_string(), "north").await;
    assert_eq!(after, before);
    let again = agent.run_command(1, "north", "power.suspend", json!({ "id": id })).await.expect(200).json;
    assert_eq!(again, before);
    let delegations = agent.get(&format!("/v1/vms/{}/delegations", agent.vm(1)), "south").await.expect(200).json;
    assert_eq!(delegations["delegations"].as_array().map(Vec::len), Some(3));
    // libvirt's mock driver dies with the agent: its VM runs again, and the agent sees that.
    let detail = agent.get(&format!("/v1/vms/{}", agent.vm(1)), "north").await.expect(200).json;
    assert_eq!(detail["state"], "running");
}
