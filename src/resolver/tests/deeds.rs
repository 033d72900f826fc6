//! Rarer things that somebody does in a world: hand-overs, the operator's word, an answer out of turn.

use covirt::delegation::{ChangeRequest, Mode};
use covirt::model::Action;
use covirt::resolver::{Fact, Heard, Input, Output, Party, Said};

use super::{World, provider};

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
}
