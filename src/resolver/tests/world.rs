//! One lane with everything around it: a virtual clock, a journal that can hold back, a hypervisor that is stepped by
//! hand, and names instead of ids. Used by the resolver's own tests and by `tests/scenarios.rs` and `tests/sim.rs`.
//!
//! After every step the world checks what must always hold: nothing executes before its start is durable (I2), no two
//! executions that clash overlap (I1), a command ends once (I3), and replaying the journal gives the lane's state (I6).
#![allow(dead_code, reason = "each of its users needs another part")]

use std::collections::BTreeMap;
use std::time::Duration;

use covirt::delegation::{ChangeRequest, Mode};
use covirt::model::action::{Reach, Way};
use covirt::model::operation::RelayedArgs;
use covirt::model::{
    Action, Cause, ClientCall, ClockEstimate, Code, Command, CommandId, Ending, Kib, Mono, Now, Operation, Outcome,
    Peer, PowerState, ProviderId, StartId, VmId, VmState, Wall,
};
use covirt::resolver::{
    Ask, Call, CallResult, Evidence, Fact, Heard, Input, Lane, Observation, Output, Party, Policy, Said, Sender, State,
};
use serde_json::{Value, json};

use uuid::Uuid;

/// 2026-11-22T20:00:00Z, where every world begins.
pub(super) const EPOCH: i64 = 1_795_377_600_000_000;

pub(super) struct World {
    pub lane: Lane,
    /// Microseconds since the world began.
    pub at: u64,
    /// What the hypervisor would show.
    pub machine: VmState,
    pub next_start: u32,
    /// Whether `Persisted` follows every `Append` at once.
    pub auto_persist: bool,
    pub journal: Vec<(u64, Now, Fact)>,
    pub durable: u64,
    /// Executions that have not ended, by command.
    pub calls: BTreeMap<CommandId, Call>,
    pub probes: BTreeMap<CommandId, Call>,
    /// Calls whose answer cannot arrive any more.
    pub lost: BTreeMap<CommandId, Call>,
    /// Every execution there ever was.
    pub executed: Vec<CommandId>,
    pub asks: Vec<Ask>,
    pub ended: BTreeMap<CommandId, Outcome>,
    pub seen: Vec<(u64, Output)>,
    pub clocks: BTreeMap<ProviderId, ClockEstimate>,
    /// How far our wall clock was stepped. *Units*: microseconds.
    pub stepped: i64,
    pub names: BTreeMap<String, CommandId>,
    pub sent: BTreeMap<CommandId, Command>,
    shadow: State,
    wake: Option<Mono>,
    token: u64,
}

pub(super) fn provider(name: &str) -> ProviderId {
    name.parse().unwrap()
}

pub(super) fn vm() -> VmId {
    VmId(Uuid::from_u128(0x7))
}

pub(super) fn running() -> VmState {
    VmState {
        power: PowerState::Running,
        start: StartId(Some(1)),
        vcpus: 2,
        vcpus_max: 8,
        memory_kib: Kib(8 << 20),
        memory_max_kib: Kib(16 << 20),
        snapshots: ["base".to_owned()].into(),
        checkpoints: ["north.base".to_owned(), "south.base".to_owned()].into(),
        devices: ["disk:vda", "disk:vdb", "nic:52:54:00:00:00:01"].map(|name| name.parse().unwrap()).into(),
        jobs: [].into(),
        saved: false,
        definition: Some("d1".to_owned()),
    }
}

impl World {
    /// North is the primary of a running VM; nobody else has a part in it.
    pub(super) fn alone(policy: Policy) -> Self {
        let mut world = Self {
            lane: Lane::new(State::new(vm()), policy),
            at: 0,
            machine: running(),
            next_start: 2,
            auto_persist: true,
            journal: Vec::new(),
            durable: 0,
            calls: BTreeMap::new(),
            probes: BTreeMap::new(),
            lost: BTreeMap::new(),
            executed: Vec::new(),
            asks: Vec::new(),
            ended: BTreeMap::new(),
            seen: Vec::new(),
            clocks: BTreeMap::new(),
            stepped: 0,
            names: BTreeMap::new(),
            sent: BTreeMap::new(),
            shadow: State::new(vm()),
            wake: None,
            token: 0,
        };
        let state = world.machine.clone();
        world.feed(Input::Enroll { token: 0, name: "web-1".to_owned(), primary: provider("north"), state });
        world
    }

    /// North and south share every action but one, so that nobody owns anything alone.
    pub(super) fn shared(policy: Policy) -> Self {
        let mut world = Self::alone(policy);
        world.delegate("south", "all", "shared", None);
        world.seen.clear();
        world
    }

    /// Three providers: west shares what south shares, but for one action.
    pub(super) fn of_three(policy: Policy) -> Self {
        let mut world = Self::shared(policy);
        world.delegate("west", "all-but-metadata", "shared", None);
        world.seen.clear();
        world
    }

    pub(super) fn now(&self) -> Now {
        let wall = EPOCH + self.stepped + i64::try_from(self.at).unwrap();
        Now { mono: Mono(self.at), wall: Wall::from_micros(wall) }
    }

    /// Gives the lane one input, and the journal's word for it when that comes at once.
    pub(super) fn feed(&mut self, input: Input) -> Vec<Output> {
        let before = self.seen.len();
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for output in self.lane.step(self.now(), input) {
                if let Output::Append { step, .. } = &output
                    && self.auto_persist
                {
                    inputs.push(Input::Persisted { step: *step });
                }
                self.take(output);
            }
            if let Some(Input::Persisted { step }) = inputs.last() {
                self.durable = *step;
            }
            assert_eq!(self.shadow, *self.lane.state(), "I6: replaying the facts gives the state");
        }
        self.seen.get(before..).unwrap().iter().map(|(_, output)| output.clone()).collect()
    }

    fn take(&mut self, output: Output) {
        match &output {
            Output::Append { step, at, facts } => {
                for fact in facts {
                    let text = serde_json::to_string(fact).unwrap();
                    let read: Fact = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
                    assert_eq!(read, *fact, "a fact is read back as written");
                    self.shadow.apply(*at, &read);
                    self.journal.push((*step, *at, read));
                }
            }
            Output::Execute(call) => {
                let id = call.command();
                let started = |(step, _, fact): &(u64, Now, Fact)| {
                    *step <= self.durable && matches!(fact, Fact::Started { command, .. } if *command == id)
                };
                assert!(self.journal.iter().any(started), "I2: {} starts without a durable intent", self.name(id));
                for other in self.calls.values() {
                    let clash = call.operation().footprint().contested_with(&other.operation().footprint());
                    assert!(clash.is_empty(), "I1: {} overlaps {}", self.name(id), self.name(other.command()));
                }
                assert!(self.calls.insert(id, call.clone()).is_none(), "{} is executed twice", self.name(id));
                self.executed.push(id);
            }
            Output::Probe(call) => {
                self.probes.insert(call.command(), call.clone());
            }
            Output::Ask(ask) => self.asks.push((**ask).clone()),
            Output::Ended { command, outcome } => {
                let twice = self.ended.insert(*command, outcome.clone());
                assert_eq!(twice, None, "I3: {} ends twice", self.name(*command));
            }
            Output::WakeAt(at) => self.wake = Some(*at),
            Output::Accepted { .. } | Output::Refused { .. } | Output::CloseChannel { .. } => {}
        }
        self.seen.push((self.at, output));
    }

    /// Says that everything appended is durable.
    pub(super) fn persist(&mut self) -> Vec<Output> {
        let step = self.journal.last().map_or(0, |(step, _, _)| *step);
        self.durable = step;
        self.feed(Input::Persisted { step })
    }

    /// Lets time pass, with a tick at every moment the lane asked for.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.at + u64::try_from(span.as_micros()).unwrap();
        while let Some(wake) = self.wake.filter(|wake| wake.0 <= end) {
            self.at = self.at.max(wake.0);
            self.wake = None;
            self.feed(Input::Tick);
        }
        self.at = end;
    }

    pub(super) fn pass_ms(&mut self, ms: u64) {
        self.pass(Duration::from_millis(ms));
    }

    pub(super) fn delegate(&mut self, to: &str, actions: &str, mode: &str, lease: Option<Duration>) -> Vec<Output> {
        let keep_out: &[Action] = match actions {
            "all" => &[Action::InspectRead],
            "all-but-metadata" => &[Action::InspectRead, Action::MetadataSet],
            _ => &[],
        };
        let chosen = |action: &Action| match actions.strip_suffix(".*") {
            _ if !keep_out.is_empty() => !keep_out.contains(action),
            Some(group) => action.group() == group,
            None => actions.split(',').any(|name| action.name() == name),
        };
        let named = |action: &Action| action.spec().reach == Reach::Usual || actions.contains(action.name());
        let request = ChangeRequest::Delegate {
            by: provider("north"),
            to: provider(to),
            actions: Action::ALL.into_iter().filter(chosen).filter(named).collect(),
            mode: if mode == "exclusive" { Mode::Exclusive } else { Mode::Shared },
            lease,
        };
        let token = self.token();
        self.feed(Input::Change { token, request })
    }

    pub(super) fn revoke(&mut self, by: &str, from: &str) -> Vec<Output> {
        let request = Self::all_from(by, from);
        let token = self.token();
        self.feed(Input::Change { token, request })
    }

    fn all_from(by: &str, from: &str) -> ChangeRequest {
        ChangeRequest::Revoke { by: provider(by), from: provider(from), actions: [].into() }
    }

    pub(super) fn token(&mut self) -> u64 {
        self.token += 1;
        self.token
    }

    /// The id behind a name; the same name is the same id, whether or not its command has come.
    pub(super) fn id(&mut self, name: &str) -> CommandId {
        if let Some(number) = name.strip_prefix("errand-") {
            return CommandId::errand(vm(), number.parse().unwrap());
        }
        let next = self.names.len();
        *self.names.entry(name.to_owned()).or_insert_with(|| numbered(next))
    }

    pub(super) fn name(&self, id: CommandId) -> String {
        let errand = || (0..64).find(|number| CommandId::errand(vm(), *number) == id);
        let named = self.names.iter().find(|(_, known)| **known == id).map(|(name, _)| name.clone());
        named.or_else(|| errand().map(|number| format!("errand-{number}"))).unwrap_or_else(|| id.to_string())
    }

    /// A command from a line such as `a: cpu.set vcpus=4 seq=2 after=b issued=-3s class=critical`.
    pub(super) fn command(&mut self, by: &str, line: &str) -> Command {
        let (name, rest) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?} has no name"));
        // A JSON object of arguments comes last: it may hold blanks.
        let (rest, given) = rest.split_once(" args=").map_or((rest, None), |(rest, args)| (rest, Some(args)));
        let mut words = rest.split_whitespace();
        let action: Action = words.next().unwrap().parse().unwrap();
        let mut args = given.map_or_else(|| json!({}), |args| serde_json::from_str(args).unwrap());
        let (mut guard, mut order) = (json!({}), covirt::model::Order::default());
        let (mut issued, mut not_after, mut class, mut epoch) = (None, None, Value::from("routine"), None);
        let (mut must_start_by, mut break_glass, mut call) = (None, None, None);
        // What only a client's own call asks for needs no word of it.
        let mut relayed = (action.spec().way == Way::Relay).then(|| "a_procedure".to_owned());
        let mut touches = Vec::new();
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or_else(|| panic!("{word:?} is not key=value"));
            let json = match (key, value.parse::<u64>(), value) {
                (_, Ok(number), _) => Value::from(number),
                (_, _, "true" | "false") => Value::from(value == "true"),
                ("disks", ..) => value.split(',').collect(),
                ("files", ..) => value.split(',').map(|disk| (disk, format!("/backup/{disk}.qcow2"))).collect(),
                ("xml", ..) => Value::from(samples::disk(value)),
                _ => Value::from(value),
            };
            match key {
                "seq" => order.seq = json.as_u64(),
                "after" => order.after = value.split(',').map(|name| self.id(name)).collect(),
                "issued" => issued = Some(self.now().wall.shifted(micros(value))),
                "not-after" => not_after = Some(self.now().wall.shifted(micros(value))),
                "must-start-by" => must_start_by = Some(self.now().wall.shifted(micros(value))),
                "break-glass" => break_glass = Some(value.to_owned()),
                "class" => class = Value::from(value),
                "epoch" => epoch = json.as_u64(),
                "call" => call = Some(value.to_owned()),
                "relays" => relayed = Some(value.to_owned()),
                "touches" => touches = value.split(',').map(deeds::resource).collect(),
                "expects-state" => guard["state"] = json,
                "expects-vcpus" => guard["vcpus"] = json,
                "expects-generation" if value == "now" => guard["generation"] = self.generation().into(),
                "expects-memory" => guard["memory_kib"] = json,
                "expects-generation" => guard["generation"] = json,
                _ => args[key] = json,
            }
        }
        Command {
            id: self.id(name),
            vm: vm(),
            provider: provider(by),
            operation: match &relayed {
                Some(procedure) => Operation::Relayed(RelayedArgs {
                    action,
                    procedure: procedure.clone(),
                    touches: touches.into_iter().collect(),
                }),
                None => Operation::parse(action, args).unwrap(),
            },
            order,
            issued_at: issued,
            not_after,
            must_start_by,
            break_glass,
            guard: serde_json::from_value(guard).unwrap(),
            class: serde_json::from_value(class).unwrap(),
            epoch,
            call: call
                .or(relayed)
                .map(|procedure| ClientCall { procedure, peer: Peer::Local { uid: 1000, gid: None, pid: Some(77) } }),
        }
    }

    /// The VM as a provider last read it: now.
    fn generation(&self) -> String {
        self.lane.state().believed().unwrap().generation()
    }

    pub(super) fn submit(&mut self, by: &str, line: &str) -> Vec<Output> {
        let command = self.command(by, line);
        self.send(command)
    }

    pub(super) fn send(&mut self, command: Command) -> Vec<Output> {
        let (token, clock) = (self.token(), self.clocks.get(&command.provider).copied());
        self.sent.insert(command.id, command.clone());
        self.feed(Input::Submitted { token, command: Box::new(command), sender: Sender { clock, ..Sender::default() } })
    }

    /// The same command once more, word for word.
    pub(super) fn again(&mut self, name: &str) -> Vec<Output> {
        let id = self.id(name);
        let command = self.sent.get(&id).unwrap().clone();
        self.send(command)
    }

    pub(super) fn cancel(&mut self, by: &str, name: &str) -> Vec<Output> {
        let (token, command) = (self.token(), self.id(name));
        self.feed(Input::Cancel { token, by: provider(by), command })
    }

    /// The last ask that this party got.
    pub(super) fn last_ask(&self, who: &str) -> Option<Ask> {
        let party = if who == "hook" { Party::Hook } else { Party::Provider(provider(who)) };
        self.asks.iter().rev().find(|ask| ask.who == party).cloned()
    }

    pub(super) fn answer(&mut self, by: &str, said: Said) -> Vec<Output> {
        let ask = self.last_ask(by).unwrap_or_else(|| panic!("{by} was not asked"));
        let token = Some(self.token());
        let (conflict, epoch, by) = (ask.conflict, ask.epoch, provider(by));
        self.feed(Input::Answered { token, conflict, epoch, by, said, how: Heard::Said })
    }

    pub(super) fn hook_answers(&mut self, first: Option<&str>) -> Vec<Output> {
        let ask = self.last_ask("hook").unwrap();
        let first = first.map(|name| self.id(name));
        self.feed(Input::HookAnswered { conflict: ask.conflict, epoch: ask.epoch, first })
    }

    pub(super) fn lose_answer(&mut self, by: &str) -> Vec<Output> {
        let ask = self.last_ask(by).unwrap();
        self.feed(Input::AnswerLost { conflict: ask.conflict, epoch: ask.epoch, by: ask.who })
    }

    /// A call ends well: the machine changes, the change is observed, then the answer comes.
    pub(super) fn finish(&mut self, name: &str) {
        let id = self.id(name);
        let call = self.calls.remove(&id).unwrap_or_else(|| panic!("{name} is not at the hypervisor"));
        let result = self.effect(&call);
        let state = self.machine.clone();
        self.feed(Input::Observed { state, why: Observation::Event });
        self.feed(Input::Finished { command: id, result });
    }

    /// A call takes effect (or is refused, as libvirt would) on the machine.
    pub(super) fn effect(&mut self, call: &Call) -> CallResult {
        let refuse = |reason: &str| {
            CallResult::Failed(Outcome::new(Ending::Impossible, Code::StateForbids, format!("libvirt: {reason}")))
        };
        if self.machine.start != call.expected_start() {
            return refuse("this is not the start of the VM that was decided about");
        }
        match machine::act(&mut self.machine, &mut self.next_start, call.operation()) {
            Ok(()) => CallResult::Done(Value::Null),
            Err(reason) => refuse(reason),
        }
    }

    pub(super) fn fail(&mut self, name: &str, code: Code) {
        let id = self.id(name);
        self.calls.remove(&id).unwrap_or_else(|| panic!("{name} is not at the hypervisor"));
        let result = CallResult::Failed(Outcome::new(Ending::Failed, code, "libvirt said no"));
        self.feed(Input::Finished { command: id, result });
    }

    /// The answer of a call is lost; whether it took effect stays open.
    pub(super) fn lose_call(&mut self, name: &str) {
        let id = self.id(name);
        let call = self.calls.remove(&id).unwrap_or_else(|| panic!("{name} is not at the hypervisor"));
        self.lost.insert(id, call);
        self.feed(Input::Finished { command: id, result: CallResult::Lost("connection reset".to_owned()) });
    }

    /// The same loss, told a second time.
    pub(super) fn lose_call_again(&mut self, name: &str) {
        let id = self.id(name);
        self.feed(Input::Finished { command: id, result: CallResult::Lost("still lost".to_owned()) });
    }

    pub(super) fn probe(&mut self, name: &str, evidence: Evidence) {
        let id = self.id(name);
        self.probes.remove(&id).unwrap_or_else(|| panic!("nobody asked to look after {name}"));
        let lost = self.lost.remove(&id);
        if let Some(call) = lost.filter(|_| evidence == Evidence::Done) {
            self.effect(&call);
            let state = self.machine.clone();
            self.feed(Input::Observed { state, why: Observation::Look });
        }
        self.feed(Input::Probed { command: id, evidence });
    }

    /// Somebody changes the machine past covirt, and libvirt says so.
    pub(super) fn out_of_band(&mut self, change: impl FnOnce(&mut VmState)) {
        change(&mut self.machine);
        let state = self.machine.clone();
        self.feed(Input::Observed { state, why: Observation::Event });
    }

    /// The machine changes past covirt, and libvirt says what happened.
    pub(super) fn told(&mut self, cause: Cause, change: impl FnOnce(&mut VmState)) {
        change(&mut self.machine);
        let state = self.machine.clone();
        self.feed(Input::Observed { state, why: Observation::Told(cause) });
    }

    pub(super) fn outcome(&mut self, name: &str) -> Option<Outcome> {
        let id = self.id(name);
        self.ended.get(&id).cloned()
    }

    pub(super) fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.journal.iter().map(|(_, _, fact)| fact)
    }
}

/// The `n`-th id a world gives.
pub(super) fn numbered(n: usize) -> CommandId {
    CommandId(Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0000 + u128::try_from(n).unwrap()))
}

/// A span such as `-3s`, `250ms` or `1h`. *Units*: microseconds.
pub(super) fn micros(text: &str) -> i64 {
    let units = [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];
    let (number, unit) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?.parse::<i64>().ok()?, factor)))
        .unwrap_or_else(|| panic!("{text:?} is not a span of time"));
    number * unit
}

#[path = "deeds.rs"]
mod deeds;
#[path = "machine.rs"]
pub(super) mod machine;
#[path = "samples.rs"]
pub(super) mod samples;
