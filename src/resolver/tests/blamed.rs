//! Which command is named as the cause when another cannot be executed any more (I11).

use super::*;
use crate::model::{Cause, PowerState, StartId};

/// What comes first, command by command, then `c`, which has come before these ended; how that ended, and its cause.
fn story(before: &str, first: &[&str], line: &str) -> (String, Option<String>) {
    let mut world = World::shared(Policy { gather: std::time::Duration::ZERO, ..Policy::default() });
    if before == "saved" {
        world.out_of_band(|vm| (vm.power, vm.start, vm.saved) = (PowerState::ShutOff, StartId(None), true));
    }
    for (place, line) in first.iter().enumerate() {
        let after = if place == 0 { String::new() } else { format!(" after=f{}", place - 1) };
        world.submit("north", &format!("f{place}: {line}{after}"));
    }
    // A checkpoint bears the name of who makes it.
    let by = if line.contains("north.") { "north" } else { "south" };
    world.submit(by, &format!("c: {line} after=f{}", first.len() - 1));
    for place in 0..first.len() {
        world.finish(&format!("f{place}"));
    }
    let ending = ending(&mut world, "c");
    (ending, cause(&mut world, "c"))
}

#[test]
fn a_command_is_the_cause_where_its_effect_is_what_forbids_the_other() {
    let attach = "device.attach xml=vdc";
    let (begin, end) = ("backup.begin mode=push files=vda checkpoint=north.c", "backup.end");
    let create = "checkpoint.create name=north.c";
    let unrelated = "snapshot.delete name=never";
    for (before, first, line, cause) in [
        ("", &["power.suspend"][..], "power.suspend", Some("f0")),
        ("", &["power.suspend"], unrelated, None),
        ("", &["snapshot.create name=s"], "snapshot.create name=s", Some("f0")),
        ("", &["snapshot.create name=s"], unrelated, None),
        ("", &["snapshot.delete name=base"], "snapshot.revert name=base", Some("f0")),
        ("", &["snapshot.delete name=base"], unrelated, None),
        ("", &["power.save"], "power.suspend", Some("f0")),
        ("", &["power.save"], unrelated, None),
        ("saved", &["power.restore"], "power.start", Some("f0")),
        ("saved", &["power.restore"], unrelated, None),
        ("saved", &["power.restore", "power.stop"], "power.restore", Some("f0")),
        ("saved", &["power.restore", "power.stop"], "power.save-remove", Some("f0")),
        ("saved", &["power.restore", "power.stop"], unrelated, None),
        ("saved", &["power.save-remove"], "power.restore", Some("f0")),
        ("saved", &["power.save-remove"], unrelated, None),
        ("", &[attach], attach, Some("f0")),
        ("", &[attach], unrelated, None),
        ("", &["device.detach device=disk:vdb"], "snapshot.create name=s kind=disk-only disks=vdb", Some("f0")),
        ("", &["device.detach device=disk:vdb"], unrelated, None),
        ("", &[create], create, Some("f0")),
        ("", &[create], begin, Some("f0")),
        ("", &[create], "checkpoint.create name=north.base", None),
        ("", &[create], unrelated, None),
        ("", &[begin, end], create, Some("f0")),
        ("", &[begin, end], unrelated, None),
        ("", &["backup.begin mode=push files=vda", end], "checkpoint.create name=north.base", None),
        ("", &["checkpoint.delete name=north.base"], "checkpoint.delete name=north.base", Some("f0")),
        ("", &["checkpoint.delete name=north.base"], unrelated, None),
    ] {
        assert_eq!(
            story(before, first, line),
            ("impossible state-forbids".into(), cause.map(str::to_owned)),
            "{first:?}, {line}"
        );
    }
}

#[test]
fn a_command_is_the_cause_where_its_effect_is_what_a_guard_does_not_expect() {
    let begin = "backup.begin mode=push files=vda checkpoint=north.c";
    let (power, vcpus, memory) = ("expects-state=shutting-down", "expects-vcpus=7", "expects-memory=7");
    for (before, first, guards) in [
        ("", "power.suspend", power),
        ("", "power.save", power),
        ("saved", "power.restore", power),
        ("", "cpu.set vcpus=4", vcpus),
        ("", "memory.set memory_kib=1024", memory),
        ("", "snapshot.create name=s", ""),
        ("", "snapshot.delete name=base", ""),
        ("saved", "power.save-remove", ""),
        ("", "device.attach xml=vdc", ""),
        ("", "device.detach device=disk:vdb", ""),
        ("", "checkpoint.create name=north.c", ""),
        ("", "checkpoint.delete name=north.base", ""),
        ("", begin, ""),
    ] {
        for guard in [power, vcpus, memory, "expects-generation=another"] {
            let is_cause = guard == guards || guard.contains("generation");
            // Nobody overwrites it: to set metadata is another matter.
            let expected = ("impossible guard-failed".to_owned(), is_cause.then(|| "f0".to_owned()));
            let line = format!("metadata.set uri=urn:c key=c {guard}");
            assert_eq!(story(before, &[first], &line), expected, "{first} {guard}");
        }
    }
}

#[test]
fn who_brought_the_power_state_about_past_us_is_said_where_that_is_what_forbids() {
    for (guard, told) in [("expects-state=running", true), ("expects-state=shut-off expects-vcpus=7", false)] {
        let mut world = World::alone(Policy::default());
        world.told(Cause::Destroyed, |vm| (vm.power, vm.start) = (PowerState::ShutOff, StartId(None)));
        world.submit("north", &format!("c: metadata.set uri=urn:c key=c {guard}"));
        let outcome = world.outcome("c").unwrap();
        assert_eq!(
            (outcome.code, outcome.reason.contains("destroyed")),
            (Code::GuardFailed, told),
            "{}",
            outcome.reason
        );
    }
}

#[test]
fn a_command_that_failed_is_no_cause() {
    let mut world = World::alone(Policy::default());
    world.submit("north", "a: snapshot.delete name=base");
    world.submit("north", "b: snapshot.delete name=base");
    world.machine.snapshots.clear();
    world.fail("a", Code::HypervisorFailed);
    world.out_of_band(|_| ());
    world.finish("b");
    world.submit("north", "c: snapshot.delete name=base");
    assert_eq!((ending(&mut world, "c").as_str(), cause(&mut world, "c")), ("impossible state-forbids", None));
}

#[test]
fn a_command_at_which_the_power_state_was_seen_to_change_is_the_cause_even_if_it_failed() {
    let mut world = World::alone(Policy { gather: std::time::Duration::ZERO, ..Policy::default() });
    world.submit("north", "a: power.suspend");
    world.submit("south", "unheard: power.suspend");
    world.submit("north", "b: power.suspend");
    world.out_of_band(|vm| vm.power = PowerState::Paused);
    world.pass_ms(1);
    world.fail("a", Code::HypervisorFailed);
    assert_eq!(cause(&mut world, "b").as_deref(), Some("a"));
    world.pass_ms(1);
    world.submit("north", "c: power.suspend");
    assert_eq!((ending(&mut world, "c").as_str(), cause(&mut world, "c")), ("impossible state-forbids", None));
}

#[test]
fn what_was_undone_past_us_is_no_cause_any_more() {
    let saved = |vm: &mut VmState| (vm.power, vm.start, vm.saved) = (PowerState::ShutOff, StartId(None), true);
    let off = |vm: &mut VmState| (vm.power, vm.start) = (PowerState::ShutOff, StartId(None));
    let paused = |vm: &mut VmState| (vm.power, vm.start) = (PowerState::Paused, StartId(Some(77)));
    type Change = fn(&mut VmState);
    for (before, first, cause, undone) in [
        (None, "power.suspend", Cause::Destroyed, off as Change),
        (None, "power.save", Cause::Started, paused),
        (Some(saved as Change), "power.restore", Cause::Destroyed, off),
    ] {
        let mut world = World::shared(Policy { gather: std::time::Duration::ZERO, ..Policy::default() });
        if let Some(before) = before {
            world.out_of_band(before);
        }
        world.submit("north", &format!("f: {first}"));
        world.submit("north", "m: metadata.set uri=urn:m key=m after=f");
        world.submit("south", "c: power.suspend after=m");
        world.finish("f");
        world.told(cause, undone);
        world.finish("m");
        let outcome = world.outcome("c").unwrap();
        assert_eq!((outcome.code, outcome.cause), (Code::StateForbids, None), "{first}, then {cause}");
        assert!(outcome.reason.contains("out of band"), "{}", outcome.reason);
    }
}
