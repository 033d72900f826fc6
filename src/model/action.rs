//! The closed catalogue of actions. Everything the resolver knows of an action is declared here, once:
//! conflicts and feasibility are computed from these declarations, and `docs/actions.md` is printed from them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::state::PowerState;

/// What a provider may ask to be done to a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Boot the VM.
    PowerStart,
    /// Ask the guest to power itself off.
    PowerShutdown,
    /// Ask the guest to restart itself.
    PowerReboot,
    /// Restart the VM as a reset button does.
    PowerReset,
    /// Stop the VM at once, as pulling the plug does.
    PowerStop,
    /// Stop the vCPUs; memory stays.
    PowerSuspend,
    /// Let the vCPUs run again.
    PowerResume,
    /// Take a snapshot.
    SnapshotCreate,
    /// Go back to a snapshot.
    SnapshotRevert,
    /// Delete a snapshot.
    SnapshotDelete,
    /// Set the number of vCPUs.
    CpuSet,
    /// Set the guest's memory.
    MemorySet,
    /// Set or remove one provider's element in the domain's metadata.
    MetadataSet,
    /// Read the VM's state.
    InspectRead,
}

/// A part of a VM that an action reads or writes, without its name: the disks, not this disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Whether and how the VM runs.
    Power,
    /// vCPUs.
    Cpu,
    /// Memory.
    Memory,
    /// The disks' contents.
    Disks,
    /// The set of devices.
    Devices,
    /// The set of snapshots.
    Snapshots,
    /// The persistent definition.
    Definition,
    /// One element of the domain's metadata, by its namespace.
    Metadata,
}

/// Whether asking twice for the same means the same as asking once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Two equal wishes are one.
    Idempotent,
    /// Each execution leaves something of its own.
    Distinct,
}

/// Whether what the action takes away can be given back by another action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undo {
    /// Another action undoes it; it may go at once.
    Reversible,
    /// Something is lost for good (the guest's memory, a snapshot); a rival is listened for first.
    Irreversible,
}

/// All that is declared of one action.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// `group.verb`, on the wire and everywhere else.
    pub name: &'static str,
    /// libvirt's ACL permissions for the calls behind it. *Source*: libvirt's remote protocol annotations.
    pub permissions: &'static [&'static str],
    /// What must not change while it runs.
    pub reads: &'static [Scope],
    /// What it changes.
    pub writes: &'static [Scope],
    /// The power states in which it is possible.
    pub states: &'static [PowerState],
    /// What it does to the state, in words.
    pub effect: &'static str,
    /// Whether two equal wishes are one.
    pub repeat: Repeat,
    /// Whether it can be undone.
    pub undo: Undo,
}

use PowerState::{Crashed, Paused, PmSuspended, Running, ShutOff, ShuttingDown};
use Repeat::{Distinct, Idempotent};
use Scope::{Cpu, Definition, Devices, Disks, Memory, Metadata, Power, Snapshots};
use Undo::{Irreversible, Reversible};

impl Action {
    /// Every action, in the order of the documentation.
    pub const ALL: [Self; 14] = [
        Self::PowerStart,
        Self::PowerShutdown,
        Self::PowerReboot,
        Self::PowerReset,
        Self::PowerStop,
        Self::PowerSuspend,
        Self::PowerResume,
        Self::SnapshotCreate,
        Self::SnapshotRevert,
        Self::SnapshotDelete,
        Self::CpuSet,
        Self::MemorySet,
        Self::MetadataSet,
        Self::InspectRead,
    ];

    /// The declaration of this action.
    #[must_use]
    pub const fn spec(self) -> Spec {
        match self {
            Self::PowerStart => Spec {
                name: "power.start",
                permissions: &["domain:start"],
                reads: &[Cpu, Memory, Disks, Devices, Definition],
                writes: &[Power],
                states: &[ShutOff, Crashed],
                effect: "running",
                repeat: Idempotent,
                undo: Reversible,
            },
            Self::PowerShutdown => Spec {
                name: "power.shutdown",
                permissions: &["domain:init_control"],
                reads: &[],
                writes: &[Power],
                states: &[Running],
                effect: "shut-off",
                repeat: Idempotent,
                undo: Irreversible,
            },
            Self::PowerReboot => Spec {
                name: "power.reboot",
                permissions: &["domain:init_control"],
                reads: &[],
                writes: &[Power],
                states: &[Running],
                effect: "running, from a new boot",
                repeat: Idempotent,
                undo: Irreversible,
            },
            Self::PowerReset => Spec {
                name: "power.reset",
                permissions: &["domain:reset"],
                reads: &[],
                writes: &[Power],
                states: &[Running, Paused],
                effect: "unchanged, from a new boot",
                repeat: Idempotent,
                undo: Irreversible,
            },
            Self::PowerStop => Spec {
                name: "power.stop",
                permissions: &["domain:stop"],
                reads: &[],
                writes: &[Power],
                states: &[Running, Paused, ShuttingDown, Crashed, PmSuspended],
                effect: "shut-off",
                repeat: Idempotent,
                undo: Irreversible,
            },
            Self::PowerSuspend => Spec {
                name: "power.suspend",
                permissions: &["domain:suspend"],
                reads: &[],
                writes: &[Power],
                states: &[Running],
                effect: "paused",
                repeat: Idempotent,
                undo: Reversible,
            },
            Self::PowerResume => Spec {
                name: "power.resume",
                permissions: &["domain:suspend"],
                reads: &[],
                writes: &[Power],
                states: &[Paused],
                effect: "running",
                repeat: Idempotent,
                undo: Reversible,
            },
            Self::SnapshotCreate => Spec {
                name: "snapshot.create",
                permissions: &["domain:snapshot"],
                reads: &[Power, Cpu, Memory, Devices],
                writes: &[Disks, Snapshots],
                states: &[Running, Paused, ShutOff],
                effect: "one snapshot more",
                repeat: Distinct,
                undo: Reversible,
            },
            Self::SnapshotRevert => Spec {
                name: "snapshot.revert",
                permissions: &["domain:snapshot"],
                reads: &[],
                writes: &[Power, Cpu, Memory, Disks, Devices, Snapshots, Definition],
                states: &[Running, Paused, ShutOff, Crashed],
                effect: "as the snapshot had it",
                repeat: Distinct,
                undo: Irreversible,
            },
            Self::SnapshotDelete => Spec {
                name: "snapshot.delete",
                permissions: &["domain:snapshot"],
                reads: &[Power],
                writes: &[Disks, Snapshots],
                states: &[Running, Paused, ShutOff, Crashed],
                effect: "one snapshot less",
                repeat: Idempotent,
                undo: Irreversible,
            },
            Self::CpuSet => Spec {
                name: "cpu.set",
                permissions: &["domain:write", "domain:save"],
                reads: &[Power],
                writes: &[Cpu],
                states: &[Running, Paused, ShutOff, Crashed],
                effect: "vCPUs as asked",
                repeat: Idempotent,
                undo: Reversible,
            },
            Self::MemorySet => Spec {
                name: "memory.set",
                permissions: &["domain:write", "domain:save"],
                reads: &[Power],
                writes: &[Memory],
                states: &[Running, Paused, ShutOff, Crashed],
                effect: "memory as asked",
                repeat: Idempotent,
                undo: Reversible,
            },
            Self::MetadataSet => Spec {
                name: "metadata.set",
                permissions: &["domain:write", "domain:save"],
                reads: &[Definition],
                writes: &[Metadata],
                states: &PowerState::ALL,
                effect: "metadata as asked",
                repeat: Idempotent,
                undo: Reversible,
            },
            Self::InspectRead => Spec {
                name: "inspect.read",
                permissions: &["domain:read"],
                reads: &[],
                writes: &[],
                states: &PowerState::ALL,
                effect: "none",
                repeat: Distinct,
                undo: Reversible,
            },
        }
    }

    /// `group.verb`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.spec().name
    }

    /// The part before the dot.
    #[must_use]
    pub fn group(self) -> &'static str {
        self.name().split_once('.').map_or(self.name(), |(group, _)| group)
    }

    /// Whether it changes nothing, so that it never waits and never conflicts.
    #[must_use]
    pub const fn is_read(self) -> bool {
        self.spec().writes.is_empty()
    }

    /// Whether some arguments of the two could make them touch the same thing, one of them writing.
    #[must_use]
    pub fn may_clash(self, other: Self) -> bool {
        let (a, b) = (self.spec(), other.spec());
        let meets = |writes: &[Scope], touched: &[Scope]| writes.iter().any(|scope| touched.contains(scope));
        meets(a.writes, b.writes) || meets(a.writes, b.reads) || meets(b.writes, a.reads)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a text is not an action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an action: one of {known} is expected")]
pub struct ParseActionError {
    text: String,
    known: String,
}

impl FromStr for Action {
    type Err = ParseActionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|action| action.name() == text).ok_or_else(|| ParseActionError {
            text: text.chars().take(64).collect(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

impl Serialize for Action {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_read_back_from_its_name() {
        for action in Action::ALL {
            assert_eq!(action.name().parse::<Action>().unwrap(), action);
            assert!(action.name().starts_with(action.group()));
        }
    }

    #[test]
    fn an_action_that_not_every_state_allows_touches_power() {
        for action in Action::ALL {
            let spec = action.spec();
            let touches = spec.reads.contains(&Power) || spec.writes.contains(&Power);
            assert!(touches || spec.states.len() == PowerState::ALL.len(), "{action}");
        }
    }

    #[test]
    fn a_clash_is_mutual_and_reads_never_clash() {
        for a in Action::ALL {
            for b in Action::ALL {
                assert_eq!(a.may_clash(b), b.may_clash(a), "{a} {b}");
                assert!(!(a.is_read() && a.may_clash(b)), "{a} {b}");
            }
        }
    }

    #[test]
    fn a_revert_brings_old_metadata_back_and_so_clashes_with_setting_it() {
        assert!(Action::SnapshotRevert.may_clash(Action::MetadataSet));
        assert!(!Action::CpuSet.may_clash(Action::MetadataSet));
    }

    #[test]
    fn an_unknown_action_is_refused_with_the_known_ones() {
        let error = "power.explode".parse::<Action>().unwrap_err().to_string();
        assert!(error.contains("power.explode") && error.contains("power.reset"), "{error}");
    }
}
