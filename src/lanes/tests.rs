//! Whole lanes, on the stepped hypervisor and the journal in memory: what is durable when, and what faults leave.

mod carried;
mod holds;
mod past_us;
mod restrained;
mod world;

use std::time::Duration;

use self::world::{World, vm};
use crate::hypervisor::{Event, Fate, How, Mode};
use crate::journal::{Fault, Tail};
use crate::model::{Code, Ending, PowerState};
use crate::resolver::{Fact, Origin, Phase, Said};

#[tokio::test]
async fn nothing_reaches_the_hypervisor_before_its_start_is_durable() {
    let world = World::new(Mode::Stepped).await;
    world.enroll(1).await;
    let gate = world.block_journal();
    let submitted = world.submitting(1, "north", "power.suspend", 1);
    gate.until_appending().await;
    assert!(world.fake.waiting().is_empty() && world.fake.executed().is_empty());
    gate.open();
    let submission = submitted.await.unwrap().unwrap();
    world.fake.until_waiting(submission.id).await;
    assert!(
        world
            .facts(1)
            .await
            .iter()
            .any(|fact| matches!(fact, Fact::Started { command, .. } if *command == submission.id))
    );
    world.fake.finish(submission.id, How::Normally).unwrap();
    assert_eq!(world.end(submission).await.ending, Ending::Done);
}

#[tokio::test]
async fn a_lost_answer_is_observed_and_settled_without_a_second_execution() {
    for (fate, ending, executions) in [(Fate::TookEffect, Ending::Done, 1), (Fate::NoEffect, Ending::Done, 2)] {
        let world = World::new(Mode::Stepped).await;
        world.enroll(1).await;
        let submission = world.submit(1, "north", "power.suspend", 1).await.unwrap();
        let id = submission.id;
        world.fake.until_waiting(id).await;
        world.fake.finish(id, How::Lost(fate)).unwrap();
        if fate == Fate::NoEffect {
            // Observation shows that it never happened: only then it is made again.
            world.fake.until_waiting(id).await;
            assert!(
                world.facts(1).await.iter().any(|fact| matches!(fact, Fact::FoundUndone { command } if *command == id))
            );
            world.fake.finish(id, How::Normally).unwrap();
        }
        let outcome = world.end(submission).await;
        assert_eq!((outcome.ending, world.fake.executions(id)), (ending, executions), "{fate:?}: {outcome:?}");
        assert!(
            world.facts(1).await.iter().any(|fact| matches!(fact, Fact::BecameUnknown { command } if *command == id))
        );
    }
}

#[tokio::test]
async fn what_nobody_can_tell_is_said_to_be_unknowable_and_not_repeated() {
    let world = World::new(Mode::Stepped).await;
    world.enroll(1).await;
    let submission = world.submit(1, "north", "power.reset", 1).await.unwrap();
    let id = submission.id;
    world.fake.until_waiting(id).await;
    world.fake.finish(id, How::Lost(Fate::TookEffect)).unwrap();
    let outcome = world.end(submission).await;
    assert_eq!((outcome.ending, outcome.code), (Ending::Failed, Code::OutcomeUnknowable));
    assert_eq!(world.fake.executions(id), 1);
}

#[tokio::test]
async fn what_happens_past_the_agent_is_seen_and_told() {
    let world = World::new(Mode::Auto).await;
    world.enroll(1).await;
    world.fake.change(vm(1), |state| state.power = PowerState::Paused);
    world.until_power(1, PowerState::Paused).await;
    let facts = world.facts(1).await;
    assert!(
        matches!(facts.last(), Some(Fact::Observed { origin: Origin::OutOfBand { cause: None }, .. })),
        "{facts:?}"
    );
    world.fake.undefine(vm(1));
    world.until("the VM is gone", async || matches!(world.facts(1).await.last(), Some(Fact::Vanished { .. }))).await;
    assert_eq!(world.submit(1, "north", "power.resume", 1).await.unwrap_err().code, Code::VmGone);
}

#[tokio::test]
async fn a_look_that_a_call_overtook_is_thrown_away() {
    let world = World::new(Mode::Stepped).await;
    world.enroll(1).await;
    // The look sees the VM running, and comes back only when a command has paused it.
    let look = world.hypervisor.hold_next_look();
    world.fake.emit(Event::Changed(vm(1), None));
    look.until_held().await;
    let submission = world.submit(1, "north", "power.suspend", 1).await.unwrap();
    world.fake.until_waiting(submission.id).await;
    world.fake.finish(submission.id, How::Normally).unwrap();
    assert_eq!(world.end(submission).await.ending, Ending::Done);
    look.release();
    world.hypervisor.until_looks(2).await;
    world.until_power(1, PowerState::Paused).await;
    let stale = |fact: &Fact| matches!(fact, Fact::Observed { state, .. } if state.power == PowerState::Running);
    assert!(!world.facts(1).await.iter().any(stale));
}

#[tokio::test]
async fn what_was_seen_in_the_middle_of_a_call_ends_no_command() {
    let world = World::new(Mode::Stepped).await;
    world.enroll(1).await;
    let reset = world.submit(1, "north", "power.reset", 1).await.unwrap();
    let suspend = world.submit(1, "north", "power.suspend", 2).await.unwrap();
    world.fake.until_waiting(reset.id).await;
    // On its way the call halts the vCPUs, and a look falls into just that moment.
    world.fake.change(vm(1), |state| state.power = PowerState::Paused);
    world.until_power(1, PowerState::Paused).await;
    let look = world.hypervisor.hold_next_look();
    world.fake.change(vm(1), |state| state.power = PowerState::Running);
    look.until_held().await;
    world.fake.finish(reset.id, How::Normally).unwrap();
    assert_eq!(world.end(reset).await.ending, Ending::Done);
    look.release();
    world.fake.until_waiting(suspend.id).await;
    world.fake.finish(suspend.id, How::Normally).unwrap();
    assert_eq!(world.end(suspend).await.ending, Ending::Done);
}

#[tokio::test]
async fn while_the_journal_is_unwritable_work_is_refused_and_reads_go_on() {
    let world = World::new(Mode::Auto).await;
    world.enroll(1).await;
    world.enroll(2).await;
    world.disk.set_room(Some(0));
    for number in [1, 2, 1] {
        let refused = world.submit(number, "north", "power.suspend", 9).await.unwrap_err();
        assert_eq!(refused.code, Code::JournalUnwritable);
        let commands = world.lanes().read(vm(number), |lane, _| lane.state().commands().count()).await;
        assert_eq!(commands, Ok(0), "what was refused is not there");
    }
    assert!(world.fake.executed().is_empty());
    world.disk.set_room(None);
    for number in [1, 2] {
        let submission = world.submit_when_possible(number, "north", "power.suspend", 10).await;
        assert_eq!(world.end(submission).await.ending, Ending::Done);
    }
}

#[tokio::test]
async fn the_result_of_a_running_call_outlives_a_full_disk() {
    for how in [How::Normally, How::Lost(Fate::TookEffect), How::Lost(Fate::NoEffect)] {
        let world = World::new(Mode::Stepped).await;
        world.enroll(1).await;
        let submission = world.submit(1, "north", "power.suspend", 1).await.unwrap();
        let id = submission.id;
        world.fake.until_waiting(id).await;
        world.disk.set_room(Some(0));
        world.fake.finish(id, how.clone()).unwrap();
        // What cannot be written is not said either.
        world.until("the journal is tried", async || world.disk.appends() > 3).await;
        let phase =
            world.lanes().read(vm(1), move |lane, _| lane.state().command(id).map(|known| known.phase().clone()));
        assert_eq!(phase.await, Ok(Some(Phase::Running)));
        world.disk.set_room(None);
        if how == How::Lost(Fate::NoEffect) {
            world.fake.until_waiting(id).await;
            world.fake.finish(id, How::Normally).unwrap();
        }
        // Whoever waits for the end hears it, though the lane was built anew meanwhile.
        let outcome = world.end(submission).await;
        assert_eq!(outcome.ending, Ending::Done, "{how:?}: {outcome:?}");
        let expected = if how == How::Lost(Fate::NoEffect) { 2 } else { 1 };
        assert_eq!(world.fake.executions(id), expected, "{how:?}");
    }
}

#[tokio::test]
async fn one_refused_batch_is_survived_at_every_place() {
    // Which append fails: enrollment is the first, the command's own follow.
    for nth in 2..=4 {
        for fault in [Fault::Unwritten, Fault::Unsynced] {
            let world = World::new(Mode::Auto).await;
            world.enroll(1).await;
            world.disk.fail_append(nth, fault);
            let submission = world.submit_when_possible(1, "north", "power.suspend", 1).await;
            let (id, outcome) = (submission.id, world.end(submission).await);
            assert_eq!(outcome.ending, Ending::Done, "{nth} {fault:?}");
            assert_eq!(world.fake.executions(id), 1, "{nth} {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_crash_at_any_append_never_executes_twice() {
    for tail in [Tail::Lost, Tail::Kept] {
        for appends in 1..=4 {
            let mut world = World::new(Mode::Auto).await;
            world.enroll(1).await;
            world.disk.fail_append(1 + appends, Fault::Unsynced);
            // It may be refused or accepted; either way the agent dies now.
            let tried = world.submit(1, "north", "power.suspend", 1).await;
            if tried.is_ok() {
                world.until("the fault was met", async || world.disk.appends() > appends || world.idle(1).await).await;
            }
            world.crash(tail).await;
            let submission = world.submit_when_possible(1, "north", "power.suspend", 1).await;
            let (id, outcome) = (submission.id, world.end(submission).await);
            assert_eq!(outcome.ending, Ending::Done, "{tail:?} {appends}: {outcome:?}");
            assert_eq!(world.fake.executions(id), 1, "{tail:?} {appends}");
        }
    }
}

#[tokio::test]
async fn what_ran_when_the_agent_died_is_observed_before_anything_else() {
    for took_effect in [true, false] {
        let mut world = World::new(Mode::Stepped).await;
        world.enroll(1).await;
        let submission = world.submit(1, "north", "power.suspend", 1).await.unwrap();
        let id = submission.id;
        world.fake.until_waiting(id).await;
        // libvirt goes on without the agent, or never got the call.
        let fate = if took_effect { Fate::TookEffect } else { Fate::NoEffect };
        world.disconnect_and_crash(fate).await;
        if !took_effect {
            world.fake.until_waiting(id).await;
            world.fake.finish(id, How::Normally).unwrap();
        }
        let again = world.submit(1, "north", "power.suspend", 1).await.unwrap();
        let outcome = world.end(again).await;
        assert_eq!(outcome.ending, Ending::Done, "{outcome:?}");
        let wanted = if took_effect { (Code::ObservedDone, 1) } else { (Code::Executed, 2) };
        assert_eq!((outcome.code, world.fake.executions(id)), wanted);
    }
}

#[tokio::test]
async fn after_a_restart_without_a_hypervisor_reads_are_served_and_the_rest_refused() {
    let mut world = World::new(Mode::Auto).await;
    world.enroll(1).await;
    world.fake.disconnect(Fate::NoEffect);
    world.crash(Tail::Lost).await;
    assert_eq!(world.lanes().vms(), [vm(1)]);
    assert_eq!(world.lanes().read(vm(1), |lane, _| lane.state().name().to_owned()).await, Ok("vm1".to_owned()));
    assert_eq!(world.submit(1, "north", "power.suspend", 1).await.unwrap_err().code, Code::HypervisorUnreachable);
    assert!(!world.lanes().hypervisor_is_connected());
    world.fake.reconnect();
    let submission = world.submit_when_possible(1, "north", "power.suspend", 1).await;
    assert_eq!(world.end(submission).await.ending, Ending::Done);
    assert!(world.lanes().hypervisor_is_connected());
}

#[tokio::test]
async fn a_hypervisor_that_hangs_for_one_vm_does_not_hold_its_reads_or_its_neighbours() {
    let mut world = World::new(Mode::Auto).await;
    world.enroll(1).await;
    world.enroll(2).await;
    world.fake.disconnect(Fate::NoEffect);
    let look = world.hypervisor.hold_next_look();
    world.crash(Tail::Lost).await;
    look.until_held().await;
    world.fake.reconnect();
    for number in [1, 2] {
        assert_eq!(world.lanes().read(vm(number), |lane, _| lane.vm()).await, Ok(vm(number)));
    }
    let free = if look.held_vm() == vm(1) { 2 } else { 1 };
    let submission = world.submit_when_possible(free, "north", "power.suspend", 1).await;
    assert_eq!(world.end(submission).await.ending, Ending::Done);
    look.release();
}

#[tokio::test]
async fn a_list_that_hangs_does_not_keep_the_agent_from_starting() {
    let mut world = World::new(Mode::Auto).await;
    world.enroll(1).await;
    world.hypervisor.hang_lists();
    world.crash(Tail::Lost).await;
    let submission = world.submit_when_possible(1, "north", "power.suspend", 1).await;
    assert_eq!(world.end(submission).await.ending, Ending::Done);
}

#[tokio::test]
async fn a_lane_with_a_pending_ask_or_a_hanging_call_leaves_its_neighbour_alone() {
    let world = World::new(Mode::Stepped).await;
    for number in [1, 2, 3] {
        world.enroll(number).await;
        world.delegate(number, "south").await;
    }
    let suspend = world.submit(1, "north", "power.suspend", 1).await.unwrap();
    let reset = world.submit(1, "south", "power.reset", 2).await.unwrap();
    let (ask, _) = (world.asker.next_ask().await, world.asker.next_ask().await);
    let hanging = world.submit(2, "north", "power.suspend", 3).await.unwrap();
    world.fake.until_waiting(hanging.id).await;
    world.fake.set_mode(Mode::Auto);
    let free = world.submit(3, "north", "power.suspend", 4).await.unwrap();
    assert_eq!(world.end(free).await.ending, Ending::Done);
    assert_eq!(world.fake.executions(suspend.id) + world.fake.executions(reset.id), 0);
    for (who, said) in [("north", Said::TheirsFirst), ("south", Said::MineFirst)] {
        world.lanes().answer(vm(1), ask.conflict, ask.epoch, who.parse().unwrap(), said).await.unwrap();
    }
    assert_eq!(world.end(reset).await.ending, Ending::Done);
    assert_eq!(world.end(suspend).await.ending, Ending::Done);
    let order: Vec<_> = world.fake.executed().into_iter().map(|(id, _)| id).filter(|id| *id != hanging.id).collect();
    assert_eq!(order[1..], [world::command_id(2), world::command_id(1)]);
    let late = world.lanes().answer(vm(1), ask.conflict, ask.epoch, "north".parse().unwrap(), Said::MineFirst).await;
    assert_eq!(late.unwrap_err().code, Code::AnswerLate);
}

#[tokio::test]
async fn closing_waits_for_calls_and_takes_nothing_new() {
    let world = World::new(Mode::Stepped).await;
    world.enroll(1).await;
    let running = world.submit(1, "north", "power.suspend", 1).await.unwrap();
    let queued = world.submit(1, "north", "power.reset", 2).await.unwrap();
    world.fake.until_waiting(running.id).await;
    let closing = tokio::spawn({
        let lanes = world.lanes().clone();
        async move { lanes.close(Duration::from_secs(30)).await }
    });
    let next = std::cell::Cell::new(3);
    let refused = async || {
        let tried = world.submit(1, "north", "power.reset", next.replace(next.get() + 1)).await;
        tried.is_err_and(|refusal| refusal.code == Code::Closing)
    };
    world.until("the lane is closing", refused).await;
    assert!(!closing.is_finished());
    world.fake.finish(running.id, How::Normally).unwrap();
    closing.await.unwrap();
    assert_eq!(world.end(running).await.ending, Ending::Done);
    assert_eq!(world.fake.executions(queued.id), 0);
}

#[tokio::test]
async fn closing_is_bounded_and_survives_a_journal_that_fails() {
    let world = World::new(Mode::Stepped).await;
    world.enroll(1).await;
    let running = world.submit(1, "north", "power.suspend", 1).await.unwrap();
    world.fake.until_waiting(running.id).await;
    world.lanes().close(Duration::from_millis(50)).await;
    // The lane is built anew, and still takes nothing new.
    world.disk.set_room(Some(0));
    world.fake.finish(running.id, How::Normally).unwrap();
    world.until("the journal is tried", async || world.disk.appends() > 3).await;
    world.disk.set_room(None);
    assert_eq!(world.end(running).await.ending, Ending::Done);
    assert_eq!(world.submit(1, "north", "power.resume", 2).await.unwrap_err().code, Code::Closing);
}

#[tokio::test]
async fn a_vm_never_has_two_lanes_however_many_enroll_it_at_once() {
    let world = World::new(Mode::Auto).await;
    world.define(1);
    let tries = ["north", "south", "east", "west"].map(|who| {
        let lanes = world.lanes().clone();
        tokio::spawn(async move { lanes.enroll(vm(1), who.parse().unwrap()).await })
    });
    let mut enrolled = 0;
    for tried in tries {
        match tried.await.unwrap() {
            Ok(_) => enrolled += 1,
            Err(refusal) => assert_eq!(refusal.code, Code::AlreadyEnrolled),
        }
    }
    assert_eq!(enrolled, 1);
    let enrollments = world.facts(1).await.into_iter().filter(|fact| matches!(fact, Fact::Enrolled { .. })).count();
    assert_eq!(enrollments, 1);
}

#[tokio::test]
async fn an_enrollment_that_fails_leaves_no_lane() {
    let world = World::new(Mode::Auto).await;
    world.define(1);
    world.disk.set_room(Some(0));
    let refused = world.lanes().enroll(vm(1), "north".parse().unwrap()).await.unwrap_err();
    assert_eq!(refused.code, Code::JournalUnwritable);
    assert!(world.lanes().vms().is_empty());
    world.disk.set_room(None);
    world.lanes().enroll(vm(1), "north".parse().unwrap()).await.unwrap();
    assert_eq!(world.lanes().enroll(vm(9), "north".parse().unwrap()).await.unwrap_err().code, Code::UnknownVm);
}

#[tokio::test]
async fn a_burst_of_events_and_a_lost_connection_are_no_reason_to_execute_again() {
    let world = World::new(Mode::Stepped).await;
    world.enroll(1).await;
    let submission = world.submit(1, "north", "power.suspend", 1).await.unwrap();
    let id = submission.id;
    world.fake.until_waiting(id).await;
    let burst = || (0..500).for_each(|_| world.fake.emit(Event::Changed(vm(1), None)));
    burst();
    world.fake.disconnect(Fate::TookEffect);
    burst();
    world.fake.reconnect();
    let outcome = world.end(submission).await;
    assert_eq!((outcome.ending, outcome.code, world.fake.executions(id)), (Ending::Done, Code::ObservedDone, 1));
}
