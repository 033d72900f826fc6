//! Getting through a journal that takes no facts.
//!
//! ```text
//! append refused ──▶ the lane is ahead of the disk ──rebuilt──▶ reads are served ──time passed──▶ working again
//!                    whoever waits for it is refused            new work is refused               what was kept is taken
//! ```
//!
//! Memory never runs ahead of the disk for longer than one write: the lane is built again from what is durable. What
//! arrives meanwhile from the hypervisor is kept, because no call is ever made twice to hear its answer again.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::Instant;

use super::{Errand, Runner};
use crate::journal::{AppendError, Entry, Journal, ReplayError};
use crate::model::{Code, Refusal, VmId};
use crate::resolver::{Input, Lane, Phase, State};

/// How long new work is refused after the journal failed, before it is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// What whoever wants something new is told meanwhile.
pub(super) fn unwritable() -> Refusal {
    Refusal::new(Code::JournalUnwritable, "the journal cannot be written now; nothing was accepted, submit again later")
}

/// The journal failed and is given time.
pub(super) struct Outage {
    stage: Stage,
    kept: Vec<Errand>,
}

enum Stage {
    /// The lane knows what is not durable; it is built anew as soon as the journal can be read, at this moment.
    Ahead(Instant),
    /// The lane is what is durable; new work is taken again at this moment.
    Rebuilt(Instant),
}

impl Outage {
    /// When to go on.
    pub(super) const fn until(&self) -> Instant {
        match self.stage {
            Stage::Ahead(until) | Stage::Rebuilt(until) => until,
        }
    }

    /// Whether the lane knows what is not durable.
    pub(super) const fn is_ahead(&self) -> bool {
        matches!(self.stage, Stage::Ahead(_))
    }

    /// Keeps what would add facts.
    pub(super) fn keep(&mut self, errand: Errand) {
        self.kept.push(errand);
    }
}

impl Runner {
    /// The journal did not take a step's facts: whoever waits for that is told, and the lane is built anew.
    pub(super) fn pause(&mut self, error: &AppendError) {
        tracing::error!(vm = %self.vm, %error, "the journal refused facts; new work on this VM is refused for now");
        for (_, asked) in std::mem::take(&mut self.replies) {
            self.refuse(asked, unwritable());
        }
        self.held.clear();
        self.wake = None;
        self.life += 1;
        let answered = std::mem::take(&mut self.answered).into_iter();
        let kept = answered.map(|(command, (result, seen))| Errand::Finished { command, result, seen }).collect();
        self.outage = Some(Outage { stage: Stage::Ahead(Instant::now()), kept });
    }

    /// Takes the next step out of an outage.
    pub(super) async fn mend(&mut self) {
        let Some(Outage { stage, kept }) = self.outage.take() else { return };
        let later = Instant::now() + PAUSE;
        if matches!(stage, Stage::Ahead(_)) {
            let stage = match self.around.journal.restore_vm(self.vm).await {
                Ok(state) => {
                    self.lane = Lane::new(state, self.around.policy());
                    self.restraint.mark_changed();
                    self.around.sight.show(self.lane.state());
                    self.around.witness.begins(self.lane.state());
                    self.forget_carriers();
                    Stage::Rebuilt(later)
                }
                Err(_) => Stage::Ahead(later),
            };
            self.outage = Some(Outage { stage, kept });
            return;
        }
        self.around.journal.unfence(self.vm);
        for (command, waiters) in std::mem::take(&mut self.waiters) {
            waiters.into_iter().for_each(|waiter| self.tell_when_ended(command, waiter));
        }
        if self.closing {
            self.step(Input::Closing);
        }
        self.step(Input::Rebuilt { carried: self.carriers.commands() });
        // What the journal knows is closed with that; of the rest it never heard, or heard the end.
        self.channels.clear();
        // What was seen then may be older than what is told now.
        let retold = kept.iter().any(|errand| matches!(errand, Errand::Finished { .. }));
        for errand in kept {
            self.errand(errand);
        }
        if retold {
            self.doubt();
        }
    }

    /// Commands that are over, or never were durable, need nobody who makes their calls.
    fn forget_carriers(&mut self) {
        let over = |phase: &Phase| matches!(phase, Phase::Ended(_));
        for command in self.carriers.commands() {
            if self.lane.state().command(command).is_none_or(|tracked| over(tracked.phase())) {
                self.carriers.drop(command);
            }
        }
    }
}

/// All that ever happened to a VM, as a state that forgets nothing.
pub(in crate::lanes) async fn history(journal: &Journal, vm: VmId) -> Result<State, ReplayError> {
    let mut state = State::remembering_all(vm);
    let apply = |_, entry: Entry| {
        entry.facts.iter().for_each(|fact| state.apply(entry.at, fact));
        ControlFlow::Continue(())
    };
    journal.replay_vm(vm, apply).await?;
    Ok(state)
}
