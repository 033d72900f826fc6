//! What the operator's hook and the providers say when they are asked: the hook first, then both providers together.

use super::Case;
use crate::model::CommandId;
use crate::resolver::fact::{Answer, Heard, Party, Rule};
use crate::resolver::policy::{HookUse, Policy};

/// What asking has come to.
pub(super) enum Callback {
    Ask(Vec<Party>),
    Pending,
    Withdrawn(Vec<CommandId>),
    First(CommandId),
    Disagreed,
    Undecided,
}

impl Case<'_> {
    pub(super) fn callback(&mut self, policy: &Policy) -> Callback {
        if policy.hook == HookUse::Ask || self.conflict.asked.contains_key(&Party::Hook) {
            match self.conflict.asked.get(&Party::Hook).map(|asked| asked.answer) {
                None => return Callback::Ask(vec![Party::Hook]),
                Some(None) => return Callback::Pending,
                Some(Some((Answer::First(first), _))) => {
                    self.find(Rule::Callback, format!("the operator's hook puts {} first", self.name(first)));
                    return Callback::First(first);
                }
                Some(Some((_, Heard::Silence))) => {
                    self.find(Rule::Callback, "the operator's hook gave no answer");
                }
                Some(Some(_)) => self.find(Rule::Callback, "the operator's hook has no opinion"),
            }
        }
        self.providers()
    }

    /// Both providers, asked together, one round.
    fn providers(&mut self) -> Callback {
        if [self.a, self.b].iter().any(|tracked| tracked.command().provider.is_operator()) {
            self.find(Rule::Callback, "nobody is asked against the host's owner");
            return Callback::Undecided;
        }
        let parties: Vec<Party> =
            [self.a, self.b].into_iter().map(|tracked| Party::Provider(tracked.command().provider.clone())).collect();
        let asked: Vec<_> = parties.iter().filter_map(|party| self.conflict.asked.get(party)).collect();
        if asked.is_empty() && !parties.is_empty() {
            return Callback::Ask(parties);
        }
        let answers: Vec<(Answer, Heard)> = asked.iter().filter_map(|asked| asked.answer).collect();
        if answers.len() < parties.len() {
            return Callback::Pending;
        }
        for (party, (answer, heard)) in parties.iter().zip(&answers) {
            let found = format!("{} {}", who(party), self.in_words(*answer, *heard));
            self.find(Rule::Callback, found);
        }
        let withdrawn: Vec<CommandId> = (answers.iter())
            .filter_map(|(answer, _)| match answer {
                Answer::Withdraw(command) => Some(*command),
                Answer::First(_) | Answer::NoOpinion => None,
            })
            .collect();
        if !withdrawn.is_empty() {
            return Callback::Withdrawn(withdrawn);
        }
        let mut wished = answers.iter().filter_map(|(answer, _)| match answer {
            Answer::First(command) => Some(*command),
            Answer::Withdraw(_) | Answer::NoOpinion => None,
        });
        match (wished.next(), wished.next()) {
            (Some(first), None) => Callback::First(first),
            (Some(first), Some(second)) if first == second => Callback::First(first),
            (Some(_), Some(_)) => {
                self.find(Rule::Callback, "they do not agree");
                Callback::Disagreed
            }
            (None, _) => {
                self.find(Rule::Callback, "nobody has a preference");
                Callback::Undecided
            }
        }
    }

    fn in_words(&self, answer: Answer, heard: Heard) -> String {
        let how = match heard {
            Heard::Said => "answered",
            Heard::Standing => "has no session; its standing answer is",
            Heard::Silence => "gave no answer, which means",
        };
        match answer {
            Answer::First(first) => format!("{how}: {} first", self.name(first)),
            Answer::Withdraw(command) => format!("{how}: {} is taken back", self.name(command)),
            Answer::NoOpinion => format!("{how}: no opinion"),
        }
    }
}

pub(super) fn who(party: &Party) -> String {
    match party {
        Party::Hook => "the operator's hook".to_owned(),
        Party::Provider(provider) => provider.to_string(),
    }
}
