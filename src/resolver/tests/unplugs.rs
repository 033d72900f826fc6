//! A guest that lets go of a device late: what is then taken for whose doing.

use super::*;
use crate::model::{Cause, DeviceName, PowerState, StartId, VmState};

fn disk(name: &str) -> DeviceName {
    format!("disk:{name}").parse().unwrap()
}

/// North's command to unplug vdb, which the guest has not obeyed in time.
fn kept(policy: Policy) -> World {
    let mut world = World::shared(policy);
    world.submit("north", "a: device.detach device=disk:vdb class=emergency");
    world.fail("a", Code::GuestTimeout);
    world
}

fn last_origin(world: &World) -> Origin {
    let of = |fact: &Fact| match fact {
        Fact::Observed { origin, .. } => Some(origin.clone()),
        _ => None,
    };
    world.facts().filter_map(of).last().unwrap()
}

#[test]
fn only_the_device_alone_is_what_the_guest_let_go_of() {
    type Change = fn(&mut VmState);
    let changes: [(&str, Change, bool); 4] = [
        ("the disk alone", |_| (), true),
        ("another with it", |vm| _ = vm.devices.remove(&disk("vda")), false),
        ("vCPUs with it", |vm| vm.vcpus += 1, false),
        ("another instead", |vm| _ = vm.devices.insert(disk("vdx")), false),
    ];
    for (what, change, late) in changes {
        let mut world = kept(Policy::default());
        world.told(Cause::DeviceRemoved, |vm| {
            vm.devices.remove(&disk("vdb"));
            change(vm);
        });
        let by = Origin::Command { command: world.id("a") };
        assert_eq!(last_origin(&world) == by, late, "{what}");
    }
}

#[test]
fn a_guest_that_is_told_once_more_obeys_whoever_tells_it_now() {
    let mut world = kept(Policy { gather: std::time::Duration::ZERO, ..Policy::default() });
    world.submit("south", "b: device.detach device=disk:vdb");
    assert_eq!(executed(&world), ["a", "b"]);
    world.told(Cause::DeviceRemoved, |vm| _ = vm.devices.remove(&disk("vdb")));
    assert_eq!(last_origin(&world), Origin::Command { command: world.id("b") });
}

#[test]
fn what_is_plugged_in_again_and_pulled_by_a_stranger_is_not_the_late_guests_doing() {
    let mut world = kept(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
    world.submit("south", "b: snapshot.create name=s kind=disk-only disks=vdb");
    world.told(Cause::DeviceRemoved, |vm| _ = vm.devices.remove(&disk("vdb")));
    world.told(Cause::DeviceAdded, |vm| _ = vm.devices.insert(disk("vdb")));
    world.told(Cause::DeviceRemoved, |vm| _ = vm.devices.remove(&disk("vdb")));
    world.pass(std::time::Duration::from_secs(5));
    assert_eq!((ending(&mut world, "b").as_str(), cause(&mut world, "b")), ("impossible state-forbids", None));
}

#[test]
fn another_start_of_the_vm_has_never_been_told() {
    let mut world = kept(Policy::default());
    world.told(Cause::Destroyed, |vm| (vm.power, vm.start) = (PowerState::ShutOff, StartId(None)));
    world.told(Cause::Started, |vm| (vm.power, vm.start) = (PowerState::Running, StartId(Some(9))));
    world.told(Cause::DeviceRemoved, |vm| _ = vm.devices.remove(&disk("vdb")));
    assert_eq!(last_origin(&world), Origin::past_us(Some(Cause::DeviceRemoved)));
}
