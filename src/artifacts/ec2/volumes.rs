//! Disks as EBS volumes.
//!
//! Assumes a checked binding. Guarantees one volume for each disk (drives for discs and floppies are none), with an id
//! that stays while the disk's source does, and a size only when somebody knows it.

use uuid::Uuid;

use super::binding::{Ec2Binding, VolumeBinding};
use super::id;
use crate::artifacts::binding::BindingFault;
use crate::discovery::{BootOrder, Disk, DiskDevice, DiskSource, Inventory};
use crate::model::units::Bytes;

/// Bytes of a GiB.
const GIB: u64 = 1 << 30;

/// A disk as a volume.
#[derive(Debug)]
pub(super) struct Volume<'a> {
    pub(super) disk: &'a Disk,
    /// `vol-…`.
    pub(super) id: String,
    /// Its device in the guest.
    pub(super) device: String,
    /// *Units*: GiB, rounded up.
    pub(super) size: Option<u64>,
    pub(super) bound: VolumeBinding,
    /// Whether the VM starts from it.
    pub(super) root: bool,
}

/// The volumes, in the order of the XML.
pub(super) fn volumes<'a>(
    vm: Uuid,
    inventory: &'a Inventory,
    binding: &Ec2Binding,
) -> Result<Vec<Volume<'a>>, BindingFault> {
    let root = root(inventory);
    let disks = inventory.domain.disks.iter().filter(|disk| is_volume(disk));
    disks
        .map(|disk| {
            let bound = binding.volumes.get(&disk.target).copied().unwrap_or_default();
            Ok(Volume {
                disk,
                id: id("vol-", Uuid::new_v5(&vm, key(disk).as_bytes())),
                device: format!("/dev/{}", disk.target),
                size: size(disk, inventory, bound)?,
                bound,
                root: root == Some(disk.target.as_str()),
            })
        })
        .collect()
}

/// Whether EC2 has such a thing.
pub(super) fn is_volume(disk: &Disk) -> bool {
    match disk.device {
        DiskDevice::Disk | DiskDevice::Lun => true,
        DiskDevice::Cdrom | DiskDevice::Floppy | DiskDevice::Unknown(_) => false,
    }
}

/// The first disk of the boot order that is a volume, else the first volume.
fn root(inventory: &Inventory) -> Option<&str> {
    let volumes: Vec<&str> =
        inventory.domain.disks.iter().filter(|disk| is_volume(disk)).map(|disk| disk.target.as_str()).collect();
    let chosen = match &inventory.domain.boot {
        BootOrder::ByDevice(devices) => {
            let disks = devices.iter().filter_map(|device| device.device.strip_prefix("disk:"));
            disks.filter_map(|target| volumes.iter().copied().find(|volume| *volume == target)).next()
        }
        BootOrder::ByClass(_) | BootOrder::Unsaid => None,
    };
    chosen.or(volumes.first().copied())
}

/// What names a disk's source; a disk without one is named by its place.
fn key(disk: &Disk) -> String {
    match &disk.source {
        Some(DiskSource::File { path } | DiskSource::Directory { path } | DiskSource::VhostUser { path }) => {
            path.clone()
        }
        Some(DiskSource::Block { device }) => device.clone(),
        Some(DiskSource::Volume { pool, volume, mode: _ }) => format!("{pool}/{volume}"),
        // A cluster's monitors come and go, and any one of them leads to the same image; a server's name is its own.
        Some(DiskSource::Network { protocol, name: Some(name), hosts: _ }) if protocol == "rbd" => {
            format!("{protocol}:{name}")
        }
        Some(DiskSource::Network { protocol, name, hosts }) if !hosts.is_empty() || name.is_some() => {
            format!("{protocol}://{}/{}", hosts.join(","), name.as_deref().unwrap_or_default())
        }
        Some(DiskSource::Nvme { address: Some(address), namespace }) => {
            format!("{}#{}", address.as_str(), namespace.as_deref().unwrap_or("1"))
        }
        Some(DiskSource::Network { .. } | DiskSource::Nvme { .. } | DiskSource::Unknown { .. }) | None => {
            disk.target.clone()
        }
    }
}

/// EC2 counts whole GiB.
pub(super) fn gib(bytes: Bytes) -> u64 {
    bytes.0.div_ceil(GIB)
}

/// The known size; the binding may say only what nobody else knows.
fn size(disk: &Disk, inventory: &Inventory, bound: VolumeBinding) -> Result<Option<u64>, BindingFault> {
    let told = bound.size_gib.map(u64::from);
    match (inventory.capacity_of(disk).map(gib), told) {
        (Some(known), Some(told)) if known != told => {
            let field = format!("volumes.{}.size_gib", disk.target);
            let fault = BindingFault::new(field, format!("the disk has {known} GiB, and not {told}"));
            Err(fault.hint("leave the size out: it is known"))
        }
        (known, told) => Ok(known.or(told)),
    }
}
