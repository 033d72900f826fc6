//! The world around the lanes: everything that happens is an event on one timeline, and chance decides what goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use covirt::model::{
    Code, Command, CommandId, Ending, Kib, Mono, Now, Outcome, PowerState, ProviderId, StartId, VmId, VmState, Wall,
};
use covirt::resolver::{
    Accepted, Ask, Call, CallResult, Consent, Evidence, GatherFor, Heard, HookUse, Input, Lane, Observation, Output,
    Party, Policy, Said, Sender, State, pair,
};
use covirt::sovereignty::Restraint;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::clocks::Clocks;
use super::draws::Draws;
use super::machine;
use super::oracle::{Oracle, Tally};
use super::roll::Roll;

pub(crate) struct Done {
    pub digest: String,
    pub tally: Tally,
}

pub(super) enum Event {
    /// A message reaches a lane.
    Arrives(usize, Box<Input>),
    /// A call ends at the hypervisor.
    CallEnds(usize, CommandId),
    Tick(usize),
    /// The journal has made so many facts durable, up to this step; of which life of the agent.
    Persists(usize, u64, usize, u64),
    Looks(usize, Call),
    Crash(usize),
    OutOfBand(usize),
    /// Whatever is open in the VM comes to its end.
    JobsEnd(usize),
    /// A provider's session ends.
    CutOff(usize, ProviderId),
    /// Somebody looks, because something is open: its end may not have been told.
    Polls(usize),
}

pub(super) struct Bench {
    lane: Lane,
    pub(super) oracle: Oracle,
    pub(super) machine: VmState,
    next_start: u32,
    calls: BTreeMap<CommandId, Call>,
    /// Calls that took effect, whether or not anybody heard of it.
    took_effect: BTreeSet<CommandId>,
    pub(super) sent: Vec<Command>,
    life: u64,
    /// Whether a look at what is open is on its way.
    polled: bool,
}

pub(super) struct Rig {
    pub(super) roll: Roll,
    /// Draws that came later: a seed from before them means what it meant.
    pub(super) more: Option<Roll>,
    /// Draws that came later still.
    pub(super) clients: Option<Roll>,
    latest: Option<Roll>,
    /// The last of all: the host's owner, and channels.
    pub(super) owner: Option<Roll>,
    /// What holds on the host, and since when.
    pub(super) restraints: Vec<(u64, Arc<Restraint>)>,
    now: u64,
    /// What our clocks showed when it began.
    pub(super) base: u64,
    events: BTreeMap<(u64, u64), Event>,
    count: u64,
    pub(super) benches: Vec<Bench>,
    pub(super) providers: Vec<(ProviderId, i64)>,
    pub(super) clocks: Clocks,
    quiet: bool,
    digest: Sha256,
    trace: bool,
}

pub(super) const STORM: u64 = 4_000_000;
const CALM: u64 = 1_000_000_000;

/// How often is looked at what is open, as the runner does.
const POLL: u64 = 5_000_000;
/// For how long the providers' clocks may have run since they were measured.
const TWO_HOURS: u64 = 7_200_000_000;

pub(crate) fn run(seed: u64, draws: Draws) -> Done {
    let mut roll = Roll::new(seed);
    let mut latest = (draws == Draws::All).then(|| Roll::new(!seed.rotate_left(32)));
    let names: &[&str] = match roll.percent(40) {
        _ if latest.as_mut().is_some_and(|latest| latest.percent(20)) => &["north", "south", "west", "east"],
        true => &["north", "south", "west"],
        false => &["north", "south"],
    };
    let providers: Vec<(ProviderId, i64)> = names
        .iter()
        .map(|name| (name.parse().unwrap(), *roll.pick(&[0, 0, 20_000, -2_000_000, 240_000_000])))
        .collect();
    let lanes = 1 + usize::from(roll.percent(30));
    let mut more = (draws != Draws::Early).then(|| Roll::new(!seed));
    let base = more.as_ref().map_or(0, |_| TWO_HOURS);
    let mut rig = Rig {
        roll,
        clocks: Clocks::new(&providers, base, more.as_mut()),
        more,
        latest,
        clients: (draws == Draws::All).then(|| Roll::new(seed.rotate_left(32) ^ 1)),
        owner: (draws == Draws::All).then(|| Roll::new(seed.rotate_left(16) ^ 2)),
        restraints: Vec::new(),
        now: 0,
        base,
        events: BTreeMap::new(),
        count: 0,
        benches: Vec::new(),
        providers,
        quiet: false,
        digest: Sha256::new(),
        trace: std::env::var_os("COVIRT_TRACE").is_some(),
    };
    for at in 0..lanes {
        rig.bench(at);
    }
    rig.plan();
    rig.plan_owner();
    rig.play();
    let mut tally = Tally::default();
    for bench in &rig.benches {
        bench.oracle.at_the_end(bench.lane.state());
        tally.add(&bench.oracle.tally);
    }
    Done { digest: format!("{:x}", rig.digest.finalize()), tally }
}

impl Rig {
    fn bench(&mut self, at: usize) {
        let vm = VmId(Uuid::from_u128(0x100 + at as u128));
        let machine = VmState {
            power: PowerState::Running,
            start: StartId(Some(1)),
            vcpus: 2,
            vcpus_max: 8,
            memory_kib: Kib(4096),
            memory_max_kib: Kib(8192),
            snapshots: ["base".to_owned()].into(),
            checkpoints: ["north.base".to_owned(), "south.base".to_owned()].into(),
            devices: ["disk:vda", "disk:vdb", "nic:52:54:00:00:00:01"].map(|name| name.parse().unwrap()).into(),
            jobs: [].into(),
            saved: false,
            definition: Some("d1".to_owned()),
        };
        let answers = [Said::MineFirst, Said::TheirsFirst, Said::NoOpinion, Said::WithdrawMine];
        let consent = (self.providers.clone().into_iter())
            .map(|(who, _)| (who, Consent { standing: None, on_silence: *self.roll.pick(&answers) }))
            .collect();
        let policy = Policy {
            gather_for: *self.roll.pick(&[GatherFor::Irreversible, GatherFor::Writes]),
            hook: *self.roll.pick(&[HookUse::None, HookUse::None, HookUse::Ask]),
            queue_limit: usize::try_from(2 + self.roll.below(7)).unwrap(),
            consent,
            ..self.patience()
        };
        let bench = Bench {
            oracle: Oracle::new(vm, policy.queue_limit),
            lane: Lane::new(State::new(vm), policy),
            machine: machine.clone(),
            next_start: 2,
            calls: BTreeMap::new(),
            took_effect: BTreeSet::new(),
            sent: Vec::new(),
            life: 0,
            polled: false,
        };
        self.benches.push(bench);
        let enroll =
            Input::Enroll { token: 0, name: "vm".to_owned(), primary: self.providers[0].0.clone(), state: machine };
        self.arrives(at, 0, enroll);
        for who in 1..self.providers.len() {
            let request = self.grant(who);
            self.arrives(at, 1, Input::Change { token: 0, request });
        }
    }

    /// Whether something happens that only later versions draw.
    pub(super) fn also(&mut self, percent: u64) -> bool {
        self.more.as_mut().is_some_and(|more| more.percent(percent))
    }

    /// *Units*: microseconds since it began.
    pub(super) const fn time(&self) -> u64 {
        self.now
    }

    pub(super) fn now(&self) -> Now {
        let now = self.base + self.now;
        Now { mono: Mono(now), wall: Wall::from_micros(i64::try_from(now).unwrap()) }
    }

    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    pub(super) fn arrives(&mut self, lane: usize, at: u64, input: Input) {
        self.at(at, Event::Arrives(lane, Box::new(input)));
    }

    /// Whether every command has ended and nothing is open.
    fn rests(&self) -> bool {
        let rests = |bench: &Bench| bench.lane.state().live_count() == 0 && bench.lane.state().holds().count() == 0;
        self.benches.iter().all(rests)
    }

    fn play(&mut self) {
        while let Some(((at, _), event)) = self.events.pop_first() {
            self.now = self.now.max(at);
            self.quiet = self.now > STORM;
            // A lease that was not needed is a timer of an hour long gone; nothing else is left by then.
            assert!(self.now < CALM || self.rests(), "liveness: the lanes never come to rest");
            match event {
                Event::Arrives(lane, input) => self.feed(lane, *input),
                Event::Tick(lane) => self.feed(lane, Input::Tick),
                Event::Persists(lane, life, count, step) => {
                    if self.benches[lane].life == life {
                        self.benches[lane].oracle.persisted(count);
                        self.feed(lane, Input::Persisted { step });
                    }
                }
                Event::CallEnds(lane, id) => self.call_ends(lane, id),
                Event::Looks(lane, call) => self.looks(lane, &call),
                Event::Crash(lane) => self.crash(lane),
                Event::OutOfBand(lane) => self.out_of_band(lane),
                Event::JobsEnd(lane) => {
                    self.benches[lane].machine.jobs.clear();
                    if self.also(30) {
                        self.benches[lane].oracle.tally.untold_ends += 1;
                    } else {
                        self.observe(lane, Observation::Event);
                    }
                }
                Event::CutOff(lane, provider) => self.feed(lane, Input::SessionLost { provider }),
                Event::Polls(lane) => {
                    self.benches[lane].polled = false;
                    self.observe(lane, Observation::Look);
                }
            }
        }
    }

    pub(super) fn feed(&mut self, lane: usize, mut input: Input) {
        let now = self.now();
        if let Input::Submitted { command, sender: Sender { clock, .. }, .. } = &mut input
            && self.more.is_some()
        {
            // What is known of a clock is known at the door, when something arrives.
            *clock = self.clocks.estimate(&command.provider, now);
        }
        if self.trace {
            println!("{:>9} lane {lane} <- {input:?}", self.now);
        }
        let bench = &mut self.benches[lane];
        let outputs = bench.lane.step(now, input);
        self.digest.update(format!("{lane}{outputs:?}"));
        if self.trace {
            outputs.iter().for_each(|output| println!("{:>9} lane {lane}  -> {output:?}", self.now));
        }
        bench.oracle.after_step(now, bench.lane.state(), &outputs);
        for output in outputs {
            self.perform(lane, output);
        }
        let bench = &mut self.benches[lane];
        let open = bench.lane.state().holds().any(|hold| hold.key().is_observable());
        if self.more.is_some() && open && !bench.polled {
            bench.polled = true;
            self.at(self.now + POLL, Event::Polls(lane));
        }
    }

    fn perform(&mut self, lane: usize, output: Output) {
        match output {
            Output::Append { step, facts, .. } => {
                self.reacts(lane, &facts);
                let delay = if self.roll.percent(25) { self.roll.below(90_000) } else { self.roll.below(1_000) };
                let (life, count) = (self.benches[lane].life, self.benches[lane].oracle.appended_count());
                // The journal writes in order: an append is never durable before an earlier one.
                let floor = self.events.iter().rev().find_map(|((at, _), event)| match event {
                    Event::Persists(l, f, ..) if *l == lane && *f == life => Some(*at),
                    _ => None,
                });
                self.at((self.now + delay).max(floor.unwrap_or(0)), Event::Persists(lane, life, count, step));
            }
            Output::Execute(call) => {
                let longest = if self.roll.percent(20) { 900_000 } else { 30_000 };
                let delay = self.roll.below(longest);
                let id = call.command();
                self.benches[lane].calls.insert(id, call);
                self.at(self.now + delay, Event::CallEnds(lane, id));
            }
            Output::Probe(call) => {
                let delay = self.roll.below(50_000);
                self.at(self.now + delay, Event::Looks(lane, call));
            }
            Output::Ask(ask) => self.hears(lane, &ask),
            Output::WakeAt(at) => self.at((at.0 - self.base).max(self.now), Event::Tick(lane)),
            Output::Accepted { what: Accepted::Command(_), .. } if self.roll.percent(3) && !self.quiet => {
                // The provider did not hear it: it sends the same once more.
                let command = self.roll.pick(&self.benches[lane].sent).clone();
                let again = Input::Submitted { token: 0, command: Box::new(command), sender: Sender::default() };
                let delay = self.roll.below(300_000);
                self.arrives(lane, self.now + delay, again);
            }
            Output::Accepted { .. } | Output::Refused { .. } | Output::Ended { .. } | Output::CloseChannel { .. } => {}
        }
    }

    /// A party is asked: it answers, at once, late, twice, never, or its session breaks.
    fn hears(&mut self, lane: usize, ask: &Ask) {
        let said = *self.roll.pick(&[
            Said::MineFirst,
            Said::TheirsFirst,
            Said::NoOpinion,
            Said::NoOpinion,
            Said::WithdrawMine,
        ]);
        let delay = if self.roll.percent(15) { 3_000_000 } else { self.roll.below(100_000) };
        let (conflict, epoch, by) = (ask.conflict, ask.epoch, ask.who.clone());
        if self.roll.percent(15) {
            self.arrives(lane, self.now + delay, Input::AnswerLost { conflict, epoch, by: by.clone() });
        }
        if self.roll.percent(10) {
            return;
        }
        let input = match by {
            Party::Hook => {
                let first = self.roll.percent(50).then_some(ask.mine.id);
                Input::HookAnswered { conflict, epoch, first }
            }
            Party::Provider(by) => {
                let said = if self.is_stubborn(lane, ask) { Said::MineFirst } else { said };
                Input::Answered { token: Some(0), conflict, epoch, by, said, how: Heard::Said }
            }
        };
        for _ in 0..=u64::from(self.roll.percent(10)) {
            self.arrives(lane, self.now + delay, input.clone());
        }
    }

    /// Two of whom the operator is to decide want to be first more often than not: else it would hardly ever come to that.
    fn is_stubborn(&mut self, lane: usize, ask: &Ask) -> bool {
        let Some(latest) = &mut self.latest else { return false };
        let escalates = &self.benches[lane].lane.policy().escalate;
        escalates.contains(&pair(ask.mine.provider.clone(), ask.theirs.provider.clone())) && latest.percent(80)
    }

    fn act(&mut self, lane: usize, call: &Call) -> CallResult {
        let bench = &mut self.benches[lane];
        let refuse = |reason: &str| {
            CallResult::Failed(Outcome::new(Ending::Impossible, Code::StateForbids, format!("libvirt: {reason}")))
        };
        if bench.machine.start != call.expected_start() {
            return refuse("not the start that was decided about");
        }
        let done = machine::act(&mut bench.machine, &mut bench.next_start, call.operation());
        if let Err(reason) = done {
            return refuse(reason);
        }
        if !bench.machine.jobs.is_empty() {
            let lasts = self.roll.below(3_000_000);
            self.at(self.now + lasts, Event::JobsEnd(lane));
        }
        CallResult::Done(Value::Null)
    }

    fn call_ends(&mut self, lane: usize, id: CommandId) {
        let Some(call) = self.benches[lane].calls.remove(&id) else { return };
        self.benches[lane].oracle.left(id);
        if self.roll.percent(6) {
            let outcome = Outcome::new(Ending::Failed, Code::HypervisorFailed, "libvirt failed");
            self.feed(lane, Input::Finished { command: id, result: CallResult::Failed(outcome) });
            return;
        }
        if self.roll.percent(8) {
            // The answer is lost; half of the time the call had taken effect.
            if self.roll.percent(50) && matches!(self.act(lane, &call), CallResult::Done(_)) {
                self.benches[lane].took_effect.insert(id);
            }
            self.feed(lane, Input::Finished { command: id, result: CallResult::Lost("reset".to_owned()) });
            return;
        }
        let result = self.act(lane, &call);
        if matches!(result, CallResult::Done(_)) {
            // The lane may hear of it and forget again, when it dies before that is durable.
            self.benches[lane].took_effect.insert(id);
        }
        self.observe(lane, Observation::Event);
        self.feed(lane, Input::Finished { command: id, result });
    }

    pub(super) fn observe(&mut self, lane: usize, why: Observation) {
        let state = self.benches[lane].machine.clone();
        self.feed(lane, Input::Observed { state, why });
    }

    fn looks(&mut self, lane: usize, call: &Call) {
        let id = call.command();
        let evidence = if self.benches[lane].took_effect.contains(&id) {
            Evidence::Done
        } else if self.roll.percent(20) {
            Evidence::None
        } else {
            Evidence::Undone
        };
        // Evidence is only evidence while the lane asks for it.
        let unknown =
            self.benches[lane].lane.state().command(id).is_some_and(|t| *t.phase() == covirt::resolver::Phase::Unknown);
        if unknown {
            self.benches[lane].oracle.probed(id, evidence);
        }
        self.observe(lane, Observation::Look);
        self.feed(lane, Input::Probed { command: id, evidence });
    }

    fn crash(&mut self, lane: usize) {
        let calls = std::mem::take(&mut self.benches[lane].calls);
        for (id, call) in calls {
            self.benches[lane].oracle.left(id);
            if self.roll.percent(50) && matches!(self.act(lane, &call), CallResult::Done(_)) {
                self.benches[lane].took_effect.insert(id);
            }
        }
        let bench = &mut self.benches[lane];
        bench.life += 1;
        // An enrollment that was lost with the tail would end the run: it is durable from the start.
        let enrolled = bench.oracle.appended_count().min(1);
        bench.oracle.persisted(enrolled);
        if let Some(more) = &mut self.more {
            // What was written may be durable although the agent died before it heard so.
            let written: Vec<usize> = (self.events.values())
                .filter_map(|event| match event {
                    Event::Persists(l, life, count, _) if *l == lane && *life + 1 == bench.life => Some(*count),
                    _ => None,
                })
                .collect();
            let heard_of_less = usize::try_from(more.below(written.len() as u64 + 1)).unwrap();
            if let Some(count) = written.get(heard_of_less) {
                bench.oracle.persisted(*count);
                bench.oracle.tally.unheard_tails += 1;
            }
        }
        let state = bench.oracle.crash();
        bench.lane = Lane::new(state, bench.lane.policy().clone());
        self.events.retain(|_, event| !matches!(event, Event::Tick(l) | Event::Looks(l, _) if *l == lane));
        self.feed(lane, Input::Recovered);
        self.told_again(lane);
        self.observe(lane, Observation::Look);
        // Providers that never heard send again.
        let known = self.benches[lane].lane.state();
        // A client is gone with the agent.
        let mut missed = self.benches[lane].sent.clone();
        missed.retain(|sent| known.command(sent.id).is_none() && sent.call.is_none());
        for command in missed {
            if self.roll.percent(50) && !self.quiet {
                let delay = self.roll.below(500_000);
                let again = Input::Submitted { token: 0, command: Box::new(command), sender: Sender::default() };
                self.arrives(lane, self.now + delay, again);
            }
        }
    }
}
