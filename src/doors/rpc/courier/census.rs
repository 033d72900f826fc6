//! What the VMs of the host are called and have, kept up to date: for hiding what is a VM's from those who do not see
//! the VM.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};
use tokio::time::{Instant, sleep_until};

use crate::doors::rpc::view::HostNames;
use crate::hypervisor::{AskHypervisorError, Description};
use crate::lanes::Lanes;
use crate::model::VmId;

/// How often all VMs are looked at though nobody said that anything happened. Pools change without an event.
const ALL: Duration = Duration::from_secs(60);
/// How long the doors wait for the first count. One VM that hangs can hold it up.
const FIRST: Duration = Duration::from_secs(2);
/// How often it is tried again while libvirt does not answer.
const AGAIN: Duration = Duration::from_secs(2);
/// How long is waited for more to happen before a VM is looked at.
const GATHER: Duration = Duration::from_millis(100);

/// What is known. Clones are the same.
#[derive(Clone, Default)]
pub struct Census(Arc<RwLock<Arc<HostNames>>>);

impl Census {
    /// Begins to count; the first count has ended, or failed, or takes long, when
    /// this returns. It goes on as long as the runtime does.
    pub async fn begin(lanes: &Lanes) -> Self {
        let census = Self::default();
        let happened = lanes.happened();
        let mut counter = Counter { census: census.clone(), lanes: lanes.clone(), names: HostNames::default() };
        let counted = tokio::time::timeout(FIRST, counter.count_all()).await.unwrap_or(Counted::Not);
        tokio::spawn(counter.run(happened, counted));
        census
    }

    /// What is known now.
    pub(super) fn now(&self) -> Arc<HostNames> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn publish(&self, names: &HostNames) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(names.clone());
    }
}

struct Counter {
    census: Census,
    lanes: Lanes,
    names: HostNames,
}

/// Whether a count came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    Wholly,
    Not,
}

impl Counter {
    async fn run(mut self, mut happened: broadcast::Receiver<Option<VmId>>, first: Counted) {
        let mut next = due(first);
        loop {
            let mut changed = Changed::default();
            tokio::select! {
                heard = happened.recv() => match heard {
                    Err(RecvError::Closed) => return,
                    Ok(which) => changed.add(which),
                    Err(RecvError::Lagged(_)) => changed.add(None),
                },
                () = sleep_until(next) => changed.add(None),
            }
            // What happens to a VM mostly happens in several events.
            tokio::time::sleep(GATHER).await;
            loop {
                match happened.try_recv() {
                    Ok(which) => changed.add(which),
                    Err(TryRecvError::Lagged(_)) => changed.add(None),
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            match changed {
                Changed::These(vms) if self.count(&vms).await.is_ok() => self.census.publish(&self.names),
                Changed::These(_) | Changed::All => next = due(self.count_all().await),
            }
        }
    }

    async fn count(&mut self, vms: &BTreeSet<VmId>) -> Result<(), AskHypervisorError> {
        for vm in vms {
            let described = self.lanes.hypervisor().describe(Some(*vm)).await?;
            if described.is_empty() {
                self.names.forget(*vm);
            }
            described.iter().for_each(|described| self.note(described));
        }
        Ok(())
    }

    async fn count_all(&mut self) -> Counted {
        let hypervisor = self.lanes.hypervisor();
        let (vms, pools) = (hypervisor.describe(None).await, hypervisor.pool_folders().await);
        let counted = match vms {
            Ok(vms) => {
                self.names = HostNames::default();
                vms.iter().for_each(|described| self.note(described));
                match pools {
                    Ok(pools) => {
                        pools.iter().for_each(|pool| self.names.observe_pool(&pool.pool, &pool.path));
                        self.names.is_all();
                        Counted::Wholly
                    }
                    Err(AskHypervisorError::Unreachable { .. }) => Counted::Not,
                    // Storage is a daemon of its own where there are several, and need not be there.
                    Err(AskHypervisorError::NoSuchVm(_) | AskHypervisorError::Failed(_)) => Counted::Wholly,
                }
            }
            Err(_) => {
                self.names.may_lack();
                Counted::Not
            }
        };
        self.census.publish(&self.names);
        counted
    }

    fn note(&mut self, described: &Description) {
        let xmls: Vec<&str> = described.xmls.iter().map(String::as_str).collect();
        self.names.observe(described.vm, &described.name, &xmls);
    }
}

/// Which VMs are to be looked at.
#[derive(Debug)]
enum Changed {
    These(BTreeSet<VmId>),
    All,
}

impl Default for Changed {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Changed {
    fn add(&mut self, which: Option<VmId>) {
        match (&mut *self, which) {
            (Self::These(vms), Some(vm)) => {
                vms.insert(vm);
            }
            (Self::These(_), None) => *self = Self::All,
            (Self::All, _) => {}
        }
    }
}

fn due(counted: Counted) -> Instant {
    Instant::now() + if counted == Counted::Wholly { ALL } else { AGAIN }
}
