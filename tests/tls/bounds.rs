//! How many and how often: what one takes, another still has.

use std::io::Read;
use std::net::TcpStream;

use serde_json::json;

use crate::authority::Wanted;
use crate::stage::{SOON, Stage, Tables};

fn with(tls: &str) -> Stage {
    let tls = tls.to_owned();
    Stage::with(|_, _| Tables { tls, ..Tables::default() })
}

#[test]
fn one_address_with_too_many_connections_hinders_nobody_else() {
    let stage = with("connections_per_address = 5\nhandshake_timeout_ms = 60000\n");
    // They say nothing; their handshakes have time.
    let silent: Vec<TcpStream> =
        (0..5).map(|_| TcpStream::connect(("127.0.0.1", stage.port)).expect("connect")).collect();
    // The sixth is closed. Those before it were accepted before it was.
    let mut sixth = TcpStream::connect(("127.0.0.1", stage.port)).expect("connect");
    sixth.set_read_timeout(Some(SOON)).expect("a limit");
    assert_eq!(sixth.read(&mut [0; 1]).unwrap_or(0), 0, "it is closed");
    stage.said(&["reason=\"address-full\"", &format!("address={}", sixth.local_addr().expect("an address"))]);
    assert!(stage.whoami(&stage.south).is_null());
    // From another address, and on the Unix socket.
    let (answer, _) = stage.curl(&stage.south, &["--interface", "127.0.0.2"], "/v1/whoami");
    assert!(answer.contains("\"provider\":\"south\""), "{answer}");
    assert_eq!(stage.agent.client("north").get("/v1/whoami").ok()["provider"], "north");
    // Their places are free once they are gone.
    drop(silent);
    crate::support::until("there is room again", SOON, || (stage.whoami(&stage.south) == "south").then_some(()));
}

#[test]
fn a_provider_with_too_many_connections_hears_it_and_hinders_no_other() {
    let stage = with("connections_per_provider = 2\n");
    let mut idle = [stage.idle(&stage.south), stage.idle(&stage.south)];
    let surplus = stage.get(&stage.south, "/v1/whoami");
    assert_eq!((&surplus["status"], &surplus["body"]["code"]), (&json!(429), &json!("too-many-connections")));
    stage.said(&["reason=\"provider-full\"", &stage.south.id.to_string()]);
    assert_eq!(stage.whoami(&stage.north), "north");
    assert!(idle.iter_mut().all(crate::stage::Talk::is_there));
    drop(idle);
    crate::support::until("there is room again", SOON, || (stage.whoami(&stage.south) == "south").then_some(()));
}

#[test]
fn as_many_connections_as_there_may_be_are_open_and_then_no_more() {
    let stage = with("connections_max = 3\n");
    let _idle = [stage.idle(&stage.south), stage.idle(&stage.north), stage.idle(&stage.south)];
    assert!(stage.whoami(&stage.south).is_null());
    stage.said(&["reason=\"full\""]);
    assert_eq!(stage.agent.client("south").get("/v1/whoami").ok()["provider"], "south");
}

#[test]
fn a_provider_with_too_many_requests_is_told_when_to_come_back_and_hinders_no_other() {
    let stage = with("requests_per_second = 3\n");
    // More than a second's worth on one connection, which takes curl far less than a second.
    let url = format!("https://localhost:{}/v1/whoami", stage.port);
    let again: Vec<&str> = std::iter::repeat_n(url.as_str(), 30).collect();
    let (answers, _) = stage.curl(&stage.south, &again, "/v1/whoami");
    let refused = answers.matches("HTTP/1.1 429").count();
    assert!(refused >= 1 && answers.matches("HTTP/1.1 200").count() >= 3, "{answers}");
    assert_eq!(answers.matches("\"code\":\"too-many-requests\"").count(), refused);
    assert_eq!(answers.to_lowercase().matches("retry-after: 1").count(), refused);
    // A second key of the same provider has no rate of its own; another provider has.
    assert_eq!(stage.whoami(&stage.north), "north");
    assert_eq!(stage.agent.client("south").get("/v1/whoami").status, 200);
    let other = stage.authority.issue(&Wanted::client("south").named("spiffe://example.org/provider/south"), 50);
    crate::support::until("the next second", SOON, || (stage.whoami(&other) == "south").then_some(()));
}
