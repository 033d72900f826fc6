//! One state of the model: the real lane, and the world around it with all that may happen next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use covirt::delegation::{ChangeRequest, Mode};
use covirt::model::{
    Action, Code, CommandId, ConflictId, Ending, HoldKey, Mono, Now, Outcome, PowerState, ProviderId, StartId, VmState,
    Wall,
};
use covirt::resolver::{
    Ask, Call, CallResult, Evidence, Fact, Heard, Input, Lane, Observation, Output, Party, Phase, Said, Sender, State,
};
use serde_json::Value;

use super::bound::{Bound, Journal};
use super::fingerprint::{Mark, Marker};
use super::oracle::{Oracle, Tally};
use super::scenes::Scene;
use super::world::{EPOCH, machine, provider, running, vm};

/// More executions than any number of commands and errands of a scene takes.
const EXECUTIONS: usize = 12;

/// Something that may happen next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Move {
    /// A provider sends this one of the scene's commands.
    Submit(usize),
    /// The oldest append is durable.
    Confirm,
    /// A call ends well, as far as the VM allows.
    Finish(CommandId),
    /// A provider answers what it was asked about a conflict.
    Answer(ConflictId, ProviderId, Said),
    /// A look shows what became of a call whose answer was lost.
    Show(CommandId, Evidence),
    /// Time passes until the lane wants to be woken.
    Tick,
    /// What is open at the hypervisor comes to its end by itself.
    JobsEnd,
    /// A call fails.
    Fail(CommandId),
    /// The answer of a call is lost.
    Lose(CommandId),
    /// Somebody stops the VM past the agent.
    Destroy,
    /// The agent dies, and starts again; the journal had written so many of the appends that it had not confirmed.
    Crash(usize),
    /// South's session ends.
    CutOff,
    /// North takes back what it delegated to south.
    Revoke,
}

/// Facts that the journal has not confirmed.
#[derive(Clone)]
struct Append {
    step: u64,
    /// How many facts there are in all with these.
    count: usize,
    facts: Rc<Vec<(Now, Fact)>>,
    mark: Mark,
}

#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) lane: Lane,
    oracle: Oracle,
    /// What is durable adds up to this.
    base: Rc<State>,
    appends: VecDeque<Append>,
    /// *Units*: microseconds since the beginning.
    pub(crate) at: u64,
    wake: Option<Mono>,
    pub(crate) machine: VmState,
    next_start: u32,
    unsent: BTreeSet<usize>,
    pub(crate) refused: BTreeMap<usize, Code>,
    calls: BTreeMap<CommandId, Call>,
    /// Calls whose answer does not come any more.
    lost: BTreeMap<CommandId, Call>,
    /// Calls that took effect, whether or not anybody remembers.
    took_effect: BTreeSet<CommandId>,
    probes: BTreeSet<CommandId>,
    /// Asks without an answer.
    asks: Vec<Ask>,
    /// Until when an answer counts, by the asks' epochs.
    answerable: BTreeMap<u64, Mono>,
    /// Every execution, in order.
    pub(crate) executed: Vec<CommandId>,
    pub(crate) faults: Vec<&'static str>,
    bound: Bound,
}

impl Node {
    /// North is the primary, and south has its part; nothing has been sent.
    pub(crate) fn first(scene: &Scene, bound: Bound) -> Self {
        let policy = scene.policy();
        let mut node = Self {
            oracle: Oracle::new(vm(), policy.queue_limit),
            lane: Lane::new(State::new(vm()), policy),
            base: Rc::new(State::new(vm())),
            appends: VecDeque::new(),
            at: 0,
            wake: None,
            machine: running(),
            next_start: 2,
            unsent: (0..scene.commands.len()).collect(),
            refused: BTreeMap::new(),
            calls: BTreeMap::new(),
            lost: BTreeMap::new(),
            took_effect: BTreeSet::new(),
            probes: BTreeSet::new(),
            asks: Vec::new(),
            answerable: BTreeMap::new(),
            executed: Vec::new(),
            faults: Vec::new(),
            bound,
        };
        let state = node.machine.clone();
        node.feed(Input::Enroll { token: NOBODY, name: "web-1".to_owned(), primary: provider("north"), state });
        let actions = scene.delegated.split(',').map(|name| name.parse().unwrap()).collect::<BTreeSet<Action>>();
        let (by, to) = (provider("north"), provider("south"));
        let request = ChangeRequest::Delegate { by, to, actions, mode: Mode::Shared, lease: None };
        node.feed(Input::Change { token: NOBODY, request });
        while !node.appends.is_empty() {
            node.confirm();
        }
        node
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono: Mono(self.at), wall: Wall::from_micros(EPOCH + i64::try_from(self.at).unwrap()) }
    }

    /// All that may happen next. Faults come last. Nothing is left to happen in a state of rest, so no fault is drawn there.
    pub(crate) fn moves(&self, scene: &Scene) -> Vec<Move> {
        let mut moves = Vec::new();
        if !self.appends.is_empty() {
            moves.push(Move::Confirm);
        }
        if self.appends.len() < self.bound.unconfirmed() {
            self.all_but_faults(scene, &mut moves);
        }
        if !moves.is_empty() && self.faults.len() < self.bound.faults {
            self.faults(scene, &mut moves);
        }
        moves
    }

    fn all_but_faults(&self, scene: &Scene, moves: &mut Vec<Move>) {
        moves.extend(self.unsent.iter().copied().map(Move::Submit));
        moves.extend(self.calls.keys().copied().map(Move::Finish));
        for ask in self.asks.iter().filter(|ask| self.at < self.answerable[&ask.epoch].0) {
            let Party::Provider(who) = &ask.who else { continue };
            moves.extend(scene.answers.iter().map(|said| Move::Answer(ask.conflict, who.clone(), *said)));
        }
        for id in &self.probes {
            let evidence = [Evidence::Done, Evidence::Undone, Evidence::None];
            let can = |evidence: &Evidence| self.can_be(*id, *evidence);
            moves.extend(evidence.into_iter().filter(can).map(|evidence| Move::Show(*id, evidence)));
        }
        moves.extend(self.wake.map(|_| Move::Tick));
        if !self.machine.jobs.is_empty() {
            moves.push(Move::JobsEnd);
        }
    }

    fn faults(&self, scene: &Scene, moves: &mut Vec<Move>) {
        moves.extend(self.calls.keys().copied().flat_map(|id| [Move::Fail(id), Move::Lose(id)]));
        let once = |what: &str| scene.faults.contains(&what) && !self.faults.contains(&what);
        if once("destroy") && self.machine.start.0.is_some() {
            moves.push(Move::Destroy);
        }
        if once("cut-off") {
            moves.push(Move::CutOff);
        }
        if once("revoke") {
            moves.push(Move::Revoke);
        }
        if !self.faults.contains(&"crash") {
            moves.extend((0..=self.appends.len()).map(Move::Crash));
        }
    }

    /// Lets one thing happen. Panics where the oracle sees a promise broken.
    pub(crate) fn take(&mut self, scene: &Scene, one: &Move) {
        self.note_fault(one);
        self.takes(scene, one);
        while self.is_prompt() && !self.appends.is_empty() {
            self.confirm();
        }
        let state = self.lane.state();
        self.asks.retain(|ask| is_pending(state, ask));
        self.probes.retain(|id| state.command(*id).is_some_and(|tracked| *tracked.phase() == Phase::Unknown));
    }

    /// Whether appends are durable at once.
    pub(crate) fn is_prompt(&self) -> bool {
        self.bound.journal == Journal::Prompt && self.faults.len() >= self.bound.faults
    }

    fn takes(&mut self, scene: &Scene, one: &Move) {
        match one {
            Move::Submit(which) => {
                self.unsent.remove(which);
                let command = Box::new(scene.command(*which, self.at));
                self.feed(Input::Submitted { token: *which as u64, command, sender: Sender::default() });
            }
            Move::Confirm => self.confirm(),
            Move::Finish(id) => {
                let call = self.calls.remove(id).unwrap();
                let result = act(&mut self.machine, &mut self.next_start, &call);
                if matches!(result, CallResult::Done(_)) {
                    self.took_effect.insert(*id);
                }
                self.oracle.left(*id);
                self.observe(Observation::Event);
                self.feed(Input::Finished { command: *id, result });
            }
            Move::Answer(conflict, who, said) => {
                let (place, epoch) = self.asked(*conflict, who).map(|(place, ask)| (place, ask.epoch)).unwrap();
                self.asks.remove(place);
                let (conflict, by, said, how) = (*conflict, who.clone(), *said, Heard::Said);
                self.feed(Input::Answered { token: Some(NOBODY), conflict, epoch, by, said, how });
            }
            Move::Show(id, evidence) => {
                self.probes.remove(id);
                self.oracle.probed(*id, *evidence);
                self.oracle.left(*id);
                let lost = self.lost.remove(id);
                if let Some(call) = lost.filter(|_| *evidence == Evidence::Done) {
                    self.took_effect.insert(*id);
                    act(&mut self.machine, &mut self.next_start, &call);
                    self.observe(Observation::Look);
                }
                self.feed(Input::Probed { command: *id, evidence: *evidence });
            }
            Move::Tick => {
                let wake = self.wake.take().unwrap();
                self.at = self.at.max(wake.0);
                self.feed(Input::Tick);
                if self.looks() {
                    self.observe(Observation::Look);
                }
            }
            Move::JobsEnd => {
                self.machine.jobs.clear();
                self.observe(Observation::Event);
            }
            Move::Fail(id) => {
                self.calls.remove(id);
                self.oracle.left(*id);
                let outcome = Outcome::new(Ending::Failed, Code::HypervisorFailed, "libvirt said no");
                self.feed(Input::Finished { command: *id, result: CallResult::Failed(outcome) });
            }
            Move::Lose(id) => {
                // It may be under way still: for the oracle it runs until a look shows what became of it.
                let call = self.calls.remove(id).unwrap();
                self.lost.insert(*id, call);
                let result = CallResult::Lost("connection reset".to_owned());
                self.feed(Input::Finished { command: *id, result });
            }
            Move::Destroy => {
                (self.machine.power, self.machine.start) = (PowerState::ShutOff, StartId(None));
                self.machine.jobs.clear();
                self.oracle.meddled();
                self.observe(Observation::Event);
            }
            Move::Crash(written) => self.crash(scene, *written),
            Move::CutOff => self.feed(Input::SessionLost { provider: provider("south") }),
            Move::Revoke => {
                let (by, from) = (provider("north"), provider("south"));
                let request = ChangeRequest::Revoke { by, from, actions: BTreeSet::new() };
                self.feed(Input::Change { token: NOBODY, request });
            }
        }
    }

    fn note_fault(&mut self, one: &Move) {
        self.faults.extend(match one {
            Move::Fail(_) => Some("fail"),
            Move::Lose(_) => Some("lose"),
            Move::Destroy => Some("destroy"),
            Move::Crash(_) => Some("crash"),
            Move::CutOff => Some("cut-off"),
            Move::Revoke => Some("revoke"),
            Move::Submit(_)
            | Move::Confirm
            | Move::Finish(_)
            | Move::Answer(..)
            | Move::Show(..)
            | Move::Tick
            | Move::JobsEnd => None,
        });
        self.faults.sort_unstable();
    }

    fn feed(&mut self, input: Input) {
        let now = self.now();
        let outputs = self.lane.step(now, input);
        self.oracle.after_step(now, self.lane.state(), &outputs);
        self.oracle.tally = Tally::default();
        for output in outputs {
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Append { step, at, facts } => {
                self.answerable.extend(facts.iter().filter_map(asked_until));
                let mut marker = Marker::default();
                marker.value(&facts);
                let facts = Rc::new(facts.into_iter().map(|fact| (at, fact)).collect());
                let count = self.oracle.appended_count();
                self.appends.push_back(Append { step, count, facts, mark: marker.mark() });
            }
            Output::Execute(call) => {
                self.executed.push(call.command());
                assert!(
                    self.executed.len() <= EXECUTIONS,
                    "liveness: what is executed has no end: {:?}",
                    self.executed
                );
                self.calls.insert(call.command(), call);
            }
            Output::CloseChannel { .. } => panic!("no scene opens a channel"),
            Output::Probe(call) => {
                self.probes.insert(call.command());
            }
            Output::Ask(ask) => self.asks.push(*ask),
            Output::WakeAt(at) => self.wake = Some(at),
            Output::Refused { token, refusal } => {
                if token < NOBODY
                    && let Ok(which) = usize::try_from(token)
                {
                    self.refused.insert(which, refusal.code);
                }
            }
            Output::Accepted { .. } | Output::Ended { .. } => {}
        }
    }

    fn confirm(&mut self) {
        let Append { step, count, facts, .. } = self.appends.pop_front().unwrap();
        self.becomes_durable(count, &facts);
        self.feed(Input::Persisted { step });
    }

    fn becomes_durable(&mut self, count: usize, facts: &[(Now, Fact)]) {
        self.oracle.persisted(count);
        self.base = Rc::new(State::clone(&self.base).replay(facts.iter().map(|(at, fact)| (*at, fact))));
    }

    fn crash(&mut self, scene: &Scene, written: usize) {
        for Append { count, facts, .. } in self.appends.drain(..).take(written).collect::<Vec<_>>() {
            self.becomes_durable(count, &facts);
        }
        let state = self.oracle.crash();
        self.oracle.tally = Tally::default();
        assert!(state == *self.base, "I6: what is durable adds up to the same, however it is read");
        self.lane = Lane::new(state, self.lane.policy().clone());
        self.wake = None;
        self.probes.clear();
        self.asks.clear();
        self.lost.append(&mut self.calls);
        // What nobody remembers is sent again.
        let forgotten = |which: &usize| self.lane.state().command(scene.id(*which)).is_none();
        let sent: Vec<usize> = (0..scene.commands.len()).filter(|which| !self.refused.contains_key(which)).collect();
        self.unsent.extend(sent.into_iter().filter(forgotten));
        self.feed(Input::Recovered);
        self.observe(Observation::Look);
    }

    /// While something is open that libvirt knows of, the agent looks from time to time, as its runner does.
    pub(crate) fn looks(&self) -> bool {
        self.lane.state().holds().any(|hold| hold.key().is_observable())
    }

    fn observe(&mut self, why: Observation) {
        let state = self.machine.clone();
        self.feed(Input::Observed { state, why });
    }

    /// Whether a look can show this: what took effect is seen, and no call that the VM would have refused did.
    fn can_be(&self, id: CommandId, evidence: Evidence) -> bool {
        let (mut vm, mut next) = (self.machine.clone(), self.next_start);
        let mut can_have =
            || self.lost.get(&id).is_some_and(|call| matches!(act(&mut vm, &mut next, call), CallResult::Done(_)));
        match evidence {
            Evidence::Done => self.took_effect.contains(&id) || can_have(),
            Evidence::Undone => !self.took_effect.contains(&id),
            Evidence::None => true,
        }
    }

    /// Nothing happens any more: everything has ended, everybody was told, nothing is held.
    pub(crate) fn at_rest(&self) {
        self.oracle.at_the_end(self.lane.state());
        assert!(self.appends.is_empty() && self.calls.is_empty() && self.lost.is_empty());
    }

    /// Who the other of what was asked is: an ask is named by it.
    pub(crate) fn asked_about(&self, conflict: ConflictId, who: &ProviderId) -> Option<CommandId> {
        self.asked(conflict, who).map(|(_, ask)| ask.theirs.id)
    }

    fn asked(&self, conflict: ConflictId, who: &ProviderId) -> Option<(usize, &Ask)> {
        let mut asks = self.asks.iter().enumerate();
        asks.find(|(_, ask)| ask.conflict == conflict && is(&ask.who, who))
    }

    pub(crate) const fn wakes_at(&self) -> Option<Mono> {
        self.wake
    }

    pub(crate) fn holds(&self, key: &HoldKey) -> bool {
        self.lane.state().holds().any(|hold| hold.key() == key)
    }

    pub(crate) fn phase(&self, id: CommandId) -> Option<&Phase> {
        self.lane.state().command(id).map(covirt::resolver::Tracked::phase)
    }

    /// Two states with the same mark have the same future.
    pub(crate) fn mark(&self) -> Mark {
        let mut marker = Marker::default();
        marker.value(self.lane.state());
        let (appended, persisted) = self.lane.durability();
        // All that is durable is the lane's own state where nothing waits.
        if !self.appends.is_empty() {
            marker.value(&*self.base);
        }
        let unconfirmed: Vec<Mark> = self.appends.iter().map(|append| append.mark).collect();
        marker.value(&(appended - persisted, unconfirmed));
        self.lane.kept_back().for_each(|(step, output)| marker.debug(&(step - persisted, output)));
        marker.value(&(self.at, self.wake, &self.machine, self.next_start, &self.unsent, &self.refused));
        let ids = |calls: &BTreeMap<CommandId, Call>| calls.keys().copied().collect::<Vec<_>>();
        marker.value(&(ids(&self.calls), ids(&self.lost), &self.took_effect, &self.probes, &self.executed));
        let asks: Vec<_> = self.asks.iter().map(|ask| (ask.conflict, &ask.who, ask.epoch)).collect();
        marker.value(&(&self.faults, asks, self.oracle.account()));
        marker.mark()
    }
}

/// Whom the answers to what the model itself asks of a lane go to.
const NOBODY: u64 = 1_000;

fn is(party: &Party, who: &ProviderId) -> bool {
    matches!(party, Party::Provider(provider) if provider == who)
}

fn asked_until(fact: &Fact) -> Option<(u64, Mono)> {
    match fact {
        Fact::Asked { epoch, deadline, .. } => Some((*epoch, *deadline)),
        _ => None,
    }
}

fn is_pending(state: &State, ask: &Ask) -> bool {
    let open = state.conflict(ask.conflict).filter(|conflict| !conflict.is_over());
    open.is_some_and(|conflict| conflict.pending().any(|(who, _)| *who == ask.who))
}

/// A call takes effect, or is refused as libvirt would.
fn act(vm: &mut VmState, next_start: &mut u32, call: &Call) -> CallResult {
    let refuse = |reason: &str| {
        CallResult::Failed(Outcome::new(Ending::Impossible, Code::StateForbids, format!("libvirt: {reason}")))
    };
    if vm.start != call.expected_start() {
        return refuse("this is not the start of the VM that was decided about");
    }
    match machine::act(vm, next_start, call.operation()) {
        Ok(()) => CallResult::Done(Value::Null),
        Err(reason) => refuse(reason),
    }
}
