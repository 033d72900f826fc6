//! One list of behaviours that every store has, run against SQLite and the twin in memory.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::samples::{entry, vm};
use super::*;

mod keeping;
mod snapshots;

/// Somewhere a journal lives, so that it can be opened again.
trait Place {
    /// Thoroughly, as a check does.
    fn open(&self) -> Result<Box<dyn Store>, OpenJournalError>;
    /// As an agent does.
    fn restore(&self) -> Result<(Box<dyn Store>, Restored), OpenJournalError>;
}

impl Place for Disk {
    fn open(&self) -> Result<Box<dyn Store>, OpenJournalError> {
        Self::open(self).map(|store| Box::new(store) as Box<dyn Store>)
    }

    fn restore(&self) -> Result<(Box<dyn Store>, Restored), OpenJournalError> {
        Self::restore(self).map(|(store, restored)| (Box::new(store) as Box<dyn Store>, restored))
    }
}

struct File {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl File {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.sqlite");
        Self { _directory: directory, path }
    }
}

impl Place for File {
    fn open(&self) -> Result<Box<dyn Store>, OpenJournalError> {
        SqliteStore::open(&self.path).map(|store| Box::new(store) as Box<dyn Store>)
    }

    fn restore(&self) -> Result<(Box<dyn Store>, Restored), OpenJournalError> {
        SqliteStore::restore(&self.path).map(|(store, restored)| (Box::new(store) as Box<dyn Store>, restored))
    }
}

fn in_both(behaviour: impl Fn(&dyn Place)) {
    behaviour(&Disk::new());
    behaviour(&File::new());
}

fn all(store: &mut dyn Store, from: Position) -> Vec<(Position, Entry)> {
    let mut found = Vec::new();
    let mut each = |position, entry| {
        found.push((position, entry));
        ControlFlow::Continue(())
    };
    store.replay(from, &mut each).unwrap();
    found
}

#[test]
fn an_empty_journal_has_nothing_and_is_whole() {
    in_both(|place| {
        let mut store = place.open().unwrap();
        assert_eq!(store.last(), 0);
        assert_eq!(all(store.as_mut(), 0), vec![]);
        assert_eq!(store.page(0, 10, None), Ok(vec![]));
        assert_eq!(store.verify(), Ok(Verified { records: 0, head: Chain::EMPTY.head }));
        assert_eq!(store.append(&[]), Ok(0));
    });
}

#[test]
fn positions_count_from_one_without_gaps_and_survive_reopening() {
    in_both(|place| {
        let mut store = place.open().unwrap();
        assert_eq!(store.append(&[entry(1, 1)]), Ok(1));
        assert_eq!(store.append(&[entry(1, 2), entry(2, 1)]), Ok(3));
        let before = store.verify().unwrap();
        drop(store);
        let mut store = place.open().unwrap();
        assert_eq!(store.verify().unwrap(), before);
        assert_eq!(store.append(&[entry(2, 2)]), Ok(4));
        let expected = vec![(1, entry(1, 1)), (2, entry(1, 2)), (3, entry(2, 1)), (4, entry(2, 2))];
        assert_eq!(all(store.as_mut(), 1), expected);
        assert_eq!(all(store.as_mut(), 3), expected[2..]);
        assert_eq!(all(store.as_mut(), 5), vec![]);
    });
}

#[test]
fn every_kind_of_fact_survives() {
    in_both(|place| {
        let mut store = place.open().unwrap();
        let written = Entry { facts: samples::every_fact(), ..entry(1, 1) };
        store.append(std::slice::from_ref(&written)).unwrap();
        drop(store);
        assert_eq!(all(place.open().unwrap().as_mut(), 1), vec![(1, written)]);
    });
}

#[test]
fn one_vm_is_replayed_alone_and_in_order_across_slices() {
    in_both(|place| {
        let mut store = place.open().unwrap();
        let entries: Vec<_> = (0..1000).map(|step| entry(step % 3, step)).collect();
        store.append(&entries).unwrap();
        let mut found = Vec::new();
        let mut each = |_, entry| {
            found.push(entry);
            ControlFlow::Continue(())
        };
        store.replay_vm(vm(2), &mut each).unwrap();
        let expected: Vec<_> = entries.into_iter().filter(|entry| entry.vm == vm(2)).collect();
        assert_eq!(found, expected);
    });
}

#[test]
fn a_replay_stops_when_told() {
    in_both(|place| {
        let mut store = place.open().unwrap();
        store.append(&(0..600).map(|step| entry(1, step)).collect::<Vec<_>>()).unwrap();
        let mut seen = 0;
        let mut each = |position, _| {
            seen = position;
            if position == 300 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        store.replay(1, &mut each).unwrap();
        assert_eq!(seen, 300);
    });
}

#[test]
fn a_page_has_what_follows_a_position() {
    in_both(|place| {
        let mut store = place.open().unwrap();
        store.append(&[entry(1, 1), entry(2, 1), entry(1, 2), entry(2, 2)]).unwrap();
        assert_eq!(store.page(1, 2, None), Ok(vec![(2, entry(2, 1)), (3, entry(1, 2))]));
        assert_eq!(store.page(1, 9, Some(vm(1))), Ok(vec![(3, entry(1, 2))]));
        assert_eq!(store.page(4, 9, None), Ok(vec![]));
        assert_eq!(store.page(Position::MAX, 9, None), Ok(vec![]));
        assert_eq!(store.page(0, 0, None), Ok(vec![]));
    });
}

#[test]
fn a_batch_with_an_entry_at_fault_is_refused_whole() {
    in_both(|place| {
        let mut store = place.open().unwrap();
        let empty = Entry { facts: vec![], ..entry(1, 2) };
        let refused = store.append(&[entry(1, 1), empty]).unwrap_err();
        assert_eq!(refused, AppendError::Unencodable(EncodeError::NoFacts));
        assert_eq!(store.last(), 0);
        assert_eq!(store.append(&[entry(1, 1)]), Ok(1));
    });
}

#[test]
fn a_journal_is_opened_once_at_a_time() {
    in_both(|place| {
        let store = place.open().unwrap();
        assert!(matches!(place.open(), Err(OpenJournalError::InUse { .. })));
        drop(store);
        drop(place.open().unwrap());
    });
}

#[test]
fn equal_journals_have_equal_heads_however_they_were_batched() {
    let mut heads = Vec::new();
    for batches in [vec![3], vec![1, 1, 1], vec![2, 1]] {
        let mut steps = 0..3;
        for store in [&mut Disk::new().open().unwrap() as &mut dyn Store, File::new().open().unwrap().as_mut()] {
            let mut steps = steps.clone();
            for size in &batches {
                let batch: Vec<_> = steps.by_ref().take(*size).map(|step| entry(1, step)).collect();
                store.append(&batch).unwrap();
            }
            heads.push(store.verify().unwrap());
        }
        steps.next();
    }
    heads.dedup();
    assert_eq!(heads.len(), 1);
}
