//! The rules, in order; the first that decides, decides. A pure function of the state: asked again after every
//! answer, it either decides, asks, or waits, and it says what each rule found.

mod callback;
mod holds;
mod ranking;

use super::budget;
use super::escalate::{self, Stage};
use super::fact::{Feasible, Finding, Party, Rule, Verdict};
use super::feasibility::Imagined;
use super::policy::Policy;
use super::state::{Conflict, State, Tracked};
use super::turn;
use crate::model::action::Repeat;
use crate::model::{Class, CommandId, Mono, Now, Operation};

use self::callback::Callback;

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
        // Of a client's own call nobody knows all that it asks.
        let known = !matches!(a.operation, Operation::Relayed(_));
        known
            && a.operation == b.operation
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
}
