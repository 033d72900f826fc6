//! libvirt's events as the calls that wait for them see them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::model::{PowerState, VmId};

/// What happened to a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// It stopped running, for whatever reason, or was undefined: it may not exist any more.
    Ended,
    /// Its life cycle went on in another way.
    Moved,
    /// Its vCPUs were halted or let go, and that is all.
    Power(PowerState),
    /// Its guest restarted.
    Rebooted,
    /// Its guest does not let go of the device of this alias.
    UnplugRefused(String),
    /// Something else that lanes look at changed.
    Altered,
}

/// Who waits for notices of which VM.
#[derive(Default)]
pub(super) struct Notices {
    watches: Mutex<Watches>,
}

#[derive(Default)]
struct Watches {
    next: u64,
    by_vm: BTreeMap<VmId, BTreeMap<u64, mpsc::UnboundedSender<Notice>>>,
}

/// The notices of one VM from now on, until it is dropped.
pub(super) struct Watch {
    notices: Arc<Notices>,
    vm: VmId,
    number: u64,
    received: mpsc::UnboundedReceiver<Notice>,
}

impl Notices {
    /// Begins to watch a VM.
    pub(super) fn watch(self: &Arc<Self>, vm: VmId) -> Watch {
        // Unbounded, because it lives as long as one call and a VM has few events; losing one would hang the call.
        let (sender, received) = mpsc::unbounded_channel();
        let mut watches = self.lock();
        let number = watches.next;
        watches.next += 1;
        watches.by_vm.entry(vm).or_default().insert(number, sender);
        drop(watches);
        Watch { notices: Arc::clone(self), vm, number, received }
    }

    /// Tells everybody who watches the VM.
    pub(super) fn tell(&self, vm: VmId, notice: &Notice) {
        if let Some(watches) = self.lock().by_vm.get(&vm) {
            for sender in watches.values() {
                let _ = sender.send(notice.clone());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// The next notice.
    pub(super) async fn next(&mut self) -> Notice {
        match self.received.recv().await {
            Some(notice) => notice,
            // The sender lives in the registry until this watch is dropped.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watches = self.notices.lock();
        if let Some(of_vm) = watches.by_vm.get_mut(&self.vm) {
            of_vm.remove(&self.number);
            if of_vm.is_empty() {
                watches.by_vm.remove(&self.vm);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[tokio::test]
    async fn a_watch_hears_its_own_vm_and_leaves_nothing_behind() {
        let notices = Arc::new(Notices::default());
        let (ours, other) = (VmId(Uuid::from_u128(1)), VmId(Uuid::from_u128(2)));
        let mut watch = notices.watch(ours);
        notices.tell(other, &Notice::Ended);
        notices.tell(ours, &Notice::Rebooted);
        assert_eq!(watch.next().await, Notice::Rebooted);
        drop(watch);
        assert!(notices.lock().by_vm.is_empty());
    }
}
