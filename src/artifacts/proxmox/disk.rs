//! Disks and optical drives.
//!
//! Assumes an inventory. Guarantees numbers that each bus has on Proxmox, and a volume's name for every disk: the volumes
//! themselves have to be there before the VM starts.

use std::collections::BTreeMap;

use super::binding::Binding;
use super::conf::{Conf, Props};
use super::drive::drive;
use super::machine::is_arm;
use super::state::{scsi_controller, state_volumes};
use super::told::Told;
use crate::artifacts::report::Report;
use crate::discovery::{Disk, DiskBus, DiskDevice, DiskSource, Inventory};

/// A bus of Proxmox, with the number of disks it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bus {
    Ide,
    Sata,
    Scsi,
    Virtio,
}

impl Bus {
    fn word(self) -> &'static str {
        match self {
            Self::Ide => "ide",
            Self::Sata => "sata",
            Self::Scsi => "scsi",
            Self::Virtio => "virtio",
        }
    }

    fn most(self) -> usize {
        match self {
            Self::Ide => 4,
            Self::Sata => 6,
            Self::Scsi => 31,
            Self::Virtio => 16,
        }
    }
}

/// Writes the disks; returns the key of each by its target, for the boot order.
pub(super) fn disks(
    inventory: &Inventory,
    binding: &Binding,
    conf: &mut Conf,
    report: &mut Report<'_>,
) -> Vec<(String, String)> {
    let domain = &inventory.domain;
    // The first numbers are those of EFI variables and TPM state, as Proxmox itself counts.
    let mut number = state_volumes(domain, binding, conf, report);
    let mut taken: BTreeMap<Bus, usize> = BTreeMap::new();
    let mut keys = Vec::new();
    for disk in &domain.disks {
        let mut told = Told::new(report, format!("disks[{}]", disk.target), String::new());
        let Some((bus, rule)) = bus(disk, is_arm(domain), &mut told) else { continue };
        let nth = taken.entry(bus).or_default();
        if *nth >= bus.most() {
            told.refused("", &format!("Proxmox has {} disks on {}, and there are more", bus.most(), bus.word()));
            continue;
        }
        told.key = format!("{}{nth}", bus.word());
        *nth += 1;
        match rule {
            Some(rule) => told.approximate("bus", rule),
            None => told.exact("bus", "its name"),
        }
        let line = if disk.device == DiskDevice::Cdrom {
            medium(disk, binding, &mut told)
        } else {
            let volume = volume(disk, binding, number);
            number += 1;
            drive(disk, bus, &volume, inventory, &mut told)
        };
        rest(disk, &mut told);
        keys.push((disk.target.clone(), told.key.clone()));
        conf.set(told.key, line);
    }
    scsi_controller(domain, conf, taken.contains_key(&Bus::Scsi), report);
    keys
}

fn bus(disk: &Disk, arm: bool, told: &mut Told<'_, '_>) -> Option<(Bus, Option<&'static str>)> {
    const ARM: &str = "an ARM machine has no such bus: SCSI takes its place";
    match disk.device {
        DiskDevice::Disk | DiskDevice::Cdrom | DiskDevice::Lun => {}
        DiskDevice::Floppy | DiskDevice::Unknown(_) => {
            told.refused("", "Proxmox has disks and optical drives only, so that it is left out");
            return None;
        }
    }
    let bus = disk.bus.clone().unwrap_or_else(|| {
        let by_name = [("hd", DiskBus::Ide), ("sd", DiskBus::Scsi), ("fd", DiskBus::Fdc), ("xvd", DiskBus::Xen)];
        let found = by_name.into_iter().find(|(start, _)| disk.target.starts_with(start));
        found.map_or(DiskBus::Virtio, |(_, bus)| bus)
    });
    match bus {
        DiskBus::Virtio if disk.device == DiskDevice::Cdrom => {
            Some((Bus::Scsi, Some("Proxmox has no optical drives on virtio: SCSI takes its place")))
        }
        DiskBus::Virtio => Some((Bus::Virtio, None)),
        DiskBus::Scsi => Some((Bus::Scsi, None)),
        DiskBus::Sata | DiskBus::Ide if arm => Some((Bus::Scsi, Some(ARM))),
        DiskBus::Sata => Some((Bus::Sata, None)),
        DiskBus::Ide => Some((Bus::Ide, None)),
        DiskBus::Usb
        | DiskBus::Fdc
        | DiskBus::Sd
        | DiskBus::Xen
        | DiskBus::Uml
        | DiskBus::Nvme
        | DiskBus::Unknown(_) => {
            told.refused("", "Proxmox has IDE, SATA, SCSI and virtio, so that it is left out");
            None
        }
    }
}

/// The volume of a disk: what the binding says, else Proxmox's own name in the storage of its pool.
fn volume(disk: &Disk, binding: &Binding, number: usize) -> String {
    if let Some(volume) = binding.volumes.get(&disk.target) {
        return volume.as_str().to_owned();
    }
    let named = || disk.source.as_ref()?.pool();
    let pool = disk.volume.as_ref().map(|at| at.pool.as_str()).or_else(named);
    let storage = pool.and_then(|pool| binding.pools.get(pool)).unwrap_or(&binding.storage);
    let format = match disk.format.as_deref() {
        Some(format @ ("qcow2" | "vmdk")) => format,
        Some(_) | None => "raw",
    };
    binding.volume(storage, number, format)
}

/// An optical drive with the medium of the same name in the storage for those, else empty.
fn medium(disk: &Disk, binding: &Binding, told: &mut Told<'_, '_>) -> Props {
    let name = match &disk.source {
        Some(DiskSource::File { path }) => path.rsplit('/').next(),
        Some(
            DiskSource::Block { .. }
            | DiskSource::Directory { .. }
            | DiskSource::Network { .. }
            | DiskSource::Volume { .. }
            | DiskSource::Nvme { .. }
            | DiskSource::VhostUser { .. }
            | DiskSource::Unknown { .. },
        )
        | None => None,
    };
    let plain = |name: &&str| {
        let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+'));
        letters && (name.ends_with(".iso") || name.ends_with(".img"))
    };
    let bound = binding.volumes.get(&disk.target).map(|volume| volume.as_str().to_owned());
    let found = name.filter(plain).zip(binding.iso_storage.as_ref());
    let found = found.map(|(name, storage)| format!("{}:iso/{name}", storage.as_str()));
    match bound.or(found) {
        Some(volume) => {
            told.approximate("source", "a medium of that name has to be in the storage");
            told.exact("device", "media");
            let mut line = Props::new(volume);
            line.add("media", Some("cdrom"));
            line
        }
        None => {
            told.refused("source", "which medium it is over there, `iso_storage` or `volumes` of the binding says");
            told.exact("device", "media");
            Props::new("none,media=cdrom")
        }
    }
}

/// What became of everything else of a disk.
fn rest(disk: &Disk, told: &mut Told<'_, '_>) {
    told.approximate("target", "Proxmox counts the disks of each bus from 0");
    match disk.format.as_deref() {
        Some("raw" | "qcow2" | "vmdk") => told.exact("format", "the volume"),
        Some(_) | None => told.approximate("format", "the volume has to be raw"),
    }
    told.exact("boot_order", "boot");
    told.approximate("volume", "the storage that the binding names for its pool");
    told.approximate("backing", "the volume has to hold all that the chain of images does");
    told.refused("encryption", "Proxmox opens no encrypted images");
    told.not_carried("mirror", "it is a job of now");
    told.refused("wwn", "Proxmox has 16 digits, and not on virtio");
    told.not_carried("address", "Proxmox has fixed places for its disks");
    for field in ["serial", "cache", "io", "discard", "iotune"] {
        told.not_carried(field, "an optical drive of Proxmox has none");
    }
    told.exact("writes", "media");
    told.not_carried("size", "the medium has its own");
    told.not_carried("settings", "Proxmox has no property for it");
}
