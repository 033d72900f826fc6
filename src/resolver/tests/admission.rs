//! What is taken in, what is refused, and in which order a provider's own commands go.

use std::time::Duration;

use super::*;

fn flagged(world: &World) -> Vec<(String, u64)> {
    let gap = |fact: &Fact| match fact {
        Fact::GapFlagged { command, expected } => Some((world.name(*command), *expected)),
        _ => None,
    };
    world.facts().filter_map(gap).collect()
}

fn stamp(world: &World, name: &str) -> StampNote {
    let id = world.names[name];
    world.lane.state().command(id).unwrap().admission().stamp
}

#[test]
fn the_same_command_again_gets_its_result_and_is_not_executed_again() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4 seq=1");
    world.again("a");
    world.finish("a");
    let outputs = world.again("a");
    let id = world.id("a");
    assert!(outputs.iter().any(|o| matches!(o, Output::Accepted { what: Accepted::Command(c), .. } if *c == id)));
    assert_eq!(executed(&world), ["a"]);
    assert_eq!(ending(&mut world, "a"), "done executed");
}

#[test]
fn an_id_with_other_content_is_refused() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4");
    assert_eq!(refused(&world.submit("north", "a: cpu.set vcpus=5")), Some(Code::IdReused));
    assert_eq!(refused(&world.submit("south", "a: cpu.set vcpus=4")), Some(Code::IdReused));
}

#[test]
fn an_old_sequence_number_is_a_replay_and_a_live_one_is_taken() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4 seq=5");
    let refusal = refusal(&world.submit("north", "b: memory.set memory_kib=1024 seq=5")).unwrap();
    assert_eq!((refusal.code, refusal.command), (Code::SeqTaken, Some(world.id("a"))));
    world.finish("a");
    for seq in [4, 5] {
        let line = format!("c{seq}: cpu.set vcpus=4 seq={seq}");
        assert_eq!(refused(&world.submit("north", &line)), Some(Code::SeqReplayed));
    }
}

#[test]
fn a_gap_holds_the_later_command_and_then_flags_it() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4 seq=1");
    world.finish("a");
    world.submit("north", "c: cpu.set vcpus=6 seq=3");
    world.pass_ms(199);
    assert_eq!(executed(&world), ["a"]);
    world.pass_ms(2);
    assert_eq!((executed(&world), flagged(&world)), (vec!["a".into(), "c".into()], vec![("c".into(), 2)]));
}

#[test]
fn out_of_order_arrival_within_the_window_is_put_in_order() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4 seq=1");
    world.finish("a");
    world.submit("north", "c: cpu.set vcpus=6 seq=3");
    world.pass_ms(50);
    world.submit("north", "b: cpu.set vcpus=5 seq=2");
    world.finish("b");
    world.finish("c");
    assert_eq!((executed(&world), flagged(&world)), (vec!["a".into(), "b".into(), "c".into()], vec![]));
}

#[test]
fn what_comes_behind_a_gap_is_held_with_it() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4 seq=1");
    world.finish("a");
    world.submit("north", "c: cpu.set vcpus=6 seq=3");
    world.submit("north", "d: metadata.set uri=urn:x key=x seq=4");
    assert_eq!(executed(&world), ["a"], "d would end, and the late second command would look like a replay");
    assert_eq!(refused(&world.submit("north", "b: cpu.set vcpus=5 seq=2")), None);
    world.pass_ms(300);
    assert_eq!(executed(&world).len(), 3, "a, b and d; c goes when b has ended");
    assert!(flagged(&world).is_empty());
}

#[test]
fn without_a_number_a_command_takes_the_next() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4 seq=7");
    world.submit("north", "b: cpu.set vcpus=5");
    let id = world.id("b");
    assert_eq!(world.lane.state().command(id).unwrap().seq(), 8);
    assert_eq!(world.lane.state().highest_seq(&provider("north")), 8);
}

#[test]
fn a_cycle_is_refused_and_names_itself() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4 after=b");
    let refusal = refusal(&world.submit("south", "b: memory.set memory_kib=1024 after=a")).unwrap();
    assert_eq!(refusal.code, Code::AfterCycle);
    let (a, b) = (world.id("a").to_string(), world.id("b").to_string());
    assert!(refusal.message.ends_with(&format!("{b} after {a} after {b}")), "{}", refusal.message);
    assert_eq!(refused(&world.submit("south", "c: cpu.set vcpus=4 after=c")), Some(Code::AfterCycle));
}

#[test]
fn a_cycle_through_a_sequence_number_is_refused() {
    // North's second waits for south's, which waits for north's first... which is to wait for north's second.
    let mut world = World::shared(Policy::default());
    world.submit("north", "n2: cpu.set vcpus=4 seq=2 after=unseen");
    world.submit("south", "s: memory.set memory_kib=1024 after=n2");
    let late = world.submit("north", "n1: cpu.set vcpus=5 seq=1 after=s");
    assert_eq!(refused(&late), Some(Code::AfterCycle));
}

#[test]
fn a_cycle_through_a_verdict_is_refused() {
    // West's command keeps north's second one waiting, so that the verdict between the other two stands meanwhile.
    let mut world = World::of_three(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
    world.submit("west", "w: cpu.set vcpus=3");
    world.submit("north", "n2: cpu.set vcpus=4 seq=2 class=critical");
    world.submit("south", "s: cpu.set vcpus=6");
    world.answer("north", Said::MineFirst);
    world.answer("south", Said::TheirsFirst);
    let late = world.submit("north", "n1: cpu.set vcpus=5 seq=1 after=s");
    assert_eq!(refused(&late), Some(Code::AfterCycle));
}

#[test]
fn a_command_named_in_after_that_never_comes_is_not_waited_for_for_ever() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4 after=never");
    world.pass(Duration::from_secs(29));
    assert_eq!(ending(&mut world, "a"), "");
    world.pass(Duration::from_secs(2));
    assert_eq!(ending(&mut world, "a"), "expired after-unknown");
    assert_eq!(cause(&mut world, "a").as_deref(), Some("never"));
}

#[test]
fn a_command_named_in_after_may_come_later_and_from_anybody() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4 after=b");
    world.submit("south", "b: memory.set memory_kib=1024");
    assert_eq!(executed(&world), ["b"]);
    world.fail("b", Code::HypervisorFailed);
    assert_eq!(executed(&world), ["b", "a"], "after waits for the end, good or bad");
}

#[test]
fn a_deadline_that_passed_is_refused_on_arrival_and_expires_in_the_queue() {
    let mut world = World::shared(Policy::default());
    assert_eq!(refused(&world.submit("north", "a: cpu.set vcpus=4 not-after=-1ms")), Some(Code::DeadlinePassed));
    world.submit("south", "busy: snapshot.create name=s1");
    world.submit("north", "b: cpu.set vcpus=4 not-after=100ms");
    world.pass_ms(101);
    assert_eq!(ending(&mut world, "b"), "expired deadline-passed");
    assert_eq!(cause(&mut world, "b").as_deref(), Some("busy"));
    assert_eq!(executed(&world), ["busy"]);
}

#[test]
fn what_is_not_delegated_is_refused_and_names_the_holder() {
    let mut world = World::alone(Policy::default());
    assert_eq!(refused(&world.submit("south", "a: cpu.set vcpus=4")), Some(Code::UnknownVm));
    world.delegate("south", "snapshot.*", "exclusive", Some(Duration::from_secs(60)));
    let refusal = refusal(&world.submit("south", "b: cpu.set vcpus=4")).unwrap();
    assert_eq!((refusal.code, refusal.holder), (Code::NotDelegated, Some(provider("north"))));
    let refusal = super::refusal(&world.submit("north", "c: snapshot.create name=s1")).unwrap();
    assert_eq!((refusal.code, refusal.holder), (Code::NotDelegated, Some(provider("south"))));
    assert!(refusal.until.is_some());
}

#[test]
fn a_stale_epoch_is_refused() {
    let mut world = World::shared(Policy::default());
    let epoch = world.lane.state().authority().unwrap().epoch;
    let stale = world.submit("south", &format!("a: cpu.set vcpus=4 epoch={}", epoch - 1));
    assert_eq!(refused(&stale), Some(Code::StaleEpoch));
    assert_eq!(refused(&world.submit("south", &format!("b: cpu.set vcpus=4 epoch={epoch}"))), None);
}

#[test]
fn an_epoch_from_before_a_release_is_stale_after_it() {
    let mut world = World::shared(Policy::default());
    let epoch = world.lane.state().authority().unwrap().epoch;
    world.feed(Input::Release { token: 1, by: provider("north") });
    let state = world.machine.clone();
    world.feed(Input::Enroll { token: 2, name: "web-1".to_owned(), primary: provider("north"), state });
    assert!(world.lane.state().authority().unwrap().epoch > epoch);
}

#[test]
fn a_vm_is_enrolled_once_until_it_is_released() {
    let mut world = World::alone(Policy::default());
    let enroll = |world: &mut World, by: &str| {
        let state = world.machine.clone();
        refused(&world.feed(Input::Enroll { token: 3, name: "web-1".to_owned(), primary: provider(by), state }))
    };
    assert_eq!(enroll(&mut world, "south"), Some(Code::AlreadyEnrolled));
    assert_eq!(world.lane.state().authority().unwrap().primary, provider("north"));
    world.feed(Input::Release { token: 4, by: provider("north") });
    assert_eq!(enroll(&mut world, "south"), None);
}

#[test]
fn a_full_queue_refuses_its_own_provider_only() {
    let mut world = World::shared(Policy { queue_limit: 2, ..Policy::default() });
    world.submit("north", "a: cpu.set vcpus=4");
    world.submit("north", "b: cpu.set vcpus=5");
    assert_eq!(refused(&world.submit("north", "c: cpu.set vcpus=6")), Some(Code::QueueFull));
    assert_eq!(refused(&world.submit("south", "d: memory.set memory_kib=1024")), None);
    world.again("b");
    world.finish("a");
    assert_eq!(refused(&world.submit("north", "c: cpu.set vcpus=6")), None);
}

#[test]
fn an_issue_time_an_hour_ahead_is_clamped_and_flagged() {
    let mut world = World::shared(Policy::default());
    world.submit("south", "a: cpu.set vcpus=4 issued=1h");
    assert_eq!(stamp(&world, "a"), StampNote::ClampedFuture);
    let id = world.id("a");
    let issued = world.lane.state().command(id).unwrap().admission().issued;
    assert_eq!(issued, Some(Interval::exactly(world.now().wall)));
    world.submit("south", "b: memory.set memory_kib=1024");
    assert_eq!(stamp(&world, "b"), StampNote::Missing);
}

#[test]
fn an_issue_time_of_this_moment_is_good_and_cannot_be_later_than_now() {
    let mut world = World::shared(Policy::default());
    world.submit("south", "a: cpu.set vcpus=4 issued=0s");
    assert_eq!(stamp(&world, "a"), StampNote::Good);
    world.clocks.insert(provider("south"), ClockEstimate { offset_us: 0, uncertainty_us: 700 });
    world.submit("south", "b: memory.set memory_kib=1024 issued=0s");
    let (id, now) = (world.id("b"), world.now().wall);
    let issued = world.lane.state().command(id).unwrap().admission().issued;
    assert_eq!(
        (stamp(&world, "b"), issued),
        (StampNote::Good, Some(Interval { earliest: now.shifted(-700), latest: now }))
    );
}

#[test]
fn an_impossible_command_ends_so_with_the_state_that_forbids_it() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: power.resume");
    assert_eq!(ending(&mut world, "a"), "impossible state-forbids");
    assert!(world.outcome("a").unwrap().reason.contains("running"));
    world.submit("north", "b: snapshot.revert name=nothing class=emergency");
    world.submit("north", "c: cpu.set vcpus=99");
    assert_eq!(ending(&mut world, "b"), "impossible state-forbids");
    assert_eq!(ending(&mut world, "c"), "impossible state-forbids");
    assert!(world.executed.is_empty());
}

#[test]
fn a_guard_that_does_not_hold_ends_its_command() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4 expects-vcpus=3");
    assert_eq!(ending(&mut world, "a"), "impossible guard-failed");
    world.submit("north", "b: cpu.set vcpus=4 expects-vcpus=2 expects-state=running");
    assert_eq!(executed(&world), ["b"]);
}

#[test]
fn an_earlier_command_of_the_same_provider_that_forbids_a_later_one_is_named() {
    let mut world = World::alone(Policy::default());
    world.submit("north", "a: power.stop");
    world.submit("north", "b: power.suspend");
    world.finish("a");
    assert_eq!(
        (ending(&mut world, "b").as_str(), cause(&mut world, "b").as_deref()),
        ("impossible state-forbids", Some("a"))
    );
}

#[test]
fn a_revoked_delegation_denies_what_waits_and_lets_run_what_runs() {
    let mut world = World::alone(Policy::default());
    world.delegate("south", "snapshot.*", "exclusive", None);
    world.submit("south", "a: snapshot.create name=s1");
    world.submit("south", "b: snapshot.create name=s2");
    world.revoke("north", "south");
    assert_eq!(ending(&mut world, "b"), "denied delegation-ended");
    world.finish("a");
    assert_eq!(ending(&mut world, "a"), "done executed");
}

#[test]
fn a_delegation_that_runs_out_denies_what_waits() {
    let mut world = World::alone(Policy::default());
    world.delegate("south", "snapshot.*", "exclusive", Some(Duration::from_secs(5)));
    world.submit("south", "a: snapshot.create name=s1");
    world.submit("south", "b: snapshot.create name=s2");
    world.pass(Duration::from_secs(6));
    assert_eq!(ending(&mut world, "b"), "denied delegation-ended");
}

#[test]
fn release_is_refused_while_commands_are_in_flight() {
    let mut world = World::shared(Policy::default());
    world.submit("south", "a: snapshot.create name=s1");
    let release = |by: &str| Input::Release { token: 7, by: provider(by) };
    assert_eq!(refused(&world.feed(release("south"))), Some(Code::Forbidden));
    let refusal = refusal(&world.feed(release("north"))).unwrap();
    assert_eq!((refusal.code, refusal.command), (Code::CommandsInFlight, Some(world.id("a"))));
    world.finish("a");
    assert_eq!(refused(&world.feed(release("north"))), None);
    assert_eq!(refused(&world.submit("north", "b: cpu.set vcpus=4")), Some(Code::UnknownVm));
}

#[test]
fn only_its_own_provider_or_the_operator_cancels_and_only_what_waits() {
    let mut world = World::shared(Policy::default());
    world.submit("south", "a: snapshot.create name=s1");
    world.submit("south", "b: snapshot.create name=s2");
    assert_eq!(refused(&world.cancel("north", "b")), Some(Code::Forbidden));
    assert_eq!(refused(&world.cancel("south", "a")), Some(Code::CommandsInFlight));
    assert_eq!(refused(&world.cancel("south", "unheard-of")), Some(Code::UnknownCommand));
    assert_eq!(refused(&world.cancel("operator", "b")), None);
    assert_eq!(ending(&mut world, "b"), "cancelled cancelled-by-request");
}

#[test]
fn a_closing_lane_takes_nothing_new_and_starts_nothing() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "a: cpu.set vcpus=4");
    world.submit("north", "b: cpu.set vcpus=5");
    world.feed(Input::Closing);
    assert_eq!(refused(&world.submit("north", "c: cpu.set vcpus=6")), Some(Code::Closing));
    assert_eq!(refused(&world.again("b")), None);
    world.finish("a");
    assert_eq!(executed(&world), ["a"]);
    world.crash();
    assert_eq!(executed(&world), ["a", "b"]);
}

#[test]
fn a_forgotten_command_is_not_executed_again_and_still_counts_as_ended() {
    let mut world = World::shared(Policy::default());
    let mut known = Vec::new();
    for n in 0..300 {
        world.submit("north", &format!("m{n}: metadata.set uri=urn:a key=a"));
        world.finish(&format!("m{n}"));
        known.push(world.lane.state().commands().count());
    }
    assert_eq!((known[255], known[256], known[299]), (256, 256, 256));
    let first = world.id("m0");
    assert!(world.lane.state().command(first).is_none());
    let before = executed(&world).len();
    assert_eq!(refused(&world.again("m0")), Some(Code::SeqReplayed));
    assert_eq!(executed(&world).len(), before);
    world.submit("north", "z: cpu.set vcpus=3 after=m0");
    assert_eq!(executed(&world).last().map(String::as_str), Some("z"));
}

#[test]
fn whoever_left_something_open_is_remembered_until_that_is_over() {
    let mut world = World::shared(Policy::default());
    world.submit("north", "l: lock.acquire reason=maintenance lease_s=3600");
    world.finish("l");
    world.submit("north", "m: metadata.set uri=urn:a key=a");
    world.finish("m");
    let (lock, other) = (world.id("l"), world.id("m"));
    let known = |world: &World, id| world.lane.state().command(id).is_some();
    for n in 0..300 {
        world.submit("north", &format!("m{n}: metadata.set uri=urn:a key=a"));
        world.finish(&format!("m{n}"));
    }
    assert!(known(&world, lock) && !known(&world, other));
    for line in ["r: lock.release", "last: metadata.set uri=urn:a key=a"] {
        world.submit("north", line);
        world.finish(line.split(':').next().unwrap());
    }
    assert!(!known(&world, lock));
}
