//! What the agent costs when nothing happens: memory with a thousand lanes, and how often it wakes up.

use std::time::Duration;

use super::covirtd::Covirtd;
use super::figures::Table;
use super::inventory::define;
use super::lanes::{enroll, used, world};
use super::support::qemu::{PrivateLibvirt, Skip};

const LANES: usize = 1000;
/// Threads and connections for calls that were made end after half a minute.
const SETTLE: Duration = Duration::from_secs(35);
const WATCH: Duration = Duration::from_secs(20);

pub(crate) fn measure(table: &mut Table) {
    let folder = tempfile::tempdir().expect("make a folder");
    let (uri, vms) = world(folder.path(), LANES);
    let mut agent = Covirtd::start(super::PROGRAM, &uri, "");
    let empty = resident(agent.pid());
    enroll(&agent, &vms, &[]);
    restart(&mut agent);
    let switches = watched(&agent);
    let full = resident(agent.pid());
    // This driver keeps its VMs in the agent's own process: no figure for the agent's memory.
    table.note("resident on the test driver, without and with 1,000 lanes", format!("{empty:.1} and {full:.1} MiB"));
    table.at_most("wake-ups, 1,000 lanes on the test driver", switches, 0.0, " in 20 s");
    drop(agent);

    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return table.skip("memory and wake-ups on libvirtd", &reason),
    };
    let vms = define(&libvirt, folder.path(), LANES);
    let mut agent = Covirtd::start(super::PROGRAM, libvirt.uri(), "");
    table.note("resident, no lanes", format!("{:.1} MiB", resident(agent.pid())));
    enroll(&agent, &vms, &[]);
    table.note("resident, 1,000 lanes just enrolled", format!("{:.1} MiB", resident(agent.pid())));
    restart(&mut agent);
    let switches = watched(&agent);
    table.note("threads, 1,000 lanes", threads(agent.pid()).len().to_string());
    table.at_most("resident, 1,000 lanes known", resident(agent.pid()), 40.0, " MiB");
    // libvirt asks on each of two connections every 5 s; each question is read and answered.
    table.note("wake-ups, 1,000 lanes, keep-alive of two connections", format!("{switches} in 20 s"));
}

fn restart(agent: &mut Covirtd) {
    agent.kill9();
    agent.up();
    let health = agent.client("north").get("/healthz").ok();
    assert_eq!(health["lanes"], LANES, "{health}");
}

/// Context switches of all threads while nothing happens.
fn watched(agent: &Covirtd) -> f64 {
    std::thread::sleep(SETTLE);
    let (before, spent) = (switches(agent.pid()), used(agent.pid()));
    std::thread::sleep(WATCH);
    let (after, spent) = (switches(agent.pid()), used(agent.pid()) - spent);
    eprintln!("idle for {WATCH:?}: {} switches, {spent:?} of processor time", after - before);
    for (name, count) in threads(agent.pid()) {
        eprintln!("  {name}: {count} since it began");
    }
    (after - before) as f64
}

fn switches(pid: u32) -> u64 {
    threads(pid).iter().map(|(_, count)| count).sum()
}

/// Every thread's name, and how often it was scheduled.
fn threads(pid: u32) -> Vec<(String, u64)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the agent runs");
    let read = |task: std::io::Result<std::fs::DirEntry>| {
        let status = std::fs::read_to_string(task.ok()?.path().join("status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let count = |name: &str| field(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let switches = count("voluntary_ctxt_switches:") + count("nonvoluntary_ctxt_switches:");
        Some((field("Name:")?.to_owned(), switches))
    };
    tasks.filter_map(read).collect()
}

/// *Units*: MiB.
fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the agent runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}
