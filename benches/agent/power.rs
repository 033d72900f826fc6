//! Suspend and resume of a running guest: through the agent, and the same two calls directly on libvirt.
//!
//! On two guests of the same kind, in turns: the agent looks at whatever happens to the one it manages, and that must
//! not slow down what it is compared with.

use std::time::{Duration, Instant};

use serde_json::json;

use super::covirtd::Covirtd;
use super::figures::{Table, Times, ms, ratio};
use super::support::qemu::{Guest, PrivateLibvirt, Skip};

const BLOCKS: usize = 25;
const PAIRS: usize = 24;

/// One way's times.
#[derive(Default)]
struct Way {
    suspend: Vec<Duration>,
    resume: Vec<Duration>,
    pair: Vec<Duration>,
}

impl Way {
    fn pair(&mut self, act: &mut dyn FnMut(Turn)) {
        let begun = Instant::now();
        act(Turn::Suspend);
        let half = begun.elapsed();
        act(Turn::Resume);
        let whole = begun.elapsed();
        self.suspend.push(half);
        self.resume.push(whole - half);
        self.pair.push(whole);
    }
}

#[derive(Clone, Copy)]
enum Turn {
    Suspend,
    Resume,
}

pub(crate) fn measure(table: &mut Table) {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return table.skip("suspend and resume through the API", &reason),
    };
    let (managed, alone) = (Guest::boot(&libvirt, "managed"), Guest::boot(&libvirt, "alone"));
    let connection = libvirt.connect();
    let vm = managed.domain(&connection).uuid_string().expect("a UUID");
    let domain = alone.domain(&connection);
    let agent = Covirtd::start(super::PROGRAM, libvirt.uri(), "");
    let mut north = agent.client("north");
    north.post(&format!("/v1/vms/{vm}/enrollment"), &json!({})).ok();
    let grant = json!({ "to": "south", "actions": ["snapshot.*"], "mode": "exclusive" });
    north.post(&format!("/v1/vms/{vm}/delegations"), &grant).ok();
    let _sessions = [agent.session("north", None), agent.session("south", None)];

    let mut by_agent = |turn| {
        let action = match turn {
            Turn::Suspend => "power.suspend",
            Turn::Resume => "power.resume",
        };
        let view = north.run(&vm, action, &json!({}));
        assert_eq!(view["state"], "done", "{view:#}");
    };
    let mut by_libvirt = |turn| match turn {
        Turn::Suspend => domain.suspend().map(drop).expect("suspend"),
        Turn::Resume => domain.resume().map(drop).expect("resume"),
    };
    let (mut through, mut direct) = (Way::default(), Way::default());
    for block in 0..=BLOCKS {
        if block == 1 {
            // What came before was to warm up.
            (through, direct) = (Way::default(), Way::default());
        }
        (0..PAIRS).for_each(|_| through.pair(&mut by_agent));
        (0..PAIRS).for_each(|_| direct.pair(&mut by_libvirt));
    }
    report(table, "suspend", through.suspend, direct.suspend);
    report(table, "resume", through.resume, direct.resume);
    let (through, direct) = report(table, "suspend + resume", through.pair, direct.pair);
    table.at_most("suspend + resume: p50, API to direct", ratio(through.at(500), direct.at(500)), 1.2, "×");
    table.at_most("suspend + resume: p99, API to direct", ratio(through.at(990), direct.at(990)), 1.5, "×");
}

fn report(table: &mut Table, what: &str, through: Vec<Duration>, direct: Vec<Duration>) -> (Times, Times) {
    let (through, direct) = (Times::of(through), Times::of(direct));
    for (way, times) in [("API", &through), ("direct", &direct)] {
        let figures = format!("p50 {}, p99 {} (n = {})", ms(times.at(500)), ms(times.at(990)), times.count());
        table.note(format!("{what}, {way}"), figures);
    }
    (through, direct)
}
