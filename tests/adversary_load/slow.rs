//! What is slow is ended by its bound, and keeps nobody else waiting.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::oversized::command;
use crate::scene::{End, SOON, Scene, heard};
use crate::support::until;

/// How fast mallory drips: many drops in each bound.
const DROP: Duration = Duration::from_millis(20);

/// Sends byte by byte until the agent ends it; how it ended.
fn drip(mut stream: std::os::unix::net::UnixStream, bytes: impl Iterator<Item = u8>) -> End {
    for byte in bytes {
        if stream.write_all(&[byte]).is_err() {
            break;
        }
        std::thread::sleep(DROP);
    }
    heard(&mut stream)
}

/// North is served again and again while mallory does this, and mallory's deed is ended.
#[track_caller]
fn served_during<T: Send>(scene: &mut Scene, deed: impl FnOnce() -> T + Send) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let deed = scope.spawn(|| {
            let done = deed();
            over.store(true, Ordering::SeqCst);
            done
        });
        while !over.load(Ordering::SeqCst) && !deed.is_finished() {
            scene.north_is_served();
        }
        deed.join().expect("mallory's thread ends")
    })
}

#[test]
fn a_head_that_drips_is_ended_by_its_bound_and_nobody_waits_for_it() {
    let mut scene = Scene::set("[limits]\nhead_timeout_ms = 1000\n");
    let (began, stream) = (Instant::now(), scene.mallory());
    let head = b"GET /v1/whoami HTTP/1.1\r\nx-drip: ".iter().copied().chain(std::iter::repeat_n(b'x', 60_000));
    let end = served_during(&mut scene, || drip(stream, head));
    end.is_one_of(&[408]);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn a_body_that_drips_is_refused_by_its_code_and_nobody_waits_for_it() {
    let mut scene = Scene::set("[limits]\nbody_timeout_ms = 1000\n");
    let mut streams = [scene.mallory(), scene.mallory()];
    let promised = command(1000, b"{");
    for stream in &mut streams {
        stream.write_all(&promised).expect("it is sent");
    }
    let [silent, dripping] = streams;
    let dripped = served_during(&mut scene, || drip(dripping, std::iter::repeat_n(b' ', 900)));
    let said = heard(&mut { silent });
    said.is(408, "too-slow");
    match dripped {
        End::Answered(..) => dripped.is(408, "too-slow"),
        End::Closed => {}
    }
}

#[test]
fn a_session_that_never_reads_is_ended_and_nobody_waits_for_it() {
    let mut scene = Scene::set("");
    let mut request = "ws://covirt/v1/session".into_client_request().expect("a request");
    request.headers_mut().insert("covirt-provider", "mallory".parse().expect("a header"));
    let (mut web, _) = tungstenite::client(request, scene.mallory()).expect("the session opens");
    let sent = served_during(&mut scene, || {
        // Each has an answer, which mallory does not read: the agent's writing comes to a stop, then mallory's own.
        let question = "{\"type\":\"clock\",\"t0\":\"2026-01-01T00:00:00Z\"}";
        (0_u64..).find(|_| web.send(Message::text(question)).is_err()).expect("it is ended")
    });
    assert!(sent > 100, "{sent}");
    until("the session is ended", SOON, || scene.agent.log().contains("the provider does not read").then_some(()));
}

#[test]
fn a_connection_that_reads_no_answers_takes_no_more_than_its_own() {
    let mut scene = Scene::set("[limits]\nhead_timeout_ms = 1000\n");
    let mut stream = scene.mallory();
    stream.set_write_timeout(Some(Duration::from_secs(2))).expect("a limit");
    let asked = served_during(&mut scene, || {
        let request = b"GET /v1/vms HTTP/1.1\r\nhost: covirt\r\ncovirt-provider: mallory\r\n\r\n".repeat(100);
        (0_u64..).find(|_| stream.write_all(&request).is_err()).expect("the agent takes no more")
    });
    assert!(asked < 1000, "so many hundreds were taken in without an answer being read: {asked}");
    scene.north_is_served();
}
