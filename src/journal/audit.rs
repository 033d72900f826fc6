//! Checking a whole journal: every record against the chain, the index of VMs against the records, and every snapshot
//! against the facts it stands for.
//!
//! Written as steps, so that a journal in use can be checked between two batches: [`Portion::read`] is what the store
//! must be asked, the rest is done by whoever wants to know.

use std::collections::BTreeMap;

use super::chain::Chain;
use super::error::{Damage, What};
use super::restore;
use super::snapshot::{FACTS_CODE, Header, Headers, Snapshot, UnusableSnapshotError};
use super::store::{SLICE, Store, Stored, Verified, damage_of};
use super::{Entry, Position};
use crate::model::VmId;
use crate::resolver::State;

/// What one step needs of the store.
pub(super) struct Portion {
    slice: Vec<Stored>,
    /// Of each VM in the slice, how many of its records the index finds in it.
    counted: BTreeMap<VmId, u64>,
}

impl Portion {
    /// Reads what follows a position.
    pub(super) fn read<S: Store + ?Sized>(store: &mut S, after: Position) -> Result<Self, Damage> {
        let slice = store.slice(after, SLICE, None).map_err(damage_of)?;
        let mut counted = BTreeMap::new();
        if let Some(last) = slice.last() {
            for stored in &slice {
                counted.insert(stored.record.vm(), 0);
            }
            for (vm, count) in &mut counted {
                *count = store.count(*vm, after, last.position).map_err(damage_of)?;
            }
        }
        Ok(Self { slice, counted })
    }

    /// Whether there was nothing more.
    pub(super) const fn is_empty(&self) -> bool {
        self.slice.is_empty()
    }
}

/// A check under way.
pub(super) struct Audit {
    chain: Chain,
    headers: Headers,
    /// The lanes whose snapshot lies ahead.
    states: BTreeMap<VmId, State>,
    /// The first snapshot that is not what it should be; damage to records is told before it.
    flaw: Option<Damage>,
}

impl Audit {
    pub(super) fn begin<S: Store + ?Sized>(store: &mut S) -> Self {
        let (headers, flaw) = match restore::sealed(store) {
            Ok(found) => (found.map(|(_, headers)| headers).unwrap_or_default(), None),
            Err(unusable) => (Headers::new(), Some(Damage::at(0, What::Snapshot(unusable.to_string())))),
        };
        // What other code made is not used, and cannot be compared.
        let headers = headers.into_iter().filter(|(_, header)| header.code == FACTS_CODE).collect();
        Self { chain: Chain::EMPTY, headers, states: BTreeMap::new(), flaw }
    }

    /// How far it has come.
    pub(super) const fn chain(&self) -> Chain {
        self.chain
    }

    /// Checks a portion; the states are those whose snapshot is to be looked at now, by [`Self::compare`].
    pub(super) fn take(
        &mut self,
        portion: Portion,
        each: &mut dyn FnMut(Position, Entry),
    ) -> Result<Vec<(Header, State)>, Damage> {
        let Portion { slice, mut counted } = portion;
        let mut reached = Vec::new();
        for stored in &slice {
            let entry = self.chain.follow(stored)?;
            if let Some(count) = counted.get_mut(&entry.vm) {
                // Counted down; what is left over, or missing, is an index that does not fit.
                *count = count.wrapping_sub(1);
            }
            if let Some(header) = self.headers.get(&entry.vm).copied() {
                restore::take_in(&mut self.states, &entry);
                if stored.position == header.through {
                    if stored.digest != header.digest {
                        self.flaw(header, &UnusableSnapshotError::OtherChain);
                    }
                    self.headers.remove(&entry.vm);
                    reached.extend(self.states.remove(&entry.vm).map(|state| (header, state)));
                }
            }
            each(stored.position, entry);
        }
        if let Some((vm, _)) = counted.iter().find(|(_, count)| **count != 0) {
            return Err(Damage::at(self.chain.last, What::Index).of(*vm));
        }
        Ok(reached)
    }

    /// Compares a lane's state with its snapshot, as the store has it now.
    pub(super) fn compare(&mut self, (header, state): (Header, State), found: Result<Option<Snapshot>, String>) {
        let unusable = match found {
            Err(reason) => UnusableSnapshotError::Store { reason },
            Ok(None) => UnusableSnapshotError::Unsealed,
            // A newer one has taken its place since.
            Ok(Some(snapshot)) if snapshot.header.through > header.through => return,
            Ok(Some(snapshot)) if snapshot.header != header => UnusableSnapshotError::Unsealed,
            Ok(Some(snapshot)) => match snapshot.decode() {
                Ok(kept) if kept == state => return,
                Ok(_) => UnusableSnapshotError::Unreadable { reason: "it is another state".to_owned() },
                Err(unusable) => unusable,
            },
        };
        self.flaw(header, &unusable);
    }

    fn flaw(&mut self, header: Header, unusable: &UnusableSnapshotError) {
        let damage = Damage::at(header.through, What::Snapshot(unusable.to_string())).of(header.vm);
        self.flaw.get_or_insert(damage);
    }

    /// The records that were found must end where the store said its last append ended.
    pub(super) fn end(self, expected: Chain) -> Result<Verified, Damage> {
        let found = self.chain;
        if found.last != expected.last {
            let position = found.last.saturating_add(1);
            return Err(Damage::at(position, What::Missing { next: expected.last }));
        }
        if found.head != expected.head {
            return Err(Damage::at(found.last, What::Changed));
        }
        if let Some(flaw) = self.flaw {
            return Err(flaw);
        }
        if let Some(header) = self.headers.values().next() {
            return Err(
                Damage::at(header.through, What::Snapshot(UnusableSnapshotError::OtherChain.to_string())).of(header.vm)
            );
        }
        Ok(Verified { records: found.last, head: found.head })
    }
}

/// Checks everything in one go, up to `expected` or, without it, to whatever end there is.
pub(super) fn run<S: Store + ?Sized>(
    store: &mut S,
    expected: Option<Chain>,
    each: &mut dyn FnMut(Position, Entry),
) -> Result<Verified, Damage> {
    let mut audit = Audit::begin(store);
    loop {
        let portion = Portion::read(store, audit.chain().last)?;
        if portion.is_empty() {
            let end = audit.chain();
            return audit.end(expected.unwrap_or(end));
        }
        for reached in audit.take(portion, each)? {
            let found = store.snapshot(reached.0.vm).map_err(|error| error.to_string());
            audit.compare(reached, found);
        }
    }
}
