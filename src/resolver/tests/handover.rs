//! Who may do what changes while commands wait: revoked, run out, handed over once nothing is in flight.

use std::time::Duration;

use super::rules::two_resizes;
use super::*;

#[test]
fn a_delegation_that_is_revoked_during_an_ask_denies_its_command_and_frees_the_other() {
    let mut world = two_resizes("", "");
    world.revoke("north", "south");
    assert_eq!(ending(&mut world, "b"), "denied delegation-ended");
    assert_eq!(executed(&world), ["a"]);
    assert_eq!(refused(&world.answer("south", Said::MineFirst)), Some(Code::AnswerLate));
}

#[test]
fn a_delegation_that_runs_out_during_an_ask_denies_its_command_and_frees_the_other() {
    let mut world = World::alone(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
    world.delegate("south", "cpu.set", "shared", Some(Duration::from_secs(1)));
    world.submit("north", "a: cpu.set vcpus=4");
    world.submit("south", "b: cpu.set vcpus=6");
    world.pass_ms(999);
    assert_eq!((world.asks.len(), ending(&mut world, "b")), (2, String::new()));
    world.pass_ms(2);
    assert_eq!(ending(&mut world, "b"), "denied delegation-ended");
    assert_eq!(executed(&world), ["a"]);
    assert_eq!(refused(&world.answer("north", Said::TheirsFirst)), Some(Code::AnswerLate));
}

/// South holds snapshots alone; one of its commands runs and one waits.
fn busy() -> World {
    let mut world = World::alone(Policy::default());
    world.delegate("south", "snapshot.*", "exclusive", None);
    world.submit("south", "one: snapshot.create name=s1");
    world.submit("south", "two: snapshot.create name=s2");
    assert_eq!(executed(&world), ["one"]);
    world
}

#[test]
fn a_drained_revocation_lets_what_is_in_flight_finish_and_takes_nothing_new() {
    let mut world = busy();
    let epoch = world.lane.state().authority().unwrap().epoch;
    world.drain("north", "south");
    let waits_for = world.lane.state().drain_waits_for();
    assert_eq!(waits_for.iter().map(|id| world.name(*id)).collect::<Vec<_>>(), ["one", "two"]);
    let refusal = refusal(&world.submit("south", "three: snapshot.create name=s3")).unwrap();
    assert_eq!((refusal.code, refusal.holder), (Code::Draining, Some(provider("north"))));
    assert_eq!(refused(&world.submit("north", "mine: snapshot.create name=s4")), Some(Code::NotDelegated));
    assert_eq!(refused(&world.drain("north", "south")), Some(Code::Draining));
    world.crash();
    world.probe("one", Evidence::Done);
    world.finish("two");
    assert_eq!(
        (ending(&mut world, "one").as_str(), ending(&mut world, "two").as_str()),
        ("done observed-done", "done executed")
    );
    assert_eq!(world.lane.state().authority().unwrap().epoch, epoch + 1);
    assert_eq!(world.lane.state().drain(), None);
    assert_eq!(refused(&world.submit("north", "mine: snapshot.create name=s4")), None);
}

#[test]
fn an_exclusive_delegation_waits_until_the_giver_has_none_in_flight_and_its_lease_begins_then() {
    let mut world = World::alone(Policy::default());
    world.submit("north", "own: cpu.set vcpus=4");
    assert_eq!(refused(&world.delegate("south", "cpu.set", "exclusive", None)), Some(Code::ActionInFlight));
    world.hand_over("south", &[Action::CpuSet]);
    assert_eq!(refused(&world.submit("north", "more: cpu.set vcpus=5")), Some(Code::Draining));
    assert_eq!(refused(&world.submit("north", "other: memory.set memory_kib=4194304")), None);
    world.finish("own");
    assert_eq!(refused(&world.submit("north", "more: cpu.set vcpus=5")), Some(Code::NotDelegated));
    assert_eq!(refused(&world.submit("south", "theirs: cpu.set vcpus=6")), None);
}

#[test]
fn a_hand_over_with_nothing_in_flight_happens_at_once() {
    let mut world = World::alone(Policy::default());
    world.hand_over("south", &[Action::CpuSet]);
    assert_eq!(world.lane.state().drain(), None);
    assert_eq!(refused(&world.submit("south", "theirs: cpu.set vcpus=6")), None);
}

#[test]
fn a_hand_over_is_given_up_when_what_is_in_flight_does_not_end() {
    let mut world = busy();
    world.drain("north", "south");
    world.pass(Duration::from_secs(601));
    assert_eq!(world.lane.state().drain(), None);
    assert_eq!(refused(&world.submit("south", "three: snapshot.create name=s3")), None);
    let failed = world.facts().any(|fact| matches!(fact, Fact::DrainEnded { failed: Some(_) }));
    assert!(failed);
}

#[test]
fn who_may_not_change_delegations_may_not_hand_over_and_the_operator_revokes_past_one() {
    let mut world = busy();
    assert_eq!(refused(&world.drain("west", "south")), Some(Code::Forbidden));
    world.drain("north", "south");
    world.revoke("operator", "south");
    assert_eq!(ending(&mut world, "two"), "denied delegation-ended");
    world.finish("one");
    assert_eq!(world.lane.state().drain(), None, "there is nothing left to hand over");
}
