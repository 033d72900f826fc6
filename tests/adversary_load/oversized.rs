//! What is too large is refused by its code, or its connection closed.

use serde_json::json;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::scene::{End, Scene, connect, say};
use crate::support::agent::DEFAULT_VM;

const MIB: usize = 1024 * 1024;

/// A command of mallory's; `length` is what is promised.
pub(crate) fn command(length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /v1/vms/{DEFAULT_VM}/commands HTTP/1.1\r\nhost: covirt\r\ncovirt-provider: mallory\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// A whole one, with this text of JSON for its arguments.
pub(crate) fn with_args(args: &str) -> Vec<u8> {
    let id = uuid::Uuid::now_v7();
    let body = format!("{{\"id\":\"{id}\",\"action\":\"metadata.set\",\"args\":{args}}}");
    command(body.len(), body.as_bytes())
}

#[test]
fn a_body_that_is_too_large_is_refused_by_its_code() {
    Scene::set("").unmoved_by(|agent| {
        let long = json!({ "namespace": "x".repeat(MIB) }).to_string();
        say(&mut connect(agent), &with_args(&long)).is(413, "too-large");
        // Promised only: not one byte of it is waited for.
        say(&mut connect(agent), &command(1 << 30, b"{")).is(413, "too-large");
        say(&mut connect(agent), &command(usize::MAX, b"{")).is_one_of(&[400, 413, 431]);
        // In pieces without a promise, and without an end.
        let head = command(0, b"");
        let head = String::from_utf8(head).unwrap().replace("content-length: 0", "transfer-encoding: chunked");
        let piece = [b"100000\r\n".as_slice(), &vec![b' '; MIB], b"\r\n"].concat();
        let endless = [head.as_bytes(), &piece.repeat(20)].concat();
        say(&mut connect(agent), &endless).is_one_of(&[413]);
    });
}

#[test]
fn a_head_that_is_too_large_is_refused_or_closed() {
    Scene::set("").unmoved_by(|agent| {
        let long = "x".repeat(64 * 1024);
        for (line, header) in [
            (format!("GET /v1/vms/{long} HTTP/1.1"), String::new()),
            (format!("GET /v1/whoami?{long} HTTP/1.1"), String::new()),
            (format!("{long} /v1/whoami HTTP/1.1"), String::new()),
            ("GET /v1/whoami HTTP/1.1".to_owned(), format!("x-long: {long}\r\n")),
            ("GET /v1/whoami HTTP/1.1".to_owned(), format!("{long}: x\r\n")),
            ("GET /v1/whoami HTTP/1.1".to_owned(), "x-many: x\r\n".repeat(1000)),
        ] {
            let request = format!("{line}\r\nhost: covirt\r\ncovirt-provider: mallory\r\n{header}\r\n");
            let end = say(&mut connect(agent), request.as_bytes());
            end.is_one_of(&[400, 414, 431]);
        }
        // What fits into a head is a name that nobody has.
        let request = format!("GET /v1/whoami HTTP/1.1\r\nhost: covirt\r\ncovirt-provider: {}\r\n\r\n", &long[..16384]);
        let end = say(&mut connect(agent), request.as_bytes());
        let End::Answered(400..=403, body) = &end else { panic!("{end:?}") };
        assert!(body["code"].is_string() && body.to_string().len() < 32 * 1024, "{body}");
    });
}

#[test]
fn json_without_a_ground_is_refused_by_its_code() {
    Scene::set("").unmoved_by(|agent| {
        let depth = 200_000;
        let mut stream = connect(agent);
        for args in [
            format!("{}{}", "[".repeat(depth), "]".repeat(depth)),
            format!("{}1{}", "{\"a\":".repeat(depth / 2), "}".repeat(depth / 2)),
            "[".repeat(depth),
        ] {
            say(&mut stream, &with_args(&args)).is(400, "malformed");
        }
    });
}

#[test]
fn a_session_with_a_message_that_is_too_large_is_ended() {
    Scene::set("").unmoved_by(|agent| {
        for message in [
            Message::text(format!("{{\"type\":\"clock\",\"t0\":\"{}\"}}", "x".repeat(64 * 1024))),
            Message::binary(vec![0; 2 * MIB]),
        ] {
            let mut web = open(agent);
            // The agent may have closed before all of it is sent.
            let _ = web.send(message);
            loop {
                match web.read() {
                    Ok(Message::Close(close)) => {
                        let close = close.expect("a reason");
                        assert_eq!((close.code, close.reason.as_str()), (CloseCode::from(4000), "session-misused"));
                    }
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
        }
        // One that has no ground is refused as it is, and does no harm to the stack.
        let mut web = open(agent);
        web.send(Message::text("[".repeat(60_000))).expect("it is sent");
        let said = std::iter::from_fn(|| web.read().ok()).find(Message::is_text).expect("an answer");
        assert!(said.to_text().unwrap().contains("malformed"), "{said}");
    });
}

/// Mallory's session; its welcome was read.
fn open(agent: &crate::covirtd::Covirtd) -> tungstenite::WebSocket<std::os::unix::net::UnixStream> {
    let mut request = "ws://covirt/v1/session".into_client_request().expect("a request");
    request.headers_mut().insert("covirt-provider", "mallory".parse().expect("a header"));
    let (mut web, _) = tungstenite::client(request, connect(agent)).expect("the session opens");
    assert!(web.read().expect("a welcome").to_text().unwrap().contains("welcome"));
    web
}
