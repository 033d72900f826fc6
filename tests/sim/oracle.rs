//! What must hold after every step of a lane, whatever happened around it. The oracle sees what leaves the lane and
//! what its journal holds, and keeps its own account of both.

use std::collections::{BTreeMap, BTreeSet};

use covirt::model::{CommandId, ConflictId, Ending, Now, Outcome, VmId};
use covirt::resolver::{Call, Evidence, Fact, Heard, Imagined, Origin, Output, Party, Phase, State};

/// How often what happened, over all seeds.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub steps: u64,
    pub commands: u64,
    pub crashes: u64,
    pub lost_tails: u64,
    pub refused: BTreeMap<String, u64>,
    pub endings: BTreeMap<String, u64>,
    pub rules: BTreeMap<&'static str, u64>,
    pub silences: u64,
    pub out_of_band: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.commands += other.commands;
        self.crashes += other.crashes;
        self.lost_tails += other.lost_tails;
        self.silences += other.silences;
        self.out_of_band += other.out_of_band;
        for (into, from) in [(&mut self.refused, &other.refused), (&mut self.endings, &other.endings)] {
            for (key, count) in from {
                *into.entry(key.clone()).or_default() += count;
            }
        }
        for (rule, count) in &other.rules {
            *self.rules.entry(rule).or_default() += count;
        }
    }

    pub(crate) fn assert_reached(&self) {
        for rule in ["already-running", "same-wish", "feasibility", "callback", "class", "issue-time"] {
            assert!(self.rules.contains_key(rule), "no seed reached the rule {rule}");
        }
        for ending in ["done", "coalesced", "failed", "superseded", "impossible", "expired", "denied", "cancelled"] {
            assert!(self.endings.keys().any(|key| key.starts_with(ending)), "no seed reached the ending {ending}");
        }
        assert!(self.crashes > 0 && self.lost_tails > 0 && self.silences > 0 && self.out_of_band > 0);
    }
}

/// The account of one lane.
pub(crate) struct Oracle {
    vm: VmId,
    /// Every fact appended, with its step and whether it is durable.
    facts: Vec<(Now, Fact, bool)>,
    shadow: State,
    /// At the hypervisor now.
    running: BTreeMap<CommandId, Call>,
    /// Executed before, and not shown undone since.
    spent: BTreeSet<CommandId>,
    outcomes: BTreeMap<CommandId, Outcome>,
    asked: BTreeSet<(ConflictId, Party)>,
    /// Possible when they came, and nothing outside has changed the VM since.
    possible: BTreeSet<CommandId>,
    pub tally: Tally,
}

impl Oracle {
    pub(crate) fn new(vm: VmId) -> Self {
        Self {
            vm,
            facts: Vec::new(),
            shadow: State::new(vm),
            running: BTreeMap::new(),
            spent: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            asked: BTreeSet::new(),
            possible: BTreeSet::new(),
            tally: Tally::default(),
        }
    }

    /// One step's outputs, before anything is done about them.
    pub(crate) fn after_step(&mut self, now: Now, state: &State, outputs: &[Output]) {
        self.tally.steps += 1;
        for output in outputs {
            match output {
                Output::Append { at, facts, .. } => {
                    for fact in facts {
                        self.appended(*at, fact);
                    }
                }
                Output::Execute(call) => self.executes(now, state, call),
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
        self.shadow.apply(at, fact);
        self.facts.push((at, fact.clone(), false));
        match fact {
            Fact::Settled { verdict, .. } => *self.tally.rules.entry(verdict.rule.as_str()).or_default() += 1,
            Fact::Answered { how: Heard::Silence, .. } => self.tally.silences += 1,
            Fact::Admitted(admission) => {
                self.tally.commands += 1;
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
            }
            _ => {}
        }
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
        let state = State::new(self.vm).replay(self.facts.iter().map(|(at, fact, _)| (*at, fact)));
        // What was told to somebody is still so.
        for (id, outcome) in &self.outcomes {
            if let Some(tracked) = state.command(*id) {
                assert_eq!(*tracked.phase(), Phase::Ended(outcome.clone()), "I3: a told outcome survives a crash");
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
        self.losers_name_causes();
    }
}
