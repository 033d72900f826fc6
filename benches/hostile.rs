//! What a hostile provider costs another one: north's commands and reads alone and while mallory floods the agent, in
//! turns in one run. `cargo bench --bench hostile`.
//!
//! Mallory has one delegation, one thread and the same cores as the agent and north: commands that are refused, JSON as
//! large as it may be, sessions opened and dropped, and garbage, one after the other and without a pause.

#[path = "../tests/support/covirtd.rs"]
mod covirtd;
#[allow(dead_code, reason = "the agent's figures use the rest")]
#[path = "agent/figures.rs"]
mod figures;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use covirtd::{Client, Covirtd, Session};
use figures::{Table, Times, ms, ratio};
use support::agent::DEFAULT_VM;

const ROUNDS: usize = 20;
/// Commands of north's in a round on each way, after as many again to warm up at the beginning; three reads to each.
const COMMANDS: usize = 200;

/// What north waited for.
#[derive(Default)]
struct Waited {
    commands: Vec<Duration>,
    reads: Vec<Duration>,
}

impl Waited {
    fn round(&mut self, north: &mut Client) {
        for number in 0..COMMANDS {
            let action = if number % 2 == 0 { "power.suspend" } else { "power.resume" };
            let begun = Instant::now();
            let view = north.run(DEFAULT_VM, action, &json!({}));
            self.commands.push(begun.elapsed());
            assert_eq!(view["state"], "done", "{view:#}");
            for path in ["/v1/whoami", "/v1/vms", &format!("/v1/vms/{DEFAULT_VM}")] {
                let begun = Instant::now();
                north.get(path).ok();
                self.reads.push(begun.elapsed());
            }
        }
    }
}

/// One of each kind of mischief.
fn flood(mallory: &mut Client, socket: &Path, largest: &[u8]) {
    let refused = mallory.try_submit(DEFAULT_VM, "power.stop", &json!({}), 0).expect("an answer");
    assert!(refused.status == 403, "{refused:?}");
    let mut stream = UnixStream::connect(socket).expect("the agent listens");
    stream.write_all(largest).expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    drop(Session::open(socket, "mallory", None));
    let mut stream = UnixStream::connect(socket).expect("the agent listens");
    let _ = stream.write_all(b"\x16\x03\x01 no HTTP\r\n\r\n\0\0\0\0");
    let _ = stream.read(&mut [0; 256]);
}

fn main() {
    figures::print_machine();
    let uid = nix::unistd::getuid();
    let mallory = format!("[[provider]]\nid = 'mallory'\nuids = [{uid}]");
    let agent = Covirtd::start(env!("CARGO_BIN_EXE_covirtd"), "test:///default", &mallory);
    let mut north = agent.client("north");
    north.post(&format!("/v1/vms/{DEFAULT_VM}/enrollment"), &json!({})).ok();
    let grant = json!({ "to": "mallory", "actions": ["metadata.set"], "mode": "shared" });
    north.post(&format!("/v1/vms/{DEFAULT_VM}/delegations"), &grant).ok();
    // Just below what a body may be: all of it is read and parsed before it is refused.
    let largest = json!({ "id": uuid::Uuid::now_v7(), "action": "power.stop", "args": vec![0; 500_000] }).to_string();
    let largest = format!(
        "POST /v1/vms/{DEFAULT_VM}/commands HTTP/1.1\r\nhost: covirt\r\ncovirt-provider: mallory\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{largest}",
        largest.len()
    );
    let (flooding, over, floods) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
    let (mut alone, mut beside) = (Waited::default(), Waited::default());
    std::thread::scope(|scope| {
        let hostile = scope.spawn(|| {
            let (mut client, socket) = (agent.client("mallory"), agent.socket());
            while !over.load(Ordering::SeqCst) {
                if flooding.load(Ordering::SeqCst) {
                    flood(&mut client, &socket, largest.as_bytes());
                    floods.fetch_add(1, Ordering::SeqCst);
                } else {
                    std::thread::park();
                }
            }
        });
        Waited::default().round(&mut north);
        for _ in 0..ROUNDS {
            alone.round(&mut north);
            let before = floods.load(Ordering::SeqCst);
            flooding.store(true, Ordering::SeqCst);
            hostile.thread().unpark();
            // The flood is under way when the round begins.
            while floods.load(Ordering::SeqCst) == before && !hostile.is_finished() {
                std::thread::yield_now();
            }
            beside.round(&mut north);
            flooding.store(false, Ordering::SeqCst);
        }
        over.store(true, Ordering::SeqCst);
        hostile.thread().unpark();
    });
    let mut table = Table::default();
    for (what, alone, beside) in [("commands", alone.commands, beside.commands), ("reads", alone.reads, beside.reads)] {
        let (alone, beside) = (Times::of(alone), Times::of(beside));
        for (name, per_mille) in [("p50", 500), ("p99", 990)] {
            let (one, other) = (alone.at(per_mille), beside.at(per_mille));
            let name = format!("{what}, {name} of {}", alone.count());
            table.note(name.clone(), format!("{} alone, {} beside a flood", ms(one), ms(other)));
            if per_mille == 990 {
                table.at_most(&name, ratio(other, one), 2.0, "×");
            } else {
                table.note(name, format!("{:.2}×", ratio(other, one)));
            }
        }
    }
    table.note("floods", format!("{} of 4 requests or connections each", floods.load(Ordering::SeqCst)));
    table.print();
}
