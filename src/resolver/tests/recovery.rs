//! What is durable, what a crash leaves, and what nobody asked for.

use std::time::Duration;

use super::*;
use crate::model::{PowerState, StartId};

fn leaves(outputs: &[Output]) -> usize {
    outputs.iter().filter(|o| !matches!(o, Output::Append { .. } | Output::WakeAt(_))).count()
}

#[test]
fn nothing_leaves_before_its_facts_are_durable() {
    let mut world = World::shared(Policy::default());
    world.auto_persist = false;
    assert_eq!((world.lane.durability(), world.lane.kept_back().count()), ((2, 2), 0));
    let outputs = world.submit("north", "a: cpu.set vcpus=4");
    assert_eq!(leaves(&outputs), 0, "{outputs:?}");
    let kept: Vec<u64> = world.lane.kept_back().map(|(step, _)| *step).collect();
    assert_eq!((world.lane.durability(), kept), ((3, 2), vec![3, 3]));
    assert_eq!(leaves(&world.persist()), 2, "accepted, and executed");
    world.submit("south", "b: cpu.set vcpus=6");
    let id = world.id("a");
    world.calls.clear();
    let outputs = world.feed(Input::Finished { command: id, result: CallResult::Done(serde_json::Value::Null) });
    assert_eq!(leaves(&outputs), 0, "{outputs:?}");
    let outputs = world.persist();
    assert!(outputs.iter().any(|o| matches!(o, Output::Ended { command, .. } if *command == id)));
    assert!(outputs.iter().any(|o| matches!(o, Output::Execute(_))));
}

#[test]
fn an_ask_does_not_leave_before_it_is_durable_either() {
    let mut world = World::shared(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
    world.submit("north", "a: cpu.set vcpus=4");
    world.auto_persist = false;
    assert_eq!(leaves(&world.submit("south", "b: cpu.set vcpus=6")), 0);
    assert!(world.asks.is_empty());
    world.persist();
    assert_eq!(world.asks.len(), 2);
}

#[test]
fn a_refusal_leaves_at_once() {
    let mut world = World::shared(Policy::default());
    world.auto_persist = false;
    assert_eq!(refused(&world.submit("north", "a: cpu.set vcpus=4 not-after=-1s")), Some(Code::DeadlinePassed));
}

#[test]
fn a_known_command_is_not_confirmed_before_it_is_durable() {
    let mut world = World::shared(Policy::default());
    world.auto_persist = false;
    world.submit("north", "a: cpu.set vcpus=4");
    assert_eq!(leaves(&world.again("a")), 0);
    assert_eq!(leaves(&world.persist()), 3);
}

#[test]
fn what_was_not_durable_never_happened() {
    let mut world = World::shared(Policy::default());
    world.auto_persist = false;
    world.submit("north", "a: cpu.set vcpus=4 seq=1");
    world.crash();
    assert!(world.executed.is_empty());
    world.auto_persist = true;
    world.again("a");
    world.finish("a");
    assert_eq!(executed(&world), ["a"]);
}

#[test]
fn what_ran_at_a_crash_is_looked_after_before_anything_else_is_done() {
    for (evidence, expected, runs) in [
        (Evidence::Done, "done observed-done", 1),
        (Evidence::None, "failed outcome-unknowable", 1),
        (Evidence::Undone, "done executed", 2),
    ] {
        let mut world = World::shared(Policy::default());
        world.submit("north", "a: cpu.set vcpus=4");
        world.submit("south", "b: cpu.set vcpus=6 after=a");
        world.crash();
        let id = world.id("a");
        assert_eq!(world.lane.state().command(id).unwrap().phase(), &Phase::Unknown);
        world.pass(Duration::from_secs(60));
        assert_eq!(executed(&world), ["a"], "unknown stays unknown until observed");
        world.probe("a", evidence);
        if evidence == Evidence::Undone {
            world.finish("a");
        }
        world.finish("b");
        assert_eq!(ending(&mut world, "a"), expected);
        assert_eq!(executed(&world).iter().filter(|name| *name == "a").count(), runs);
    }
}

#[test]
fn an_answer_lost_while_running_is_looked_after_too() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4");
    world.lose_call("a");
    assert_eq!(world.probes.len(), 1);
    let known = world.journal.len();
    world.lose_call_again("a");
    assert_eq!(world.journal.len(), known, "that it is lost was known");
    world.probe("a", Evidence::Done);
    assert_eq!(ending(&mut world, "a"), "done observed-done");
}

#[test]
fn a_second_crash_looks_again() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4");
    world.crash();
    world.crash();
    assert_eq!(world.probes.len(), 1);
    world.probe("a", Evidence::Done);
    assert_eq!(ending(&mut world, "a"), "done observed-done");
}

#[test]
fn asks_that_a_crash_cut_off_are_silence_and_not_asked_again() {
    let mut world = World::shared(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
    world.submit("north", "a: cpu.set vcpus=4 class=critical");
    world.submit("south", "b: cpu.set vcpus=6");
    world.answer("north", Said::TheirsFirst);
    world.crash();
    assert_eq!(verdict(&world), ("b".into(), "a".into(), Rule::Callback));
    assert_eq!(world.asks.len(), 2);
    assert_eq!(refused(&world.answer("south", Said::MineFirst)), Some(Code::AnswerLate));
}

#[test]
fn a_crash_between_decision_and_execution_ends_with_the_same_results() {
    let end = |crash: bool| {
        let mut world = World::shared(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
        world.submit("north", "a: cpu.set vcpus=4 class=critical");
        world.submit("south", "b: cpu.set vcpus=6");
        world.answer("north", Said::NoOpinion);
        world.auto_persist = false;
        world.answer("south", Said::NoOpinion);
        world.pass_ms(30);
        if crash {
            world.crash();
        }
        world.auto_persist = true;
        world.persist();
        world.pass(Duration::from_secs(5));
        world.finish("a");
        world.finish("b");
        (executed(&world), ending(&mut world, "a"), ending(&mut world, "b"), verdict(&world), world.machine.vcpus)
    };
    assert_eq!(end(true), end(false));
}

#[test]
fn who_changed_the_machine_past_covirt_is_told_from_a_command() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: power.suspend");
    world.finish("a");
    world.out_of_band(|vm| vm.power = PowerState::Running);
    let origins: Vec<Origin> = world
        .facts()
        .filter_map(|fact| match fact {
            Fact::Observed { origin, .. } => Some(origin.clone()),
            _ => None,
        })
        .collect();
    let command = world.id("a");
    assert_eq!(origins, [Origin::Command { command }, Origin::past_us(None)]);
}

#[test]
fn a_destroy_between_decision_and_execution_is_out_of_band_and_is_not_undone() {
    let mut world = World::shared(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
    world.submit("north", "a: power.reboot");
    world.auto_persist = false;
    world.submit("south", "b: power.suspend");
    world.out_of_band(|vm| (vm.power, vm.start) = (PowerState::ShutOff, StartId(None)));
    world.auto_persist = true;
    world.persist();
    assert_eq!(executed(&world), ["a"]);
    world.finish("a");
    assert_eq!(ending(&mut world, "a"), "impossible state-forbids");
    assert_eq!(ending(&mut world, "b"), "impossible state-forbids");
    let out_of_band = |fact: &Fact| matches!(fact, Fact::Observed { origin: Origin::OutOfBand { .. }, .. });
    assert!(world.facts().any(out_of_band), "a reboot does not leave a VM shut off");
    assert_eq!(world.machine.power, PowerState::ShutOff);
}

#[test]
fn a_vm_that_is_gone_ends_what_waits_and_comes_back_when_seen() {
    let mut world = World::shared(Policy::default());
    world.submit("south", "a: snapshot.create name=s1");
    world.submit("north", "b: cpu.set vcpus=4");
    world.feed(Input::Vanished { why: Observation::Event });
    assert_eq!(ending(&mut world, "b"), "impossible vm-gone");
    assert_eq!(refused(&world.submit("north", "c: cpu.set vcpus=4")), Some(Code::VmGone));
    world.fail("a", Code::VmGone);
    world.out_of_band(|_| ());
    assert_eq!(world.lane.state().standing(), Standing::Enrolled);
    assert_eq!(refused(&world.submit("north", "d: cpu.set vcpus=4")), None);
}

#[test]
fn a_start_is_followed_on_the_new_start_and_a_stop_on_none() {
    let mut world = World::shared(Policy { gather: Duration::ZERO, ..Policy::default() });
    world.submit("north", "a: power.stop");
    world.submit("north", "b: power.start");
    world.submit("north", "c: power.suspend");
    let id = world.id("a");
    // The answer comes before the event that shows the state.
    let call = world.calls.remove(&id).unwrap();
    let result = world.effect(&call);
    world.feed(Input::Finished { command: id, result });
    assert_eq!(world.calls.values().next().unwrap().expected_start(), StartId(None));
    world.finish("b");
    assert_eq!(world.calls.values().next().unwrap().expected_start(), StartId(Some(2)));
    world.finish("c");
    assert_eq!(ending(&mut world, "c"), "done executed");
}

#[test]
fn two_vms_do_not_wait_for_each_other() {
    let mut one = World::shared(Policy::default());
    let mut other = World::shared(Policy::default());
    one.auto_persist = false;
    one.submit("north", "a: cpu.set vcpus=4");
    other.submit("north", "a: cpu.set vcpus=4");
    other.finish("a");
    assert!(one.executed.is_empty());
    assert_eq!(ending(&mut other, "a"), "done executed");
}
