//! The per-VM machine that admits, orders, resolves and releases commands.
//!
//! ```text
//!            Submitted                     Persisted             Finished
//!  provider ──────────▶ queued ──▶ Started ─────────▶ Execute ──▶ running ──▶ ended
//!                        ▲  │                                        │ answer lost, crash
//!                        │  └─▶ ended without running                ▼
//!                        └────────────── found undone ───────── unknown ──▶ ended, as observed
//! ```
//!
//! [`Lane::step`] takes one input and the time, and gives what is to be done. It is total, does no I/O and knows no
//! clock: the same inputs give the same outputs (I7). Facts are applied at once; whatever leaves the lane because of
//! them (a call, a reply, a question) is kept back until the journal says that they are durable (I2).

mod requests;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::call::Call;
use super::channel;
use super::client;
use super::decide::{self, Footing, Gate};
use super::drain;
use super::escalate;
use super::fact::{Answer, CallResult, Evidence, Fact, Heard, Party};
use super::hold;
use super::message::{Accepted, Ask, Input, Output, Token};
use super::past_us;
use super::policy::Policy;
use super::restraint;
use super::state::{Phase, Standing, State};
use crate::model::{Code, CommandId, ConflictId, Ending, Mono, Now, Outcome, Refusal, VmId};
use crate::sovereignty::Restraint;

/// One VM's machine.
#[derive(Debug, Clone)]
pub struct Lane {
    state: State,
    policy: Policy,
    appended: u64,
    persisted: u64,
    /// What may leave once the step it belongs to is durable.
    held: VecDeque<(u64, Output)>,
    wake: Option<Mono>,
    footing: Footing,
}

impl Lane {
    /// A lane with what its journal says.
    #[must_use]
    pub const fn new(state: State, policy: Policy) -> Self {
        let footing = Footing { gate: Gate::Open, doubt: false, restraint: None };
        Self { state, policy, appended: 0, persisted: 0, held: VecDeque::new(), wake: None, footing }
    }

    /// What the lane's facts add up to.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// How it is configured.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What is decided from now on follows this policy, as it would after a restart.
    pub fn reconfigure(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// What it knows of this life of the agent alone.
    pub(crate) const fn footing(&self) -> &Footing {
        &self.footing
    }

    /// How many steps had facts, and up to which of them they are durable.
    #[must_use]
    pub const fn durability(&self) -> (u64, u64) {
        (self.appended, self.persisted)
    }

    /// What is kept back, each with the step that must be durable before it leaves.
    pub fn kept_back(&self) -> impl Iterator<Item = &(u64, Output)> {
        self.held.iter()
    }

    /// Takes one input at one moment and says what is to be done.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Output> {
        let mut turn = Turn::default();
        self.take(now, input, &mut turn);
        while let Some(facts) = decide::next(&self.state, &self.policy, &self.footing, now) {
            self.record(now, facts, &mut turn);
        }
        self.close(now, turn)
    }

    fn take(&mut self, now: Now, input: Input, turn: &mut Turn) {
        match input {
            Input::Enroll { token, name, primary, state } => self.enroll(now, token, name, primary, state, turn),
            Input::Release { token, by } => self.release(now, token, by, turn),
            Input::Submitted { token, command, sender } => self.submit(now, token, *command, sender, turn),
            Input::Cancel { token, by, command } => self.cancel(now, token, &by, command, turn),
            Input::Change { token, request } => self.change(now, token, &request, turn),
            Input::Drain { token, request } => match drain::begin(&self.state, &self.policy, self.told(), request, now)
            {
                Err(refusal) => turn.refuse(token, refusal),
                Ok(fact) => {
                    self.record(now, vec![fact], turn);
                    turn.accept(token, Accepted::Drain);
                }
            },
            Input::Decide { token, by, conflict, first } => match escalate::decide(&self.state, by, conflict, first) {
                Err(refusal) => turn.refuse(token, refusal),
                Ok(fact) => {
                    self.record(now, vec![fact], turn);
                    turn.accept(token, Accepted::Decision);
                }
            },
            Input::Answered { token, conflict, epoch, by, said, how } => {
                let party = Party::Provider(by);
                let answer = self.state.conflicts.get(&conflict).map(|c| decide::meaning(&self.state, c, &party, said));
                self.answer(now, token, (conflict, epoch, party), answer.unwrap_or(Answer::NoOpinion), how, turn);
            }
            Input::HookAnswered { conflict, epoch, first } => {
                let named = first
                    .filter(|id| self.state.conflicts.get(&conflict).is_some_and(|known| known.between.contains(id)));
                let answer = named.map_or(Answer::NoOpinion, Answer::First);
                self.answer(now, None, (conflict, epoch, Party::Hook), answer, Heard::Said, turn);
            }
            Input::AnswerLost { conflict, epoch, by } => self.answer_lost(now, conflict, epoch, &by, turn),
            Input::Observed { state, why } => {
                self.footing.doubt = false;
                if self.state.standing != Standing::Free {
                    let fact = past_us::observation(&self.state, &state, why);
                    self.record(now, fact.into_iter().collect(), turn);
                    let facts = hold::seen(&self.state, &state);
                    self.record(now, facts, turn);
                }
            }
            Input::Vanished { why } => {
                self.footing.doubt = false;
                if self.state.standing == Standing::Enrolled {
                    let mut facts = vec![past_us::vanishing(&self.state, why)];
                    facts.extend(hold::gone(&self.state));
                    self.record(now, facts, turn);
                }
            }
            Input::Happened(happening) => {
                if self.state.standing == Standing::Enrolled {
                    let fact = past_us::happening(&self.state, happening, now);
                    self.record(now, fact.into_iter().collect(), turn);
                }
            }
            Input::SessionLost { provider } => {
                let facts = hold::session_lost(&self.state, &provider);
                self.record(now, facts, turn);
            }
            Input::ReleaseHold { token, by, hold, reason } => {
                let fact = hold::request_end(&self.state, &hold, by, reason);
                self.decided(now, token, fact, turn);
            }
            Input::Restrained(restraint) => self.footing.restraint = Some(restraint),
            Input::BreakGlass { token, by, reason, span } => {
                let fact = restraint::break_glass(&self.state, &by, &reason, span, now);
                self.decided(now, token, fact, turn);
            }
            Input::MendGlass { token, by } => {
                let fact = restraint::mend_glass(&self.state, &by);
                self.decided(now, token, fact, turn);
            }
            Input::OpenChannel { token, request } => self.open_channel(now, token, request, turn),
            Input::CloseChannel { token, by, channel, reason } => {
                self.close_channel(now, token, by, channel, reason, turn);
            }
            Input::ChannelOver { channel, how, received, sent } => {
                let known = self.state.channels.contains_key(&channel);
                let over = Fact::ChannelClosed { channel, how, received: Some(received), sent: Some(sent) };
                self.record(now, known.then_some(over).into_iter().collect(), turn);
            }
            Input::Doubted => self.footing.doubt = true,
            Input::Finished { command, result } => self.finished(now, command, result, turn),
            Input::Probed { command, evidence } => self.probed(now, command, evidence, turn),
            Input::Persisted { step } => self.persisted = self.persisted.max(step.min(self.appended)),
            Input::ClientGone { command } => self.client_gone(now, command, turn),
            Input::Recovered => self.recover(now, &BTreeSet::new(), turn),
            Input::Rebuilt { carried } => self.recover(now, &carried, turn),
            Input::Tick => self.wake = self.wake.filter(|wake| *wake > now.mono),
            Input::Closing => self.footing.gate = Gate::Shut,
        }
    }

    /// What holds on the whole host, as far as it was told.
    fn told(&self) -> Option<&Restraint> {
        self.footing.restraint.as_deref()
    }

    /// Records what was decided about a request, or refuses it.
    fn decided(&mut self, now: Now, token: Token, fact: Result<Fact, Refusal>, turn: &mut Turn) {
        match fact {
            Err(refusal) => turn.refuse(token, refusal),
            Ok(fact) => {
                self.record(now, vec![fact], turn);
                turn.accept(token, Accepted::Standing);
            }
        }
    }

    fn answer(
        &mut self,
        now: Now,
        token: Option<Token>,
        (id, epoch, by): (ConflictId, u64, Party),
        answer: Answer,
        how: Heard,
        turn: &mut Turn,
    ) {
        let asked = (self.state.conflicts.get(&id)).and_then(|known| known.asked.get(&by).map(|asked| (known, asked)));
        let refusal = match asked {
            None => Refusal::new(Code::UnknownAsk, format!("nothing was asked of you about conflict {id}")),
            Some((known, asked))
                if asked.epoch != epoch || asked.answer.is_some() || !self.state.open.contains(&known.id) =>
            {
                Refusal::new(Code::AnswerLate, format!("the ask of epoch {epoch} about conflict {id} is over"))
            }
            Some(_) => {
                self.record(now, vec![Fact::Answered { conflict: id, epoch, by, answer, how }], turn);
                if let Some(token) = token {
                    turn.accept(token, Accepted::Answer);
                }
                return;
            }
        };
        if let Some(token) = token {
            turn.refuse(token, refusal);
        }
    }

    fn answer_lost(&mut self, now: Now, id: ConflictId, epoch: u64, by: &Party, turn: &mut Turn) {
        let open = self.state.conflicts.get(&id).filter(|conflict| self.state.open.contains(&conflict.id));
        let Some(conflict) = open else { return };
        let pending = conflict.asked.get(by).filter(|asked| asked.epoch == epoch && asked.answer.is_none());
        let Some(asked) = pending else { return };
        let fact = decide::silent(&self.state, &self.policy, conflict, by, asked);
        self.record(now, vec![fact], turn);
    }

    fn finished(&mut self, now: Now, id: CommandId, result: CallResult, turn: &mut Turn) {
        let Some(tracked) = self.state.commands.get(&id).filter(|tracked| tracked.is_active()) else { return };
        let outcome = match result {
            CallResult::Done(value) => {
                let reason = format!("{} was executed", tracked.command().operation.action());
                Outcome { result: value, ..Outcome::new(Ending::Done, Code::Executed, reason) }
            }
            CallResult::Failed(outcome) => outcome,
            CallResult::Lost(_) if tracked.phase == Phase::Unknown => return,
            CallResult::Lost(_) => {
                self.record(now, vec![Fact::BecameUnknown { command: id }], turn);
                self.probe(id, turn);
                return;
            }
        };
        let facts = decide::end(&self.state, id, outcome, now);
        self.record(now, facts, turn);
        self.reconsider(now, id, turn);
    }

    /// While a command was ending what is open, no look could tell who ended it. Now the last one counts.
    fn reconsider(&mut self, now: Now, id: CommandId, turn: &mut Turn) {
        let ended = self.state.commands.get(&id).filter(|tracked| !tracked.is_active());
        let in_vain = ended.is_some_and(|tracked| tracked.command().operation.ends_open().is_some());
        if let Some(vm) = self.state.believed.clone().filter(|_| in_vain) {
            let facts = hold::seen(&self.state, &vm);
            self.record(now, facts, turn);
        }
    }

    fn probed(&mut self, now: Now, id: CommandId, evidence: Evidence, turn: &mut Turn) {
        let Some(tracked) = self.state.commands.get(&id).filter(|tracked| tracked.phase == Phase::Unknown) else {
            return;
        };
        let action = tracked.command().operation.action();
        let facts = match evidence {
            Evidence::Undone if tracked.command().call.is_some() => vec![client::undone(id)],
            Evidence::Undone => vec![Fact::FoundUndone { command: id }],
            Evidence::Done => {
                let reason = format!("the answer was lost, but {action} is seen to have taken effect");
                decide::end(&self.state, id, Outcome::new(Ending::Done, Code::ObservedDone, reason), now)
            }
            Evidence::None => {
                let reason = format!(
                    "the answer was lost and nothing observable tells whether {action} took effect; it was not repeated"
                );
                decide::end(&self.state, id, Outcome::new(Ending::Failed, Code::OutcomeUnknowable, reason), now)
            }
        };
        self.record(now, facts, turn);
        self.reconsider(now, id, turn);
    }

    /// After a restart: what was running is unknown, what was asked will not be answered, and clients are gone but for
    /// these, whose calls were not made.
    fn recover(&mut self, now: Now, carried: &BTreeSet<CommandId>, turn: &mut Turn) {
        let cut_off = channel::cut_off(&self.state);
        self.record(now, cut_off, turn);
        let gone = client::gone(&self.state, carried);
        self.record(now, gone, turn);
        let unmade = client::unmade(&self.state, carried);
        self.record(now, unmade, turn);
        let active: Vec<(CommandId, bool)> =
            self.state.active().map(|tracked| (tracked.command().id, tracked.phase == Phase::Running)).collect();
        for (command, running) in active {
            if running {
                self.record(now, vec![Fact::BecameUnknown { command }], turn);
            }
            self.probe(command, turn);
        }
        let lost: Vec<Fact> = (self.state.open.iter().filter_map(|id| self.state.conflicts.get(id)))
            .flat_map(|conflict| conflict.pending().map(move |(party, asked)| (conflict, party, asked)))
            .map(|(conflict, party, asked)| decide::silent(&self.state, &self.policy, conflict, party, asked))
            .collect();
        self.record(now, lost, turn);
    }

    fn client_gone(&mut self, now: Now, id: CommandId, turn: &mut Turn) {
        let queued = self.state.commands.get(&id).filter(|tracked| tracked.is_queued());
        let fact = queued.filter(|tracked| tracked.command().call.is_some()).map(|_| client::left(id));
        self.record(now, fact.into_iter().collect(), turn);
    }

    fn probe(&self, id: CommandId, turn: &mut Turn) {
        if let Some(call) = self.call(id) {
            turn.outputs.push(Output::Probe(call));
        }
    }

    fn call(&self, id: CommandId) -> Option<Call> {
        let tracked = self.state.commands.get(&id)?;
        Some(Call::of(tracked.command(), tracked.on_start))
    }

    /// Applies facts and notes what follows from them.
    fn record(&mut self, now: Now, facts: Vec<Fact>, turn: &mut Turn) {
        for fact in facts {
            self.state.apply(now, &fact);
            match &fact {
                Fact::Started { command, .. } => turn.outputs.extend(self.call(*command).map(Output::Execute)),
                Fact::Ended { command, outcome } => {
                    turn.outputs.push(Output::Ended { command: *command, outcome: outcome.clone() });
                }
                Fact::Asked { conflict, epoch, who, deadline } => {
                    let within = deadline.since(now.mono);
                    turn.outputs.extend(who.iter().filter_map(|who| self.ask(*conflict, *epoch, who, within)));
                }
                Fact::ChannelClosed { channel, how, .. } => {
                    turn.outputs.push(Output::CloseChannel { channel: *channel, how: how.clone() });
                }
                Fact::Enrolled { .. }
                | Fact::Released { .. }
                | Fact::Delegation { .. }
                | Fact::DrainBegan { .. }
                | Fact::DrainEnded { .. }
                | Fact::Admitted(_)
                | Fact::GapFlagged { .. }
                | Fact::ConflictOpened { .. }
                | Fact::Answered { .. }
                | Fact::Escalated { .. }
                | Fact::Decided { .. }
                | Fact::Settled { .. }
                | Fact::BecameUnknown { .. }
                | Fact::FoundUndone { .. }
                | Fact::HoldOpened { .. }
                | Fact::HoldGivenUp { .. }
                | Fact::HoldClosed { .. }
                | Fact::ChannelOpened { .. }
                | Fact::Observed { .. }
                | Fact::Happened { .. }
                | Fact::Frozen { .. }
                | Fact::Thawed { .. }
                | Fact::GlassBroken { .. }
                | Fact::GlassMended { .. }
                | Fact::Host(_)
                | Fact::Vanished { .. } => {}
            }
            turn.facts.push(fact);
        }
    }

    fn ask(&self, id: ConflictId, epoch: u64, who: &Party, within: Duration) -> Option<Output> {
        let conflict = self.state.conflicts.get(&id)?;
        let [a, b] = conflict.between;
        let a_is_mine = match who {
            Party::Hook => true,
            Party::Provider(provider) => self.state.commands.get(&a)?.command().provider == *provider,
        };
        let fails = conflict.feasible.clone();
        let (mine, theirs, mine_first_fails, theirs_first_fails) = if a_is_mine {
            (a, b, fails.first_then_second, fails.second_then_first)
        } else {
            (b, a, fails.second_then_first, fails.first_then_second)
        };
        Some(Output::Ask(Box::new(Ask {
            conflict: id,
            epoch,
            who: who.clone(),
            mine: self.state.commands.get(&mine)?.command().clone(),
            theirs: self.state.commands.get(&theirs)?.command().clone(),
            hold: conflict.hold.clone(),
            opener: conflict.hold.as_ref().and_then(|key| self.state.holds.get(key)?.opener()),
            contested: conflict.contested.iter().cloned().collect(),
            mine_first_fails,
            theirs_first_fails,
            within,
        })))
    }

    /// Ends a step: one append for all its facts, and everything else kept back until that is durable.
    fn close(&mut self, now: Now, turn: Turn) -> Vec<Output> {
        let mut out = turn.refused;
        if !turn.facts.is_empty() {
            self.appended = self.appended.saturating_add(1);
            out.push(Output::Append { step: self.appended, at: now, facts: turn.facts });
        }
        self.held.extend(turn.outputs.into_iter().map(|output| (self.appended, output)));
        while let Some((_, output)) = self.held.pop_front_if(|(step, _)| *step <= self.persisted) {
            out.push(output);
        }
        let due = decide::next_due(&self.state, &self.policy, now);
        if let Some(due) = due.filter(|due| self.wake.is_none_or(|wake| *due < wake)) {
            self.wake = Some(due);
            out.push(Output::WakeAt(due));
        }
        out
    }

    /// The VM.
    #[must_use]
    pub const fn vm(&self) -> VmId {
        self.state.vm
    }
}

/// What one step has brought about so far.
#[derive(Default)]
struct Turn {
    facts: Vec<Fact>,
    /// Leaves when the facts are durable.
    outputs: Vec<Output>,
    /// Leaves at once: a refusal changes nothing.
    refused: Vec<Output>,
}

impl Turn {
    fn refuse(&mut self, token: Token, refusal: Refusal) {
        self.refused.push(Output::Refused { token, refusal: Box::new(refusal) });
    }

    fn accept(&mut self, token: Token, what: Accepted) {
        self.outputs.push(Output::Accepted { token, what });
    }
}
