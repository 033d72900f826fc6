//! Arguments of backups and checkpoints.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::check::{check_disks, check_lease, check_name, check_path};
use crate::model::device::is_target;

/// How a backup's data leaves the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupMode {
    /// QEMU writes it into files.
    Push,
    /// QEMU serves it over NBD until the backup is ended.
    Pull,
}

/// A backup to begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupBeginArgs {
    /// How its data leaves the VM.
    pub mode: BackupMode,
    /// The disks' targets; none means every disk that can be backed up.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub disks: BTreeSet<String>,
    /// The checkpoint to create with it, so that a later backup can begin there. It begins with the provider's name
    /// and a dot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// The checkpoint since which changes are backed up; none makes a full backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incremental: Option<String>,
    /// Where a push backup writes, by the disk's target: absolute paths of files that QEMU creates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// The Unix socket on which a pull backup is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// Where a pull backup keeps what the guest overwrites meanwhile, by the disk's target.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scratch: BTreeMap<String, String>,
    /// After how long it is ended if nobody ends it and it does not end by itself; none means a day. *Units*: seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_s: Option<u32>,
}

impl BackupBeginArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        check_disks(&self.disks)?;
        check_lease(self.lease_s)?;
        for name in self.checkpoint.iter().chain(&self.incremental) {
            check_name("checkpoint", name)?;
        }
        let (needed, needless) = match self.mode {
            BackupMode::Push => (!self.files.is_empty(), self.socket.is_some() || !self.scratch.is_empty()),
            BackupMode::Pull => (self.socket.is_some(), !self.files.is_empty()),
        };
        if needless {
            return Err("files are for a push backup, socket and scratch for a pull backup".to_owned());
        }
        if !needed {
            return Err(match self.mode {
                BackupMode::Push => "a push backup needs files: where each disk is written to".to_owned(),
                BackupMode::Pull => "a pull backup needs a socket".to_owned(),
            });
        }
        for (target, path) in self.files.iter().chain(&self.scratch) {
            if !is_target(target) || (!self.disks.is_empty() && !self.disks.contains(target)) {
                return Err(format!("{target:?} is no disk of this backup"));
            }
            check_path("a file", path)?;
        }
        if let Some(target) =
            self.disks.iter().find(|target| self.mode == BackupMode::Push && !self.files.contains_key(*target))
        {
            return Err(format!("files does not say where {target:?} is written to"));
        }
        self.socket.as_deref().map_or(Ok(()), |path| check_path("socket", path))
    }

    /// The disks that it is about; none means all.
    #[must_use]
    pub fn about(&self) -> Option<BTreeSet<String>> {
        let named = if self.disks.is_empty() { self.files.keys().cloned().collect() } else { self.disks.clone() };
        Some(named).filter(|disks: &BTreeSet<String>| !disks.is_empty())
    }
}

/// A checkpoint to create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointCreateArgs {
    /// Its name; it begins with the provider's name and a dot.
    pub name: String,
    /// The disks' targets; none means every disk that can have one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub disks: BTreeSet<String>,
}

impl CheckpointCreateArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        check_name("name", &self.name)?;
        check_disks(&self.disks)
    }
}

/// A checkpoint that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointArgs {
    /// Its name.
    pub name: String,
}

impl CheckpointArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        check_name("name", &self.name)
    }
}
