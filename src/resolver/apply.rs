//! Applying facts: the only code that changes a lane's state, live and on replay alike (I6).

use super::budget::Asking;
use super::fact::{Fact, Rule, Verdict};
use super::state::{Asked, Conflict, Escalation, Phase, REMEMBERED_IDS, Standing, State, Tracked, Written};
use crate::delegation::Authority;
use crate::model::{CommandId, Ending, HoldKey, Now, Outcome, StartId};

/// Of how many values it is remembered who wrote them last. A VM has far fewer, but providers make up namespaces of
/// metadata.
const REMEMBERED_WRITES: usize = 1024;

impl State {
    /// The state that a journal's facts add up to.
    pub fn replay<'a>(self, facts: impl IntoIterator<Item = (Now, &'a Fact)>) -> Self {
        let mut state = self;
        for (at, fact) in facts {
            state.apply(at, fact);
        }
        state
    }

    /// Takes one fact in.
    pub fn apply(&mut self, at: Now, fact: &Fact) {
        match fact {
            Fact::Enrolled { name, primary, state } => {
                name.clone_into(&mut self.name);
                self.standing = Standing::Enrolled;
                let first = self.epochs.saturating_add(1);
                self.authority = Some(Authority { epoch: first, ..Authority::of_primary(primary.clone()) });
                self.believed = Some(state.clone());
            }
            Fact::Released { by: _ } => {
                self.standing = Standing::Free;
                self.epochs = self.authority.take().map_or(self.epochs, |authority| authority.epoch);
                self.believed = None;
                self.holds.clear();
                self.channels.clear();
                self.broken.clear();
                self.moved_to = None;
                self.drain = None;
                self.freezes.clear();
                self.glass = None;
                self.brought_about = None;
                self.written.clear();
                self.unobeyed.clear();
                self.obeyed.clear();
            }
            Fact::Delegation { by: _, change } => {
                if let Some(authority) = &mut self.authority {
                    authority.apply(change);
                }
            }
            Fact::DrainBegan { by: _, drain } => self.drain = Some(drain.clone()),
            Fact::DrainEnded { failed: _ } => self.drain = None,
            Fact::Admitted(admission) => {
                let id = admission.command.id;
                let sequence = self.sequences.entry(admission.command.provider.clone()).or_default();
                sequence.highest = sequence.highest.max(admission.command.order.seq.unwrap_or_default());
                let tracked = Tracked {
                    admission: (**admission).clone(),
                    footprint: admission.command.footprint(),
                    received: at,
                    phase: Phase::Queued,
                    deferrals: 0,
                    asking: Asking::default(),
                    gap: None,
                    coalesced_with: None,
                    conflicts: Vec::new(),
                    started: None,
                    began: false,
                    on_start: StartId::default(),
                    finished: None,
                };
                if admission.command.provider.is_agent() {
                    if admission.command.operation.ends_open() == Some(HoldKey::Freeze) {
                        self.unthawed = None;
                    }
                    self.errands = self.errands.saturating_add(1);
                }
                self.commands.insert(id, tracked);
                self.live.insert(id);
            }
            Fact::GapFlagged { command, expected } => {
                self.with(*command, |tracked| tracked.gap = Some(*expected));
            }
            Fact::ConflictOpened { conflict, between, contested, feasible } => {
                self.conflict_count = self.conflict_count.saturating_add(1);
                for command in between {
                    self.with(*command, |tracked| tracked.conflicts.push(*conflict));
                }
                let opened = Conflict {
                    id: *conflict,
                    between: *between,
                    contested: contested.clone(),
                    feasible: feasible.clone(),
                    opened: at,
                    asked: std::collections::BTreeMap::new(),
                    being_asked: false,
                    escalated: None,
                    decided: None,
                    settled: None,
                    hold: (self.holds.values())
                        .find(|hold| hold.opener.is_some_and(|opener| between.contains(&opener)))
                        .map(|hold| hold.key.clone()),
                    moot: None,
                };
                self.conflicts.insert(*conflict, opened);
                self.open.insert(*conflict);
            }
            Fact::Asked { conflict, epoch, who, deadline } => {
                self.ask_epoch = self.ask_epoch.max(*epoch);
                self.asking_begins(*conflict, at);
                if let Some(conflict) = self.conflicts.get_mut(conflict) {
                    for party in who {
                        let asked = Asked { epoch: *epoch, at, deadline: *deadline, answer: None };
                        conflict.asked.insert(party.clone(), asked);
                    }
                }
            }
            Fact::Answered { conflict, epoch: _, by, answer, how } => {
                let asked = self.conflicts.get_mut(conflict).and_then(|conflict| conflict.asked.get_mut(by));
                if let Some(asked) = asked {
                    asked.answer = Some((*answer, *how));
                }
            }
            Fact::Escalated { conflict, deadline } => {
                if let Some(conflict) = self.conflicts.get_mut(conflict) {
                    conflict.escalated = Some(Escalation { at, deadline: *deadline });
                }
                self.asking_ends(*conflict, at);
            }
            Fact::Decided { conflict, by: _, first } => {
                if let Some(conflict) = self.conflicts.get_mut(conflict) {
                    conflict.decided = Some(*first);
                }
            }
            Fact::Settled { conflict, verdict } => {
                self.open.remove(conflict);
                self.asking_ends(*conflict, at);
                if let Some(conflict) = self.conflicts.get_mut(conflict) {
                    conflict.settled = Some((at, verdict.clone()));
                }
                let of_hold = self.conflicts.get(conflict).is_some_and(|conflict| conflict.hold.is_some());
                if !of_hold {
                    self.verdicts.insert((verdict.first, verdict.second));
                }
                self.apply_verdict(verdict);
            }
            Fact::Started { command, start } => {
                self.with(*command, |tracked| {
                    tracked.phase = Phase::Running;
                    tracked.started = Some(at);
                    tracked.began = true;
                    tracked.on_start = *start;
                });
                self.unplug_started(*command);
            }
            Fact::BecameUnknown { command } => self.with(*command, |tracked| tracked.phase = Phase::Unknown),
            Fact::FoundUndone { command } => self.with(*command, |tracked| {
                tracked.phase = Phase::Queued;
                tracked.started = None;
            }),
            Fact::Ended { command, outcome } => self.apply_ended(at, *command, outcome),
            Fact::Observed { state, origin } => {
                let before = self.believed.replace(state.clone());
                if before.as_ref().is_none_or(|before| (before.power, before.start) != (state.power, state.start)) {
                    self.brought_about = Some(origin.clone());
                }
                self.unplugs_seen(at, before.as_ref());
                if self.standing == Standing::Vanished {
                    self.standing = Standing::Enrolled;
                    self.moved_to = None;
                }
            }
            Fact::Happened { .. } => {}
            Fact::Frozen { freeze } => {
                self.freezes.retain(|known| known.scope != freeze.scope);
                self.freezes.push((**freeze).clone());
            }
            Fact::Thawed { scope } => self.freezes.retain(|known| known.scope != *scope),
            Fact::GlassBroken { by: _, glass } => self.glass = Some(glass.clone()),
            Fact::GlassMended { by: _ } => self.glass = None,
            Fact::Host(fact) => self.host.get_or_insert_default().apply(fact),
            Fact::HoldOpened { .. } => self.hold_opened(at, fact),
            Fact::HoldGivenUp { hold, why } => self.hold_given_up(at, hold, why),
            Fact::HoldClosed { hold, how: _ } => self.hold_closed(at, hold),
            Fact::ChannelOpened { .. } => self.channel_opened(at, fact),
            Fact::ChannelClosed { channel, .. } => {
                self.channels.remove(channel);
            }
            Fact::Vanished { origin } => {
                self.moved_to = self.destination();
                self.standing = Standing::Vanished;
                self.brought_about.clone_from(origin);
            }
        }
    }

    fn with(&mut self, command: CommandId, change: impl FnOnce(&mut Tracked)) {
        if let Some(tracked) = self.commands.get_mut(&command) {
            change(tracked);
        }
    }

    fn apply_verdict(&mut self, verdict: &Verdict) {
        self.with(verdict.second, |second| {
            second.deferrals = second.deferrals.saturating_add(1);
            if verdict.rule == Rule::SameWish {
                second.coalesced_with = Some(verdict.first);
            }
        });
    }

    fn apply_ended(&mut self, at: Now, id: CommandId, outcome: &Outcome) {
        let Some(tracked) = self.commands.get_mut(&id) else { return };
        tracked.phase = Phase::Ended(outcome.clone());
        tracked.finished = Some(at);
        let provider = tracked.command().provider.clone();
        let names = tracked.command().operation.names();
        let only_asked = tracked.command().operation.only_asks();
        let (seq, issued, effect) = (tracked.seq(), tracked.issued(), tracked.command().operation.effect());
        self.live.remove(&id);
        self.ended.push_back(id);
        let sequence = self.sequences.entry(provider.clone()).or_default();
        sequence.ended = sequence.ended.max(Some(seq));
        self.verdicts.retain(|(first, second)| *first != id && *second != id);
        for follower in self.live.clone() {
            self.with(follower, |tracked| {
                if tracked.coalesced_with == Some(id) {
                    tracked.coalesced_with = None;
                }
            });
        }
        for conflict in self.open.clone() {
            if let Some(open) = self.conflicts.get_mut(&conflict).filter(|open| open.between.contains(&id)) {
                open.moot = Some(id);
                self.open.remove(&conflict);
                self.asking_ends(conflict, at);
            }
        }
        if outcome.ending == Ending::Done && !only_asked {
            if let Some(register) = effect.register() {
                self.written.insert(register, Written { command: id, provider, issued, at });
                self.forget_oldest_write();
            }
            if let Some(name) = names {
                self.name = name;
            }
            if let Some(believed) = &mut self.believed {
                let before = believed.power;
                effect.take(believed);
                if believed.power != before {
                    self.brought_about = None;
                }
            }
        }
        self.unplug_ended(id, outcome);
        if let Some(operation) = self.commands.get(&id).map(Tracked::command).filter(|c| c.provider.is_agent()) {
            let operation = operation.operation.clone();
            self.errand_ended(at, &operation, outcome);
        }
        self.forget_oldest();
    }

    fn forget_oldest_write(&mut self) {
        if self.written.len() > REMEMBERED_WRITES {
            let oldest = self.written.iter().min_by_key(|(_, written)| written.at.mono);
            if let Some(oldest) = oldest.map(|(register, _)| register.clone()) {
                self.written.remove(&oldest);
            }
        }
    }

    fn forget_oldest(&mut self) {
        while self.ended.len() > self.retained {
            // Whoever has left something open is needed until that is over.
            let holds = |id: &CommandId| self.holds.values().any(|hold| hold.opener == Some(*id));
            let Some(place) = self.ended.iter().position(|id| !holds(id)) else { return };
            let Some(oldest) = self.ended.remove(place) else { return };
            let Some(tracked) = self.commands.remove(&oldest) else { continue };
            self.forgotten.insert(oldest);
            if self.forgotten.len() > REMEMBERED_IDS {
                // Ids are UUIDs of version 7, so the smallest is the oldest.
                self.forgotten.pop_first();
            }
            for conflict in tracked.conflicts {
                let other_known = self
                    .conflicts
                    .get(&conflict)
                    .is_some_and(|known| self.commands.contains_key(&known.other_than(oldest)));
                if !other_known {
                    self.conflicts.remove(&conflict);
                }
            }
        }
    }
}
