//! The real hypervisor: libvirt, by its C library.
//!
//! ```text
//!  lane ──execute──► pool thread ──lookup, check start, gate, one request──► libvirtd
//!    ▲                                                                           │ events
//!    └──── settle (off? restarted?) ◄── notices ◄── event loop thread ◄──────────┘
//!                                          └──► outlet ──► events()
//!  warden thread: opens the event connection, notices its loss, opens it again
//! ```
//!
//! Guarantees: a call is sent at most once and never repeated here; a call whose request may have left and whose
//! answer was lost ends as lost, one that certainly did not leave as unreachable; nothing is written but what a call
//! says; one VM's hung call takes neither threads nor connections from the others (I9); idle, every thread sleeps.

mod around;
mod backup_xml;
mod chain;
mod checkpoints;
mod console;
mod core;
mod detach;
mod element;
mod event_loop;
mod export;
mod exports;
mod failure;
mod figures;
mod gate;
mod gather;
mod guest_agent;
mod guest_facts;
mod host_facts;
mod jobs;
mod links;
mod look;
mod migration;
mod news;
mod notices;
mod outlet;
mod owned;
mod pauses;
mod perform;
mod pool;
mod probe;
mod raw;
mod reach;
mod screen;
mod session;
mod settle;
mod snapshot_xml;
mod stats;
mod surroundings;
mod traces;
mod volume;
#[cfg(test)]
mod tests;
mod warden;
mod words;
mod xml;

use std::sync::{Arc, OnceLock, mpsc};

use tokio::sync::watch;

use self::core::{Core, Driver};
use self::failure::Fault;
use self::host_facts::HostFacts;
use self::links::{CALLS_PER_LINK, LinkPolicy, Links};
use self::pool::Pool;
use self::warden::{Health, Signal, Warden};
use super::{
    AskHypervisorError, Description, DiskOf, Event, Hypervisor, JobProgress, Later, Listing, PoolFolder, ReadInventory,
};
use crate::discovery::Inventory;
use crate::model::{Operation, StartId, VmId, VmState};
use crate::resolver::{Call, CallResult, Evidence};

pub use self::event_loop::StartEventLoopError;

/// What may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The most connections for calls; each carries four at a time.
    pub connections_max: usize,
    /// The most calls and questions under way for one VM; more wait for their turn.
    pub per_vm_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { connections_max: 16, per_vm_max: 3 }
    }
}

/// Why the adapter cannot work at all. A libvirtd that cannot be reached is no such reason: it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There would be no events.
    #[error(transparent)]
    EventLoop(#[from] StartEventLoopError),
    /// There would be nobody to watch the connection.
    #[error("no thread can be started for the connection to {uri}")]
    Thread {
        /// Where to.
        uri: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A libvirt connection with all that belongs to it.
///
/// Its futures wait on tokio's timer: they are to be polled inside a runtime that has one. A future that is dropped
/// before its first poll does nothing; one that is dropped later leaves its call to run to its end, unheard.
pub struct Libvirt {
    core: Arc<Core>,
    signals: mpsc::Sender<Signal>,
}

impl Libvirt {
    /// Connects, waiting for the first attempt only; when it fails, the adapter is there and goes on trying.
    pub fn connect(uri: &str, options: Options) -> Result<Self, ConnectError> {
        event_loop::ensure_running()?;
        // libvirt's mock driver lives in this process; with a file of its own each connection would be another world.
        let (policy, threads) = if uri.starts_with("test:") {
            (LinkPolicy::Single, CALLS_PER_LINK)
        } else {
            let most = options.connections_max.max(1);
            (LinkPolicy::UpTo(most), most * CALLS_PER_LINK)
        };
        let (health, healthy) = watch::channel(Health::Down("not connected yet".to_owned()));
        let core = Arc::new(Core {
            uri: uri.to_owned(),
            pool: Pool::new(Links::new(uri, policy), threads, options.per_vm_max.max(1)),
            notices: Arc::default(),
            outlet: Arc::default(),
            health: healthy,
            driver: OnceLock::new(),
            agents: Arc::default(),
            host_facts: Arc::new(HostFacts::new(uri)),
            exports: Arc::default(),
        });
        let (signals, inbox) = mpsc::channel();
        Warden::new(&core, health, signals.clone(), inbox)
            .start()
            .map_err(|source| ConnectError::Thread { uri: uri.to_owned(), source })?;
        Ok(Self { core, signals })
    }

    /// Performs an operation on a VM, provided it is still the start that was decided about.
    fn perform(&self, vm: VmId, operation: Operation, start: StartId) -> Later<CallResult> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            // Begun before the call, so that no event of it is missed.
            let watch = core.notices.watch(vm);
            let driver = core.driver.get().copied().unwrap_or(Driver::Real);
            let begun =
                core.ask(Some(vm), move |connect, gate| perform::perform(connect, vm, &operation, start, driver, gate));
            let settled = match begun.await {
                Ok(begun) => core.settle(vm, start, begun, watch).await,
                Err(fault) => Err(fault),
            };
            settled.map_or_else(Fault::into_result, CallResult::Done)
        })
    }

    fn ask<T, F>(&self, vm: Option<VmId>, question: F) -> Later<Result<T, AskHypervisorError>>
    where
        T: Send + 'static,
        F: FnOnce(&virt::connect::Connect) -> Result<T, Fault> + Send + 'static,
    {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let answer = core.ask(vm, |connect, _| question(connect)).await;
            answer.map_err(|fault| fault.into_ask_error(&core.uri, vm))
        })
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        let _ = self.signals.send(Signal::Stop);
    }
}

impl Hypervisor for Libvirt {
    fn uri(&self) -> &str {
        &self.core.uri
    }

    fn list(&self) -> Later<Result<Vec<Listing>, AskHypervisorError>> {
        self.ask(None, look::list)
    }

    fn observe(&self, vm: VmId) -> Later<Result<VmState, AskHypervisorError>> {
        let core = Arc::clone(&self.core);
        Box::pin(async move { core.observe(vm).await.map_err(|fault| fault.into_ask_error(&core.uri, Some(vm))) })
    }

    fn inventory(&self, vm: VmId) -> Later<Result<Inventory, AskHypervisorError>> {
        let core = Arc::clone(&self.core);
        Box::pin(async move { core.gather(vm).await.map_err(|fault| fault.into_ask_error(&core.uri, Some(vm))) })
    }

    fn inventories(&self) -> Later<Result<Vec<ReadInventory>, AskHypervisorError>> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let read = Arc::clone(&core).gather_all().await;
            read.map_err(|fault| fault.into_ask_error(&core.uri, None))
        })
    }

    fn execute(&self, call: Call) -> Later<CallResult> {
        self.perform(call.vm(), call.operation().clone(), call.expected_start())
    }

    fn probe(&self, call: Call) -> Later<Result<Evidence, AskHypervisorError>> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let (vm, start) = (call.vm(), call.expected_start());
            let evidence = core.evidence(vm, call.operation().clone(), start).await;
            evidence.map_err(|fault| fault.into_ask_error(&core.uri, Some(vm)))
        })
    }

    fn progress(&self, vm: VmId) -> Later<Result<Vec<JobProgress>, AskHypervisorError>> {
        self.ask(Some(vm), move |connect| jobs::progress(connect, vm))
    }

    fn describe(&self, which: Option<VmId>) -> Later<Result<Vec<Description>, AskHypervisorError>> {
        self.ask(which, move |connect| words::describe(connect, which))
    }

    fn pool_folders(&self) -> Later<Result<Vec<PoolFolder>, AskHypervisorError>> {
        self.ask(None, words::pool_folders)
    }

    fn saved_in(&self, file: String) -> Later<Result<VmId, AskHypervisorError>> {
        self.ask(None, move |connect| words::saved_in(connect, &file))
    }

    fn disks_on(&self, pool: String, volume: String) -> Later<Result<Vec<DiskOf>, AskHypervisorError>> {
        self.ask(None, move |connect| words::disks_on(connect, &pool, &volume))
    }

    fn events(&self) -> tokio::sync::mpsc::Receiver<Event> {
        self.core.outlet.open()
    }
}
