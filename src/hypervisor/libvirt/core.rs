//! What the adapter's parts share: the threads, who waits for what, and the way out for events.

use std::sync::{Arc, OnceLock};

use tokio::sync::{oneshot, watch};
use virt::connect::Connect;
use virt::domain::Domain;

use super::exports::Exports;
use super::failure::Fault;
use super::gate::{Gate, GivenUp, Passage};
use super::gather::AgentsAsked;
use super::host_facts::HostFacts;
use super::news::News;
use super::notices::{Notice, Notices};
use super::outlet::Outlet;
use super::pool::Pool;
use super::warden::Health;
use crate::hypervisor::Event;
use crate::model::VmId;

/// What is behind the connection, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    /// Guests that take their time; events tell when they restarted.
    Real,
    /// libvirt's mock driver: a restart is complete when the call returns and no event tells of it, and memory is
    /// set either live or for later, not both in one call.
    Mock,
}

/// The shared part of the adapter.
pub(super) struct Core {
    pub(super) uri: String,
    pub(super) pool: Pool,
    pub(super) notices: Arc<Notices>,
    pub(super) outlet: Arc<Outlet>,
    pub(super) health: watch::Receiver<Health>,
    pub(super) driver: OnceLock<Driver>,
    pub(super) agents: Arc<AgentsAsked>,
    pub(super) host_facts: Arc<HostFacts>,
    pub(super) exports: Arc<Exports>,
}

impl Core {
    /// Puts a question to libvirt, or makes a call; `work` passes the gate before it sends what changes something.
    ///
    /// The answer does not wait for a connection that is lost, nor for a thread that hangs in one.
    pub(super) async fn ask<T, F>(&self, vm: Option<VmId>, work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnOnce(&Connect, &Gate) -> Result<T, Fault> + Send + 'static,
    {
        let mut health = self.health.clone();
        if let Health::Down(reason) = &*health.borrow_and_update() {
            return Err(Fault::Unsent(reason.clone()));
        }
        let gate = Arc::new(Gate::default());
        let (reply, answer) = oneshot::channel();
        let inside = Arc::clone(&gate);
        self.pool.submit(
            vm,
            Box::new(move |links| {
                let answer = links.take().and_then(|lease| work(lease.connect(), &inside));
                let _ = reply.send(answer);
            }),
        );
        tokio::select! {
            biased;
            answer = answer => answer.unwrap_or_else(|_| Err(given_up(&gate, "the call broke off".to_owned()))),
            reason = until_down(&mut health) => Err(given_up(&gate, reason)),
        }
    }

    /// Ends when libvirtd is lost, with the reason.
    pub(super) async fn until_lost(&self) -> String {
        until_down(&mut self.health.clone()).await
    }

    /// Takes note of which driver answers.
    pub(super) fn learn_driver(&self, name: &str) {
        // libvirt's own name for its mock driver; every other driver is taken to have guests.
        let driver = if name.eq_ignore_ascii_case("test") { Driver::Mock } else { Driver::Real };
        let _ = self.driver.set(driver);
    }

    /// Passes on what happened to a VM. It does not block: libvirt's event loop calls it.
    pub(super) fn heard(&self, vm: VmId, news: News) {
        let notice = news.notice();
        self.notices.tell(vm, &notice);
        let event = news.into_event(vm);
        match notice {
            Notice::Rebooted | Notice::Power(_) | Notice::Moved | Notice::UnplugRefused(_) | Notice::Altered => {
                self.outlet.send(event);
            }
            Notice::Ended => self.tell_whether_gone(vm, event),
        }
    }

    /// The event does not say whether the VM still exists (a transient one goes when it stops): libvirt is asked.
    fn tell_whether_gone(&self, vm: VmId, event: Event) {
        let outlet = Arc::clone(&self.outlet);
        self.pool.submit(
            Some(vm),
            Box::new(move |links| {
                let found = links.take().and_then(|lease| look_up(lease.connect(), vm).map(drop));
                outlet.send(match found {
                    Err(Fault::NoSuchVm(_)) => Event::Gone(vm, event.cause()),
                    // Whoever hears it looks, and finds what there is to find.
                    Ok(()) | Err(_) => event,
                });
            }),
        );
    }
}

/// Finds a VM. It changes nothing.
pub(super) fn look_up(connect: &Connect, vm: VmId) -> Result<Domain, Fault> {
    connect.lookup_domain_by_uuid(vm.0).map_err(Fault::harmless(connect))
}

/// Finds a VM that may have gone.
pub(super) fn present(connect: &Connect, vm: VmId) -> Result<Option<Domain>, Fault> {
    match look_up(connect, vm) {
        Err(Fault::NoSuchVm(_)) => Ok(None),
        found => found.map(Some),
    }
}

/// Passes the gate, or says that nobody wants the call any more.
pub(super) fn pass(gate: &Gate) -> Result<(), Fault> {
    match gate.pass() {
        Passage::Open => Ok(()),
        Passage::Shut => Err(Fault::Unsent("the call was given up before it was sent".to_owned())),
    }
}

/// What is known of a call that its caller does not wait for any more.
pub(super) fn given_up(gate: &Gate, reason: String) -> Fault {
    match gate.give_up() {
        GivenUp::BeforeSending => Fault::Unsent(reason),
        GivenUp::AfterSending => Fault::Lost(reason),
    }
}

async fn until_down(health: &mut watch::Receiver<Health>) -> String {
    match health.wait_for(|health| matches!(health, Health::Down(_))).await.as_deref() {
        Ok(Health::Down(reason)) => reason.clone(),
        Ok(Health::Up) | Err(_) => "the adapter is closed".to_owned(),
    }
}
