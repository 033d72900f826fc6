//! Who does not come in: each for a reason of its own, which the log has in one line, with no secret in it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::authority::{Authority, Identity, Wanted};
use crate::stage::{SOON, Stage, Tables};

const SOUTH: &str = "spiffe://example.org/provider/south";

/// That this one is refused for this reason, in one line that says from where.
#[track_caller]
fn is_refused(stage: &Stage, who: &Identity, reason: &str) {
    let reason = format!("reason=\"{reason}\"");
    let before = stage.agent.log().matches(&reason).count();
    let answer = stage.get(who, "/v1/whoami");
    assert!(answer["status"].is_null(), "{reason}: {answer}");
    crate::support::until(&reason, SOON, || (stage.agent.log().matches(&reason).count() > before).then_some(()));
    let log = stage.agent.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(&reason)).collect();
    assert_eq!(lines.len(), before + 1, "one line: {lines:?}");
    assert!(lines[before].contains("address=127.0.0.1:") && lines[before].contains(&who.id.to_string()), "{lines:?}");
}

#[test]
fn each_wrong_certificate_is_refused_with_its_reason() {
    let revoked_key = std::cell::OnceCell::new();
    let stage = Stage::with(|_, folder| {
        let key = revoked_key.get_or_init(|| Identity::of_itself(folder, &Wanted::client("lost")));
        Tables { tls: format!("revoked_keys = ['{}']\n", key.id), ..Tables::default() }
    });
    let client = || Wanted::client("south").named(SOUTH);
    let stranger = Authority::new(stage.folder(), "stranger");
    is_refused(&stage, &stranger.issue(&client(), 11), "unknown-authority");
    is_refused(&stage, &Identity::of_itself(stage.folder(), &client()), "unknown-authority");
    is_refused(&stage, &stage.authority.issue(&client().expired(), 12), "expired");
    is_refused(&stage, &stage.authority.issue(&client().of_the_future(), 13), "not-yet-valid");
    is_refused(&stage, &stage.authority.issue(&Wanted::server("south").named(SOUTH), 14), "wrong-usage");
    is_refused(&stage, &stage.authority.issue(&Wanted::client("nobody"), 15), "stranger");
    // North is known by its key; a name in a certificate is nothing to it.
    let north = Wanted::client("north").named("spiffe://example.org/provider/north");
    is_refused(&stage, &stage.authority.issue(&north, 16), "stranger");
    is_refused(&stage, revoked_key.get().expect("a key"), "key-revoked");
    // Those who may are not disturbed by any of it.
    assert_eq!(stage.whoami(&stage.south), "south");
    assert_eq!(stage.whoami(&stage.north), "north");
    no_secret_is_in_the_log(&stage);
}

/// Not a private key, not a certificate, nor anything of either.
fn no_secret_is_in_the_log(stage: &Stage) {
    let log = stage.agent.log();
    assert!(!log.contains("BEGIN"), "{log}");
    for entry in std::fs::read_dir(stage.folder()).expect("the folder") {
        let path = entry.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("read a file");
        for line in text.lines().filter(|line| line.len() > 20 && !line.starts_with("-----")) {
            assert!(!log.contains(line), "{} is in the log", path.display());
        }
    }
}

#[test]
fn a_pinned_key_still_needs_a_certificate_of_now_and_for_a_client() {
    let wrong = std::cell::OnceCell::new();
    let stage = Stage::with(|_, folder| {
        let wrong = wrong.get_or_init(|| {
            [
                Identity::of_itself(folder, &Wanted::client("old").expired()),
                Identity::of_itself(folder, &Wanted::client("early").of_the_future()),
                Identity::of_itself(folder, &Wanted::server("other")),
            ]
        });
        Tables { north_keys: wrong.iter().map(|identity| identity.id.to_string()).collect(), ..Tables::default() }
    });
    for (who, reason) in wrong.get().expect("keys").iter().zip(["expired", "not-yet-valid", "wrong-usage"]) {
        is_refused(&stage, who, reason);
    }
}

#[test]
fn who_shows_no_certificate_is_refused() {
    let stage = Stage::set();
    let said = stage.openssl(&["-tls1_3", "-no_ign_eof"], "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(!said.contains("HTTP/1.1"), "{said}");
    stage.said(&["a client was refused", "address=127.0.0.1:", "reason=\"no-certificate\""]);
}

#[test]
fn who_speaks_an_older_tls_is_refused() {
    let stage = Stage::set();
    let (certificate, key) =
        (stage.south.certificate.to_str().expect("a path"), stage.south.key.to_str().expect("a path"));
    let said = stage.openssl(
        &["-tls1_2", "-no_ign_eof", "-cert", certificate, "-key", key],
        "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n",
    );
    assert!(!said.contains("HTTP/1.1"), "{said}");
    stage.said(&["a client was refused", "address=127.0.0.1:", "reason=\"old-version\""]);
}

#[test]
fn who_speaks_no_tls_is_refused() {
    let stage = Stage::set();
    let mut plain = TcpStream::connect(("127.0.0.1", stage.port)).expect("connect");
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").expect("ask");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    stage.said(&["a client was refused", "reason=\"protocol\""]);
}

#[test]
fn a_handshake_that_stalls_is_ended_and_keeps_nobody_waiting() {
    let stage = Stage::with(|_, _| Tables { tls: "handshake_timeout_ms = 700\n".to_owned(), ..Tables::default() });
    let mut silent = TcpStream::connect(("127.0.0.1", stage.port)).expect("connect");
    silent.set_read_timeout(Some(SOON)).expect("a limit");
    // The beginning of a handshake, and no more.
    silent.write_all(&[22, 3, 1, 2, 0, 1]).expect("begin");
    assert_eq!(stage.whoami(&stage.south), "south");
    assert_eq!(silent.read(&mut [0; 16]).unwrap_or(0), 0, "it is closed");
    stage.said(&["reason=\"stalled\"", &format!("address={}", silent.local_addr().expect("an address"))]);
}

#[test]
fn a_flood_of_strangers_is_no_flood_of_lines() {
    let stage = Stage::set();
    for _ in 0..200 {
        let mut plain = TcpStream::connect(("127.0.0.1", stage.port)).expect("connect");
        plain.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
        plain.write_all(b"no TLS at all, but enough of it\r\n\r\n").expect("speak");
        let _ = plain.read(&mut [0; 16]);
    }
    assert_eq!(stage.whoami(&stage.south), "south");
    let lines = stage.agent.log().lines().filter(|line| line.contains("a client was refused")).count();
    assert!((1..200).contains(&lines), "{lines}");
}
