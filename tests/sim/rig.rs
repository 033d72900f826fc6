//! The world around the lanes: everything that happens is an event on one timeline, and chance decides what goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use covirt::delegation::{ChangeRequest, Mode};
use covirt::model::{
    Action, Cause, Class, ClockEstimate, Code, Command, CommandId, Ending, Guard, Kib, Mono, Now, Order, Outcome,
    PowerState, ProviderId, StartId, VmId, VmState, Wall,
};
use covirt::resolver::{
    Accepted, Ask, Call, CallResult, Consent, Evidence, GatherFor, Heard, HookUse, Input, Lane, Observation, Output,
    Party, Policy, Said, State,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::machine;
use super::oracle::{Oracle, Tally};
use super::roll::Roll;
use super::wish;

pub(crate) struct Done {
    pub digest: String,
    pub tally: Tally,
}

enum Event {
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
    /// The VM is looked at although nothing was heard.
    LooksAgain(usize),
    /// A provider's session ends.
    CutOff(usize, ProviderId),
}

struct Bench {
    lane: Lane,
    oracle: Oracle,
    machine: VmState,
    next_start: u32,
    calls: BTreeMap<CommandId, Call>,
    /// Calls that took effect, whether or not anybody heard of it.
    took_effect: BTreeSet<CommandId>,
    sent: Vec<Command>,
    life: u64,
}

struct Rig {
    roll: Roll,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    count: u64,
    benches: Vec<Bench>,
    providers: Vec<(ProviderId, i64)>,
    quiet: bool,
    digest: Sha256,
    trace: bool,
}

/// When a lane's runner looks again at what is open.
const LOOK_AGAIN: u64 = 5_000_000;
const STORM: u64 = 4_000_000;
const CALM: u64 = 1_000_000_000;

pub(crate) fn run(seed: u64) -> Done {
    let mut roll = Roll::new(seed);
    let names: &[&str] = if roll.percent(40) { &["north", "south", "west"] } else { &["north", "south"] };
    let providers: Vec<(ProviderId, i64)> = names
        .iter()
        .map(|name| (name.parse().unwrap(), *roll.pick(&[0, 0, 20_000, -2_000_000, 240_000_000])))
        .collect();
    let lanes = 1 + usize::from(roll.percent(30));
    let mut rig = Rig {
        roll,
        now: 0,
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
            ..Policy::default()
        };
        let bench = Bench {
            lane: Lane::new(State::new(vm), policy),
            oracle: Oracle::new(vm),
            machine: machine.clone(),
            next_start: 2,
            calls: BTreeMap::new(),
            took_effect: BTreeSet::new(),
            sent: Vec::new(),
            life: 0,
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

    fn grant(&mut self, who: usize) -> ChangeRequest {
        let exclusive = self.roll.percent(20);
        // Different sets for everybody: the primary alone reads the metadata, the third may not set vCPUs either.
        let mut actions: BTreeSet<Action> =
            Action::ALL.into_iter().filter(|a| !matches!(a, Action::InspectRead)).collect();
        if exclusive {
            let groups: &[&str] = if who == 1 { &["snapshot", "power"] } else { &["cpu", "memory"] };
            let group = *self.roll.pick(groups);
            actions.retain(|action| action.group() == group);
        } else if who == 2 {
            actions.remove(&Action::CpuSet);
        }
        let lease = self.roll.percent(20).then(|| Duration::from_millis(500 + self.roll.below(4000)));
        let mode = if exclusive { Mode::Exclusive } else { Mode::Shared };
        ChangeRequest::Delegate {
            by: self.providers[0].0.clone(),
            to: self.providers[who].0.clone(),
            actions,
            mode,
            lease,
        }
    }

    /// All that providers and the outside want to do during the storm.
    fn plan(&mut self) {
        let commands = 8 + self.roll.below(30);
        // Bursts: commands that meet are the interesting ones.
        let mut times: Vec<u64> =
            (0..commands).map(|_| (self.roll.below(STORM) / 400_000) * 400_000 + self.roll.below(20_000)).collect();
        times.sort_unstable();
        for (number, at) in (0..).zip(times) {
            let lane = usize::try_from(self.roll.below(self.benches.len() as u64)).unwrap();
            let who = usize::try_from(self.roll.below(self.providers.len() as u64)).unwrap();
            self.command(lane, who, number, at);
        }
        for lane in 0..self.benches.len() {
            for _ in 0..self.roll.below(4) {
                let at = (self.roll.below(STORM) / 400_000) * 400_000 + self.roll.below(60_000);
                self.at(at, Event::Crash(lane));
            }
            for _ in 0..self.roll.below(3) {
                let at = self.roll.below(STORM);
                self.at(at, Event::OutOfBand(lane));
            }
            for _ in 0..self.roll.below(3) {
                let (at, who) = (self.roll.below(STORM), self.roll.pick(&self.providers).0.clone());
                self.at(at, Event::CutOff(lane, who));
            }
            if self.providers.len() > 1 && self.roll.percent(40) {
                let from = self.providers[1].0.clone();
                let request = ChangeRequest::Revoke { by: self.providers[0].0.clone(), from, actions: BTreeSet::new() };
                let at = self.roll.below(STORM);
                self.arrives(lane, at, Input::Change { token: 0, request });
                let request = self.grant(1);
                self.arrives(lane, at + 100_000, Input::Change { token: 0, request });
            }
        }
    }

    fn command(&mut self, lane: usize, who: usize, number: u64, at: u64) {
        let (provider, skew) = self.providers[who].clone();
        let provider = if self.roll.percent(4) { ProviderId::operator() } else { provider };
        let id = CommandId(Uuid::from_u128((u128::from(self.roll.next()) << 64) + u128::from(number)));
        let bench = &self.benches[lane];
        let after = if self.roll.percent(15) && !bench.sent.is_empty() {
            [self.roll.pick(&bench.sent).id].into()
        } else if self.roll.percent(2) {
            [CommandId(Uuid::from_u128(1))].into()
        } else {
            BTreeSet::new()
        };
        let used = bench.sent.iter().filter(|sent| sent.provider == provider).filter_map(|sent| sent.order.seq).max();
        let seq = self.roll.percent(50).then(|| used.unwrap_or(0) + 1 + u64::from(self.roll.percent(10)));
        let stamp =
            Wall::from_micros(i64::try_from(at).unwrap() + skew - i64::try_from(self.roll.below(2_000_000)).unwrap());
        let command = Command {
            id,
            vm: VmId(Uuid::from_u128(0x100 + lane as u128)),
            provider,
            operation: wish::operation(&mut self.roll, VmId(Uuid::from_u128(0x100 + lane as u128))),
            order: Order { seq, after },
            issued_at: self.roll.percent(80).then_some(stamp),
            not_after: self
                .roll
                .percent(10)
                .then(|| stamp.shifted(2_000_000 + i64::try_from(self.roll.below(1_000_000)).unwrap())),
            must_start_by: self.roll.percent(5).then(|| stamp.shifted(3_000_000)),
            break_glass: None,
            guard: Guard {
                vcpus: self.roll.percent(8).then_some(2),
                state: self.roll.percent(8).then_some(PowerState::Running),
                ..Guard::default()
            },
            class: *self.roll.pick(&[
                Class::Routine,
                Class::Routine,
                Class::Routine,
                Class::Critical,
                Class::Emergency,
            ]),
            epoch: None,
        };
        self.benches[lane].sent.push(command.clone());
        let known = skew.unsigned_abs() > 1_000_000 || self.roll.percent(50);
        let clock = known.then_some(ClockEstimate { offset_us: skew, uncertainty_us: 500 });
        // The network: delay, duplicates, loss with a later retry.
        let copies = 1 + u64::from(self.roll.percent(20));
        for _ in 0..copies {
            let delay = if self.roll.percent(20) { self.roll.below(400_000) } else { self.roll.below(3_000) };
            let input = Input::Submitted { token: number, command: Box::new(command.clone()), clock };
            self.arrives(lane, at + delay, input);
        }
        if self.roll.percent(5) {
            let cancel = Input::Cancel { token: number, by: command.provider.clone(), command: id };
            self.arrives(lane, at + 20_000, cancel);
        }
    }

    fn at(&mut self, at: u64, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    fn arrives(&mut self, lane: usize, at: u64, input: Input) {
        self.at(at, Event::Arrives(lane, Box::new(input)));
    }

    fn play(&mut self) {
        while let Some(((at, _), event)) = self.events.pop_first() {
            self.now = self.now.max(at);
            self.quiet = self.now > STORM;
            assert!(self.now < CALM, "liveness: the lanes never come to rest");
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
                    // Not every end makes an event, and some are lost.
                    if self.roll.percent(30) {
                        self.at(self.now + LOOK_AGAIN, Event::LooksAgain(lane));
                    } else {
                        self.observe(lane, Observation::Event);
                    }
                }
                Event::LooksAgain(lane) => self.observe(lane, Observation::Event),
                Event::CutOff(lane, provider) => self.feed(lane, Input::SessionLost { provider }),
            }
        }
    }

    fn feed(&mut self, lane: usize, input: Input) {
        let now = Now { mono: Mono(self.now), wall: Wall::from_micros(i64::try_from(self.now).unwrap()) };
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
    }

    fn perform(&mut self, lane: usize, output: Output) {
        match output {
            Output::Append { step, .. } => {
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
            Output::WakeAt(at) => self.at(at.0.max(self.now), Event::Tick(lane)),
            Output::Accepted { what: Accepted::Command(_), .. } if self.roll.percent(3) && !self.quiet => {
                // The provider did not hear it: it sends the same once more.
                let command = self.roll.pick(&self.benches[lane].sent).clone();
                let again = Input::Submitted { token: 0, command: Box::new(command), clock: None };
                let delay = self.roll.below(300_000);
                self.arrives(lane, self.now + delay, again);
            }
            Output::Accepted { .. } | Output::Refused { .. } | Output::Ended { .. } => {}
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
            Party::Provider(by) => Input::Answered { token: Some(0), conflict, epoch, by, said, how: Heard::Said },
        };
        for _ in 0..=u64::from(self.roll.percent(10)) {
            self.arrives(lane, self.now + delay, input.clone());
        }
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

    fn observe(&mut self, lane: usize, why: Observation) {
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
        let state = bench.oracle.crash();
        bench.lane = Lane::new(state, bench.lane.policy().clone());
        self.events.retain(|_, event| !matches!(event, Event::Tick(l) | Event::Looks(l, _) if *l == lane));
        self.feed(lane, Input::Recovered);
        self.observe(lane, Observation::Look);
        // Providers that never heard send again.
        let missed: Vec<Command> = (self.benches[lane].sent.iter())
            .filter(|sent| self.benches[lane].lane.state().command(sent.id).is_none())
            .cloned()
            .collect();
        for command in missed {
            if self.roll.percent(50) && !self.quiet {
                let delay = self.roll.below(500_000);
                self.arrives(
                    lane,
                    self.now + delay,
                    Input::Submitted { token: 0, command: Box::new(command), clock: None },
                );
            }
        }
    }

    fn out_of_band(&mut self, lane: usize) {
        let bench = &mut self.benches[lane];
        bench.oracle.meddled();
        let told = match self.roll.below(4) {
            0 => {
                (bench.machine.power, bench.machine.start) = (PowerState::ShutOff, StartId(None));
                bench.machine.jobs.clear();
                Observation::Told(*self.roll.pick(&[Cause::Destroyed, Cause::GuestShutdown, Cause::Crashed]))
            }
            1 if bench.machine.power == PowerState::Running => {
                bench.machine.power = PowerState::Paused;
                Observation::Told(*self.roll.pick(&[Cause::Suspended, Cause::NoSpace]))
            }
            2 => {
                bench.machine.vcpus = 3;
                Observation::Told(Cause::Redefined)
            }
            _ => {
                bench.machine.snapshots.remove("base");
                Observation::Event
            }
        };
        self.observe(lane, told);
        let happened = *self.roll.pick(&[Cause::Rebooted, Cause::DeviceRemoved, Cause::AgentGone, Cause::Redefined]);
        self.feed(lane, Input::Happened(happened.into()));
    }
}
