//! The fake behaves as the trait says; its calls come from a real lane, the only thing that makes calls.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::model::{Action, Class, Command, Guard, HoldKey, Kib, Mono, Now, Order, PowerState, ProviderId, Wall};
use crate::resolver::{Input, Lane, Output, Policy, Sender, State};

fn vm_id() -> VmId {
    VmId(Uuid::from_u128(7))
}

fn running() -> VmState {
    VmState {
        power: PowerState::Running,
        start: StartId(Some(3)),
        vcpus: 1,
        vcpus_max: 4,
        memory_kib: Kib(1024),
        memory_max_kib: Kib(2048),
        snapshots: BTreeSet::new(),
        checkpoints: BTreeSet::new(),
        devices: BTreeSet::new(),
        jobs: BTreeSet::new(),
        saved: false,
        definition: None,
    }
}

/// The call that a lane makes for this action on a VM in this state.
fn call(number: u128, state: &VmState, action: Action, args: Value) -> Call {
    let mut lane = Lane::new(State::new(vm_id()), Policy::default());
    let now = Now { mono: Mono(1), wall: Wall::from_micros(1_000_000) };
    let command = Command {
        id: CommandId(Uuid::from_u128(number)),
        vm: vm_id(),
        provider: ProviderId::operator(),
        operation: Operation::parse(action, args).unwrap(),
        order: Order::default(),
        issued_at: None,
        not_after: None,
        must_start_by: None,
        break_glass: None,
        guard: Guard::default(),
        class: Class::Emergency,
        epoch: None,
        call: None,
    };
    let primary = "north".parse().unwrap();
    let enroll = Input::Enroll { token: 1, name: "vm".to_owned(), primary, state: state.clone() };
    let submit = Input::Submitted { token: 2, command: Box::new(command), sender: Sender::default() };
    let mut inputs = std::collections::VecDeque::from([enroll, submit]);
    let mut now = now;
    for _ in 0..50 {
        let input = inputs.pop_front().unwrap_or(Input::Tick);
        now.mono.0 += 1_000_000;
        for output in lane.step(now, input) {
            match output {
                Output::Append { step, .. } => inputs.push_front(Input::Persisted { step }),
                Output::Execute(call) => return call,
                Output::Refused { refusal, .. } => panic!("{refusal}"),
                _ => {}
            }
        }
    }
    panic!("no call came");
}

fn fake(mode: Mode) -> Fake {
    let fake = Fake::new(mode);
    fake.define(vm_id(), "vm", running());
    fake
}

#[tokio::test]
async fn a_stepped_call_ends_when_and_as_the_test_says() {
    let fake = fake(Mode::Stepped);
    let suspend = call(1, &running(), Action::PowerSuspend, Value::Null);
    let command = suspend.command();
    let executed = tokio::spawn(fake.execute(suspend));
    fake.until_waiting(command).await;
    assert_eq!(fake.state(vm_id()).unwrap().power, PowerState::Running);
    fake.finish(command, How::Normally).unwrap();
    assert_eq!(executed.await.unwrap(), CallResult::Done(Value::Null));
    assert_eq!(fake.state(vm_id()).unwrap().power, PowerState::Paused);
    assert_eq!(fake.finish(command, How::Normally), Err(FinishError(command)));
    assert_eq!(fake.executions(command), 1);
}

#[tokio::test]
async fn a_lost_call_is_found_out_by_its_effect() {
    for (fate, evidence) in [(Fate::TookEffect, Evidence::Done), (Fate::NoEffect, Evidence::Undone)] {
        let fake = fake(Mode::Stepped);
        let mut events = fake.events();
        let suspend = call(1, &running(), Action::PowerSuspend, Value::Null);
        let executed = tokio::spawn(fake.execute(suspend.clone()));
        fake.until_waiting(suspend.command()).await;
        fake.disconnect(fate);
        assert!(matches!(executed.await.unwrap(), CallResult::Lost(_)));
        assert!(matches!(fake.observe(vm_id()).await, Err(AskHypervisorError::Unreachable { .. })));
        fake.probe(suspend.clone()).await.unwrap_err();
        fake.reconnect();
        assert_eq!(fake.probe(suspend).await.unwrap(), evidence);
        if fate == Fate::TookEffect {
            assert_eq!(events.recv().await, Some(Event::Power(vm_id(), PowerState::Paused)));
        }
        assert_eq!(events.recv().await, Some(Event::Disconnected));
        assert_eq!(events.recv().await, Some(Event::Reconnected));
    }
}

#[tokio::test]
async fn it_refuses_what_libvirt_would_refuse() {
    let fake = fake(Mode::Auto);
    // The lane that asks believes in more vCPUs than there can be.
    let believed = VmState { vcpus_max: 16, ..running() };
    let vcpus = call(1, &believed, Action::CpuSet, json!({ "vcpus": 9 }));
    let CallResult::Failed(outcome) = fake.execute(vcpus).await else { panic!() };
    assert_eq!(outcome.code, Code::HypervisorFailed);

    let stop = call(2, &running(), Action::PowerStop, Value::Null);
    assert_eq!(fake.execute(stop.clone()).await, CallResult::Done(Value::Null));
    // Decided for the start that has just ended.
    let CallResult::Failed(outcome) = fake.execute(stop).await else { panic!() };
    assert_eq!((outcome.ending, outcome.code), (Ending::Impossible, Code::StateForbids));

    fake.undefine(vm_id());
    let read = call(3, &running(), Action::InspectRead, Value::Null);
    let CallResult::Failed(outcome) = fake.execute(read).await else { panic!() };
    assert_eq!(outcome.code, Code::VmGone);
}

#[test]
fn what_is_about_a_disk_that_is_not_there_is_refused() {
    let fake = fake(Mode::Auto);
    fake.change(vm_id(), |state| {
        state.devices.insert("disk:vda".parse().unwrap());
    });
    let snapshot = |disks: &[&str]| {
        let args = json!({ "name": "a", "kind": "disk-only", "disks": disks });
        fake.act(vm_id(), &Operation::parse(Action::SnapshotCreate, args).unwrap())
    };
    let refused = snapshot(&["vda", "vdz"]).unwrap_err();
    assert_eq!((refused.ending, refused.reason.as_str()), (Ending::Impossible, "the VM has no disk:vdz"));
    assert!(fake.state(vm_id()).unwrap().snapshots.is_empty());
    snapshot(&["vda"]).unwrap();
}

#[tokio::test]
async fn a_migration_is_open_until_somebody_ends_it() {
    let fake = fake(Mode::Auto);
    let act = |action, args: Value| fake.act(vm_id(), &Operation::parse(action, args).unwrap());
    let to = json!({ "to": "qemu+tls://b/system" });
    assert_eq!(act(Action::MigrateAbort, Value::Null).unwrap_err().ending, Ending::Impossible);
    let begun = act(Action::MigrateBegin, to.clone()).unwrap();
    assert_eq!(begun, json!({ "to": "qemu+tls://b/system", "over": false }));
    assert!(fake.state(vm_id()).unwrap().jobs.contains(&HoldKey::Migration));
    act(Action::MigrateBegin, to.clone()).unwrap_err();
    act(Action::MigrateAbort, Value::Null).unwrap();
    // It failed by itself.
    act(Action::MigrateBegin, to.clone()).unwrap();
    fake.change(vm_id(), |state| state.jobs.clear());
    act(Action::MigrateBegin, to).unwrap();
}
