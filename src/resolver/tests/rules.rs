//! Which of two goes first: each rule, and that the rules before it found nothing.

use std::time::Duration;

use super::*;

/// Every write listens for a rival, so that two commands meet before either runs.
fn listening() -> Policy {
    Policy { gather_for: GatherFor::Writes, ..Policy::default() }
}

/// Two resizes of the same thing: both orders are feasible, so rule 3 leaves them alone.
pub(super) fn two_resizes(north: &str, south: &str) -> World {
    let mut world = World::shared(listening());
    world.submit("north", &format!("a: cpu.set vcpus=4 {north}"));
    world.submit("south", &format!("b: cpu.set vcpus=6 {south}"));
    world
}

pub(super) fn no_opinions(world: &mut World) {
    world.answer("north", Said::NoOpinion);
    world.answer("south", Said::NoOpinion);
}

fn trail(world: &World) -> Vec<(Rule, String)> {
    let found = world.facts().find_map(|fact| match fact {
        Fact::Settled { verdict, .. } => Some(&verdict.trail),
        _ => None,
    });
    found.unwrap().iter().map(|finding| (finding.rule, finding.found.clone())).collect()
}

#[test]
fn a_declared_order_is_no_conflict() {
    let mut world = World::shared(listening());
    world.submit("north", "a: power.suspend");
    world.submit("south", "b: power.resume after=a");
    world.pass_ms(30);
    assert_eq!(executed(&world), ["a"]);
    world.finish("a");
    world.pass_ms(30);
    world.finish("b");
    assert_eq!((ending(&mut world, "b").as_str(), verdicts(&world).len()), ("done executed", 0));
}

#[test]
fn two_equal_wishes_are_executed_once() {
    let mut world = World::shared(listening());
    world.submit("north", "a: power.stop");
    world.submit("south", "b: power.stop");
    world.pass_ms(30);
    assert_eq!(executed(&world).len(), 1);
    let leader = executed(&world).remove(0);
    world.finish(&leader);
    let follower = if leader == "a" { "b" } else { "a" };
    assert_eq!(ending(&mut world, &leader), "done executed");
    assert_eq!(ending(&mut world, follower), "coalesced same-wish");
    assert_eq!(cause(&mut world, follower), Some(leader));
    assert!(world.asks.is_empty());
}

#[test]
fn a_wish_joins_the_same_one_that_runs() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4");
    world.submit("south", "b: cpu.set vcpus=4");
    assert_eq!(verdict(&world), ("a".into(), "b".into(), Rule::SameWish));
    world.finish("a");
    assert_eq!(ending(&mut world, "b"), "coalesced same-wish");
}

#[test]
fn two_snapshots_are_two_wishes() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: snapshot.create name=s1");
    world.submit("south", "b: snapshot.create name=s2");
    world.finish("a");
    world.finish("b");
    assert_eq!(world.machine.snapshots.len(), 3);
}

#[test]
fn who_follows_a_failed_execution_gets_its_failure() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4");
    world.submit("south", "b: cpu.set vcpus=4");
    world.fail("a", Code::HypervisorFailed);
    assert_eq!(ending(&mut world, "a"), "failed hypervisor-failed");
    let outcome = world.outcome("b").unwrap();
    assert_eq!((outcome.ending, outcome.cause), (Ending::Coalesced, Some(world.id("a"))));
    assert!(outcome.reason.contains("failed"), "{}", outcome.reason);
}

#[test]
fn who_follows_a_cancelled_command_goes_by_itself() {
    let mut world = World::of_three(listening());
    world.submit("west", "c: cpu.set vcpus=6");
    world.submit("north", "a: cpu.set vcpus=4");
    world.submit("south", "b: cpu.set vcpus=4");
    let (leader, follower, rule) = verdict(&world);
    assert_eq!(rule, Rule::SameWish);
    let by = if leader == "a" { "north" } else { "south" };
    world.cancel(by, &leader);
    world.pass(Duration::from_secs(10));
    while let Some(name) = world.calls.keys().next().map(|id| world.name(*id)) {
        world.finish(&name);
    }
    assert_eq!(ending(&mut world, &leader), "cancelled cancelled-by-request");
    assert_eq!(ending(&mut world, &follower), "done executed");
}

#[test]
fn whose_wish_is_executed_for_both_stays_so_whatever_else_ends() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4");
    world.submit("south", "b: cpu.set vcpus=4");
    world.submit("south", "m: metadata.set uri=urn:m key=m");
    world.finish("m");
    world.finish("a");
    assert_eq!(executed(&world), ["a", "m"]);
    assert_eq!(ending(&mut world, "b"), "coalesced same-wish");
}

#[test]
fn a_follower_does_not_expire_while_its_wish_is_executed() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4");
    world.submit("south", "b: cpu.set vcpus=4 not-after=50ms");
    world.pass_ms(100);
    assert_eq!(ending(&mut world, "b"), "");
    world.finish("a");
    assert_eq!(ending(&mut world, "b"), "coalesced same-wish");
}

#[test]
fn the_only_feasible_order_is_taken_without_asking() {
    for second in ["power.suspend", "power.reboot", "snapshot.create name=s1"] {
        let mut world = World::shared(listening());
        world.submit("north", "stop: power.stop class=critical");
        world.submit("south", &format!("other: {second}"));
        assert_eq!(verdict(&world), ("other".into(), "stop".into(), Rule::Feasibility), "{second}");
        assert!(world.asks.is_empty());
        world.finish("other");
        world.finish("stop");
        assert_eq!(ending(&mut world, "stop"), "done executed");
    }
}

#[test]
fn nobody_is_asked_for_the_sake_of_a_command_that_is_possible_in_no_order() {
    let mut world = World::shared(listening());
    world.submit("north", "a: power.start class=critical");
    world.submit("south", "b: cpu.set vcpus=4");
    assert_eq!(verdict(&world), ("b".into(), "a".into(), Rule::Feasibility));
    assert!(world.asks.is_empty());
    world.finish("b");
    assert_eq!(ending(&mut world, "a"), "impossible state-forbids");
}

#[test]
fn a_callback_decides_when_one_yields() {
    for (north, south, first) in [
        (Said::MineFirst, Said::NoOpinion, "a"),
        (Said::TheirsFirst, Said::NoOpinion, "b"),
        (Said::MineFirst, Said::TheirsFirst, "a"),
        (Said::NoOpinion, Said::MineFirst, "b"),
    ] {
        let mut world = two_resizes("", "");
        assert_eq!(world.asks.len(), 2, "both are asked together");
        world.answer("north", north);
        assert!(verdicts(&world).is_empty(), "one round: both are waited for");
        world.answer("south", south);
        let (won, lost, rule) = verdict(&world);
        assert_eq!((won.as_str(), rule), (first, Rule::Callback));
        world.pass_ms(30);
        world.finish(&won);
        world.finish(&lost);
        assert_eq!(executed(&world), [won, lost.clone()]);
        assert_eq!(ending(&mut world, &lost), "done executed");
    }
}

#[test]
fn the_other_order_is_executed_too_when_a_callback_put_the_later_one_first() {
    let mut world = World::shared(listening());
    world.submit("north", "a: cpu.set vcpus=4 issued=-10s");
    world.submit("south", "b: cpu.set vcpus=6 issued=-1s");
    world.answer("north", Said::TheirsFirst);
    world.answer("south", Said::NoOpinion);
    world.pass_ms(30);
    world.finish("b");
    world.finish("a");
    assert_eq!((ending(&mut world, "a").as_str(), world.machine.vcpus), ("done executed", 4));
}

#[test]
fn an_ask_shows_both_commands_from_the_side_of_who_is_asked() {
    let world = two_resizes("", "");
    for (who, mine, theirs) in [("north", "a", "b"), ("south", "b", "a")] {
        let ask = world.last_ask(who).unwrap();
        assert_eq!((world.name(ask.mine.id).as_str(), world.name(ask.theirs.id).as_str()), (mine, theirs));
        assert_eq!((ask.contested, ask.within), (vec![Resource::Cpu], Duration::from_secs(2)));
        assert_eq!((ask.mine_first_fails, ask.theirs_first_fails), (None, None));
    }
}

#[test]
fn a_withdrawn_command_is_cancelled_and_the_other_runs() {
    let mut world = two_resizes("", "");
    world.answer("north", Said::WithdrawMine);
    world.answer("south", Said::TheirsFirst);
    world.pass_ms(30);
    assert_eq!(ending(&mut world, "a"), "cancelled withdrawn");
    assert_eq!(cause(&mut world, "a").as_deref(), Some("b"));
    assert_eq!(executed(&world), ["b"]);
}

#[test]
fn two_who_both_want_to_be_first_are_not_asked_again() {
    let mut world = two_resizes("", "class=critical");
    world.answer("north", Said::MineFirst);
    world.answer("south", Said::MineFirst);
    assert_eq!(verdict(&world), ("b".into(), "a".into(), Rule::Class));
    assert_eq!(world.asks.len(), 2);
    assert!(trail(&world).iter().any(|(_, found)| found == "they do not agree"));
}

#[test]
fn silence_means_what_was_declared() {
    let consent = [(provider("south"), Consent { standing: None, on_silence: Said::TheirsFirst })];
    let mut world = World::shared(Policy { consent: consent.into(), ..listening() });
    world.submit("north", "a: cpu.set vcpus=4");
    world.submit("south", "b: cpu.set vcpus=6");
    world.answer("north", Said::NoOpinion);
    world.pass(Duration::from_millis(1999));
    assert!(verdicts(&world).is_empty());
    world.pass_ms(2);
    assert_eq!(verdict(&world), ("a".into(), "b".into(), Rule::Callback));
    assert_eq!(refused(&world.answer("south", Said::MineFirst)), Some(Code::AnswerLate));
}

#[test]
fn a_lost_session_is_silence_at_once_and_only_once() {
    let mut world = two_resizes("class=critical", "");
    world.lose_answer("south");
    world.lose_answer("south");
    world.answer("north", Said::NoOpinion);
    assert_eq!(verdict(&world).2, Rule::Class);
    let silences = world.facts().filter(|f| matches!(f, Fact::Answered { how: Heard::Silence, .. })).count();
    assert_eq!(silences, 1);
}

#[test]
fn a_standing_answer_counts_as_one() {
    let mut world = two_resizes("", "");
    let ask = world.last_ask("south").unwrap();
    world.answer("north", Said::NoOpinion);
    let (conflict, epoch, by) = (ask.conflict, ask.epoch, provider("south"));
    world.feed(Input::Answered { token: None, conflict, epoch, by, said: Said::TheirsFirst, how: Heard::Standing });
    assert_eq!(verdict(&world), ("a".into(), "b".into(), Rule::Callback));
    assert!(trail(&world).iter().any(|(_, found)| found.contains("standing answer")));
}

#[test]
fn an_answer_to_nothing_or_to_another_epoch_is_refused_by_name() {
    let mut world = two_resizes("", "");
    let ask = world.last_ask("south").unwrap();
    let said = |by: &str, epoch| Input::Answered {
        token: Some(9),
        conflict: ask.conflict,
        epoch,
        by: provider(by),
        said: Said::MineFirst,
        how: Heard::Said,
    };
    let late = world.feed(said("south", ask.epoch - 1));
    assert_eq!(refused(&late), Some(Code::AnswerLate));
    let stranger = world.feed(said("west", ask.epoch));
    assert_eq!(refused(&stranger), Some(Code::UnknownAsk));
    assert!(verdicts(&world).is_empty());
}

#[test]
fn the_hook_is_asked_first_and_alone() {
    let mut world = World::shared(Policy { hook: HookUse::Ask, ..listening() });
    world.submit("north", "a: cpu.set vcpus=4");
    world.submit("south", "b: cpu.set vcpus=6");
    assert_eq!(world.asks.len(), 1);
    world.hook_answers(Some("b"));
    assert_eq!(verdict(&world), ("b".into(), "a".into(), Rule::Callback));
    assert_eq!(world.asks.len(), 1);
}

#[test]
fn a_hook_without_opinion_or_with_nonsense_leaves_it_to_the_providers() {
    for first in [None, Some("unheard-of")] {
        let mut world = World::shared(Policy { hook: HookUse::Ask, ..listening() });
        world.submit("north", "a: cpu.set vcpus=4");
        world.submit("south", "b: cpu.set vcpus=6");
        world.hook_answers(first);
        assert_eq!(world.asks.len(), 3);
        world.answer("north", Said::TheirsFirst);
        world.answer("south", Said::NoOpinion);
        assert_eq!(verdict(&world).0, "b");
    }
}

#[test]
fn the_budget_caps_hook_and_providers_together() {
    let budget = Duration::from_secs(3);
    let mut world = World::shared(Policy { hook: HookUse::Ask, callback_budget: budget, ..listening() });
    world.submit("north", "a: cpu.set vcpus=4");
    world.submit("south", "b: cpu.set vcpus=6");
    world.pass(Duration::from_millis(2001));
    assert_eq!(world.asks.len(), 3);
    assert!(world.last_ask("north").unwrap().within <= Duration::from_secs(1));
    world.pass(Duration::from_millis(1000));
    assert_eq!(verdicts(&world).len(), 1);
}

#[test]
fn nobody_is_asked_against_the_hosts_owner_who_goes_first_among_equals() {
    let mut world = World::shared(listening());
    world.submit("operator", "a: cpu.set vcpus=4");
    world.submit("south", "b: cpu.set vcpus=6");
    assert!(world.asks.is_empty());
    assert_eq!(verdict(&world), ("a".into(), "b".into(), Rule::Ownership));
    let mut world = World::shared(listening());
    world.submit("operator", "a: cpu.set vcpus=4");
    world.submit("south", "b: cpu.set vcpus=6 class=critical");
    assert_eq!(verdict(&world).2, Rule::Class);
}

#[test]
fn what_a_guard_expects_does_not_change_while_its_command_runs() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4");
    world.submit("south", "b: metadata.set uri=urn:a key=a expects-vcpus=4");
    assert_eq!(executed(&world), ["a"]);
    world.finish("a");
    assert_eq!(executed(&world), ["a", "b"]);
}

#[test]
fn the_more_urgent_class_goes_first() {
    let mut world = two_resizes("class=routine", "class=critical");
    no_opinions(&mut world);
    assert_eq!(verdict(&world), ("b".into(), "a".into(), Rule::Class));
}

#[test]
fn who_alone_writes_what_is_contested_goes_before_who_reads_it() {
    let mut world = World::alone(listening());
    world.delegate("south", "cpu.set", "exclusive", None);
    world.submit("north", "a: snapshot.create name=s1");
    world.submit("south", "b: cpu.set vcpus=6");
    no_opinions(&mut world);
    let order = verdict(&world);
    assert_eq!(order.2, Rule::Ownership, "{:?}", trail(&world));
    assert_eq!(order.0, "b");
}

#[test]
fn the_certainly_earlier_one_goes_first() {
    let mut world = two_resizes("issued=-1s", "issued=-3s");
    no_opinions(&mut world);
    assert_eq!(verdict(&world), ("b".into(), "a".into(), Rule::IssueTime));
}

#[test]
fn overlapping_issue_times_decide_nothing() {
    let mut world = World::shared(listening());
    let blurred = ClockEstimate { offset_us: 0, uncertainty_us: 5_000_000 };
    world.clocks.insert(provider("south"), blurred);
    world.submit("north", "a: cpu.set vcpus=4 issued=-1s");
    world.submit("south", "b: cpu.set vcpus=6 issued=-3s");
    no_opinions(&mut world);
    assert_eq!(verdict(&world).2, Rule::StableHash);
}

#[test]
fn a_clock_beyond_the_limit_never_decides() {
    let mut world = World::shared(listening());
    world.clocks.insert(provider("south"), ClockEstimate { offset_us: 240_000_000, uncertainty_us: 100 });
    world.submit("north", "a: cpu.set vcpus=4 issued=-1s");
    world.submit("south", "b: cpu.set vcpus=6 issued=-3s");
    no_opinions(&mut world);
    assert_eq!(verdict(&world).2, Rule::StableHash);
    assert!(trail(&world).iter().any(|(_, found)| found.contains("too far off")));
}

#[test]
fn a_clock_within_the_limit_is_corrected() {
    let mut world = World::shared(listening());
    // South is 40 s ahead: its stamp of +30 s means 10 s ago.
    world.clocks.insert(provider("south"), ClockEstimate { offset_us: 40_000_000, uncertainty_us: 1_000 });
    world.submit("north", "a: cpu.set vcpus=4 issued=-1s");
    world.submit("south", "b: cpu.set vcpus=6 issued=30s");
    no_opinions(&mut world);
    assert_eq!(verdict(&world), ("b".into(), "a".into(), Rule::IssueTime));
}

#[test]
fn who_was_put_back_more_often_goes_first() {
    let mut world = World::shared(listening());
    let sharp = ClockEstimate { offset_us: 0, uncertainty_us: 3_600_000_000 };
    for name in ["north", "south"] {
        world.clocks.insert(provider(name), ClockEstimate { uncertainty_us: 30_000_000, ..sharp });
    }
    world.submit("south", "busy: snapshot.create name=s1 class=emergency issued=0s");
    world.pass_ms(30);
    world.submit("north", "a: cpu.set vcpus=4 issued=0s");
    world.submit("south", "b: cpu.set vcpus=6 issued=0s");
    world.finish("busy");
    no_opinions(&mut world);
    assert_eq!(verdicts(&world).last().unwrap(), &("a".into(), "b".into(), Rule::Age));
}

#[test]
fn a_stable_hash_decides_when_nothing_else_does_and_whoever_came_first() {
    let of = |order: [&str; 2]| {
        let mut world = World::shared(listening());
        world.clocks.insert(provider("north"), ClockEstimate { offset_us: 0, uncertainty_us: 9_000_000 });
        world.clocks.insert(provider("south"), ClockEstimate { offset_us: 0, uncertainty_us: 9_000_000 });
        let (a, b) = (
            world.command("north", "a: cpu.set vcpus=4 issued=0s"),
            world.command("south", "b: cpu.set vcpus=6 issued=0s"),
        );
        for name in order {
            world.send(if name == "a" { a.clone() } else { b.clone() });
        }
        no_opinions(&mut world);
        verdict(&world)
    };
    assert_eq!(of(["a", "b"]).2, Rule::StableHash);
    assert_eq!(of(["a", "b"]), of(["b", "a"]));
}

#[test]
fn an_irreversible_command_listens_for_a_rival_and_an_emergency_does_not() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: power.reboot");
    assert!(world.executed.is_empty());
    world.pass_ms(26);
    assert_eq!(executed(&world), ["a"]);
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: power.reset class=emergency");
    assert_eq!(executed(&world), ["a"]);
}

#[test]
fn who_has_no_rival_does_not_listen() {
    let mut world = World::alone(Policy::default());
    world.submit("north", "a: power.reboot");
    assert_eq!(executed(&world), ["a"]);
}

#[test]
fn reads_and_strangers_resources_never_wait() {
    let mut world = World::shared(listening());
    world.submit("south", "a: snapshot.create name=s1");
    world.pass_ms(30);
    world.submit("north", "b: inspect.read");
    world.submit("north", "c: metadata.set uri=urn:x key=x");
    world.pass_ms(30);
    assert_eq!(executed(&world), ["a", "b", "c"]);
}

#[test]
fn of_three_conflicting_commands_each_runs_or_names_its_cause() {
    let mut world = World::of_three(listening());
    world.submit("north", "a: power.stop");
    world.submit("south", "b: snapshot.create name=s1");
    world.submit("west", "c: power.suspend");
    world.pass(Duration::from_secs(10));
    for _ in 0..3 {
        if let Some(id) = world.calls.keys().next().copied() {
            let name = world.name(id);
            world.finish(&name);
        }
        world.pass(Duration::from_secs(10));
    }
    assert_eq!(world.ended.len(), 3);
    for outcome in world.ended.values() {
        assert!(outcome.ending == Ending::Done || outcome.cause.is_some(), "{outcome:?}");
    }
    assert_eq!(executed(&world).last().unwrap(), "a", "a stop goes last: only so can all succeed");
}
