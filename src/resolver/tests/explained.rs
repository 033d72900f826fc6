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
    assert_eq!(
        ["a", "b", "m"].map(|name| rule(&mut world, name)),
        [Some(Rule::AlreadyRunning), Some(Rule::Class), None]
    );
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

#[test]
fn a_command_and_its_conflict_are_shown_as_they_are() {
    let escalate = [pair(provider("south"), provider("north"))].into();
    let mut world = World::shared(Policy { gather_for: GatherFor::Writes, escalate, ..Policy::default() });
    assert!(world.lane.state().is_idle());
    world.submit("north", "a: cpu.set vcpus=4");
    world.submit("south", "b: cpu.set vcpus=6 seq=7");
    let [a, b] = ["a", "b"].map(|name| world.id(name));
    world.answer("north", Said::MineFirst);
    world.answer("south", Said::MineFirst);
    let state = world.lane.state();
    assert_eq!(
        (state.name(), state.believed().cloned(), state.is_idle()),
        ("web-1", Some(world.machine.clone()), true)
    );
    let conflict = state.conflicts().next().unwrap();
    let until = world.now().mono.after(Duration::from_secs(60));
    assert_eq!(conflict.escalated(), Some(Escalation { at: world.now(), deadline: until }));
    assert_eq!((conflict.verdict(), conflict.is_over(), conflict.between()), (None, false, [a, b]));
    assert_eq!(state.conflict(conflict.id()), Some(conflict));
    assert_eq!(state.command(b).unwrap().conflicts(), [conflict.id()]);
    world.decide("operator", "b");
    let state = world.lane.state();
    let conflict = state.conflicts().next().unwrap();
    assert_eq!((conflict.verdict().map(|verdict| verdict.first), conflict.is_over()), (Some(b), true));
    let put_back = [a, b].map(|id| state.command(id).unwrap().deferrals());
    assert_eq!((put_back, state.is_idle()), ([1, 0], false));
}

#[test]
fn a_conflict_that_lost_one_of_its_two_is_over() {
    let mut world = World::shared(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
    world.submit("north", "a: cpu.set vcpus=4");
    world.submit("south", "b: cpu.set vcpus=6");
    world.cancel("north", "a");
    let conflict = world.lane.state().conflicts().next().unwrap();
    assert_eq!((conflict.verdict(), conflict.is_over()), (None, true));
}

#[test]
fn the_number_that_never_came_is_shown() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4 seq=1");
    world.finish("a");
    world.submit("north", "c: cpu.set vcpus=6 seq=4");
    world.pass_ms(300);
    let gaps = ["a", "c"].map(|name| world.id(name)).map(|id| world.lane.state().command(id).unwrap().gap());
    assert_eq!(gaps, [None, Some(2)]);
}

#[test]
fn what_runs_of_the_two_is_no_part_of_what_either_order_is_imagined_from() {
    let mut world = World::shared(Policy { gather: Duration::ZERO, ..Policy::default() });
    world.submit("north", "a: power.stop");
    world.submit("south", "b: power.suspend");
    let conflict = world.lane.state().conflicts().next().unwrap();
    let fails = [&conflict.feasible.first_then_second, &conflict.feasible.second_then_first].map(Option::is_some);
    assert_eq!(fails, [true, false], "only after the stop is the suspend impossible");
}

#[test]
fn the_pair_of_a_conflict_is_in_the_order_of_the_ids_whoever_came_first() {
    for (opener, line) in [("power.stop", "power.suspend"), ("guest.freeze lease_s=600", "guest.trim")] {
        let mut world = World::shared(Policy { gather: Duration::ZERO, ..Policy::default() });
        let [high, low] = [2, 1].map(|n| CommandId(uuid::Uuid::from_u128(n)));
        world.names.extend([("o".to_owned(), high), ("c".to_owned(), low)]);
        world.submit("south", &format!("o: {opener}"));
        if opener.starts_with("guest") {
            world.finish("o");
        }
        world.submit("north", &format!("c: {line}"));
        assert_eq!(world.lane.state().conflicts().next().unwrap().between(), [low, high], "{line}");
    }
}

#[test]
fn where_nothing_tells_two_apart_the_digest_of_their_ids_favours_neither() {
    let lower_first = (0..64).filter(|n| {
        let mut world = World::shared(Policy {
            gather_for: GatherFor::Writes,
            callback_budget: Duration::ZERO,
            ..Policy::default()
        });
        let [low, high] = [2 * n, 2 * n + 1].map(|n| CommandId(uuid::Uuid::from_u128(n)));
        world.names.extend([("low".to_owned(), low), ("high".to_owned(), high)]);
        world.submit("north", "low: cpu.set vcpus=4 issued=0s");
        world.submit("south", "high: cpu.set vcpus=6 issued=0s");
        let (first, _, rule) = verdict(&world);
        assert_eq!(rule, Rule::StableHash);
        first == "low"
    });
    let lower_first = lower_first.count();
    assert!((16..=48).contains(&lower_first), "{lower_first} of 64");
}
