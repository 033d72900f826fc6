//! Answers on their way: commands' ends to whoever waits, and what was said of a question to the lane.

use tokio::sync::oneshot;

use super::Runner;
use crate::lanes::asker::Delivery;
use crate::model::{CommandId, ConflictId, Outcome};
use crate::resolver::{Fact, Heard, Input, Party, Phase};

impl Runner {
    pub(super) fn tell_when_ended(&mut self, id: CommandId, ended: oneshot::Sender<Outcome>) {
        match self.lane.state().command(id).map(|tracked| tracked.phase().clone()) {
            Some(Phase::Ended(outcome)) => {
                let (appended, persisted) = self.lane.durability();
                let send = move || {
                    let _ = ended.send(outcome);
                };
                if appended == persisted { send() } else { self.held.push_back((appended, Box::new(send))) }
            }
            Some(Phase::Queued | Phase::Running | Phase::Unknown) => self.waiters.entry(id).or_default().push(ended),
            None => {}
        }
    }
}

pub(super) fn answer_of(delivery: Delivery, conflict: ConflictId, epoch: u64, who: Party) -> Option<Input> {
    match (delivery, who) {
        (Delivery::Sent, _) => None,
        (Delivery::Standing(said), Party::Provider(by)) => {
            Some(Input::Answered { token: None, conflict, epoch, by, said, how: Heard::Standing })
        }
        (Delivery::Hook(first), Party::Hook) => Some(Input::HookAnswered { conflict, epoch, first }),
        (Delivery::Lost | Delivery::Standing(_) | Delivery::Hook(_), by) => {
            Some(Input::AnswerLost { conflict, epoch, by })
        }
    }
}

/// What the host's owner should not have to look for.
pub(super) fn tell_operator(facts: &[Fact]) {
    for fact in facts {
        if let Fact::Escalated { conflict, .. } = fact {
            tracing::warn!(%conflict, "both providers want to be first; `covirt conflict decide` says which");
        }
    }
}
