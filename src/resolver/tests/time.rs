//! Our wall clock is for people: where it is stepped, nothing is reordered, expires or waits longer.

use std::time::Duration;

use super::rules::{no_opinions, two_resizes};
use super::*;

const HOURS: i64 = 3_600_000_000;

fn listening() -> Policy {
    Policy { gather_for: GatherFor::Writes, ..Policy::default() }
}

/// The same story with and without a step of our wall clock in the middle; both as what was executed and how it ended.
fn alike(story: impl Fn(&mut World, i64)) {
    let told = |step: i64| {
        let mut world = World::shared(listening());
        story(&mut world, step);
        let names: Vec<String> = world.names.keys().cloned().collect();
        let endings: Vec<String> = names.iter().map(|name| format!("{name} {}", ending(&mut world, name))).collect();
        (executed(&world), endings, verdicts(&world))
    };
    let unmoved = told(0);
    for step in [-5 * HOURS, 5 * HOURS] {
        assert_eq!(told(step), unmoved, "stepped by {step} us");
    }
}

#[test]
fn a_step_during_an_ask_neither_ends_it_nor_prolongs_it() {
    alike(|world, step| {
        world.submit("north", "a: cpu.set vcpus=4 issued=-1s");
        world.submit("south", "b: cpu.set vcpus=6 issued=-3s not-after=4s");
        world.pass_ms(500);
        world.stepped += step;
        world.feed(Input::Tick);
        assert!(verdicts(world).is_empty());
        world.pass_ms(1_501);
        assert_eq!(verdict(world), ("b".into(), "a".into(), Rule::IssueTime));
    });
}

#[test]
fn a_step_between_two_receipts_does_not_turn_their_issue_times_round() {
    alike(|world, step| {
        world.submit("north", "a: cpu.set vcpus=4 issued=-1ms");
        world.pass_ms(10);
        // Both peers read the very clock that is stepped.
        world.stepped += step;
        world.submit("south", "b: cpu.set vcpus=6 issued=-1ms");
        no_opinions(world);
        assert_eq!(verdict(world), ("a".into(), "b".into(), Rule::IssueTime));
    });
}

#[test]
fn a_step_does_not_make_an_older_write_the_later_one() {
    alike(|world, step| {
        world.submit("north", "a: cpu.set vcpus=4 issued=-1ms");
        world.pass_ms(30);
        world.finish("a");
        world.stepped += step;
        world.submit("south", "b: cpu.set vcpus=6 issued=-1ms");
        world.pass_ms(30);
        world.finish("b");
        assert_eq!(ending(world, "b"), "done executed");
    });
}

#[test]
fn windows_deadlines_and_leases_run_on_through_a_step() {
    alike(|world, step| {
        world.delegate("west", "snapshot.*", "shared", Some(Duration::from_secs(60)));
        world.submit("north", "first: metadata.set uri=urn:n key=n seq=5");
        world.pass_ms(30);
        world.finish("first");
        world.submit("north", "stop: power.reboot");
        world.submit("north", "gap: metadata.set uri=urn:n key=n seq=9");
        world.submit("west", "snap: snapshot.create name=s after=stop not-after=30s");
        world.submit("west", "later: snapshot.delete name=base after=stop");
        world.stepped += step;
        world.feed(Input::Tick);
        assert_eq!((ending(world, "snap"), ending(world, "later")), (String::new(), String::new()));
        assert_eq!(executed(world), ["first"], "the gather and gap windows are as long as they were");
        world.pass_ms(300);
        assert_eq!(executed(world), ["first", "stop", "gap"]);
        world.pass(Duration::from_secs(30));
        assert_eq!((ending(world, "snap").as_str(), ending(world, "later").as_str()), ("expired deadline-passed", ""));
        world.pass(Duration::from_secs(30));
        assert_eq!(ending(world, "later"), "denied delegation-ended");
    });
}

#[test]
fn a_turn_comes_when_it_was_to_come() {
    alike(|world, step| {
        world.submit("north", "a: cpu.set vcpus=4");
        world.submit("south", "b: cpu.set vcpus=6 must-start-by=3s");
        world.stepped += step;
        world.pass_ms(990);
        assert!(verdicts(world).is_empty());
        world.pass_ms(20);
        assert_eq!(verdict(world), ("b".into(), "a".into(), Rule::Turn));
    });
}

#[test]
fn a_story_is_told_in_the_order_in_which_it_happened() {
    let mut world = two_resizes("", "");
    world.stepped -= 5 * HOURS;
    no_opinions(&mut world);
    world.pass_ms(30);
    let first = executed(&world).remove(0);
    world.finish(&first);
    let id = world.id(&first);
    let story = story(world.lane.state(), world.lane.state().command(id).unwrap());
    assert!(story.first().unwrap().what.contains("sent cpu.set"), "{story:?}");
    assert!(story.last().unwrap().what.contains("ended done"), "{story:?}");
}

#[test]
fn a_timer_is_asked_for_once() {
    let mut world = World::shared(Policy::default());
    let asks = |outputs: Vec<Output>| outputs.iter().filter(|output| matches!(output, Output::WakeAt(_))).count();
    assert_eq!(asks(world.submit("north", "a: power.stop")), 1);
    assert_eq!(asks(world.again("a")), 0, "nothing is due any earlier");
}

#[test]
fn a_tick_that_comes_late_does_not_silence_the_next() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "s: cpu.set vcpus=4");
    world.submit("south", "a: cpu.set vcpus=6 not-after=1s");
    world.at += 3_000_000;
    world.feed(Input::Tick);
    assert_eq!(ending(&mut world, "a"), "expired deadline-passed");
    let outputs = world.submit("south", "b: cpu.set vcpus=6 not-after=10s");
    assert!(outputs.iter().any(|output| matches!(output, Output::WakeAt(_))), "{outputs:?}");
}
