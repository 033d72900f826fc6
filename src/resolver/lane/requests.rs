//! What is asked of a lane and answered at once: taken, with the fact that follows, or refused.

use super::{Lane, Turn};
use crate::delegation::{self, ChangeRequest};
use crate::model::{ChannelId, Code, Command, CommandId, Ending, Now, Outcome, ProviderId, Refusal, VmState};
use crate::resolver::admission::{self, Taken};
use crate::resolver::channel::{self, ChannelRequest};
use crate::resolver::decide::Gate;
use crate::resolver::drain;
use crate::resolver::fact::Fact;
use crate::resolver::hold;
use crate::resolver::message::{Accepted, Sender, Token};
use crate::resolver::restraint;
use crate::resolver::state::Standing;

impl Lane {
    pub(super) fn enroll(
        &mut self,
        now: Now,
        token: Token,
        name: String,
        primary: ProviderId,
        state: VmState,
        turn: &mut Turn,
    ) {
        if let Some(authority) = self.state.authority.as_ref().filter(|_| self.state.standing != Standing::Free) {
            let message = format!("{} is co-managed already; its primary is {}", self.state.vm, authority.primary);
            let refusal = Refusal::new(Code::AlreadyEnrolled, message).held_by(authority.primary.clone(), None);
            turn.refuse(token, refusal);
            return;
        }
        if let Some(refusal) = restraint::refuses_enrollment(&self.state, self.told(), &primary, &name) {
            turn.refuse(token, refusal);
            return;
        }
        let open = hold::seen(&self.state, &state);
        self.record(now, vec![Fact::Enrolled { name, primary, state }], turn);
        self.record(now, open, turn);
        turn.accept(token, Accepted::Standing);
    }

    pub(super) fn release(&mut self, now: Now, token: Token, by: ProviderId, turn: &mut Turn) {
        let Some(authority) = self.state.authority.as_ref() else {
            turn.refuse(token, Refusal::new(Code::UnknownVm, "the VM is not co-managed"));
            return;
        };
        if !by.is_operator() && by != authority.primary {
            let message = format!("only the primary, {}, or the operator releases this VM", authority.primary);
            turn.refuse(token, Refusal::new(Code::Forbidden, message).held_by(authority.primary.clone(), None));
            return;
        }
        if let Some(command) = self.state.live.first().copied() {
            let message = format!("{} commands on this VM have not ended", self.state.live.len());
            turn.refuse(token, Refusal::new(Code::CommandsInFlight, message).blocked_by(command));
            return;
        }
        if let Some(hold) = self.state.holds().find(|hold| hold.owner().is_some()) {
            let message = format!("{} is open on this VM: end it first, or release the hold", hold.named());
            turn.refuse(token, Refusal::new(Code::HoldOpen, message));
            return;
        }
        let shut = channel::released(&self.state);
        self.record(now, shut, turn);
        self.record(now, vec![Fact::Released { by }], turn);
        turn.accept(token, Accepted::Standing);
    }

    pub(super) fn submit(&mut self, now: Now, token: Token, command: Command, sender: Sender, turn: &mut Turn) {
        if self.footing.gate == Gate::Shut && !self.state.commands.contains_key(&command.id) {
            turn.refuse(token, Refusal::new(Code::Closing, "the agent is shutting down; submit again when it is back"));
            return;
        }
        match admission::admit(&self.state, &self.policy, self.told(), command, sender, now) {
            Err(refusal) => turn.refuse(token, refusal),
            Ok(Taken::Again(id)) => turn.accept(token, Accepted::Command(id)),
            Ok(Taken::New(admission)) => {
                let id = admission.command.id;
                self.record(now, vec![Fact::Admitted(admission)], turn);
                turn.accept(token, Accepted::Command(id));
            }
        }
    }

    pub(super) fn cancel(&mut self, now: Now, token: Token, by: &ProviderId, id: CommandId, turn: &mut Turn) {
        let refusal = match self.state.commands.get(&id) {
            None => Refusal::new(Code::UnknownCommand, format!("there is no command {id} on this VM")),
            Some(tracked) if !by.is_operator() && tracked.command().provider != *by => {
                let holder = tracked.command().provider.clone();
                Refusal::new(Code::Forbidden, "only its own provider or the operator cancels a command")
                    .held_by(holder, None)
            }
            Some(tracked) if !tracked.is_queued() => {
                Refusal::new(Code::CommandsInFlight, "the command is at the hypervisor or over").blocked_by(id)
            }
            Some(_) => {
                let outcome = Outcome::new(Ending::Cancelled, Code::CancelledByRequest, format!("{by} cancelled it"));
                self.record(now, vec![Fact::Ended { command: id, outcome }], turn);
                turn.accept(token, Accepted::Command(id));
                return;
            }
        };
        turn.refuse(token, refusal);
    }

    pub(super) fn change(&mut self, now: Now, token: Token, request: &ChangeRequest, turn: &mut Turn) {
        let Some(authority) = self.state.authority.as_ref() else {
            turn.refuse(token, Refusal::new(Code::UnknownVm, "the VM is not co-managed"));
            return;
        };
        if let Some(refusal) = restraint::refuses_change(&self.state, self.told(), request) {
            turn.refuse(token, refusal);
            return;
        }
        let by = request.by().clone();
        match delegation::decide(authority, request, &drain::in_flight(&self.state), now) {
            Err(refusal) => turn.refuse(token, refusal),
            Ok(change) => {
                self.record(now, vec![Fact::Delegation { by, change: change.clone() }], turn);
                turn.accept(token, Accepted::Change(change));
            }
        }
    }

    pub(super) fn open_channel(&mut self, now: Now, token: Token, request: ChannelRequest, turn: &mut Turn) {
        if self.footing.gate == Gate::Shut {
            turn.refuse(token, Refusal::new(Code::Closing, "the agent is shutting down"));
            return;
        }
        let id = request.id;
        match channel::open(&self.state, self.footing.restraint.as_deref(), request, now) {
            Err(refusal) => turn.refuse(token, refusal),
            Ok(facts) => {
                self.record(now, facts, turn);
                turn.accept(token, Accepted::Channel(id));
            }
        }
    }

    pub(super) fn close_channel(
        &mut self,
        now: Now,
        token: Token,
        by: ProviderId,
        id: ChannelId,
        reason: String,
        turn: &mut Turn,
    ) {
        match channel::close(&self.state, by, id, reason) {
            Err(refusal) => turn.refuse(token, refusal),
            Ok(fact) => {
                self.record(now, vec![fact], turn);
                turn.accept(token, Accepted::Channel(id));
            }
        }
    }
}
