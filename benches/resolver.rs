//! What one lane's decisions cost. No harness and no statistics beyond the best and the median: run it twice.
//!
//! `cargo bench --bench resolver`

use std::time::{Duration, Instant};

use covirt::delegation::{ChangeRequest, Mode};
use covirt::model::{
    Action, Class, Command, CommandId, Guard, Kib, Mono, Now, Operation, Order, PowerState, StartId, VmId, VmState,
    Wall,
};
use covirt::resolver::{CallResult, GatherFor, Heard, Input, Lane, Output, Policy, Said, Sender, State};
use serde_json::{Value, json};
use uuid::Uuid;

const VM: VmId = VmId(Uuid::from_u128(1));

fn now(us: u64) -> Now {
    Now { mono: Mono(us), wall: Wall::from_micros(i64::try_from(us).unwrap_or(i64::MAX)) }
}

/// A lane of two providers that share all but one action.
fn lane() -> Lane {
    let mut lane = Lane::new(State::new(VM), Policy { gather_for: GatherFor::Writes, ..Policy::default() });
    let (power, start) = (PowerState::Running, StartId(Some(1)));
    let (memory_kib, memory_max_kib) = (Kib(4096), Kib(8192));
    let state = VmState {
        power,
        start,
        vcpus: 2,
        vcpus_max: 255,
        memory_kib,
        memory_max_kib,
        snapshots: [].into(),
        checkpoints: [].into(),
        devices: [].into(),
        jobs: [].into(),
        saved: false,
        definition: None,
    };
    step(&mut lane, 0, Input::Enroll { token: 0, name: "vm".to_owned(), primary: "north".parse().unwrap(), state });
    let usual = |action: &Action| !matches!(action, Action::InspectRead | Action::MonitorCommand);
    let actions = Action::ALL.into_iter().filter(usual).collect();
    let (by, to) = ("north".parse().unwrap(), "south".parse().unwrap());
    let request = ChangeRequest::Delegate { by, to, actions, mode: Mode::Shared, lease: None };
    step(&mut lane, 0, Input::Change { token: 0, request });
    lane
}

fn step(lane: &mut Lane, at: u64, input: Input) -> Vec<Output> {
    let mut outputs = lane.step(now(at), input);
    let appended = outputs.iter().find_map(|output| match output {
        Output::Append { step, .. } => Some(*step),
        _ => None,
    });
    if let Some(step) = appended {
        outputs.extend(lane.step(now(at), Input::Persisted { step }));
    }
    outputs
}

fn command(number: u32, by: &str, action: Action, args: Value) -> Command {
    Command {
        id: CommandId(Uuid::from_u128(0x1000 + u128::from(number))),
        vm: VM,
        provider: by.parse().unwrap(),
        operation: Operation::parse(action, args).unwrap(),
        order: Order::default(),
        issued_at: None,
        not_after: None,
        must_start_by: None,
        break_glass: None,
        guard: Guard::default(),
        class: Class::Routine,
        epoch: None,
        call: None,
    }
}

fn submit(command: Command) -> Input {
    Input::Submitted { token: 0, command: Box::new(command), sender: Sender::default() }
}

/// `queued` commands of each provider behind a snapshot that runs.
fn busy(queued: u32) -> Lane {
    let mut lane = lane();
    step(&mut lane, 0, submit(command(0, "operator", Action::SnapshotCreate, json!({"name": "s"}))));
    step(&mut lane, 30_000, Input::Tick);
    for number in 0..queued {
        for (base, by) in [(1_000, "north"), (2_000, "south")] {
            let args = json!({"vcpus": base / 1_000 + 2 * number});
            step(&mut lane, 30_000, submit(command(base + number, by, Action::CpuSet, args)));
        }
    }
    lane
}

fn measure(what: &str, mut once: impl FnMut() -> Duration) {
    let mut times: Vec<Duration> = (0..200).map(|_| once()).collect();
    times.sort_unstable();
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    println!("{what:<64} best {:>8.1} us   median {:>8.1} us", us(times[0]), us(times[times.len() / 2]));
}

fn main() {
    for queued in [4, 32, 64] {
        let lane = busy(queued);
        let total = queued * 2;
        measure(&format!("one tick, nothing due, {total} queued"), || {
            let mut lane = lane.clone();
            let from = Instant::now();
            std::hint::black_box(lane.step(now(40_000), Input::Tick));
            from.elapsed()
        });
        measure(&format!("the runner ends, the next conflict opens, {total} queued"), || {
            let mut lane = lane.clone();
            let command = CommandId(Uuid::from_u128(0x1000));
            let from = Instant::now();
            let outputs = step(&mut lane, 50_000, Input::Finished { command, result: CallResult::Done(Value::Null) });
            let spent = from.elapsed();
            assert!(outputs.iter().any(|output| matches!(output, Output::Ask(_))));
            spent
        });
        let decided = |times: fn(Duration, Duration) -> Duration| {
            let mut lane = lane.clone();
            let command = CommandId(Uuid::from_u128(0x1000));
            let asked = step(&mut lane, 50_000, Input::Finished { command, result: CallResult::Done(Value::Null) });
            let ask = asked.iter().find_map(|output| match output {
                Output::Ask(ask) => Some((**ask).clone()),
                _ => None,
            });
            let ask = ask.unwrap();
            let mut answer = |by: &str| {
                let (token, how, said) = (Some(1), Heard::Said, Said::NoOpinion);
                let (conflict, epoch, by) = (ask.conflict, ask.epoch, by.parse().unwrap());
                let from = Instant::now();
                let outputs = step(&mut lane, 60_000, Input::Answered { token, conflict, epoch, by, said, how });
                (from.elapsed(), outputs)
            };
            let ((first, _), (second, outputs)) = (answer("north"), answer("south"));
            assert!(outputs.iter().any(|output| matches!(output, Output::Execute(_))));
            times(first, second)
        };
        measure(&format!("the last answer: decided, made durable, executed, {total} queued"), || {
            decided(|_, last| last)
        });
        measure(&format!("both answers, {total} queued"), || decided(|first, last| first + last));
    }
}
