//! Disks: what the guest sees and where the bytes are.
//!
//! Assumes nothing. Guarantees a source that says its kind, foreign words kept, and sizes only when block info
//! was given: the domain XML knows none.

use serde::{Deserialize, Serialize};

use super::address::DeviceAddress;
use super::foreign::foreign;
use super::settings::Settings;
use crate::model::units::Bytes;

foreign! {
    /// What the guest sees.
    DiskDevice { Disk = "disk", Cdrom = "cdrom", Floppy = "floppy", Lun = "lun" }
}

foreign! {
    /// The bus the guest sees it on.
    DiskBus {
        Virtio = "virtio", Scsi = "scsi", Sata = "sata", Ide = "ide", Usb = "usb", Fdc = "fdc", Sd = "sd",
        Xen = "xen", Uml = "uml", Nvme = "nvme",
    }
}

/// One disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Its name on the host (`vda`), unique in the domain.
    pub target: String,
    /// Its bus, when said.
    pub bus: Option<DiskBus>,
    /// What it is.
    pub device: DiskDevice,
    /// Where the bytes are; none for an empty drive.
    pub source: Option<DiskSource>,
    /// The image format: `raw`, `qcow2`, …
    pub format: Option<String>,
    /// The volume behind it, when its source is one of a pool that was looked at.
    pub volume: Option<VolumeRef>,
    /// The images under it.
    pub backing: Backing,
    /// The host's cache mode, when said.
    pub cache: Option<DiskCache>,
    /// How the host does its input and output, when said: `native`, `threads`, `io_uring`.
    pub io: Option<String>,
    /// What becomes of discarded blocks, when said: `unmap`, `ignore`.
    pub discard: Option<String>,
    /// The serial number the guest sees.
    pub serial: Option<String>,
    /// The world-wide name the guest sees.
    pub wwn: Option<String>,
    /// Whether the guest may write.
    pub writes: Writes,
    /// Its place in the boot order.
    pub boot_order: Option<u32>,
    /// Its place on the guest's buses.
    pub address: Option<DeviceAddress>,
    /// The copy that a block job is making of it now.
    pub mirror: Option<Mirror>,
    /// Encryption of the image; never a key.
    pub encryption: Option<Encryption>,
    /// Limits (`total_iops_sec`, …), by libvirt's element. *Units*: bytes or operations per second.
    pub iotune: Settings,
    /// Everything else (`driver.detect_zeroes`, `driver.queues`, `geometry.cyls`, `vendor`, …), by path.
    pub settings: Settings,
    /// Its sizes, when block info is known.
    pub size: Option<DiskSize>,
}

foreign! {
    /// The host's cache mode.
    DiskCache {
        Default = "default", None = "none", WriteThrough = "writethrough", WriteBack = "writeback",
        DirectSync = "directsync", Unsafe = "unsafe",
    }
}

/// A volume by its pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VolumeRef {
    /// The pool's name; the inventory has it under `pools`.
    pub pool: String,
    /// The volume's name in it.
    pub volume: String,
}

/// The images under a disk's own, nearest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backing {
    /// The images.
    pub images: Vec<BackingImage>,
    /// Whether the last of them is known to have none under it.
    pub end: ChainEnd,
}

/// Whether a chain of images was seen to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChainEnd {
    /// There is none under the last one.
    Seen,
    /// There may be more: libvirt tells the whole chain only of a running domain.
    #[default]
    Unseen,
}

/// One image under another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackingImage {
    /// Where it is.
    pub source: DiskSource,
    /// Its format.
    pub format: Option<String>,
    /// The volume it is, when its pool was looked at.
    pub volume: Option<VolumeRef>,
}

/// The copy that a block job is making.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// `copy` or `active-commit`.
    pub job: Option<String>,
    /// Where to.
    pub source: Option<DiskSource>,
    /// The copy's format.
    pub format: Option<String>,
    /// `yes` once both are the same, `pivot` or `abort` on the way out.
    pub ready: Option<String>,
}

/// How an image is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// `luks`, `qcow`, `luks2`, …
    pub format: String,
    /// Who decrypts: `qemu`, `librbd`.
    pub engine: Option<String>,
}

/// Who may write to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Writes {
    /// This guest only.
    Exclusive,
    /// This guest and others.
    Shared,
    /// Nobody.
    ReadOnly,
    /// Nobody, and others use it too.
    ReadOnlyShared,
}

/// The sizes of a disk's image. *Units*: bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSize {
    /// What the guest sees.
    pub capacity: Bytes,
    /// What the storage holds of it now.
    pub allocation: Bytes,
    /// How large the file or device is on the host.
    pub physical: Bytes,
}

/// Where a disk's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum DiskSource {
    /// A file on the host.
    File { path: String },
    /// A block device on the host.
    Block { device: String },
    /// A directory shown as a FAT disk.
    Directory { path: String },
    /// Storage over the network.
    Network { protocol: String, name: Option<String>, hosts: Vec<String> },
    /// A volume of a libvirt storage pool.
    Volume { pool: String, volume: String, mode: Option<String> },
    /// A namespace of an NVMe controller of the host.
    Nvme { address: Option<DeviceAddress>, namespace: Option<String> },
    /// A vhost-user process behind a socket.
    VhostUser { path: String },
    /// A kind this version does not know.
    Unknown { raw: String },
}

impl DiskSource {
    /// The libvirt pool that it names.
    pub fn pool(&self) -> Option<&str> {
        match self {
            Self::Volume { pool, .. } => Some(pool),
            Self::File { .. }
            | Self::Block { .. }
            | Self::Directory { .. }
            | Self::Network { .. }
            | Self::Nvme { .. }
            | Self::VhostUser { .. }
            | Self::Unknown { .. } => None,
        }
    }
}
