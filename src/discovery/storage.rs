//! Storage pools and volumes: what a disk's bytes lie in.
//!
//! Assumes nothing about the text. Guarantees sizes in bytes, and of credentials only that there are some.

mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::disk::BackingImage;
use super::foreign::foreign;
use super::inventory::UnknownPart;
use super::settings::Settings;
use crate::model::units::Bytes;

pub use self::read::{parse_pool, parse_volume};

foreign! {
    /// How a pool keeps its volumes.
    PoolType {
        Dir = "dir", Fs = "fs", Netfs = "netfs", Logical = "logical", Disk = "disk", Iscsi = "iscsi",
        IscsiDirect = "iscsi-direct", Scsi = "scsi", Mpath = "mpath", Rbd = "rbd", Sheepdog = "sheepdog",
        Gluster = "gluster", Zfs = "zfs", Vstorage = "vstorage",
    }
}

/// One storage pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Its name, unique on the host.
    pub name: String,
    /// Its UUID, once libvirt has defined it.
    pub uuid: Option<Uuid>,
    /// How it keeps its volumes.
    pub kind: PoolType,
    /// *Units*: bytes; none for a pool that does not run.
    pub capacity: Option<Bytes>,
    /// *Units*: bytes.
    pub allocation: Option<Bytes>,
    /// *Units*: bytes.
    pub available: Option<Bytes>,
    /// Where the volumes come from: hosts, device, directory, name, format; by path (`host.name`, `format.type`).
    pub source: Settings,
    /// The name of the source (an LVM volume group, an RBD pool), when it has one.
    pub source_name: Option<String>,
    /// Where the volumes are on this host.
    pub target: Option<String>,
    /// Whether the source wants credentials, and of which kind (`ceph`, `chap`).
    pub auth: Option<String>,
    /// Everything else (`features.cow.state`, `mount_opts.option[1]`, …), by path; not permissions.
    pub settings: Settings,
    /// Volumes that the VM's disks use, by name.
    pub volumes: BTreeMap<String, Volume>,
    /// What its XML says and this version does not know.
    pub unknown: Vec<UnknownPart>,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name in the pool.
    pub name: String,
    /// libvirt's key: its path, or what stands for one.
    pub key: Option<String>,
    /// `file`, `block`, `dir`, `network`, `netdir`, `ploop`.
    pub kind: Option<String>,
    /// Where it is on this host.
    pub path: Option<String>,
    /// What a guest sees. *Units*: bytes.
    pub capacity: Bytes,
    /// What the storage holds of it. *Units*: bytes.
    pub allocation: Option<Bytes>,
    /// How large the file or device is. *Units*: bytes.
    pub physical: Option<Bytes>,
    /// The image format.
    pub format: Option<String>,
    /// The image under it: libvirt tells one level of a volume.
    pub backing: Option<BackingImage>,
    /// Whether it is encrypted, and how.
    pub encryption: Option<String>,
    /// Everything else (`target.compat`, `target.features.lazy_refcounts`, …), by path; not times and permissions.
    pub settings: Settings,
    /// What its XML says and this version does not know.
    pub unknown: Vec<UnknownPart>,
}
