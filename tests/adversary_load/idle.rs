//! Ten thousand connections that say nothing: mallory has its share, and the others theirs.

use std::io::Read;
use std::os::unix::net::UnixStream;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::covirtd::Covirtd;
use crate::scene::{End, Scene, as_mallory, connect, heard};
use crate::support::{skip, until};

const CONNECTIONS: usize = 10_000;
/// What the test and cargo have open besides.
const BESIDES: u64 = 500;
/// By how much the agent may grow. *Units*: KiB. A connection that says nothing cost 12 KiB when it was measured, and 256
/// are let in: somewhat less than half of this. When each copied all routes, it cost 59 KiB.
const GROWTH_MAX: u64 = 8 * 1024;

/// Lets this process open as many files as it may; how many connections it can then have.
fn room(test: &str) -> usize {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("raise the limit");
    let room = usize::try_from(most.saturating_sub(BESIDES)).unwrap_or(CONNECTIONS).min(CONNECTIONS);
    if room < CONNECTIONS {
        skip(test, &format!("{room} connections and not {CONNECTIONS}: no more files may be open here"));
    }
    room
}

/// Resident memory. *Units*: KiB.
pub(crate) fn resident(agent: &Covirtd) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn open_files(agent: &Covirtd) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", agent.pid())).expect("its files").count()
}

fn is_open(stream: &mut UnixStream) -> bool {
    stream.set_nonblocking(true).expect("no waiting");
    let open = stream.read(&mut [0; 1]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).expect("waiting");
    open
}

#[test]
fn ten_thousand_idle_connections_of_one_provider_hinder_no_other() {
    const NAME: &str = "ten_thousand_idle_connections_of_one_provider_hinder_no_other";
    if !nix::unistd::getuid().is_root() {
        skip(NAME, "all are one user here: mallory's own needs root");
        return;
    }
    let room = room(NAME);
    let mut scene = Scene::set("[limits]\nhead_timeout_ms = 600000\n");
    scene.north_is_served();
    let before = (resident(&scene.agent), open_files(&scene.agent));
    let mut idle = as_mallory(&scene.agent, || (0..room).map(|_| connect(&scene.agent)).collect::<Vec<_>>());
    // Those that are too many have heard so; they are read in order, and the last was accepted last.
    for surplus in &mut idle[256..] {
        let end = heard(surplus);
        end.is(429, "too-many-connections");
        assert!(matches!(heard(surplus), End::Closed));
    }
    assert!(idle[..256].iter_mut().all(is_open), "its share is mallory's");
    let grown = (resident(&scene.agent).saturating_sub(before.0), open_files(&scene.agent) - before.1);
    eprintln!("{room} connections: the agent has grown by {} KiB and {} files", grown.0, grown.1);
    assert!(grown.0 <= GROWTH_MAX, "{} KiB", grown.0);
    assert!(grown.1 <= 256 + 16, "{} files", grown.1);
    let before = scene.picture();
    scene.unmoved_by(|_| {});
    for _ in 0..10 {
        scene.north_is_served();
    }
    assert_ne!(scene.picture(), before, "commands are executed meanwhile");
    // A flood of connections is no flood of lines.
    let lines = scene.agent.log().lines().filter(|line| line.contains("a connection is closed")).count();
    assert!((1..room / 10).contains(&lines), "{lines}");
    // Its places are free once they are gone.
    drop(idle);
    until("mallory is let in again", crate::scene::SOON, || {
        let mut stream = as_mallory(&scene.agent, || connect(&scene.agent));
        let request = b"GET /v1/whoami HTTP/1.1\r\nhost: covirt\r\n\r\n";
        matches!(crate::scene::say(&mut stream, request), End::Answered(200, _)).then_some(())
    });
}

#[test]
fn a_connection_too_many_hears_why_and_later_there_is_room_again() {
    let mut scene = Scene::set("[limits]\nconnections_per_peer = 2\nhead_timeout_ms = 600000\n");
    let before = scene.picture();
    // North's own connection, kept, is one of them: all are of one user.
    let held = scene.mallory();
    for _ in 0..3 {
        let mut surplus = scene.mallory();
        heard(&mut surplus).is(429, "too-many-connections");
    }
    assert_eq!(scene.picture(), before);
    drop(held);
    until("there is room again", crate::scene::SOON, || {
        let end = crate::scene::say(
            &mut scene.mallory(),
            b"GET /v1/whoami HTTP/1.1\r\ncovirt-provider: mallory\r\nhost: x\r\n\r\n",
        );
        matches!(end, End::Answered(200, _)).then_some(())
    });
}
