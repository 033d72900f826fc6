//! What is read again while it serves: who is let go by it, and who is not.

use std::time::Duration;

use serde_json::{Value, json};

use crate::authority::{Authority, Identity, Wanted};
use crate::stage::{Stage, Tables};

const SOUTH: &str = "spiffe://example.org/provider/south";

fn closed(code: &str) -> Value {
    json!({ "closed": 4000, "reason": code })
}

/// That a session is open still: what happens is told there.
#[track_caller]
fn still_hears(stage: &Stage, session: &mut crate::stage::Talk) {
    assert!(session.is_there());
    let vm = crate::support::agent::DEFAULT_VM;
    stage.agent.client("north").post(&format!("/v1/vms/{vm}/enrollment"), &json!({})).ok();
    assert_eq!(session.next_with("kind")["kind"], "enrolled");
}

#[test]
fn a_key_is_rotated_without_a_gap_and_the_old_one_ends_at_once() {
    let new = std::cell::OnceCell::new();
    let mut stage = Stage::with(|_, folder| {
        new.get_or_init(|| Identity::of_itself(folder, &Wanted::client("new")));
        Tables::default()
    });
    let new = new.get().expect("a key");
    assert!(stage.whoami(new).is_null());
    let (first, second) = (stage.north.id.to_string(), new.id.to_string());
    let mut session = stage.session(&stage.north);
    stage.reconfigure(|tables| tables.north_keys = vec![first.clone(), second.clone()]);
    // Both are north while both are listed, and the session under the old one goes on.
    assert_eq!((stage.whoami(&stage.north), stage.whoami(new)), (json!("north"), json!("north")));
    assert!(session.is_there());
    let mut idle = stage.idle(&stage.north);
    let mut other = stage.session(&stage.south);
    stage.reconfigure(|tables| tables.north_keys = vec![second.clone()]);
    assert_eq!(session.next_with("closed"), closed("identity-revoked"));
    assert_eq!(idle.next(), "out");
    assert!(stage.whoami(&stage.north).is_null());
    assert_eq!(stage.whoami(new), "north");
    assert!(other.is_there());
    stage.said(&["a session ended", "provider=north", &first]);
}

#[test]
fn a_certificate_that_a_new_list_revokes_ends_at_once_and_another_providers_session_goes_on() {
    let mut stage = Stage::with(|authority, _| Tables {
        crl: Some(authority.revoke(&[]).display().to_string()),
        ..Tables::default()
    });
    let other = stage.authority.issue(&Wanted::client("south").named(SOUTH), 77);
    let mut north = stage.session(&stage.north);
    let mut south = stage.session(&stage.south);
    let mut idle = stage.idle(&stage.south);
    stage.authority.revoke(&[&stage.south]);
    stage.reload("who may call was read again");
    assert_eq!(south.next_with("closed"), closed("identity-revoked"));
    assert_eq!(idle.next(), "out");
    stage.said(&["a session ended", "provider=south", "its certificate is revoked"]);
    assert!(stage.whoami(&stage.south).is_null());
    stage.said(&["reason=\"revoked\"", "address=127.0.0.1:"]);
    // Its provider comes back with another certificate, and a list without a word on it is no obstacle.
    assert_eq!(stage.whoami(&other), "south");
    still_hears(&stage, &mut north);
    // Without lists nothing is revoked any more.
    stage.reconfigure(|tables| tables.crl = None);
    assert_eq!(stage.whoami(&stage.south), "south");
}

#[test]
fn an_authority_that_is_taken_out_takes_its_providers_with_it() {
    let stage = Stage::set();
    let mut north = stage.session(&stage.north);
    let mut south = stage.session(&stage.south);
    let next = Authority::new(stage.folder(), "next");
    let old = std::fs::read(&stage.authority.certificate).expect("read");
    let new = std::fs::read(&next.certificate).expect("read");
    // Both, then the new one alone.
    std::fs::write(&stage.authority.certificate, [old, new.clone()].concat()).expect("write");
    stage.reload("who may call was read again");
    assert!(south.is_there());
    std::fs::write(&stage.authority.certificate, new).expect("write");
    stage.reload("who may call was read again");
    assert_eq!(south.next_with("closed"), closed("identity-revoked"));
    still_hears(&stage, &mut north);
}

#[test]
fn a_new_server_certificate_is_shown_to_whoever_comes_next_and_disturbs_nobody() {
    let stage = Stage::set();
    let mut session = stage.session(&stage.south);
    let said = stage.openssl(&["-no_ign_eof"], "");
    assert!(said.contains("depth=0 CN = server"), "{said}");
    stage.server.replace_by(&stage.authority.issue(&Wanted::server("renewed"), 20));
    stage.reload("who may call was read again");
    let said = stage.openssl(&["-no_ign_eof"], "");
    assert!(said.contains("depth=0 CN = renewed"), "{said}");
    assert_eq!(stage.whoami(&stage.north), "north");
    stage.agent.client("north").post(&format!("/v1/vms/{}/enrollment", crate::support::agent::DEFAULT_VM), &json!({}));
    assert!(session.is_there());
}

#[test]
fn a_file_that_does_not_load_leaves_what_was_read_before_and_is_named() {
    let stage = Stage::with(|authority, _| Tables {
        crl: Some(authority.revoke(&[]).display().to_string()),
        ..Tables::default()
    });
    let mut session = stage.session(&stage.south);
    let lists = stage.folder().join("crl.pem");
    for (path, text) in [
        (&stage.server.certificate, "no certificate at all"),
        (&stage.server.key, "-----BEGIN PRIVATE KEY-----\nAAAA\n"),
        (&stage.authority.certificate, ""),
        (&lists, "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"),
    ] {
        let kept = std::fs::read(path).expect("read a file");
        std::fs::write(path, text).expect("write a file");
        stage.reload("a file was not read again");
        stage.said(&["ERROR", "what was read before stays in force", &path.display().to_string()]);
        assert_eq!(stage.whoami(&stage.north), "north", "{}", path.display());
        assert_eq!(stage.whoami(&stage.south), "south", "{}", path.display());
        std::fs::write(path, kept).expect("write a file");
    }
    // A key that is another certificate's.
    let other = stage.authority.issue(&Wanted::server("other"), 30);
    std::fs::copy(&other.key, &stage.server.key).expect("copy a key");
    stage.reload("a file was not read again");
    assert_eq!(stage.whoami(&stage.south), "south");
    // The configuration itself.
    std::fs::write(stage.agent.folder().join("covirt.toml"), "[tls]\nlisten = 7\n").expect("write");
    stage.reload("the configuration was not read again");
    stage.said(&["ERROR", "covirt.toml", "the one before stays in force"]);
    assert_eq!(stage.whoami(&stage.south), "south");
    assert!(session.is_there());
}

#[test]
fn a_session_ends_when_its_certificate_expires() {
    let stage = Stage::set();
    let short = Wanted::client("south").named(SOUTH).for_so_long(Duration::from_secs(6));
    let short = stage.authority.issue(&short, 40);
    let mut north = stage.session(&stage.north);
    let mut session = stage.session(&short);
    assert_eq!(session.next_with("closed"), closed("identity-expired"));
    stage.said(&["a session ended", "its certificate has expired"]);
    assert!(stage.whoami(&short).is_null());
    still_hears(&stage, &mut north);
}

#[test]
fn a_user_that_is_taken_out_of_the_configuration_loses_its_session_and_its_wait() {
    let mut stage = Stage::set();
    let mut north = stage.agent.client("north");
    assert_eq!(north.get("/v1/vms").status, 200);
    let path = stage.agent.folder().join("covirt.toml");
    let text = std::fs::read_to_string(&path).expect("read the configuration");
    let uid = nix::unistd::getuid();
    // A request that waits for something to happen.
    let mut south = stage.agent.client("south");
    assert_eq!(south.get("/v1/vms").status, 200);
    let waiting = std::thread::spawn(move || {
        south.send("GET", "/v1/events?after=1000000&wait=300", 0, None).map(|reply| reply.status)
    });
    std::fs::write(&path, text.replace(&format!("id = 'south'\nuids = [{uid}]"), "id = 'south'\nuids = []"))
        .expect("write");
    stage.hangup();
    stage.said(&["a connection is closed", &format!("user {uid}")]);
    assert!(waiting.join().expect("a thread").is_err(), "it is not answered");
    assert_eq!(stage.agent.client("south").get("/v1/vms").code(), "forbidden");
    assert_eq!(north.get("/v1/vms").status, 200);
    stage.reconfigure(|_| {});
    assert_eq!(stage.agent.client("south").get("/v1/vms").status, 200);
}
