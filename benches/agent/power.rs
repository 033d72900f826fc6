//! Suspend and resume of a running guest: through the agent, and the same two calls directly on libvirt.

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
    fn pair(&mut self, mut suspend: impl FnMut(), mut resume: impl FnMut()) {
        let begun = Instant::now();
        suspend();
        let half = begun.elapsed();
        resume();
        let whole = begun.elapsed();
        self.suspend.push(half);
        self.resume.push(whole - half);
        self.pair.push(whole);
    }
}

pub(crate) fn measure(table: &mut Table) {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return table.skip("suspend and resume through the API", &reason),
    };
    let guest = Guest::boot(&libvirt, "bench");
    let connection = libvirt.connect();
    let domain = guest.domain(&connection);
    let vm = domain.uuid_string().expect("a UUID");
    let agent = Covirtd::start(super::PROGRAM, libvirt.uri(), "");
    let mut north = agent.client("north");
    north.post(&format!("/v1/vms/{vm}/enrollment"), &json!({})).ok();
    let grant = json!({ "to": "south", "actions": ["snapshot.*"], "mode": "exclusive" });
    north.post(&format!("/v1/vms/{vm}/delegations"), &grant).ok();
    let _sessions = [agent.session("north", None), agent.session("south", None)];

    let mut act = |action: &str| {
        let view = north.run(&vm, action, &json!({}));
        assert_eq!(view["state"], "done", "{view:#}");
    };
    let (mut through, mut direct) = (Way::default(), Way::default());
    let mut actor = |way: &mut Way| {
        // One closure at a time may hold the client.
        let begun = Instant::now();
        act("power.suspend");
        let half = begun.elapsed();
        act("power.resume");
        let whole = begun.elapsed();
        way.suspend.push(half);
        way.resume.push(whole - half);
        way.pair.push(whole);
    };
    for block in 0..BLOCKS {
        let (mut warm_through, mut warm_direct) = (Way::default(), Way::default());
        let is_warm_up = block == 0;
        for _ in 0..PAIRS {
            actor(if is_warm_up { &mut warm_through } else { &mut through });
        }
        for _ in 0..PAIRS {
            let way = if is_warm_up { &mut warm_direct } else { &mut direct };
            way.pair(|| drop(domain.suspend().expect("suspend")), || drop(domain.resume().expect("resume")));
        }
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
