//! Applying facts: the only code that changes a lane's state, live and on replay alike (I6).

use super::fact::{Fact, Rule, Verdict};
use super::state::{Asked, Conflict, Phase, REMEMBERED_IDS, Standing, State, Tracked, Written};
use crate::delegation::Authority;
use crate::model::{CommandId, Effect, Ending, Now, Outcome, PowerState, StartId, VmState};

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
                self.written.clear();
            }
            Fact::Delegation { by: _, change } => {
                if let Some(authority) = &mut self.authority {
                    authority.apply(change);
                }
            }
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
                    gap: None,
                    coalesced_with: None,
                    conflicts: Vec::new(),
                    started: None,
                    began: false,
                    on_start: StartId::default(),
                    finished: None,
                };
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
                    settled: None,
                    moot: None,
                };
                self.conflicts.insert(*conflict, opened);
                self.open.insert(*conflict);
            }
            Fact::Asked { conflict, epoch, who, deadline } => {
                self.ask_epoch = self.ask_epoch.max(*epoch);
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
            Fact::Settled { conflict, verdict } => {
                self.open.remove(conflict);
                if let Some(conflict) = self.conflicts.get_mut(conflict) {
                    conflict.settled = Some((at, verdict.clone()));
                }
                self.apply_verdict(verdict);
            }
            Fact::Started { command, start } => self.with(*command, |tracked| {
                tracked.phase = Phase::Running;
                tracked.started = Some(at);
                tracked.began = true;
                tracked.on_start = *start;
            }),
            Fact::BecameUnknown { command } => self.with(*command, |tracked| tracked.phase = Phase::Unknown),
            Fact::FoundUndone { command } => self.with(*command, |tracked| {
                tracked.phase = Phase::Queued;
                tracked.started = None;
            }),
            Fact::Ended { command, outcome } => self.apply_ended(at, *command, outcome),
            Fact::Observed { state, origin: _ } => {
                self.believed = Some(state.clone());
                if self.standing == Standing::Vanished {
                    self.standing = Standing::Enrolled;
                }
            }
            Fact::Vanished {} => self.standing = Standing::Vanished,
        }
    }

    fn with(&mut self, command: CommandId, change: impl FnOnce(&mut Tracked)) {
        if let Some(tracked) = self.commands.get_mut(&command) {
            change(tracked);
        }
    }

    fn apply_verdict(&mut self, verdict: &Verdict) {
        self.verdicts.insert((verdict.first, verdict.second));
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
        let (seq, issued, effect) = (tracked.seq(), tracked.admission.issued, tracked.command().operation.effect());
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
            }
        }
        if outcome.ending == Ending::Done {
            if let Some(register) = effect.register() {
                self.written.insert(register, Written { command: id, provider, issued, at });
                self.forget_oldest_write();
            }
            if let Some(believed) = &mut self.believed {
                take_effect(believed, &effect);
            }
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
            let Some(oldest) = self.ended.pop_front() else { return };
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

/// What an effect makes of a state that is known. A revert and a start leave parts open until they are observed.
fn take_effect(state: &mut VmState, effect: &Effect) {
    match effect {
        Effect::Power(power) => {
            state.power = *power;
            if *power == PowerState::ShutOff {
                state.start = StartId(None);
            }
        }
        Effect::SnapshotAdded(name) => {
            state.snapshots.insert(name.clone());
        }
        Effect::SnapshotRemoved(name) => {
            state.snapshots.remove(name);
        }
        Effect::Vcpus(vcpus) => state.vcpus = *vcpus,
        Effect::Memory(memory) => state.memory_kib = *memory,
        Effect::Nothing | Effect::Restart | Effect::Reverted(_) | Effect::Metadata(_) => {}
    }
}
