//! What is on record: who did what, and a chain that anybody can compute again.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{covirt, says};
use crate::support::agent::{SOON, Setup};
use crate::support::until;

/// Computes the chain again from what was exported, with nothing of covirt's.
const RECOMPUTE: &str = r#"
import sys, json, hashlib, struct, uuid
count, head = 0, None
for line in sys.stdin:
    r = json.loads(line)
    h = hashlib.sha256()
    h.update(bytes.fromhex(r["previous"]))
    for field in (struct.pack(">Q", r["position"]), uuid.UUID(r["vm"]).bytes, struct.pack(">Q", r["mono_us"]),
                  struct.pack(">q", r["wall_us"]), struct.pack(">q", r["encoding"]), r["facts"].encode()):
        h.update(struct.pack(">Q", len(field)))
        h.update(field)
    assert h.hexdigest() == r["digest"], r["position"]
    if "whole" in sys.argv:
        assert r["position"] == count + 1 and r["previous"] == (head or "0" * 64), r["position"]
    count, head = count + 1, r["digest"]
print(count, head)
"#;

fn recompute(lines: &str, words: &[&str]) -> Result<String, String> {
    let mut python = Command::new("python3");
    python.args(["-c", RECOMPUTE]).args(words);
    let mut python =
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("python3");
    // One that has found a fault reads no further.
    let _ = python.stdin.take().expect("its input").write_all(lines.as_bytes());
    let output = python.wait_with_output().expect("python3 ends");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
}

#[tokio::test]
async fn a_third_party_computes_the_same_chain_from_what_is_exported() {
    let agent = Setup::with_vms(2).start();
    agent.enroll(1).await;
    agent.enroll(2).await;
    says(&agent, "operator", &["freeze", "--provider", "south", "--reason", "\u{202e}it loops \u{e9}"]);
    for _ in 0..200 {
        agent.run_command(1, "north", "inspect.read", Value::Null).await.expect(200);
    }
    let lines = says(&agent, "operator", &["audit", "export"]);
    let report = agent.get("/v1/audit/verify", "operator").await.expect(200).json;
    let head = format!("{} {}", report["records"], report["head"].as_str().expect("a digest"));
    assert!(report["records"].as_u64() > Some(256), "more than one page: {report}");
    assert_eq!(recompute(&lines, &["whole"]).as_ref(), Ok(&head));
    let vm = agent.vm(2).to_string();
    let of_one = says(&agent, "operator", &["audit", "export", "--vm", &vm]);
    assert!(of_one.lines().count() >= 1 && of_one.lines().all(|line| line.contains(&vm)), "{of_one}");
    recompute(&of_one, &[]).unwrap();
    let changed = lines.replacen("inspect.read", "inspect.reap", 1);
    recompute(&changed, &["whole"]).unwrap_err();
    let dropped: String = lines.split_inclusive('\n').skip(1).collect();
    recompute(&dropped, &["whole"]).unwrap_err();
    assert_eq!(says(&agent, "operator", &["audit", "export", "--since", "2999-01-01T00:00:00Z"]), "");
}

#[tokio::test]
async fn who_did_what_has_the_process_the_times_the_rule_and_the_outcome_one_line_each() {
    let agent = Setup::with_vms(1).start();
    agent.enroll(1).await;
    agent.delegate(1, &["power.suspend"], "shared").await;
    let issued = json!({ "issued_at": "2026-01-01T00:00:00Z" });
    agent.run_command(1, "south", "power.suspend", issued).await.expect(200);
    let vm = agent.vm(1).to_string();
    let said = says(&agent, "operator", &["audit", "who", &vm]);
    let uid = nix::unistd::getuid();
    let line = said.lines().find(|line| line.contains("power.suspend") && line.contains("done executed"));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    for part in ["south", &format!("user {uid}, process {}", std::process::id()), "2026-01-01T00:00:00"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(said.contains("north enrolled vm1") && said.contains("north delegated power.suspend"), "{said}");
    let late = says(&agent, "operator", &["audit", "who", &vm, "--since", "2999-01-01T00:00:00Z"]);
    assert!(late.contains("nobody has done anything"), "{late}");
    // Who was at the other end is the operator's to know.
    assert_eq!(covirt(&agent, "north", &["audit", "who", &vm]).status.code(), Some(3));
    assert_eq!(covirt(&agent, "north", &["audit", "export"]).status.code(), Some(3));
    let seen = agent.get("/v1/events", "north").await.expect(200).json.to_string();
    assert!(!seen.contains("\"peer\""), "another provider's process is not told: {seen}");
}

#[tokio::test]
async fn every_fact_is_copied_to_the_socket_of_systemds_journal_with_its_id_and_nothing_twice_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journald");
    let journald = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
    journald.set_read_timeout(Some(SOON)).expect("a limit");
    let next = || {
        let mut message = vec![0; 65536];
        let length = journald.recv(&mut message).expect("a message");
        message.truncate(length);
        String::from_utf8(message).expect("text")
    };
    let mut agent = Setup::with_vms(1).and(&format!("[audit]\njournald = {path:?}\n")).start();
    agent.enroll(1).await;
    let enrolled = next();
    let id = covirt::agent::mirror::ids::id_of("enrolled").expect("an id");
    for line in [&format!("MESSAGE_ID={id}"), "COVIRT_KIND=enrolled", "COVIRT_POSITION=1", "SYSLOG_IDENTIFIER=covirtd"]
    {
        assert!(enrolled.lines().any(|known| known == line), "{line}: {enrolled}");
    }
    says(&agent, "operator", &["freeze", "--reason", "maintenance"]);
    let host = next();
    assert!(host.contains("COVIRT_KIND=host.frozen") && host.contains("COVIRT_PEER=user "), "{host}");
    assert!(next().contains("COVIRT_KIND=frozen"), "the VM's own record");
    until("the cursor is kept", SOON, || {
        let kept = std::fs::read_to_string(agent.folder().join("state/journald.cursor")).ok()?;
        (kept == "3").then_some(())
    });
    agent.kill9();
    agent.run();
    says(&agent, "operator", &["thaw"]);
    let thawed = next();
    assert!(thawed.contains("COVIRT_KIND=host.thawed"), "{thawed}");
    assert!(!agent.log().contains("nothing is mirrored"), "{}", agent.log());
}

#[tokio::test]
async fn without_systemds_journal_one_line_says_so_and_nothing_else_changes() {
    let agent = Setup::with_vms(1).and("[audit]\njournald = '/nonexistent/journald'\n").start();
    agent.enroll(1).await;
    assert_eq!(agent.log().matches("nothing is mirrored").count(), 1, "{}", agent.log());
}
