//! Waiting is bounded: by turns, by one budget for all asking, by the operator's word.

use std::time::Duration;

use proptest::prelude::*;

use super::rules::{no_opinions, two_resizes};
use super::*;

/// Providers of these standing answers to being asked; every write listens for a rival first.
fn policy(answers: [(&str, Said); 2]) -> Policy {
    let consent = answers.map(|(who, said)| (provider(who), Consent { standing: None, on_silence: said }));
    let gather_for = GatherFor::Writes;
    Policy {
        gather_for,
        gather: Duration::ZERO,
        ask_timeout: Duration::ZERO,
        consent: consent.into(),
        ..Policy::default()
    }
}

/// North always wants to be first, and south lets it.
fn a_pushy_north() -> Policy {
    policy([("north", Said::MineFirst), ("south", Said::TheirsFirst)])
}

/// How many of north's commands are executed while south's waits: north always has the next one ready, and each runs
/// for a while.
fn passed_by(world: &mut World, wishes: &[&str], south: &str, most: usize) -> usize {
    let mut sent = 0;
    let mut send = |world: &mut World| {
        let wish = wishes[sent % wishes.len()].replace("{n}", &sent.to_string());
        world.submit("north", &format!("n{sent}: {wish}"));
        sent += 1;
    };
    send(world);
    world.submit("south", &format!("long: {south}"));
    let long = world.id("long");
    while !world.executed.contains(&long) && world.outcome("long").is_none() {
        assert!(in_its_way(world) <= most, "{:?} passed south's", executed(world));
        send(world);
        send(world);
        world.pass_ms(100);
        // The oldest call ends, while the next may be running beside it.
        if let Some(name) = executed(world).into_iter().find(|name| world.calls.contains_key(&world.names[name])) {
            world.finish(&name);
        }
    }
    in_its_way(world)
}

/// How many of those that south's clashes with went before it; the others are in nobody's way.
fn in_its_way(world: &mut World) -> usize {
    let long = world.id("long");
    let footprint = world.sent[&long].footprint();
    let before = world.executed.iter().take_while(|id| **id != long);
    before.filter(|id| world.sent[id].footprint().clashes_with(&footprint)).count()
}

#[test]
fn who_was_put_back_often_enough_has_its_turn_whatever_the_providers_say() {
    let mut world = World::shared(a_pushy_north());
    let passed = passed_by(&mut world, &["cpu.set vcpus=4"], "cpu.set vcpus=6", 10);
    assert_eq!((passed, ending(&mut world, "long")), (3, String::new()), "the first ran already, which counts");
    let last = verdicts(&world).pop().unwrap();
    assert_eq!((last.0.as_str(), last.2), ("long", Rule::Turn));
}

#[test]
fn commands_that_do_not_clash_with_each_other_do_not_pass_one_that_clashes_with_both_for_ever() {
    // South's command reads both what the even and what the odd ones write, and one of them always runs.
    let mut world = World::shared(a_pushy_north());
    let wishes = ["cpu.set vcpus=4", "memory.set memory_kib=4194304"];
    let passed =
        passed_by(&mut world, &wishes, "metadata.set uri=urn:a key=a expects-vcpus=2 expects-memory=8388608", 12);
    assert!(passed <= 8, "{passed}");
}

#[test]
fn a_stop_that_only_goes_last_for_the_sake_of_snapshots_has_its_turn_too() {
    let mut world = World::shared(a_pushy_north());
    let passed = passed_by(&mut world, &["snapshot.create name=s{n}"], "power.stop", 10);
    assert_eq!(passed, 3);
}

#[test]
fn a_more_urgent_command_still_passes() {
    let mut world = World::shared(a_pushy_north());
    world.submit("north", "n0: cpu.set vcpus=4");
    world.submit("south", "long: cpu.set vcpus=6");
    for n in 0..6 {
        world.submit("north", &format!("m{n}: cpu.set vcpus=5 class=critical"));
        let running = world.calls.keys().next().copied().unwrap();
        let name = world.name(running);
        world.finish(&name);
        world.pass_ms(10);
    }
    assert!(!executed(&world).contains(&"long".to_owned()), "{:?}", executed(&world));
}

#[test]
fn what_must_begin_soon_goes_first_and_nobody_is_asked() {
    let mut world = World::shared(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
    world.submit("north", "a: cpu.set vcpus=4 issued=-9s");
    world.submit("south", "b: cpu.set vcpus=6 must-start-by=1s");
    assert_eq!(verdict(&world), ("b".into(), "a".into(), Rule::Turn));
    assert!(world.asks.is_empty());
}

#[test]
fn an_ask_ends_when_one_of_the_two_must_begin() {
    let mut world = two_resizes("", "must-start-by=3s");
    assert_eq!(world.asks.len(), 2);
    world.pass(Duration::from_millis(999));
    assert!(verdicts(&world).is_empty());
    world.pass_ms(2);
    assert_eq!(verdict(&world), ("b".into(), "a".into(), Rule::Turn));
    assert_eq!(refused(&world.answer("north", Said::MineFirst)), Some(Code::AnswerLate));
}

#[test]
fn a_wish_to_begin_by_then_is_no_deadline_and_is_refused_when_it_is_past() {
    let mut world = World::shared(a_pushy_north());
    world.submit("north", "a: cpu.set vcpus=4");
    assert_eq!(refused(&world.submit("south", "late: cpu.set vcpus=6 must-start-by=-1s")), Some(Code::DeadlinePassed));
    world.submit("south", "b: cpu.set vcpus=6 must-start-by=1s");
    world.pass(Duration::from_secs(9));
    assert_eq!(ending(&mut world, "b"), "");
    world.finish("a");
    assert_eq!(executed(&world), ["a", "b"]);
}

#[test]
fn who_always_must_begin_now_does_not_starve_who_was_put_back() {
    let mut world = World::shared(a_pushy_north());
    let passed = passed_by(&mut world, &["cpu.set vcpus=4 must-start-by=1s"], "cpu.set vcpus=6", 10);
    assert_eq!(passed, 3);
}

#[test]
fn one_command_waits_for_few_of_a_queue_full_of_anothers() {
    let mut world = World::shared(a_pushy_north());
    for n in 0..64 {
        world.submit("north", &format!("n{n}: cpu.set vcpus={}", 1 + n % 8));
    }
    world.submit("south", "one: cpu.set vcpus=6");
    while !executed(&world).contains(&"one".to_owned()) {
        let name = executed(&world).pop().unwrap();
        world.finish(&name);
        world.pass_ms(10);
    }
    assert_eq!(executed(&world).len(), 4, "one was running, two had the callback's favour, then it was south's turn");
}

#[test]
fn breaking_the_glass_passes_all_but_an_emergency_and_is_the_operators_alone() {
    let mut world = World::shared(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
    world.submit("north", "a: power.stop class=critical");
    let refusal = refusal(&world.submit("north", "no: power.suspend break-glass=please")).unwrap();
    assert_eq!(refusal.code, Code::Forbidden);
    for reason in [" ".to_owned(), "on\nfire".to_owned(), "a".repeat(1025)] {
        let command = world.command("operator", "no: power.suspend break-glass=x");
        let command = Command { break_glass: Some(reason.clone()), ..command };
        assert_eq!(refused(&world.send(command)), Some(Code::Malformed), "{reason:?} is no reason");
    }
    world.submit("operator", "g: power.suspend break-glass=the-rack-is-on-fire");
    assert_eq!(verdict(&world), ("g".into(), "a".into(), Rule::BreakGlass));
    assert_eq!(executed(&world), ["g"], "without listening for anybody");
    assert!(world.asks.is_empty());
    let mut world = World::shared(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
    world.submit("north", "a: cpu.set vcpus=4");
    world.submit("south", "e: cpu.set vcpus=6 class=emergency");
    world.submit("operator", "g: cpu.set vcpus=5 break-glass=now");
    assert_eq!(executed(&world), ["e"], "nothing overlaps what is at the hypervisor");
    world.finish("e");
    assert_eq!(executed(&world), ["e", "g"]);
    let command = world.command("operator", "long: metadata.set uri=urn:a key=a break-glass=x");
    assert_eq!(refused(&world.send(Command { break_glass: Some("a".repeat(1024)), ..command })), None);
}

#[test]
fn asks_about_many_conflicts_hold_a_command_no_longer_than_one_budget() {
    let policy = Policy { gather_for: GatherFor::Writes, max_deferrals: 99, ..Policy::default() };
    let mut world = World::shared(policy);
    // Nobody ever answers: each conflict would take two seconds, and there is always one more.
    world.submit("south", "held: cpu.set vcpus=6 issued=0s");
    for n in 0..6 {
        world.submit("north", &format!("n{n}: cpu.set vcpus=4 issued=-9s"));
    }
    while !executed(&world).contains(&"held".to_owned()) {
        world.pass(Duration::from_secs(3));
        let running = executed(&world).pop().unwrap();
        world.finish(&running);
    }
    assert_eq!(executed(&world).len(), 7);
    let held: Duration = world
        .lane
        .state()
        .command(world.names["held"])
        .map(|held| held.conflicts().iter().filter_map(|id| world.lane.state().conflict(*id)))
        .into_iter()
        .flatten()
        .filter_map(|conflict| {
            let asked = conflict.asked.values().map(|asked| asked.at.mono).min()?;
            Some(conflict.settled.as_ref()?.0.mono.since(asked))
        })
        .sum();
    assert!(held <= Duration::from_secs(5), "{held:?}");
    let used_up = world.facts().any(|fact| match fact {
        Fact::Settled { verdict, .. } => verdict.trail.iter().any(|finding| finding.found.contains("used up")),
        _ => false,
    });
    assert!(used_up, "later conflicts are decided without asking");
}

#[test]
fn an_escalated_pair_waits_for_the_operators_word() {
    let escalate = [pair(provider("south"), provider("north"))].into();
    let policy = Policy { gather_for: GatherFor::Writes, escalate, ..Policy::default() };
    let disagree = |policy: &Policy| {
        let mut world = World::shared(policy.clone());
        world.submit("north", "a: cpu.set vcpus=4 class=critical");
        world.submit("south", "b: cpu.set vcpus=6");
        world.answer("north", Said::MineFirst);
        world.answer("south", Said::MineFirst);
        world
    };
    let mut world = disagree(&policy);
    assert!(verdicts(&world).is_empty() && world.executed.is_empty());
    assert_eq!(refused(&world.decide("north", "a")), Some(Code::Forbidden));
    world.crash();
    world.decide("operator", "b");
    assert_eq!(verdict(&world), ("b".into(), "a".into(), Rule::Escalation));
    assert_eq!(refused(&world.decide("operator", "a")), Some(Code::ConflictSettled));
    // Nobody decides, and both can be undone: the next rule.
    let mut world = disagree(&policy);
    world.pass(Duration::from_secs(61));
    assert_eq!(verdict(&world), ("a".into(), "b".into(), Rule::Class));
}

#[test]
fn the_operator_may_decide_what_is_still_being_asked_but_not_against_feasibility() {
    let mut world = two_resizes("", "");
    world.decide("operator", "b");
    assert_eq!(verdict(&world), ("b".into(), "a".into(), Rule::Escalation));
    assert_eq!(refused(&world.answer("north", Said::MineFirst)), Some(Code::AnswerLate));
    no_opinions_are_late(&mut world);
}

fn no_opinions_are_late(world: &mut World) {
    let before = verdicts(world);
    no_opinions(world);
    assert_eq!(verdicts(world), before);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever north keeps sending, and whatever both say when asked: south's command begins, or ends, after at most
    /// so many of north's as it may be put back, and those that ran beside each other meanwhile.
    #[test]
    fn a_stream_of_short_commands_never_starves_a_long_one(
        wishes in proptest::collection::vec(proptest::sample::select(vec![
            "cpu.set vcpus=4", "cpu.set vcpus=3", "memory.set memory_kib=4194304", "snapshot.create name=s{n}",
            "power.suspend", "power.resume", "metadata.set uri=urn:a key=a", "cpu.set vcpus=2 must-start-by=1s",
        ]), 1..6),
        long in proptest::sample::select(vec![
            "cpu.set vcpus=6", "power.reboot", "snapshot.create name=long", "power.stop",
            "memory.set memory_kib=2097152 expects-vcpus=2", "metadata.set uri=urn:a key=b",
        ]),
        north in proptest::sample::select(vec![Said::MineFirst, Said::TheirsFirst, Said::NoOpinion]),
        south in proptest::sample::select(vec![Said::MineFirst, Said::TheirsFirst, Said::NoOpinion]),
        max_deferrals in 1u32..5,
    ) {
        let mut world = World::shared(Policy {
            max_deferrals, queue_limit: 10_000, ..policy([("north", north), ("south", south)])
        });
        // Each time it is put back, at most what is at the hypervisor and what was sent beside it passes.
        let bound = 4 * (usize::try_from(max_deferrals).unwrap() + 1);
        prop_assert!(passed_by(&mut world, &wishes, long, bound) <= bound);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// However often it would have to wait otherwise: what must begin by now begins once what runs has ended.
    #[test]
    fn what_must_begin_soon_waits_only_for_what_runs(
        wishes in proptest::collection::vec(proptest::sample::select(vec![
            "cpu.set vcpus=4", "cpu.set vcpus=3", "memory.set memory_kib=4194304", "metadata.set uri=urn:a key=a",
        ]), 1..6),
        long in proptest::sample::select(vec![
            "cpu.set vcpus=6", "memory.set memory_kib=2097152", "metadata.set uri=urn:a key=b",
        ]),
        north in proptest::sample::select(vec![Said::MineFirst, Said::TheirsFirst, Said::NoOpinion]),
    ) {
        let policy = Policy { max_deferrals: 99, ..policy([("north", north), ("south", Said::TheirsFirst)]) };
        let mut world = World::shared(policy);
        let passed = passed_by(&mut world, &wishes, &format!("{long} must-start-by=2s"), 2);
        prop_assert!(passed <= 2, "{:?}", executed(&world));
    }
}

#[test]
fn whoever_must_begin_now_does_not_begin_where_only_the_other_order_lets_both_succeed() {
    let mut world = World::shared(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
    world.submit("north", "a: power.suspend");
    world.submit("south", "b: power.stop must-start-by=1s");
    assert_eq!(verdict(&world), ("a".into(), "b".into(), Rule::Feasibility));
}

#[test]
fn nothing_waits_for_a_turn_that_it_does_not_touch() {
    let mut world = World::of_three(Policy::default());
    world.submit("west", "long: snapshot.create name=s1");
    world.submit("south", "due: disk.resize disk=vda capacity=2147483648 must-start-by=1s");
    world.submit("north", "other: metadata.set uri=urn:a key=a");
    world.submit("south", "own: metadata.set uri=urn:b key=b");
    assert_eq!(executed(&world), ["long", "other", "own"]);
}
