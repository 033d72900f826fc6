//! What a finished call leaves open: a backup, a block job, a migration, a frozen file system, a lock.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::device::{DeviceName, is_target};
use super::footprint::{Footprint, Resource};

/// Which of the things that can be open on a VM this is; each is open at most once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum HoldKey {
    /// A backup.
    Backup,
    /// A block job on the disk of this target.
    Block(String),
    /// The VM is on its way to another host.
    Migration,
    /// The guest's file systems stand still.
    Freeze,
    /// A provider keeps everybody else from changing the VM.
    Lock,
}

impl HoldKey {
    /// Whether libvirt itself knows of it, so that a look at the VM tells whether it is still open.
    #[must_use]
    pub const fn is_observable(&self) -> bool {
        match self {
            Self::Backup | Self::Block(_) | Self::Migration => true,
            Self::Freeze | Self::Lock => false,
        }
    }

    /// What must wait while it is open.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let set = |resources: &[Resource]| resources.iter().cloned().collect::<BTreeSet<_>>();
        match self {
            Self::Backup => {
                Footprint { reads: set(&[Resource::Process]), writes: set(&[Resource::Backup, Resource::Disks]) }
            }
            Self::Block(target) => Footprint {
                reads: set(&[Resource::Process]),
                writes: set(&[
                    Resource::Disk(target.clone()),
                    Resource::Device(DeviceName::Disk(target.clone())),
                    Resource::Snapshots,
                ]),
            },
            Self::Migration => Footprint {
                reads: BTreeSet::new(),
                writes: set(&[
                    Resource::Power,
                    Resource::Process,
                    Resource::Cpu,
                    Resource::Memory,
                    Resource::Disks,
                    Resource::Devices,
                    Resource::Snapshots,
                    Resource::Backup,
                    Resource::GuestAgent,
                    Resource::Definition,
                    Resource::Autostart,
                ]),
            },
            Self::Freeze => {
                Footprint { reads: set(&[Resource::Power, Resource::Process]), writes: set(&[Resource::GuestAgent]) }
            }
            Self::Lock => {
                let Footprint { reads, mut writes } = Self::Migration.footprint();
                writes.extend([Resource::SavedImage, Resource::Lock]);
                Footprint { reads, writes }
            }
        }
    }
}

impl fmt::Display for HoldKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backup => f.write_str("backup"),
            Self::Block(target) => write!(f, "block:{target}"),
            Self::Migration => f.write_str("migration"),
            Self::Freeze => f.write_str("freeze"),
            Self::Lock => f.write_str("lock"),
        }
    }
}

impl From<HoldKey> for String {
    fn from(key: HoldKey) -> Self {
        key.to_string()
    }
}

/// Why a text names nothing that can be open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no hold: backup, block:<target>, migration, freeze or lock is expected")]
pub struct ParseHoldKeyError(String);

impl FromStr for HoldKey {
    type Err = ParseHoldKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.split_once(':')) {
            ("backup", _) => Ok(Self::Backup),
            ("migration", _) => Ok(Self::Migration),
            ("freeze", _) => Ok(Self::Freeze),
            ("lock", _) => Ok(Self::Lock),
            (_, Some(("block", target))) if is_target(target) => Ok(Self::Block(target.to_owned())),
            (_, Some(_) | None) => Err(ParseHoldKeyError(text.chars().take(64).collect())),
        }
    }
}

impl TryFrom<String> for HoldKey {
    type Error = ParseHoldKeyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_as_written() {
        for text in ["backup", "block:vda", "migration", "freeze", "lock"] {
            assert_eq!(text.parse::<HoldKey>().unwrap().to_string(), text);
        }
        for text in ["", "block", "block:", "block:../x", "backup:vda"] {
            assert!(text.parse::<HoldKey>().is_err(), "{text:?}");
        }
    }
}
