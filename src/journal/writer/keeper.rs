//! Making snapshots beside the work: who is next, the thread that makes one, and writing it.
//!
//! ```text
//! commit ──▶ Coverage: due? ──▶ thread: old snapshot + facts since ──▶ state ──▶ text ──▶ written between two batches
//!                              reads in slices, as everybody
//! ```

use std::sync::mpsc::{Sender, channel};

use super::super::Position;
use super::super::chain::Chain;
use super::super::codec::Record;
use super::super::coverage::{Coverage, Errand};
use super::super::error::ReplayError;
use super::super::snapshot::{Basis, Snapshot, UnusableSnapshotError};
use super::super::store::{self, SLICE, Store};
use super::Job;
use crate::resolver::State;

/// What came of an errand.
pub(super) type Kept = Result<Snapshot, UnusableSnapshotError>;

/// Sees to it that the tail stays bounded.
pub(super) struct Keeper {
    coverage: Coverage,
    floor: u64,
    /// For the thread that makes a snapshot: it reads and answers by the queue.
    jobs: Sender<Job>,
    /// Made, and to be written.
    made: Option<Kept>,
}

impl Keeper {
    pub(super) const fn new(coverage: Coverage, floor: u64, jobs: Sender<Job>) -> Self {
        Self { coverage, floor, jobs, made: None }
    }

    /// A batch was committed; it ends at `last`.
    pub(super) fn note(&mut self, records: &[Record], last: Position) {
        let mut position = last.saturating_sub(records.len() as u64);
        for record in records {
            position = position.saturating_add(1);
            self.coverage.note(record.vm(), position, record.facts().len() as u64);
        }
    }

    pub(super) fn made(&mut self, kept: Kept) {
        self.made = Some(kept);
    }

    /// Writes what was made, and has the next snapshot made when one is due.
    pub(super) fn tend(&mut self, store: &mut dyn Store) {
        if let Some(made) = self.made.take() {
            match made.and_then(|snapshot| self.write(store, &snapshot)) {
                Ok(()) => {}
                Err(unusable) => {
                    tracing::warn!(reason = %unusable, "a snapshot was not written; the facts are not concerned");
                    self.coverage.failed(self.floor);
                }
            }
        }
        if let Some(errand) = self.coverage.due(self.floor) {
            let owed = Owed { jobs: self.jobs.clone(), answered: false };
            let thread = std::thread::Builder::new().name("snapshot".to_owned());
            // Without a thread, what is owed is dropped, and that is the answer.
            drop(thread.spawn(move || owed.make(errand)));
        }
    }

    fn write(&mut self, store: &mut dyn Store, snapshot: &Snapshot) -> Result<(), UnusableSnapshotError> {
        let failed = |reason: String| UnusableSnapshotError::Store { reason };
        let end = store.chain();
        let (headers, base) = self.coverage.with(snapshot.header, end.last);
        let head = if base == end.last {
            end.head
        } else {
            let before = base.checked_sub(1);
            let slice = before.map_or_else(|| Ok(Vec::new()), |before| store.slice(before, 1, None));
            let record = slice.map_err(|error| failed(error.to_string()))?.into_iter().next();
            record.map_or(Chain::EMPTY.head, |record| record.digest)
        };
        let basis = Basis::seal(Chain { last: base, head }, &headers);
        store.keep(snapshot, &basis, self.coverage.is_stale()).map_err(|error| failed(error.to_string()))?;
        self.coverage.kept(snapshot.header);
        Ok(())
    }
}

/// The answer to an errand; dropping it answers as well.
struct Owed {
    jobs: Sender<Job>,
    answered: bool,
}

impl Owed {
    fn make(mut self, errand: Errand) {
        let made = snapshot(&self.jobs, errand);
        self.answered = true;
        // Nobody to tell: the journal was closed meanwhile.
        let _ = self.jobs.send(Job::Kept(made));
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if !self.answered {
            let reason = "the thread that was to make it failed, or could not be started".to_owned();
            let _ = self.jobs.send(Job::Kept(Err(UnusableSnapshotError::Store { reason })));
        }
    }
}

/// What the last snapshot and the facts since come to.
fn snapshot(jobs: &Sender<Job>, errand: Errand) -> Kept {
    let Errand { vm, from, through, records } = errand;
    let mut state = State::new(vm);
    let mut chain = Chain::EMPTY;
    if let Some(header) = from {
        let found = look(jobs, move |store| store.snapshot(vm))?;
        let found = found.filter(|found| found.header == header).ok_or(UnusableSnapshotError::Unsealed)?;
        (state, chain) = (found.decode()?, Chain { last: header.through, head: header.digest });
    }
    let mut found = 0_u64;
    while chain.last < through {
        let after = chain.last;
        let slice = look(jobs, move |store| store.slice(after, SLICE, Some(vm)))?;
        let wanted: Vec<_> = slice.into_iter().take_while(|stored| stored.position <= through).collect();
        if wanted.is_empty() {
            break;
        }
        for stored in &wanted {
            let (position, entry) = store::read(stored).map_err(unreadable)?;
            entry.facts.iter().for_each(|fact| state.apply(entry.at, fact));
            chain = Chain { last: position, head: stored.digest };
            found = found.saturating_add(1);
        }
    }
    if found != records || chain.last != through {
        return Err(UnusableSnapshotError::Uncounted { found, expected: records });
    }
    Snapshot::encode(&state, chain)
}

/// Runs one read on the writer thread.
fn look<T: Send + 'static>(
    jobs: &Sender<Job>,
    read: impl FnOnce(&mut dyn Store) -> Result<T, ReplayError> + Send + 'static,
) -> Result<T, UnusableSnapshotError> {
    let (answer, wait) = channel();
    let look = move |store: &mut dyn Store| {
        let _ = answer.send(read(store));
    };
    // A job that cannot be sent is dropped, and the answer with it.
    let _ = jobs.send(Job::Look(Box::new(look)));
    wait.recv().map_err(|_| unreadable(ReplayError::Closed))?.map_err(unreadable)
}

fn unreadable(error: ReplayError) -> UnusableSnapshotError {
    UnusableSnapshotError::Store { reason: error.to_string() }
}
