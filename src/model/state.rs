//! What the agent believes of a VM: the part of it that decides whether an action is possible.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::device::DeviceName;
use super::hold::HoldKey;
use super::units::Kib;

/// A domain's power state. *Source*: libvirt `virDomainState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerState {
    /// Running, or blocked on a resource.
    Running,
    /// Its vCPUs are stopped.
    Paused,
    /// Being shut down by its guest.
    ShuttingDown,
    /// Not running.
    ShutOff,
    /// Not running, after a crash.
    Crashed,
    /// Suspended by the guest's power management.
    PmSuspended,
    /// libvirt reports none, or one this version does not know.
    Unknown,
}

impl PowerState {
    /// Every power state, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Running,
        Self::Paused,
        Self::ShuttingDown,
        Self::ShutOff,
        Self::Crashed,
        Self::PmSuspended,
        Self::Unknown,
    ];

    /// The word on the wire and in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::ShuttingDown => "shutting-down",
            Self::ShutOff => "shut-off",
            Self::Crashed => "crashed",
            Self::PmSuspended => "pm-suspended",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for PowerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which start of the VM this is: libvirt's domain id, new at each start; none while it is off.
///
/// With the UUID it tells a VM from one that was created again under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StartId(pub Option<u32>);

/// What the agent believes of a VM, from libvirt's answers and events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmState {
    /// The power state.
    pub power: PowerState,
    /// Which start this is.
    pub start: StartId,
    /// vCPUs that are online, or that the next start will have.
    pub vcpus: u32,
    /// The most vCPUs the definition allows.
    pub vcpus_max: u32,
    /// Memory of the guest now (balloon), or at the next start.
    pub memory_kib: Kib,
    /// The most memory the definition allows.
    pub memory_max_kib: Kib,
    /// Names of the snapshots.
    pub snapshots: BTreeSet<String>,
    /// Names of the checkpoints, whoever made them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub checkpoints: BTreeSet<String>,
    /// Disks and interfaces: those of the process while there is one, those of the definition otherwise.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub devices: BTreeSet<DeviceName>,
    /// What libvirt says is open.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub jobs: BTreeSet<HoldKey>,
    /// Whether there is an image to go on from.
    #[serde(default)]
    pub saved: bool,
    /// A digest of the persistent definition; none when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
}

impl VmState {
    /// A short digest that changes with every field but the jobs, which come and go by themselves: what a guard's `generation` is compared with.
    #[must_use]
    pub fn generation(&self) -> String {
        let mut hash = Sha256::new();
        // Length-prefixed names keep two different sets from digesting alike.
        hash.update(format!(
            "{}/{:?}/{}/{}/{}/{}/",
            self.power, self.start.0, self.vcpus, self.vcpus_max, self.memory_kib.0, self.memory_max_kib.0
        ));
        let devices: BTreeSet<String> = self.devices.iter().map(ToString::to_string).collect();
        for (kind, names) in [("s", &self.snapshots), ("c", &self.checkpoints), ("d", &devices)] {
            for name in names {
                hash.update(format!("{kind}{}:{name}/", name.len()));
            }
        }
        hash.update(format!("{}/{:?}", self.saved, self.definition));
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> VmState {
        VmState {
            power: PowerState::Running,
            start: StartId(Some(3)),
            vcpus: 2,
            vcpus_max: 4,
            memory_kib: Kib(1024),
            memory_max_kib: Kib(2048),
            snapshots: BTreeSet::new(),
            checkpoints: BTreeSet::new(),
            devices: BTreeSet::new(),
            jobs: BTreeSet::new(),
            saved: false,
            definition: None,
        }
    }

    #[test]
    fn a_generation_changes_with_every_part() {
        let before = state();
        let changed = [
            VmState { power: PowerState::Paused, ..state() },
            VmState { start: StartId(Some(4)), ..state() },
            VmState { vcpus: 3, ..state() },
            VmState { memory_kib: Kib(1), ..state() },
            VmState { snapshots: BTreeSet::from(["a".to_owned()]), ..state() },
            VmState { checkpoints: BTreeSet::from(["a".to_owned()]), ..state() },
            VmState { devices: BTreeSet::from(["disk:vda".parse().unwrap()]), ..state() },
            VmState { saved: true, ..state() },
            VmState { definition: Some("a".to_owned()), ..state() },
        ];
        for after in changed {
            assert_ne!(before.generation(), after.generation());
        }
        assert_eq!(before.generation(), state().generation());
    }
}
