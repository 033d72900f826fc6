//! Whatever mallory says is no line of the log, commands no terminal and breaks no JSON.

use std::io::Write;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::covirtd::Covirtd;
use crate::scene::{Scene, connect, heard, say};
use crate::support::agent::DEFAULT_VM;

/// A line, a terminal's commands, the end of a JSON string and object, and letters from right to left.
const FORGED: &str = "m4llory\n1999-01-01T00:00:00Z  INFO covirt: forged\r\n{\"message\":\"forged\"}\u{1b}[2J\u{9b}31m\
                      \",\"level\":\"forged\"}\u{202e}\u{2028}\u{2066}\u{7}\\";

/// The same as the bytes of a URL.
fn in_a_url() -> String {
    FORGED.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The same as far as a header has room for it.
fn in_a_header() -> String {
    FORGED.chars().filter(|&c| !c.is_ascii_control()).collect()
}

fn request(method: &str, path: &str, headers: &str, body: &Value) -> Vec<u8> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nhost: covirt\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
}

/// Everything with a place for words.
fn forge(agent: &Covirtd) {
    let one = |bytes: Vec<u8>| drop(say(&mut connect(agent), &bytes));
    let mallory = "covirt-provider: mallory\r\n";
    let (url, header) = (in_a_url(), in_a_header());
    let commands = format!("/v1/vms/{DEFAULT_VM}/commands");
    for path in [
        format!("/{url}"),
        format!("/v1/vms/{url}"),
        format!("/v1/commands/{url}"),
        format!("/v1/events?after={url}&vm={url}&{url}={url}"),
        format!("/v1/vms/{DEFAULT_VM}/artifacts/{url}"),
        format!("/v1/vms/{DEFAULT_VM}/screenshot?screen={url}"),
    ] {
        one(request("GET", &path, mallory, &Value::Null));
    }
    for headers in [
        format!("covirt-provider: {header}\r\n"),
        format!(
            "{mallory}user-agent: {header}\r\naccept: {header}\r\nreferer: {header}\r\nx-{DEFAULT_VM}: {header}\r\n"
        ),
        format!("{mallory}prefer: wait={header}\r\ntraceparent: {header}\r\n"),
        "covirt-provider: mal\u{1b}[31mlory\r\n".to_owned(),
        format!("{mallory}x: a\nb\r\n"),
    ] {
        one(request("GET", "/v1/whoami", &headers, &Value::Null));
        one(request("GET", &format!("/v1/session?{url}"), &headers, &Value::Null));
    }
    let whole = json!({ "id": uuid::Uuid::now_v7(), "action": "metadata.set", "args": {} });
    for (name, value) in [
        ("id", json!(FORGED)),
        ("action", json!(FORGED)),
        ("args", json!({ "namespace": FORGED, "prefix": FORGED, "xml": FORGED })),
        ("args", json!({ FORGED: FORGED })),
        ("order", json!({ "after": [FORGED] })),
        ("issued_at", json!(FORGED)),
        ("must_start_by", json!(FORGED)),
        ("break_glass", json!(FORGED)),
        ("guard", json!({ FORGED: FORGED })),
        ("class", json!(FORGED)),
        ("epoch", json!(FORGED)),
        (FORGED, json!(FORGED)),
    ] {
        let mut body = whole.clone();
        body[name] = value;
        one(request("POST", &commands, mallory, &body));
    }
    let other = json!({ "to": FORGED, "actions": [FORGED], "mode": FORGED, "reason": FORGED });
    for path in ["delegations", "enrollment", "holds", FORGED.split('\n').next().unwrap()] {
        one(request("POST", &format!("/v1/vms/{DEFAULT_VM}/{path}"), mallory, &other));
    }
    one(request(&in_a_header().replace(|c: char| !c.is_ascii_alphanumeric(), ""), "/v1/whoami", mallory, &Value::Null));
    session(agent);
    // No HTTP at all.
    let mut stream: UnixStream = connect(agent);
    stream.write_all(FORGED.as_bytes()).expect("it is sent");
    stream.shutdown(std::net::Shutdown::Write).expect("it ends");
    drop(heard(&mut stream));
}

/// Every message of a session, until it is ended for that.
fn session(agent: &Covirtd) {
    let mut request = "ws://covirt/v1/session".into_client_request().expect("a request");
    request.headers_mut().insert("covirt-provider", "mallory".parse().expect("a header"));
    let (mut web, _) = tungstenite::client(request, connect(agent)).expect("the session opens");
    for message in [
        json!({ "type": FORGED }),
        json!({ "type": "clock", "t0": FORGED }),
        json!({ "type": "clock-sample", "t0": FORGED, "t1": FORGED, "t2": FORGED, "t3": FORGED }),
        json!({ "type": "answer", "ask": FORGED, "epoch": 1, "answer": FORGED }),
        json!({ "type": "answer", "ask": uuid::Uuid::now_v7(), "epoch": 1, "answer": FORGED }),
        json!({ "type": "subscribe", "after": FORGED }),
        json!({ FORGED: FORGED }),
    ] {
        web.send(Message::text(message.to_string())).expect("it is sent");
        loop {
            let said = web.read().expect("an answer");
            if said.is_text() && said.to_text().unwrap().contains("\"error\"") {
                break;
            }
        }
    }
    web.send(Message::text(FORGED)).expect("it is sent");
    let close = tungstenite::protocol::CloseFrame { code: 4001.into(), reason: "m4llory\u{202e}\n\u{1b}[2J".into() };
    web.close(Some(close)).expect("it is closed");
    while web.read().is_ok() {}
}

/// What a terminal or a reader of lines obeys, the ends of lines left out.
fn obeyed(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[track_caller]
fn forged_log(format: &str) -> String {
    let mut scene = Scene::set(&format!("[log]\nfilter = 'trace'\nformat = '{format}'\n"));
    scene.unmoved_by(forge);
    let log = scene.agent.log();
    assert!(log.contains("m4llory"), "mallory's words are in it, or this says nothing");
    assert!(!log.contains(obeyed), "{:?}", log.lines().find(|line| line.contains(obeyed)));
    log
}

#[test]
fn nothing_that_is_said_is_a_line_of_the_log_in_text() {
    let log = forged_log("text");
    for line in log.lines() {
        // Each begins with a time of its own and a level.
        let mut words = line.split_whitespace();
        let time = words.next().and_then(|time| time.parse::<jiff::Timestamp>().ok());
        let level = words.next().is_some_and(|level| ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].contains(&level));
        assert!(level && time.is_some_and(|time| time > jiff::Timestamp::UNIX_EPOCH), "{line:?}");
        assert!(!line.starts_with("1999"), "{line:?}");
    }
}

#[test]
fn nothing_that_is_said_is_a_line_or_a_field_of_the_log_in_json() {
    for line in forged_log("json").lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert!(line["timestamp"].as_str().is_some_and(|time| !time.starts_with("1999")), "{line}");
        assert!(["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].map(Value::from).contains(&line["level"]), "{line}");
        assert_ne!(line["message"], "forged");
    }
}
