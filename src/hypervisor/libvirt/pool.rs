//! The threads on which libvirt's blocking calls wait.
//!
//! A call that hangs takes one thread and one place on a connection, no more; and no VM may have more than a few
//! calls under way, so that a hung one cannot take all the places (I9). Further calls for it wait in its own queue.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::links::Links;
use crate::model::VmId;

/// How long a thread beyond those that are kept waits for work before it ends.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// Threads that never end: enough for the everyday load.
const KEPT: usize = 2;

type Work = Box<dyn FnOnce(&Links) + Send>;

/// The threads with their queue.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    links: Links,
    threads_max: usize,
    per_vm: usize,
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<(Option<VmId>, Work)>,
    under_way: BTreeMap<VmId, usize>,
    parked: BTreeMap<VmId, VecDeque<Work>>,
    threads: usize,
    idle: usize,
    life: Life,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Life {
    #[default]
    Open,
    Closing,
}

impl Pool {
    pub(super) fn new(links: Links, threads_max: usize, per_vm: usize) -> Self {
        let (queue, wake) = (Mutex::default(), Condvar::new());
        Self { shared: Arc::new(Shared { links, threads_max, per_vm, queue, wake }) }
    }

    /// The connections the threads use.
    pub(super) fn links(&self) -> &Links {
        &self.shared.links
    }

    /// Runs `work` as soon as a thread and, if it is about a VM, one of the VM's places is free.
    ///
    /// Work that cannot be given a thread is dropped, and with it whatever it was to answer through.
    pub(super) fn submit(&self, vm: Option<VmId>, work: Work) {
        let mut queue = self.shared.lock();
        if let Some(vm) = vm {
            let under_way = queue.under_way.entry(vm).or_default();
            if *under_way >= self.shared.per_vm {
                queue.parked.entry(vm).or_default().push_back(work);
                return;
            }
            *under_way += 1;
        }
        queue.ready.push_back((vm, work));
        if queue.idle >= queue.ready.len() {
            drop(queue);
            self.shared.wake.notify_one();
        } else if queue.threads < self.shared.threads_max {
            queue.threads += 1;
            drop(queue);
            self.spawn();
        }
    }

    fn spawn(&self) {
        let shared = Arc::clone(&self.shared);
        let spawned = thread::Builder::new().name("libvirt-call".to_owned()).spawn(move || shared.serve());
        if let Err(error) = spawned {
            let mut queue = self.shared.lock();
            queue.threads -= 1;
            // With a thread left, the work waits for it; with none it would wait for ever.
            if queue.threads == 0 {
                tracing::error!(%error, "no thread for libvirt calls");
                queue.ready.clear();
                queue.parked.clear();
                queue.under_way.clear();
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Threads end after the call they are in; one that hangs must not hold up whoever closes.
        self.shared.lock().life = Life::Closing;
        self.shared.wake.notify_all();
    }
}

impl Shared {
    fn serve(&self) {
        while let Some((vm, work)) = self.next() {
            // The answer of work that panics is dropped with it, which its caller sees; the thread lives on.
            let _ = catch_unwind(AssertUnwindSafe(|| work(&self.links)));
            if let Some(vm) = vm {
                self.finished(vm);
            }
        }
    }

    fn next(&self) -> Option<(Option<VmId>, Work)> {
        let mut queue = self.lock();
        loop {
            if let Some(next) = queue.ready.pop_front() {
                return Some(next);
            }
            if queue.life == Life::Closing {
                queue.threads -= 1;
                return None;
            }
            queue.idle += 1;
            if queue.threads <= KEPT {
                queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.idle -= 1;
                continue;
            }
            let (woken, wait) = self.wake.wait_timeout(queue, IDLE_LIMIT).unwrap_or_else(PoisonError::into_inner);
            queue = woken;
            queue.idle -= 1;
            if wait.timed_out() && queue.ready.is_empty() && queue.threads > KEPT {
                queue.threads -= 1;
                drop(queue);
                self.links.trim();
                return None;
            }
        }
    }

    /// Gives a VM's place to the next that waits for it.
    fn finished(&self, vm: VmId) {
        let mut queue = self.lock();
        if let Some(waiting) = queue.parked.get_mut(&vm) {
            let next = waiting.pop_front();
            if waiting.is_empty() {
                queue.parked.remove(&vm);
            }
            if let Some(work) = next {
                // This very thread looks at the queue next, so nobody needs to be woken.
                queue.ready.push_back((Some(vm), work));
                return;
            }
        }
        if let Some(under_way) = queue.under_way.get_mut(&vm) {
            *under_way -= 1;
            if *under_way == 0 {
                queue.under_way.remove(&vm);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::links::LinkPolicy;
    use super::*;
    use std::sync::mpsc;
    use uuid::Uuid;

    fn pool(threads: usize, per_vm: usize) -> Pool {
        Pool::new(Links::new("test:///default", LinkPolicy::Single), threads, per_vm)
    }

    #[test]
    fn a_hung_vm_does_not_delay_another() {
        let pool = pool(4, 2);
        let (hung, other) = (VmId(Uuid::from_u128(1)), VmId(Uuid::from_u128(2)));
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let (done, finished) = mpsc::channel();
        for _ in 0..20 {
            let (gate, done) = (Arc::clone(&gate), done.clone());
            let wait = move |_: &Links| {
                let _ = gate.lock().unwrap().recv();
                done.send(hung).unwrap();
            };
            pool.submit(Some(hung), Box::new(wait));
        }
        for _ in 0..20 {
            let done = done.clone();
            pool.submit(Some(other), Box::new(move |_| done.send(other).unwrap()));
        }
        for _ in 0..20 {
            assert_eq!(finished.recv().unwrap(), other);
        }
        for _ in 0..20 {
            release.send(()).unwrap();
            assert_eq!(finished.recv().unwrap(), hung);
        }
    }

    #[test]
    fn a_panic_ends_neither_the_thread_nor_the_vms_place() {
        let pool = pool(1, 1);
        let vm = Some(VmId(Uuid::from_u128(1)));
        let (done, finished) = mpsc::channel();
        for turn in 0..3 {
            let done = done.clone();
            let work = move |_: &Links| {
                assert!(turn > 1, "as asked");
                done.send(turn).unwrap();
            };
            pool.submit(vm, Box::new(work));
        }
        assert_eq!(finished.recv().unwrap(), 2);
    }
}
