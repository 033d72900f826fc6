//! Snapshots: a start from them is a start from the facts, and nothing that is wrong with them passes for the truth.

use std::collections::BTreeMap;

use super::super::traffic::{self, Traffic, provider};
use super::*;
use crate::resolver::{Input, Standing, State};

/// Facts of real lanes, and what they come to.
struct Written {
    traffic: Traffic,
    states: BTreeMap<VmId, State>,
}

const VMS: usize = 4;

impl Written {
    fn new() -> Self {
        Self { traffic: Traffic::new(VMS, 7), states: BTreeMap::new() }
    }

    /// So many rounds more, journalled as they come.
    fn append(&mut self, store: &mut dyn Store, coverage: &mut Coverage, rounds: usize) {
        for round in 0..rounds {
            self.traffic.round(round % VMS);
            self.flush(store, coverage);
        }
    }

    fn flush(&mut self, store: &mut dyn Store, coverage: &mut Coverage) {
        let entries = std::mem::take(&mut self.traffic.entries);
        let first = store.last() + 1;
        store.append(&entries).unwrap();
        for (position, entry) in (first..).zip(&entries) {
            coverage.note(entry.vm, position, 500);
            restore::take_in(&mut self.states, entry);
        }
    }

    /// The states of what is co-managed.
    fn enrolled(&self) -> BTreeMap<VmId, State> {
        let enrolled = self.states.iter().filter(|(_, state)| state.standing() != Standing::Free);
        enrolled.map(|(vm, state)| (*vm, state.clone())).collect()
    }
}

/// What the keeper does with an errand.
fn keep(store: &mut dyn Store, coverage: &mut Coverage, states: &BTreeMap<VmId, State>, errand: Errand) {
    let digest = store.slice(errand.through - 1, 1, None).unwrap()[0].digest;
    let snapshot = Snapshot::encode(&states[&errand.vm], Chain { last: errand.through, head: digest }).unwrap();
    seal(store, coverage, &snapshot).unwrap();
}

fn seal(store: &mut dyn Store, coverage: &mut Coverage, snapshot: &Snapshot) -> Result<(), AppendError> {
    let (headers, base) = coverage.with(snapshot.header, store.last());
    let head = base.checked_sub(1).map_or(Chain::EMPTY.head, |before| store.slice(before, 1, None).unwrap()[0].digest);
    let basis = Basis::seal(Chain { last: base, head }, &headers);
    store.keep(snapshot, &basis, coverage.is_stale())?;
    coverage.kept(snapshot.header);
    Ok(())
}

/// A journal with snapshots of two of its lanes, and facts after them.
fn with_snapshots(place: &dyn Place) -> Written {
    let mut written = Written::new();
    let (mut store, Restored { mut coverage, .. }) = place.restore().unwrap();
    written.append(store.as_mut(), &mut coverage, 20);
    for _ in 0..2 {
        let errand = coverage.due(0).unwrap();
        keep(store.as_mut(), &mut coverage, &written.states, errand);
    }
    written.append(store.as_mut(), &mut coverage, 10);
    written
}

fn believed(place: &dyn Place, written: &Written) -> usize {
    let (_, restored) = place.restore().unwrap();
    assert_eq!(restored.states, written.enrolled());
    restored.snapshots
}

#[test]
fn a_start_from_snapshots_is_a_start_from_the_facts() {
    in_both(|place| {
        let mut written = Written::new();
        let (mut snapshots, mut replayed) = (0, 0);
        for start in 0..8 {
            let (mut store, restored) = place.restore().unwrap();
            assert_eq!(restored.states, written.enrolled(), "start {start}");
            (snapshots, replayed) = (restored.snapshots, restored.replayed);
            let mut coverage = restored.coverage;
            for _ in 0..6 {
                written.append(store.as_mut(), &mut coverage, 3);
                if let Some(errand) = coverage.due(10_000) {
                    keep(store.as_mut(), &mut coverage, &written.states, errand);
                }
            }
            let last = store.last();
            assert_eq!(store.verify().unwrap().records, last);
        }
        let last = place.open().unwrap().last();
        assert!(snapshots == VMS && replayed * 2 < last, "{snapshots} snapshots, {replayed} of {last}");
    });
}

#[test]
fn a_released_vm_is_not_read_at_the_start_and_is_whole_when_it_comes_back() {
    in_both(|place| {
        let mut written = with_snapshots(place);
        let (mut store, Restored { mut coverage, .. }) = place.restore().unwrap();
        written.traffic.tell(0, Input::Release { token: 0, by: provider("north") });
        written.flush(store.as_mut(), &mut coverage);
        // Until its snapshot has the release, too.
        while let Some(errand) = coverage.due(0) {
            keep(store.as_mut(), &mut coverage, &written.states, errand);
            written.append(store.as_mut(), &mut coverage, 0);
        }
        drop(store);
        assert_eq!(written.enrolled().len(), VMS - 1);
        believed(place, &written);
        let (mut store, Restored { mut coverage, .. }) = place.restore().unwrap();
        let newest = restore::newest(store.as_mut(), traffic::vm(0)).unwrap();
        let enroll =
            Input::Enroll { token: 0, name: "again".to_owned(), primary: provider("south"), state: traffic::running() };
        assert!(newest.is_none_or(|(_, state)| state.vm() == traffic::vm(0)));
        written.traffic.tell(0, enroll);
        written.flush(store.as_mut(), &mut coverage);
        drop(store);
        assert_eq!(written.enrolled().len(), VMS);
        believed(place, &written);
    });
}

/// What is wrong with snapshots, made wrong in both kinds of journal alike: by the store's own means.
#[test]
fn a_snapshot_of_other_code_is_left_aside_and_replaced() {
    in_both(|place| {
        let mut written = with_snapshots(place);
        assert!(believed(place, &written) > 0);
        let (mut store, Restored { mut coverage, .. }) = place.restore().unwrap();
        let (vm, header) = coverage.headers().first_key_value().map(|(vm, header)| (*vm, *header)).unwrap();
        let found = store.snapshot(vm).unwrap().unwrap();
        let other = Snapshot { header: Header { code: FACTS_CODE ^ 1, ..header }, ..found };
        seal(store.as_mut(), &mut coverage, &other).unwrap();
        assert!(store.verify().is_ok(), "what other code made is no damage");
        drop(store);
        assert_eq!(believed(place, &written), 0);

        let (mut store, Restored { mut coverage, .. }) = place.restore().unwrap();
        assert!(coverage.is_stale());
        let errand = coverage.due(0).unwrap();
        keep(store.as_mut(), &mut coverage, &written.states, errand);
        assert_eq!(store.headers().unwrap().len(), 1, "the others are gone");
        written.append(store.as_mut(), &mut coverage, 4);
        drop(store);
        assert_eq!(believed(place, &written), 1);
    });
}

#[test]
fn a_snapshot_that_was_forged_is_found_by_verify() {
    in_both(|place| {
        let written = with_snapshots(place);
        let (mut store, Restored { mut coverage, .. }) = place.restore().unwrap();
        let header = *coverage.headers().values().next().unwrap();
        let chain = Chain { last: header.through, head: header.digest };
        let forged = Snapshot::encode(&State::new(header.vm), chain).unwrap();
        seal(store.as_mut(), &mut coverage, &forged).unwrap();
        let damage = store.verify().unwrap_err();
        assert_eq!((damage.position, damage.vm), (header.through, Some(header.vm)));
        assert!(damage.to_string().contains("another state"), "{damage}");
        drop(written);
    });
}

#[test]
fn records_that_a_snapshot_covers_cannot_be_cut_off_unnoticed() {
    let disk = Disk::new();
    let mut written = Written::new();
    let (mut store, Restored { mut coverage, .. }) = disk.restore().unwrap();
    written.append(&mut store, &mut coverage, 20);
    while let Some(errand) = coverage.due(0) {
        keep(&mut store, &mut coverage, &written.states, errand);
    }
    let last = store.last();
    drop(store);
    let covered = disk.restore().unwrap().1.coverage.headers().values().map(|header| header.through).max().unwrap();
    for position in covered..=last {
        disk.remove(position);
    }
    let Err(OpenJournalError::Damaged { damage, .. }) = disk.restore() else { panic!("records are missing") };
    assert!(matches!(damage.what, What::Missing { .. }), "{damage}");
}

#[test]
fn a_changed_or_missing_snapshot_is_left_aside_and_told_by_verify() {
    type Change<'a> = Option<&'a dyn Fn(&mut Snapshot)>;
    let body = |snapshot: &mut Snapshot| snapshot.body = snapshot.body.replacen("north", "south", 1);
    let through = |snapshot: &mut Snapshot| snapshot.header.through -= 1;
    let digest = |snapshot: &mut Snapshot| snapshot.header.digest.0[0] ^= 1;
    let changes: [Change<'_>; 4] = [Some(&body), Some(&through), Some(&digest), None];
    for change in changes {
        let disk = Disk::new();
        let written = with_snapshots(&disk);
        let vm = *disk.restore().unwrap().1.coverage.headers().keys().next().unwrap();
        disk.tamper_snapshot(vm, change);
        assert_eq!(believed(&disk, &written), 0);
        let mut store = disk.restore().unwrap().0;
        let damage = store.verify().unwrap_err();
        assert!(matches!(damage.what, What::Snapshot(_)), "{damage}");
        let found = restore::newest(&mut store, vm).unwrap();
        assert!(found.is_none_or(|(_, state)| written.states[&vm].name() == state.name()));
    }
}

#[test]
fn a_snapshot_that_does_not_fit_on_the_disk_changes_nothing() {
    let disk = Disk::new();
    let written = with_snapshots(&disk);
    let (mut store, Restored { mut coverage, .. }) = disk.restore().unwrap();
    let before = (store.basis().unwrap(), store.headers().unwrap());
    let errand = coverage.due(0).unwrap();
    disk.fail_keep(disk.keeps() + 1);
    let digest = store.slice(errand.through - 1, 1, None).unwrap()[0].digest;
    let snapshot = Snapshot::encode(&written.states[&errand.vm], Chain { last: errand.through, head: digest }).unwrap();
    assert!(matches!(seal(&mut store, &mut coverage, &snapshot), Err(AppendError::Unwritable { .. })));
    coverage.failed(0);
    assert_eq!((store.basis().unwrap(), store.headers().unwrap()), before);
    let errand = coverage.due(0).unwrap();
    keep(&mut store, &mut coverage, &written.states, errand);
    drop(store);
    assert!(believed(&disk, &written) > 0);
}
