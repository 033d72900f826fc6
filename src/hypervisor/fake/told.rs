//! What libvirt says of an operation that was done.

use crate::model::operation::SnapshotKind;
use crate::model::{Cause, DeviceName, Happening, Operation, PowerState, VmState};

/// One thing that is said; whether the VM is still there afterwards, whoever passes it on knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// vCPUs were halted or let go.
    Power(PowerState),
    /// The life cycle went on.
    Changed(Option<Cause>),
    /// Something happened that the state need not show.
    Happened(Happening),
}

impl Told {
    pub(super) const fn cause(&self) -> Option<Cause> {
        match self {
            Self::Changed(cause) => *cause,
            Self::Happened(happening) => Some(happening.cause),
            Self::Power(_) => None,
        }
    }
}

/// What is said of an operation that has led from one state to the other. A device goes by its alias.
pub(super) fn of(operation: &Operation, before: &VmState, after: &VmState, alias: Option<String>) -> Vec<Told> {
    let changed = |cause| vec![Told::Changed(Some(cause))];
    let happened = |cause: Cause| vec![Told::Happened(cause.into())];
    let runs = before.start.0.is_some();
    match operation {
        Operation::PowerSuspend(_) | Operation::PowerResume(_) if before.power == after.power => Vec::new(),
        Operation::PowerSuspend(_) | Operation::PowerResume(_) => vec![Told::Power(after.power)],
        Operation::PowerReboot(_) | Operation::PowerReset(_) => happened(Cause::Rebooted),
        // A start goes on from the image, if there is one.
        Operation::PowerStart(_) | Operation::PowerRestore(_) if before.saved => changed(Cause::Restored),
        Operation::PowerStart(_) | Operation::PowerRestore(_) => {
            vec![Told::Power(after.power), Told::Changed(Some(Cause::Started))]
        }
        Operation::PowerStop(_) => changed(Cause::Destroyed),
        Operation::PowerShutdown(_) => changed(Cause::GuestShutdown),
        Operation::PowerSave(_) if before.power == PowerState::Running => {
            vec![Told::Power(PowerState::Paused), Told::Changed(Some(Cause::Saved))]
        }
        Operation::PowerSave(_) => changed(Cause::Saved),
        // It is halted for as long as that takes.
        Operation::SnapshotCreate(args) if args.kind == SnapshotKind::Full && before.power == PowerState::Running => {
            vec![Told::Power(PowerState::Paused), Told::Power(PowerState::Running)]
        }
        Operation::SnapshotRevert(_) if after.start.0.is_some() => {
            [changed(Cause::Reverted), happened(Cause::Redefined)].concat()
        }
        Operation::SnapshotRevert(_) => [happened(Cause::Redefined), changed(Cause::Reverted)].concat(),
        Operation::MemorySet(_) if before.memory_kib != after.memory_kib && runs => changed(Cause::Ballooned),
        Operation::MetadataSet(args) => {
            vec![Told::Happened(Happening { cause: Cause::MetadataChanged, subject: Some(args.uri.clone()) })]
        }
        // Of a definition nobody says what was changed in it.
        Operation::DeviceAttach(_) if runs => about(Cause::DeviceAdded, alias),
        Operation::DeviceDetach(_) if runs => about(Cause::DeviceRemoved, alias),
        Operation::DiskIotune(_) if runs => happened(Cause::Tuned),
        Operation::DefinitionDefine(_) => happened(Cause::Redefined),
        Operation::DefinitionRename(_) => happened(Cause::Renamed),
        Operation::DefinitionUndefine(_) => happened(Cause::Undefined),
        Operation::BackupEnd(_) | Operation::BlockAbort(_) => changed(Cause::JobStopped),
        // That a job begins is said, and nothing of a migration that is given up.
        Operation::BackupBegin(_)
        | Operation::BlockCommit(_)
        | Operation::BlockPull(_)
        | Operation::BlockCopy(_)
        | Operation::MigrateBegin(_)
        | Operation::MigrateAbort(_) => vec![Told::Changed(None)],
        Operation::PowerSaveRemove(_)
        | Operation::SnapshotCreate(_)
        | Operation::SnapshotDelete(_)
        | Operation::CpuSet(_)
        | Operation::MemorySet(_)
        | Operation::NicQos(_)
        | Operation::DiskIotune(_)
        | Operation::AutostartSet(_)
        | Operation::CheckpointCreate(_)
        | Operation::CheckpointDelete(_)
        | Operation::DiskResize(_)
        | Operation::DeviceAttach(_)
        | Operation::DeviceDetach(_)
        | Operation::DeviceUpdate(_)
        | Operation::GuestFreeze(_)
        | Operation::GuestThaw(_)
        | Operation::GuestTrim(_)
        | Operation::GuestCommand(_)
        | Operation::GuestSetTime(_)
        | Operation::GuestSetPassword(_)
        | Operation::LockAcquire(_)
        | Operation::LockRelease(_)
        | Operation::ConsoleOpen(_)
        | Operation::ScreenOpen(_)
        | Operation::ScreenCapture(_)
        | Operation::DiskRead(_)
        | Operation::GuestInfo(_)
        | Operation::InspectRead(_)
        | Operation::Relayed(_) => Vec::new(),
    }
}

fn about(cause: Cause, alias: Option<String>) -> Vec<Told> {
    vec![Told::Happened(Happening { cause, subject: alias })]
}

/// The alias that libvirt gives the `nth` interface, or a disk.
pub(super) fn alias_of(device: &DeviceName, nth_nic: usize) -> String {
    match device {
        DeviceName::Nic(_) => format!("net{nth_nic}"),
        DeviceName::Disk(target) => match target.strip_prefix("vd").map(str::as_bytes) {
            Some([letter]) if letter.is_ascii_lowercase() => format!("virtio-disk{}", letter - b'a'),
            Some(_) | None => target.clone(),
        },
    }
}
