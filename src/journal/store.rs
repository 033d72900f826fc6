//! What a journal needs of its storage, and what follows from that.
//!
//! A backend appends a batch as one, reads a slice, counts a VM's records by its index, keeps snapshots beside the
//! records, says where the end is, and does upkeep. Replay, pages, restoring and verification are written once, over
//! these; so a backend cannot answer them differently, and the writer thread can put commits between two slices.

use std::ops::ControlFlow;

use super::audit;
use super::chain::{Chain, Digest};
use super::codec::Record;
use super::error::{AppendError, Damage, ReplayError, What};
use super::snapshot::{Basis, Headers, Snapshot};
use super::{Entry, Position};
use crate::model::VmId;

/// How many records a slice of a longer read has: small, because a commit may have to wait for one slice.
pub(super) const SLICE: usize = 256;

/// A record as a store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its position.
    pub position: Position,
    /// What was written.
    pub record: Record,
    /// Its link of the chain.
    pub digest: Digest,
}

/// A journal that is what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// How many records it has.
    pub records: u64,
    /// The digest of the last; equal heads mean equal journals.
    pub head: Digest,
}

/// Called with each record, in order; may stop the replay.
pub type Each<'a> = &'a mut dyn FnMut(Position, Entry) -> ControlFlow<()>;

/// Durable, ordered, append-only storage for records.
pub trait Store: Send {
    /// Makes all records durable, or none. Returns the position of the last.
    ///
    /// *Errors*: [`AppendError::Unwritable`]; the store is as before and may be tried again.
    fn append_records(&mut self, records: &[Record]) -> Result<Position, AppendError>;

    /// Up to `at_most` records after a position, of one VM or of all. May return fewer, but none only at the end.
    ///
    /// *Errors*: [`ReplayError`] for the first record that cannot be read.
    fn slice(&mut self, after: Position, at_most: usize, of: Option<VmId>) -> Result<Vec<Stored>, ReplayError>;

    /// How many records of a VM lie after a position, up to another: as the index says that a replay of one VM uses.
    ///
    /// *Errors*: [`ReplayError`] when it cannot be read.
    fn count(&mut self, vm: VmId, after: Position, through: Position) -> Result<u64, ReplayError>;

    /// What the snapshots cover; none when there are none. Storage without snapshots leaves this and the next three as
    /// they are.
    ///
    /// *Errors*: [`ReplayError`] when it cannot be read.
    fn basis(&mut self) -> Result<Option<Basis>, ReplayError> {
        Ok(None)
    }

    /// Every snapshot there is, without its state.
    ///
    /// *Errors*: [`ReplayError`] when they cannot be read.
    fn headers(&mut self) -> Result<Headers, ReplayError> {
        Ok(Headers::new())
    }

    /// The snapshot of one VM.
    ///
    /// *Errors*: [`ReplayError`] when it cannot be read.
    fn snapshot(&mut self, _vm: VmId) -> Result<Option<Snapshot>, ReplayError> {
        Ok(None)
    }

    /// Puts a snapshot in the place of the one its VM had, and writes the basis anew; both or neither. `alone` removes
    /// all other snapshots, too.
    ///
    /// *Errors*: [`AppendError::Unwritable`]; the store is as before.
    fn keep(&mut self, _snapshot: &Snapshot, _basis: &Basis, _alone: bool) -> Result<(), AppendError> {
        Err(AppendError::Unwritable { reason: "this storage keeps no snapshots".to_owned() })
    }

    /// The end of the chain, as of the last append that was acknowledged.
    fn chain(&self) -> Chain;

    /// Upkeep that would delay an append; called when none is waiting.
    fn rest(&mut self) {}

    /// Makes all entries durable, or none. Returns the position of the last.
    ///
    /// *Errors*: [`AppendError::Unencodable`] for the first entry that is at fault; [`AppendError::Unwritable`].
    fn append(&mut self, entries: &[Entry]) -> Result<Position, AppendError> {
        let records: Vec<_> = entries.iter().map(Record::encode).collect::<Result<_, _>>()?;
        self.append_records(&records)
    }

    /// The position of the last record; 0 for none.
    fn last(&self) -> Position {
        self.chain().last
    }

    /// Up to `limit` entries after a position, of one VM or of all.
    ///
    /// *Errors*: [`ReplayError`] for the first record that cannot be read.
    fn page(&mut self, after: Position, limit: usize, of: Option<VmId>) -> Result<Vec<(Position, Entry)>, ReplayError> {
        self.slice(after, limit, of)?.iter().map(read).collect()
    }

    /// Every entry from a position on.
    ///
    /// *Errors*: [`ReplayError`] for the first record that cannot be read.
    fn replay(&mut self, from: Position, each: Each<'_>) -> Result<(), ReplayError> {
        replay_slices(self, from.saturating_sub(1), None, each)
    }

    /// Every entry of one VM.
    ///
    /// *Errors*: [`ReplayError`] for the first record that cannot be read.
    fn replay_vm(&mut self, vm: VmId, each: Each<'_>) -> Result<(), ReplayError> {
        replay_slices(self, 0, Some(vm), each)
    }

    /// Checks every record, the index of VMs, and every snapshot.
    ///
    /// *Errors*: [`Damage`], the first there is.
    fn verify(&mut self) -> Result<Verified, Damage> {
        let expected = self.chain();
        audit::run(self, Some(expected), &mut |_, _| {})
    }
}

/// Decodes a record, naming its position when that fails.
pub(super) fn read(stored: &Stored) -> Result<(Position, Entry), ReplayError> {
    match stored.record.decode() {
        Ok(entry) => Ok((stored.position, entry)),
        Err(source) => Err(ReplayError::Undecodable { position: stored.position, source }),
    }
}

fn replay_slices<S: Store + ?Sized>(
    store: &mut S,
    mut after: Position,
    of: Option<VmId>,
    each: Each<'_>,
) -> Result<(), ReplayError> {
    loop {
        let slice = store.slice(after, SLICE, of)?;
        if slice.is_empty() {
            return Ok(());
        }
        for stored in &slice {
            let (position, entry) = read(stored)?;
            after = position;
            if each(position, entry).is_break() {
                return Ok(());
            }
        }
    }
}

pub(super) fn damage_of(error: ReplayError) -> Damage {
    match error {
        ReplayError::Undecodable { position, source } => Damage::at(position, What::Undecodable(source)),
        ReplayError::Unreadable { after, reason } => Damage::at(after.saturating_add(1), What::Unreadable(reason)),
        ReplayError::Closed => Damage::at(0, What::Unreadable("the journal is closed".to_owned())),
    }
}
