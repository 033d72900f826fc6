//! What becomes of the other one when the first has ended: it runs, or it ends and names its cause.

use std::time::Duration;

use super::rules::{no_opinions, two_resizes};
use super::*;

#[test]
fn a_write_issued_before_one_that_was_executed_is_superseded() {
    let mut world = World::shared(Policy::default());
    world.submit("south", "late: cpu.set vcpus=6 issued=-1s");
    world.finish("late");
    world.submit("north", "early: cpu.set vcpus=4 issued=-5s");
    assert_eq!(ending(&mut world, "early"), "superseded overwritten");
    assert_eq!(cause(&mut world, "early").as_deref(), Some("late"));
    assert_eq!(world.machine.vcpus, 6);
}

#[test]
fn a_write_that_only_came_second_is_superseded_by_a_later_one_all_the_same() {
    let mut world = World::shared(Policy::default());
    world.submit("south", "late: cpu.set vcpus=6 issued=-1s");
    world.submit("north", "early: cpu.set vcpus=4 issued=-5s");
    assert_eq!(verdict(&world), ("late".into(), "early".into(), Rule::AlreadyRunning));
    world.finish("late");
    assert_eq!(ending(&mut world, "early"), "superseded overwritten");
}

#[test]
fn a_write_declared_after_another_is_not_superseded_by_it() {
    let mut world = World::shared(Policy::default());
    world.submit("south", "one: cpu.set vcpus=6 issued=-1s");
    world.submit("north", "two: cpu.set vcpus=4 issued=-5s after=one");
    world.finish("one");
    world.finish("two");
    assert_eq!(world.machine.vcpus, 4);
}

#[test]
fn a_later_write_or_one_of_the_same_provider_is_not_superseded() {
    let mut world = World::shared(Policy::default());
    world.submit("south", "one: cpu.set vcpus=6 issued=-3s");
    world.finish("one");
    world.submit("north", "two: cpu.set vcpus=4 issued=-1s");
    world.finish("two");
    world.submit("north", "three: cpu.set vcpus=3 issued=-2s");
    world.finish("three");
    assert_eq!(world.machine.vcpus, 3);
}

#[test]
fn a_loser_whose_guard_became_false_is_superseded_and_names_the_winner() {
    let mut world = two_resizes("expects-vcpus=2", "expects-vcpus=2");
    // No order lets both succeed, so both are asked.
    world.answer("north", Said::MineFirst);
    world.answer("south", Said::TheirsFirst);
    world.pass_ms(30);
    world.finish("a");
    assert_eq!(ending(&mut world, "b"), "superseded guard-failed");
    assert_eq!(cause(&mut world, "b").as_deref(), Some("a"));
}

#[test]
fn a_loser_that_the_winner_made_impossible_names_it() {
    for (a, b) in [
        ("a: snapshot.create name=s1", "b: snapshot.create name=s1"),
        ("a: snapshot.delete name=base", "b: snapshot.revert name=base"),
        ("a: power.stop class=emergency", "b: power.suspend"),
        ("a: power.stop class=emergency", "b: power.reboot"),
    ] {
        let mut world = World::shared(Policy { gather: Duration::ZERO, ..Policy::default() });
        world.submit("north", a);
        world.submit("south", b);
        assert_eq!(executed(&world), ["a"]);
        world.finish("a");
        assert_eq!(ending(&mut world, "b"), "impossible state-forbids", "{b}");
        assert_eq!(cause(&mut world, "b").as_deref(), Some("a"), "{b}");
    }
}

#[test]
fn while_the_vm_is_looked_at_no_command_ends_because_of_what_it_was() {
    let mut world = World::shared(Policy::default());
    world.out_of_band(|vm| vm.power = PowerState::Paused);
    world.feed(Input::Doubted);
    world.submit("north", "a: power.suspend");
    world.submit("north", "b: cpu.set vcpus=3");
    let a = world.id("a");
    let tracked = world.lane.state().command(a).unwrap();
    let why = waiting(&world.lane, tracked, world.now()).map(|waiting| waiting.reason);
    assert!(why.is_some_and(|why| why.contains("looked at")));
    world.out_of_band(|vm| vm.power = PowerState::Running);
    assert_eq!(executed(&world), ["a"]);
}

#[test]
fn the_winners_failure_lets_the_other_run() {
    let mut world = two_resizes("class=critical", "");
    no_opinions(&mut world);
    world.pass_ms(30);
    world.fail("a", Code::HypervisorFailed);
    world.finish("b");
    assert_eq!(ending(&mut world, "b"), "done executed");
}

#[test]
fn an_older_write_that_only_so_succeeds_is_not_undone_by_its_age() {
    let mut world = World::shared(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
    world.submit("south", "b: power.stop issued=-2s");
    world.submit("north", "a: power.suspend");
    assert_eq!(verdict(&world), ("a".into(), "b".into(), Rule::Feasibility));
    world.finish("a");
    world.finish("b");
    assert_eq!(ending(&mut world, "b"), "done executed");
}
