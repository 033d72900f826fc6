//! What is open: who waits for it, who goes all the same, and how it comes to its end. The stories are scenarios.

use super::*;

/// Nobody is listened for.
fn at_once() -> World {
    World::shared(Policy { gather: std::time::Duration::ZERO, ..Policy::default() })
}

/// South leaves something open, north sends a command; whether it goes at once.
fn goes_beside(opener: &str, line: &str) -> bool {
    let mut world = at_once();
    world.submit("south", &format!("o: {opener}"));
    world.finish("o");
    world.submit("north", &format!("c: {line}"));
    executed(&world).contains(&"c".to_owned())
}

#[test]
fn only_what_ends_it_or_what_it_lives_in_goes_beside_what_is_open() {
    let freeze = "guest.freeze lease_s=600";
    let backup = "backup.begin mode=push files=vda";
    let migration = "migrate.begin to=qemu+tls://b/system";
    for (opener, line, goes) in [
        (freeze, "power.stop class=emergency", true),
        (freeze, "power.reset class=emergency", true),
        (freeze, "power.stop class=critical", false),
        (freeze, "power.shutdown class=emergency", false),
        (freeze, "guest.trim class=emergency", false),
        (freeze, "guest.thaw", false),
        (freeze, "cpu.set vcpus=4", true),
        (backup, "power.stop class=emergency", true),
        (backup, "power.stop", false),
        (backup, "snapshot.create name=s class=emergency", false),
        (migration, "power.stop class=emergency", false),
        (migration, "power.reset class=emergency", false),
    ] {
        assert_eq!(goes_beside(opener, line), goes, "{line} beside {opener}");
    }
}

#[test]
fn its_owner_and_the_operator_end_it_and_use_what_is_locked() {
    for (by, line, goes) in [
        ("south", "guest.thaw", true),
        ("operator", "guest.thaw", true),
        ("north", "guest.thaw", false),
        ("south", "guest.trim", false),
    ] {
        let mut world = at_once();
        world.submit("south", "o: guest.freeze lease_s=600");
        world.finish("o");
        world.submit(by, &format!("c: {line}"));
        assert_eq!(executed(&world).contains(&"c".to_owned()), goes, "{by}'s {line}");
    }
    for (by, goes) in [("south", true), ("operator", true), ("north", false)] {
        let mut world = at_once();
        world.submit("south", "o: lock.acquire reason=maintenance lease_s=600");
        world.finish("o");
        world.submit(by, "c: cpu.set vcpus=4");
        assert_eq!(executed(&world).contains(&"c".to_owned()), goes, "{by}'s beside south's lock");
    }
}

#[test]
fn a_frozen_guest_wakes_although_it_is_frozen() {
    let mut world = at_once();
    world.submit("south", "o: guest.freeze lease_s=600");
    world.finish("o");
    world.out_of_band(|vm| vm.power = PowerState::Paused);
    world.submit("north", "c: power.resume");
    assert!(executed(&world).contains(&"c".to_owned()));
}

#[test]
fn a_guest_that_sleeps_frozen_is_waited_for_so_long_and_thawed_when_it_wakes() {
    let mut world = at_once();
    world.submit("south", "o: guest.freeze lease_s=20");
    world.finish("o");
    world.out_of_band(|vm| vm.power = PowerState::Paused);
    let open = |world: &World| world.lane.state().holds().count();
    world.pass_ms(20_000);
    world.pass_ms(14_999);
    assert_eq!((open(&world), executed(&world).len()), (1, 1), "given up, and nobody can thaw");
    world.pass_ms(1);
    assert_eq!(open(&world), 0, "nothing waits any longer");
    let how = world.facts().find_map(|fact| match fact {
        Fact::HoldClosed { how, .. } => Some(how.clone()),
        _ => None,
    });
    assert!(matches!(how, Some(Closed::Unverified { .. })), "{how:?}");
    world.out_of_band(|vm| vm.power = PowerState::Running);
    assert_eq!(executed(&world), ["o", "errand-0"], "thawed when it wakes");
}

#[test]
fn what_is_open_is_shown_with_whose_it_is_and_why_it_ends() {
    let mut world = at_once();
    world.submit("south", "o: guest.freeze lease_s=20");
    world.pass_ms(1);
    world.finish("o");
    let (opener, south) = (world.id("o"), provider("south"));
    let hold = world.lane.state().holds().next().unwrap();
    assert_eq!((hold.key(), hold.owner(), hold.opener()), (&HoldKey::Freeze, Some(&south), Some(opener)));
    assert_eq!((hold.since(), hold.lease(), hold.given_up()), (world.now(), Some(Mono(20_001_000)), None));
    let reason = "maintenance".to_owned();
    world.feed(Input::ReleaseHold { token: 7, by: south.clone(), hold: HoldKey::Freeze, reason: reason.clone() });
    let hold = world.lane.state().holds().next().unwrap();
    assert_eq!(hold.given_up(), Some(&GivenUp::Requested { by: south, reason }));
}

#[test]
fn an_errand_is_nobodys_rival_whichever_of_the_two_ids_is_lower() {
    for id in [uuid::Uuid::from_u128(1), uuid::Uuid::max()] {
        let mut world = World::shared(Policy::default());
        world.submit("south", "f: guest.freeze lease_s=20");
        world.finish("f");
        world.names.insert("z".to_owned(), CommandId(id));
        world.submit("north", "z: guest.trim");
        world.answer("south", Said::NoOpinion);
        world.feed(Input::SessionLost { provider: provider("south") });
        let errand = world.name(CommandId::errand(world::vm(), 0));
        assert_eq!(executed(&world), ["f", errand.as_str()]);
        let conflicts = world.lane.state().conflicts().count();
        assert_eq!(conflicts, 1, "only the one between the freeze and who waits for its end");
    }
}
