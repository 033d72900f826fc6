//! The journal's twin in memory, with faults on demand: for simulation, and for tests of whatever stands on a journal.
//!
//! A [`Disk`] outlives the stores that are opened on it, as a disk outlives a process. What was appended is on it for
//! good once synced; a crash decides about the rest. `parity` runs one list of behaviours against this and SQLite.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::audit;
use super::chain::Chain;
use super::codec::Record;
use super::error::{AppendError, Damage, OpenJournalError, ReplayError};
use super::restore::{Restored, restore};
use super::snapshot::{Basis, Headers, Snapshot};
use super::store::{Store, Stored};
use super::{Entry, Position};
use crate::model::VmId;

/// What an append can meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is written, and the append says so: a full or failing disk.
    Unwritten,
    /// All is written, then the sync fails, and the append says so. A crash before the next append may keep it.
    Unsynced,
    /// All is written, the append says so, but nothing was synced: a disk that lies. A crash may lose it.
    SyncLost,
}

/// What a crash leaves of that which was written but not synced. A batch is kept or lost whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Lost,
    /// All.
    Kept,
}

/// A disk in memory that holds one journal. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    records: Vec<Stored>,
    /// How many of them a crash cannot take.
    synced: usize,
    /// A refused batch that is written all the same.
    refused: Vec<Stored>,
    /// Which life this is; a crash ends one.
    life: u64,
    open: bool,
    appends: u64,
    faults: BTreeMap<u64, Fault>,
    snapshots: BTreeMap<VmId, Snapshot>,
    basis: Option<Basis>,
    /// How many snapshots were tried, and which of them meet a full disk.
    keeps: u64,
    unkept: BTreeSet<u64>,
    room: Option<usize>,
}

impl State {
    fn used(&self) -> usize {
        let records = self.records.iter().map(|stored| stored.record.facts().len());
        records.chain(self.snapshots.values().map(|snapshot| snapshot.body.len())).sum()
    }
}

impl Disk {
    /// An empty disk of unlimited size.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the journal on it, checking all there is.
    ///
    /// *Errors*: [`OpenJournalError::InUse`] while another store of this life lives; [`OpenJournalError::Damaged`].
    pub fn open(&self) -> Result<MemoryStore, OpenJournalError> {
        self.open_replaying(&mut |_, _| {})
    }

    /// The same, handing out every entry on the way.
    ///
    /// *Errors*: as [`Self::open`].
    pub fn open_replaying(&self, each: &mut dyn FnMut(Position, Entry)) -> Result<MemoryStore, OpenJournalError> {
        let mut store = self.connect()?;
        let verified = audit::run(&mut store, None, each).map_err(damaged)?;
        store.chain = Chain { last: verified.records, head: verified.head };
        Ok(store)
    }

    /// Opens the journal as an agent does: the newest snapshots, and what came after them.
    ///
    /// *Errors*: as [`Self::open`].
    pub fn restore(&self) -> Result<(MemoryStore, Restored), OpenJournalError> {
        let mut store = self.connect()?;
        let (chain, restored) = restore(&mut store).map_err(damaged)?;
        store.chain = chain;
        Ok((store, restored))
    }

    fn connect(&self) -> Result<MemoryStore, OpenJournalError> {
        let mut state = self.state();
        if state.open {
            return Err(OpenJournalError::InUse { path: PathBuf::from("memory") });
        }
        state.open = true;
        Ok(MemoryStore { disk: self.clone(), life: state.life, chain: Chain::EMPTY })
    }

    /// Lets the `nth` snapshot, counted from 1 over the life of the disk, meet a full disk.
    pub fn fail_keep(&self, nth: u64) {
        self.state().unkept.insert(nth);
    }

    /// How many snapshots were tried so far.
    #[must_use]
    pub fn keeps(&self) -> u64 {
        self.state().keeps
    }

    /// Changes a snapshot behind the journal's back; none removes it.
    pub fn tamper_snapshot(&self, vm: VmId, change: Option<&dyn Fn(&mut Snapshot)>) {
        let mut state = self.state();
        match change {
            Some(change) => state.snapshots.get_mut(&vm).into_iter().for_each(change),
            None => drop(state.snapshots.remove(&vm)),
        }
    }

    /// Lets the `nth` append, counted from 1 over the life of the disk, meet a fault.
    pub fn fail_append(&self, nth: u64, fault: Fault) {
        self.state().faults.insert(nth, fault);
    }

    /// How many appends were tried so far.
    #[must_use]
    pub fn appends(&self) -> u64 {
        self.state().appends
    }

    /// Limits what fits on the disk from now on. *Units*: bytes of facts and snapshots together; none is no limit.
    pub fn set_room(&self, room: Option<usize>) {
        self.state().room = room;
    }

    /// Ends this life: the open store is dead, and what was not synced is kept or lost.
    pub fn crash(&self, tail: Tail) {
        let mut guard = self.state();
        let state = &mut *guard;
        match tail {
            Tail::Lost => state.records.truncate(state.synced),
            Tail::Kept => state.records.append(&mut state.refused),
        }
        state.refused.clear();
        state.synced = state.records.len();
        state.life = state.life.saturating_add(1);
        state.open = false;
    }

    /// Changes a record behind the journal's back.
    pub fn tamper(&self, position: Position, change: impl FnOnce(&mut Stored)) {
        let mut state = self.state();
        if let Some(stored) = state.records.iter_mut().find(|stored| stored.position == position) {
            change(stored);
        }
    }

    /// Removes a record behind the journal's back.
    pub fn remove(&self, position: Position) {
        let mut state = self.state();
        state.records.retain(|stored| stored.position != position);
        state.synced = state.records.len();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change below is complete before anything can panic, so a poisoned state is still a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A journal in memory.
#[derive(Debug)]
pub struct MemoryStore {
    disk: Disk,
    life: u64,
    chain: Chain,
}

impl Store for MemoryStore {
    fn append_records(&mut self, records: &[Record]) -> Result<Position, AppendError> {
        if records.is_empty() {
            return Ok(self.chain.last);
        }
        let refuse = |reason: &str| AppendError::Unwritable { reason: reason.to_owned() };
        let mut guard = self.disk.state();
        let state = &mut *guard;
        if state.life != self.life {
            return Err(refuse("the disk went on without this store"));
        }
        state.appends = state.appends.saturating_add(1);
        let fault = state.faults.remove(&state.appends);
        let used = state.used();
        let needed: usize = records.iter().map(|record| record.facts().len()).sum();
        if state.room.is_some_and(|room| used.saturating_add(needed) > room) {
            return Err(refuse("the disk is full"));
        }
        let mut chain = self.chain;
        let batch = records.iter().map(|record| {
            chain = chain.with(record);
            Stored { position: chain.last, record: record.clone(), digest: chain.head }
        });
        match fault {
            Some(Fault::Unwritten) => return Err(refuse("an injected fault: nothing was written")),
            Some(Fault::Unsynced) => {
                state.refused = batch.collect();
                return Err(refuse("an injected fault: the sync failed"));
            }
            Some(Fault::SyncLost) => state.records.extend(batch),
            None => {
                state.records.extend(batch);
                state.synced = state.records.len();
            }
        }
        state.refused.clear();
        drop(guard);
        self.chain = chain;
        Ok(chain.last)
    }

    fn slice(&mut self, after: Position, at_most: usize, of: Option<VmId>) -> Result<Vec<Stored>, ReplayError> {
        let state = self.disk.state();
        if state.life != self.life {
            let reason = "the disk went on without this store".to_owned();
            return Err(ReplayError::Unreadable { after, reason });
        }
        let start = state.records.partition_point(|stored| stored.position <= after);
        let wanted = (state.records.iter().skip(start)).filter(|stored| of.is_none_or(|vm| vm == stored.record.vm()));
        Ok(wanted.take(at_most).cloned().collect())
    }

    fn count(&mut self, vm: VmId, after: Position, through: Position) -> Result<u64, ReplayError> {
        let state = self.disk.state();
        let start = state.records.partition_point(|stored| stored.position <= after);
        let wanted = state.records.iter().skip(start).take_while(|stored| stored.position <= through);
        Ok(wanted.filter(|stored| stored.record.vm() == vm).count() as u64)
    }

    fn basis(&mut self) -> Result<Option<Basis>, ReplayError> {
        Ok(self.disk.state().basis)
    }

    fn headers(&mut self) -> Result<Headers, ReplayError> {
        Ok(self.disk.state().snapshots.iter().map(|(vm, snapshot)| (*vm, snapshot.header)).collect())
    }

    fn snapshot(&mut self, vm: VmId) -> Result<Option<Snapshot>, ReplayError> {
        Ok(self.disk.state().snapshots.get(&vm).cloned())
    }

    fn keep(&mut self, snapshot: &Snapshot, basis: &Basis, alone: bool) -> Result<(), AppendError> {
        let mut guard = self.disk.state();
        let state = &mut *guard;
        state.keeps = state.keeps.saturating_add(1);
        let full = state.unkept.remove(&state.keeps)
            || state.room.is_some_and(|room| state.used().saturating_add(snapshot.body.len()) > room);
        if full || state.life != self.life {
            return Err(AppendError::Unwritable {
                reason: "the disk is full, or went on without this store".to_owned(),
            });
        }
        if alone {
            state.snapshots.clear();
        }
        state.snapshots.insert(snapshot.header.vm, snapshot.clone());
        state.basis = Some(*basis);
        // One log: what syncs the snapshot syncs what was written before it, and over what was refused.
        state.synced = state.records.len();
        state.refused.clear();
        Ok(())
    }

    fn chain(&self) -> Chain {
        self.chain
    }
}

fn damaged(damage: Damage) -> OpenJournalError {
    OpenJournalError::Damaged { path: PathBuf::from("memory"), damage }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.open = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_refused_batch_may_come_back_after_a_crash_unless_something_was_written_over_it() {
        for (then_append, tail, expected) in
            [(false, Tail::Kept, 2), (false, Tail::Lost, 1), (true, Tail::Kept, 2), (true, Tail::Lost, 2)]
        {
            let disk = Disk::new();
            let mut store = disk.open().unwrap();
            disk.fail_append(2, Fault::Unsynced);
            store.append(&[samples::entry(1, 1)]).unwrap();
            store.append(&[samples::entry(1, 2)]).unwrap_err();
            assert_eq!(store.last(), 1);
            if then_append {
                assert_eq!(store.append(&[samples::entry(2, 1)]), Ok(2));
            }
            disk.crash(tail);
            assert_eq!(disk.open().unwrap().last(), expected, "{then_append} {tail:?}");
        }
    }

    #[test]
    fn a_lying_disk_loses_what_it_acknowledged_since_the_last_sync() {
        let disk = Disk::new();
        let mut store = disk.open().unwrap();
        disk.fail_append(2, Fault::SyncLost);
        store.append(&[samples::entry(1, 1)]).unwrap();
        assert_eq!(store.append(&[samples::entry(1, 2)]), Ok(2));
        disk.crash(Tail::Lost);
        assert_eq!(disk.open().unwrap().last(), 1);
    }

    #[test]
    fn a_store_does_not_survive_a_crash() {
        let disk = Disk::new();
        let mut dead = disk.open().unwrap();
        disk.crash(Tail::Lost);
        let mut alive = disk.open().unwrap();
        assert!(matches!(dead.append(&[samples::entry(1, 1)]), Err(AppendError::Unwritable { .. })));
        drop(dead);
        assert!(matches!(disk.open(), Err(OpenJournalError::InUse { .. })));
        alive.append(&[samples::entry(1, 1)]).unwrap();
    }
}
