//! What happens past the agent, on whole lanes: who did it, told once, and which VM and which start it is.

use super::world::{World, vm};
use crate::hypervisor::{Event, Mode};
use crate::model::{Action, Cause, Code, Ending, Happening, Operation, PowerState, StartId, VmState};
use crate::resolver::{Fact, Origin};

fn off(state: &mut VmState) {
    (state.power, state.start) = (PowerState::ShutOff, StartId(None));
}

/// What became of VM 1 and by whom, in order.
async fn told(world: &World) -> Vec<Origin> {
    let of = |fact| match fact {
        Fact::Observed { origin, .. } | Fact::Happened { origin, .. } => Some(origin),
        Fact::Vanished { origin } => origin,
        _ => None,
    };
    world.facts(1).await.into_iter().filter_map(of).collect()
}

fn by(cause: Cause) -> Origin {
    Origin::past_us(Some(cause))
}

#[tokio::test]
async fn whoever_ended_a_vm_is_told_and_nothing_starts_it_again() {
    for cause in [Cause::Destroyed, Cause::GuestShutdown, Cause::Crashed] {
        let world = World::new(Mode::Auto).await;
        world.enroll(1).await;
        world.fake.change_by(cause, vm(1), off);
        world.until_power(1, PowerState::ShutOff).await;
        assert_eq!(told(&world).await, [by(cause)]);
        assert!(world.fake.executed().is_empty());
        assert_eq!(world.fake.state(vm(1)).unwrap().power, PowerState::ShutOff);
    }
}

#[tokio::test]
async fn the_end_of_a_shutdown_is_told_with_its_beginning() {
    let world = World::new(Mode::Auto).await;
    world.enroll(1).await;
    world.fake.change_by(Cause::Terminated, vm(1), |state| state.power = PowerState::ShuttingDown);
    world.until_power(1, PowerState::ShuttingDown).await;
    // libvirt then says in general that a shutdown is complete.
    world.fake.change_by(Cause::GuestShutdown, vm(1), off);
    world.until_power(1, PowerState::ShutOff).await;
    assert_eq!(told(&world).await, [by(Cause::Terminated), by(Cause::Terminated)]);
}

#[tokio::test]
async fn a_look_that_is_ahead_of_its_event_waits_for_it() {
    let world = World::new(Mode::Auto).await;
    world.enroll(1).await;
    // The balloon moves first, and the look for that finds the VM off already.
    let look = world.hypervisor.hold_next_look();
    world.fake.change_by(Cause::Ballooned, vm(1), off);
    look.until_held().await;
    for cause in [Cause::Terminated, Cause::Destroyed] {
        world.fake.emit(Event::Changed(vm(1), Some(cause)));
    }
    // The lane hears what was emitted before it reads its mail.
    for _ in 0..3 {
        assert!(world.idle(1).await);
    }
    look.release();
    world.until_power(1, PowerState::ShutOff).await;
    assert_eq!(told(&world).await, [by(Cause::Destroyed)]);
    // Where none comes, what was said stands.
    world.fake.change(vm(1), |state| state.power = PowerState::Crashed);
    world.until_power(1, PowerState::Crashed).await;
    assert_eq!(told(&world).await.last(), Some(&Origin::past_us(None)));
}

#[tokio::test]
async fn a_full_disk_is_told_with_its_device_and_with_the_pause_it_led_to() {
    let world = World::new(Mode::Auto).await;
    world.enroll(1).await;
    let happening = Happening { cause: Cause::NoSpace, subject: Some("virtio-disk0".to_owned()) };
    world.fake.emit(Event::Happened(vm(1), happening));
    world.fake.change_by(Cause::IoError, vm(1), |state| state.power = PowerState::Paused);
    world.until_power(1, PowerState::Paused).await;
    assert_eq!(told(&world).await, [by(Cause::NoSpace), by(Cause::NoSpace)]);
}

#[tokio::test]
async fn a_restart_of_ours_is_not_told_and_the_guests_own_is() {
    let world = World::new(Mode::Auto).await;
    world.enroll(1).await;
    let reboots = || world.fake.emit(Event::Happened(vm(1), Cause::Rebooted.into()));
    reboots();
    world.until("the guest's own restart is told", async || !told(&world).await.is_empty()).await;
    let ours = world.submit(1, "north", "power.reset", 1).await.unwrap();
    assert_eq!(world.end(ours).await.ending, Ending::Done);
    // Firmware may reset the machine once more.
    reboots();
    let next = world.submit(1, "north", "power.suspend", 2).await.unwrap();
    assert_eq!(world.end(next).await.ending, Ending::Done);
    assert_eq!(told(&world).await, [by(Cause::Rebooted)]);
}

#[tokio::test]
async fn a_guest_that_restarts_in_a_loop_does_not_fill_the_journal() {
    let world = World::new(Mode::Auto).await;
    world.enroll(1).await;
    (0..300).for_each(|_| world.fake.emit(Event::Happened(vm(1), Cause::Rebooted.into())));
    world.fake.change_by(Cause::Suspended, vm(1), |state| state.power = PowerState::Paused);
    world.until_power(1, PowerState::Paused).await;
    let told = told(&world).await;
    assert!((2..=4).contains(&told.len()), "{told:?}");
}

#[tokio::test]
async fn what_somebody_else_suspends_and_resumes_is_told_as_that() {
    let world = World::new(Mode::Auto).await;
    world.enroll(1).await;
    let ours = world.submit(1, "north", "power.suspend", 1).await.unwrap();
    assert_eq!(world.end(ours).await.ending, Ending::Done);
    world.fake.act(vm(1), &Operation::parse(Action::PowerResume, serde_json::Value::Null).unwrap()).unwrap();
    world.until_power(1, PowerState::Running).await;
    assert_eq!(told(&world).await, [by(Cause::Resumed)]);
}

#[tokio::test]
async fn a_command_decided_for_one_start_does_not_act_on_the_next() {
    let world = World::new(Mode::Stepped).await;
    world.enroll(1).await;
    let gate = world.block_journal();
    let submitting = world.submitting(1, "north", "power.suspend", 1);
    gate.until_appending().await;
    // Its start is being written down; meanwhile the VM ends and is started again.
    for action in [Action::PowerStop, Action::PowerStart] {
        world.fake.act(vm(1), &Operation::parse(action, serde_json::Value::Null).unwrap()).unwrap();
    }
    gate.open();
    let submission = submitting.await.unwrap().unwrap();
    let id = submission.id;
    let outcome = world.end(submission).await;
    assert_eq!((outcome.ending, outcome.code), (Ending::Impossible, Code::StateForbids));
    assert!(outcome.reason.contains("started again meanwhile (start 1000, expected 3)"), "{}", outcome.reason);
    assert_eq!(world.fake.executions(id), 0);
    assert_eq!(world.fake.state(vm(1)).unwrap().power, PowerState::Running);
    world.until("the start is told", async || told(&world).await.contains(&by(Cause::Started))).await;
}

#[tokio::test]
async fn a_vm_made_anew_under_the_same_name_is_another_vm() {
    let world = World::new(Mode::Auto).await;
    world.enroll(1).await;
    let state = world.fake.state(vm(1)).unwrap();
    world.fake.undefine(vm(1));
    world.fake.define(vm(2), "vm1", state.clone());
    world.until("the old one is gone", async || told(&world).await == [by(Cause::Undefined)]).await;
    assert_eq!(world.submit(1, "north", "power.suspend", 1).await.unwrap_err().code, Code::VmGone);
    assert_eq!(world.submit(2, "north", "power.suspend", 2).await.unwrap_err().code, Code::UnknownVm);
    assert_eq!(world.fake.state(vm(2)).unwrap().power, PowerState::Running);
    // The same UUID again is the same VM.
    world.fake.define(vm(1), "vm1-again", state);
    world.until("it is back", async || told(&world).await.last() == Some(&by(Cause::Defined))).await;
    let submission = world.submit(1, "north", "power.suspend", 3).await.unwrap();
    assert_eq!(world.end(submission).await.ending, Ending::Done);
}
