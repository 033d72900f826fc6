//! Seeing what happened past the agent: after a restart, and whenever an event says that something changed.

use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::{Errand, Mail, RETRY, Runner};
use crate::hypervisor::AskHypervisorError;
use crate::model::{Code, Refusal, VmState};
use crate::resolver::{Input, Observation};

/// How long after an event the VM is looked at while calls are under way: one look for a burst of events.
const LOOK_DELAY: Duration = Duration::from_millis(20);

impl Runner {
    /// After a restart nothing is decided before the VM was seen; reads are served meanwhile. None when nobody can send
    /// mail any more.
    pub(super) async fn look_before_anything(&mut self) -> Option<Result<VmState, AskHypervisorError>> {
        loop {
            let looking = self.around.hypervisor.observe(self.vm);
            match self.meanwhile(looking).await? {
                Err(AskHypervisorError::Unreachable { .. } | AskHypervisorError::Failed(_)) => {}
                seen => return Some(seen),
            }
            self.meanwhile(sleep_until((Instant::now() + RETRY).into())).await?;
        }
    }

    /// Serves reads, and refuses the rest, until something has happened.
    async fn meanwhile<T>(&mut self, something: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(something);
        loop {
            tokio::select! {
                happened = something.as_mut() => return Some(happened),
                mail = self.mailbox.recv() => match mail? {
                    Mail::Read(read) => self.read(read),
                    // Recovering makes up for all that can be told now, but for this.
                    Mail::Tell(input) => self.closing |= input == Input::Closing,
                    Mail::Request { reply, .. } => {
                        let message = "libvirt cannot be reached yet after a restart; nothing was accepted";
                        let _ = reply.send(Err(Refusal::new(Code::HypervisorUnreachable, message)));
                    }
                },
            }
        }
    }

    /// A look at the VM: at once, or shortly after when calls under way explain what happened.
    pub(super) fn plan_look(&mut self) {
        if self.looking || self.look_at.is_some() {
            self.look_at = self.look_at.or_else(|| Some(Instant::now() + LOOK_DELAY));
        } else if self.in_flight.is_empty() {
            self.look_now(Observation::Event);
        } else {
            self.look_at = Some(Instant::now() + LOOK_DELAY);
        }
    }

    fn look_now(&mut self, why: Observation) {
        self.looking = true;
        let (hypervisor, send) = (self.around.hypervisor.clone(), self.send.clone());
        let (vm, activity) = (self.vm, self.activity);
        tokio::spawn(async move {
            let seen = hypervisor.observe(vm).await;
            let _ = send.send(Errand::Looked { seen, why, activity });
        });
    }

    pub(super) fn looked(&mut self, seen: Result<VmState, AskHypervisorError>, why: Observation, activity: u64) {
        self.looking = false;
        match seen {
            // A call began or ended meanwhile: nobody knows which side of it was seen.
            _ if activity != self.activity => self.look_at = Some(Instant::now() + LOOK_DELAY),
            Ok(state) => self.step(Input::Observed { state, why }),
            Err(AskHypervisorError::NoSuchVm(_)) => self.step(Input::Vanished),
            Err(AskHypervisorError::Unreachable { .. }) => {} // The connection's return brings a look.
            Err(AskHypervisorError::Failed(_)) => self.look_at = Some(Instant::now() + RETRY),
        }
    }

    /// A planned look has come due.
    pub(super) fn look_due(&mut self) {
        self.look_at = None;
        if self.looking {
            self.look_at = Some(Instant::now() + LOOK_DELAY);
        } else {
            self.look_now(Observation::Event);
        }
    }
}
