//! `covirt provider session` against a stub agent: what it sends, what it prints, and how it ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use covirt::cli::client::Client;
use covirt::cli::session::Session;
use covirt::doors::wire::FromProvider;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::mpsc;

const ASK: &str = "87f150bc-34f5-5713-98c3-ae343dcff896";
const VM: &str = "7c1f9f1e-2f0a-4b7b-9c55-3f6f0e2a6d10";
const LIMIT: Duration = Duration::from_secs(20);

fn covirt(socket: &Path, words: &[&str]) -> tokio::process::Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_covirt"));
    command.env("COVIRT_SOCKET", socket).env("COVIRT_AS", "north").args(["provider", "session"]).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    command
}

async fn say(socket: &mut WebSocket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

/// The next message that is not about clocks.
async fn heard(socket: &mut WebSocket) -> Option<Value> {
    loop {
        let message = tokio::time::timeout(LIMIT, socket.recv()).await.expect("the client says something");
        let Some(Ok(Message::Text(text))) = message else { return None };
        let value: Value = serde_json::from_str(&text).unwrap();
        match value["type"].as_str() {
            Some("clock") => {
                let time = "2026-11-22T20:00:00.000000Z";
                say(socket, json!({ "type": "clock", "t0": value["t0"], "t1": time, "t2": time })).await;
            }
            Some("clock-sample") => {
                assert!(value["t3"].is_string());
                say(socket, json!({ "type": "clock-estimate", "offset_us": 1, "uncertainty_us": 2 })).await;
            }
            _ => return Some(value),
        }
    }
}

async fn welcome(socket: &mut WebSocket) {
    say(socket, json!({ "type": "welcome", "provider": "north", "cursor": 9 })).await;
    assert_eq!(heard(socket).await, Some(json!({ "type": "subscribe", "after": 9 })));
}

async fn ask(socket: &mut WebSocket) {
    let command = |provider: &str, action: &str| json!({ "provider": provider, "action": action });
    say(
        socket,
        json!({
            "type": "ask", "ask": ASK, "epoch": 4, "vm": VM, "mine": command("north", "power.reboot"),
            "theirs": command("south", "snapshot.create"), "contested": ["power"],
            "feasible": ["mine-first", "theirs-first"], "answer_within_ms": 2000,
        }),
    )
    .await;
}

/// Serves one kind of session on a socket in a new folder.
fn serve<F>(play: impl Fn(WebSocket) -> F + Clone + Send + Sync + 'static) -> (tempfile::TempDir, PathBuf)
where
    F: Future<Output = ()> + Send + 'static,
{
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let open = move |upgrade: WebSocketUpgrade| async move { upgrade.on_upgrade(play) };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/session", get(open))).await });
    (folder, socket)
}

fn lines(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn finish(command: &mut tokio::process::Command) -> Output {
    tokio::time::timeout(LIMIT, command.output()).await.expect("it ends").unwrap()
}

#[tokio::test]
async fn an_ask_is_answered_as_the_flags_say() {
    let (told, mut answers) = mpsc::unbounded_channel();
    let (_folder, socket) = serve(move |mut socket| {
        let told = told.clone();
        async move {
            welcome(&mut socket).await;
            ask(&mut socket).await;
            let answer = heard(&mut socket).await;
            say(&mut socket, json!({ "type": "answered", "ask": ASK })).await;
            told.send(answer).unwrap();
            while heard(&mut socket).await.is_some() {}
        }
    });
    let words = ["--answer", "theirs-first", "--delay", "10ms", "--count", "1", "-o", "json"];
    let output = finish(&mut covirt(&socket, &words)).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let answer = json!({ "type": "answer", "ask": ASK, "epoch": 4, "answer": "theirs-first" });
    assert_eq!(answers.recv().await, Some(Some(answer)));
    let kinds: Vec<Value> = lines(&output).iter().map(|line| line["type"].clone()).collect();
    for kind in ["welcome", "ask", "answered"] {
        assert!(kinds.contains(&json!(kind)), "{kinds:?}");
    }
}

#[tokio::test]
async fn silence_answers_nothing_and_the_end_of_the_session_is_told() {
    let (told, mut answers) = mpsc::unbounded_channel();
    let (_folder, socket) = serve(move |mut socket| {
        let told = told.clone();
        async move {
            welcome(&mut socket).await;
            ask(&mut socket).await;
            // Each answered ping is a turn of the client's loop, in which it could have answered the ask.
            let mut said = Vec::new();
            for _ in 0..8 {
                socket.send(Message::Ping(axum::body::Bytes::from_static(b"x"))).await.unwrap();
                loop {
                    match tokio::time::timeout(LIMIT, socket.recv()).await.unwrap() {
                        Some(Ok(Message::Pong(_))) => break,
                        Some(Ok(Message::Text(text))) if text.contains("answer") => said.push(text.to_string()),
                        Some(Ok(_)) => {}
                        None | Some(Err(_)) => panic!("the client left"),
                    }
                }
            }
            told.send(said).unwrap();
            let frame = CloseFrame { code: 4000, reason: "session-replaced".into() };
            socket.send(Message::Close(Some(frame))).await.unwrap();
        }
    });
    let output = finish(&mut covirt(&socket, &["--silent"])).await;
    assert_eq!(output.status.code(), Some(8), "{output:?}");
    assert_eq!(answers.recv().await, Some(Vec::new()));
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("mine, north's power.reboot, or theirs, south's snapshot.create?"), "{printed}");
    assert!(printed.contains("my answer: silence"), "{printed}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "covirt: the agent ended the session: session-replaced\n");
}

#[tokio::test]
async fn why_it_ended_is_known_to_whoever_was_about_to_send() {
    let (gone, mut is_gone) = mpsc::unbounded_channel();
    let (_folder, socket) = serve(move |mut socket| {
        let gone = gone.clone();
        async move {
            say(&mut socket, json!({ "type": "welcome", "provider": "north", "cursor": 9 })).await;
            let frame = CloseFrame { code: 4000, reason: "session-replaced".into() };
            socket.send(Message::Close(Some(frame))).await.unwrap();
            drop(socket);
            gone.send(()).unwrap();
        }
    });
    let mut session = Session::open(&Client::new(socket, Some("north".parse().unwrap()))).await.unwrap();
    is_gone.recv().await.unwrap();
    let error = loop {
        // The socket itself is closed by the server's own task, a moment later.
        if let Err(error) = session.send(&FromProvider::Subscribe { after: 9 }).await {
            break error;
        }
    };
    assert_eq!(error.to_string(), "the agent ended the session: session-replaced");
}

#[tokio::test]
async fn a_session_that_is_refused_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let refuse = async || {
        let problem = json!({
            "type": "urn:covirt:problem:forbidden", "status": 403, "code": "forbidden",
            "detail": "user 7 may not speak for north",
        });
        (StatusCode::FORBIDDEN, problem.to_string()).into_response()
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(refuse)).await });
    let output = finish(&mut covirt(&socket, &[])).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "covirt: user 7 may not speak for north [forbidden]\n");
}

#[tokio::test]
async fn what_is_no_message_ends_the_session_with_a_reason() {
    let (_folder, socket) = serve(|mut socket| async move {
        say(&mut socket, json!({ "type": "welcome" })).await;
        while heard(&mut socket).await.is_some() {}
    });
    let output = finish(&mut covirt(&socket, &[])).await;
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("what is no message of a session"));
}

#[tokio::test]
async fn an_agent_that_hangs_up_ends_the_session() {
    let (_folder, socket) = serve(|mut socket| async move { welcome(&mut socket).await });
    let output = finish(&mut covirt(&socket, &[])).await;
    assert_eq!(output.status.code(), Some(8), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("covirt: the agent ended the session") && said.lines().count() == 1, "{said}");
}

#[tokio::test]
async fn a_signal_ends_the_session_well() {
    let (told, mut open) = mpsc::unbounded_channel();
    let (_folder, socket) = serve(move |mut socket| {
        let told = told.clone();
        async move {
            welcome(&mut socket).await;
            told.send(()).unwrap();
            while heard(&mut socket).await.is_some() {}
        }
    });
    let child = covirt(&socket, &[]).spawn().unwrap();
    tokio::time::timeout(LIMIT, open.recv()).await.expect("it opens");
    let id = i32::try_from(child.id().unwrap()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM).unwrap();
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await.expect("it ends").unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}
