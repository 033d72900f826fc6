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
    ["north", "south"].into_iter().for_each(|to| world.operator_delegates(to, Action::MonitorCommand));
    world.seen.clear();
    let start = StartId(if power == PowerState::ShutOff { None } else { Some(1) });
    world.out_of_band(|vm| (vm.power, vm.start) = (power, start));
    world
}

/// One of two commands: whose, and the rest of its line. The first of a pair is `a`, the second `b`, whoever comes first.
type Sent = (&'static str, String);

/// Plays a pair to its end, the first or the second of it coming first at the same moment: asks stay unanswered, every call
/// does what the machine makes of it.
fn play(power: PowerState, pair: &[Sent; 2], swapped: bool) -> World {
    let policy = Policy { gather_for: GatherFor::Writes, ..Policy::default() };
    let mut world = in_state(power, policy);
    let mut commands = [0, 1].map(|at| world.command(pair[at].0, &format!("{}: {}", ["a", "b"][at], pair[at].1)));
    if swapped {
        commands.reverse();
    }
    commands.into_iter().for_each(|command| drop(world.send(command)));
    // Longer than any lease.
    for _ in 0..9 {
        world.pass(Duration::from_secs(3));
        go_on(&mut world);
        if world.lane.state().live_count() == 0 {
            break;
        }
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

/// How a pair ended, and why so: verdicts, what became of each, what the VM is then.
fn end_of(world: &mut World) -> impl PartialEq + std::fmt::Debug {
    let refused: Vec<_> = (world.seen.iter())
        .filter_map(|(_, output)| match output {
            Output::Refused { refusal, .. } => Some(refusal.code),
            _ => None,
        })
        .collect();
    let ended = ["a", "b"].map(|name| world.outcome(name));
    let total = ended.iter().flatten().count() + refused.len();
    (total, verdicts(world), ended, refused, world.machine.clone())
}

/// Every pair of actions, north's with one sample and south's with the other.
fn pairs() -> impl Iterator<Item = [Sent; 2]> {
    let all = || Action::ALL.into_iter();
    all().flat_map(move |a| all().map(move |b| [("north", words(a, 0)), ("south", words(b, 1))]))
}

/// Total, deterministic, and blind to who came first where nothing but that differs.
fn whoever_comes_first_every_pair_ends_the_same_way(power: PowerState) {
    for pair in pairs() {
        let (mut world, mut swapped) = (play(power, &pair, false), play(power, &pair, true));
        if power == PowerState::Running {
            assert_eq!(world.seen, play(power, &pair, false).seen, "{pair:?} while {power}: the same, twice");
        }
        assert_eq!(world.lane.state().live_count(), 0, "{pair:?} while {power}");
        let refused = world.seen.iter().filter(|(_, output)| matches!(output, Output::Refused { .. })).count();
        let ended = ["a", "b"].into_iter().filter(|name| world.outcome(name).is_some()).count();
        assert_eq!(ended + refused, 2, "{pair:?} while {power}");
        assert_eq!(end_of(&mut world), end_of(&mut swapped), "{pair:?} while {power}: the other way round");
    }
}

#[test]
fn pairs_while_running() {
    whoever_comes_first_every_pair_ends_the_same_way(PowerState::Running);
}

#[test]
fn pairs_while_paused() {
    whoever_comes_first_every_pair_ends_the_same_way(PowerState::Paused);
}

#[test]
fn pairs_while_shutting_down() {
    whoever_comes_first_every_pair_ends_the_same_way(PowerState::ShuttingDown);
}

#[test]
fn pairs_while_shut_off() {
    whoever_comes_first_every_pair_ends_the_same_way(PowerState::ShutOff);
}

#[test]
fn pairs_while_crashed() {
    whoever_comes_first_every_pair_ends_the_same_way(PowerState::Crashed);
}

#[test]
fn pairs_while_suspended_by_the_guest() {
    whoever_comes_first_every_pair_ends_the_same_way(PowerState::PmSuspended);
}

#[test]
fn pairs_while_nobody_knows_the_state() {
    whoever_comes_first_every_pair_ends_the_same_way(PowerState::Unknown);
}

#[test]
fn a_stop_is_never_lost() {
    let possible = |power: &PowerState| Action::PowerStop.spec().states.contains(power);
    for power in PowerState::ALL.into_iter().filter(possible) {
        for b in Action::ALL {
            for (ours, theirs, class, swapped) in [
                ("north", "south", "routine", false),
                ("north", "south", "routine", true),
                ("south", "north", "routine", false),
                ("south", "north", "emergency", true),
            ] {
                let which = usize::from(theirs == "south");
                let pair = [
                    (ours, "power.stop".to_owned()),
                    (theirs, format!("{b} class={class} args={}", samples::args(b, which))),
                ];
                let mut world = play(power, &pair, swapped);
                let by_b = world.machine.start == StartId(None) && cause(&mut world, "a").as_deref() == Some("b");
                match ending(&mut world, "a").as_str() {
                    "done executed" | "coalesced same-wish" => {}
                    // Impossible only because the other had stopped it.
                    "impossible state-forbids" => assert!(by_b, "{pair:?} while {power}"),
                    other => panic!("{pair:?} while {power}: the stop ended {other:?}"),
                }
            }
        }
    }
}

#[test]
fn a_read_never_waits() {
    let reads: Vec<Action> = Action::ALL.into_iter().filter(|action| action.is_read()).collect();
    assert_eq!(reads, [Action::InspectRead]);
    for power in PowerState::ALL {
        for b in Action::ALL {
            let policy = Policy { gather_for: GatherFor::Writes, ..Policy::default() };
            let mut world = in_state(power, policy);
            let read = |world: &mut World, name: &str| {
                world.submit("north", &format!("{name}: inspect.read"));
                assert!(executed(world).contains(&name.to_owned()), "{name}: {b} while {power}");
            };
            read(&mut world, "before");
            world.submit("south", &format!("b: {}", words(b, 1)));
            read(&mut world, "while-a-rival-is-listened-for");
            world.pass_ms(100);
            read(&mut world, "while-it-runs");
            let id = world.id("b");
            if world.calls.contains_key(&id) {
                world.finish("b");
            }
            read(&mut world, "while-something-is-open");
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
