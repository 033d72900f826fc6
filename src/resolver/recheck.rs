//! The last look before a start: is the command still wanted and possible, and if not, which command is the cause
//! (I11)?

use super::fact::{Origin, Rule};
use super::feasibility::Imagined;
use super::past_us;
use super::state::{Phase, Standing, State, Tracked};
use crate::model::operation::Register;
use crate::model::{Code, CommandId, Effect, Ending, Guard, Operation, Outcome, PowerState, VmState};

/// Why a command that could start now must not; none when it may.
pub(crate) fn refusal(state: &State, tracked: &Tracked) -> Option<Outcome> {
    let command = tracked.command();
    let believed = state.believed.as_ref()?;
    if state.standing == Standing::Vanished {
        // What the VM was tells nothing of the one that this command makes.
        return None;
    }
    let register = command.operation.effect().register();
    if let Some(outcome) = register.as_ref().and_then(|register| overwritten(state, tracked, register)) {
        return Some(outcome);
    }
    let now = Imagined::from(believed);
    if let Err(reason) = now.meets(&command.guard) {
        let cause = cause(state, tracked, |effect| bears_on_guard(effect, &command.guard, believed));
        // It would have been applied over what the other one wrote, or it could not have been applied at all.
        let over = |by: &&Tracked| register.is_some() && by.command().operation.effect().register() == register;
        let foreign = cause.filter(|by| by.command().provider != command.provider).filter(over);
        let moot = foreign.is_some() && now.allows(&command.operation).is_ok();
        let ending = if moot { Ending::Superseded } else { Ending::Impossible };
        let by_power = command.guard.state.is_some_and(|expected| expected != believed.power);
        let cause = cause.or_else(|| seen_at(state, tracked).filter(|_| by_power));
        let reason = blamed(state, reason, cause, by_power);
        return Some(Outcome::new(ending, Code::GuardFailed, reason).because_of(cause.map(|cause| cause.command().id)));
    }
    let reason = now.allows(&command.operation).err()?;
    let by_power = !command.operation.action().spec().states.contains(&believed.power);
    let cause = cause(state, tracked, |effect| bears_on(effect, &command.operation, believed))
        .or_else(|| if by_power { seen_at(state, tracked) } else { state.deprived(tracked) });
    let outcome = Outcome::new(Ending::Impossible, Code::StateForbids, blamed(state, reason, cause, by_power));
    Some(outcome.because_of(cause.map(|cause| cause.command().id)))
}

/// A reason, with what is known of who brought the power state about where that is why and no command of ours did.
fn blamed(state: &State, reason: String, cause: Option<&Tracked>, by_power: bool) -> String {
    if by_power && cause.is_none() { reason + &past_us::aside(state) } else { reason }
}

/// The Thomas write rule: a write that was issued certainly before one that has been executed is not applied over it,
/// unless it was put behind that one on purpose: by its own `after`, by an answer to a callback, or because only so
/// both succeed.
fn overwritten(state: &State, tracked: &Tracked, register: &Register) -> Option<Outcome> {
    let written = state.written.get(register)?;
    let issued = tracked.issued()?;
    let later = written.provider != tracked.command().provider && issued.certainly_before(&written.issued?);
    let same = (state.commands.get(&written.command))
        .is_some_and(|by| by.command().operation.effect() == tracked.command().operation.effect());
    if !later || same || ordered_behind(state, tracked, written.command) {
        return None;
    }
    let reason = format!("{} issued a later write of the same, which has been executed", written.provider);
    Some(Outcome::new(Ending::Superseded, Code::Overwritten, reason).because_of(Some(written.command)))
}

/// Whether `tracked` was put behind `other` on purpose.
fn ordered_behind(state: &State, tracked: &Tracked, other: CommandId) -> bool {
    tracked.command().order.after.contains(&other)
        || (tracked.conflicts.iter().filter_map(|id| state.conflicts.get(id)?.settled.as_ref()))
            .any(|(_, verdict)| matches!(verdict.rule, Rule::Callback | Rule::Feasibility) && verdict.first == other)
}

/// It did, or nobody can tell.
fn may_have_taken_effect(outcome: &Outcome) -> bool {
    outcome.ending == Ending::Done || outcome.code == Code::OutcomeUnknowable
}

/// The last command that was executed since `tracked` came and whose effect, as it still stands, is `relevant`; or else
/// the last client's call of which nobody knows what it did, but that it did it to the same thing.
fn cause<'a>(state: &'a State, tracked: &Tracked, relevant: impl Fn(&Effect) -> bool) -> Option<&'a Tracked> {
    let executed = || {
        (state.ended.iter().rev().filter_map(|id| state.commands.get(id)))
            .take_while(|ended| ended.finished.is_some_and(|at| at.mono >= tracked.received.mono))
            .filter(|ended| matches!(&ended.phase, Phase::Ended(outcome) if may_have_taken_effect(outcome)))
    };
    let unknown =
        |ended: &&Tracked| matches!(ended.command().operation, Operation::Relayed(_)) && ended.clashes_with(tracked);
    executed().find(|ended| relevant(&ended.command().operation.effect())).or_else(|| executed().find(unknown))
}

/// The command of ours at which the VM was seen to take the power state that it has, since `tracked` came; it may have
/// ended without anybody knowing that it took effect.
fn seen_at<'a>(state: &'a State, tracked: &Tracked) -> Option<&'a Tracked> {
    let Some(Origin::Command { command }) = state.brought_about else { return None };
    let by = state.commands.get(&command)?;
    by.finished.is_none_or(|at| at.mono >= tracked.received.mono).then_some(by)
}

/// Whether an effect that the VM still shows can have made the operation impossible.
fn bears_on(effect: &Effect, operation: &Operation, vm: &VmState) -> bool {
    let power_forbids = !operation.action().spec().states.contains(&vm.power);
    match effect {
        Effect::Power(power) => power_forbids && *power == vm.power,
        Effect::SnapshotAdded(name) => !power_forbids && operation.effect() == Effect::SnapshotAdded(name.clone()),
        Effect::SnapshotRemoved(name) => {
            let gone = [Effect::SnapshotRemoved(name.clone()), Effect::Reverted(name.clone())];
            !power_forbids && gone.contains(&operation.effect())
        }
        Effect::Saved => power_forbids && vm.power == PowerState::ShutOff,
        Effect::Restored => (power_forbids && vm.power != PowerState::ShutOff) || lacks_image(operation, vm),
        Effect::SavedImageRemoved => lacks_image(operation, vm),
        Effect::DeviceAdded(device) => !power_forbids && operation.effect() == Effect::DeviceAdded(device.clone()),
        Effect::DeviceRemoved(device) => !power_forbids && operation.needs().contains(device),
        Effect::CheckpointAdded(name) => !power_forbids && makes_checkpoint(&operation.effect(), name),
        Effect::Opened { checkpoint, .. } => {
            !power_forbids && checkpoint.as_ref().is_some_and(|name| makes_checkpoint(&operation.effect(), name))
        }
        Effect::CheckpointRemoved(name) => {
            !power_forbids && operation.effect() == Effect::CheckpointRemoved(name.clone())
        }
        Effect::Reverted(_) | Effect::Redefined | Effect::Undefined => true,
        Effect::Nothing
        | Effect::Restart
        | Effect::Vcpus(_)
        | Effect::Memory(_)
        | Effect::Metadata(_)
        | Effect::Setting(_)
        | Effect::Closed(_)
        | Effect::Renamed(_)
        | Effect::Elsewhere => false,
    }
}

/// Whether it is for the want of a saved image that the operation is impossible.
fn lacks_image(operation: &Operation, vm: &VmState) -> bool {
    matches!(operation.effect(), Effect::Restored | Effect::SavedImageRemoved) && !vm.saved
}

#[expect(clippy::wildcard_enum_match_arm, reason = "no other effect makes one")]
fn makes_checkpoint(effect: &Effect, name: &str) -> bool {
    match effect {
        Effect::CheckpointAdded(made) | Effect::Opened { checkpoint: Some(made), .. } => made == name,
        _ => false,
    }
}

/// Whether an effect that the VM still shows can have made a guard false.
fn bears_on_guard(effect: &Effect, guard: &Guard, vm: &VmState) -> bool {
    let any = guard.generation.is_some();
    match effect {
        Effect::Power(power) => (any || guard.state.is_some()) && *power == vm.power,
        Effect::Vcpus(vcpus) => (any || guard.vcpus.is_some()) && *vcpus == vm.vcpus,
        Effect::Memory(memory) => (any || guard.memory_kib.is_some()) && *memory == vm.memory_kib,
        Effect::SnapshotAdded(name) => any && vm.snapshots.contains(name),
        Effect::SnapshotRemoved(name) => any && !vm.snapshots.contains(name),
        Effect::Saved => (any || guard.state.is_some()) && vm.power == PowerState::ShutOff,
        Effect::Restored => (any || guard.state.is_some()) && vm.power != PowerState::ShutOff,
        Effect::SavedImageRemoved => any && !vm.saved,
        Effect::DeviceAdded(device) => any && vm.devices.contains(device),
        Effect::DeviceRemoved(device) => any && !vm.devices.contains(device),
        Effect::CheckpointAdded(name) => any && vm.checkpoints.contains(name),
        Effect::CheckpointRemoved(name) => any && !vm.checkpoints.contains(name),
        Effect::Opened { checkpoint, .. } => any && checkpoint.is_some(),
        Effect::Redefined | Effect::Undefined => any,
        Effect::Reverted(_) => true,
        Effect::Nothing
        | Effect::Restart
        | Effect::Metadata(_)
        | Effect::Setting(_)
        | Effect::Closed(_)
        | Effect::Renamed(_)
        | Effect::Elsewhere => false,
    }
}
