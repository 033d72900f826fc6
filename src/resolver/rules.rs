//! The rules, in order; the first that decides, decides. A pure function of the state: asked again after every
//! answer, it either decides, asks, or waits, and it says what each rule found.

mod holds;

use super::budget;
use super::escalate::{self, Stage};
use super::fact::{Answer, Feasible, Finding, Heard, Party, Rule, StampNote, Verdict};
use super::feasibility::Imagined;
use super::policy::{HookUse, Policy};
use super::state::{Conflict, State, Tracked};
use super::turn;
use crate::delegation::Mode;
use crate::model::action::Repeat;
use crate::model::{Class, CommandId, Mono, Now, Resource};

/// What is to be done about an open conflict now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It is decided.
    Decided(Verdict),
    /// These are to be asked, together.
    Ask(Vec<Party>),
    /// Answers are outstanding.
    Pending,
    /// The operator is waited for, until then.
    Escalate(Mono),
    /// These commands were taken back by their providers.
    Withdrawn(Vec<CommandId>),
}

/// Asks the rules about a conflict.
pub(crate) fn resolve(state: &State, policy: &Policy, conflict: &Conflict, now: Now) -> Progress {
    let [a, b] = conflict.between;
    let (Some(a), Some(b)) = (state.commands.get(&a), state.commands.get(&b)) else {
        return Progress::Pending; // Unreachable: a conflict's commands are live, and live commands are known.
    };
    let mut case = Case { state, conflict, a, b, trail: Vec::new() };
    if let Some(key) = &conflict.hold {
        // Once it is closed the conflict is moot.
        return state.holds.get(key).map_or(Progress::Pending, |hold| case.against_hold(hold, policy, now));
    }
    if let Some(verdict) = case.already_running().or_else(|| case.declared_order()) {
        return Progress::Decided(verdict);
    }
    if let Some(verdict) = case.same_wish().or_else(|| case.break_glass()) {
        return Progress::Decided(verdict);
    }
    if let Some(verdict) = case.feasibility()
        && !case.outlasts(&verdict, policy, now)
    {
        return Progress::Decided(verdict);
    }
    if let Some(verdict) = case.word().or_else(|| case.turn(policy, now)) {
        return Progress::Decided(verdict);
    }
    match case.callback(policy) {
        Callback::Ask(_) if budget::left(state, policy, conflict, now).is_zero() => {
            case.find(Rule::Callback, "the time for asking is used up; nobody is asked any more");
        }
        Callback::Ask(parties) => return Progress::Ask(parties),
        Callback::Pending => return Progress::Pending,
        Callback::Withdrawn(commands) => return Progress::Withdrawn(commands),
        Callback::First(first) => return Progress::Decided(case.decide(Rule::Callback, first)),
        Callback::Disagreed => match escalate::stage(policy, conflict, (a, b), now) {
            Stage::Begin(deadline) => return Progress::Escalate(deadline),
            Stage::Pending => return Progress::Pending,
            Stage::Over(milder) => {
                if let Some(verdict) = case.unheard(milder) {
                    return Progress::Decided(verdict);
                }
            }
            Stage::None => {}
        },
        Callback::Undecided => {}
    }
    let first = case.class().or_else(|| case.ownership(now)).or_else(|| case.issue_time()).or_else(|| case.age());
    let (rule, first) = first.unwrap_or_else(|| case.stable_hash());
    Progress::Decided(case.decide(rule, first))
}

/// How both orders of two commands would go, from what the VM is believed to be after what runs now.
pub(crate) fn feasible(state: &State, a: &Tracked, b: &Tracked) -> Feasible {
    let Some(base) = base(state, a, b) else {
        return either();
    };
    Feasible {
        first_then_second: base.against(a.command(), b.command()),
        second_then_first: base.against(b.command(), a.command()),
    }
}

/// Either order would do.
pub(crate) const fn either() -> Feasible {
    Feasible { first_then_second: None, second_then_first: None }
}

/// What the VM is believed to be after what runs now, but for these two.
fn base(state: &State, a: &Tracked, b: &Tracked) -> Option<Imagined> {
    let pair = [a.command().id, b.command().id];
    let running = state.active().filter(|running| !pair.contains(&running.command().id));
    let believed = Imagined::from(state.believed.as_ref()?);
    Some(running.fold(believed, |state, running| state.with_effect(&running.command().operation)))
}

struct Case<'a> {
    state: &'a State,
    conflict: &'a Conflict,
    a: &'a Tracked,
    b: &'a Tracked,
    trail: Vec<Finding>,
}

enum Callback {
    Ask(Vec<Party>),
    Pending,
    Withdrawn(Vec<CommandId>),
    First(CommandId),
    Disagreed,
    Undecided,
}

impl Case<'_> {
    fn find(&mut self, rule: Rule, found: impl Into<String>) {
        self.trail.push(Finding { rule, found: found.into() });
    }

    fn decide(&self, rule: Rule, first: CommandId) -> Verdict {
        Verdict { first, second: self.conflict.other_than(first), rule, trail: self.trail.clone() }
    }

    fn ids(&self) -> (CommandId, CommandId) {
        (self.a.command().id, self.b.command().id)
    }

    fn name(&self, id: CommandId) -> String {
        let tracked = if id == self.a.command().id { self.a } else { self.b };
        format!("{}'s {}", tracked.command().provider, tracked.command().operation.action())
    }

    fn already_running(&mut self) -> Option<Verdict> {
        let (a, b) = self.ids();
        let running = if self.a.is_active() { a } else { b };
        if !self.a.is_active() && !self.b.is_active() {
            return None;
        }
        let (rule, found) = if self.wish_the_same() {
            (Rule::SameWish, format!("{} is being executed and serves both", self.name(running)))
        } else {
            (Rule::AlreadyRunning, format!("{} was at the hypervisor already", self.name(running)))
        };
        self.find(rule, found);
        Some(self.decide(rule, running))
    }

    fn declared_order(&mut self) -> Option<Verdict> {
        let (a, b) = self.ids();
        let first = if self.state.leads_to(a, b) {
            a
        } else if self.state.leads_to(b, a) {
            b
        } else {
            self.find(Rule::DeclaredOrder, "no order was declared, and none follows from earlier verdicts");
            return None;
        };
        self.find(
            Rule::DeclaredOrder,
            format!("{} goes first by a declared or earlier decided order", self.name(first)),
        );
        Some(self.decide(Rule::DeclaredOrder, first))
    }

    fn wish_the_same(&self) -> bool {
        let (a, b) = (self.a.command(), self.b.command());
        let unguarded = |tracked: &Tracked| {
            self.state.believed.as_ref().is_none_or(|vm| tracked.command().guard.unmet_by(vm).is_none())
        };
        a.operation == b.operation
            && a.operation.action().spec().repeat == Repeat::Idempotent
            && unguarded(self.a)
            && unguarded(self.b)
    }

    fn same_wish(&mut self) -> Option<Verdict> {
        if !self.wish_the_same() {
            self.find(Rule::SameWish, "the two wish different things");
            return None;
        }
        let (_, first) = self.class().unwrap_or_else(|| self.stable_hash());
        self.trail.clear();
        self.find(Rule::DeclaredOrder, "no order was declared");
        self.find(
            Rule::SameWish,
            format!("both wish {}; one execution serves both", self.a.command().operation.action()),
        );
        Some(self.decide(Rule::SameWish, first))
    }

    fn feasibility(&mut self) -> Option<Verdict> {
        let (a, b) = self.ids();
        let orders = feasible(self.state, self.a, self.b);
        match (orders.first_then_second, orders.second_then_first) {
            (None, Some(reason)) => {
                self.find(Rule::Feasibility, format!("only with {} first do both succeed ({reason})", self.name(a)));
                Some(self.decide(Rule::Feasibility, a))
            }
            (Some(reason), None) => {
                self.find(Rule::Feasibility, format!("only with {} first do both succeed ({reason})", self.name(b)));
                Some(self.decide(Rule::Feasibility, b))
            }
            (None, None) => {
                self.find(Rule::Feasibility, "both orders let both succeed");
                None
            }
            (Some(_), Some(reason)) => match (self.hopeless(self.a, self.b), self.hopeless(self.b, self.a)) {
                (Some(reason), None) => {
                    self.find(Rule::Feasibility, format!("{} is possible in neither order ({reason})", self.name(a)));
                    Some(self.decide(Rule::Feasibility, b))
                }
                (None, Some(reason)) => {
                    self.find(Rule::Feasibility, format!("{} is possible in neither order ({reason})", self.name(b)));
                    Some(self.decide(Rule::Feasibility, a))
                }
                (None, None) | (Some(_), Some(_)) => {
                    self.find(Rule::Feasibility, format!("no order lets both succeed ({reason})"));
                    None
                }
            },
        }
    }

    /// Why `tracked` would succeed neither before `other` nor after it: nobody need be asked, or yield, for its sake.
    fn hopeless(&self, tracked: &Tracked, other: &Tracked) -> Option<String> {
        let base = base(self.state, tracked, other)?;
        let reason = base.after(tracked.command()).err()?;
        let behind = base.after(other.command()).unwrap_or(base);
        behind.after(tracked.command()).is_err().then_some(reason)
    }

    /// The operator's command that breaks the glass passes all that is no emergency.
    fn break_glass(&mut self) -> Option<Verdict> {
        let breaks = |one: &Tracked, other: &Tracked| {
            one.command().break_glass.is_some() && other.command().class != Class::Emergency
        };
        let (a, b) = self.ids();
        let first = if breaks(self.a, self.b) {
            a
        } else if breaks(self.b, self.a) {
            b
        } else {
            return None;
        };
        self.find(Rule::BreakGlass, format!("the operator broke the glass for {}", self.name(first)));
        Some(self.decide(Rule::BreakGlass, first))
    }

    /// Whether whom a verdict puts back was put back so often that it does not wait for the other's success any more.
    fn outlasts(&mut self, verdict: &Verdict, policy: &Policy, now: Now) -> bool {
        let (first, second) = if verdict.first == self.ids().0 { (self.a, self.b) } else { (self.b, self.a) };
        matches!(turn::of(second, policy, now), Some(turn::Turn::PutBack(_)))
            && turn::before(second, first, policy, now).is_some()
    }

    /// The operator's word, if it gave one.
    fn word(&mut self) -> Option<Verdict> {
        let first = self.conflict.decided?;
        self.find(Rule::Escalation, format!("the operator puts {} first", self.name(first)));
        Some(self.decide(Rule::Escalation, first))
    }

    /// The operator was waited for in vain.
    fn unheard(&mut self, milder: Option<CommandId>) -> Option<Verdict> {
        let Some(milder) = milder else {
            self.find(Rule::Escalation, "the operator said nothing in time, and neither is the milder one");
            return None;
        };
        let found = format!("the operator said nothing in time, and only {} can be undone", self.name(milder));
        self.find(Rule::Escalation, found);
        Some(self.decide(Rule::Escalation, milder))
    }

    /// Who was put back too often, or must begin now, is not asked about.
    fn turn(&mut self, policy: &Policy, now: Now) -> Option<Verdict> {
        let (a, b) = self.ids();
        let ahead = turn::before(self.a, self.b, policy, now).map(|reason| (a, reason));
        let (first, reason) = ahead.or_else(|| Some((b, turn::before(self.b, self.a, policy, now)?)))?;
        self.find(Rule::Turn, format!("{} {reason}", self.name(first)));
        Some(self.decide(Rule::Turn, first))
    }

    fn callback(&mut self, policy: &Policy) -> Callback {
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

    fn class(&mut self) -> Option<(Rule, CommandId)> {
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
    fn ownership(&mut self, now: Now) -> Option<(Rule, CommandId)> {
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

    fn issue_time(&mut self) -> Option<(Rule, CommandId)> {
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

    fn age(&mut self) -> Option<(Rule, CommandId)> {
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
    fn stable_hash(&mut self) -> (Rule, CommandId) {
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

fn who(party: &Party) -> String {
    match party {
        Party::Hook => "the operator's hook".to_owned(),
        Party::Provider(provider) => provider.to_string(),
    }
}
