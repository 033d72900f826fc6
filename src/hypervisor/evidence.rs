//! What an observation says of a call whose answer was lost. The same for every hypervisor.

use crate::model::operation::RelayedArgs;
use crate::model::{Action, Effect, HoldKey, Operation, PowerState, StartId, VmState};
use crate::resolver::Evidence;

/// Whether a call's effect can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is there.
    Yes,
    /// It is not.
    No,
    /// It leaves no trace.
    Never,
}

impl Seen {
    pub(super) const fn when(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// Whether the effect can be seen in the VM's state; metadata, the name, autostart and what the definition says are no
/// part of that and are looked at elsewhere.
pub(super) fn seen_in(state: &VmState, operation: &Operation) -> Seen {
    match operation {
        Operation::PowerStart(_) => Seen::when(state.start.0.is_some()),
        Operation::PowerResume(_) => Seen::when(state.power == PowerState::Running),
        Operation::PowerShutdown(_) | Operation::PowerStop(_) => Seen::when(state.power == PowerState::ShutOff),
        Operation::PowerSuspend(_) => Seen::when(state.power == PowerState::Paused),
        Operation::SnapshotCreate(args) => Seen::when(state.snapshots.contains(&args.name)),
        Operation::SnapshotDelete(args) => Seen::when(!state.snapshots.contains(&args.name)),
        Operation::CpuSet(args) => Seen::when(state.vcpus == args.vcpus),
        Operation::MemorySet(args) => Seen::when(state.memory_kib == args.memory_kib),
        Operation::PowerSave(_) => Seen::when(state.power == PowerState::ShutOff && state.saved),
        Operation::PowerRestore(_) => Seen::when(state.start.0.is_some()),
        Operation::PowerSaveRemove(_) => Seen::when(!state.saved),
        Operation::CheckpointCreate(args) => Seen::when(state.checkpoints.contains(&args.name)),
        Operation::CheckpointDelete(args) => Seen::when(!state.checkpoints.contains(&args.name)),
        Operation::DeviceAttach(args) => Seen::when(args.device().is_some_and(|name| state.devices.contains(&name))),
        Operation::DeviceDetach(args) => Seen::when(!state.devices.contains(&args.device)),
        Operation::DefinitionUndefine(_) => Seen::when(state.definition.is_none()),
        Operation::BackupBegin(args) => match &args.checkpoint {
            // It is made with the backup and stays.
            Some(name) if state.checkpoints.contains(name) => Seen::Yes,
            // A backup that is open may be this one, on its way to its checkpoint.
            Some(_) if state.jobs.contains(&HoldKey::Backup) => Seen::Never,
            Some(_) => Seen::No,
            // Without one it may be over already.
            None => opened(state, &HoldKey::Backup),
        },
        Operation::BlockCommit(args) => opened(state, &HoldKey::Block(args.disk.clone())),
        Operation::BlockPull(args) => opened(state, &HoldKey::Block(args.disk.clone())),
        Operation::BlockCopy(args) => opened(state, &HoldKey::Block(args.disk.clone())),
        Operation::MigrateBegin(_) => opened(state, &HoldKey::Migration),
        Operation::BackupEnd(_) => Seen::when(!state.jobs.contains(&HoldKey::Backup)),
        Operation::BlockAbort(args) => match state.jobs.contains(&HoldKey::Block(args.disk.clone())) {
            true => Seen::No,
            // It may have failed instead, and the VM have stayed where it was.
            false if args.pivot => Seen::Never,
            false => Seen::Yes,
        },
        Operation::MigrateAbort(_) => Seen::when(!state.jobs.contains(&HoldKey::Migration)),
        // A lock is the lane's own.
        Operation::LockAcquire(_) | Operation::LockRelease(_) => Seen::Yes,
        Operation::Relayed(args) => relayed(state, args, &operation.effect()),
        Operation::PowerReboot(_)
        | Operation::PowerReset(_)
        | Operation::SnapshotRevert(_)
        | Operation::MetadataSet(_)
        | Operation::NicQos(_)
        | Operation::DiskIotune(_)
        | Operation::AutostartSet(_)
        | Operation::DiskResize(_)
        | Operation::DeviceUpdate(_)
        | Operation::GuestFreeze(_)
        | Operation::GuestThaw(_)
        | Operation::GuestTrim(_)
        | Operation::GuestCommand(_)
        | Operation::GuestSetTime(_)
        | Operation::GuestSetPassword(_)
        | Operation::DefinitionDefine(_)
        | Operation::DefinitionRename(_)
        | Operation::ConsoleOpen(_)
        | Operation::ScreenOpen(_)
        | Operation::ScreenCapture(_)
        | Operation::DiskRead(_)
        | Operation::GuestInfo(_)
        | Operation::InspectRead(_) => Seen::Never,
    }
}

/// Of a client's own call only what its action says can be looked for.
fn relayed(state: &VmState, args: &RelayedArgs, effect: &Effect) -> Seen {
    let off = state.power == PowerState::ShutOff;
    match (args.action, effect) {
        (Action::PowerStart | Action::PowerRestore, _) => Seen::when(state.start.0.is_some()),
        (Action::PowerStop, _) => Seen::when(off),
        // The guest may have been asked and take its time.
        (Action::PowerShutdown, _) => {
            if off {
                Seen::Yes
            } else {
                Seen::Never
            }
        }
        // What is off may have been stopped otherwise.
        (Action::PowerSave, _) => {
            if off {
                Seen::Never
            } else {
                Seen::No
            }
        }
        (_, Effect::Power(power)) => Seen::when(state.power == *power),
        (_, Effect::Opened { hold, .. }) if hold.is_observable() => opened(state, hold),
        // A block job that is gone may have failed, and the VM have stayed where it was.
        (_, Effect::Closed(hold @ HoldKey::Block(_))) => {
            if state.jobs.contains(hold) {
                Seen::No
            } else {
                Seen::Never
            }
        }
        (_, Effect::Closed(hold)) if hold.is_observable() => Seen::when(!state.jobs.contains(hold)),
        (_, Effect::Undefined) => Seen::when(state.definition.is_none()),
        (_, Effect::SavedImageRemoved) => Seen::when(!state.saved),
        _ => Seen::Never,
    }
}

/// Something that is open was opened; what is not may have been, and be over.
fn opened(state: &VmState, hold: &HoldKey) -> Seen {
    if state.jobs.contains(hold) { Seen::Yes } else { Seen::Never }
}

/// What follows from what is seen, and on which start of the VM.
pub(super) fn weigh(seen: Seen, operation: &Operation, now: StartId, expected: StartId) -> Evidence {
    match seen {
        Seen::Yes => Evidence::Done,
        Seen::Never => Evidence::None,
        // The VM went on to another start: the effect may have been there and be gone.
        Seen::No if now != expected => Evidence::None,
        // The guest may have the request and take its time.
        Seen::No if matches!(operation, Operation::PowerShutdown(_)) => Evidence::None,
        Seen::No => Evidence::Undone,
    }
}

/// What follows when the VM does not exist any more: a transient one goes when it is off.
pub(super) fn when_gone(operation: &Operation) -> Evidence {
    match operation.action() {
        Action::PowerStop | Action::PowerShutdown | Action::DefinitionUndefine => Evidence::Done,
        Action::LockAcquire | Action::LockRelease => Evidence::Done,
        _ => Evidence::None,
    }
}

/// Why a call that was decided for one start of a VM must not be made on another.
pub(super) fn other_start(expected: StartId, now: StartId) -> Option<String> {
    match (expected.0, now.0) {
        (then, now) if then == now => None,
        (Some(then), None) => Some(format!("the VM has stopped meanwhile (start {then} was expected)")),
        (None, _) => Some("the VM was started meanwhile".to_owned()),
        (Some(then), Some(now)) => Some(format!("the VM was started again meanwhile (start {now}, expected {then})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Action;
    use serde_json::{Value, json};

    fn operation(action: Action, args: Value) -> Operation {
        Operation::parse(action, args).unwrap()
    }

    fn conclusion(seen: Seen, action: Action, now: Option<u32>) -> Evidence {
        weigh(seen, &operation(action, Value::Null), StartId(now), StartId(Some(3)))
    }

    #[test]
    fn an_effect_that_is_seen_was_done() {
        assert_eq!(conclusion(Seen::Yes, Action::PowerStop, None), Evidence::Done);
        assert_eq!(conclusion(Seen::Yes, Action::PowerSuspend, Some(3)), Evidence::Done);
    }

    #[test]
    fn an_effect_that_is_not_seen_on_another_start_tells_nothing() {
        assert_eq!(conclusion(Seen::No, Action::PowerSuspend, Some(3)), Evidence::Undone);
        assert_eq!(conclusion(Seen::No, Action::PowerSuspend, Some(4)), Evidence::None);
        assert_eq!(conclusion(Seen::No, Action::PowerStop, Some(4)), Evidence::None);
    }

    #[test]
    fn a_guest_that_still_runs_may_yet_shut_down() {
        assert_eq!(conclusion(Seen::No, Action::PowerShutdown, Some(3)), Evidence::None);
    }

    #[test]
    fn what_leaves_no_trace_stays_unknown() {
        for action in [Action::PowerReboot, Action::PowerReset] {
            assert_eq!(conclusion(Seen::Never, action, Some(3)), Evidence::None);
        }
        let revert = operation(Action::SnapshotRevert, json!({ "name": "a" }));
        let state: VmState = serde_json::from_value(json!({
            "power": "running", "start": 3, "vcpus": 1, "vcpus_max": 1, "memory_kib": 1, "memory_max_kib": 1,
            "snapshots": ["a"]
        }))
        .unwrap();
        assert_eq!(seen_in(&state, &revert), Seen::Never);
    }

    #[test]
    fn what_is_open_or_over_tells_only_what_it_can() {
        let state = |jobs: &[&str], checkpoints: &[&str]| -> VmState {
            serde_json::from_value(json!({
                "power": "running", "start": 3, "vcpus": 1, "vcpus_max": 1, "memory_kib": 1, "memory_max_kib": 1,
                "snapshots": [], "jobs": jobs, "checkpoints": checkpoints
            }))
            .unwrap()
        };
        let idle = state(&[], &[]);
        let push = |checkpoint: Value| {
            operation(
                Action::BackupBegin,
                json!({ "mode": "push", "files": { "vda": "/f" }, "checkpoint": checkpoint }),
            )
        };
        let with = push(json!("n.a"));
        assert_eq!(seen_in(&state(&[], &["n.a"]), &with), Seen::Yes);
        assert_eq!(seen_in(&idle, &with), Seen::No);
        // Somebody's backup is open, perhaps this one on its way to its checkpoint.
        assert_eq!(seen_in(&state(&["backup"], &[]), &with), Seen::Never);
        let without = push(Value::Null);
        assert_eq!(seen_in(&state(&["backup"], &[]), &without), Seen::Yes);
        assert_eq!(seen_in(&idle, &without), Seen::Never);
        let abort = |pivot| operation(Action::BlockAbort, json!({ "disk": "vda", "pivot": pivot }));
        let busy = state(&["block:vda"], &[]);
        assert_eq!((seen_in(&busy, &abort(true)), seen_in(&busy, &abort(false))), (Seen::No, Seen::No));
        // A job that is gone may have failed instead of being gone over to.
        assert_eq!((seen_in(&idle, &abort(true)), seen_in(&idle, &abort(false))), (Seen::Never, Seen::Yes));
    }
}
