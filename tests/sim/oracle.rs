//! What must hold after every step of a lane, whatever happened around it. The oracle sees what leaves the lane and
//! what its journal holds, and keeps its own account of both.

mod holds;
mod sovereign;
mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use covirt::model::{ChannelId, Class, Code, Command, CommandId, ConflictId, Ending, Now, Outcome, VmId};
use covirt::resolver::{
    Call, Closed, Conflict, Evidence, Fact, Heard, Imagined, Origin, Output, Party, Phase, Rule, State, Tracked,
    Verdict, Whose,
};
use serde::Serialize;

pub(crate) use tally::Tally;

/// The account of one lane.
#[derive(Clone)]
pub(crate) struct Oracle {
    vm: VmId,
    /// Every fact appended, with its step and whether it is durable.
    facts: Vec<(Now, Rc<Fact>, bool)>,
    shadow: State,
    /// At the hypervisor now.
    running: BTreeMap<CommandId, Call>,
    /// Executed before, and not shown undone since.
    spent: BTreeSet<CommandId>,
    /// Clients' own calls that were made: whatever is shown, none is made again.
    carried: BTreeSet<CommandId>,
    outcomes: BTreeMap<CommandId, Outcome>,
    asked: BTreeSet<(ConflictId, Party)>,
    /// Possible when they came, and nothing outside has changed the VM since.
    possible: BTreeSet<CommandId>,
    /// When commands were really issued, on our clock, where what is known of their provider's is true.
    issued: BTreeMap<CommandId, i64>,
    /// Channels that were opened, and those of which the door was told that they are over.
    channels: BTreeSet<ChannelId>,
    cut: BTreeSet<ChannelId>,
    /// How many commands of one provider may wait.
    queue_limit: usize,
    pub tally: Tally,
}

/// Two stamps closer than this are not told apart: an offset is rounded. *Units*: microseconds.
const ROUNDING: i64 = 10;

impl Oracle {
    pub(crate) fn new(vm: VmId, queue_limit: usize) -> Self {
        Self {
            vm,
            queue_limit,
            issued: BTreeMap::new(),
            facts: Vec::new(),
            shadow: State::new(vm),
            running: BTreeMap::new(),
            spent: BTreeSet::new(),
            carried: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            asked: BTreeSet::new(),
            possible: BTreeSet::new(),
            channels: BTreeSet::new(),
            cut: BTreeSet::new(),
            tally: Tally::default(),
        }
    }

    /// One step's outputs, before anything is done about them.
    pub(crate) fn after_step(&mut self, now: Now, state: &State, outputs: &[Output]) {
        self.tally.steps += 1;
        Self::owner_has_its_word(now, state);
        for output in outputs {
            match output {
                Output::Append { at, facts, .. } => {
                    self.nothing_open_is_forgotten(facts);
                    for fact in facts {
                        self.appended(*at, fact);
                    }
                }
                Output::Execute(call) => self.executes(now, state, call),
                Output::CloseChannel { channel, how } => self.cuts_off(*channel, how),
                Output::Ask(ask) => {
                    let first = self.asked.insert((ask.conflict, ask.who.clone()));
                    assert!(first, "I5: {:?} is asked twice about {}", ask.who, ask.conflict);
                    assert!(
                        self.durable(|fact| matches!(fact, Fact::Asked { conflict, .. } if *conflict == ask.conflict))
                    );
                }
                Output::Ended { command, outcome } => self.ends(*command, outcome),
                Output::Refused { refusal, .. } => {
                    *self.tally.refused.entry(refusal.code.to_string()).or_default() += 1;
                }
                Output::Probe(call) => {
                    let phase = state.command(call.command()).unwrap().phase();
                    assert_eq!(*phase, Phase::Unknown, "only what is unknown is looked after");
                }
                Output::Accepted { .. } | Output::WakeAt(_) => {}
            }
        }
        assert!(self.shadow == *state, "I6: replaying the facts gives the state");
    }

    fn appended(&mut self, at: Now, fact: &Fact) {
        if let Fact::DrainEnded { failed } = fact {
            self.drain_ends(at, failed.as_deref());
        }
        self.owners(at, fact);
        self.shadow.apply(at, fact);
        if let Fact::HoldClosed { hold, how } = fact {
            self.is_proved(hold, how);
        }
        self.facts.push((at, Rc::new(fact.clone()), false));
        match fact {
            Fact::Settled { conflict, verdict } => {
                *self.tally.rules.entry(verdict.rule.as_str()).or_default() += 1;
                self.settles(at, *conflict, verdict);
            }
            Fact::Escalated { .. } => self.hand("escalated"),
            Fact::Asked { conflict, who, .. } => {
                let operators = self.between(*conflict).iter().any(|id| self.sent(*id).provider.is_operator());
                assert!(!operators || *who == [Party::Hook], "{who:?} are asked against the host's owner");
            }
            Fact::HoldOpened { hold, .. } => self.count_hold(&format!("opened {hold}")),
            Fact::HoldGivenUp { .. } => self.count_hold("given up"),
            Fact::HoldClosed { how, .. } => self.count_hold(match how {
                Closed::ByCommand { .. } => "by command",
                Closed::Seen {} => "seen",
                Closed::Stopped {} => "stopped",
                Closed::Gone {} => "gone",
                Closed::GivenBack {} => "given back",
                Closed::Unverified { .. } => "unverified",
            }),
            Fact::Answered { how: Heard::Silence, .. } => self.tally.silences += 1,
            Fact::Admitted(admission) => {
                self.tally.commands += 1;
                self.takes_in(at, &admission.command);
                let vm = Imagined::from(self.shadow.believed().unwrap());
                // A command that a crash forgot may come again, to another state.
                match vm.after(&admission.command) {
                    Ok(_) => self.possible.insert(admission.command.id),
                    Err(_) => self.possible.remove(&admission.command.id),
                };
            }
            Fact::Observed { origin, .. } if !matches!(origin, Origin::Command { .. }) => self.possible.clear(),
            Fact::Started { command, .. } => {
                // I4, at the moment of the decision: the grant that admitted it still stands.
                let tracked = self.shadow.command(*command).unwrap();
                let (sent, grant) = (tracked.command(), tracked.admission().grant);
                let stands =
                    self.shadow.authority().unwrap().still_stands(&sent.provider, sent.operation.action(), grant, at);
                assert!(stands, "I4: {command} starts under a grant that is gone");
                self.nothing_open_is_passed(tracked);
                self.nothing_stopped_starts(tracked);
            }
            _ => {}
        }
    }

    /// A provider has no more waiting than it may, and begins nothing of what is being handed over.
    fn takes_in(&mut self, at: Now, command: &Command) {
        // A repetition that overtook what it repeats was not issued when it was meant to be.
        self.issued.retain(|id, issued| *id != command.id || issued.unsigned_abs() <= at.mono.0);
        if command.provider.is_agent() {
            return;
        }
        let ours = |tracked: &&Tracked| tracked.command().provider == command.provider;
        let waiting =
            self.shadow.commands().filter(ours).filter(|tracked| !matches!(tracked.phase(), Phase::Ended(_))).count();
        assert!(waiting <= self.queue_limit, "{} has {waiting} commands waiting", command.provider);
        let closed =
            self.shadow.drain().is_some_and(|drain| drain.closes(&command.provider, command.operation.action()));
        assert!(!closed, "{} is taken in while its action is handed over", command.id);
    }

    /// A hand-over takes effect once nothing is in flight, and is given up only when it has waited long enough.
    fn drain_ends(&mut self, at: Now, failed: Option<&str>) {
        let (waits_for, drain) = (self.shadow.drain_waits_for(), self.shadow.drain().unwrap());
        let in_time = at.mono < drain.deadline;
        match failed {
            None => assert!(waits_for.is_empty(), "handed over while {waits_for:?} are in flight"),
            Some(reason) => assert!(waits_for.is_empty() || !in_time, "given up too early: {reason}"),
        }
        self.hand(if failed.is_none() { "drained" } else { "given up" });
    }

    /// A verdict is one that its rule may give.
    fn settles(&mut self, at: Now, id: ConflictId, verdict: &Verdict) {
        let (first, second) = (self.sent(verdict.first), self.sent(verdict.second));
        if let (Rule::IssueTime, Some(a), Some(b)) =
            (verdict.rule, self.issued.get(&first.id), self.issued.get(&second.id))
        {
            assert!(*a < *b + ROUNDING, "{} was issued {} us after {}", first.id, a - b, second.id);
        }
        let live = |id| self.shadow.command(id).is_some_and(|tracked| !matches!(tracked.phase(), Phase::Ended(_)));
        let (breaks, yields) = (first.break_glass.is_some(), second.break_glass.is_some());
        if verdict.rule == Rule::BreakGlass {
            assert!(breaks && first.provider.is_operator(), "{} breaks no glass", first.id);
            assert!(!live(second.id) || second.class != Class::Emergency, "{} is passed", second.id);
        } else if yields && live(second.id) && !breaks && first.class != Class::Emergency {
            let begun = [Rule::AlreadyRunning, Rule::DeclaredOrder, Rule::SameWish].contains(&verdict.rule);
            assert!(begun, "{} breaks the glass, and {} goes first by {:?}", second.id, first.id, verdict.rule);
        }
        let escalated = self.shadow.conflict(id).and_then(Conflict::escalated);
        let waited = escalated.is_none_or(|escalated| escalated.deadline <= at.mono);
        let word = self.facts.iter().rev().find_map(|(_, fact, _)| match &**fact {
            Fact::Decided { conflict, first, by } if *conflict == id && by.is_operator() => Some(*first),
            _ => None,
        });
        match verdict.rule {
            Rule::Escalation if word.is_some() => {
                assert_eq!(word, Some(first.id), "the operator said otherwise");
                self.hand("decided by the operator");
            }
            Rule::Escalation => assert!(escalated.is_some() && waited, "nobody has said so"),
            Rule::Class | Rule::Ownership | Rule::IssueTime | Rule::Age | Rule::StableHash => {
                assert!(waited, "{id} is decided by {:?} while the operator is waited for", verdict.rule);
            }
            Rule::AlreadyRunning
            | Rule::DeclaredOrder
            | Rule::SameWish
            | Rule::BreakGlass
            | Rule::Feasibility
            | Rule::Turn
            | Rule::Callback => {}
        }
        if escalated.is_some() && waited && word.is_none() {
            self.hand("nobody decided");
        }
    }

    fn hand(&mut self, what: &'static str) {
        *self.tally.handed.entry(what).or_default() += 1;
    }

    fn sent(&self, id: CommandId) -> Command {
        self.shadow.command(id).unwrap().command().clone()
    }

    /// The two commands of a conflict.
    pub(crate) fn between(&self, id: ConflictId) -> [CommandId; 2] {
        self.shadow.conflict(id).unwrap().between()
    }

    /// When a command was really issued, on our clock.
    #[allow(dead_code, reason = "where nobody has a clock of its own, nobody says so")]
    pub(crate) fn issued(&mut self, id: CommandId, at: i64) {
        self.issued.insert(id, at);
    }

    fn durable(&self, is: impl Fn(&Fact) -> bool) -> bool {
        self.facts.iter().any(|(_, fact, durable)| *durable && is(fact))
    }

    fn executes(&mut self, _now: Now, state: &State, call: &Call) {
        let id = call.command();
        assert!(
            self.durable(|fact| matches!(fact, Fact::Started { command, .. } if *command == id)),
            "I2: {id} leaves without a durable intent"
        );
        assert!(self.spent.insert(id), "I10: {id} is executed again without being shown undone");
        if call.whose() == Whose::Clients {
            assert!(self.carried.insert(id), "{id} is a client's own call and is made twice");
        }
        let footprint = call.operation().footprint();
        for other in self.running.values() {
            let clash = other.operation().footprint().contested_with(&footprint);
            assert!(clash.is_empty(), "I1: {id} overlaps {}", other.command());
        }
        // Whatever declared that it comes first has ended.
        for before in &state.command(id).unwrap().command().order.after {
            let ended = state.command(*before).is_none_or(|t| matches!(t.phase(), Phase::Ended(_)));
            assert!(ended, "{id} starts before {before}, which it comes after");
        }
        self.running.insert(id, call.clone());
    }

    fn ends(&mut self, id: CommandId, outcome: &Outcome) {
        if let Some(before) = self.outcomes.get(&id) {
            panic!("I3: {id} ends twice: {before:?} and {outcome:?}");
        }
        assert!(
            self.durable(|fact| matches!(fact, Fact::Ended { command, outcome: o } if *command == id && o == outcome))
        );
        *self.tally.endings.entry(format!("{} {}", outcome.ending, outcome.code)).or_default() += 1;
        assert!(!outcome.reason.is_empty());
        match outcome.ending {
            Ending::Superseded | Ending::Coalesced => {
                assert!(outcome.cause.is_some(), "I11: {id} does not name its cause: {outcome:?}");
                let issued = |id: CommandId| self.issued.get(&id);
                if let (Code::Overwritten, Some(ours), Some(theirs)) =
                    (outcome.code, issued(id), outcome.cause.and_then(issued))
                {
                    assert!(*ours < *theirs + ROUNDING, "{id} was issued after what stands over it: {outcome:?}");
                }
            }
            Ending::Done => assert!(self.spent.contains(&id), "{id} is done but was never executed"),
            _ => {}
        }
        self.outcomes.insert(id, outcome.clone());
    }

    /// I11: what was possible when it came, and was made impossible by nobody outside, names the command that did it.
    fn losers_name_causes(&self) {
        for id in &self.possible {
            let Some(outcome) = self.outcomes.get(id) else { continue };
            let lost = outcome.ending == Ending::Impossible && !outcome.reason.starts_with("libvirt");
            assert!(!lost || outcome.cause.is_some(), "I11: {id} names nobody: {outcome:?}");
        }
    }

    /// Somebody changes the VM past covirt, and a command that runs may be thought to have done it.
    pub(crate) fn meddled(&mut self) {
        self.tally.out_of_band += 1;
        self.possible.clear();
    }

    /// What its next judgements rest on, apart from the facts: executions, what was told, what was possible.
    #[allow(dead_code, reason = "a walk through all states tells two of them apart by it")]
    pub(crate) fn account(&self) -> impl Serialize {
        let running: Vec<&CommandId> = self.running.keys().collect();
        let told: Vec<&CommandId> = self.outcomes.keys().collect();
        (running, &self.spent, told, &self.possible)
    }

    /// The journal made everything up to here durable.
    pub(crate) fn persisted(&mut self, count: usize) {
        self.facts.iter_mut().take(count).for_each(|(_, _, durable)| *durable = true);
    }

    pub(crate) fn appended_count(&self) -> usize {
        self.facts.len()
    }

    /// A call ended at the hypervisor, whoever hears of it.
    pub(crate) fn left(&mut self, id: CommandId) {
        self.running.remove(&id);
    }

    fn count_hold(&mut self, what: &str) {
        *self.tally.holds.entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn probed(&mut self, id: CommandId, evidence: Evidence) {
        if evidence == Evidence::Undone {
            self.spent.remove(&id);
        }
    }

    /// The agent died: the journal keeps what is durable; gives the state that adds up to.
    pub(crate) fn crash(&mut self) -> State {
        self.tally.crashes += 1;
        self.tally.lost_tails += u64::from(self.facts.iter().any(|(_, _, durable)| !durable));
        self.facts.retain(|(_, _, durable)| *durable);
        self.forgets_channels();
        let state = State::new(self.vm).replay(self.facts.iter().map(|(at, fact, _)| (*at, &**fact)));
        // What was told to somebody is still so.
        for (id, outcome) in &self.outcomes {
            if let Some(tracked) = state.command(*id) {
                assert_eq!(*tracked.phase(), Phase::Ended(outcome.clone()), "I3: a told outcome survives a crash");
            }
        }
        // What became durable unheard is told to whoever asks.
        for tracked in state.commands() {
            if let Phase::Ended(outcome) = tracked.phase() {
                self.outcomes.entry(tracked.command().id).or_insert_with(|| outcome.clone());
            }
        }
        self.shadow = state.clone();
        state
    }

    /// When all faults are over and time has passed: everything has ended.
    pub(crate) fn at_the_end(&self, state: &State) {
        for tracked in state.commands() {
            let id = tracked.command().id;
            assert!(matches!(tracked.phase(), Phase::Ended(_)), "liveness: {id} never ends: {tracked:#?}");
            assert!(self.outcomes.contains_key(&id), "{id} ended and nobody was told");
        }
        assert!(state.drain().is_none(), "a hand-over never ends: {:#?}", state.drain());
        assert!(state.conflicts().all(Conflict::is_over), "a conflict is never decided");
        assert_eq!(state.holds().count(), 0, "nothing is held for ever: {:#?}", state.holds().collect::<Vec<_>>());
        self.losers_name_causes();
    }
}
