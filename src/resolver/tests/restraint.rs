//! What the host's owner puts on a VM: freezes, and the glass that it breaks.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::sovereignty::{Freeze, Reach, Restraint, Scope};

fn freeze(scope: Scope, reach: Reach) -> Freeze {
    Freeze { scope, reach, reason: Some("it loops".to_owned()), since: Wall::from_micros(0) }
}

fn of(name: &str) -> Freeze {
    freeze(Scope::Provider { provider: provider(name) }, Reach::Providers)
}

/// What holds on the host from now on.
fn holds(world: &mut World, freezes: &[Freeze]) {
    world.feed(Input::Restrained(Arc::new(Restraint { freezes: freezes.to_vec(), ..Restraint::default() })));
}

#[test]
fn what_has_not_begun_ends_and_what_runs_goes_on_when_its_provider_is_frozen() {
    let mut world = World::shared(Policy::default());
    world.submit("south", "runs: snapshot.create name=s1");
    world.submit("south", "waits: snapshot.create name=s2");
    holds(&mut world, &[of("south")]);
    assert_eq!(ending(&mut world, "waits"), "cancelled frozen");
    assert_eq!(ending(&mut world, "runs"), "");
    let refusal = refusal(&world.submit("south", "new: memory.set memory_kib=4194304")).unwrap();
    assert_eq!((refusal.code, refusal.holder), (Code::Frozen, Some(ProviderId::operator())));
    assert!(refusal.message.contains("provider south: it loops"), "{}", refusal.message);
    world.finish("runs");
    assert_eq!(ending(&mut world, "runs"), "done executed");
    assert_eq!(refused(&world.submit("north", "theirs: memory.set memory_kib=4194304")), None);
}

#[test]
fn a_thaw_lets_new_work_begin_and_brings_nothing_old_back() {
    let mut world = World::shared(Policy::default());
    holds(&mut world, &[freeze(Scope::Host {}, Reach::Providers)]);
    assert_eq!(refused(&world.submit("north", "a: cpu.set vcpus=4")), Some(Code::Frozen));
    holds(&mut world, &[]);
    assert_eq!(executed(&world), [""; 0]);
    assert_eq!(refused(&world.submit("north", "a: cpu.set vcpus=4")), None);
    assert_eq!(executed(&world), ["a"]);
}

#[test]
fn a_freeze_holds_over_a_restart_before_anybody_tells_the_lane() {
    let mut world = World::shared(Policy::default());
    holds(&mut world, &[freeze(Scope::Host {}, Reach::Providers)]);
    world.crash();
    assert_eq!(refused(&world.submit("north", "a: cpu.set vcpus=4")), Some(Code::Frozen));
}

#[test]
fn the_operator_goes_on_unless_it_froze_itself() {
    let mut world = World::shared(Policy::default());
    holds(&mut world, &[freeze(Scope::Host {}, Reach::Providers)]);
    assert_eq!(refused(&world.submit("operator", "a: cpu.set vcpus=4")), None);
    holds(&mut world, &[freeze(Scope::Host {}, Reach::Everyone)]);
    assert_eq!(refused(&world.submit("operator", "b: memory.set memory_kib=4194304")), Some(Code::Frozen));
}

#[test]
fn who_is_frozen_still_ends_what_it_has_open() {
    let mut world = World::shared(Policy::default());
    world.submit("south", "locks: lock.acquire reason=move lease_s=600");
    world.finish("locks");
    holds(&mut world, &[of("south")]);
    assert_eq!(refused(&world.submit("south", "more: cpu.set vcpus=4")), Some(Code::Frozen));
    assert_eq!(refused(&world.submit("south", "unlocks: lock.release")), None);
}

#[test]
fn nobody_gives_and_nobody_is_given_what_is_frozen_but_everybody_takes_back() {
    let mut world = World::shared(Policy::default());
    holds(&mut world, &[of("south"), of("west")]);
    assert_eq!(refused(&world.delegate("south", "inspect.read", "shared", None)), Some(Code::Frozen));
    assert_eq!(refused(&world.revoke("north", "south")), None);
    // West had no part, so nothing of its freeze was journalled here; it is once it would have one.
    let frozen = world.facts().filter(|fact| matches!(fact, Fact::Frozen { .. })).count();
    assert_eq!(frozen, 1);
}

#[test]
fn a_provider_that_is_frozen_elsewhere_is_given_nothing_here_nor_by_a_hand_over_that_had_begun() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "runs: cpu.set vcpus=4");
    world.hand_over("west", &[Action::CpuSet]);
    holds(&mut world, &[of("west")]);
    assert_eq!(world.facts().filter(|fact| matches!(fact, Fact::Frozen { .. })).count(), 0);
    assert_eq!(refused(&world.delegate("west", "memory.set", "shared", None)), Some(Code::Frozen));
    world.finish("runs");
    let failed = |fact: &&Fact| matches!(fact, Fact::DrainEnded { failed: Some(why) } if why.contains("frozen"));
    assert_eq!(world.facts().filter(failed).count(), 1);
    assert_eq!(refused(&world.submit("west", "a: cpu.set vcpus=4")), Some(Code::UnknownVm));
}

#[test]
fn a_frozen_host_enrolls_nothing() {
    let mut world = World::alone(Policy::default());
    world.feed(Input::Release { token: 0, by: provider("north") });
    holds(&mut world, &[freeze(Scope::Host {}, Reach::Providers)]);
    let enroll = |primary: &str| Input::Enroll {
        token: 0,
        name: "web-1".to_owned(),
        primary: provider(primary),
        state: world::running(),
    };
    assert_eq!(refused(&world.feed(enroll("north"))), Some(Code::Frozen));
    holds(&mut world, &[]);
    assert_eq!(refused(&world.feed(enroll("north"))), None);
}

fn breaks(world: &mut World, by: &str, reason: &str, span: u64) -> Vec<Output> {
    let span = Duration::from_secs(span);
    world.feed(Input::BreakGlass { token: 1, by: provider(by), reason: reason.to_owned(), span })
}

#[test]
fn while_the_glass_is_broken_only_the_operator_acts_and_then_it_mends_by_itself() {
    let mut world = World::shared(Policy::default());
    world.submit("south", "runs: snapshot.create name=s1");
    world.submit("south", "waits: snapshot.create name=s2");
    assert_eq!(refused(&breaks(&mut world, "operator", "a disk burns", 60)), None);
    assert_eq!(ending(&mut world, "waits"), "cancelled glass-broken");
    let refusal = refusal(&world.submit("north", "new: memory.set memory_kib=4194304")).unwrap();
    assert_eq!(refusal.code, Code::GlassBroken);
    assert!(refusal.until.is_some() && refusal.message.contains("a disk burns"), "{}", refusal.message);
    world.submit("operator", "stops: power.stop");
    let command = world.id("stops");
    let tracked = world.lane.state().command(command).unwrap();
    assert_eq!(tracked.command().break_glass.as_deref(), Some("a disk burns"));
    assert_eq!(executed(&world), ["runs"], "nothing passes what is at the hypervisor");
    world.finish("runs");
    assert_eq!(executed(&world), ["runs", "stops"]);
    world.finish("stops");
    world.pass_ms(60_001);
    assert_eq!(world.lane.state().glass(), None);
    assert_eq!(refused(&world.submit("north", "again: power.start")), None);
}

#[test]
fn the_glass_passes_a_lock() {
    let mut world = World::shared(Policy::default());
    world.submit("south", "locks: lock.acquire reason=move lease_s=600");
    world.finish("locks");
    breaks(&mut world, "operator", "a disk burns", 60);
    world.submit("operator", "a: cpu.set vcpus=4");
    assert_eq!(executed(&world).last().map(String::as_str), Some("a"));
}

#[test]
fn the_glass_is_broken_by_the_operator_with_a_reason_and_for_a_bounded_time() {
    let mut world = World::shared(Policy::default());
    assert_eq!(refused(&breaks(&mut world, "north", "I want to", 60)), Some(Code::Forbidden));
    assert_eq!(refused(&breaks(&mut world, "operator", " ", 60)), Some(Code::Malformed));
    assert_eq!(refused(&breaks(&mut world, "operator", "two\nlines", 60)), Some(Code::Malformed));
    assert_eq!(refused(&breaks(&mut world, "operator", "so", 0)), Some(Code::Malformed));
    assert_eq!(refused(&breaks(&mut world, "operator", "so", 86_401)), Some(Code::Malformed));
    assert_eq!(refused(&world.feed(Input::MendGlass { token: 1, by: ProviderId::operator() })), Some(Code::NotFrozen));
    breaks(&mut world, "operator", "so", 60);
    assert_eq!(refused(&world.feed(Input::MendGlass { token: 1, by: ProviderId::operator() })), None);
    assert_eq!(refused(&world.submit("north", "a: cpu.set vcpus=4")), None);
}
