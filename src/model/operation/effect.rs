//! What an operation does to the state the resolver knows.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Operation;
use super::check::JOB_LEASE_DEFAULT_S;
use super::guest::FREEZE_LEASE_DEFAULT_S;
use crate::model::action::Action;
use crate::model::device::DeviceName;
use crate::model::footprint::{Footprint, Resource};
use crate::model::hold::HoldKey;
use crate::model::state::{PowerState, StartId, VmState};
use crate::model::units::Kib;

/// What an operation does to the state the resolver knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing at all.
    Nothing,
    /// The power state becomes this.
    Power(PowerState),
    /// The guest starts anew; the power state stays.
    Restart,
    /// The VM is off, and its memory is in an image.
    Saved,
    /// The VM goes on from its image, which is used up.
    Restored,
    /// The image is gone.
    SavedImageRemoved,
    /// One snapshot more.
    SnapshotAdded(String),
    /// One snapshot less.
    SnapshotRemoved(String),
    /// Everything becomes what this snapshot holds.
    Reverted(String),
    /// The number of vCPUs becomes this.
    Vcpus(u32),
    /// The memory becomes this.
    Memory(Kib),
    /// The metadata element of this namespace becomes what was asked.
    Metadata(String),
    /// One device more.
    DeviceAdded(DeviceName),
    /// One device less.
    DeviceRemoved(DeviceName),
    /// A value outside the believed state becomes what was asked.
    Setting(Setting),
    /// One checkpoint more.
    CheckpointAdded(String),
    /// One checkpoint less.
    CheckpointRemoved(String),
    /// Something is left open, perhaps with a checkpoint made on the way.
    Opened {
        /// What.
        hold: HoldKey,
        /// The checkpoint.
        checkpoint: Option<String>,
    },
    /// What was open is not.
    Closed(HoldKey),
    /// The definition becomes another; what it says of vCPUs and memory is known when it is seen.
    Redefined,
    /// There is no definition: a VM that is off is gone, one that runs is gone when it stops.
    Undefined,
    /// The VM has another name.
    Renamed(String),
    /// Something that the believed state does not show.
    Elsewhere,
}

/// A value that is kept outside the believed state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Setting {
    /// An interface's bandwidth or a disk's limits.
    Tuning(DeviceName),
    /// A disk's size.
    Capacity(String),
    /// Whether the VM is started with its host.
    Autostart,
    /// What a device is.
    Device(DeviceName),
}

/// A value that one operation overwrites and another would overwrite again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Register {
    /// The power state.
    Power,
    /// The number of vCPUs.
    Vcpus,
    /// The memory.
    Memory,
    /// One namespace's metadata.
    Metadata(String),
    /// A value outside the believed state.
    Setting(Setting),
    /// The whole definition.
    Definition,
    /// The VM's name.
    Name,
}

impl Effect {
    /// The value this effect overwrites, if it is one that a later write replaces whole.
    #[must_use]
    pub fn register(&self) -> Option<Register> {
        match self {
            Self::Power(_) | Self::Saved | Self::Restored => Some(Register::Power),
            Self::Vcpus(_) => Some(Register::Vcpus),
            Self::Memory(_) => Some(Register::Memory),
            Self::Metadata(uri) => Some(Register::Metadata(uri.clone())),
            Self::Setting(setting) => Some(Register::Setting(setting.clone())),
            Self::Redefined => Some(Register::Definition),
            Self::Renamed(_) => Some(Register::Name),
            Self::Nothing
            | Self::Restart
            | Self::SavedImageRemoved
            | Self::SnapshotAdded(_)
            | Self::SnapshotRemoved(_)
            | Self::Reverted(_)
            | Self::DeviceAdded(_)
            | Self::DeviceRemoved(_)
            | Self::CheckpointAdded(_)
            | Self::CheckpointRemoved(_)
            | Self::Opened { .. }
            | Self::Closed(_)
            | Self::Undefined
            | Self::Elsewhere => None,
        }
    }

    /// What an effect makes of a state that is known. A revert, a start and a new definition leave parts open until
    /// they are observed.
    pub fn take(&self, state: &mut VmState) {
        match self {
            Self::Power(power) => go(state, *power),
            Self::Saved => {
                go(state, PowerState::ShutOff);
                state.saved = true;
            }
            Self::Restored => {
                state.power = PowerState::Running;
                state.saved = false;
            }
            Self::SavedImageRemoved => state.saved = false,
            Self::SnapshotAdded(name) => {
                state.snapshots.insert(name.clone());
            }
            Self::SnapshotRemoved(name) => {
                state.snapshots.remove(name);
            }
            Self::Vcpus(vcpus) => state.vcpus = *vcpus,
            Self::Memory(memory) => state.memory_kib = *memory,
            Self::DeviceAdded(device) => {
                state.devices.insert(device.clone());
            }
            Self::DeviceRemoved(device) => {
                state.devices.remove(device);
            }
            Self::CheckpointAdded(name) => {
                state.checkpoints.insert(name.clone());
            }
            Self::CheckpointRemoved(name) => {
                state.checkpoints.remove(name);
            }
            Self::Opened { hold, checkpoint } => {
                if hold.is_observable() {
                    state.jobs.insert(hold.clone());
                }
                state.checkpoints.extend(checkpoint.clone());
            }
            Self::Closed(hold) => {
                state.jobs.remove(hold);
            }
            Self::Undefined => state.definition = None,
            Self::Nothing
            | Self::Restart
            | Self::Reverted(_)
            | Self::Metadata(_)
            | Self::Setting(_)
            | Self::Redefined
            | Self::Renamed(_)
            | Self::Elsewhere => {}
        }
    }
}

fn go(state: &mut VmState, power: PowerState) {
    state.power = power;
    if power == PowerState::ShutOff {
        state.start = StartId(None);
        // Jobs live in the process.
        state.jobs.clear();
    } else {
        // A start goes on from the image, if there is one.
        state.saved = false;
    }
}

impl Operation {
    /// What it does to the state the resolver knows.
    #[must_use]
    pub fn effect(&self) -> Effect {
        let open = |hold| Effect::Opened { hold, checkpoint: None };
        match self {
            Self::PowerStart(_) | Self::PowerResume(_) => Effect::Power(PowerState::Running),
            Self::PowerShutdown(_) | Self::PowerStop(_) => Effect::Power(PowerState::ShutOff),
            Self::PowerSuspend(_) => Effect::Power(PowerState::Paused),
            Self::PowerReboot(_) | Self::PowerReset(_) => Effect::Restart,
            Self::PowerSave(_) => Effect::Saved,
            Self::PowerRestore(_) => Effect::Restored,
            Self::PowerSaveRemove(_) => Effect::SavedImageRemoved,
            Self::SnapshotCreate(args) => Effect::SnapshotAdded(args.name.clone()),
            Self::SnapshotRevert(args) => Effect::Reverted(args.name.clone()),
            Self::SnapshotDelete(args) => Effect::SnapshotRemoved(args.name.clone()),
            Self::CpuSet(args) => Effect::Vcpus(args.vcpus),
            Self::MemorySet(args) => Effect::Memory(args.memory_kib),
            Self::MetadataSet(args) => Effect::Metadata(args.uri.clone()),
            Self::NicQos(args) => Effect::Setting(Setting::Tuning(DeviceName::Nic(args.mac))),
            Self::DiskIotune(args) => Effect::Setting(Setting::Tuning(DeviceName::Disk(args.disk.clone()))),
            Self::AutostartSet(_) => Effect::Setting(Setting::Autostart),
            Self::BackupBegin(args) => Effect::Opened { hold: HoldKey::Backup, checkpoint: args.checkpoint.clone() },
            Self::BackupEnd(_) => Effect::Closed(HoldKey::Backup),
            Self::CheckpointCreate(args) => Effect::CheckpointAdded(args.name.clone()),
            Self::CheckpointDelete(args) => Effect::CheckpointRemoved(args.name.clone()),
            Self::DiskResize(args) => Effect::Setting(Setting::Capacity(args.disk.clone())),
            Self::BlockCommit(args) => open(HoldKey::Block(args.disk.clone())),
            Self::BlockPull(args) => open(HoldKey::Block(args.disk.clone())),
            Self::BlockCopy(args) => open(HoldKey::Block(args.disk.clone())),
            Self::BlockAbort(args) => Effect::Closed(HoldKey::Block(args.disk.clone())),
            Self::DeviceAttach(args) => args.device().map_or(Effect::Elsewhere, Effect::DeviceAdded),
            Self::DeviceDetach(args) => Effect::DeviceRemoved(args.device.clone()),
            Self::DeviceUpdate(args) => {
                args.device().map_or(Effect::Elsewhere, |device| Effect::Setting(Setting::Device(device)))
            }
            Self::GuestFreeze(_) => open(HoldKey::Freeze),
            Self::GuestThaw(_) => Effect::Closed(HoldKey::Freeze),
            Self::DefinitionDefine(_) => Effect::Redefined,
            Self::DefinitionUndefine(_) => Effect::Undefined,
            Self::DefinitionRename(args) => Effect::Renamed(args.name.clone()),
            Self::MigrateBegin(_) => open(HoldKey::Migration),
            Self::MigrateAbort(_) => Effect::Closed(HoldKey::Migration),
            Self::LockAcquire(_) => open(HoldKey::Lock),
            Self::LockRelease(_) => Effect::Closed(HoldKey::Lock),
            Self::GuestTrim(_)
            | Self::GuestCommand(_)
            | Self::GuestSetTime(_)
            | Self::GuestSetPassword(_)
            | Self::ConsoleOpen(_)
            | Self::ScreenOpen(_)
            | Self::ScreenCapture(_)
            | Self::DiskRead(_)
            | Self::GuestInfo(_) => Effect::Elsewhere,
            Self::InspectRead(_) => Effect::Nothing,
            Self::Relayed(args) => args.effect(),
        }
    }

    /// Whether its call only asks the guest and is over before the guest has done anything: its effect is wished for
    /// then, and known when it is seen.
    #[must_use]
    pub fn only_asks(&self) -> bool {
        matches!(self, Self::Relayed(args) if matches!(args.action, Action::PowerShutdown | Action::PowerReboot))
    }

    /// What it leaves open, and what must wait for that.
    #[must_use]
    pub fn leaves_open(&self) -> Option<(HoldKey, Footprint)> {
        let Effect::Opened { hold, .. } = self.effect() else { return None };
        let mut footprint = hold.footprint();
        if let Some(disks) = self.disks().filter(|_| hold == HoldKey::Backup) {
            footprint.writes.remove(&Resource::Disks);
            footprint.writes.extend(disks.into_iter().map(Resource::Disk));
        }
        Some((hold, footprint))
    }

    /// What of it that is open it ends.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most actions have none")]
    #[must_use]
    pub fn ends_open(&self) -> Option<HoldKey> {
        match self.effect() {
            Effect::Closed(hold) => Some(hold),
            _ => None,
        }
    }

    /// How long what it leaves open stays so if nothing else ends it: nothing is held for ever.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most actions have none")]
    #[must_use]
    pub fn lease(&self) -> Option<std::time::Duration> {
        let job = |lease_s: Option<u32>| lease_s.unwrap_or(JOB_LEASE_DEFAULT_S);
        let seconds = match self {
            Self::GuestFreeze(args) => args.lease_s,
            Self::LockAcquire(args) => args.lease_s,
            Self::BackupBegin(args) => job(args.lease_s),
            Self::BlockCommit(args) => job(args.lease_s),
            Self::BlockPull(args) => job(args.lease_s),
            Self::BlockCopy(args) => job(args.lease_s),
            Self::MigrateBegin(args) => job(args.lease_s),
            Self::Relayed(args) => match args.effect() {
                Effect::Opened { hold: HoldKey::Freeze, .. } => FREEZE_LEASE_DEFAULT_S,
                Effect::Opened { .. } => job(None),
                _ => return None,
            },
            _ => return None,
        };
        Some(std::time::Duration::from_secs(u64::from(seconds)))
    }

    /// The disks that its arguments name; none when it is about all of them.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most actions have none")]
    #[must_use]
    pub fn disks(&self) -> Option<BTreeSet<String>> {
        let one = |disk: &String| Some(BTreeSet::from([disk.clone()]));
        let of_device = |device: Option<DeviceName>| match device {
            Some(DeviceName::Disk(target)) => Some(BTreeSet::from([target])),
            Some(DeviceName::Nic(_)) => Some(BTreeSet::new()),
            None => None,
        };
        match self {
            Self::SnapshotCreate(args) => Some(args.disks.clone()).filter(|disks| !disks.is_empty()),
            Self::BackupBegin(args) => args.about(),
            Self::CheckpointCreate(args) => Some(args.disks.clone()).filter(|disks| !disks.is_empty()),
            Self::DiskResize(args) => one(&args.disk),
            Self::BlockCommit(args) => one(&args.disk),
            Self::BlockPull(args) => one(&args.disk),
            Self::BlockCopy(args) => one(&args.disk),
            Self::BlockAbort(args) => one(&args.disk),
            Self::DeviceAttach(args) | Self::DeviceUpdate(args) => of_device(args.device()),
            Self::DeviceDetach(args) => of_device(Some(args.device.clone())),
            Self::Relayed(args) => args.disks(),
            _ => None,
        }
    }

    /// The device that its arguments name.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most actions have none")]
    #[must_use]
    pub fn device(&self) -> Option<DeviceName> {
        let disk = |target: &String| Some(DeviceName::Disk(target.clone()));
        match self {
            Self::DeviceAttach(args) | Self::DeviceUpdate(args) => args.device(),
            Self::DeviceDetach(args) => Some(args.device.clone()),
            Self::NicQos(args) => Some(DeviceName::Nic(args.mac)),
            Self::DiskIotune(args) => disk(&args.disk),
            Self::DiskResize(args) => disk(&args.disk),
            Self::BlockCommit(args) => disk(&args.disk),
            Self::BlockPull(args) => disk(&args.disk),
            Self::BlockCopy(args) => disk(&args.disk),
            _ => None,
        }
    }

    /// The devices that must be there for it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most actions have none")]
    #[must_use]
    pub fn needs(&self) -> BTreeSet<DeviceName> {
        let mut needed: BTreeSet<DeviceName> = self.device().into_iter().collect();
        match self {
            // Of a call that is a client's own, libvirt knows what it needs.
            Self::DeviceAttach(_) | Self::Relayed(_) => needed.clear(),
            other => needed.extend(other.disks().into_iter().flatten().map(DeviceName::Disk)),
        }
        needed
    }
}
