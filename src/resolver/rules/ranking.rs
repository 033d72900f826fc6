//! The rules that remain when nobody's word decides: what each finds of the two commands themselves. The last always
//! decides.

use super::Case;
use crate::delegation::Mode;
use crate::model::{CommandId, Now, Resource};
use crate::resolver::fact::{Rule, StampNote};
use crate::resolver::state::Tracked;

impl Case<'_> {
    pub(super) fn class(&mut self) -> Option<(Rule, CommandId)> {
        let (a, b) = self.ids();
        let (class_a, class_b) = (self.a.command().class, self.b.command().class);
        if class_a == class_b {
            self.find(Rule::Class, format!("both are {class_a}"));
            return None;
        }
        let first = if class_a > class_b { a } else { b };
        self.find(Rule::Class, format!("{} is {}", self.name(first), class_a.max(class_b)));
        Some((Rule::Class, first))
    }

    /// Whoever alone holds the action with which it writes what is contested goes before whoever only reads it.
    pub(super) fn ownership(&mut self, now: Now) -> Option<(Rule, CommandId)> {
        let (a, b) = self.ids();
        let owner = [self.a, self.b].into_iter().find(|tracked| tracked.command().provider.is_operator());
        if let Some(owner) = owner.map(|tracked| tracked.command().id) {
            self.find(Rule::Ownership, format!("{} is the host's owner's", self.name(owner)));
            return Some((Rule::Ownership, owner));
        }
        match (self.owns(self.a, now), self.owns(self.b, now)) {
            (true, false) => {
                self.find(Rule::Ownership, format!("{} alone writes what is contested", self.name(a)));
                Some((Rule::Ownership, a))
            }
            (false, true) => {
                self.find(Rule::Ownership, format!("{} alone writes what is contested", self.name(b)));
                Some((Rule::Ownership, b))
            }
            (true, true) | (false, false) => {
                self.find(Rule::Ownership, "neither alone owns what is contested");
                None
            }
        }
    }

    fn owns(&self, tracked: &Tracked, now: Now) -> bool {
        let command = tracked.command();
        let writes = &tracked.footprint.writes;
        let contested: Vec<&Resource> = self.conflict.contested.iter().filter(|r| writes.contains(*r)).collect();
        let exclusive = (self.state.authority.as_ref())
            .and_then(|authority| authority.hold_of(&command.provider, command.operation.action(), now.mono))
            .is_some_and(|grant| grant.mode == Some(Mode::Exclusive));
        exclusive && !contested.is_empty()
    }

    pub(super) fn issue_time(&mut self) -> Option<(Rule, CommandId)> {
        let (a, b) = self.ids();
        let untrusted = [self.a, self.b].into_iter().find(|t| t.admission.stamp == StampNote::ClockBeyondLimit);
        if let Some(tracked) = untrusted {
            let found = format!("the clock of {} is too far off to decide anything", tracked.command().provider);
            self.find(Rule::IssueTime, found);
            return None;
        }
        let (issued_a, issued_b) = (self.a.issued()?, self.b.issued()?);
        let first = if issued_a.certainly_before(&issued_b) {
            a
        } else if issued_b.certainly_before(&issued_a) {
            b
        } else {
            self.find(Rule::IssueTime, "the two were issued too close together for their clocks to tell");
            return None;
        };
        let gap = issued_a.earliest.abs_diff(issued_b.earliest);
        self.find(Rule::IssueTime, format!("{} was issued certainly earlier (about {gap} us)", self.name(first)));
        Some((Rule::IssueTime, first))
    }

    pub(super) fn age(&mut self) -> Option<(Rule, CommandId)> {
        let (a, b) = self.ids();
        if self.a.deferrals == self.b.deferrals {
            self.find(Rule::Age, "both were put back equally often");
            return None;
        }
        let first = if self.a.deferrals > self.b.deferrals { a } else { b };
        self.find(Rule::Age, format!("{} was put back more often", self.name(first)));
        Some((Rule::Age, first))
    }

    /// Which of two ids has the smaller digest: fair over many pairs, the same on every host and every replay.
    pub(super) fn stable_hash(&mut self) -> (Rule, CommandId) {
        use sha2::{Digest, Sha256};
        let (a, b) = self.ids();
        let low = a.min(b);
        let bits = Sha256::new().chain_update(low.0.as_bytes()).chain_update(a.max(b).0.as_bytes()).finalize();
        let first = if bits.first().is_some_and(|byte| byte % 2 == 0) { low } else { a.max(b) };
        self.find(
            Rule::StableHash,
            format!("nothing else tells them apart; the digest of both ids puts {} first", self.name(first)),
        );
        (Rule::StableHash, first)
    }
}
