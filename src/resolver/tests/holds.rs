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
fn who_sends_a_guest_to_another_host_may_halt_it_for_that() {
    for (by, line, goes) in [
        ("south", "power.suspend", true),
        ("operator", "power.suspend", true),
        ("north", "power.suspend", false),
        ("south", "power.resume", false),
        ("south", "power.reset", false),
    ] {
        let mut world = at_once();
        if line == "power.resume" {
            world.out_of_band(|vm| vm.power = PowerState::Paused);
        }
        world.submit("south", "o: migrate.begin to=qemu+tls://b/system");
        world.finish("o");
        world.submit(by, &format!("c: {line}"));
        assert_eq!(executed(&world).contains(&"c".to_owned()), goes, "{by}'s {line}");
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

#[test]
fn what_is_open_ends_with_the_vms_stop_before_anybody_has_looked_but_a_lock_does_not() {
    for (line, open) in
        [("power.stop class=emergency", vec![HoldKey::Lock]), ("cpu.set vcpus=4", vec![HoldKey::Freeze, HoldKey::Lock])]
    {
        let mut world = at_once();
        for (name, command) in [("l", "lock.acquire reason=maintenance lease_s=600"), ("f", "guest.freeze lease_s=600")]
        {
            world.submit("south", &format!("{name}: {command}"));
            world.finish(name);
        }
        world.submit("south", &format!("c: {line}"));
        let id = world.id("c");
        let call = world.calls.remove(&id).unwrap();
        let result = world.effect(&call);
        world.feed(Input::Finished { command: id, result });
        let left: Vec<HoldKey> = world.lane.state().holds().map(|hold| hold.key().clone()).collect();
        assert_eq!(left, open, "{line}");
    }
}

#[test]
fn what_a_lost_answer_left_open_is_what_libvirt_shows() {
    for shown in [true, false] {
        let mut world = at_once();
        world.submit("south", "b: backup.begin mode=push files=vda");
        world.lose_call("b");
        if shown {
            world.out_of_band(|vm| _ = vm.jobs.insert(HoldKey::Backup));
        }
        let id = world.id("b");
        world.feed(Input::Probed { command: id, evidence: Evidence::Done });
        assert_eq!(world.lane.state().holds().count(), usize::from(shown), "shown: {shown}");
    }
}

#[test]
fn what_a_provider_left_open_yields_to_its_own_more_urgent_command_alone() {
    for (opener, waiting, yields) in
        [("routine", "critical", true), ("routine", "routine", false), ("critical", "routine", false)]
    {
        let mut world = at_once();
        world.submit("south", &format!("o: guest.freeze lease_s=600 class={opener}"));
        world.finish("o");
        world.submit("south", &format!("c: guest.trim class={waiting}"));
        let given_up = world.lane.state().holds().next().unwrap().given_up().cloned();
        let expected = yields.then(|| GivenUp::Yielded { to: world.id("c") });
        assert_eq!(given_up, expected, "{waiting} beside {opener}");
    }
}

#[test]
fn an_owner_on_its_way_to_end_it_is_no_errand() {
    let mut world = at_once();
    world.submit("south", "o: guest.freeze lease_s=20");
    world.finish("o");
    world.submit("south", "thaw: guest.thaw");
    world.pass(std::time::Duration::from_secs(20));
    let errand = CommandId::errand(world::vm(), 0);
    assert!(world.lane.state().command(errand).is_some(), "whether south's succeeds is not known");
    world.pass(std::time::Duration::from_secs(60));
    assert!(world.lane.state().command(CommandId::errand(world::vm(), 1)).is_none(), "one is enough");
}

#[test]
fn nobody_is_asked_about_what_is_open_against_the_operator_or_without_time() {
    let asking = Policy { gather: std::time::Duration::ZERO, ..Policy::default() };
    let no_time = Policy { callback_budget: std::time::Duration::ZERO, ..asking.clone() };
    for (policy, owner, by, asked) in [
        (&asking, "south", "north", 1),
        (&asking, "operator", "north", 0),
        (&asking, "south", "operator", 0),
        (&no_time, "south", "north", 0),
    ] {
        let mut world = World::shared(policy.clone());
        world.submit(owner, "o: guest.freeze lease_s=600");
        world.finish("o");
        world.submit(by, "c: guest.trim");
        assert_eq!(world.asks.len(), asked, "{by} beside what {owner} has open");
        let decided = verdicts(&world).pop().map(|(_, _, rule)| rule);
        assert_eq!(decided, Some(Rule::AlreadyRunning).filter(|_| asked == 0));
    }
}

#[test]
fn an_owner_gives_up_what_it_has_open_by_any_word_that_means_so() {
    for (said, yields) in
        [(Said::MineFirst, false), (Said::NoOpinion, false), (Said::TheirsFirst, true), (Said::WithdrawMine, true)]
    {
        let mut world = at_once();
        world.submit("south", "o: guest.freeze lease_s=600");
        world.finish("o");
        world.submit("north", "c: guest.trim");
        world.answer("south", said);
        let given_up = world.lane.state().holds().next().unwrap().given_up().is_some();
        assert_eq!(given_up, yields, "{said:?}");
    }
}

#[test]
fn a_vm_that_moved_before_its_migrations_answer_is_known_to_be_where_that_led() {
    let mut world = at_once();
    world.submit("south", "m: migrate.begin to=qemu+tls://b/system");
    world.feed(Input::Vanished { why: Observation::Told(crate::model::Cause::MigratedAway) });
    let refusal = refusal(&world.submit("north", "c: cpu.set vcpus=4")).unwrap();
    assert_eq!(refusal.code, Code::VmGone);
    assert!(refusal.message.contains("qemu+tls://b/system"), "{}", refusal.message);
}

#[test]
fn what_is_open_ends_with_the_start_it_lives_in_but_a_lock_does_not() {
    let mut world = at_once();
    for (name, line) in [("l", "lock.acquire reason=maintenance lease_s=600"), ("f", "guest.freeze lease_s=600")] {
        world.submit("south", &format!("{name}: {line}"));
        world.finish(name);
    }
    world.out_of_band(|vm| vm.start = StartId(Some(9)));
    let left: Vec<HoldKey> = world.lane.state().holds().map(|hold| hold.key().clone()).collect();
    assert_eq!(left, [HoldKey::Lock]);
}

#[test]
fn what_a_command_opened_is_open_although_nobody_has_looked_yet() {
    let mut world = at_once();
    world.submit("south", "b: backup.begin mode=push files=vda");
    let id = world.id("b");
    let result = CallResult::Done(serde_json::Value::Null);
    world.feed(Input::Finished { command: id, result });
    assert_eq!(world.lane.state().holds().count(), 1);
}

#[test]
fn only_its_owners_session_ends_a_freeze_and_only_its_owner_or_the_operator_asks_for_its_end() {
    let mut world = at_once();
    world.submit("south", "f: guest.freeze lease_s=600");
    world.finish("f");
    let given_up = |world: &World| world.lane.state().holds().next().unwrap().given_up().cloned();
    world.feed(Input::SessionLost { provider: provider("north") });
    assert_eq!(given_up(&world), None);
    let reason = "now".to_owned();
    let asks =
        |by: &str| Input::ReleaseHold { token: 7, by: provider(by), hold: HoldKey::Freeze, reason: reason.clone() };
    assert_eq!(refused(&world.feed(asks("north"))), Some(Code::Forbidden));
    assert_eq!(refused(&world.feed(asks("operator"))), None);
    let by_the_operator = given_up(&world);
    assert!(by_the_operator.is_some());
    world.feed(Input::SessionLost { provider: provider("south") });
    assert_eq!(given_up(&world), by_the_operator, "it is given up once");
}

#[test]
fn what_ends_something_open_passes_no_other_command_of_its_provider() {
    let mut world = at_once();
    world.submit("south", "o: backup.begin mode=push files=vda");
    world.finish("o");
    // North is at the hypervisor with what touches the disks as well.
    world.submit("north", "n: cpu.set vcpus=4 class=emergency");
    for line in ["x: backup.end after=n", "y: backup.end", "z: power.stop"] {
        world.submit("south", line);
    }
    assert_eq!(executed(&world), ["o", "n"], "x waits for north's, y for x, z for the backup");
    world.finish("n");
    assert_eq!(executed(&world), ["o", "n", "x"]);
}

#[test]
fn the_agents_own_commands_are_numbered() {
    let mut world = at_once();
    for name in ["o", "p"] {
        world.submit("south", &format!("{name}: guest.freeze lease_s=1"));
        world.finish(name);
        world.pass(std::time::Duration::from_secs(2));
        let errand = world.calls.keys().copied().next().unwrap();
        let name = world.name(errand);
        world.finish(&name);
    }
    let errands = world.lane.state().commands().filter(|it| it.command().provider == ProviderId::agent());
    let mut numbers: Vec<_> = errands.map(|it| it.command().order.seq).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [Some(1), Some(2)]);
}

#[test]
fn what_is_opened_anew_by_its_owner_is_asked_about_anew_and_holds_nobody_back_for_ever() {
    let mut world = World::shared(Policy { gather: std::time::Duration::ZERO, ..Policy::default() });
    world.submit("south", "first: lock.acquire reason=maintenance lease_s=5");
    world.finish("first");
    world.submit("north", "waits: cpu.set vcpus=4");
    assert_eq!(world.asks.len(), 1);
    // Its owner was asked about the lock that is open; both are asked about the one to come.
    world.submit("south", "renewed: lock.acquire reason=maintenance lease_s=5");
    world.answer("north", Said::TheirsFirst);
    world.answer("south", Said::MineFirst);
    world.finish("renewed");
    let open: Vec<_> = world.lane.state().conflicts().filter(|conflict| !conflict.is_over()).collect();
    assert_eq!(open.len(), 1, "{open:#?}");
    assert!(open[0].between().contains(&world.id("renewed")));
    world.pass(std::time::Duration::from_secs(30));
    assert!(executed(&world).contains(&"waits".to_owned()), "{:?}", executed(&world));
}
