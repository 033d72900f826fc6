//! Keeps the event connection: opens it, notices its loss, opens it again.
//!
//! ```text
//!            opened                      closed
//!   Down ──────────────► Up (sleeps) ──────────────► Down: retry after 100 ms, doubling to 5 s
//! ```
//!
//! The loss of this one connection counts as the loss of libvirtd: calls under way end as lost, later ones fail at
//! once, and readers of events are told to look at everything again when it is back.

use std::sync::mpsc;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use super::core::Core;
use super::news::News;
use super::session::{Listener, Session};
use crate::hypervisor::Event;
use crate::model::VmId;

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// Whether libvirtd can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Health {
    /// It can.
    Up,
    /// It cannot, and what libvirt says of it.
    Down(String),
}

/// What wakes the warden.
#[derive(Debug)]
pub(super) enum Signal {
    /// The connection of this number was closed.
    Closed(u64, String),
    /// The adapter is dropped.
    Stop,
}

/// Passes what libvirt tells on to where it belongs.
struct Relay {
    core: Weak<Core>,
    signals: mpsc::Sender<Signal>,
    session: u64,
}

impl Listener for Relay {
    fn notice(&self, vm: VmId, news: News) {
        if let Some(core) = self.core.upgrade() {
            core.heard(vm, news);
        }
    }

    fn closed(&self, reason: String) {
        let _ = self.signals.send(Signal::Closed(self.session, reason));
    }
}

/// The warden's own side.
pub(super) struct Warden {
    uri: String,
    core: Weak<Core>,
    health: watch::Sender<Health>,
    signals: mpsc::Sender<Signal>,
    inbox: mpsc::Receiver<Signal>,
    session: u64,
    retry: Duration,
}

impl Warden {
    pub(super) fn new(
        core: &Arc<Core>,
        health: watch::Sender<Health>,
        signals: mpsc::Sender<Signal>,
        inbox: mpsc::Receiver<Signal>,
    ) -> Self {
        let (uri, core) = (core.uri.clone(), Arc::downgrade(core));
        Self { uri, core, health, signals, inbox, session: 0, retry: FIRST_RETRY }
    }

    /// Makes the first attempt here and now, then goes on by itself.
    pub(super) fn start(mut self) -> Result<(), std::io::Error> {
        let first = self.attempt();
        thread::Builder::new().name("libvirt-warden".to_owned()).spawn(move || self.keep(first)).map(drop)
    }

    fn keep(mut self, first: Option<Session>) {
        let mut session = first;
        let mut returning = session.is_none();
        loop {
            if session.is_none() {
                match self.inbox.recv_timeout(self.retry) {
                    Ok(Signal::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
                    Ok(Signal::Closed(..)) | Err(mpsc::RecvTimeoutError::Timeout) => {}
                }
                self.retry = (self.retry * 2).min(LAST_RETRY);
                session = self.attempt();
                continue;
            }
            let Some(core) = self.core.upgrade() else { return };
            self.retry = FIRST_RETRY;
            if returning {
                tracing::info!(uri = self.uri, "libvirt is back");
                core.outlet.send(Event::Reconnected);
            }
            // Holding it while asleep would keep the adapter alive.
            drop(core);
            let Some(reason) = self.until_closed() else { return };
            tracing::warn!(uri = self.uri, reason, "libvirt is lost");
            self.health.send_replace(Health::Down(reason));
            let Some(core) = self.core.upgrade() else { return };
            core.pool.links().clear();
            // What answers next may be another version.
            core.host_facts.forget();
            core.outlet.send(Event::Disconnected);
            drop(session.take());
            returning = true;
        }
    }

    /// The reason why the session ended; none when the adapter did.
    fn until_closed(&self) -> Option<String> {
        loop {
            match self.inbox.recv() {
                Ok(Signal::Closed(number, reason)) if number == self.session => return Some(reason),
                // The late word of an earlier session.
                Ok(Signal::Closed(..)) => {}
                Ok(Signal::Stop) | Err(_) => return None,
            }
        }
    }

    fn attempt(&mut self) -> Option<Session> {
        self.session += 1;
        let (core, signals, session) = (self.core.clone(), self.signals.clone(), self.session);
        let listener: Arc<dyn Listener> = Arc::new(Relay { core, signals, session });
        let opened = Session::open(&self.uri, &listener).and_then(|session| {
            let driver = session.driver()?;
            if let Some(core) = self.core.upgrade() {
                core.learn_driver(&driver);
            }
            Ok(session)
        });
        match opened {
            Ok(session) => {
                self.health.send_replace(Health::Up);
                Some(session)
            }
            Err(reason) => {
                tracing::debug!(uri = self.uri, reason, "libvirt cannot be reached");
                self.health.send_replace(Health::Down(reason));
                None
            }
        }
    }
}
