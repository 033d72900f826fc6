//! The arguments of power actions, snapshots and settings, and of actions that take none.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::check::{TIMEOUT_MAX_S, check_disks, check_name, check_text, check_timeout};
use crate::model::units::Kib;

/// How long a guest is given to shut down or restart before the command counts as failed.
pub const GUEST_TIMEOUT_DEFAULT_S: u32 = 120;
/// The longest a command may ask the guest to be given.
pub const GUEST_TIMEOUT_MAX_S: u32 = TIMEOUT_MAX_S;

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

impl GuestArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        check_timeout("timeout_s", self.timeout_s)
    }
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
    /// The disks' targets; none means every disk. A snapshot of memory is of every disk.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub disks: BTreeSet<String>,
}

impl SnapshotCreateArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        check_name("name", &self.name)?;
        check_text("description", self.description.as_deref().unwrap_or(""), 1024)?;
        check_disks(&self.disks)?;
        if self.kind == SnapshotKind::Full && !self.disks.is_empty() {
            return Err("a full snapshot is of every disk; disks are for kind disk-only".to_owned());
        }
        Ok(())
    }
}

/// A snapshot that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotArgs {
    /// Its name.
    pub name: String,
}

impl SnapshotArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        check_name("name", &self.name)
    }
}

/// How many vCPUs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuSetArgs {
    /// vCPUs online; live when the VM runs, and at every later start.
    pub vcpus: u32,
}

impl CpuSetArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.vcpus == 0 { Err("vcpus is at least 1".to_owned()) } else { Ok(()) }
    }
}

/// How much memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemorySetArgs {
    /// The guest's memory. *Units*: KiB.
    pub memory_kib: Kib,
}

impl MemorySetArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.memory_kib.0 == 0 { Err("memory_kib is at least 1".to_owned()) } else { Ok(()) }
    }
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

impl MetadataSetArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        check_text("uri", &self.uri, 256)?;
        check_text("key", &self.key, 64)?;
        check_text("xml", self.xml.as_deref().unwrap_or(""), 256 * 1024)?;
        if self.uri.is_empty() || !self.key.bytes().all(|b| b.is_ascii_alphanumeric()) || self.key.is_empty() {
            return Err("uri and key are needed, and key is letters and digits".to_owned());
        }
        Ok(())
    }
}
