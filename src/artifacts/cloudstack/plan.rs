//! The VM's disks and interfaces as CloudStack counts them, and what the request says of each.
//!
//! Assumes a VM whose words the agent knows. Guarantees ordinals in the order of the XML, as the agent counts: of disks
//! those it lists, of interfaces all; one root disk, and an offering for each other one.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::binding::{Address, CloudStackBinding, is_hostname, known_address};
use crate::artifacts::binding::BindingFault;
use crate::artifacts::error::RenderError;
use crate::discovery::{Disk, DiskDevice, DiskSource, FirmwareKind, Inventory, Nic, SecureBoot};

/// The plan.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) disks: Vec<PlannedDisk<'a>>,
    pub(super) nics: Vec<PlannedNic<'a>>,
    pub(super) hostname: String,
    /// The map `details`, all of it under index 0: the server reads no other.
    pub(super) details: Vec<(&'static str, String)>,
}

/// A disk that the agent lists. Its id is its place in the list.
#[derive(Debug)]
pub(super) struct PlannedDisk<'a> {
    pub(super) disk: &'a Disk,
    pub(super) role: Role,
    /// What the guest sees, where it is known. *Units*: bytes.
    pub(super) capacity: Option<u64>,
}

/// What a disk becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It gets no offering: that is how CloudStack knows it.
    Root,
    Data {
        offering: Uuid,
    },
}

/// An interface. Its id is its place in the list.
#[derive(Debug)]
pub(super) struct PlannedNic<'a> {
    pub(super) nic: &'a Nic,
    pub(super) network: Option<Uuid>,
    pub(super) address: Address,
}

impl<'a> Plan<'a> {
    /// Plans the request.
    pub(super) fn of(inventory: &'a Inventory, binding: &CloudStackBinding) -> Result<Self, RenderError> {
        let domain = &inventory.domain;
        for disk in &domain.disks {
            if matches!(disk.device, DiskDevice::Disk | DiskDevice::Lun) && !is_listed(disk) {
                let why = "its agent lists disks of type file, block and network only; the VM that CloudStack starts \
                           next would be without this one";
                return Err(RenderError::Refused {
                    field: format!("disks[{}].source", disk.target),
                    why: why.to_owned(),
                });
            }
        }
        let listed: Vec<&Disk> = domain.disks.iter().filter(|disk| is_listed(disk)).collect();
        let Some(root) = root(&listed, binding) else {
            let why = "CloudStack imports no VM without a disk".to_owned();
            return Err(RenderError::Refused { field: "disks".to_owned(), why });
        };
        if let Some(nth) = domain.nics.iter().position(|nic| nic.mac.is_none()) {
            let why = "without a MAC CloudStack cannot keep the interface".to_owned();
            return Err(RenderError::Refused { field: format!("nics[{nth}].mac"), why });
        }
        binding.check(inventory)?;
        let mut disks = Vec::with_capacity(listed.len());
        for disk in listed {
            let role = if disk.target == root { Role::Root } else { Role::Data { offering: offering(disk, binding)? } };
            disks.push(PlannedDisk { disk, role, capacity: inventory.capacity_of(disk).map(|bytes| bytes.0) });
        }
        let nics = domain.nics.iter().map(|nic| planned_nic(nic, binding)).collect();
        let hostname = binding.hostname.clone().unwrap_or_else(|| hostname(&domain.identity.name));
        let mut plan = Plan { disks, nics, hostname, details: Vec::new() };
        plan.details = plan.details(inventory, binding);
        Ok(plan)
    }

    fn details(&self, inventory: &Inventory, binding: &CloudStackBinding) -> Vec<(&'static str, String)> {
        let domain = &inventory.domain;
        let bus = |disk: &PlannedDisk<'_>| disk.disk.bus.as_ref().map(ToString::to_string);
        let root = self.disks.iter().find(|disk| disk.role == Role::Root).and_then(bus);
        let data = self.disks.iter().find(|disk| disk.role != Role::Root).and_then(bus);
        let adapter = self.nics.first().and_then(|nic| nic.nic.model.clone());
        let uefi = (domain.firmware.kind == FirmwareKind::Uefi).then(|| match domain.firmware.secure_boot {
            SecureBoot::On => "SECURE".to_owned(),
            SecureBoot::Off | SecureBoot::Unsaid => "LEGACY".to_owned(),
        });
        let details = [
            ("cpuNumber", Some(cpus(inventory).to_string())),
            ("cpuSpeed", binding.cpu_speed.map(|speed| speed.to_string())),
            ("memory", Some(mebibytes(inventory).to_string())),
            ("rootDiskController", root),
            ("dataDiskController", data),
            ("nicAdapter", adapter),
            ("UEFI", uefi),
        ];
        details.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

/// Whether the agent lists a disk: files that are disks, and whatever is on a block device or behind a network.
pub(super) fn is_listed(disk: &Disk) -> bool {
    match &disk.source {
        Some(DiskSource::File { .. }) => disk.device == DiskDevice::Disk,
        Some(DiskSource::Block { .. } | DiskSource::Network { .. }) => true,
        Some(
            DiskSource::Directory { .. }
            | DiskSource::Volume { .. }
            | DiskSource::Nvme { .. }
            | DiskSource::VhostUser { .. }
            | DiskSource::Unknown { .. },
        )
        | None => false,
    }
}

/// Processors that run now: what the agent counts.
pub(super) fn cpus(inventory: &Inventory) -> u32 {
    let cpu = &inventory.domain.cpu;
    if cpu.vcpus == 0 { cpu.vcpus_max.max(1) } else { cpu.vcpus }
}

/// The memory the VM may have, in whole MiB, rounded down as the agent does.
pub(super) fn mebibytes(inventory: &Inventory) -> u64 {
    inventory.domain.memory.max_kib.0 / 1024
}

/// The binding's root disk, else the first in the boot order, else the first.
fn root(listed: &[&Disk], binding: &CloudStackBinding) -> Option<String> {
    let ordered = listed.iter().filter(|disk| disk.boot_order.is_some()).min_by_key(|disk| disk.boot_order);
    binding.root_disk.clone().or_else(|| ordered.or(listed.first()).map(|disk| disk.target.clone()))
}

fn offering(disk: &Disk, binding: &CloudStackBinding) -> Result<Uuid, BindingFault> {
    let bound = binding.disk_offerings.get(&disk.target).copied().or(binding.disk_offering_id);
    bound.ok_or_else(|| {
        BindingFault::new(
            format!("disk_offerings.{}", disk.target),
            "every disk but the root disk needs a disk offering",
        )
        .hint("give disk_offering_id for all of them, or one for this disk")
    })
}

fn planned_nic<'a>(nic: &'a Nic, binding: &CloudStackBinding) -> PlannedNic<'a> {
    fn bound<V: Copy>(table: &BTreeMap<crate::model::units::Mac, V>, nic: &Nic) -> Option<V> {
        nic.mac.and_then(|mac| table.get(&mac)).copied()
    }
    let known = || known_address(nic).map_or(Address::Auto, Address::This);
    PlannedNic {
        nic,
        network: bound(&binding.networks, nic),
        address: bound(&binding.addresses, nic).unwrap_or_else(known),
    }
}

/// The domain's name made into a host name that CloudStack takes.
fn hostname(name: &str) -> String {
    let spelled: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let label = spelled.trim_matches('-');
    let label =
        if label.starts_with(|c: char| c.is_ascii_alphabetic()) { label.to_owned() } else { format!("vm-{label}") };
    let label: String = label.chars().take(63).collect();
    let label = label.trim_end_matches('-').to_owned();
    debug_assert!(is_hostname(&label));
    label
}
