//! What is possible on which state, and what each operation leaves for the next: every line of both tables, either way.

use serde_json::{Value, json};

use super::super::feasibility::Imagined;
use super::world::{running, samples};
use crate::model::{Guard, Operation, PowerState, StartId, VmState};

fn operation(action: &str, args: Value) -> Operation {
    Operation::parse(action.parse().unwrap(), args).unwrap()
}

fn off() -> VmState {
    VmState { power: PowerState::ShutOff, start: StartId(None), ..running() }
}

#[test]
fn each_operation_is_possible_where_it_is_and_says_why_not_elsewhere() {
    let transient = VmState { definition: None, ..running() };
    let saved = VmState { saved: true, ..off() };
    let disk = |target| json!({"xml": samples::disk(target)});
    let mac = |last: u8| json!({"device": format!("nic:52:54:00:00:00:0{last}")});
    let backup = |name| json!({"mode": "push", "files": {"vda": "/b/vda"}, "checkpoint": name});
    for (on, action, args, forbidden) in [
        (running(), "power.suspend", json!({}), None),
        (off(), "power.suspend", json!({}), Some("not possible while the VM is shut-off")),
        (running(), "snapshot.create", json!({"name": "new"}), None),
        (running(), "snapshot.create", json!({"name": "base"}), Some("a snapshot named \"base\" exists already")),
        (running(), "snapshot.delete", json!({"name": "base"}), None),
        (running(), "snapshot.delete", json!({"name": "new"}), Some("there is no snapshot named \"new\"")),
        (running(), "snapshot.revert", json!({"name": "base"}), None),
        (running(), "snapshot.revert", json!({"name": "new"}), Some("there is no snapshot named \"new\"")),
        (running(), "cpu.set", json!({"vcpus": 8}), None),
        (running(), "cpu.set", json!({"vcpus": 9}), Some("9 vCPUs are more than the 8")),
        (running(), "memory.set", json!({"memory_kib": 16 << 20}), None),
        (running(), "memory.set", json!({"memory_kib": (16 << 20) + 1}), Some("are more than the")),
        (running(), "checkpoint.create", json!({"name": "north.new"}), None),
        (running(), "checkpoint.create", json!({"name": "north.base"}), Some("\"north.base\" exists already")),
        (running(), "backup.begin", backup("north.new"), None),
        (running(), "backup.begin", backup("north.base"), Some("\"north.base\" exists already")),
        (running(), "checkpoint.delete", json!({"name": "north.base"}), None),
        (running(), "checkpoint.delete", json!({"name": "north.new"}), Some("no checkpoint named \"north.new\"")),
        (running(), "device.attach", disk("vdc"), None),
        (running(), "device.attach", disk("vdb"), Some("the VM has disk:vdb already")),
        (running(), "device.detach", mac(1), None),
        (running(), "device.detach", mac(2), Some("the VM has no nic:52:54:00:00:00:02")),
        (running(), "disk.resize", json!({"disk": "vdb", "capacity": 1_u64 << 31}), None),
        (running(), "disk.resize", json!({"disk": "vdc", "capacity": 1_u64 << 31}), Some("the VM has no disk:vdc")),
        (saved.clone(), "power.restore", json!({}), None),
        (off(), "power.restore", json!({}), Some("no image that the VM was saved to")),
        (saved, "power.save-remove", json!({}), None),
        (off(), "power.save-remove", json!({}), Some("no image that the VM was saved to")),
        (off(), "definition.undefine", json!({}), None),
        (running(), "definition.undefine", json!({}), None),
        (transient, "definition.undefine", json!({}), Some("the VM has no definition")),
    ] {
        let operation = operation(action, args.clone());
        let found = Imagined::from(&on).allows(&operation).err();
        match forbidden {
            None => assert_eq!(found, None, "{action} {args}"),
            Some(says) => {
                assert!(found.as_ref().is_some_and(|found| found.contains(says)), "{action} {args}: {found:?}");
            }
        }
    }
}

#[test]
fn what_one_leaves_behind_is_what_the_next_finds() {
    let none = || json!({});
    let transient = VmState { definition: None, ..running() };
    let backup = |name| json!({"mode": "push", "files": {"vda": "/b/vda"}, "checkpoint": name});
    for (on, first, then, forbidden) in [
        (running(), ("snapshot.create", json!({"name": "new"})), ("snapshot.delete", json!({"name": "new"})), None),
        (
            running(),
            ("snapshot.create", json!({"name": "new"})),
            ("snapshot.create", json!({"name": "new"})),
            Some("exists"),
        ),
        (
            running(),
            ("snapshot.delete", json!({"name": "base"})),
            ("snapshot.revert", json!({"name": "base"})),
            Some("no snapshot"),
        ),
        (running(), ("power.stop", none()), ("power.suspend", none()), Some("while the VM is shut-off")),
        (running(), ("power.stop", none()), ("power.start", none()), None),
        (
            running(),
            ("power.stop", none()),
            ("snapshot.create", json!({"name": "new"})),
            Some("would not hold the memory"),
        ),
        (running(), ("power.stop", none()), ("snapshot.create", json!({"name": "new", "kind": "disk-only"})), None),
        (running(), ("power.suspend", none()), ("snapshot.create", json!({"name": "new"})), None),
        (running(), ("power.save", none()), ("power.restore", none()), None),
        (running(), ("power.save", none()), ("power.save-remove", none()), None),
        (running(), ("power.save", none()), ("power.suspend", none()), Some("while the VM is shut-off")),
        (VmState { saved: true, ..off() }, ("power.restore", none()), ("power.suspend", none()), None),
        (VmState { saved: true, ..off() }, ("power.restore", none()), ("power.stop", none()), None),
        (VmState { saved: true, ..off() }, ("power.save-remove", none()), ("power.restore", none()), Some("no image")),
        (VmState { saved: true, ..off() }, ("power.save-remove", none()), ("power.start", none()), None),
        // A start takes the image and is rid of it.
        (
            VmState { saved: true, ..off() },
            ("power.start", none()),
            ("power.save-remove", none()),
            Some("while the VM is"),
        ),
        (running(), ("snapshot.revert", json!({"name": "base"})), ("power.suspend", none()), None),
        (off(), ("snapshot.revert", json!({"name": "base"})), ("power.suspend", none()), None),
        (
            running(),
            ("snapshot.revert", json!({"name": "base"})),
            ("snapshot.create", json!({"name": "new"})),
            Some("would not hold the memory"),
        ),
        (
            running(),
            ("device.attach", json!({"xml": samples::disk("vdc")})),
            ("device.detach", json!({"device": "disk:vdc"})),
            None,
        ),
        (
            running(),
            ("device.detach", json!({"device": "disk:vdb"})),
            ("disk.resize", json!({"disk": "vdb", "capacity": 1_u64 << 31})),
            Some("no disk:vdb"),
        ),
        (
            running(),
            ("checkpoint.create", json!({"name": "north.new"})),
            ("checkpoint.delete", json!({"name": "north.new"})),
            None,
        ),
        (
            running(),
            ("checkpoint.delete", json!({"name": "north.base"})),
            ("checkpoint.create", json!({"name": "north.base"})),
            None,
        ),
        (running(), ("backup.begin", backup("north.new")), ("checkpoint.delete", json!({"name": "north.new"})), None),
        (running(), ("backup.begin", backup("north.new")), ("power.suspend", none()), None),
        (
            running(),
            ("migrate.begin", json!({"to": "qemu+tls://b/system"})),
            ("power.suspend", none()),
            Some("moved to another host"),
        ),
        (running(), ("migrate.begin", json!({"to": "qemu+tls://b/system"})), ("inspect.read", none()), None),
        (running(), ("definition.undefine", none()), ("power.suspend", none()), None),
        (running(), ("definition.undefine", none()), ("definition.undefine", none()), Some("no definition")),
        (off(), ("definition.undefine", none()), ("power.start", none()), Some("would not exist any more")),
        (transient.clone(), ("power.stop", none()), ("power.start", none()), Some("would not exist any more")),
        (transient, ("power.suspend", none()), ("power.resume", none()), None),
    ] {
        let told = format!("{} {}, then {} {}", first.0, first.1, then.0, then.1);
        let after = Imagined::from(&on).with_effect(&operation(first.0, first.1));
        let found = after.allows(&operation(then.0, then.1)).err();
        match forbidden {
            None => assert_eq!(found, None, "{told}"),
            Some(says) => assert!(found.as_ref().is_some_and(|found| found.contains(says)), "{told}: {found:?}"),
        }
    }
}

#[test]
fn a_guard_is_held_against_what_is_known_and_nothing_else() {
    let guard = |fields: Value| -> Guard { serde_json::from_value(fields).unwrap() };
    let after = |action, args| Imagined::from(&running()).with_effect(&operation(action, args));
    let known = Imagined::from(&running());
    assert_eq!(known.meets(&guard(json!({"state": "running", "vcpus": 2}))), Ok(()));
    assert!(known.meets(&guard(json!({"state": "paused"}))).is_err());

    let paused = after("power.suspend", json!({}));
    assert_eq!(paused.meets(&guard(json!({"state": "paused", "vcpus": 2}))), Ok(()));
    assert!(paused.meets(&guard(json!({"state": "running"}))).is_err());
    assert!(paused.meets(&guard(json!({"generation": "anything"}))).is_err(), "every change makes a new one");
    let read = after("inspect.read", json!({}));
    assert_eq!(read.meets(&guard(json!({"generation": running().generation()}))), Ok(()), "a read changes nothing");

    let more = after("cpu.set", json!({"vcpus": 4}));
    assert_eq!(more.meets(&guard(json!({"vcpus": 4}))), Ok(()));
    assert!(more.meets(&guard(json!({"vcpus": 2}))).is_err());
    let larger = after("memory.set", json!({"memory_kib": 4096}));
    assert_eq!(larger.meets(&guard(json!({"memory_kib": 4096, "vcpus": 2}))), Ok(()));
    assert!(larger.meets(&guard(json!({"memory_kib": 4095}))).is_err());

    // What a revert brings is not known before it is seen, so it is held against nothing.
    let reverted = after("snapshot.revert", json!({"name": "base"}));
    assert_eq!(reverted.meets(&guard(json!({"state": "paused", "vcpus": 7, "memory_kib": 1}))), Ok(()));
    let redefined = after("definition.define", samples::args(crate::model::Action::DefinitionDefine, 0));
    assert_eq!(redefined.meets(&guard(json!({"vcpus": 7, "memory_kib": 1}))), Ok(()));
    assert!(redefined.meets(&guard(json!({"state": "paused"}))).is_err(), "its power is as it was");
}
