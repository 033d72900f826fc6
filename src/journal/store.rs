//! What a journal needs of its storage, and what follows from that.
//!
//! A backend gives four things: append a batch as one, read a slice, say where the end is, do upkeep. Replay, pages
//! and verification are written once, here, over slices; so a backend cannot answer them differently, and the writer
//! thread can put commits between two slices.

use std::ops::ControlFlow;

use super::chain::{Chain, Digest};
use super::codec::Record;
use super::error::{AppendError, Damage, ReplayError, What};
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

    /// Checks every record.
    ///
    /// *Errors*: [`Damage`], the first there is.
    fn verify(&mut self) -> Result<Verified, Damage> {
        let mut chain = Chain::EMPTY;
        while verify_slice(self, &mut chain, &mut |_, _| {})?.is_continue() {}
        verified(self, chain)
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

/// Checks one slice more; breaks at the end.
pub(super) fn verify_slice<S: Store + ?Sized>(
    store: &mut S,
    chain: &mut Chain,
    each: &mut dyn FnMut(Position, Entry),
) -> Result<ControlFlow<()>, Damage> {
    let slice = match store.slice(chain.last, SLICE, None) {
        Ok(slice) => slice,
        Err(error) => return Err(damage_of(error)),
    };
    if slice.is_empty() {
        return Ok(ControlFlow::Break(()));
    }
    for stored in &slice {
        let entry = chain.follow(stored)?;
        each(stored.position, entry);
    }
    Ok(ControlFlow::Continue(()))
}

/// The records that were found must end where the store said its last append ended.
pub(super) fn verified<S: Store + ?Sized>(store: &S, found: Chain) -> Result<Verified, Damage> {
    let expected = store.chain();
    if found.last != expected.last {
        let position = found.last.saturating_add(1);
        return Err(Damage { position, what: What::Missing { next: expected.last } });
    }
    if found.head != expected.head {
        return Err(Damage { position: found.last, what: What::Changed });
    }
    Ok(Verified { records: found.last, head: found.head })
}

fn damage_of(error: ReplayError) -> Damage {
    match error {
        ReplayError::Undecodable { position, source } => Damage { position, what: What::Undecodable(source) },
        ReplayError::Unreadable { after, reason } => {
            Damage { position: after.saturating_add(1), what: What::Unreadable(reason) }
        }
        ReplayError::Closed => Damage { position: 0, what: What::Unreadable("the journal is closed".to_owned()) },
    }
}
