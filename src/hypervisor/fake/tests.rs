//! The fake behaves as the trait says; its calls come from a real lane, the only thing that makes calls.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::model::{
    Action, Cause, Class, Command, Guard, HoldKey, Kib, Mono, Now, Order, PowerState, ProviderId, Wall,
};
use crate::resolver::{Input, Lane, Output, Policy, State};

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
    };
    let primary = "north".parse().unwrap();
    let enroll = Input::Enroll { token: 1, name: "vm".to_owned(), primary, state: state.clone() };
    let submit = Input::Submitted { token: 2, command: Box::new(command), clock: None };
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

#[tokio::test]
async fn a_revert_brings_back_what_the_snapshot_held() {
    let fake = fake(Mode::Auto);
    let name = json!({ "name": "a" });
    let act = |action, args: Value| fake.act(vm_id(), &Operation::parse(action, args).unwrap());
    act(Action::SnapshotCreate, name.clone()).unwrap();
    act(Action::CpuSet, json!({ "vcpus": 2 })).unwrap();
    act(Action::PowerStop, Value::Null).unwrap();
    act(Action::SnapshotRevert, name.clone()).unwrap();
    let state = fake.state(vm_id()).unwrap();
    assert_eq!((state.power, state.vcpus), (PowerState::Running, 1));
    assert_ne!(state.start, StartId(Some(3)), "it is a new start");
    assert_eq!(fake.inventory(vm_id()).await.unwrap().domain.identity.name, "vm");
    act(Action::SnapshotDelete, name.clone()).unwrap();
    assert_eq!(act(Action::SnapshotDelete, name).unwrap_err().ending, Ending::Impossible);
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

#[test]
fn backups_disks_and_block_jobs_are_refused_as_libvirt_refuses_them() {
    let fake = fake(Mode::Auto);
    fake.change(vm_id(), |state| {
        state.devices.insert("disk:vda".parse().unwrap());
    });
    let act = |action, args| fake.act(vm_id(), &Operation::parse(action, args).unwrap());
    let code = |result: Result<Value, Outcome>| result.unwrap_err().code;
    let begin = |checkpoint: &str, since: Option<&str>| {
        let files = json!({ "vda": "/backup" });
        let args = json!({ "mode": "push", "files": files, "checkpoint": checkpoint, "incremental": since });
        act(Action::BackupBegin, args)
    };
    assert_eq!(code(begin("n.a", Some("n.0"))), Code::StateForbids);
    begin("n.a", None).unwrap();
    assert_eq!(code(begin("n.b", None)), Code::HypervisorFailed, "one is open");
    // It ends by itself: nobody asked the fake to.
    fake.change(vm_id(), |state| state.jobs.clear());
    assert_eq!(code(act(Action::BackupEnd, Value::Null)), Code::StateForbids);
    assert_eq!(code(begin("n.a", None)), Code::HypervisorFailed, "the checkpoint is there");
    begin("n.b", Some("n.a")).unwrap();
    act(Action::BackupEnd, Value::Null).unwrap();

    let resize = |capacity: u64| act(Action::DiskResize, json!({ "disk": "vda", "capacity": capacity }));
    resize(1024).unwrap();
    resize(1024).unwrap();
    assert_eq!(code(resize(512)), Code::StateForbids);

    let disk = json!({ "disk": "vda" });
    assert_eq!(code(act(Action::BlockAbort, disk.clone())), Code::StateForbids);
    act(Action::BlockPull, disk.clone()).unwrap();
    assert_eq!(fake.state(vm_id()).unwrap().jobs, BTreeSet::from(["block:vda".parse().unwrap()]));
    act(Action::BlockAbort, disk).unwrap();
    assert!(fake.state(vm_id()).unwrap().jobs.is_empty());
}

#[tokio::test]
async fn a_saved_vm_goes_on_and_its_image_is_used_up() {
    let fake = fake(Mode::Auto);
    let act = |action| fake.act(vm_id(), &Operation::parse(action, Value::Null).unwrap());
    assert_eq!(act(Action::PowerSaveRemove).unwrap_err().code, Code::StateForbids);
    act(Action::PowerSave).unwrap();
    let saved = fake.state(vm_id()).unwrap();
    assert_eq!((saved.power, saved.start, saved.saved), (PowerState::ShutOff, StartId(None), true));
    act(Action::PowerRestore).unwrap();
    let on = fake.state(vm_id()).unwrap();
    assert_eq!((on.power, on.saved), (PowerState::Running, false));
    act(Action::PowerSave).unwrap();
    act(Action::PowerSaveRemove).unwrap();
    assert_eq!(act(Action::PowerRestore).unwrap_err().ending, Ending::Impossible);
    act(Action::PowerSave).unwrap_err();
}

#[tokio::test]
async fn a_definition_is_compared_by_generation_and_one_that_goes_takes_the_vm_with_it() {
    let fake = fake(Mode::Auto);
    let act = |action, args: Value| fake.act(vm_id(), &Operation::parse(action, args).unwrap());
    let xml = |name: &str, vcpus: u32| {
        let id = vm_id();
        json!({ "xml": format!("<domain type='test'><name>{name}</name><uuid>{id}</uuid><memory>2048</memory>\
                                <vcpu current='1'>{vcpus}</vcpu><os><type>hvm</type></os></domain>") })
    };
    let first = act(Action::DefinitionDefine, xml("vm", 6)).unwrap();
    assert_eq!(first["changed"], true);
    assert_eq!(fake.state(vm_id()).unwrap().definition, first["generation"].as_str().map(str::to_owned));
    assert_eq!(fake.state(vm_id()).unwrap().vcpus_max, 4, "it runs on as it is");
    assert_eq!(act(Action::DefinitionDefine, xml("vm", 6)).unwrap()["changed"], false);
    assert_eq!(act(Action::DefinitionDefine, xml("other", 6)).unwrap_err().ending, Ending::Impossible);
    assert_eq!(act(Action::AutostartSet, json!({ "enabled": true })).unwrap(), json!({ "autostart": true }));

    act(Action::SnapshotCreate, json!({ "name": "a" })).unwrap();
    act(Action::DefinitionUndefine, Value::Null).unwrap();
    assert_eq!(fake.state(vm_id()).unwrap().power, PowerState::Running, "it is transient now");
    assert_eq!(act(Action::DefinitionUndefine, Value::Null).unwrap_err().ending, Ending::Impossible);
    assert_eq!(act(Action::AutostartSet, json!({ "enabled": true })).unwrap_err().ending, Ending::Impossible);
    let mut events = fake.events();
    act(Action::PowerStop, Value::Null).unwrap();
    assert_eq!(events.recv().await, Some(Event::Gone(vm_id(), Some(Cause::Destroyed))));
    assert!(fake.state(vm_id()).is_none());

    fake.define(vm_id(), "vm", VmState { power: PowerState::ShutOff, start: StartId(None), ..running() });
    act(Action::SnapshotCreate, json!({ "name": "a" })).unwrap();
    act(Action::DefinitionUndefine, Value::Null).unwrap_err();
    act(Action::DefinitionUndefine, json!({ "snapshots_metadata": true })).unwrap();
    assert!(fake.state(vm_id()).is_none());
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
