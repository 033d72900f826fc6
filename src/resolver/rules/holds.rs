//! A command against what another provider has open: it waits, unless the owner gives it up, the operator says so, or
//! the command outranks it.

use super::{Case, Progress};
use crate::model::Now;
use crate::resolver::budget;
use crate::resolver::fact::{Answer, Party, Rule};
use crate::resolver::hold::Hold;
use crate::resolver::policy::{HookUse, Policy};

impl Case<'_> {
    pub(super) fn against_hold(mut self, hold: &Hold, policy: &Policy, now: Now) -> Progress {
        let opener = if hold.opener() == Some(self.a.command().id) { self.a } else { self.b };
        let waiting = if std::ptr::eq(opener, self.a) { self.b } else { self.a };
        let (holds, waits) = (opener.command(), waiting.command());
        self.find(Rule::AlreadyRunning, format!("{} is open already", hold.named()));
        if waits.break_glass.is_some() {
            self.find(Rule::BreakGlass, format!("the operator broke the glass for {}", self.name(waits.id)));
            return Progress::Decided(self.decide(Rule::BreakGlass, waits.id));
        }
        if let Some(word) = self.word() {
            return Progress::Decided(word);
        }
        let mut parties: Vec<Party> = Vec::new();
        if policy.hook == HookUse::Ask {
            parties.push(Party::Hook);
        }
        if !waits.provider.is_operator() && !holds.provider.is_operator() {
            parties.push(Party::Provider(holds.provider.clone()));
        }
        for party in parties {
            match self.conflict.asked.get(&party).map(|asked| asked.answer) {
                None if budget::left(self.state, policy, self.conflict, now).is_zero() => {
                    self.find(Rule::Callback, "the time for asking is used up; nobody is asked any more");
                    break;
                }
                None => return Progress::Ask(vec![party]),
                Some(None) => return Progress::Pending,
                Some(Some((answer, _))) => {
                    // Only who owns it, or the operator's hook, can give it up.
                    let yields = match answer {
                        Answer::First(first) => first == waits.id,
                        Answer::Withdraw(command) => command == holds.id,
                        Answer::NoOpinion => false,
                    };
                    let who = super::callback::who(&party);
                    if yields {
                        self.find(Rule::Callback, format!("{who} gives it up"));
                        return Progress::Decided(self.decide(Rule::Callback, waits.id));
                    }
                    self.find(Rule::Callback, format!("{who} does not give it up"));
                }
            }
        }
        if waits.class > holds.class {
            self.find(
                Rule::Class,
                format!("{} is {}, and what is open is {}", self.name(waits.id), waits.class, holds.class),
            );
            return Progress::Decided(self.decide(Rule::Class, waits.id));
        }
        self.find(Rule::AlreadyRunning, format!("{} waits until it is over", self.name(waits.id)));
        Progress::Decided(self.decide(Rule::AlreadyRunning, holds.id))
    }
}
