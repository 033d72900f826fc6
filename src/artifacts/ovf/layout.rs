//! Where everything goes in the descriptor, worked out once: disks to files and controllers, interfaces to networks.
//!
//! Assumes nothing of the inventory. Guarantees that no two disks share a file or a place on a controller, that places
//! are within what VMware's controllers have, and a capacity for every disk that is exported.

use super::binding::{ExportFormat, ExportedDisk, OvfBinding, is_file_name};
use crate::artifacts::binding::BindingFault;
use crate::artifacts::error::RenderError;
use crate::discovery::{Disk, DiskBus, DiskDevice, DiskSource, Inventory, Nic, NicSource};

/// The plan.
#[derive(Debug)]
pub(super) struct Layout {
    /// The descriptor's name without its ending.
    pub(super) file_stem: String,
    pub(super) controllers: Vec<Controller>,
    pub(super) disks: Vec<HardDisk>,
    pub(super) drives: Vec<Drive>,
    pub(super) nics: Vec<Adapter>,
}

/// A controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Controller {
    pub(super) kind: ControllerKind,
    /// Its number among those of its kind.
    pub(super) number: u32,
    /// How many devices are on it.
    used: u32,
}

/// What a controller is, with what VMware calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ControllerKind {
    /// One channel.
    Ide,
    Scsi(&'static str),
    Sata,
    Nvme,
}

/// A place on a controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// The controller's index in the layout.
    pub(super) controller: usize,
    pub(super) unit: u32,
}

/// A disk that is exported.
#[derive(Debug)]
pub(super) struct HardDisk {
    pub(super) target: String,
    /// The exported file's name.
    pub(super) file: String,
    pub(super) format: ExportFormat,
    /// *Units*: bytes.
    pub(super) capacity: u64,
    /// The exported file's size, where it is known before there is a file. *Units*: bytes.
    pub(super) size: Option<u64>,
    pub(super) slot: Slot,
    /// Whether the controller is the one the guest has now.
    pub(super) same_bus: bool,
}

/// A drive for removable media; it is exported empty.
#[derive(Debug)]
pub(super) struct Drive {
    pub(super) target: String,
    /// None for a floppy drive.
    pub(super) slot: Option<Slot>,
}

/// An interface.
#[derive(Debug)]
pub(super) struct Adapter {
    /// Its index in the inventory.
    pub(super) nth: usize,
    /// The name of its network over there.
    pub(super) network: String,
    pub(super) model: &'static str,
    /// Whether that is the model the guest has now.
    pub(super) same_model: bool,
}

impl Layout {
    /// Plans the export.
    pub(super) fn of(inventory: &Inventory, binding: &OvfBinding) -> Result<Self, RenderError> {
        binding.check(inventory)?;
        let file_stem = file_stem(&inventory.domain.identity.name);
        let mut layout =
            Self { file_stem, controllers: Vec::new(), disks: Vec::new(), drives: Vec::new(), nics: Vec::new() };
        for disk in &inventory.domain.disks {
            match disk.device {
                DiskDevice::Disk if is_exported(disk) => {
                    let disk = layout.hard_disk(disk, inventory, binding.disks.get(&disk.target))?;
                    layout.disks.push(disk);
                }
                DiskDevice::Cdrom => {
                    let slot = Some(layout.place(kind_for(disk, inventory).0));
                    layout.drives.push(Drive { target: disk.target.clone(), slot });
                }
                DiskDevice::Floppy => layout.drives.push(Drive { target: disk.target.clone(), slot: None }),
                DiskDevice::Disk | DiskDevice::Lun | DiskDevice::Unknown(_) => {}
            }
        }
        let nics = inventory.domain.nics.iter().enumerate();
        layout.nics =
            nics.filter(|(_, nic)| !is_passed_through(nic)).map(|(nth, nic)| adapter(nth, nic, binding)).collect();
        Ok(layout)
    }

    fn hard_disk(
        &mut self,
        disk: &Disk,
        inventory: &Inventory,
        bound: Option<&ExportedDisk>,
    ) -> Result<HardDisk, RenderError> {
        let target = disk.target.clone();
        let capacity = bound.and_then(|bound| bound.capacity).or_else(|| capacity_of(disk, inventory));
        let capacity = capacity.ok_or_else(|| {
            BindingFault::new(
                format!("disks.{target}.capacity"),
                "OVF asks for the disk's size, and it is not known here",
            )
            .hint("give it in bytes, as `virsh domblkinfo` shows it under Capacity")
        })?;
        let format = bound.and_then(|bound| bound.format).unwrap_or_else(|| format_of(disk));
        let file = match bound.and_then(|bound| bound.file.clone()) {
            Some(file) if self.has_file(&file) => {
                return Err(BindingFault::new(format!("disks.{target}.file"), "another disk has this name").into());
            }
            Some(file) => file,
            None => self.file_name(disk, format),
        };
        // A raw image is as large as its disk; of the others only who makes the file knows.
        let size = bound.and_then(|bound| bound.size).or((format == ExportFormat::Raw).then_some(capacity));
        let (kind, same_bus) = kind_for(disk, inventory);
        Ok(HardDisk { target, file, format, capacity, size, slot: self.place(kind), same_bus })
    }

    /// The image's own name with the ending of its exported format; the VM's and the disk's where that cannot be.
    fn file_name(&self, disk: &Disk, format: ExportFormat) -> String {
        const ENDINGS: [&str; 6] = [".qcow2", ".qcow", ".raw", ".img", ".vmdk", ".iso"];
        let here = disk.source.as_ref().and_then(location).unwrap_or_default();
        let base = here.rsplit('/').next().unwrap_or_default();
        let stem = ENDINGS.iter().find_map(|ending| base.strip_suffix(ending)).unwrap_or(base);
        let name = format!("{stem}{}", format.ending());
        if !stem.is_empty() && is_file_name(&name) && !self.has_file(&name) {
            return name;
        }
        format!("{}-{}{}", self.file_stem, file_stem(&disk.target), format.ending())
    }

    fn has_file(&self, file: &str) -> bool {
        self.disks.iter().any(|disk| disk.file.eq_ignore_ascii_case(file))
    }

    /// The next place on a controller of that kind, on a new one when all are full.
    fn place(&mut self, kind: ControllerKind) -> Slot {
        let free = self.controllers.iter_mut().enumerate().find(|(_, c)| c.kind == kind && c.used < kind.places());
        if let Some((index, controller)) = free {
            let unit = kind.unit(controller.used);
            controller.used += 1;
            return Slot { controller: index, unit };
        }
        let same = self.controllers.iter().filter(|c| c.kind.resource_type() == kind.resource_type()).count();
        let number = u32::try_from(same).unwrap_or(u32::MAX);
        self.controllers.push(Controller { kind, number, used: 1 });
        Slot { controller: self.controllers.len() - 1, unit: kind.unit(0) }
    }
}

impl ControllerKind {
    /// CIM's resource type.
    pub(super) fn resource_type(self) -> u16 {
        match self {
            Self::Ide => 5,
            Self::Scsi(_) => 6,
            Self::Sata | Self::Nvme => 20,
        }
    }

    /// The resource subtype.
    pub(super) fn subtype(self) -> &'static str {
        match self {
            Self::Ide => "PIIX4",
            Self::Scsi(subtype) => subtype,
            Self::Sata => "vmware.sata.ahci",
            Self::Nvme => "vmware.nvme.controller",
        }
    }

    /// Its words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Ide => "IDE",
            Self::Scsi(_) => "SCSI",
            Self::Sata => "SATA",
            Self::Nvme => "NVME",
        }
    }

    /// How many devices it takes.
    fn places(self) -> u32 {
        match self {
            Self::Ide => 2,
            Self::Scsi(_) | Self::Nvme => 15,
            Self::Sata => 30,
        }
    }

    /// The unit of the nth device; unit 7 of a SCSI bus is the controller itself.
    fn unit(self, nth: u32) -> u32 {
        match self {
            Self::Scsi(_) if nth >= 7 => nth + 1,
            Self::Ide | Self::Scsi(_) | Self::Sata | Self::Nvme => nth,
        }
    }
}

impl ExportFormat {
    fn ending(self) -> &'static str {
        match self {
            Self::Qcow2 => ".qcow2",
            Self::Raw => ".raw",
            Self::VmdkStream => ".vmdk",
        }
    }

    /// By what the descriptor says it.
    pub(super) fn uri(self) -> &'static str {
        match self {
            Self::Qcow2 => "http://www.gnome.org/~markmc/qcow-image-format.html",
            Self::Raw => "http://en.wikipedia.org/wiki/Byte",
            Self::VmdkStream => "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized",
        }
    }
}

/// Whether a disk's bytes can be exported: it is a disk, and they are in a place that can be read.
pub(super) fn is_exported(disk: &Disk) -> bool {
    disk.device == DiskDevice::Disk && disk.source.as_ref().and_then(location).is_some()
}

/// Whether an interface is a device of this host, which goes nowhere.
pub(super) fn is_passed_through(nic: &Nic) -> bool {
    matches!(nic.source, NicSource::Hostdev { .. })
}

/// The disk's size as the guest sees it; of zero bytes there is none.
pub(super) fn capacity_of(disk: &Disk, inventory: &Inventory) -> Option<u64> {
    inventory.capacity_of(disk).map(|bytes| bytes.0).filter(|bytes| *bytes > 0)
}

/// The format an image is exported in when nobody says: its own where OVF has a name for it, else qcow2.
pub(super) fn format_of(disk: &Disk) -> ExportFormat {
    match disk.format.as_deref() {
        None | Some("raw") => ExportFormat::Raw,
        Some(_) => ExportFormat::Qcow2,
    }
}

/// Where the bytes are, by a name; none where they are in nothing that could be copied.
fn location(source: &DiskSource) -> Option<&str> {
    match source {
        DiskSource::File { path } => Some(path),
        DiskSource::Block { device } => Some(device),
        DiskSource::Network { name, .. } => Some(name.as_deref().unwrap_or_default()),
        DiskSource::Volume { volume, .. } => Some(volume),
        DiskSource::Nvme { namespace, .. } => Some(namespace.as_deref().unwrap_or_default()),
        DiskSource::Directory { .. } | DiskSource::VhostUser { .. } | DiskSource::Unknown { .. } => None,
    }
}

/// The controller for a disk, and whether the guest has the same one now.
fn kind_for(disk: &Disk, inventory: &Inventory) -> (ControllerKind, bool) {
    match &disk.bus {
        Some(DiskBus::Ide) => (ControllerKind::Ide, true),
        Some(DiskBus::Sata) => (ControllerKind::Sata, true),
        Some(DiskBus::Nvme) => (ControllerKind::Nvme, true),
        Some(DiskBus::Scsi) => match scsi_model(disk, inventory) {
            Some("lsilogic") => (ControllerKind::Scsi("lsilogic"), true),
            Some("lsisas1068" | "lsisas1078") => (ControllerKind::Scsi("lsilogicsas"), true),
            Some("buslogic") => (ControllerKind::Scsi("buslogic"), true),
            Some("vmpvscsi") => (ControllerKind::Scsi("VirtualSCSI"), true),
            Some(_) | None => (ControllerKind::Scsi("VirtualSCSI"), false),
        },
        Some(
            DiskBus::Virtio
            | DiskBus::Usb
            | DiskBus::Fdc
            | DiskBus::Sd
            | DiskBus::Xen
            | DiskBus::Uml
            | DiskBus::Unknown(_),
        )
        | None => match disk.device {
            // VMware's paravirtual controller takes no CD drive that firmware could boot from.
            DiskDevice::Cdrom => (ControllerKind::Sata, false),
            DiskDevice::Disk | DiskDevice::Floppy | DiskDevice::Lun | DiskDevice::Unknown(_) => {
                (ControllerKind::Scsi("VirtualSCSI"), false)
            }
        },
    }
}

/// The model of the SCSI controller a disk is on.
fn scsi_model<'a>(disk: &Disk, inventory: &'a Inventory) -> Option<&'a str> {
    let address = disk.address.as_ref()?.as_str().strip_prefix("drive:")?;
    let index: u32 = address.split('.').next()?.parse().ok()?;
    let controllers = &inventory.domain.controllers;
    let found = controllers.iter().find(|c| c.kind == "scsi" && c.index.unwrap_or(0) == index)?;
    found.model.as_deref()
}

fn adapter(nth: usize, nic: &Nic, binding: &OvfBinding) -> Adapter {
    let bound = nic.mac.and_then(|mac| binding.networks.get(&mac)).cloned();
    let (model, same_model) = match nic.model.as_deref() {
        Some("vmxnet3") => ("VmxNet3", true),
        Some("e1000") => ("E1000", true),
        Some("e1000e") => ("E1000e", true),
        Some("pcnet") => ("PCNet32", true),
        Some("virtio" | "virtio-transitional" | "virtio-non-transitional") => ("VmxNet3", false),
        Some(_) | None => ("E1000", false),
    };
    Adapter { nth, network: bound.unwrap_or_else(|| network_name(nic)), model, same_model }
}

/// What an interface is plugged into, with its portgroup and its tag: other frames are another network.
fn network_name(nic: &Nic) -> String {
    let mut name = match &nic.source {
        NicSource::Network { network, portgroup: Some(group), .. } => format!("{network}-{group}"),
        NicSource::Network { network, portgroup: None, .. } => network.clone(),
        NicSource::Bridge { bridge: Some(name) }
        | NicSource::Direct { device: Some(name), .. }
        | NicSource::Vdpa { device: Some(name) }
        | NicSource::Internal { name: Some(name) }
        | NicSource::VhostUser { path: Some(name), .. }
        | NicSource::Unknown { raw: name } => name.clone(),
        NicSource::Socket { transport, .. } => transport.clone(),
        NicSource::Bridge { bridge: None } => "bridge".to_owned(),
        NicSource::Direct { device: None, .. } => "direct".to_owned(),
        NicSource::Vdpa { device: None } => "vdpa".to_owned(),
        NicSource::Internal { name: None } => "internal".to_owned(),
        NicSource::VhostUser { path: None, .. } => "vhostuser".to_owned(),
        NicSource::User => "user".to_owned(),
        NicSource::Ethernet => nic.target.clone().unwrap_or_else(|| "ethernet".to_owned()),
        NicSource::Hostdev { .. } => "hostdev".to_owned(),
    };
    if let [tag] = nic.vlan.tags.as_slice() {
        name.push_str(&format!(".{tag}"));
    }
    if name.is_empty() { "network".to_owned() } else { name }
}

/// A name made into one that a file can have.
fn file_stem(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let spelled: String = name.chars().map(plain).take(120).collect();
    let stem = spelled.trim_start_matches(['.', '-']);
    if stem.is_empty() { "vm".to_owned() } else { stem.to_owned() }
}
