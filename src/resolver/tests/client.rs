//! Commands that are a client's own call, where a story would be too long: what is refused, believed, named and shown.

use std::time::Duration;

use super::*;

#[test]
fn what_only_a_client_can_ask_for_is_refused_to_everybody_else() {
    let mut world = World::alone(Policy::default());
    for action in Action::ALL.into_iter().filter(|action| action.spec().way == action::Way::Relay) {
        let parsed = Operation::parse(action, serde_json::Value::Null).unwrap_err();
        assert!(parsed.to_string().contains("libvirt client"), "{parsed}");
        let mut command = world.command("operator", &format!("{action}: {action}"));
        command.call = None;
        assert_eq!(refused(&world.send(command)), Some(Code::OnlyRelayed), "{action}");
    }
    // A call that a client would make is not another's to make, whatever the action is.
    let mut command = world.command("operator", "stop: power.stop relays=domain_destroy");
    command.call = None;
    assert_eq!(refused(&world.send(command)), Some(Code::OnlyRelayed));
    // What opens a channel comes through a door, and no other way.
    assert_eq!(refused(&world.submit("north", "a: console.open")), Some(Code::OpensChannel));
    world.submit("north", "b: console.open call=domain_open_console");
    let id = world.id("b");
    assert_eq!(world.calls[&id].whose(), Whose::Clients);
    world.finish("b");
    world.submit("north", "c: power.suspend");
    let id = world.id("c");
    assert_eq!(world.calls[&id].whose(), Whose::Ours);
}

#[test]
fn no_request_can_name_a_relayed_call() {
    let text =
        serde_json::json!({"action": "relayed", "args": {"action": "power.stop", "procedure": "domain_destroy"}});
    "relayed".parse::<Action>().unwrap_err();
    // The journal can.
    let operation: Operation = serde_json::from_value(text).unwrap();
    assert_eq!((operation.action(), operation.names()), (Action::PowerStop, None));
    let back: Operation = serde_json::from_str(&serde_json::to_string(&operation).unwrap()).unwrap();
    assert_eq!(back, operation);
}

#[test]
fn a_relayed_call_touches_what_it_names_and_all_there_is_where_it_names_nothing() {
    let mut world = World::alone(Policy::default());
    let mut touched = |line: &str| {
        let footprint = world.command("north", line).footprint();
        footprint.writes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(touched("a: disk.write relays=storage_vol_upload touches=disk:vda"), "disk:vda");
    assert_eq!(touched("b: disk.write relays=storage_vol_upload"), "disks");
    assert_eq!(touched("c: device.attach relays=domain_attach_device"), "disks devices");
    assert_eq!(touched("d: tuning.set relays=domain_pin_vcpu touches=cpu"), "cpu tunings");
    assert_eq!(touched("e: disk.iotune relays=domain_set_block_io_tune touches=tuning:disk:vda"), "tuning:disk:vda");
    assert_eq!(touched("f: metadata.set relays=domain_set_metadata"), "definition");
    assert_eq!(touched("g: metadata.set relays=domain_set_metadata touches=metadata:urn:x"), "metadata:urn:x");
    assert_eq!(touched("h: guest.input relays=domain_pm_wakeup touches=power"), "power input");
}

#[test]
fn what_a_relayed_call_did_is_known_when_it_is_seen() {
    let mut world = World::alone(Policy::default());
    world.out_of_band(|vm| (vm.power, vm.start) = (PowerState::ShutOff, StartId(None)));
    // Started halted, by a flag that nobody here knows.
    world.submit("north", "a: power.start relays=domain_create_with_flags");
    world.finish("a");
    assert_eq!(world.lane.state().believed().unwrap().power, PowerState::Paused);
    world.submit("north", "b: power.resume");
    world.finish("b");
    assert_eq!(world.outcome("b").unwrap().ending, Ending::Done);
    // Saved to a file: off, and no image that libvirt keeps.
    world.submit("north", "c: power.save relays=domain_save");
    world.finish("c");
    let believed = world.lane.state().believed().unwrap();
    assert_eq!((believed.power, believed.saved), (PowerState::ShutOff, false));
}

#[test]
fn whom_nobody_knows_to_have_done_it_is_named_where_nobody_else_can_have() {
    let mut world = World::shared(Policy::default());
    // It deletes the snapshot, which only the client knows.
    world.submit("south", "a: snapshot.delete relays=domain_snapshot_delete");
    world.pass(Duration::from_secs(1));
    world.submit("north", "b: snapshot.revert name=base");
    world.pass(Duration::from_secs(1));
    let (first, second) = ("a", "b");
    let id = world.id(first);
    let call = world.calls.remove(&id).unwrap();
    assert_eq!(call.operation().action(), Action::SnapshotDelete);
    world.machine.snapshots.clear();
    let state = world.machine.clone();
    world.feed(Input::Observed { state, why: Observation::Event });
    world.feed(Input::Finished { command: id, result: CallResult::Done(serde_json::Value::Null) });
    let outcome = world.outcome(second).unwrap();
    assert_eq!((outcome.ending, outcome.cause), (Ending::Impossible, Some(id)), "{outcome:?}");
}

#[test]
fn an_answer_that_comes_after_the_client_has_gone_counts() {
    let mut world = World::shared(Policy::default());
    world.submit("south", "a: power.suspend call=domain_suspend");
    let command = world.id("a");
    world.feed(Input::ClientGone { command });
    assert_eq!(world.outcome("a"), None);
    world.finish("a");
    assert_eq!(world.outcome("a").unwrap().ending, Ending::Done);
    // Gone, once more.
    world.feed(Input::ClientGone { command });
    // A request has no client.
    world.submit("north", "b: power.resume");
    world.submit("north", "c: power.suspend");
    let command = world.id("c");
    world.feed(Input::ClientGone { command });
    assert_eq!(world.outcome("c"), None);
}

#[test]
fn a_lane_built_anew_keeps_those_whose_clients_wait() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "hold: snapshot.create name=s1");
    world.submit("south", "a: snapshot.delete name=base call=domain_snapshot_delete");
    world.submit("south", "b: snapshot.delete name=s1 call=domain_snapshot_delete");
    world.pass(Duration::from_secs(5));
    let a = world.id("a");
    world.rebuild([a]);
    let gone = world.outcome("b").unwrap();
    assert_eq!((gone.ending, gone.code), (Ending::Cancelled, Code::ClientGone));
    world.finish("hold");
    world.finish("a");
    assert_eq!(world.outcome("a").unwrap().ending, Ending::Done);
}

#[test]
fn a_vm_is_brought_back_by_its_manager_and_by_nobody_else() {
    // Whose, what, and whether it is taken in.
    for (by, line, taken) in [
        ("north", "power.start relays=domain_create_xml", true),
        ("north", "power.restore relays=domain_restore", true),
        ("north", "definition.define relays=domain_define_xml", true),
        ("operator", "definition.define relays=domain_define_xml", true),
        ("south", "definition.define relays=domain_define_xml", false),
        ("north", "power.start relays=domain_migrate_prepare3_params", true),
        ("north", "power.start", false),
        ("north", "power.resume call=domain_resume", false),
    ] {
        let mut world = World::shared(Policy::default());
        world.feed(Input::Vanished { why: Observation::Told(Cause::Undefined) });
        let refused = refused(&world.submit(by, &format!("a: {line}")));
        assert_eq!(refused, (!taken).then_some(Code::VmGone), "{by} {line}");
    }
}

#[test]
fn a_vm_that_has_left_comes_back_from_there_and_is_not_started_here() {
    for (line, taken) in [
        ("power.start relays=domain_create_xml", false),
        ("power.restore relays=domain_restore", false),
        ("power.start relays=domain_migrate_prepare3_params", true),
        ("definition.define relays=domain_define_xml", true),
    ] {
        let mut world = World::shared(Policy::default());
        world.feed(Input::Vanished { why: Observation::Told(Cause::MigratedAway) });
        let refused = refused(&world.submit("north", &format!("a: {line}")));
        assert_eq!(refused, (!taken).then_some(Code::VmGone), "{line}");
    }
}
