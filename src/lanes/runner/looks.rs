//! Seeing what happened past the agent: after a restart, and whenever an event says that something changed.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::news::{Deed, News, Piece};
use super::{Errand, Mail, RETRY, Runner};
use crate::hypervisor::AskHypervisorError;
use crate::model::{Cause, Code, CommandId, Effect, Happening, Operation, PowerState, Refusal, VmState};
use crate::resolver::{Input, Observation, Policy};

/// How long the event is waited for that says how a power state came about which another event's look has found.
const EVENT_DELAY: Duration = Duration::from_millis(50);
/// How long after an event the VM is looked at while calls are under way: one look for a burst of events.
const LOOK_DELAY: Duration = Duration::from_millis(20);
/// How long after its last look a VM is looked at again while something is open on it that libvirt knows of. Not every
/// end makes an event: a migration that fails before its target takes over makes none.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl Runner {
    /// What a command does that events tell of, once for each.
    pub(super) fn deed(&self, command: CommandId) -> Option<Deed> {
        let operation = &self.lane.state().command(command)?.command().operation;
        match operation {
            Operation::PowerSuspend(_) => Some(Deed::Power(PowerState::Paused)),
            Operation::PowerResume(_) => Some(Deed::Power(PowerState::Running)),
            other => (other.effect() == Effect::Restart).then_some(Deed::Restart),
        }
    }

    pub(super) fn hear(&mut self, news: News) {
        let mut all_ours = !news.overflown;
        for piece in news.pieces {
            match piece {
                Piece::Power(power) if self.explains(Deed::Power(power)) => continue,
                Piece::Power(PowerState::Paused) => self.told(Cause::Suspended),
                Piece::Power(_) => self.told(Cause::Resumed),
                Piece::Changed(cause) => cause.into_iter().for_each(|cause| self.told(cause)),
                Piece::Happened(happening) => self.happened(happening),
            }
            all_ours = false;
        }
        if !all_ours {
            // What was thought to be ours may not have been.
            self.explained.forget_power();
            self.seen_midway |= !self.in_flight.is_empty();
            self.doubt();
        }
    }

    /// What the next look finds may have come about so.
    fn told(&mut self, cause: Cause) {
        self.told = Some(self.told.map_or(cause, |before| before.followed_by(cause)));
    }

    fn happened(&mut self, happening: Happening) {
        if happening.cause == Cause::Rebooted && self.explains(Deed::Restart) {
            return;
        }
        self.told.get_or_insert(happening.cause);
        if self.damper.lets_through(&happening, Instant::now()) {
            self.errand(Errand::Told(Input::Happened(happening)));
        }
    }

    /// What the VM is believed to be may be past: nothing ends because of it before it was looked at.
    pub(super) fn doubt(&mut self) {
        self.errand(Errand::Told(Input::Doubted));
        self.plan_look();
    }

    fn explains(&mut self, deed: Deed) -> bool {
        let does = |command: &CommandId| self.deed(*command) == Some(deed);
        let under_way: Vec<CommandId> = self.in_flight.iter().copied().filter(does).collect();
        self.explained.takes(deed, under_way.into_iter(), Instant::now())
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
            self.meanwhile(sleep_until(Instant::now() + RETRY)).await?;
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
                    Mail::Policy(policy) => self.lane.reconfigure(Policy::clone(&policy)),
                    // Recovering makes up for all that can be told now, but for these.
                    Mail::Tell(input) => match *input {
                        Input::Closing => self.closing = true,
                        Input::SessionLost { provider } => self.lost_early.push(provider),
                        _ => {}
                    },
                    Mail::Request(request) => {
                        let message = "the VM could not be looked at yet after a restart; nothing was accepted, submit again";
                        let _ = request.reply.send(Err(Refusal::new(Code::HypervisorUnreachable, message)));
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
            self.look_now();
        } else {
            self.look_at = Some(Instant::now() + LOOK_DELAY);
        }
    }

    /// What a call has left open may be over before anybody looks, and no event tells of what was over before it was
    /// known to be open.
    pub(super) fn look_for_its_end(&mut self, command: CommandId) {
        let Some(tracked) = self.lane.state().command(command) else { return };
        let operation = &tracked.command().operation;
        let left = operation.leaves_open().map(|(hold, _)| hold).or_else(|| operation.ends_open());
        if left.is_some_and(|hold| hold.is_observable()) {
            self.plan_look();
        }
    }

    /// When the VM is looked at although nothing was heard of it: what is open keeps others waiting, and its end must
    /// not depend on one event. None while nothing is open, so that idle lanes sleep.
    pub(super) fn look_again_at(&self) -> Option<Instant> {
        let looks = self.looking || self.look_at.is_some();
        let open = !looks && self.lane.state().holds().any(|hold| hold.key().is_observable());
        open.then(|| self.looked_at + LOOK_AGAIN)
    }

    pub(super) fn look_now(&mut self) {
        self.looking = true;
        let (hypervisor, send) = (self.around.hypervisor.clone(), self.send.clone());
        // What is told from now on, this look may be too early for.
        let (vm, activity, told) = (self.vm, self.activity, self.told.take());
        tokio::spawn(async move {
            let seen = hypervisor.observe(vm).await;
            let _ = send.send(Box::new(Errand::Looked { seen, told, activity }));
        });
    }

    pub(super) fn looked(&mut self, seen: Result<VmState, AskHypervisorError>, told: Option<Cause>, activity: u64) {
        self.looking = false;
        self.looked_at = Instant::now();
        let why = told.map_or(Observation::Event, Observation::Told);
        let patient = std::mem::take(&mut self.patient);
        match seen {
            // A call began or ended meanwhile: nobody knows which side of it was seen.
            _ if activity != self.activity => {
                self.told_before(told);
                self.look_at = Some(Instant::now() + LOOK_DELAY);
            }
            seen if !patient && self.is_ahead_of_its_event(&seen, told) => {
                self.patient = true;
                self.told_before(told);
                self.look_at = Some(Instant::now() + EVENT_DELAY);
            }
            Ok(state) => {
                self.seen_midway = !self.in_flight.is_empty();
                if state.power == PowerState::ShuttingDown {
                    // Its end comes about as its beginning did.
                    self.told_before(told);
                }
                self.step(Input::Observed { state, why });
            }
            Err(AskHypervisorError::NoSuchVm(_)) => self.step(Input::Vanished { why }),
            // The connection's return brings a look.
            Err(AskHypervisorError::Unreachable { .. }) => self.told_before(told),
            Err(AskHypervisorError::Failed(_)) => {
                self.told_before(told);
                self.look_at = Some(Instant::now() + RETRY);
            }
        }
    }

    /// Whether the look has found another power state, and nothing said yet how it came about.
    fn is_ahead_of_its_event(&self, seen: &Result<VmState, AskHypervisorError>, told: Option<Cause>) -> bool {
        let power = match seen {
            Ok(state) => state.power,
            // What is gone may have been off before.
            Err(AskHypervisorError::NoSuchVm(_)) if told != Some(Cause::Undefined) => PowerState::ShutOff,
            Err(_) => return false,
        };
        let before = self.lane.state().believed().map(|believed| believed.power);
        self.in_flight.is_empty() && before != Some(power) && !told.is_some_and(|cause| cause.tells_power(power))
    }

    /// Puts back what a look did not come to use.
    fn told_before(&mut self, told: Option<Cause>) {
        let Some(before) = told else { return };
        self.told = Some(self.told.map_or(before, |later| before.followed_by(later)));
    }

    /// A planned look has come due.
    pub(super) fn look_due(&mut self) {
        self.look_at = None;
        if self.looking {
            self.look_at = Some(Instant::now() + LOOK_DELAY);
        } else {
            self.look_now();
        }
    }
}
