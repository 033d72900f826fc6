//! A day of commands on a lane: what it keeps in memory, and what a snapshot of it takes, does not grow.
//!
//! `COVIRT_SOAK_HOURS=24 cargo test --release --test journal_soak` is the whole day (`make sim` runs it); without it,
//! as much as shows growth: once more than every bound of a lane is passed, and then the same again.

#[path = "support/traffic.rs"]
mod traffic;

use std::collections::BTreeSet;

use covirt::journal::{Chain, Snapshot};
use serde_json::json;
use traffic::Traffic;

/// What one lane keeps.
#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    commands: usize,
    conflicts: usize,
    live: usize,
    /// The state as a snapshot has it; ids of forgotten commands and all else is in it. *Units*: bytes.
    bytes: u64,
}

impl Kept {
    fn of(traffic: &Traffic) -> Self {
        let state = traffic.state(0);
        let (commands, conflicts) = (state.commands().count(), state.conflicts().count());
        let bytes = Snapshot::encode(state, Chain::EMPTY).unwrap().header.length;
        Self { commands, conflicts, live: state.live_count(), bytes }
    }

    fn most(self, other: Self) -> Self {
        Self {
            commands: self.commands.max(other.commands),
            conflicts: self.conflicts.max(other.conflicts),
            live: self.live.max(other.live),
            bytes: self.bytes.max(other.bytes),
        }
    }
}

/// Resident memory of this process. *Units*: KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A round a second, and with each metadata in a namespace nobody used before: names that providers make up are
/// the one thing on a VM of which there is no end.
fn rounds(traffic: &mut Traffic, count: u64, facts: &mut u64) -> Kept {
    let mut most = Kept::default();
    for round in 0..count {
        traffic.round(0);
        let uri = format!("urn:example:job:{}", traffic.sent);
        let args = json!({"uri": uri, "key": "job", "xml": "<job state='done'/>"});
        let command = traffic.command(0, 0, "metadata.set", &args);
        let wanted = traffic.submit(0, command);
        traffic.settle(0, wanted);
        *facts += traffic.entries.drain(..).map(|entry| entry.facts.len() as u64).sum::<u64>();
        if round % 100 == 99 {
            most = most.most(Kept::of(traffic));
        }
    }
    most
}

#[test]
fn a_lane_keeps_no_more_after_a_day_than_after_an_hour() {
    let hours = std::env::var("COVIRT_SOAK_HOURS").ok().and_then(|text| text.parse::<u64>().ok());
    let mut traffic = Traffic::new(1, 24);
    let mut facts = 0;
    // 4096 remembered ids and 256 remembered commands, at three commands a round; 1024 remembered writes.
    let warm = rounds(&mut traffic, 1_500, &mut facts);
    let (begun, resident_then) = (traffic.sent, resident());
    let more = hours.map_or(500, |hours| (hours * 3_600).saturating_sub(1_500));
    let kept = rounds(&mut traffic, more, &mut facts);
    let resident_now = resident();
    println!("warm after {begun} commands: {warm:?}");
    println!("after {} commands, {facts} facts, {} s of its clock: {kept:?}", traffic.sent, traffic.now_us / 1_000_000);
    println!("resident: {resident_then} KiB, then {resident_now} KiB");
    assert!(traffic.sent > begun + more, "commands were sent all the time");
    assert_eq!(kept.commands, warm.commands);
    assert!(kept.conflicts <= warm.commands * 3, "{kept:?}");
    assert!(kept.bytes <= warm.bytes + warm.bytes / 20, "{kept:?} after {warm:?}");
    assert!(resident_now <= resident_then + 8 * 1024, "resident: {resident_then} KiB, then {resident_now} KiB");
    let named: BTreeSet<_> = traffic.state(0).commands().map(|tracked| tracked.command().id).collect();
    assert_eq!(named.len(), kept.commands);
}
