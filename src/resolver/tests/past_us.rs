//! Who brought about what no command did.

use super::*;
use crate::model::{Actor, Cause, Happening, HoldKey, PowerState, StartId, VmState};

/// The origins of what was seen and heard, in order.
fn origins(world: &World) -> Vec<Origin> {
    let of = |fact: &Fact| match fact {
        Fact::Observed { origin, .. } | Fact::Happened { origin, .. } => Some(origin.clone()),
        Fact::Vanished { origin } => origin.clone(),
        _ => None,
    };
    world.facts().filter_map(of).collect()
}

fn off(vm: &mut VmState) {
    (vm.power, vm.start) = (PowerState::ShutOff, StartId(None));
}

fn about(cause: Cause, subject: &str) -> Input {
    Input::Happened(Happening { cause, subject: Some(subject.to_owned()) })
}

#[test]
fn whoever_ends_the_vm_is_told_by_what_libvirt_says() {
    for cause in [Cause::Destroyed, Cause::GuestShutdown, Cause::Crashed] {
        let mut world = World::shared(Policy::default());
        world.told(cause, off);
        let [origin] = origins(&world).try_into().unwrap();
        assert_eq!((origin.actor(), origin.cause()), (Some(cause.actor()), Some(cause)));
    }
}

#[test]
fn what_waited_ends_with_the_attribution_of_what_ended_it() {
    for (cause, aside) in [
        (Cause::Destroyed, "(out of band: destroyed)"),
        (Cause::GuestShutdown, "(by the guest: guest-shutdown)"),
        (Cause::Crashed, "(by the hypervisor: crashed)"),
    ] {
        let mut world = World::shared(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
        world.submit("north", "a: power.suspend");
        world.told(cause, off);
        world.pass(std::time::Duration::from_secs(5));
        let outcome = world.outcome("a").unwrap();
        assert_eq!((outcome.ending, outcome.code), (Ending::Impossible, Code::StateForbids));
        assert!(outcome.reason.ends_with(aside), "{}", outcome.reason);
    }
}

#[test]
fn nobody_is_blamed_for_what_is_not_theirs() {
    let mut world = World::shared(Policy { gather: std::time::Duration::ZERO, ..Policy::default() });
    world.told(Cause::Resumed, |vm| vm.power = PowerState::Paused);
    world.told(Cause::Resumed, |vm| vm.power = PowerState::Running);
    // Another reason than the power state.
    world.submit("north", "a: snapshot.delete name=never-made");
    // A power state of our own.
    world.submit("north", "b: power.suspend");
    world.finish("b");
    world.submit("south", "c: power.suspend");
    for name in ["a", "c"] {
        let outcome = world.outcome(name).unwrap();
        assert_eq!(outcome.ending, Ending::Impossible, "{name}");
        assert!(!outcome.reason.contains("out of band"), "{name}: {}", outcome.reason);
    }
}

#[test]
fn whoever_brought_the_power_state_about_is_known_until_a_command_changes_it() {
    let mut world = World::alone(Policy { gather: std::time::Duration::ZERO, ..Policy::default() });
    world.told(Cause::Destroyed, off);
    world.submit("north", "m: metadata.set uri=urn:a key=a");
    world.finish("m");
    world.submit("north", "a: power.suspend");
    assert!(world.outcome("a").unwrap().reason.ends_with("(out of band: destroyed)"));
    // The answer comes before anybody has looked.
    world.submit("north", "s: power.start");
    let id = world.id("s");
    let call = world.calls.remove(&id).unwrap();
    let result = world.effect(&call);
    world.feed(Input::Finished { command: id, result });
    world.submit("north", "b: power.resume");
    let reason = world.outcome("b").unwrap().reason;
    assert!(!reason.contains("destroyed"), "{reason}");
}

#[test]
fn a_running_command_explains_what_it_can_have_done_and_no_more() {
    // What happens while this runs, and whether the command is taken to have done it.
    for (action, cause, ours) in [
        ("power.stop", Cause::Destroyed, true),
        ("power.stop", Cause::Crashed, false),
        ("power.shutdown", Cause::GuestShutdown, true),
        ("power.shutdown", Cause::Destroyed, false),
        ("power.shutdown", Cause::GuestPanicked, false),
        ("power.suspend", Cause::Destroyed, false),
    ] {
        let mut world = World::shared(Policy { gather: std::time::Duration::ZERO, ..Policy::default() });
        world.submit("north", &format!("a: {action}"));
        world.told(cause, off);
        let expected = if ours { Origin::Command { command: world.id("a") } } else { Origin::past_us(Some(cause)) };
        assert_eq!(origins(&world), [expected], "{action} and {cause}");
    }
}

#[test]
fn a_full_disk_that_pauses_the_vm_is_the_hypervisors_doing_and_nobody_resumes_it() {
    let mut world = World::shared(Policy::default());
    world.feed(about(Cause::NoSpace, "virtio-disk0"));
    world.told(Cause::NoSpace, |vm| vm.power = PowerState::Paused);
    world.pass(std::time::Duration::from_secs(60));
    assert_eq!(origins(&world).iter().map(Origin::actor).collect::<Vec<_>>(), [Some(Actor::Hypervisor); 2]);
    assert!(world.executed.is_empty());
    assert_eq!(world.machine.power, PowerState::Paused);
}

#[test]
fn what_changes_no_state_is_told_to_whoever_listens() {
    let mut world = World::shared(Policy::default());
    world.feed(Input::Happened(Cause::Rebooted.into()));
    world.feed(about(Cause::DeviceRemoved, "net0"));
    world.feed(Input::Happened(Cause::Redefined.into()));
    let causes: Vec<_> = origins(&world).iter().filter_map(Origin::cause).collect();
    assert_eq!(causes, [Cause::Rebooted, Cause::DeviceRemoved, Cause::Redefined]);
    let net = |fact: &Fact| matches!(fact, Fact::Happened { subject: Some(subject), .. } if subject == "net0");
    assert!(world.facts().any(net));
}

#[test]
fn a_guest_that_lets_go_late_obeys_the_command_that_told_it() {
    let disk = || "disk:vdb".parse().unwrap();
    let mut world = World::shared(Policy::default());
    let kept = |world: &mut World, name: &str| {
        world.submit("north", &format!("{name}: device.detach device=disk:vdb"));
        world.fail(name, Code::GuestTimeout);
        world.pass(std::time::Duration::from_secs(60));
    };
    let goes = |world: &mut World| {
        world.feed(about(Cause::DeviceRemoved, "virtio-disk1"));
        world.told(Cause::DeviceRemoved, |vm| assert!(vm.devices.remove(&disk())));
    };
    kept(&mut world, "a");
    kept(&mut world, "b");
    goes(&mut world);
    let late = Origin::Command { command: world.id("b") };
    assert_eq!(origins(&world), std::slice::from_ref(&late), "whoever told it last");

    // Somebody plugs it again and pulls it: nobody had told the guest that of ours.
    world.told(Cause::DeviceAdded, |vm| assert!(vm.devices.insert(disk())));
    goes(&mut world);
    let past_us = |cause| Origin::past_us(Some(cause));
    let (added, removed) = (past_us(Cause::DeviceAdded), past_us(Cause::DeviceRemoved));
    assert_eq!(origins(&world), [late.clone(), added.clone(), removed.clone(), removed.clone()]);

    // What another goes for, or what more is different, a stranger did; and another start has forgotten all.
    world.told(Cause::DeviceAdded, |vm| assert!(vm.devices.insert(disk())));
    kept(&mut world, "c");
    let other = "disk:vda".parse().unwrap();
    world.told(Cause::DeviceRemoved, |vm| assert!(vm.devices.remove(&other)));
    world.told(Cause::Suspended, |vm| vm.power = PowerState::Paused);
    world.told(Cause::Destroyed, off);
    world.told(Cause::Started, |vm| (vm.power, vm.start) = (PowerState::Running, StartId(Some(9))));
    goes(&mut world);
    let since = [added, removed.clone(), past_us(Cause::Suspended), past_us(Cause::Destroyed), past_us(Cause::Started)];
    assert_eq!(origins(&world)[4..], [&since[..], &[removed.clone(), removed]].concat());
    assert!(!origins(&world)[1..].contains(&late));
}

#[test]
fn what_a_late_unplug_makes_impossible_names_the_command_that_asked_for_it() {
    let mut world = World::shared(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
    world.submit("north", "a: device.detach device=disk:vdb class=emergency");
    world.fail("a", Code::GuestTimeout);
    world.submit("south", "b: snapshot.create name=s kind=disk-only disks=vdb");
    world.told(Cause::DeviceRemoved, |vm| assert!(vm.devices.remove(&"disk:vdb".parse().unwrap())));
    world.pass(std::time::Duration::from_millis(1));
    world.submit("south", "c: snapshot.create name=t kind=disk-only disks=vdb");
    world.pass(std::time::Duration::from_secs(5));
    let a = world.id("a");
    for (name, cause) in [("b", Some(a)), ("c", None)] {
        let outcome = world.outcome(name).unwrap();
        assert_eq!((outcome.ending, outcome.cause), (Ending::Impossible, cause), "{name}: {}", outcome.reason);
        assert_eq!(outcome.reason, "the VM has no disk:vdb");
    }
}

#[test]
fn our_own_metadata_is_not_told_back_and_somebody_elses_is() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: metadata.set uri=urn:north key=n xml=<n/>");
    world.feed(about(Cause::MetadataChanged, "urn:north"));
    world.feed(about(Cause::MetadataChanged, "urn:south"));
    world.finish("a");
    // Its event may come after its answer, but not long after.
    world.feed(about(Cause::MetadataChanged, "urn:north"));
    world.pass_ms(499);
    world.feed(about(Cause::MetadataChanged, "urn:north"));
    world.pass_ms(1);
    world.feed(about(Cause::MetadataChanged, "urn:north"));
    let subjects: Vec<_> = world
        .facts()
        .filter_map(|fact| match fact {
            Fact::Happened { subject, .. } => subject.clone(),
            _ => None,
        })
        .collect();
    assert_eq!(subjects, ["urn:south", "urn:north"]);
}

#[test]
fn snapshots_that_nobody_announced_are_told_as_such() {
    let mut world = World::shared(Policy::default());
    world.out_of_band(|vm| {
        vm.snapshots.insert("of-virsh".to_owned());
    });
    world.out_of_band(|vm| vm.vcpus += 1);
    world.out_of_band(|vm| {
        vm.snapshots.clear();
        vm.vcpus += 1;
    });
    let (snapshots, anything) = (Origin::past_us(Some(Cause::SnapshotsChanged)), Origin::past_us(None));
    assert_eq!(origins(&world), [snapshots, anything.clone(), anything]);
}

#[test]
fn a_start_that_is_seen_before_it_is_told_is_one_start() {
    let mut world = World::shared(Policy::default());
    world.told(Cause::Destroyed, off);
    world.out_of_band(|vm| (vm.power, vm.start) = (PowerState::Paused, StartId(Some(9))));
    world.told(Cause::Resumed, |vm| vm.power = PowerState::Running);
    world.told(Cause::Suspended, |vm| vm.power = PowerState::Paused);
    world.told(Cause::Resumed, |vm| vm.power = PowerState::Running);
    let causes: Vec<_> = origins(&world).iter().filter_map(Origin::cause).collect();
    let expected = [Cause::Destroyed, Cause::Started, Cause::Started, Cause::Suspended, Cause::Resumed];
    assert_eq!(causes, expected);
}

#[test]
fn a_vm_that_was_stopped_and_started_before_anybody_looked_was_started() {
    let mut world = World::shared(Policy::default());
    world.told(Cause::Destroyed, |vm| vm.start = StartId(Some(9)));
    world.told(Cause::Destroyed, |vm| vm.vcpus += 1);
    let causes: Vec<_> = origins(&world).iter().filter_map(Origin::cause).collect();
    assert_eq!(causes, [Cause::Started, Cause::Destroyed]);
}

#[test]
fn what_leads_elsewhere_than_a_running_command_is_not_its_doing() {
    for (cause, ours) in [(Cause::Started, true), (Cause::Suspended, false)] {
        let mut world = World::alone(Policy::default());
        world.out_of_band(off);
        world.submit("north", "a: power.start");
        world.told(cause, |vm| (vm.power, vm.start) = (PowerState::Paused, StartId(Some(9))));
        let last = origins(&world).pop().unwrap();
        assert_eq!(matches!(last, Origin::Command { .. }), ours, "{cause}: {last:?}");
    }
}

#[test]
fn a_vm_goes_with_a_command_that_ends_it_and_not_with_another() {
    for (line, why, ours) in [
        ("power.stop", Observation::Look, true),
        ("power.stop", Observation::Told(Cause::Destroyed), true),
        ("power.stop", Observation::Told(Cause::Crashed), false),
        ("power.suspend", Observation::Look, false),
        ("cpu.set vcpus=4", Observation::Told(Cause::Destroyed), false),
    ] {
        let mut world = World::alone(Policy { gather: std::time::Duration::ZERO, ..Policy::default() });
        world.submit("north", &format!("a: {line}"));
        world.feed(Input::Vanished { why });
        let [origin] = origins(&world).try_into().unwrap();
        assert_eq!(matches!(origin, Origin::Command { .. }), ours, "{why:?} during {line}: {origin:?}");
    }
}

#[test]
fn a_vm_that_is_gone_is_told_with_who_took_it_away() {
    let mut world = World::shared(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
    world.submit("north", "a: power.suspend");
    world.feed(Input::Vanished { why: Observation::Told(Cause::Undefined) });
    let outcome = world.outcome("a").unwrap();
    assert_eq!(outcome.code, Code::VmGone);
    assert!(outcome.reason.ends_with("(out of band: undefined)"), "{}", outcome.reason);
    assert_eq!(origins(&world), [Origin::past_us(Some(Cause::Undefined))]);
    // What is not there has nothing happen to it.
    world.feed(Input::Happened(Cause::Rebooted.into()));
    assert_eq!(origins(&world).len(), 1);
    world.told(Cause::Defined, |_| ());
    assert_eq!(world.lane.state().standing(), Standing::Enrolled);
}

#[test]
fn journals_of_versions_without_causes_are_read() {
    let observed = r#"{"fact":"observed","state":{"power":"running","start":3,"vcpus":1,"vcpus_max":1,
        "memory_kib":1,"memory_max_kib":1,"snapshots":[]},"origin":{"origin":"out-of-band"}}"#;
    let Fact::Observed { origin, .. } = serde_json::from_str(observed).unwrap() else { panic!() };
    assert_eq!(origin, Origin::past_us(None));
    assert_eq!(serde_json::from_str::<Fact>(r#"{"fact":"vanished"}"#).unwrap(), Fact::Vanished { origin: None });
    // And what has no cause is written as they wrote it.
    assert_eq!(serde_json::to_string(&origin).unwrap(), r#"{"origin":"out-of-band"}"#);
}

/// A block job begun past the agent is open; gives who is said to have brought about what comes then.
fn after_a_job(change: impl FnOnce(&mut World)) -> Origin {
    let mut world = World::shared(Policy { gather: std::time::Duration::ZERO, ..Policy::default() });
    world.out_of_band(|vm| {
        vm.jobs.insert(HoldKey::Block("vda".to_owned()));
    });
    change(&mut world);
    origins(&world).pop().unwrap()
}

#[test]
fn how_a_job_ended_is_told_as_libvirt_says_it_and_as_by_itself_where_it_says_nothing() {
    for (cause, actor) in [
        (Cause::JobEnded, Actor::Hypervisor),
        (Cause::JobFailed, Actor::Hypervisor),
        (Cause::JobStopped, Actor::OutOfBand),
    ] {
        let origin = after_a_job(|world| world.told(cause, |vm| vm.jobs.clear()));
        assert_eq!((origin.actor(), origin.cause()), (Some(actor), Some(cause)));
    }
    let silent = after_a_job(|world| {
        world.out_of_band(|vm| {
            vm.jobs.clear();
            vm.definition = Some("with another image".to_owned());
        });
    });
    assert_eq!(silent, Origin::past_us(Some(Cause::JobEnded)));
    let more = after_a_job(|world| {
        world.out_of_band(|vm| {
            vm.jobs.clear();
            vm.vcpus += 1;
        });
    });
    assert_eq!(more, Origin::past_us(None), "a job does not set vCPUs");
}

#[test]
fn the_end_of_a_job_does_not_say_how_the_vm_ended_nor_takes_it_from_a_command_of_ours() {
    let past_us = after_a_job(|world| {
        world.told(Cause::JobFailed, |vm| {
            vm.jobs.clear();
            off(vm);
        });
    });
    assert_eq!(past_us, Origin::past_us(None));
    let ours = after_a_job(|world| {
        world.submit("north", "a: power.stop class=emergency");
        assert_eq!(executed(world), ["a"]);
        world.told(Cause::JobFailed, |vm| vm.jobs.clear());
    });
    assert!(matches!(ours, Origin::Command { .. }), "{ours:?}");
}

#[test]
fn what_is_seen_is_a_running_commands_doing_where_it_writes_that() {
    type Change = (&'static str, fn(&mut VmState));
    let changes: [Change; 12] = [
        ("vcpus", |vm| vm.vcpus += 1),
        ("vcpus_max", |vm| vm.vcpus_max += 1),
        ("memory", |vm| vm.memory_kib.0 += 1),
        ("memory_max", |vm| vm.memory_max_kib.0 += 1),
        ("snapshots", |vm| vm.snapshots.clear()),
        ("checkpoints", |vm| vm.checkpoints.clear()),
        ("devices", |vm| vm.devices.clear()),
        ("jobs", |vm| _ = vm.jobs.insert(HoldKey::Migration)),
        ("saved", |vm| vm.saved = true),
        ("definition", |vm| vm.definition = None),
        ("paused", |vm| vm.power = PowerState::Paused),
        ("start", |vm| vm.start = StartId(Some(9))),
    ];
    let all = changes.map(|(name, _)| name).join(" ");
    for (line, explained) in [
        ("cpu.set vcpus=4", "vcpus vcpus_max definition"),
        ("memory.set memory_kib=1024", "memory memory_max definition"),
        ("snapshot.create name=s kind=disk-only", "snapshots devices jobs definition paused"),
        ("checkpoint.create name=north.c", "checkpoints devices jobs definition"),
        ("device.detach device=disk:vdb", "devices jobs definition"),
        ("backup.begin mode=push files=vda", "checkpoints devices jobs definition paused"),
        ("metadata.set uri=urn:a key=a", ""),
        ("power.reset", all.as_str()),
    ] {
        let mut world = World::alone(Policy { gather: std::time::Duration::ZERO, ..Policy::default() });
        world.submit("north", &format!("a: {line}"));
        assert_eq!(executed(&world), ["a"], "{line}");
        let before = world.machine.clone();
        let mut ours = Vec::new();
        for (name, change) in changes {
            world.machine = before.clone();
            world.out_of_band(change);
            if matches!(origins(&world).last(), Some(Origin::Command { .. })) {
                ours.push(name);
            }
            world.machine = before.clone();
            world.out_of_band(|_| ());
        }
        assert_eq!(ours.join(" "), explained, "{line}");
    }
}

#[test]
fn a_limit_that_is_being_set_explains_the_definition_and_nothing_else() {
    let limit = "t: disk.iotune disk=vda total_iops_sec=100";
    for (vcpus, ours) in [(2, true), (3, false)] {
        let mut world = World::shared(Policy::default());
        world.submit("north", limit);
        world.out_of_band(|vm| {
            vm.definition = Some("d2".to_owned());
            vm.vcpus = vcpus;
        });
        let [origin] = origins(&world).try_into().unwrap();
        assert_eq!(matches!(origin, Origin::Command { .. }), ours, "{vcpus} vCPUs: {origin:?}");
    }
}

#[test]
fn what_happens_beside_a_command_is_its_doing_where_it_writes_that() {
    for (line, cause, ours) in [
        ("power.reboot", Cause::AgentReady, true),
        ("power.reboot", Cause::AgentGone, true),
        ("cpu.set vcpus=4", Cause::AgentGone, false),
        ("power.reboot", Cause::MemoryFailure, false),
        ("power.reboot", Cause::DeviceRemoved, false),
        ("metadata.set uri=urn:a key=a", Cause::Tuned, false),
        ("cpu.set vcpus=4", Cause::DeviceAdded, true),
        ("cpu.set vcpus=4", Cause::Redefined, true),
        ("metadata.set uri=urn:a key=a", Cause::Redefined, true),
        ("power.suspend", Cause::Redefined, false),
    ] {
        let mut world = World::shared(Policy { gather: std::time::Duration::ZERO, ..Policy::default() });
        world.submit("north", &format!("a: {line}"));
        world.feed(about(cause, "any"));
        assert_eq!(origins(&world).is_empty(), ours, "{cause} during {line}");
    }
}

#[test]
fn a_call_that_would_bring_a_vm_back_explains_nothing_else_of_one_that_is_there() {
    let mut world = World::alone(Policy { gather: std::time::Duration::ZERO, ..Policy::default() });
    world.submit("north", "a: definition.define relays=domain_define_xml");
    world.told(Cause::Destroyed, off);
    let id = world.id("a");
    let ours = Origin::Command { command: id };
    assert!(world.calls.contains_key(&id), "it runs");
    assert!(!origins(&world).contains(&ours), "{:?}", origins(&world));
}
