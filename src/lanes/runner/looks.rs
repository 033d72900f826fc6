//! Seeing what happened past the agent: after a restart, and whenever an event says that something changed.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::{Errand, Mail, RETRY, Runner};
use crate::hypervisor::AskHypervisorError;
use crate::model::{Code, CommandId, Operation, PowerState, Refusal, VmState};
use crate::resolver::{Input, Observation};

/// How long after an event the VM is looked at while calls are under way: one look for a burst of events.
const LOOK_DELAY: Duration = Duration::from_millis(20);
/// How many events of one kind wait for a lane before it just looks.
const POWER_NEWS: usize = 16;

/// What one lane is told of its VM, from when it last listened.
#[derive(Default)]
pub(in crate::lanes) struct Ear {
    news: Mutex<News>,
    some: Notify,
}

/// What happened, as far as events say.
#[derive(Default)]
pub(super) struct News {
    /// vCPUs were halted or let go, in order.
    power: Vec<PowerState>,
    /// Something else happened as well, or too much.
    more: bool,
}

impl Ear {
    pub(in crate::lanes) fn tell_power(&self, power: PowerState) {
        self.tell(|news| {
            news.more |= news.power.len() >= POWER_NEWS;
            if !news.more {
                news.power.push(power);
            }
        });
    }

    pub(in crate::lanes) fn tell_change(&self) {
        self.tell(|news| news.more = true);
    }

    fn tell(&self, what: impl FnOnce(&mut News)) {
        what(&mut self.news.lock().unwrap_or_else(PoisonError::into_inner));
        self.some.notify_one();
    }

    pub(super) async fn news(&self) -> News {
        self.some.notified().await;
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Which events need no look, because a suspend or resume of our own is why they came. Each call explains one: what
/// comes beyond that is somebody else's doing.
#[derive(Default)]
pub(super) struct Explained {
    /// Calls under way whose event has come.
    heard: BTreeSet<CommandId>,
    /// What the last call did, when its event has not come yet.
    awaited: Option<PowerState>,
}

impl Explained {
    /// A call was done, which left the VM so.
    pub(super) fn done(&mut self, command: CommandId, power: Option<PowerState>) {
        let heard = self.heard.remove(&command);
        if power.is_some() {
            self.awaited = power.filter(|_| !heard);
        }
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Runner {
    /// Whether a command halts the vCPUs or lets them go.
    pub(super) fn halts(&self, command: CommandId) -> Option<PowerState> {
        let operation = &self.lane.state().command(command)?.command().operation;
        let suspends = matches!(operation, Operation::PowerSuspend(_)).then_some(PowerState::Paused);
        suspends.or_else(|| matches!(operation, Operation::PowerResume(_)).then_some(PowerState::Running))
    }

    pub(super) fn hear(&mut self, news: News) {
        let all_ours = news.power.into_iter().all(|power| self.explains(power));
        if news.more || !all_ours {
            // What was thought to be ours may not have been.
            self.explained.forget();
            self.seen_midway |= !self.in_flight.is_empty();
            self.doubt();
        }
    }

    /// What the VM is believed to be may be past: nothing ends because of it before it was looked at.
    pub(super) fn doubt(&mut self) {
        self.errand(Errand::Told(Input::Doubted));
        self.plan_look();
    }

    fn explains(&mut self, power: PowerState) -> bool {
        if self.explained.awaited == Some(power) {
            self.explained.awaited = None;
            return true;
        }
        let ours = self
            .in_flight
            .iter()
            .copied()
            .find(|command| self.halts(*command) == Some(power) && !self.explained.heard.contains(command));
        ours.is_some_and(|command| self.explained.heard.insert(command))
    }

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
                    Mail::Tell(input) => self.closing |= *input == Input::Closing,
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
            let _ = send.send(Box::new(Errand::Looked { seen, why, activity }));
        });
    }

    pub(super) fn looked(&mut self, seen: Result<VmState, AskHypervisorError>, why: Observation, activity: u64) {
        self.looking = false;
        match seen {
            // A call began or ended meanwhile: nobody knows which side of it was seen.
            _ if activity != self.activity => self.look_at = Some(Instant::now() + LOOK_DELAY),
            Ok(state) => {
                self.seen_midway = !self.in_flight.is_empty();
                self.step(Input::Observed { state, why });
            }
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
