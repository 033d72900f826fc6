//! The journal itself sees to snapshots, beside its work, and whatever happens to them does not concern the facts.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::super::traffic::{self, Traffic};
use super::*;
use crate::resolver::State;

/// Appends rounds of traffic until enough snapshots were tried; gives back what the facts come to.
fn work(disk: &Disk, traffic: &mut Traffic, floor: u64, tries: u64) -> BTreeMap<VmId, State> {
    let (store, restored) = disk.restore().unwrap();
    let mut states = restored.states;
    let journal = Journal::start_keeping(Box::new(store), restored.coverage, floor).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut round = 0;
    while round < 40 || disk.keeps() < tries {
        assert!(Instant::now() < deadline, "{} snapshots were tried, and {tries} awaited", disk.keeps());
        traffic.round(round % 3);
        round += 1;
        let (answered, answers) = mpsc::channel();
        for entry in std::mem::take(&mut traffic.entries) {
            restore::take_in(&mut states, &entry);
            let answered = answered.clone();
            journal.append(&entry, move |result| answered.send(result).unwrap());
        }
        drop(answered);
        assert!(answers.iter().all(|result| result.is_ok()), "facts are not concerned");
    }
    for (vm, state) in &states {
        assert_eq!(run(journal.restore_vm(*vm)).as_ref(), Ok(state));
    }
    run(journal.close());
    states
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn snapshots_are_made_beside_the_work_and_a_start_needs_little_more() {
    let disk = Disk::new();
    let mut traffic = Traffic::new(3, 11);
    let mut enough = 0;
    for _ in 0..3 {
        enough += 4;
        let states = work(&disk, &mut traffic, 2_000, enough);
        let (mut store, restored) = disk.restore().unwrap();
        assert_eq!(restored.states, states);
        assert!(restored.snapshots > 0);
        assert!(restored.replayed < store.last(), "{} of {}", restored.replayed, store.last());
        assert!(store.verify().is_ok());
    }
}

#[test]
fn snapshots_that_cannot_be_written_are_tried_again_later() {
    let disk = Disk::new();
    for nth in 1..=3 {
        disk.fail_keep(nth);
    }
    let states = work(&disk, &mut Traffic::new(3, 12), 0, 6);
    let (_, restored) = disk.restore().unwrap();
    assert_eq!(restored.states, states);
    assert!(restored.snapshots > 0);
}

#[test]
fn a_disk_that_has_room_for_facts_alone_takes_them() {
    let disk = Disk::new();
    for nth in 1..=10_000 {
        disk.fail_keep(nth);
    }
    let states = work(&disk, &mut Traffic::new(3, 13), 0, 3);
    let (_, restored) = disk.restore().unwrap();
    assert_eq!((restored.states, restored.snapshots), (states, 0));
}

#[test]
fn an_index_that_misses_a_record_is_found_at_the_start_and_by_verify() {
    let file = File::new();
    let mut traffic = Traffic::new(2, 14);
    traffic.round(0);
    let (mut store, _) = Place::restore(&file).unwrap();
    store.append(&traffic.entries).unwrap();
    drop(store);
    let db = rusqlite::Connection::open(&file.path).unwrap();
    db.execute_batch(
        "DROP INDEX records_by_vm; CREATE INDEX records_by_vm ON records (vm) WHERE position <> 3;
         PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = 'CREATE INDEX records_by_vm ON records (vm)' WHERE name = 'records_by_vm';",
    )
    .unwrap();
    drop(db);
    let Err(OpenJournalError::Damaged { damage, .. }) = Place::restore(&file) else { panic!("it was opened") };
    assert_eq!((damage.what, damage.vm), (What::Index, Some(traffic::vm(0))));
    let Err(OpenJournalError::Damaged { damage, .. }) = Place::open(&file) else { panic!("it was opened") };
    assert_eq!(damage.what, What::Index);
}
