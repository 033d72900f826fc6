//! An action with its arguments, and what follows from both: what it touches and what it does.

mod args;
mod backup;
mod block;
mod check;
mod definition;
mod device;
mod effect;
mod guest;
mod relayed;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::action::{Action, Scope, Way};
use super::footprint::{Footprint, Resource};
use super::ids::{ProviderId, VmId};

pub use self::args::{
    CpuSetArgs, GUEST_TIMEOUT_DEFAULT_S, GUEST_TIMEOUT_MAX_S, GuestArgs, MemorySetArgs, MetadataSetArgs, NoArgs,
    SnapshotArgs, SnapshotCreateArgs, SnapshotKind,
};
pub use self::backup::{BackupBeginArgs, BackupMode, CheckpointArgs, CheckpointCreateArgs};
pub use self::block::{BlockAbortArgs, BlockCommitArgs, BlockCopyArgs, BlockPullArgs, DiskResizeArgs, ImageFormat};
pub use self::check::TIMEOUT_MAX_S;
pub use self::definition::{
    AutostartSetArgs, DefinitionDefineArgs, DefinitionRenameArgs, DefinitionUndefineArgs, LOCK_LEASE_MAX_S,
    LockAcquireArgs, MigrateBeginArgs,
};
pub use self::device::{
    Bandwidth, DETACH_TIMEOUT_DEFAULT_S, DeviceDetachArgs, DeviceXmlArgs, DiskIotuneArgs, NicQosArgs,
};
pub use self::effect::{Effect, Register, Setting};
pub use self::guest::{
    FREEZE_LEASE_DEFAULT_S, FREEZE_LEASE_MAX_S, GuestCommandArgs, GuestFreezeArgs, GuestSetPasswordArgs,
    GuestSetTimeArgs, GuestTrimArgs,
};
pub use self::relayed::RelayedArgs;

macro_rules! operations {
    ($($name:ident($args:ty) = $text:literal,)*) => {
        /// What is asked of the hypervisor: an action with arguments that were checked.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "action", content = "args")]
        pub enum Operation {
            $(#[serde(rename = $text)] $name($args),)*
            /// A libvirt client's call that no arguments here can say; its word is no action's, so no request names it.
            #[serde(rename = "relayed")]
            Relayed(RelayedArgs),
        }

        impl Operation {
            /// Which action this is.
            #[must_use]
            pub const fn action(&self) -> Action {
                match self {
                    $(Self::$name(_) => Action::$name,)*
                    Self::Relayed(args) => args.action,
                }
            }
        }
    };
}

operations! {
    PowerStart(NoArgs) = "power.start",
    PowerShutdown(GuestArgs) = "power.shutdown",
    PowerReboot(GuestArgs) = "power.reboot",
    PowerReset(NoArgs) = "power.reset",
    PowerStop(NoArgs) = "power.stop",
    PowerSuspend(NoArgs) = "power.suspend",
    PowerResume(NoArgs) = "power.resume",
    PowerSave(NoArgs) = "power.save",
    PowerRestore(NoArgs) = "power.restore",
    PowerSaveRemove(NoArgs) = "power.save-remove",
    SnapshotCreate(SnapshotCreateArgs) = "snapshot.create",
    SnapshotRevert(SnapshotArgs) = "snapshot.revert",
    SnapshotDelete(SnapshotArgs) = "snapshot.delete",
    CpuSet(CpuSetArgs) = "cpu.set",
    MemorySet(MemorySetArgs) = "memory.set",
    MetadataSet(MetadataSetArgs) = "metadata.set",
    NicQos(NicQosArgs) = "nic.qos",
    DiskIotune(DiskIotuneArgs) = "disk.iotune",
    AutostartSet(AutostartSetArgs) = "autostart.set",
    BackupBegin(BackupBeginArgs) = "backup.begin",
    BackupEnd(NoArgs) = "backup.end",
    CheckpointCreate(CheckpointCreateArgs) = "checkpoint.create",
    CheckpointDelete(CheckpointArgs) = "checkpoint.delete",
    DiskResize(DiskResizeArgs) = "disk.resize",
    BlockCommit(BlockCommitArgs) = "block.commit",
    BlockPull(BlockPullArgs) = "block.pull",
    BlockCopy(BlockCopyArgs) = "block.copy",
    BlockAbort(BlockAbortArgs) = "block.abort",
    DeviceAttach(DeviceXmlArgs) = "device.attach",
    DeviceDetach(DeviceDetachArgs) = "device.detach",
    DeviceUpdate(DeviceXmlArgs) = "device.update",
    GuestFreeze(GuestFreezeArgs) = "guest.freeze",
    GuestThaw(NoArgs) = "guest.thaw",
    GuestTrim(GuestTrimArgs) = "guest.trim",
    GuestCommand(GuestCommandArgs) = "guest.command",
    GuestSetTime(GuestSetTimeArgs) = "guest.set-time",
    GuestSetPassword(GuestSetPasswordArgs) = "guest.set-password",
    DefinitionDefine(DefinitionDefineArgs) = "definition.define",
    DefinitionUndefine(DefinitionUndefineArgs) = "definition.undefine",
    DefinitionRename(DefinitionRenameArgs) = "definition.rename",
    MigrateBegin(MigrateBeginArgs) = "migrate.begin",
    MigrateAbort(NoArgs) = "migrate.abort",
    LockAcquire(LockAcquireArgs) = "lock.acquire",
    LockRelease(NoArgs) = "lock.release",
    ConsoleOpen(NoArgs) = "console.open",
    ScreenOpen(NoArgs) = "screen.open",
    ScreenCapture(NoArgs) = "screen.capture",
    DiskRead(NoArgs) = "disk.read",
    GuestInfo(NoArgs) = "guest.info",
    InspectRead(NoArgs) = "inspect.read",
}

/// Why arguments do not fit their action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the arguments of {action} do not fit: {reason}")]
pub struct ParseArgsError {
    /// The action they were for.
    pub action: Action,
    /// What is wrong with them.
    pub reason: String,
}

impl Operation {
    /// An action's arguments as a provider wrote them, checked.
    ///
    /// *Errors*: [`ParseArgsError`] for an unknown field, a wrong type or a value out of range, and for an action that
    /// only a libvirt client's own call can ask for.
    pub fn parse(action: Action, args: Value) -> Result<Self, ParseArgsError> {
        let args = if args.is_null() { Value::Object(serde_json::Map::new()) } else { args };
        let refuse = |reason: String| ParseArgsError { action, reason };
        if action.spec().way == Way::Relay {
            return Err(refuse("only a libvirt client's own call, through its provider's door, says them".to_owned()));
        }
        if !args.is_object() {
            return Err(refuse("an object is expected".to_owned()));
        }
        let tagged = serde_json::json!({ "action": action.name(), "args": args });
        let operation: Self = serde_json::from_value(tagged).map_err(|error| refuse(error.to_string()))?;
        operation.check().map_err(refuse)?;
        Ok(operation)
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::PowerShutdown(args) | Self::PowerReboot(args) => args.check(),
            Self::SnapshotCreate(args) => args.check(),
            Self::SnapshotRevert(args) | Self::SnapshotDelete(args) => args.check(),
            Self::CpuSet(args) => args.check(),
            Self::MemorySet(args) => args.check(),
            Self::MetadataSet(args) => args.check(),
            Self::NicQos(args) => args.check(),
            Self::DiskIotune(args) => args.check(),
            Self::BackupBegin(args) => args.check(),
            Self::CheckpointCreate(args) => args.check(),
            Self::CheckpointDelete(args) => args.check(),
            Self::DiskResize(args) => args.check(),
            Self::BlockCommit(args) => args.check(),
            Self::BlockPull(args) => args.check(),
            Self::BlockCopy(args) => args.check(),
            Self::BlockAbort(args) => args.check(),
            Self::DeviceAttach(args) | Self::DeviceUpdate(args) => args.check(),
            Self::DeviceDetach(args) => args.check(),
            Self::GuestFreeze(args) => args.check(),
            Self::GuestCommand(args) => args.check(),
            Self::GuestSetPassword(args) => args.check(),
            Self::DefinitionDefine(args) => args.check(),
            Self::DefinitionRename(args) => args.check(),
            Self::MigrateBegin(args) => args.check(),
            Self::LockAcquire(args) => args.check(),
            Self::PowerStart(_)
            | Self::PowerReset(_)
            | Self::PowerStop(_)
            | Self::PowerSuspend(_)
            | Self::PowerResume(_)
            | Self::PowerSave(_)
            | Self::PowerRestore(_)
            | Self::PowerSaveRemove(_)
            | Self::AutostartSet(_)
            | Self::BackupEnd(_)
            | Self::GuestThaw(_)
            | Self::GuestTrim(_)
            | Self::GuestSetTime(_)
            | Self::DefinitionUndefine(_)
            | Self::MigrateAbort(_)
            | Self::LockRelease(_)
            | Self::ConsoleOpen(_)
            | Self::ScreenOpen(_)
            | Self::ScreenCapture(_)
            | Self::DiskRead(_)
            | Self::GuestInfo(_)
            | Self::InspectRead(_)
            | Self::Relayed(_) => Ok(()),
        }
    }

    /// Whether this provider may ask this of this VM in these words: a definition defines the VM itself, and whoever
    /// names a checkpoint names its own, so that each provider has a chain that nobody else cuts.
    ///
    /// *Errors*: a sentence.
    pub fn check_for(&self, provider: &ProviderId, vm: VmId) -> Result<(), String> {
        if let Self::DefinitionDefine(args) = self {
            return args.check_vm(vm);
        }
        match self.checkpoint() {
            Some(name) if !provider.is_operator() && !is_of(provider, name) => {
                Err(format!("the checkpoint {name:?} is not {provider}'s: its own begin with \"{provider}.\""))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The name that the VM has then, where it says one.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others name no VM")]
    #[must_use]
    pub fn names(&self) -> Option<String> {
        match self {
            Self::DefinitionRename(args) => Some(args.name.clone()),
            Self::DefinitionDefine(args) => args.name(),
            _ => None,
        }
    }

    /// The checkpoint that it makes or deletes.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others name none")]
    #[must_use]
    pub fn checkpoint(&self) -> Option<&str> {
        match self {
            Self::BackupBegin(args) => args.checkpoint.as_deref(),
            Self::CheckpointCreate(args) => Some(args.name.as_str()),
            Self::CheckpointDelete(args) => Some(args.name.as_str()),
            _ => None,
        }
    }

    /// The arguments as JSON, for people and for the wire.
    #[must_use]
    pub fn args(&self) -> Value {
        serde_json::to_value(self)
            .ok()
            .and_then(|mut tagged| tagged.get_mut("args").map(Value::take))
            .unwrap_or(Value::Null)
    }

    /// What it reads and writes: the action's declaration with the names that the arguments give.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        if let Self::Relayed(args) = self {
            return args.footprint();
        }
        let spec = self.action().spec();
        let named = |scopes: &[Scope]| scopes.iter().flat_map(|scope| self.resources(*scope)).collect();
        let mut footprint = Footprint { reads: named(spec.reads), writes: named(spec.writes) };
        if let Self::SnapshotCreate(args) = self
            && args.kind == SnapshotKind::DiskOnly
        {
            // Only a snapshot with memory holds what the devices are.
            footprint.reads.retain(|resource| *resource == Resource::Power);
        }
        footprint
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "only one action names a namespace")]
    fn resources(&self, scope: Scope) -> Vec<Resource> {
        vec![match scope {
            Scope::Disks => {
                return match self.disks() {
                    None => vec![Resource::Disks],
                    Some(targets) => targets.into_iter().map(Resource::Disk).collect(),
                };
            }
            Scope::Device => return self.device().map(Resource::Device).into_iter().collect(),
            Scope::Tuning => return self.device().map(Resource::Tuning).into_iter().collect(),
            Scope::Metadata => match self {
                Self::MetadataSet(args) => Resource::Metadata(args.uri.clone()),
                _ => return Vec::new(),
            },
            Scope::Power => Resource::Power,
            Scope::Process => Resource::Process,
            Scope::Cpu => Resource::Cpu,
            Scope::Memory => Resource::Memory,
            Scope::Devices => Resource::Devices,
            Scope::Snapshots => Resource::Snapshots,
            Scope::Backup => Resource::Backup,
            Scope::GuestAgent => Resource::GuestAgent,
            Scope::Definition => Resource::Definition,
            Scope::Autostart => Resource::Autostart,
            Scope::SavedImage => Resource::SavedImage,
            Scope::Lock => Resource::Lock,
            Scope::Console => Resource::Console,
            Scope::Screen => Resource::Screen,
            Scope::Input => Resource::Input,
        }]
    }
}

/// Whether a checkpoint's name is one of this provider's.
#[must_use]
pub fn is_of(provider: &ProviderId, checkpoint: &str) -> bool {
    checkpoint.strip_prefix(provider.as_str()).is_some_and(|rest| rest.starts_with('.') && rest.len() > 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(action: Action, args: Value) -> Operation {
        Operation::parse(action, args).unwrap()
    }

    #[test]
    fn unknown_fields_wrong_types_and_ranges_are_refused() {
        for (action, args) in [
            (Action::PowerStart, json!({"force": true})),
            (Action::PowerShutdown, json!({"timeout_s": "soon"})),
            (Action::PowerShutdown, json!({"timeout_s": 0})),
            (Action::SnapshotCreate, json!({})),
            (Action::SnapshotCreate, json!({"name": "../../etc"})),
            (Action::SnapshotRevert, json!({"name": ""})),
            (Action::CpuSet, json!({"vcpus": 0})),
            (Action::CpuSet, json!({"vcpus": -1})),
            (Action::MemorySet, json!({"memory_kib": 1.5})),
            (Action::MetadataSet, json!({"uri": "", "key": "a", "xml": null})),
            (Action::MetadataSet, json!({"uri": "urn:a", "key": "a b", "xml": null})),
            (Action::InspectRead, json!([])),
        ] {
            let refusal = Operation::parse(action, args.clone()).unwrap_err();
            assert!(refusal.to_string().contains(action.name()), "{args}");
        }
    }

    #[test]
    fn missing_arguments_take_their_defaults() {
        let operation = parse(Action::PowerShutdown, Value::Null);
        assert_eq!(operation.args(), json!({"timeout_s": GUEST_TIMEOUT_DEFAULT_S}));
    }

    #[test]
    fn metadata_of_two_namespaces_does_not_clash() {
        let set = |uri: &str| parse(Action::MetadataSet, json!({"uri": uri, "key": "a", "xml": null})).footprint();
        assert!(set("urn:a").contested_with(&set("urn:b")).is_empty());
        assert_eq!(set("urn:a").contested_with(&set("urn:a")).len(), 1);
    }

    #[test]
    fn memory_and_vcpus_do_not_clash() {
        let memory = parse(Action::MemorySet, json!({"memory_kib": 1024})).footprint();
        let cpu = parse(Action::CpuSet, json!({"vcpus": 2})).footprint();
        assert!(memory.contested_with(&cpu).is_empty());
    }

    #[test]
    fn an_operation_is_read_back_as_written() {
        let operation = parse(Action::SnapshotCreate, json!({"name": "s1"}));
        let text = serde_json::to_string(&operation).unwrap();
        assert_eq!(serde_json::from_str::<Operation>(&text).unwrap(), operation);
    }
}
