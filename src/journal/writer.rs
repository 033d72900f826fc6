//! The one thread that writes, and the handle everybody else holds.
//!
//! Group commit: the thread takes all that is queued, makes it durable in one transaction, then answers. While it
//! syncs, the next batch gathers. With nothing to do it sleeps in a receive; there is no timer.
//!
//! A lane is *fenced* once one of its entries was refused, whatever the reason: entries behind it were decided on top
//! of it, so they are refused too, until the runner has rebuilt the lane from the journal and says [`Journal::unfence`].
//! Other lanes are not concerned, except that a batch which the disk refuses is refused whole.
//!
//! Reads run on the same thread, in slices, one slice between two batches: a reader of the whole journal delays a
//! commit by one slice at most. A read sees every append that was queued before it. Snapshots are made by a thread of
//! their own, which reads as everybody does; here they are only written.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError};

use tokio::sync::{oneshot, watch};

use super::Position;
use super::codec::Record;
use super::coverage::Coverage;
use super::error::AppendError;
use super::store::Store;
use crate::model::VmId;

mod handle;
mod keeper;

pub use handle::Journal;
use keeper::{Keeper, Kept};

/// How many entries may wait to be written; far more than lanes produce while a disk syncs.
pub const QUEUE_MAX_ENTRIES: usize = 65_536;
/// How large the waiting entries may be together. *Units*: bytes of facts.
pub const QUEUE_MAX_BYTES: usize = 64 * 1024 * 1024;

/// One transaction holds at most about this much: it bounds the log a batch needs, and how long the first one waits.
const BATCH_MAX_ENTRIES: usize = 1024;
const BATCH_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Work for the thread.
enum Job {
    Append {
        vm: VmId,
        record: Result<Record, AppendError>,
        ack: Ack,
    },
    Unfence(VmId),
    Look(Look),
    /// A snapshot was made, or could not be.
    Kept(Kept),
    Close(oneshot::Sender<()>),
    /// Nobody holds the journal any more.
    Abandoned,
}

/// A read of one slice.
type Look = Box<dyn FnOnce(&mut dyn Store) + Send>;

type Answer = Box<dyn FnOnce(Result<Position, AppendError>) + Send>;

/// An answer that is owed. Dropping it answers that the journal is closed, so nobody is left waiting.
struct Ack(Option<Answer>);

impl Ack {
    fn give(mut self, result: Result<Position, AppendError>) {
        self.answer(result);
    }

    fn answer(&mut self, result: Result<Position, AppendError>) {
        let Some(answer) = self.0.take() else { return };
        // One lane's defect must not take the journal from the others.
        if catch_unwind(AssertUnwindSafe(|| answer(result))).is_err() {
            tracing::error!("a lane failed while it was told of its append");
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        self.answer(Err(AppendError::Closed));
    }
}

/// What waits to be written.
#[derive(Debug, Default)]
struct Backlog {
    entries: AtomicUsize,
    bytes: AtomicUsize,
    /// The last batch was refused.
    refusing: AtomicBool,
}

impl Backlog {
    /// Counts a record in, or says how much is waiting already.
    fn admit(&self, bytes: usize) -> Result<(), AppendError> {
        // The counters guard no memory; a race may let a few records more in, which the bounds do not mind.
        let entries = self.entries.load(Ordering::Relaxed);
        let waiting = self.bytes.load(Ordering::Relaxed);
        if entries >= QUEUE_MAX_ENTRIES || waiting >= QUEUE_MAX_BYTES {
            return Err(AppendError::Full { entries, bytes: waiting });
        }
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn written(&self, entries: usize, bytes: usize) {
        self.entries.fetch_sub(entries, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What goes into one transaction, and everybody who waits for its end.
#[derive(Default)]
struct Batch {
    records: Vec<Record>,
    bytes: usize,
    /// In the order of the queue; with an error, the entry is refused already and only its turn is awaited.
    owed: Vec<(VmId, Option<AppendError>, Ack)>,
}

impl Batch {
    const fn is_full(&self) -> bool {
        self.records.len() >= BATCH_MAX_ENTRIES || self.bytes >= BATCH_MAX_BYTES
    }
}

struct Writer {
    store: Box<dyn Store>,
    jobs: Receiver<Job>,
    backlog: Arc<Backlog>,
    last: watch::Sender<Position>,
    fenced: BTreeSet<VmId>,
    batch: Batch,
    looks: VecDeque<Look>,
    keeper: Option<Keeper>,
}

/// Starts the thread; with a tail and its floor, it sees to snapshots.
fn spawn(
    store: Box<dyn Store>,
    keeping: Option<(Coverage, u64)>,
) -> io::Result<(Sender<Job>, Arc<Backlog>, watch::Receiver<Position>)> {
    let (sender, jobs) = std::sync::mpsc::channel();
    let (last, watched) = watch::channel(store.last());
    let backlog = Arc::new(Backlog::default());
    let mut writer = Writer {
        store,
        jobs,
        backlog: Arc::clone(&backlog),
        last,
        fenced: BTreeSet::new(),
        batch: Batch::default(),
        looks: VecDeque::new(),
        keeper: keeping.map(|(coverage, floor)| Keeper::new(coverage, floor, sender.clone())),
    };
    std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
        let closed = writer.run();
        // Everything owed is answered and the file is free before whoever closed the journal hears of it.
        drop(writer);
        if let Some(closed) = closed {
            let _ = closed.send(());
        }
    })?;
    Ok((sender, backlog, watched))
}

impl Writer {
    /// Works until the journal is closed, or until nobody holds it any more.
    fn run(&mut self) -> Option<oneshot::Sender<()>> {
        loop {
            let mut job = match self.next() {
                Next::Job(job) => Some(job),
                Next::Nothing => None,
                Next::Nobody => return None,
            };
            let mut closing = None;
            while let Some(taken) = job.take() {
                if let Some(end) = self.take(taken) {
                    closing = Some(end);
                } else if !self.batch.is_full() {
                    job = self.jobs.try_recv().ok();
                }
            }
            self.commit();
            if let Some(end) = closing {
                return end;
            }
            if let Some(keeper) = &mut self.keeper {
                keeper.tend(self.store.as_mut());
            }
            if let Some(look) = self.looks.pop_front() {
                look(self.store.as_mut());
            }
        }
    }

    /// The next job; waits for it unless a read is left to be done.
    fn next(&mut self) -> Next {
        match self.jobs.try_recv() {
            Ok(job) => Next::Job(job),
            Err(_) if !self.looks.is_empty() => Next::Nothing,
            Err(TryRecvError::Disconnected) => Next::Nobody,
            Err(TryRecvError::Empty) => {
                self.store.rest();
                self.jobs.recv().map_or(Next::Nobody, Next::Job)
            }
        }
    }

    /// Sorts a job in; when it is the last, gives back whom to tell, if anybody.
    fn take(&mut self, job: Job) -> Option<Option<oneshot::Sender<()>>> {
        match job {
            Job::Append { vm, record, ack } => self.queue(vm, record, ack),
            Job::Unfence(vm) => {
                self.fenced.remove(&vm);
            }
            Job::Look(look) => self.looks.push_back(look),
            Job::Kept(kept) => {
                if let Some(keeper) = &mut self.keeper {
                    keeper.made(kept);
                }
            }
            Job::Close(closed) => return Some(Some(closed)),
            Job::Abandoned => return Some(None),
        }
        None
    }

    fn queue(&mut self, vm: VmId, record: Result<Record, AppendError>, ack: Ack) {
        let refused = match record {
            Ok(record) if self.fenced.contains(&vm) => {
                self.backlog.written(1, record.facts().len());
                Some(AppendError::Fenced { vm })
            }
            Ok(record) => {
                self.batch.bytes = self.batch.bytes.saturating_add(record.facts().len());
                self.batch.records.push(record);
                None
            }
            Err(error) => {
                self.fenced.insert(vm);
                Some(error)
            }
        };
        self.batch.owed.push((vm, refused, ack));
    }

    /// Makes the batch durable, or refuses it, and answers everybody in order.
    fn commit(&mut self) {
        let Batch { records, bytes, owed } = std::mem::take(&mut self.batch);
        if owed.is_empty() {
            return;
        }
        let outcome = self.store.append_records(&records);
        self.backlog.written(records.len(), bytes);
        self.backlog.refusing.store(outcome.is_err(), Ordering::Relaxed);
        match &outcome {
            Ok(last) => {
                if let Some(keeper) = &mut self.keeper {
                    keeper.note(&records, *last);
                }
                self.last.send_if_modified(|known| std::mem::replace(known, *last) != *last);
            }
            Err(error) => {
                tracing::error!(%error, entries = records.len(), "a batch was not journalled");
                let concerned = owed.iter().filter(|(_, refused, _)| refused.is_none());
                self.fenced.extend(concerned.map(|(vm, _, _)| *vm));
            }
        }
        // The batch ends at the position that the store gave back.
        let mut left = records.len() as u64;
        for (_, refused, ack) in owed {
            let result = refused.map_or_else(
                || {
                    left = left.saturating_sub(1);
                    outcome.clone().map(|last| last.saturating_sub(left))
                },
                Err,
            );
            ack.give(result);
        }
    }
}

/// What the thread has to do next.
enum Next {
    Job(Job),
    Nothing,
    Nobody,
}

#[cfg(test)]
mod tests;
