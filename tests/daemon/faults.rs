//! Slow and broken clients, and a disk that is full.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::agent::{Agent, SOON, Setup};

const SLOW: &str = "[limits]\nhead_timeout_ms = 400\nbody_timeout_ms = 400";

/// Sends this and nothing more; what comes back until the agent ends the connection.
fn raw(agent: &Agent, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(agent.socket()).expect("connect");
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    stream.write_all(bytes).expect("write");
    let began = Instant::now();
    let mut answer = Vec::new();
    loop {
        let mut part = [0; 4096];
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the connection does not end: {error}"),
        }
    }
    assert!(began.elapsed() < Duration::from_secs(20), "it took {:?}", began.elapsed());
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_request_and_then_silence_ends_by_itself() {
    let agent = Setup::with_vms(2).and(SLOW).start();
    agent.enroll(1).await;
    agent.enroll(2).await;
    for head in ["", "G", "GET /v1/vms HTTP/1.1\r\nhost: covirt\r\ncovirt-prov"] {
        let answer = raw(&agent, head.as_bytes());
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    let path = format!("/v1/vms/{}/commands", agent.vm(1));
    let head = format!("POST {path} HTTP/1.1\r\nhost: covirt\r\ncovirt-provider: north\r\ncontent-length: 100\r\n\r\n");
    let answer = raw(&agent, format!("{head}{{\"id\":").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("application/problem+json") && answer.contains("\"too-slow\""), "{answer}");
    let chunked = format!(
        "POST {path} HTTP/1.1\r\nhost: covirt\r\ncovirt-provider: north\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{{\"id"
    );
    assert!(raw(&agent, chunked.as_bytes()).starts_with("HTTP/1.1 408"));
    agent.still_works(1).await;
    agent.still_works(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_http_is_answered_or_cut_off() {
    let agent = Setup::with_vms(1).and(SLOW).start();
    agent.enroll(1).await;
    let long = format!("GET /{} HTTP/1.1\r\nhost: covirt\r\n\r\n", "a".repeat(100_000));
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"\0\0\0\0\r\n\r\n", long.as_bytes()] {
        let answer = raw(&agent, bytes);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    agent.still_works(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_end_is_cut_off_at_the_limit() {
    let agent = Setup::with_vms(1).start();
    agent.enroll(1).await;
    let path = format!("/v1/vms/{}/commands", agent.vm(1));
    let mut stream = UnixStream::connect(agent.socket()).expect("connect");
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    stream.set_write_timeout(Some(SOON)).expect("a timeout");
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: covirt\r\ncovirt-provider: north\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("write");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    // The agent stops reading long before this is over.
    let sent = (0..1000).take_while(|_| stream.write_all(chunk.as_bytes()).is_ok()).count();
    assert!(sent < 400, "{sent} chunks were taken");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 413");
    agent.still_works(1).await;
}

/// Lets no file of the agent grow beyond this any more.
fn limit_files(agent: &Agent, bytes: &str) {
    let limit = format!("--fsize={bytes}:");
    let status = std::process::Command::new("prlimit").args(["--pid", &agent.pid().to_string(), &limit]).status();
    assert!(status.expect("prlimit").success());
}

#[tokio::test]
async fn on_a_full_disk_writes_are_refused_and_reads_go_on() {
    let agent = Setup::with_vms(2).start();
    agent.enroll(1).await;
    agent.enroll(2).await;
    let before = agent.run_command(1, "north", "power.suspend", json!({})).await.expect(200);
    // It touches nothing that the others touch.
    let args = json!({ "uri": "urn:north", "key": "north", "xml": null });
    let waits = json!({ "args": args, "order": { "after": [Uuid::now_v7()] } });
    let waiting = agent.submit(1, "north", "metadata.set", waits).await.expect(202);

    limit_files(&agent, "0");
    for number in [1, 2, 1, 2] {
        agent.submit(number, "north", "power.resume", json!({})).await.refused(507, "journal-unwritable");
        let vms = agent.get("/v1/vms", "north").await.expect(200);
        assert_eq!(vms.json["vms"].as_array().map(Vec::len), Some(2), "{}", vms.json);
        let known = agent.command(&before.text("id"), "north").await;
        assert_eq!(known["state"], "done");
        assert_eq!(agent.command(&waiting.text("id"), "north").await["state"], "queued");
        agent.get("/healthz", "").await.expect(200);
        assert!(
            !agent.get("/v1/events", "north").await.expect(200).json["events"].as_array().expect("a list").is_empty()
        );
    }
    let delegation = json!({ "to": "south", "actions": ["power.*"], "mode": "shared" });
    let path = format!("/v1/vms/{}/delegations", agent.vm(1));
    agent.request("POST", &path, "north", Some(delegation)).await.refused(507, "journal-unwritable");

    limit_files(&agent, "unlimited");
    // Nothing tells that there is room again, neither the system nor the agent, which learns it from the next write that
    // succeeds: a provider tries again, and so does this.
    let deadline = Instant::now() + SOON;
    let after = loop {
        let answer = agent.run_command(1, "north", "power.resume", json!({})).await;
        if answer.status == 200 {
            break answer.json;
        }
        answer.refused(507, "journal-unwritable");
        assert!(Instant::now() < deadline, "it does not recover");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(after["state"], "done", "{after}");
    assert_eq!(agent.command(&waiting.text("id"), "north").await["state"], "queued");
    let audit = agent.get("/v1/audit/verify", "operator").await.expect(200);
    assert_eq!(audit.json["verdict"], "intact");
    // Nothing that was refused has left a trace.
    let commands = agent.get(&format!("/v1/vms/{}/commands", agent.vm(1)), "north").await.expect(200).json;
    let states: Vec<&Value> = commands["commands"].as_array().expect("a list").iter().map(|c| &c["state"]).collect();
    assert_eq!(states, ["done", "queued", "done"]);
}
