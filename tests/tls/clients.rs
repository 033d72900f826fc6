//! Who comes in: each kind of client, each way to be known.

use std::process::Command;

use serde_json::json;

use crate::authority::{Identity, Wanted};
use crate::stage::{Stage, Tables};

#[test]
fn a_provider_is_its_certificate_to_curl_openssl_and_python() {
    let stage = Stage::set();
    for (who, name) in [(&stage.north, "north"), (&stage.south, "south")] {
        assert_eq!(stage.get(who, "/v1/whoami"), json!({ "status": 200, "body": whoami(name) }));
        let (answer, code) = stage.curl(who, &["--tlsv1.3"], "/v1/whoami");
        assert_eq!(code, Some(0), "{answer}");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(&format!("\"provider\":\"{name}\"")), "{answer}");
        let (certificate, key) = (who.certificate.to_str().expect("a path"), who.key.to_str().expect("a path"));
        let request = "GET /v1/whoami HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        // It goes on reading until the agent closes.
        let said = stage.openssl(&["-cert", certificate, "-key", key, "-ign_eof", "-tls1_3"], request);
        assert!(said.contains(&format!("\"provider\":\"{name}\"")), "{said}");
    }
}

fn whoami(name: &str) -> serde_json::Value {
    json!({ "provider": name, "may_enroll": name == "north" })
}

#[test]
fn nothing_is_resumed() {
    let stage = Stage::set();
    let (certificate, key) =
        (stage.south.certificate.to_str().expect("a path"), stage.south.key.to_str().expect("a path"));
    let request = "GET /v1/whoami HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-connect", &format!("127.0.0.1:{}", stage.port), "-cert", certificate, "-key", key]);
    openssl.args(["-CAfile"]).arg(&stage.authority.certificate).args(["-ign_eof", "-msg"]);
    openssl.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = openssl.spawn().expect("run openssl");
    std::io::Write::write_all(&mut child.stdin.take().expect("its input"), request.as_bytes()).expect("ask");
    let said = String::from_utf8_lossy(&child.wait_with_output().expect("wait").stdout).into_owned();
    assert!(said.contains("\"provider\":\"south\"") && said.contains("TLSv1.3"), "{said}");
    assert!(!said.contains("NewSessionTicket"), "{said}");
}

#[test]
fn a_session_over_tls_hears_what_happens() {
    let stage = Stage::set();
    let mut session = stage.session(&stage.north);
    let vm = crate::support::agent::DEFAULT_VM;
    stage.agent.client("north").post(&format!("/v1/vms/{vm}/enrollment"), &json!({})).ok();
    let event = session.next_with("kind");
    assert_eq!((&event["kind"], &event["vm"]), (&json!("enrolled"), &json!(vm)));
    stage.said(&["a session opened", "provider=north", &stage.north.id.to_string()]);
}

#[test]
fn nobody_speaks_for_whom_its_certificate_does_not_name() {
    let stage = Stage::set();
    for name in ["south", "operator"] {
        let (answer, _) = stage.curl(&stage.north, &["-H", &format!("covirt-provider: {name}")], "/v1/whoami");
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("\"code\":\"forbidden\""), "{answer}");
    }
}

#[test]
fn the_operator_comes_in_by_a_key_of_its_own_alone() {
    let mut operator = None;
    let stage = Stage::with(|_, folder| {
        let identity = Identity::of_itself(folder, &Wanted::client("owner"));
        let more = format!("[operator]\nkeys = ['{}']\n", identity.id);
        operator = Some(identity);
        Tables { more, ..Tables::default() }
    });
    assert_eq!(stage.whoami(&operator.expect("an identity")), "operator");
    let named = Wanted::client("false").named("spiffe://example.org/provider/operator");
    assert!(stage.whoami(&stage.authority.issue(&named, 9)).is_null());
}

#[test]
fn one_certificate_may_name_two_providers_and_the_header_says_which() {
    let stage = Stage::with(|_, _| Tables { more: "[[provider]]\nid = 'east'\n".to_owned(), ..Tables::default() });
    let both =
        Wanted::client("both").named("spiffe://example.org/provider/south").named("spiffe://example.org/provider/east");
    let both = stage.authority.issue(&both, 9);
    for name in ["south", "east"] {
        let (answer, _) = stage.curl(&both, &["-H", &format!("covirt-provider: {name}")], "/v1/whoami");
        assert!(answer.contains(&format!("\"provider\":\"{name}\"")), "{answer}");
    }
    let (answer, _) = stage.curl(&both, &[], "/v1/whoami");
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("unidentified"), "{answer}");
}

/// Runs a line of the documentation.
#[track_caller]
fn run(folder: &std::path::Path, line: &str) {
    let output = Command::new("sh").args(["-euc", line]).current_dir(folder).output().expect("run sh");
    assert!(output.status.success(), "{line}: {output:?}");
}

/// The commands of `docs/tls.md`, as they are there.
#[test]
fn the_openssl_commands_of_the_documentation_make_what_is_asked_for() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tls.md")).expect("read docs/tls.md");
    let blocks: Vec<&str> =
        text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().expect("its end")).collect();
    let mut stage = Stage::set();
    let commands: Vec<&&str> = blocks.iter().filter(|block| block.contains("openssl")).collect();
    assert!(commands.len() >= 4, "authority, agent, provider, revocation");
    for block in &commands {
        run(stage.folder(), block);
    }
    let file = |name: &str| stage.folder().join(name);
    // The key's name as the documentation has it computed.
    let pin = std::fs::read_to_string(file("south.pin")).expect("the pin").trim().to_owned();
    let made = Identity { certificate: file("south.pem"), key: file("south.key"), ..stage.south.clone() };
    assert!(stage.whoami(&made).is_null(), "another authority's");
    // By its authority and name first, then revoked as the documentation has it, then by its key.
    let roots =
        [stage.authority.certificate.clone(), file("ca.pem")].map(|path| std::fs::read_to_string(path).unwrap());
    std::fs::write(&stage.authority.certificate, roots.concat()).expect("write the authorities");
    stage.reload("who may call was read again");
    assert_eq!(stage.whoami(&made), "south");
    let empty = std::fs::read_to_string(stage.authority.revoke(&[])).expect("a list");
    let list = std::fs::read_to_string(file("revoked.pem")).expect("the list that openssl made");
    let path = file("lists.pem");
    std::fs::write(&path, format!("{empty}{list}")).expect("write the lists");
    stage.reconfigure(|tables| tables.crl = Some(path.display().to_string()));
    assert!(stage.whoami(&made).is_null(), "it is revoked");
    stage.said(&["reason=\"revoked\""]);
    stage.reconfigure(|tables| {
        tables.crl = None;
        tables.more = format!("[[provider]]\nid = 'east'\nkeys = ['{pin}']\n");
    });
    let (answer, _) = stage.curl(&made, &["-H", "covirt-provider: east"], "/v1/whoami");
    assert!(answer.contains("\"provider\":\"east\""), "{answer}");
}
