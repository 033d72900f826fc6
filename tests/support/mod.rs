//! What the integration tests share.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

pub(crate) mod accept;
pub(crate) mod agent;
pub(crate) mod bundle;
pub(crate) mod cli;
pub(crate) mod consumers;
pub(crate) mod debian;
pub(crate) mod qemu;
pub(crate) mod sample;
pub(crate) mod shop;
pub(crate) mod varied;

use std::io::Write;
use std::time::{Duration, Instant};

/// Say that a test cannot run here, and why. The test then returns; `tools/test.sh` counts it as skipped.
pub(crate) fn skip(test: &str, reason: &str) {
    let line = format!("SKIPPED: {test}: {reason}\n");
    eprint!("{line}");
    if let Some(path) = std::env::var_os("COVIRT_SKIPS") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("open COVIRT_SKIPS");
        // One write, so that tests running side by side do not mix their lines.
        file.write_all(line.as_bytes()).expect("write COVIRT_SKIPS");
    }
}

/// Ask again and again until there is an answer; panic, naming what was awaited, when `within` has passed.
///
/// For what nobody announces: what a guest writes to its console, what virsh prints, what another process does with its
/// files and sockets. What covirt or libvirt tells by an event or an answer is waited for there.
#[track_caller]
pub(crate) fn until<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
