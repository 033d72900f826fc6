//! Rarer things that somebody does in a world: hand-overs, the operator's word, an answer out of turn.

use covirt::delegation::{ChangeRequest, Mode};
use covirt::model::{Action, CommandId, ProviderId, Resource};
use covirt::resolver::{Fact, Heard, Input, Lane, Output, Party, Said, State};
use serde_json::Value;

use super::{World, provider, vm};

impl World {
    /// What a provider has, back to the primary once it has nothing in flight.
    pub(in super::super) fn drain(&mut self, by: &str, from: &str) -> Vec<Output> {
        let request = Self::all_from(by, from);
        let token = self.token();
        self.feed(Input::Drain { token, request })
    }

    /// Actions to another provider alone, once nobody who loses them has any in flight.
    pub(in super::super) fn hand_over(&mut self, to: &str, actions: &[Action]) -> Vec<Output> {
        let (by, to) = (provider("north"), provider(to));
        let actions = actions.iter().copied().collect();
        let request = ChangeRequest::Delegate { by, to, actions, mode: Mode::Exclusive, lease: None };
        let token = self.token();
        self.feed(Input::Drain { token, request })
    }

    /// Somebody's word on the last conflict that is open.
    pub(in super::super) fn decide(&mut self, by: &str, name: &str) -> Vec<Output> {
        let (token, first) = (self.token(), self.id(name));
        let conflict = self.facts().filter_map(|fact| match fact {
            Fact::ConflictOpened { conflict, between, .. } if between.contains(&first) => Some(*conflict),
            _ => None,
        });
        let conflict = conflict.last().unwrap_or_else(|| panic!("{name} has no conflict"));
        self.feed(Input::Decide { token, by: provider(by), conflict, first })
    }

    /// An answer to what was asked about this other command.
    pub(in super::super) fn answer_about(&mut self, by: &str, said: Said, theirs: &str) -> Vec<Output> {
        let (theirs, party) = (self.id(theirs), Party::Provider(provider(by)));
        let ask = self.asks.iter().rev().find(|ask| ask.who == party && ask.theirs.id == theirs);
        let ask = ask.unwrap_or_else(|| panic!("{by} was not asked"));
        let (conflict, epoch) = (ask.conflict, ask.epoch);
        let token = Some(self.token());
        self.feed(Input::Answered { token, conflict, epoch, by: provider(by), said, how: Heard::Said })
    }

    /// Says that the oldest append which nobody has heard of is durable.
    pub(in super::super) fn confirm_one(&mut self) -> Vec<Output> {
        self.writes_unheard(1);
        self.feed(Input::Persisted { step: self.durable })
    }

    /// So many more appends are durable, and the lane is not told.
    pub(in super::super) fn writes_unheard(&mut self, count: usize) {
        for _ in 0..count {
            let next = self.journal.iter().map(|(step, _, _)| *step).find(|step| *step > self.durable);
            self.durable = next.expect("nothing waits for the journal");
        }
    }

    pub(in super::super) fn operator_delegates(&mut self, to: &str, action: Action) {
        let (by, to, token) = (ProviderId::operator(), provider(to), self.token());
        let request = ChangeRequest::Delegate { by, to, actions: [action].into(), mode: Mode::Shared, lease: None };
        self.feed(Input::Change { token, request });
    }

    /// The agent dies: what is not durable is gone, whatever ran at the hypervisor is out of sight. Then it starts.
    pub(in super::super) fn crash(&mut self) {
        self.forget_what_is_not_durable();
        self.probes.clear();
        self.lost.append(&mut self.calls);
        self.feed(Input::Recovered);
    }

    /// The journal refuses facts: the lane is built anew from what is durable, while calls go on and these commands'
    /// clients wait.
    pub(in super::super) fn rebuild(&mut self, carried: impl IntoIterator<Item = CommandId>) {
        self.forget_what_is_not_durable();
        self.feed(Input::Rebuilt { carried: carried.into_iter().collect() });
    }

    fn forget_what_is_not_durable(&mut self) {
        let durable = self.durable;
        self.journal.retain(|(step, _, _)| *step <= durable);
        let state = State::new(vm()).replay(self.journal.iter().map(|(_, at, fact)| (*at, fact)));
        self.shadow = state.clone();
        self.lane = Lane::new(state, self.lane.policy().clone());
        // The new lane numbers its appends from one; what the old one made durable stays so.
        self.journal.iter_mut().for_each(|(step, _, _)| *step = 0);
        (self.durable, self.wake) = (0, None);
    }
}

/// A resource from a word such as `disk:vda`.
pub(super) fn resource(word: &str) -> Resource {
    match word.split_once(':') {
        Some(("disk", target)) => Resource::Disk(target.to_owned()),
        Some(("device", name)) => Resource::Device(name.parse().unwrap()),
        Some(("tuning", name)) => Resource::Tuning(name.parse().unwrap()),
        Some(("metadata", uri)) => Resource::Metadata(uri.to_owned()),
        _ => serde_json::from_value(Value::from(word)).unwrap_or_else(|_| panic!("{word:?} is no resource")),
    }
}
