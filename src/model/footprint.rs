//! What an operation touches, by name; two operations clash where one writes what the other touches.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::device::DeviceName;

/// A thing an operation touches, by name where it has one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// Whether and how the vCPUs run.
    Power,
    /// vCPUs.
    Cpu,
    /// Memory.
    Memory,
    /// Every disk's contents.
    Disks,
    /// The set of devices, and each of them.
    Devices,
    /// The set of snapshots.
    Snapshots,
    /// The persistent definition.
    Definition,
    /// The metadata element of one namespace.
    Metadata(String),
    /// The process that runs the VM, and the jobs in it.
    Process,
    /// One disk's contents, by its target.
    Disk(String),
    /// One device: that it is there, and what it is.
    Device(DeviceName),
    /// How fast one device may be.
    Tuning(DeviceName),
    /// Backups and checkpoints.
    Backup,
    /// The guest's agent and what it holds still.
    GuestAgent,
    /// Whether the VM is started with its host.
    Autostart,
    /// The image of a VM that was put to sleep.
    SavedImage,
    /// The lock on the whole VM.
    Lock,
    /// The serial console.
    Console,
    /// The graphical screen.
    Screen,
    /// What the host gives the VM, as a whole and to each device: how fast it may be.
    Tunings,
    /// What is fed to the guest from outside: keys and signals.
    Input,
}

impl Resource {
    /// What two names have in common: the narrower of the two where one is part of the other.
    #[must_use]
    pub fn common<'a>(&'a self, other: &'a Self) -> Option<&'a Self> {
        match (self, other) {
            (Self::Disks, Self::Disk(_)) | (Self::Devices, Self::Device(_)) | (Self::Tunings, Self::Tuning(_)) => {
                Some(other)
            }
            (Self::Disk(_), Self::Disks) | (Self::Device(_), Self::Devices) | (Self::Tuning(_), Self::Tunings) => {
                Some(self)
            }
            (a, b) => (a == b).then_some(a),
        }
    }

    /// Whether the two are the same, or one is part of the other.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.common(other).is_some()
    }
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
            Self::Process => f.write_str("process"),
            Self::Disk(target) => write!(f, "disk:{target}"),
            Self::Device(name) => write!(f, "device:{name}"),
            Self::Tuning(name) => write!(f, "tuning:{name}"),
            Self::Backup => f.write_str("backup"),
            Self::GuestAgent => f.write_str("guest-agent"),
            Self::Autostart => f.write_str("autostart"),
            Self::SavedImage => f.write_str("saved-image"),
            Self::Lock => f.write_str("lock"),
            Self::Console => f.write_str("console"),
            Self::Screen => f.write_str("screen"),
            Self::Tunings => f.write_str("tunings"),
            Self::Input => f.write_str("input"),
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
        let meet = |ours: &BTreeSet<Resource>, theirs: &BTreeSet<Resource>| {
            ours.iter().any(|r| theirs.iter().any(|other| r.meets(other)))
        };
        meet(&self.writes, &other.writes) || meet(&self.writes, &other.reads) || meet(&self.reads, &other.writes)
    }

    /// The resources both touch and at least one writes; empty when the two may overlap in time.
    #[must_use]
    pub fn contested_with(&self, other: &Self) -> BTreeSet<Resource> {
        fn common<'a>(
            ours: &'a BTreeSet<Resource>,
            theirs: &'a BTreeSet<Resource>,
        ) -> impl Iterator<Item = &'a Resource> {
            ours.iter().flat_map(|r| theirs.iter().filter_map(|other| r.common(other)))
        }
        common(&self.writes, &other.writes)
            .chain(common(&self.writes, &other.reads))
            .chain(common(&self.reads, &other.writes))
            .cloned()
            .collect()
    }
}
