//! A libvirt client's call whose arguments the actions' own cannot say: only what it touches is known.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Effect;
use crate::model::action::{Action, Scope};
use crate::model::footprint::{Footprint, Resource};
use crate::model::hold::HoldKey;
use crate::model::state::PowerState;

/// A call that a door forwards as its client made it. No request can name it, and two that look alike here may still
/// ask for different things: they are never one wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayedArgs {
    /// Under which action it is allowed, ordered and told.
    pub action: Action,
    /// libvirt's name of the call: `domain_create_with_flags`.
    pub procedure: String,
    /// What it changes: the names for what the action declares in general (a disk for the disks), and what the
    /// arguments of this call make it change besides.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub touches: BTreeSet<Resource>,
}

impl RelayedArgs {
    /// The action's declaration with the names that are touched; where none is, all there are.
    pub(super) fn footprint(&self) -> Footprint {
        let spec = self.action.spec();
        let named = |scopes: &[Scope]| scopes.iter().flat_map(|scope| self.resources(*scope)).collect();
        let mut footprint = Footprint { reads: named(spec.reads), writes: named(spec.writes) };
        footprint.writes.extend(self.touches.iter().cloned());
        footprint
    }

    fn resources(&self, scope: Scope) -> BTreeSet<Resource> {
        if scope == Scope::Disks && self.names_devices() {
            // They are among what is touched, or none is.
            return BTreeSet::new();
        }
        let (is_such, whole): (fn(&Resource) -> bool, Resource) = match scope {
            Scope::Disks => (|touched| matches!(touched, Resource::Disk(_)), Resource::Disks),
            Scope::Device => (|touched| matches!(touched, Resource::Device(_)), Resource::Devices),
            Scope::Tuning => (|touched| matches!(touched, Resource::Tuning(_)), Resource::Tunings),
            // Title and description are elements of the definition.
            Scope::Metadata => (|touched| matches!(touched, Resource::Metadata(_)), Resource::Definition),
            Scope::Power => return BTreeSet::from([Resource::Power]),
            Scope::Process => return BTreeSet::from([Resource::Process]),
            Scope::Cpu => return BTreeSet::from([Resource::Cpu]),
            Scope::Memory => return BTreeSet::from([Resource::Memory]),
            Scope::Devices => return BTreeSet::from([Resource::Devices]),
            Scope::Snapshots => return BTreeSet::from([Resource::Snapshots]),
            Scope::Backup => return BTreeSet::from([Resource::Backup]),
            Scope::GuestAgent => return BTreeSet::from([Resource::GuestAgent]),
            Scope::Definition => return BTreeSet::from([Resource::Definition]),
            Scope::Autostart => return BTreeSet::from([Resource::Autostart]),
            Scope::SavedImage => return BTreeSet::from([Resource::SavedImage]),
            Scope::Lock => return BTreeSet::from([Resource::Lock]),
            Scope::Console => return BTreeSet::from([Resource::Console]),
            Scope::Screen => return BTreeSet::from([Resource::Screen]),
            Scope::Input => return BTreeSet::from([Resource::Input]),
        };
        let names: BTreeSet<Resource> = self.touches.iter().filter(|touched| is_such(touched)).cloned().collect();
        if names.is_empty() { BTreeSet::from([whole]) } else { names }
    }

    /// Whether it is said which devices are touched, and so whether these are disks.
    fn names_devices(&self) -> bool {
        self.touches.iter().any(|touched| matches!(touched, Resource::Device(_) | Resource::Devices))
    }

    /// Whether the VM comes from another host by this call.
    #[must_use]
    pub fn arrives(&self) -> bool {
        self.action == Action::PowerStart && self.procedure.starts_with("domain_migrate_")
    }

    /// The disks that are touched; none when that is about all of them.
    pub(super) fn disks(&self) -> Option<BTreeSet<String>> {
        let disks: BTreeSet<String> = (self.touches.iter())
            .filter_map(|touched| if let Resource::Disk(target) = touched { Some(target.clone()) } else { None })
            .collect();
        Some(disks).filter(|disks| !disks.is_empty())
    }

    /// The one disk that is touched, if it is one.
    fn disk(&self) -> Option<String> {
        self.disks().filter(|disks| disks.len() == 1).and_then(|disks| disks.into_iter().next())
    }

    /// What the action alone says of the effect; everything else is known when it is seen.
    pub(super) fn effect(&self) -> Effect {
        let open = |hold| Effect::Opened { hold, checkpoint: None };
        let of_block =
            |effect: fn(HoldKey) -> Effect| self.disk().map_or(Effect::Elsewhere, |disk| effect(HoldKey::Block(disk)));
        match self.action {
            // A shutdown only asks the guest; see `Operation::only_asks`. Into a file of the caller's a VM is saved
            // without being kept by libvirt.
            Action::PowerShutdown | Action::PowerStop | Action::PowerSave => Effect::Power(PowerState::ShutOff),
            Action::PowerReboot | Action::PowerReset => Effect::Restart,
            Action::PowerSaveRemove => Effect::SavedImageRemoved,
            Action::BackupBegin => open(HoldKey::Backup),
            Action::BackupEnd => Effect::Closed(HoldKey::Backup),
            Action::BlockCommit | Action::BlockPull | Action::BlockCopy => {
                of_block(|hold| Effect::Opened { hold, checkpoint: None })
            }
            Action::BlockAbort => of_block(Effect::Closed),
            Action::GuestFreeze => open(HoldKey::Freeze),
            Action::GuestThaw => Effect::Closed(HoldKey::Freeze),
            Action::DefinitionDefine => Effect::Redefined,
            Action::DefinitionUndefine => Effect::Undefined,
            Action::MigrateBegin => open(HoldKey::Migration),
            Action::MigrateAbort => Effect::Closed(HoldKey::Migration),
            Action::InspectRead => Effect::Nothing,
            // It may be running or halted then, by flags that are not known here, or sleep by its guest's own doing.
            Action::PowerStart | Action::PowerSuspend | Action::PowerResume | Action::PowerRestore => Effect::Elsewhere,
            Action::SnapshotCreate
            | Action::SnapshotRevert
            | Action::SnapshotDelete
            | Action::CpuSet
            | Action::MemorySet
            | Action::MemoryDump
            | Action::MetadataSet
            | Action::NicQos
            | Action::DiskIotune
            | Action::AutostartSet
            | Action::TuningSet
            | Action::CheckpointCreate
            | Action::CheckpointDelete
            | Action::DiskResize
            | Action::DiskWrite
            | Action::DeviceAttach
            | Action::DeviceDetach
            | Action::DeviceUpdate
            | Action::GuestTrim
            | Action::GuestCommand
            | Action::GuestSetTime
            | Action::GuestSetPassword
            | Action::GuestInput
            | Action::DefinitionRename
            | Action::LockAcquire
            | Action::LockRelease
            | Action::MonitorCommand
            | Action::ConsoleOpen
            | Action::ScreenOpen
            | Action::ScreenCapture
            | Action::DiskRead
            | Action::GuestInfo => Effect::Elsewhere,
        }
    }
}
