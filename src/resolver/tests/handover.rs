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

/// South holds backups alone and has one open.
fn with_a_backup() -> World {
    let mut world = World::alone(Policy { gather: Duration::ZERO, ..Policy::default() });
    world.delegate("south", "backup.*", "exclusive", None);
    world.submit("south", "full: backup.begin mode=push files=vda");
    world.finish("full");
    assert_eq!(world.lane.state().holds().count(), 1);
    world
}

fn limit_passes(world: &mut World) {
    world.pass(Policy::default().drain_wait + Duration::from_secs(1));
}

#[test]
fn a_hand_over_waits_for_what_is_open_and_lets_its_owner_end_it() {
    let mut world = with_a_backup();
    world.drain("north", "south");
    let waits_for = world.lane.state().drain_waits_for();
    assert_eq!(waits_for.iter().map(|id| world.name(*id)).collect::<Vec<_>>(), ["full"]);
    assert_eq!(refused(&world.submit("south", "next: backup.begin mode=push files=vda")), Some(Code::Draining));
    assert_eq!(refused(&world.submit("south", "end: backup.end")), None);
    world.finish("end");
    assert_eq!(ending(&mut world, "end"), "done executed");
    assert_eq!(world.lane.state().drain(), None);
    assert_eq!(refused(&world.submit("south", "next: backup.begin mode=push files=vda")), Some(Code::UnknownVm));
}

#[test]
fn what_ends_by_itself_ends_the_waiting_too() {
    let mut world = with_a_backup();
    world.drain("north", "south");
    world.crash();
    world.out_of_band(|vm| vm.jobs.clear());
    assert_eq!(world.lane.state().drain(), None);
    assert_eq!(refused(&world.submit("north", "mine: backup.begin mode=push files=vda")), None);
}

#[test]
fn what_is_still_open_at_the_limit_is_ended_with_proof_and_then_handed_over() {
    let mut world = with_a_backup();
    let epoch = world.lane.state().authority().unwrap().epoch;
    world.drain("north", "south");
    limit_passes(&mut world);
    let given_up = |fact: &Fact| matches!(fact, Fact::HoldGivenUp { why: GivenUp::HandedOver { .. }, .. });
    assert_eq!(world.facts().filter(|fact| given_up(fact)).count(), 1);
    assert_eq!((executed(&world).len(), world.lane.state().authority().unwrap().epoch), (2, epoch));
    let errand = *world.executed.last().unwrap();
    let name = world.name(errand);
    world.finish(&name);
    let proof = Closed::ByCommand { command: errand };
    assert!(world.facts().any(|fact| matches!(fact, Fact::HoldClosed { how, .. } if *how == proof)));
    assert_eq!((world.lane.state().drain(), world.lane.state().authority().unwrap().epoch), (None, epoch + 1));
}

#[test]
fn what_cannot_be_ended_is_not_handed_over() {
    let mut world = with_a_backup();
    world.drain("north", "south");
    limit_passes(&mut world);
    // Nobody at the hypervisor answers the errand.
    world.pass(Duration::from_secs(61));
    assert_eq!(world.lane.state().drain(), None);
    let failed = world.facts().find_map(|fact| match fact {
        Fact::DrainEnded { failed } => failed.clone(),
        _ => None,
    });
    assert!(
        failed.is_some_and(|why| why.contains("could not be ended in time")),
        "an errand is under way all the time"
    );
    assert_eq!(refused(&world.submit("south", "next: checkpoint.delete name=south.base")), Some(Code::NotDelegated));
    assert_eq!(refused(&world.submit("south", "next: backup.begin mode=push files=vda")), None);
}

#[test]
fn an_action_is_not_given_away_while_what_it_opened_or_ends_is_open() {
    for action in [Action::GuestFreeze, Action::GuestThaw] {
        let mut world = World::alone(Policy::default());
        world.submit("north", "still: guest.freeze lease_s=30");
        world.finish("still");
        let refusal = refusal(&world.delegate("south", action.name(), "exclusive", None)).unwrap();
        assert_eq!((refusal.code, refusal.command), (Code::ActionInFlight, Some(world.id("still"))));
        world.submit("north", "thaw: guest.thaw");
        world.finish("thaw");
        assert_eq!(refused(&world.delegate("south", action.name(), "exclusive", None)), None);
    }
}

#[test]
fn an_end_that_its_owner_has_begun_at_the_limit_may_finish() {
    let mut world = with_a_backup();
    world.drain("north", "south");
    world.pass(Policy::default().drain_wait - Duration::from_secs(1));
    world.submit("south", "end: backup.end");
    world.pass(Duration::from_secs(2));
    assert!(world.lane.state().drain().is_some());
    assert_eq!(refused(&world.submit("south", "more: backup.end")), Some(Code::Draining), "covirt ends it now");
    world.finish("end");
    assert_eq!(ending(&mut world, "end"), "done executed");
    // The errand was sent when the limit passed; it finds nothing to do.
    world.pass(Duration::from_secs(1));
    assert_eq!(world.lane.state().drain(), None);
    assert_eq!(refused(&world.submit("north", "mine: backup.begin mode=push files=vda")), None);
}
