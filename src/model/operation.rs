//! An action with its arguments, and what follows from both: what it touches and what it does.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::action::{Action, Scope};
use super::footprint::{Footprint, Resource};
use super::state::PowerState;
use super::units::Kib;

/// How long a guest is given to shut down or restart before the command counts as failed.
pub const GUEST_TIMEOUT_DEFAULT_S: u32 = 120;
/// The longest a command may ask the guest to be given.
pub const GUEST_TIMEOUT_MAX_S: u32 = 3600;

/// What is asked of the hypervisor: an action with arguments that were checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", content = "args")]
pub enum Operation {
    #[serde(rename = "power.start")]
    PowerStart(NoArgs),
    #[serde(rename = "power.shutdown")]
    PowerShutdown(GuestArgs),
    #[serde(rename = "power.reboot")]
    PowerReboot(GuestArgs),
    #[serde(rename = "power.reset")]
    PowerReset(NoArgs),
    #[serde(rename = "power.stop")]
    PowerStop(NoArgs),
    #[serde(rename = "power.suspend")]
    PowerSuspend(NoArgs),
    #[serde(rename = "power.resume")]
    PowerResume(NoArgs),
    #[serde(rename = "snapshot.create")]
    SnapshotCreate(SnapshotCreateArgs),
    #[serde(rename = "snapshot.revert")]
    SnapshotRevert(SnapshotArgs),
    #[serde(rename = "snapshot.delete")]
    SnapshotDelete(SnapshotArgs),
    #[serde(rename = "cpu.set")]
    CpuSet(CpuSetArgs),
    #[serde(rename = "memory.set")]
    MemorySet(MemorySetArgs),
    #[serde(rename = "metadata.set")]
    MetadataSet(MetadataSetArgs),
    #[serde(rename = "inspect.read")]
    InspectRead(NoArgs),
}

/// The action takes no arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoArgs {}

/// An action that needs the guest's help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestArgs {
    /// How long the guest is given. *Units*: seconds.
    #[serde(default = "guest_timeout_default")]
    pub timeout_s: u32,
}

const fn guest_timeout_default() -> u32 {
    GUEST_TIMEOUT_DEFAULT_S
}

/// What a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotKind {
    /// Disks, and memory when the VM runs.
    #[default]
    Full,
    /// Disks only, into new overlay files.
    DiskOnly,
}

/// A snapshot to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotCreateArgs {
    /// Its name: 1 to 64 of letters, digits, `.`, `_`, `-`, not beginning with `.` or `-`.
    pub name: String,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it holds.
    #[serde(default)]
    pub kind: SnapshotKind,
}

/// A snapshot that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotArgs {
    /// Its name.
    pub name: String,
}

/// How many vCPUs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuSetArgs {
    /// vCPUs online; live when the VM runs, and at every later start.
    pub vcpus: u32,
}

/// How much memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemorySetArgs {
    /// The guest's memory. *Units*: KiB.
    pub memory_kib: Kib,
}

/// One element of the domain's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataSetArgs {
    /// Its namespace; each provider uses its own.
    pub uri: String,
    /// The namespace's prefix in the XML.
    pub key: String,
    /// The element; none removes it.
    pub xml: Option<String>,
}

/// What an operation does to the state the resolver knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing the resolver knows of.
    Nothing,
    /// The power state becomes this.
    Power(PowerState),
    /// The guest starts anew; the power state stays.
    Restart,
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
}

impl Effect {
    /// The value this effect overwrites, if it is one that a later write replaces whole.
    #[must_use]
    pub fn register(&self) -> Option<Register> {
        match self {
            Self::Power(_) => Some(Register::Power),
            Self::Vcpus(_) => Some(Register::Vcpus),
            Self::Memory(_) => Some(Register::Memory),
            Self::Metadata(uri) => Some(Register::Metadata(uri.clone())),
            Self::Nothing | Self::Restart | Self::SnapshotAdded(_) | Self::SnapshotRemoved(_) | Self::Reverted(_) => {
                None
            }
        }
    }
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
    /// *Errors*: [`ParseArgsError`] for an unknown field, a wrong type or a value out of range.
    pub fn parse(action: Action, args: Value) -> Result<Self, ParseArgsError> {
        let args = if args.is_null() { Value::Object(serde_json::Map::new()) } else { args };
        let refuse = |reason: String| ParseArgsError { action, reason };
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
            Self::PowerShutdown(args) | Self::PowerReboot(args) => {
                if (1..=GUEST_TIMEOUT_MAX_S).contains(&args.timeout_s) {
                    Ok(())
                } else {
                    Err(format!("timeout_s is 1 to {GUEST_TIMEOUT_MAX_S}, not {}", args.timeout_s))
                }
            }
            Self::SnapshotCreate(args) => {
                check_snapshot_name(&args.name)?;
                check_text("description", args.description.as_deref().unwrap_or(""), 1024)
            }
            Self::SnapshotRevert(args) | Self::SnapshotDelete(args) => check_snapshot_name(&args.name),
            Self::CpuSet(args) if args.vcpus == 0 => Err("vcpus is at least 1".to_owned()),
            Self::MemorySet(args) if args.memory_kib.0 == 0 => Err("memory_kib is at least 1".to_owned()),
            Self::MetadataSet(args) => {
                check_text("uri", &args.uri, 256)?;
                check_text("key", &args.key, 64)?;
                check_text("xml", args.xml.as_deref().unwrap_or(""), 256 * 1024)?;
                if args.uri.is_empty() || !args.key.bytes().all(|b| b.is_ascii_alphanumeric()) || args.key.is_empty() {
                    Err("uri and key are needed, and key is letters and digits".to_owned())
                } else {
                    Ok(())
                }
            }
            Self::PowerStart(NoArgs {})
            | Self::PowerReset(NoArgs {})
            | Self::PowerStop(NoArgs {})
            | Self::PowerSuspend(NoArgs {})
            | Self::PowerResume(NoArgs {})
            | Self::CpuSet(_)
            | Self::MemorySet(_)
            | Self::InspectRead(NoArgs {}) => Ok(()),
        }
    }

    /// Which action this is.
    #[must_use]
    pub const fn action(&self) -> Action {
        match self {
            Self::PowerStart(_) => Action::PowerStart,
            Self::PowerShutdown(_) => Action::PowerShutdown,
            Self::PowerReboot(_) => Action::PowerReboot,
            Self::PowerReset(_) => Action::PowerReset,
            Self::PowerStop(_) => Action::PowerStop,
            Self::PowerSuspend(_) => Action::PowerSuspend,
            Self::PowerResume(_) => Action::PowerResume,
            Self::SnapshotCreate(_) => Action::SnapshotCreate,
            Self::SnapshotRevert(_) => Action::SnapshotRevert,
            Self::SnapshotDelete(_) => Action::SnapshotDelete,
            Self::CpuSet(_) => Action::CpuSet,
            Self::MemorySet(_) => Action::MemorySet,
            Self::MetadataSet(_) => Action::MetadataSet,
            Self::InspectRead(_) => Action::InspectRead,
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
        let spec = self.action().spec();
        let name = |scope: &Scope| self.resource(*scope);
        Footprint { reads: spec.reads.iter().map(name).collect(), writes: spec.writes.iter().map(name).collect() }
    }

    fn resource(&self, scope: Scope) -> Resource {
        match scope {
            Scope::Power => Resource::Power,
            Scope::Cpu => Resource::Cpu,
            Scope::Memory => Resource::Memory,
            Scope::Disks => Resource::Disks,
            Scope::Devices => Resource::Devices,
            Scope::Snapshots => Resource::Snapshots,
            Scope::Definition => Resource::Definition,
            Scope::Metadata => Resource::Metadata(match self.effect() {
                Effect::Metadata(uri) => uri,
                Effect::Nothing
                | Effect::Power(_)
                | Effect::Restart
                | Effect::SnapshotAdded(_)
                | Effect::SnapshotRemoved(_)
                | Effect::Reverted(_)
                | Effect::Vcpus(_)
                | Effect::Memory(_) => String::new(),
            }),
        }
    }

    /// What it does to the state the resolver knows.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::PowerStart(_) | Self::PowerResume(_) => Effect::Power(PowerState::Running),
            Self::PowerShutdown(_) | Self::PowerStop(_) => Effect::Power(PowerState::ShutOff),
            Self::PowerSuspend(_) => Effect::Power(PowerState::Paused),
            Self::PowerReboot(_) | Self::PowerReset(_) => Effect::Restart,
            Self::SnapshotCreate(args) => Effect::SnapshotAdded(args.name.clone()),
            Self::SnapshotRevert(args) => Effect::Reverted(args.name.clone()),
            Self::SnapshotDelete(args) => Effect::SnapshotRemoved(args.name.clone()),
            Self::CpuSet(args) => Effect::Vcpus(args.vcpus),
            Self::MemorySet(args) => Effect::Memory(args.memory_kib),
            Self::MetadataSet(args) => Effect::Metadata(args.uri.clone()),
            Self::InspectRead(_) => Effect::Nothing,
        }
    }
}

fn check_snapshot_name(name: &str) -> Result<(), String> {
    let fits = (1..=64).contains(&name.len())
        && !name.starts_with(['.', '-'])
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if fits {
        Ok(())
    } else {
        Err("name is 1 to 64 letters, digits, '.', '_' or '-', not beginning with '.' or '-'".to_owned())
    }
}

fn check_text(field: &str, text: &str, limit: usize) -> Result<(), String> {
    if text.len() > limit {
        return Err(format!("{field} is at most {limit} bytes"));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(format!("{field} holds a control character"));
    }
    Ok(())
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
