//! Providers at work on many VMs: real lanes, fed with commands, conflicts, answers and results. What an agent would
//! have journalled of it lies in [`Traffic::entries`]. The same seed gives the same traffic.

// Each test and benchmark is a crate of its own and uses a part of this.
#![allow(dead_code)]

use std::collections::VecDeque;

use covirt::delegation::{ChangeRequest, Mode};
use covirt::journal::Entry;
use covirt::model::{Action, Code, Command, CommandId, Ending, Mono, Now, Outcome, ProviderId, VmId, VmState, Wall};
use covirt::resolver::{CallResult, Fact, GatherFor, Heard, Input, Lane, Output, Party, Policy, Said, Sender, State};
use covirt::sovereignty::HostFact;
use serde_json::{Value, json};
use uuid::Uuid;

/// Civil time of the first moment. *Units*: microseconds since 1970.
const BEGIN_US: i64 = 1_770_000_000_000_000;
/// How long a call takes at the hypervisor.
const CALL_US: u64 = 40_000;
/// The primary of every VM, and the other provider.
pub(crate) const PROVIDERS: [&str; 2] = ["north", "south"];

/// The lanes and what is on its way to them.
pub(crate) struct Traffic {
    lanes: Vec<Lane>,
    /// When each wishes to be woken.
    wakes: Vec<Option<Mono>>,
    /// What was to be journalled since somebody took it.
    pub(crate) entries: Vec<Entry>,
    /// Our own time.
    pub(crate) now_us: u64,
    /// How many commands were sent.
    pub(crate) sent: u64,
    dice: u64,
}

pub(crate) fn vm(number: usize) -> VmId {
    VmId(Uuid::new_v5(&Uuid::NAMESPACE_OID, &number.to_be_bytes()))
}

pub(crate) fn provider(name: &str) -> ProviderId {
    name.parse().unwrap()
}

pub(crate) fn running() -> VmState {
    serde_json::from_value(json!({
        "power": "running", "start": 1, "vcpus": 2, "vcpus_max": 64, "memory_kib": 1_048_576,
        "memory_max_kib": 8_388_608, "snapshots": [],
    }))
    .unwrap()
}

impl Traffic {
    /// So many VMs, enrolled by north, with everything but reading shared with south.
    pub(crate) fn new(vms: usize, seed: u64) -> Self {
        let policy = Policy { gather_for: GatherFor::Writes, ..Policy::default() };
        let lanes: Vec<_> = (0..vms).map(|number| Lane::new(State::new(vm(number)), policy.clone())).collect();
        let mut traffic =
            Self { lanes, wakes: vec![None; vms], entries: Vec::new(), now_us: 1_000_000, sent: 0, dice: seed | 1 };
        for at in 0..vms {
            let name = format!("vm-{at}");
            traffic.tell(at, Input::Enroll { token: 0, name, primary: provider("north"), state: running() });
            let request = Self::sharing();
            traffic.tell(at, Input::Change { token: 0, request });
        }
        traffic
    }

    /// North's grant to south.
    pub(crate) fn sharing() -> ChangeRequest {
        let usual = |action: &Action| !matches!(action, Action::InspectRead | Action::MonitorCommand);
        let actions = Action::ALL.into_iter().filter(usual).collect();
        let (by, to) = (provider("north"), provider("south"));
        ChangeRequest::Delegate { by, to, actions, mode: Mode::Shared, lease: None }
    }

    pub(crate) fn state(&self, at: usize) -> &State {
        self.lanes[at].state()
    }

    /// Replaces a lane by what its journal says, as a start of the agent does.
    pub(crate) fn restart(&mut self, at: usize, state: State) {
        let policy = self.lanes[at].policy().clone();
        self.wakes[at] = None;
        self.lanes[at] = Lane::new(state, policy);
    }

    pub(crate) fn policy(&mut self, at: usize, policy: Policy) {
        let state = self.lanes[at].state().clone();
        self.wakes[at] = None;
        self.lanes[at] = Lane::new(state, policy);
    }

    fn now(&self) -> Now {
        let wall = Wall::from_micros(BEGIN_US + i64::try_from(self.now_us).unwrap());
        Now { mono: Mono(self.now_us), wall }
    }

    fn roll(&mut self, below: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % below
    }

    /// One input; whatever it appends is durable at once. What else the lane wants is given back.
    pub(crate) fn tell(&mut self, at: usize, input: Input) -> VecDeque<Output> {
        let now = self.now();
        let lane = &mut self.lanes[at];
        let mut outputs: VecDeque<Output> = lane.step(now, input).into();
        let mut wanted = VecDeque::new();
        while let Some(output) = outputs.pop_front() {
            match output {
                Output::Append { step, at, facts } => {
                    self.entries.push(Entry { vm: lane.vm(), at, facts });
                    outputs.extend(lane.step(now, Input::Persisted { step }));
                }
                Output::WakeAt(moment) => self.wakes[at] = Some(moment),
                output => wanted.push_back(output),
            }
        }
        wanted
    }

    /// Something that happened to the host as a whole.
    pub(crate) fn host(&mut self, fact: HostFact) {
        self.entries.push(Entry { vm: VmId::HOST, at: self.now(), facts: vec![Fact::Host(Box::new(fact))] });
    }

    /// A command of the `who`-th provider, issued now.
    pub(crate) fn command(&mut self, at: usize, who: usize, action: &str, args: &Value) -> Command {
        self.sent += 1;
        let now = self.now();
        // As UUIDs of version 7 are: by time, then by chance; here the count stands in for chance.
        let millis = u128::try_from(now.wall.micros() / 1000).unwrap();
        let id = CommandId(Uuid::from_u128((millis << 80) | (7 << 76) | (2 << 62) | u128::from(self.sent)));
        serde_json::from_value(json!({
            "id": id, "vm": vm(at), "provider": PROVIDERS[who], "action": action, "args": args,
            "order": {"seq": null, "after": []}, "issued_at": now.wall, "not_after": null, "guard": {},
            "class": "routine", "epoch": null,
        }))
        .unwrap()
    }

    pub(crate) fn submit(&mut self, at: usize, command: Command) -> VecDeque<Output> {
        let input = Input::Submitted { token: 0, command: Box::new(command), sender: Sender::default() };
        let wanted = self.tell(at, input);
        let refused = wanted.iter().find(|output| matches!(output, Output::Refused { .. }));
        assert!(refused.is_none(), "{refused:?}");
        wanted
    }

    /// What somebody might want of this VM now.
    fn wish(&mut self, at: usize) -> (&'static str, Value) {
        let state = self.state(at).believed().unwrap().clone();
        let number = self.sent;
        match self.roll(20) {
            0..4 => ("cpu.set", json!({"vcpus": 1 + self.roll(16)})),
            4..7 => ("memory.set", json!({"memory_kib": 1_048_576 + self.roll(64) * 4096})),
            7..12 if state.power.as_str() == "running" => ("power.suspend", json!({})),
            7..12 => ("power.resume", json!({})),
            12..15 => match state.snapshots.first() {
                Some(oldest) if state.snapshots.len() > 3 => ("snapshot.delete", json!({"name": oldest})),
                _ => ("snapshot.create", json!({"name": format!("nightly-{number}")})),
            },
            15 => ("inspect.read", json!({})),
            _ => {
                let xml = format!("<seen by='provider' run='{number}'><tag>batch</tag></seen>");
                ("metadata.set", json!({"uri": "urn:example:tags", "key": "tags", "xml": xml}))
            }
        }
    }

    /// One to three commands on a VM, brought to their ends; more than half of the time two providers meet.
    pub(crate) fn round(&mut self, at: usize) {
        self.now_us += 1_000_000;
        let (count, first) = (1 + self.roll(3), self.roll(2));
        let mut wanted = VecDeque::new();
        for number in 0..count {
            self.now_us += 500;
            let (action, args) = self.wish(at);
            let who = if action == "inspect.read" { 0 } else { usize::try_from((first + number) % 2).unwrap() };
            let command = self.command(at, who, action, &args);
            wanted.extend(self.submit(at, command));
        }
        self.settle(at, wanted);
    }

    /// Answers whatever the lane wants until all its commands have ended.
    pub(crate) fn settle(&mut self, at: usize, mut wanted: VecDeque<Output>) {
        while self.state(at).live_count() > 0 {
            let input = match wanted.pop_front() {
                Some(Output::Execute(call)) => {
                    self.now_us += CALL_US;
                    let result = if self.roll(30) == 0 {
                        let reason = "the monitor did not answer in time";
                        CallResult::Failed(Outcome::new(Ending::Failed, Code::HypervisorFailed, reason))
                    } else {
                        CallResult::Done(Value::Null)
                    };
                    Input::Finished { command: call.command(), result }
                }
                Some(Output::Ask(ask)) => {
                    self.now_us += 3_000;
                    let (conflict, epoch) = (ask.conflict, ask.epoch);
                    match ask.who {
                        Party::Hook => Input::HookAnswered { conflict, epoch, first: None },
                        Party::Provider(by) => match self.roll(6) {
                            0 => Input::AnswerLost { conflict, epoch, by: Party::Provider(by) },
                            answer => {
                                let said = [Said::MineFirst, Said::TheirsFirst, Said::NoOpinion];
                                let said = said[usize::try_from(answer % 3).unwrap()];
                                Input::Answered { token: None, conflict, epoch, by, said, how: Heard::Said }
                            }
                        },
                    }
                }
                Some(_) => continue,
                None => {
                    let moment =
                        self.wakes[at].take().expect("a lane with live commands wants something, or to be woken");
                    self.now_us = self.now_us.max(moment.0);
                    Input::Tick
                }
            };
            wanted.extend(self.tell(at, input));
        }
    }
}
