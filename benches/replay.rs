//! Replaying a journal, and starting from its snapshots, at three sizes: the figures of `docs/journal.md`.
//!
//! The facts are those of real lanes on a hundred VMs: two providers' commands, more than half of which meet.
//! `COVIRT_BENCH_FACTS=100000` ends with that size.

#[path = "../tests/support/traffic.rs"]
mod traffic;

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use covirt::journal::{Journal, SqliteStore, Store, TAIL_FLOOR};
use traffic::Traffic;

const VMS: usize = 100;
const SIZES: [u64; 3] = [100_000, 300_000, 1_000_000];
/// Entries that are queued together.
const BATCH: usize = 1_000;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(std::env::var_os("COVIRT_BENCH_DIR").unwrap_or_else(|| "/var/tmp".into())).unwrap()
}

/// Appends facts until there are so many; with snapshots if it is told to keep them.
fn grow(path: &Path, keeping: bool, traffic: &mut Traffic, facts: &mut u64, until: u64) {
    let (store, restored) = SqliteStore::restore(path).unwrap();
    let journal = if keeping {
        Journal::start_keeping(Box::new(store), restored.coverage, TAIL_FLOOR).unwrap()
    } else {
        Journal::start(Box::new(store)).unwrap()
    };
    let mut at = 0;
    while *facts < until {
        while traffic.entries.len() < BATCH {
            at = (at + 7) % VMS;
            traffic.round(at);
        }
        let (answered, answers) = mpsc::channel();
        for entry in std::mem::take(&mut traffic.entries) {
            *facts += entry.facts.len() as u64;
            let answered = answered.clone();
            journal.append(&entry, move |result| answered.send(result).unwrap());
        }
        drop(answered);
        assert!(answers.iter().all(|result| result.is_ok()));
    }
    if keeping {
        // This is a day's work in seconds: what is due is made before the agent stops, as it would have been.
        std::thread::sleep(Duration::from_secs(5));
    }
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(journal.close());
}

/// The best time, and what the last one came to; a journal has one owner at a time, so each result goes before the next.
fn best<T>(times: u32, mut deed: impl FnMut() -> T) -> (Duration, T) {
    let mut once = || {
        let start = Instant::now();
        let done = deed();
        (start.elapsed(), done)
    };
    let (mut best, mut done) = once();
    for _ in 1..times {
        drop(done);
        let (time, again) = once();
        (best, done) = (best.min(time), again);
    }
    (best, done)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}

fn main() {
    let place = directory();
    let (plain, kept) = (place.path().join("plain.sqlite"), place.path().join("kept.sqlite"));
    let until = std::env::var("COVIRT_BENCH_FACTS").ok().and_then(|text| text.parse().ok()).unwrap_or(SIZES[2]);
    // The same seed, so the same facts in both.
    let (mut first, mut second) = (Traffic::new(VMS, 42), Traffic::new(VMS, 42));
    let (mut in_plain, mut in_kept) = (0, 0);
    println!("{VMS} VMs, two providers; best of three");
    for size in SIZES.into_iter().filter(|size| *size <= until) {
        grow(&plain, false, &mut first, &mut in_plain, size);
        grow(&kept, true, &mut second, &mut in_kept, size);

        let (time, (store, restored)) = best(3, || SqliteStore::restore(&plain).unwrap());
        assert_eq!((restored.replayed, restored.snapshots), (store.last(), 0));
        let bytes = std::fs::metadata(&plain).unwrap().len();
        let per_fact = time.as_secs_f64() * 1e6 / in_plain as f64;
        println!(
            "{in_plain} facts in {} records of {} commands ({:.0} MiB): replayed in {time:.2?}, {per_fact:.2} us a fact",
            store.last(),
            first.sent,
            mib(bytes),
        );
        let states = restored.states;
        drop(store);

        let (time, (mut store, restored)) = best(3, || SqliteStore::restore(&kept).unwrap());
        assert_eq!(restored.states, states, "a start from snapshots comes to what the facts do");
        let live: u64 = restored.coverage.headers().values().map(|header| header.length).sum();
        println!(
            "  with snapshots: started in {time:.2?}; {} snapshots of {:.1} MiB, {} records replayed, a tail of {:.1} MiB, \
             file {:.0} MiB",
            restored.snapshots,
            mib(live),
            restored.replayed,
            mib(restored.coverage.bytes()),
            mib(std::fs::metadata(&kept).unwrap().len()),
        );
        drop(restored);
        let (time, verified) = best(1, || store.verify());
        println!("  every record and snapshot verified in {time:.2?}: {} records", verified.unwrap().records);
    }
}
