//! What is said of a command: which rule decided, why it waits, how a conflict went.

use std::time::Duration;

use super::*;

fn rule(world: &mut World, name: &str) -> Option<Rule> {
    let id = world.id(name);
    let state = world.lane.state();
    deciding_rule(state, state.command(id).unwrap())
}

fn why(world: &mut World, name: &str) -> String {
    let id = world.id(name);
    let tracked = world.lane.state().command(id).unwrap();
    waiting(&world.lane, tracked, world.now()).map(|waiting| waiting.reason).unwrap_or_default()
}

#[test]
fn the_rule_of_a_command_is_the_last_that_decided_about_it() {
    let mut world = World::of_three(Policy { callback_budget: Duration::ZERO, ..Policy::default() });
    world.submit("north", "a: cpu.set vcpus=4");
    world.submit("north", "m: metadata.set uri=urn:a key=a");
    world.submit("south", "b: cpu.set vcpus=6");
    assert_eq!(rule(&mut world, "b"), Some(Rule::AlreadyRunning));
    world.submit("west", "c: cpu.set vcpus=5 class=critical");
    world.pass_ms(1);
    world.finish("a");
    assert_eq!(["a", "b", "m"].map(|name| rule(&mut world, name)), [Some(Rule::AlreadyRunning), Some(Rule::Class), None]);
}

#[test]
fn only_who_waits_for_the_operator_is_said_to() {
    let escalate = [pair(provider("south"), provider("north"))].into();
    let mut world = World::shared(Policy { gather_for: GatherFor::Writes, escalate, ..Policy::default() });
    world.submit("north", "a: cpu.set vcpus=4");
    world.submit("south", "b: cpu.set vcpus=6");
    world.answer("north", Said::MineFirst);
    world.answer("south", Said::MineFirst);
    world.submit("north", "c: memory.set memory_kib=1024");
    world.submit("south", "d: memory.set memory_kib=2048");
    assert_eq!(why(&mut world, "a"), "the operator is to decide a conflict");
    assert_eq!(why(&mut world, "c"), "a conflict is being resolved");
}
