//! Many lanes at once, on libvirt's test driver: how many commands a second, and whether one lane waits for another.

use std::fmt::Write;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::covirtd::{Client, Covirtd};
use super::figures::{Table, Times, ms, ratio};

const LANES: usize = 64;
const WARM_UP: Duration = Duration::from_secs(2);
const LENGTH: Duration = Duration::from_secs(10);
const CALLS: usize = 6000;

/// Writes a world of running VMs for the test driver; gives its URI and the VMs.
pub(crate) fn world(folder: &Path, vms: usize) -> (String, Vec<String>) {
    let mut text =
        "<node><cpu><mhz>2000</mhz><model>i686</model><active>2</active><nodes>1</nodes><sockets>1</sockets>\
                    <cores>2</cores><threads>1</threads></cpu><memory>3145728</memory>"
            .to_owned();
    let id = |number: usize| uuid::Uuid::from_u128(0x7e57_0000_0000_4000_8000_0000_0000_0000 + number as u128 + 1);
    let ids: Vec<String> = (0..vms).map(|number| id(number).to_string()).collect();
    for (number, vm) in ids.iter().enumerate() {
        let _ = write!(
            text,
            "<domain type='test'><name>vm-{number}</name><uuid>{vm}</uuid><memory>65536</memory>\
             <vcpu current='1'>4</vcpu><os><type>hvm</type></os></domain>"
        );
    }
    text.push_str("</node>");
    let path = folder.join("world.xml");
    std::fs::write(&path, text).expect("write the world");
    (format!("test://{}", path.display()), ids)
}

/// Has north enroll VMs.
pub(crate) fn enroll(agent: &Covirtd, vms: &[String], delegated: &[&str]) {
    let mut north = agent.client("north");
    for vm in vms {
        north.post(&format!("/v1/vms/{vm}/enrollment"), &json!({})).ok();
        if !delegated.is_empty() {
            let grant = json!({ "to": "south", "actions": delegated, "mode": "exclusive" });
            north.post(&format!("/v1/vms/{vm}/delegations"), &grant).ok();
        }
    }
}

pub(crate) fn measure(table: &mut Table) {
    throughput(table);
    pending_callback(table);
}

fn throughput(table: &mut Table) {
    let folder = tempfile::tempdir().expect("make a folder");
    let (uri, vms) = world(folder.path(), LANES);
    let agent = Covirtd::start(super::PROGRAM, &uri, "");
    enroll(&agent, &vms, &["metadata.set"]);
    let (counted, counting, stop) = (AtomicU64::new(0), AtomicBool::new(false), AtomicBool::new(false));
    let barrier = Barrier::new(2 * LANES + 1);
    let note = |text: &str| json!({ "uri": "https://south.example/", "key": "south", "xml": format!("<{text}/>") });
    let mut rate = 0.0;
    let mut all = Vec::new();
    std::thread::scope(|scope| {
        let work = |mut client: Client, vm: &str, turns: [(&str, Value); 2]| {
            let mut times = Vec::new();
            barrier.wait();
            for (action, args) in turns.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let begun = Instant::now();
                let view = client.run(vm, action, args);
                assert_eq!(view["state"], "done", "{view:#}");
                if counting.load(Ordering::Relaxed) {
                    counted.fetch_add(1, Ordering::Relaxed);
                    times.push(begun.elapsed());
                }
            }
            times
        };
        let mut workers = Vec::new();
        for vm in &vms {
            let (north, south) = (agent.client("north"), agent.client("south"));
            let power = [("power.suspend", json!({})), ("power.resume", json!({}))];
            let notes = [("metadata.set", note("a")), ("metadata.set", note("b"))];
            workers.push(scope.spawn(move || work(north, vm, power)));
            workers.push(scope.spawn(move || work(south, vm, notes)));
        }
        barrier.wait();
        std::thread::sleep(WARM_UP);
        let before = used(agent.pid());
        counting.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        std::thread::sleep(LENGTH);
        counting.store(false, Ordering::Relaxed);
        let (passed, spent) = (begun.elapsed(), used(agent.pid()).saturating_sub(before));
        stop.store(true, Ordering::Relaxed);
        rate = counted.load(Ordering::Relaxed) as f64 / passed.as_secs_f64();
        for worker in workers {
            all.extend(worker.join().expect("a worker"));
        }
        table.note("the agent's processor time meanwhile", format!("{:.2} cores", ratio(spent, passed)));
    });
    let times = Times::of(all);
    table.note("a command among them", format!("p50 {}, p99 {}", ms(times.at(500)), ms(times.at(990))));
    table.at_least("durable commands over 64 lanes, 2 providers", rate, 5000.0, " /s");
}

/// Processor time of a process so far.
pub(crate) fn used(pid: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    // Ticks are hundredths of a second on every Linux that Rust's standard library runs on.
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Two lanes: in one a callback is pending for five seconds at a time, in the other commands are timed.
fn pending_callback(table: &mut Table) {
    let folder = tempfile::tempdir().expect("make a folder");
    let (uri, vms) = world(folder.path(), 2);
    let config = "[lane]\ngather_ms = 500\ngather_for = 'writes'\nask_timeout_ms = 5000\ncallback_budget_ms = 5000\n";
    let agent = Covirtd::start(super::PROGRAM, &uri, config);
    enroll(&agent, &vms[..1], &["snapshot.*"]);
    // Without a rival nothing is gathered here.
    enroll(&agent, &vms[1..], &[]);
    let sessions = [agent.session("north", None), agent.session("south", None)];
    let (mut north, mut south, mut timed) = (agent.client("north"), agent.client("south"), agent.client("north"));
    let turns = ["power.suspend", "power.resume"];
    let mut time = |count: usize| -> Vec<Duration> {
        let one = |turn: &usize| {
            let begun = Instant::now();
            let view = timed.run(&vms[1], turns[turn % 2], &json!({}));
            assert_eq!(view["state"], "done", "{view:#}");
            begun.elapsed()
        };
        (0..count).collect::<Vec<_>>().iter().map(one).collect()
    };
    time(200);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    let mut round = 0;
    while with.len() < CALLS {
        let waiting = north.submit(&vms[0], "power.suspend", &json!({}));
        let rival = south.submit(&vms[0], "snapshot.create", &json!({ "name": format!("round-{round}") }));
        sessions[0].asks.recv_timeout(Duration::from_secs(10)).expect("north is asked");
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(4) && with.len() < CALLS {
            with.extend(time(10));
        }
        let pending = asked.elapsed() < Duration::from_millis(4900);
        let view = north.command(&vms[0], &waiting);
        assert!(!pending || view["state"] == "queued", "the callback was pending all the time: {view:#}");
        for id in [&waiting, &rival] {
            north.ended(&vms[0], id, Duration::from_secs(30));
        }
        north.run(&vms[0], "power.resume", &json!({}));
        without.extend(time(with.len() - without.len()));
        round += 1;
    }
    let (with, without) = (Times::of(with), Times::of(without));
    for (what, times) in [("another lane, nothing pending", &without), ("another lane, a 5 s callback pending", &with)]
    {
        table.note(what, format!("p50 {}, p99 {} (n = {})", ms(times.at(500)), ms(times.at(990)), times.count()));
    }
    table.at_most("another lane's p99, pending to not", ratio(with.at(990), without.at(990)), 1.2, "×");
}
