//! All pairs of actions in all states, and what must hold whatever the order of arrival: properties, not a second table.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{Action, Operation, PowerState, StartId};

/// The operation of each action that the pairs are walked with.
fn words(action: Action, which: usize) -> String {
    format!("{action} args={}", samples::args(action, which))
}

fn in_state(power: PowerState, policy: Policy) -> World {
    let mut world = World::shared(policy);
    let start = StartId(if power == PowerState::ShutOff { None } else { Some(1) });
    world.out_of_band(|vm| (vm.power, vm.start) = (power, start));
    world
}

/// Plays a pair to its end: asks stay unanswered, every call does what the machine makes of it.
fn play(power: PowerState, first: &(&str, String), second: &(&str, String)) -> World {
    let policy = Policy { gather_for: GatherFor::Writes, ..Policy::default() };
    let mut world = in_state(power, policy);
    world.submit(first.0, &first.1);
    world.submit(second.0, &second.1);
    // Longer than any lease.
    for _ in 0..9 {
        world.pass(Duration::from_secs(3));
        go_on(&mut world);
    }
    world
}

/// A call ends; when there is none, what is open at the hypervisor comes to its end by itself.
fn go_on(world: &mut World) {
    match world.calls.keys().next().map(|id| world.name(*id)) {
        Some(name) => world.finish(&name),
        None if !world.machine.jobs.is_empty() => world.out_of_band(|vm| vm.jobs.clear()),
        None => {}
    }
}

#[test]
fn every_pair_in_every_state_ends_and_the_same_way_again() {
    for power in PowerState::ALL {
        for a in Action::ALL {
            // Who is who matters to nobody but for names: each pair once where the VM does not run.
            for b in Action::ALL.into_iter().filter(|b| power == PowerState::Running || a <= *b) {
                let pair = || {
                    play(power, &("north", format!("a: {}", words(a, 0))), &("south", format!("b: {}", words(b, 1))))
                };
                let mut world = pair();
                let ended = ["a", "b"].into_iter().filter(|name| world.outcome(name).is_some()).count();
                let refused = world.seen.iter().filter(|(_, o)| matches!(o, Output::Refused { .. })).count();
                assert_eq!(ended + refused, 2, "{a} and {b} while {power}");
                if power == PowerState::Running && a <= b {
                    assert_eq!(world.seen, pair().seen, "{a} and {b} while {power}");
                }
            }
        }
    }
}

#[test]
fn a_stop_is_never_lost() {
    for power in [PowerState::Running, PowerState::Paused, PowerState::ShuttingDown, PowerState::PmSuspended] {
        for b in Action::ALL {
            for stop_first in [true, false] {
                let (stop, other) =
                    (("north", "stop: power.stop".to_owned()), ("south", format!("b: {}", words(b, 1))));
                let mut world = if stop_first { play(power, &stop, &other) } else { play(power, &other, &stop) };
                let ends = ending(&mut world, "stop");
                let off = world.machine.start == StartId(None);
                assert!(
                    ends == "done executed" || ends == "coalesced same-wish" || off,
                    "{b} while {power}: the stop ended {ends:?} and the VM is {}",
                    world.machine.power
                );
            }
        }
    }
}

#[test]
fn a_read_never_waits() {
    for power in PowerState::ALL {
        for b in Action::ALL {
            let mut world = in_state(power, Policy::default());
            world.submit("south", &format!("b: {}", words(b, 1)));
            world.submit("north", "read: inspect.read");
            assert!(executed(&world).contains(&"read".to_owned()), "{b} while {power}");
        }
    }
}

#[test]
fn whatever_clashes_never_overlaps_and_whatever_does_not_does() {
    for a in Action::ALL {
        for b in Action::ALL {
            let mut world = World::shared(Policy { gather: Duration::ZERO, ..Policy::default() });
            world.submit("north", &format!("a: {}", words(a, 0)));
            world.submit("south", &format!("b: {}", words(b, 1)));
            let possible = |action: Action| action.spec().states.contains(&PowerState::Running);
            if possible(a) && possible(b) {
                let footprint = |action: Action, which: usize| -> Operation {
                    let mut other = World::alone(Policy::default());
                    other.command("north", &format!("x: {}", words(action, which))).operation
                };
                let clash = footprint(a, 0).footprint().clashes_with(&footprint(b, 1).footprint());
                let refused = world.seen.iter().any(|(_, o)| matches!(o, Output::Refused { .. }));
                assert!(refused || clash == (world.calls.len() < 2), "{a} and {b}: {:?}", executed(&world));
            }
        }
    }
}

/// Something a provider might send, as a line.
fn line() -> impl Strategy<Value = (usize, String)> {
    let action = prop::sample::select(Action::ALL.to_vec());
    let extra = prop::sample::select(vec![
        "",
        "",
        "",
        "class=critical",
        "class=emergency",
        "after=c0",
        "after=c3",
        "after=c7",
        "seq=1",
        "seq=2",
        "seq=3",
        "seq=5",
        "seq=9",
        "issued=-5s",
        "issued=-1s",
        "not-after=1s",
        "expects-vcpus=2",
        "expects-state=running",
    ]);
    (0..3_usize, action, 0..2_usize, extra.clone(), extra).prop_map(|(who, action, which, one, two)| {
        let two = if one.split('=').next() == two.split('=').next() { "" } else { two };
        (who, format!("{action} {one} {two} args={}", samples::args(action, which)))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_sent_the_lane_answers_and_comes_to_rest(lines in prop::collection::vec(line(), 1..14), acts in prop::collection::vec(0..6_u8, 40)) {
        let mut world = World::of_three(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
        for (number, (who, line)) in lines.iter().enumerate() {
            world.submit(["north", "south", "west"][*who], &format!("c{number}: {line}"));
            assert_no_cycle(&world);
        }
        for act in acts {
            let next = world.calls.keys().next().map(|id| world.name(*id));
            match (act, next) {
                (0, Some(name)) => world.fail(&name, Code::HypervisorFailed),
                (1, Some(name)) => {
                    world.lose_call(&name);
                    world.probe(&name, Evidence::Undone);
                }
                (2, _) => world.crash(),
                (_, Some(name)) => world.finish(&name),
                (_, None) => world.pass(Duration::from_secs(2)),
            }
            let lost: Vec<String> = world.probes.keys().map(|id| world.name(*id)).collect();
            lost.iter().for_each(|name| world.probe(name, Evidence::Done));
            assert_no_cycle(&world);
        }
        for _ in 0..40 {
            world.pass(Duration::from_secs(10));
            go_on(&mut world);
        }
        prop_assert_eq!(world.lane.state().live_count(), 0);
    }

    #[test]
    fn the_verdict_does_not_depend_on_who_came_first(a in 2..6_u32, b in 2..6_u32, classes in 0..9_usize, ages in (0..4_i64, 0..4_i64)) {
        let class = ["routine", "critical", "emergency"];
        let of = |swap: bool| {
            let mut world = World::shared(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
            let ours = world.command("north", &format!("a: cpu.set vcpus={a} class={} issued=-{}s", class[classes % 3], ages.0));
            let theirs = world.command("south", &format!("b: cpu.set vcpus={b} class={} issued=-{}s", class[classes / 3], ages.1));
            // Whoever is first in must not start at once: an emergency does not listen for rivals.
            world.submit("operator", "hold: snapshot.create name=hold class=emergency");
            for command in if swap { [theirs, ours] } else { [ours, theirs] } {
                world.send(command);
            }
            world.finish("hold");
            world.pass(Duration::from_secs(3));
            verdicts(&world).into_iter().find(|(first, second, _)| first != "hold" && second != "hold")
        };
        prop_assert_eq!(of(false), of(true));
    }
}

fn assert_no_cycle(world: &World) {
    let state = world.lane.state();
    for tracked in state.live() {
        let id = tracked.command().id;
        for before in state.predecessors(tracked) {
            assert!(!state.leads_to(id, before), "{} waits for itself", world.name(id));
        }
    }
}
