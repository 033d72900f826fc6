//! The handle of an open journal: what lane runners and doors see of it.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;

use tokio::sync::{oneshot, watch};

use super::super::audit::{Audit, Portion};
use super::super::codec::Record;
use super::super::coverage::Coverage;
use super::super::error::{AppendError, ReplayError, VerifyError};
use super::super::store::{self, SLICE, Store, Stored, Verified};
use super::super::{Entry, Position, restore};
use super::{Ack, Backlog, Job};
use crate::model::VmId;
use crate::resolver::State;

/// An open journal. Clones are the same journal; it closes when the last is gone, or by [`Journal::close`].
#[derive(Clone)]
pub struct Journal {
    jobs: Arc<Jobs>,
    backlog: Arc<Backlog>,
    last: watch::Receiver<Position>,
}

/// The way to the writer thread; says so when the last holder goes.
struct Jobs(Sender<Job>);

impl Jobs {
    /// A job that cannot be sent is dropped, and that answers it.
    fn send(&self, job: Job) -> bool {
        self.0.send(job).is_ok()
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.send(Job::Abandoned);
    }
}

impl Journal {
    /// Starts the writer thread on an open store. No snapshots are made.
    ///
    /// *Errors*: when the system gives no thread.
    pub fn start(store: Box<dyn Store>) -> io::Result<Self> {
        Self::spawn(store, None)
    }

    /// Starts the writer thread on a store that was restored, and makes snapshots so that the tail stays bounded: by
    /// what lives, and by `floor`. *Units*: bytes of facts; [`TAIL_FLOOR`](super::super::TAIL_FLOOR) where nothing
    /// speaks for less.
    ///
    /// *Errors*: when the system gives no thread.
    pub fn start_keeping(store: Box<dyn Store>, coverage: Coverage, floor: u64) -> io::Result<Self> {
        Self::spawn(store, Some((coverage, floor)))
    }

    fn spawn(store: Box<dyn Store>, keeping: Option<(Coverage, u64)>) -> io::Result<Self> {
        let (jobs, backlog, last) = super::spawn(store, keeping)?;
        Ok(Self { jobs: Arc::new(Jobs(jobs)), backlog, last })
    }

    /// Queues an entry; never waits. `ack` is called exactly once: with the entry's position once it is durable, or
    /// with the reason why it is not in the journal, in which case its lane is fenced.
    ///
    /// `ack` runs on the writer thread, in the order of the queue, and must not block; only when the journal is
    /// closed already does it run here, before this returns.
    pub fn append(&self, entry: &Entry, ack: impl FnOnce(Result<Position, AppendError>) + Send + 'static) {
        // Encoded here, so that the writer thread has nothing to do but write. A refused entry takes its turn in the
        // queue as well: its lane's entries behind it must meet the fence.
        let record = Record::encode(entry).map_err(AppendError::Unencodable);
        let record = record.and_then(|record| self.backlog.admit(record.facts().len()).map(|()| record));
        let job = Job::Append { vm: entry.vm, record, ack: Ack(Some(Box::new(ack))) };
        self.jobs.send(job);
    }

    /// Lets a lane append again. Its runner says so once it has rebuilt the lane from the journal, and has heard the
    /// answers to all it queued before.
    pub fn unfence(&self, vm: VmId) {
        self.jobs.send(Job::Unfence(vm));
    }

    /// Whether the last batch was written; a journal that nothing was asked of yet counts as writable.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        !self.backlog.refusing.load(Ordering::Relaxed)
    }

    /// How many entries wait to be written, and how large they are together. *Units*: bytes of facts.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        (self.backlog.entries.load(Ordering::Relaxed), self.backlog.bytes.load(Ordering::Relaxed))
    }

    /// Returns once the writer thread has taken its turn: it lives. False when the journal is closed.
    pub async fn ping(&self) -> bool {
        self.look(|_| ()).await.is_some()
    }

    /// The last durable position; 0 for none.
    #[must_use]
    pub fn last(&self) -> Position {
        *self.last.borrow()
    }

    /// Changes whenever more became durable: what readers of events wait on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Position> {
        self.last.clone()
    }

    /// Up to `limit` entries after a position, of one VM or of all. It may be fewer; none means there are none now.
    ///
    /// *Errors*: [`ReplayError`].
    pub async fn page(
        &self,
        after: Position,
        limit: usize,
        of: Option<VmId>,
    ) -> Result<Vec<(Position, Entry)>, ReplayError> {
        let limit = limit.min(SLICE);
        let slice = self.look(move |store| store.slice(after, limit, of)).await.ok_or(ReplayError::Closed)??;
        // Decoded on this side: the writer thread has commits to make.
        slice.iter().map(store::read).collect()
    }

    /// Up to `limit` records after a position as they are stored, each with its digest.
    ///
    /// *Errors*: [`ReplayError`].
    pub async fn stored(&self, after: Position, limit: usize) -> Result<Vec<Stored>, ReplayError> {
        let limit = limit.min(SLICE);
        self.look(move |store| store.slice(after, limit, None)).await.ok_or(ReplayError::Closed)?
    }

    /// Every entry of one VM, in order: its whole history.
    ///
    /// *Errors*: [`ReplayError`]; what was handed out is then to be forgotten.
    pub async fn replay_vm(
        &self,
        vm: VmId,
        each: impl FnMut(Position, Entry) -> ControlFlow<()>,
    ) -> Result<(), ReplayError> {
        self.replay_after(0, vm, each).await
    }

    async fn replay_after(
        &self,
        mut after: Position,
        vm: VmId,
        mut each: impl FnMut(Position, Entry) -> ControlFlow<()>,
    ) -> Result<(), ReplayError> {
        loop {
            let page = self.page(after, SLICE, Some(vm)).await?;
            if page.is_empty() {
                return Ok(());
            }
            for (position, entry) in page {
                after = position;
                if each(position, entry).is_break() {
                    return Ok(());
                }
            }
        }
    }

    /// One VM's state as it is durable: its newest snapshot and what came after it.
    ///
    /// *Errors*: [`ReplayError`].
    pub async fn restore_vm(&self, vm: VmId) -> Result<State, ReplayError> {
        let newest = self.look(move |store| restore::newest(store, vm)).await.ok_or(ReplayError::Closed)??;
        let (after, mut state) = newest.unwrap_or_else(|| (0, State::new(vm)));
        let apply = |_, entry: Entry| {
            entry.facts.iter().for_each(|fact| state.apply(entry.at, fact));
            ControlFlow::Continue(())
        };
        self.replay_after(after, vm, apply).await?;
        Ok(state)
    }

    /// Checks every record, the index of VMs, and every snapshot, while appends go on.
    ///
    /// *Errors*: [`VerifyError::Damaged`] with the first damage there is; [`VerifyError::Closed`].
    pub async fn verify(&self) -> Result<Verified, VerifyError> {
        let mut audit = self.look(|store| Audit::begin(store)).await.ok_or(VerifyError::Closed)?;
        loop {
            let after = audit.chain().last;
            // The end that is expected is the one at the moment at which nothing more was found.
            let step = move |store: &mut dyn Store| (Portion::read(store, after), store.chain());
            let (portion, end) = self.look(step).await.ok_or(VerifyError::Closed)?;
            let portion = portion?;
            if portion.is_empty() {
                return audit.end(end).map_err(VerifyError::Damaged);
            }
            // Checked on this side: the writer thread has commits to make.
            for reached in audit.take(portion, &mut |_, _| {})? {
                let vm = reached.0.vm;
                let found = self.look(move |store| store.snapshot(vm)).await.ok_or(VerifyError::Closed)?;
                audit.compare(reached, found.map_err(|error| error.to_string()));
            }
        }
    }

    /// Closes the journal for every clone: what is queued is written and answered first, what comes later is refused.
    /// When this returns, the file is free.
    pub async fn close(&self) {
        let (closed, wait) = oneshot::channel();
        self.jobs.send(Job::Close(closed));
        // An error means that it was closed already.
        let _ = wait.await;
    }

    /// Runs one read on the writer thread; none when the journal is closed.
    async fn look<T: Send + 'static>(&self, read: impl FnOnce(&mut dyn Store) -> T + Send + 'static) -> Option<T> {
        let (answer, wait) = oneshot::channel();
        let look = move |store: &mut dyn Store| {
            // Whoever stopped waiting does not need it.
            let _ = answer.send(read(store));
        };
        self.jobs.send(Job::Look(Box::new(look)));
        // A look that was dropped answers nothing.
        wait.await.ok()
    }
}

#[cfg(test)]
impl Journal {
    pub(super) fn jobs_for_test(&self, job: Job) {
        assert!(self.jobs.send(job));
    }

    pub(super) fn backlog_for_test(&self) -> (usize, usize) {
        self.waiting()
    }
}
