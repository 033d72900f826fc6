//! What an operation touches, by name; two operations clash where one writes what the other touches.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A thing an operation touches, by name where it has one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// Whether and how the VM runs.
    Power,
    /// vCPUs.
    Cpu,
    /// Memory.
    Memory,
    /// Every disk's contents.
    Disks,
    /// The set of devices.
    Devices,
    /// The set of snapshots.
    Snapshots,
    /// The persistent definition.
    Definition,
    /// The metadata element of one namespace.
    Metadata(String),
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Power => f.write_str("power"),
            Self::Cpu => f.write_str("cpu"),
            Self::Memory => f.write_str("memory"),
            Self::Disks => f.write_str("disks"),
            Self::Devices => f.write_str("devices"),
            Self::Snapshots => f.write_str("snapshots"),
            Self::Definition => f.write_str("definition"),
            Self::Metadata(uri) => write!(f, "metadata:{uri}"),
        }
    }
}

/// What an operation reads and writes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Footprint {
    /// Must not change while it runs.
    pub reads: BTreeSet<Resource>,
    /// Changed by it.
    pub writes: BTreeSet<Resource>,
}

impl Footprint {
    /// Whether there is anything that both touch and at least one writes.
    #[must_use]
    pub fn clashes_with(&self, other: &Self) -> bool {
        self.writes.iter().any(|r| other.writes.contains(r) || other.reads.contains(r))
            || other.writes.iter().any(|r| self.reads.contains(r))
    }

    /// The resources both touch and at least one writes; empty when the two may overlap in time.
    #[must_use]
    pub fn contested_with(&self, other: &Self) -> BTreeSet<Resource> {
        let ours = self.writes.iter().filter(|r| other.writes.contains(r) || other.reads.contains(r));
        let theirs = other.writes.iter().filter(|r| self.reads.contains(r));
        ours.chain(theirs).cloned().collect()
    }
}
