//! A provider's door against libvirt's own socket and against socat in front of it, by a client that speaks libvirt's
//! protocol. `make bench`, or `cargo bench --bench door` (`-- reads`, `streams`, `connections` or `memory` for a part); the
//! figures are in `docs/benchmarks.md`.
//!
//! Every ratio is of things measured in the same run, in turns. The test of memory makes 100,000 calls unless
//! COVIRT_BENCH_CALLS says how many.

#[path = "../agent/figures.rs"]
mod figures;
mod client;
#[path = "../../tests/support/covirtd.rs"]
mod covirtd;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use client::Client;
use covirtd::Covirtd;
use figures::{Table, Times, ms, ratio};
use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::until;

const READS: usize = 10_000;
const CALLS: usize = 100_000;
const CONNECTIONS: usize = 500;
const VOLUME: usize = 256 * 1024 * 1024;
const STREAMS: usize = 5;

/// A socat that passes on what comes to a socket of its own.
struct Socat {
    process: Child,
    socket: PathBuf,
}

impl Socat {
    fn start(folder: &Path, name: &str, options: &[&str], upstream: &Path) -> std::io::Result<Self> {
        let socket = folder.join(name);
        let mut command = Command::new("socat");
        command.args(options).arg(format!("UNIX-LISTEN:{},fork", socket.display()));
        let process = command.arg(format!("UNIX-CONNECT:{}", upstream.display())).stderr(Stdio::null()).spawn()?;
        until("socat listens", Duration::from_secs(10), || socket.exists().then_some(()));
        Ok(Self { process, socket })
    }
}

impl Drop for Socat {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn main() {
    figures::print_machine();
    let mut table = Table::default();
    match PrivateLibvirt::own() {
        Ok(libvirt) => measure(&mut table, &libvirt),
        Err(Skip(reason)) => table.skip("the doors", &reason),
    }
    table.print();
}

fn measure(table: &mut Table, libvirt: &PrivateLibvirt) {
    let folder = tempfile::Builder::new().prefix("door-").tempdir().expect("make a folder");
    let upstream = libvirt.folder().join("run/libvirt-sock");
    let doors = folder.path().join("doors");
    let config = format!("door = true\nroles = ['host']\n[doors]\ndir = '{}'\n", doors.display());
    let agent = Covirtd::start(env!("CARGO_BIN_EXE_covirtd"), libvirt.uri(), &config);
    let door = doors.join("south/libvirt-sock");
    let socats = Socat::start(folder.path(), "socat", &[], &upstream)
        .and_then(|plain| Ok((plain, Socat::start(folder.path(), "socat-large", &["-b262144"], &upstream)?)));
    let (socat, large) = match socats {
        Ok(socats) => socats,
        Err(error) => return table.skip("the doors", &format!("socat: {error}")),
    };
    let guest = Guest::define(libvirt, "door");
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|name| name == part);
    if is_wanted("reads") {
        reads(table, guest.name(), [&upstream, &socat.socket, &door]);
    }
    if is_wanted("streams") {
        streams(table, &volume(libvirt), [&upstream, &socat.socket, &door, &large.socket]);
    }
    if is_wanted("connections") {
        connections(table, guest.name(), &door);
    }
    if is_wanted("memory") {
        memory(table, guest.name(), &door, &agent);
    }
}

/// Reads of a domain's state, so many in a row on each way in its turn: in a row as clients make them, and one by one, when
/// the others have taken the processor's caches in between.
fn reads(table: &mut Table, guest: &str, sockets: [&Path; 3]) {
    for (in_a_row, target) in [(25, Some(1.05)), (1, None)] {
        eprintln!("measuring reads, {in_a_row} in a row …");
        let mut ways = sockets.map(|socket| {
            let mut client = Client::open(socket);
            let domain = client.domain(guest);
            (client, domain, Vec::with_capacity(READS))
        });
        let turns = READS / in_a_row;
        for turn in 0..turns + turns / 10 {
            // None is always behind the same other one.
            for at in 0..ways.len() {
                let (client, domain, times) = &mut ways[(at + turn) % sockets.len()];
                for _ in 0..in_a_row {
                    let begin = Instant::now();
                    client.state(domain);
                    if turn >= turns / 10 {
                        times.push(begin.elapsed());
                    }
                }
            }
        }
        let [direct, socat, door] = ways.map(|(_, _, times)| Times::of(times));
        for (name, times) in [("direct", &direct), ("socat", &socat), ("door", &door)] {
            let figures = format!("{} and {}", ms(times.at(500)), ms(times.at(990)));
            table.note(format!("read, {in_a_row} in a row, {name}: p50 and p99 of {}", times.count()), figures);
        }
        let name = |than, which| format!("read, {in_a_row} in a row, door against {than}: {which}");
        table.note(name("direct", "p50"), format!("{:.2}", ratio(door.at(500), direct.at(500))));
        let p50 = ratio(door.at(500), socat.at(500));
        match target {
            Some(most) => table.at_most(&name("socat", "p50"), p50, most, ""),
            None => table.note(name("socat", "p50"), format!("{p50:.2}")),
        }
        table.note(name("socat", "p99"), format!("{:.2}", ratio(door.at(990), socat.at(990))));
    }
}

/// A volume in a pool of its own.
fn volume(libvirt: &PrivateLibvirt) -> String {
    let pool = libvirt.folder().join("door-pool");
    std::fs::create_dir_all(&pool).expect("make the pool's folder");
    libvirt.virsh(&["pool-create-as", "door", "dir", "--target", &pool.display().to_string()]);
    libvirt.virsh(&["vol-create-as", "door", "volume", &VOLUME.to_string(), "--format", "raw"]);
    pool.join("volume").display().to_string()
}

/// Whole volumes, in turns; the best of each, because what disturbs only ever slows down.
fn streams(table: &mut Table, volume: &str, sockets: [&Path; 4]) {
    eprintln!("measuring streams …");
    let names = ["direct", "socat", "door", "socat -b262144"];
    for (what, is_upload) in [("upload", true), ("download", false)] {
        let mut best = [Duration::MAX; 4];
        for _ in 0..STREAMS {
            for (socket, best) in sockets.iter().zip(&mut best) {
                let mut client = Client::open(socket);
                let begin = Instant::now();
                if is_upload {
                    client.upload(volume, VOLUME);
                } else {
                    assert_eq!(client.download(volume), VOLUME, "{}", socket.display());
                }
                *best = begin.elapsed().min(*best);
            }
        }
        for (name, best) in names.iter().zip(best) {
            let rate = VOLUME as f64 / 1e6 / best.as_secs_f64();
            table.note(format!("{what} of 256 MiB, {name}: best of {STREAMS}"), format!("{rate:.0} MB/s"));
        }
        let [_, socat, door, large] = best;
        table.at_least(&format!("{what}, throughput of the door against socat's"), ratio(socat, door), 0.9, "");
        let figure = format!("{:.2}", ratio(large, door));
        table.note(format!("{what}, throughput of the door against that of socat -b262144"), figure);
    }
}

/// Connections that are open at once, each of which answers.
fn connections(table: &mut Table, guest: &str, door: &Path) {
    eprintln!("measuring connections …");
    let begin = Instant::now();
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| Client::open(door)).collect();
    let opened = begin.elapsed();
    let domain = clients[0].domain(guest);
    let begin = Instant::now();
    for client in &mut clients {
        client.ask_state(&domain);
    }
    let answered = clients.iter_mut().map(Client::answer_state).filter(|state| *state >= 0).count();
    table.note(format!("{CONNECTIONS} connections opened one after the other"), ms(opened));
    table.note(format!("one read on each of {CONNECTIONS}, all at once"), ms(begin.elapsed()));
    table.at_least("connections open at once", answered as f64, CONNECTIONS as f64, "");
}

/// What the agent keeps of calls that are over.
fn memory(table: &mut Table, guest: &str, door: &Path, agent: &Covirtd) {
    let calls = std::env::var("COVIRT_BENCH_CALLS").ok().and_then(|text| text.parse().ok()).unwrap_or(CALLS);
    eprintln!("measuring memory over {calls} calls …");
    let mut client = Client::open(door);
    let domain = client.domain(guest);
    let mut make = |calls: usize| {
        const FLIGHT: usize = 4;
        for _ in 0..FLIGHT {
            client.ask_state(&domain);
        }
        for _ in FLIGHT..calls.max(FLIGHT) {
            client.answer_state();
            client.ask_state(&domain);
        }
        for _ in 0..FLIGHT {
            client.answer_state();
        }
    };
    make(calls / 10);
    let before = resident(agent.pid());
    let begin = Instant::now();
    make(calls);
    let rate = calls as f64 / begin.elapsed().as_secs_f64();
    let after = resident(agent.pid());
    table.note(format!("resident before and after {calls} calls"), format!("{before:.1} and {after:.1} MiB"));
    table.note("calls on one connection, four in flight", format!("{rate:.0} a second"));
    table.at_most("growth of memory over the calls", after - before, 0.5, " MiB");
}

/// *Units*: MiB.
fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the agent runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}
