//! What a journal comes to when it is opened: the newest snapshot of each lane, and the facts after it.
//!
//! The chain is checked from the basis of the snapshots to the end, and the index of VMs for the same records; what
//! lies before is checked by `verify`. Where the snapshots cannot be used, everything is replayed and checked.

use std::collections::BTreeMap;
use std::collections::btree_map;

use super::chain::Chain;
use super::coverage::Coverage;
use super::error::{Damage, ReplayError, What};
use super::snapshot::{Basis, FACTS_CODE, Header, Headers, UnusableSnapshotError};
use super::store::{SLICE, Store, Stored, damage_of};
use super::{Entry, Position};
use crate::model::{Now, VmId};
use crate::resolver::State;

/// A journal's lanes as they stand.
#[derive(Debug)]
pub struct Restored {
    /// Every VM that is co-managed; of those that were released, nothing is here.
    pub states: BTreeMap<VmId, State>,
    /// When the last record was written.
    pub last: Option<Now>,
    /// How many records were replayed.
    pub replayed: u64,
    /// How many states came from a snapshot.
    pub snapshots: usize,
    /// What the next start would replay: for whoever goes on writing.
    pub coverage: Coverage,
}

/// Restores a journal; gives the end of its chain as well.
pub(super) fn restore<S: Store + ?Sized>(store: &mut S) -> Result<(Chain, Restored), Damage> {
    let unusable = match from_snapshots(store)? {
        Ok(restored) => return Ok(restored),
        Err(None) => return from_facts(store, false),
        Err(Some(unusable)) => unusable,
    };
    tracing::warn!(reason = %unusable, "the journal's snapshots are left aside; all facts are replayed");
    from_facts(store, true)
}

/// Why snapshots were not used; none when there are none.
type Aside = Option<UnusableSnapshotError>;

fn from_facts<S: Store + ?Sized>(store: &mut S, stale: bool) -> Result<(Chain, Restored), Damage> {
    let mut scan = Scan::begin(Chain::EMPTY, None, Coverage::after(Headers::new(), stale));
    // Without snapshots there is none that could turn out to be unusable.
    while let Ok(true) = scan.go_on(store)? {}
    scan.end(store)
}

fn from_snapshots<S: Store + ?Sized>(store: &mut S) -> Result<Result<(Chain, Restored), Aside>, Damage> {
    let (basis, headers) = match believed(store) {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(Err(None)),
        Err(unusable) => return Ok(Err(Some(unusable))),
    };
    // The basis is whole, so there was a record at its base when it was written.
    let last = match record_at(store, basis.base)? {
        Some(record) if record.digest != basis.digest => return Ok(Err(Some(UnusableSnapshotError::OtherChain))),
        Some(record) => Some(record.record.at()),
        None if basis.base == 0 => None,
        None => return Err(Damage::at(basis.base, What::Missing { next: basis.base })),
    };
    let mut scan = Scan::begin(basis.chain(), last, Coverage::after(headers.clone(), false));
    for header in headers.values().filter(|header| !header.released) {
        if let Err(unusable) = scan.load(store, *header) {
            return Ok(Err(Some(unusable)));
        }
    }
    loop {
        match scan.go_on(store)? {
            Ok(true) => {}
            Ok(false) => return scan.end(store).map(Ok),
            Err(unusable) => return Ok(Err(Some(unusable))),
        }
    }
}

/// The basis and the headers it seals, if they are for this code.
fn believed<S: Store + ?Sized>(store: &mut S) -> Result<Option<(Basis, Headers)>, UnusableSnapshotError> {
    let Some((basis, headers)) = sealed(store)? else { return Ok(None) };
    if headers.values().any(|header| header.code != FACTS_CODE) {
        return Err(UnusableSnapshotError::OtherCode);
    }
    Ok(Some((basis, headers)))
}

/// The basis and the headers it seals.
pub(super) fn sealed<S: Store + ?Sized>(store: &mut S) -> Result<Option<(Basis, Headers)>, UnusableSnapshotError> {
    let failed = |error: ReplayError| UnusableSnapshotError::Store { reason: error.to_string() };
    let basis = store.basis().map_err(failed)?;
    let headers = store.headers().map_err(failed)?;
    match basis {
        None if headers.is_empty() => Ok(None),
        Some(basis) if basis == Basis::seal(basis.chain(), &headers) => Ok(Some((basis, headers))),
        None | Some(_) => Err(UnusableSnapshotError::Unsealed),
    }
}

fn record_at<S: Store + ?Sized>(store: &mut S, position: Position) -> Result<Option<Stored>, Damage> {
    let Some(before) = position.checked_sub(1) else { return Ok(None) };
    let slice = store.slice(before, 1, None).map_err(damage_of)?;
    Ok(slice.into_iter().next().filter(|record| record.position == position))
}

/// One lane's newest snapshot, if there is one that can be used: for a lane that is built anew while the agent runs.
pub(super) fn newest<S: Store + ?Sized>(store: &mut S, vm: VmId) -> Result<Option<(Position, State)>, ReplayError> {
    let Ok(Some(snapshot)) = store.snapshot(vm) else { return Ok(None) };
    let header = snapshot.header;
    match (snapshot.decode(), record_at(store, header.through)) {
        (Ok(state), Ok(Some(record))) if record.digest == header.digest && record.record.vm() == vm => {
            Ok(Some((header.through, state)))
        }
        (Ok(_), Err(damage)) => Err(ReplayError::Unreadable { after: header.through, reason: damage.to_string() }),
        (Ok(_) | Err(_), _) => Ok(None),
    }
}

/// Going through the records after the basis.
struct Scan {
    chain: Chain,
    states: BTreeMap<VmId, State>,
    last: Option<Now>,
    replayed: u64,
    snapshots: usize,
    coverage: Coverage,
}

impl Scan {
    const fn begin(chain: Chain, last: Option<Now>, coverage: Coverage) -> Self {
        Self { chain, states: BTreeMap::new(), last, replayed: 0, snapshots: 0, coverage }
    }

    /// Begins a lane with its snapshot.
    fn load<S: Store + ?Sized>(&mut self, store: &mut S, header: Header) -> Result<(), UnusableSnapshotError> {
        let failed = |reason: String| UnusableSnapshotError::Store { reason };
        let snapshot = store.snapshot(header.vm).map_err(|error| failed(error.to_string()))?;
        let snapshot = snapshot.filter(|snapshot| snapshot.header == header).ok_or(UnusableSnapshotError::Unsealed)?;
        let state = snapshot.decode()?;
        // Beyond the basis, the scan comes by the record itself.
        if header.through <= self.chain.last {
            let record = record_at(store, header.through).map_err(|damage| failed(damage.to_string()))?;
            if record.is_none_or(|record| record.digest != header.digest) {
                return Err(UnusableSnapshotError::OtherChain);
            }
        }
        self.states.insert(header.vm, state);
        self.snapshots = self.snapshots.saturating_add(1);
        Ok(())
    }

    /// Takes one slice; says whether there may be more, or which snapshot cannot be used.
    fn go_on<S: Store + ?Sized>(&mut self, store: &mut S) -> Result<Result<bool, UnusableSnapshotError>, Damage> {
        let slice = store.slice(self.chain.last, SLICE, None).map_err(damage_of)?;
        for stored in &slice {
            if let Err(unusable) = self.take(store, stored)? {
                return Ok(Err(unusable));
            }
        }
        Ok(Ok(!slice.is_empty()))
    }

    fn take<S: Store + ?Sized>(
        &mut self,
        store: &mut S,
        stored: &Stored,
    ) -> Result<Result<(), UnusableSnapshotError>, Damage> {
        let vm = stored.record.vm();
        self.last = Some(stored.record.at());
        self.coverage.note(vm, stored.position, stored.record.facts().len() as u64);
        let header = self.coverage.headers().get(&vm).copied();
        if let Some(header) = header.filter(|header| stored.position <= header.through) {
            self.chain.check(stored)?;
            let fits = stored.position < header.through || stored.digest == header.digest;
            return Ok(if fits { Ok(()) } else { Err(UnusableSnapshotError::OtherChain) });
        }
        let entry = self.chain.follow(stored)?;
        if let Some(header) = header.filter(|_| !self.states.contains_key(&vm))
            && let Err(unusable) = self.load(store, header)
        {
            return Ok(Err(unusable));
        }
        self.replayed = self.replayed.saturating_add(1);
        take_in(&mut self.states, &entry);
        Ok(Ok(()))
    }

    fn end<S: Store + ?Sized>(mut self, store: &mut S) -> Result<(Chain, Restored), Damage> {
        // A snapshot that covers what is not there any more is proof that it was.
        let beyond = self.coverage.headers().values().map(|header| header.through).max().unwrap_or(0);
        if beyond > self.chain.last {
            return Err(Damage::at(self.chain.last.saturating_add(1), What::Missing { next: beyond }));
        }
        for (vm, records, last) in self.coverage.uncovered() {
            let after = self.coverage.headers().get(&vm).map_or(0, |header| header.through);
            if store.count(vm, after, last).map_err(damage_of)? != records {
                return Err(Damage::at(last, What::Index).of(vm));
            }
        }
        self.states.retain(|_, state| state.is_needed());
        let Self { chain, states, last, replayed, snapshots, coverage } = self;
        Ok((chain, Restored { states, last, replayed, snapshots, coverage }))
    }
}

/// Takes one record's facts into the state of its lane.
pub(super) fn take_in(states: &mut BTreeMap<VmId, State>, entry: &Entry) {
    let state = match states.entry(entry.vm) {
        btree_map::Entry::Occupied(known) => known.into_mut(),
        btree_map::Entry::Vacant(new) => new.insert(State::new(entry.vm)),
    };
    for fact in &entry.facts {
        state.apply(entry.at, fact);
    }
}
