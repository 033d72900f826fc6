//! What became of each field of the inventory in an OVF descriptor.
//!
//! Assumes the same inventory, binding and layout that were written. Guarantees a rule for every section.

use super::binding::{ExportFormat, OvfBinding};
use super::hardware::{cores_per_socket, mebibytes};
use super::layout::{HardDisk, Layout, capacity_of, format_of, is_passed_through};
use super::os_type::{Fit, os_type};
use crate::artifacts::report::Report;
use crate::discovery::{
    BootClass, BootOrder, Disk, DiskDevice, FirmwareKind, Inventory, LinkState, Nic, SecureBoot, Topology, Trunk,
    Writes,
};

const COPY: &str = "the descriptor describes a copy, which is another VM with an identity of its own";
const NO_PLACE: &str = "OVF 1.x has no place for it";
const HOST: &str = "it is this host's side, and the package leaves the host";
const IMPORTER: &str = "whoever imports the package chooses it";

/// Writes the rules.
pub(super) fn map(report: &mut Report<'_>, inventory: &Inventory, binding: &OvfBinding, layout: &Layout) {
    map_identity(report, inventory, binding);
    map_processors(report, inventory);
    map_memory(report, inventory);
    map_firmware(report, inventory);
    map_boot(report, inventory, layout);
    for disk in &inventory.domain.disks {
        match layout.disks.iter().find(|planned| planned.target == disk.target) {
            Some(planned) => map_disk(report, disk, planned, binding, inventory),
            None => map_other_disk(report, disk),
        }
    }
    for (nth, nic) in inventory.domain.nics.iter().enumerate() {
        map_nic(report, nth, nic, binding, layout);
    }
    report.approximate(
        "tpm",
        "Item with ResourceSubType vmware.vtpm",
        "the imported VM gets a new, empty TPM 2.0: what the guest keeps in this one does not travel",
    );
    for part in ["hostdevs", "filesystems"] {
        report.refused(part, "it is part of this host, and the package leaves the host");
    }
    report.refused("launch_security", "the imported VM's memory is not protected from its host");
    report.refused("direct_boot", "the kernel is a file of this host; the imported VM boots from its disk");
    report.refused("passthrough_arguments", "arguments past libvirt are this hypervisor's own");
    report.approximate("networks[*].name", "NetworkSection", "for the networks of interfaces");
    report.approximate("networks[*].forward", "NetworkSection: Description", "a word for people");
    report.not_carried("networks", HOST);
    report.approximate(
        "pools[*].volumes",
        "DiskSection: capacity",
        "of each volume its capacity, unless libvirt's block info or the binding says it",
    );
    report.not_carried("pools", HOST);
    report.not_carried("definition", "the descriptor is made from what runs now");
    report.machine_not_carried(IMPORTER);
    for part in ["platform", "security_labels", "host"] {
        report.not_carried(part, HOST);
    }
    report.not_carried("metadata", "marks of other managers are theirs, and a copy is not theirs");
}

fn map_identity(report: &mut Report<'_>, inventory: &Inventory, binding: &OvfBinding) {
    report.exact("identity.name", "VirtualSystem: id, Name, VirtualSystemIdentifier");
    report.exact("identity.title", "VirtualSystem: Info");
    report.exact("identity.description", "AnnotationSection: Annotation");
    report.not_carried("identity", COPY);
    let known = os_type(inventory.domain.guest_os.as_deref(), inventory.domain.platform.arch.as_deref());
    let to = "OperatingSystemSection: id, Description";
    match (binding.os_type, known.fit) {
        (Some(_), _) => {
            report.approximate("guest_os", to, "the id is the binding's; libosinfo's id is the description");
        }
        (None, Fit::Product) => report.approximate("guest_os", to, "CIM's number for the product, without its version"),
        (None, Fit::Family) => {
            report.approximate("guest_os", to, "CIM has no number for the product, only for its kind");
        }
    }
    report.approximate("platform.arch", "OperatingSystemSection: id", "only the width, where CIM's numbers tell it");
}

fn map_processors(report: &mut Report<'_>, inventory: &Inventory) {
    let cpu = &inventory.domain.cpu;
    report.exact("cpu.vcpus_max", "Item with ResourceType 3: VirtualQuantity");
    if cpu.vcpus == cpu.vcpus_max {
        report.exact("cpu.vcpus", "Item with ResourceType 3: VirtualQuantity");
    } else {
        report.not_carried("cpu.vcpus", "the imported VM starts with all processors it may have");
    }
    match (cpu.topology, cores_per_socket(inventory)) {
        (Some(Topology { dies: 0 | 1, clusters: 0 | 1, threads: 0 | 1, .. }), Some(_)) => {
            report.exact("cpu.topology", "Item with ResourceType 3: vmw:CoresPerSocket");
        }
        (Some(_), Some(_)) => report.approximate(
            "cpu.topology",
            "Item with ResourceType 3: vmw:CoresPerSocket",
            "dies, clusters and threads count as cores of their socket",
        ),
        (Some(_), None) => report.refused("cpu.topology", "its sockets do not divide its processors"),
        (None, _) => {}
    }
    report.not_carried("cpu.pinning", HOST);
    report.not_carried("cpu", IMPORTER);
}

fn map_memory(report: &mut Report<'_>, inventory: &Inventory) {
    let memory = &inventory.domain.memory;
    let to = "Item with ResourceType 4: VirtualQuantity";
    if mebibytes(inventory) * 1024 == memory.max_kib.0 {
        report.exact("memory.max_kib", to);
    } else {
        report.approximate("memory.max_kib", to, "rounded up to whole MiB");
    }
    if memory.current_kib == memory.max_kib {
        report.exact("memory.current_kib", to);
    }
    report.not_carried("memory.current_kib", "what a balloon takes is of the moment");
    report.not_carried("memory", IMPORTER);
}

fn map_firmware(report: &mut Report<'_>, inventory: &Inventory) {
    let firmware = &inventory.domain.firmware;
    match firmware.kind {
        FirmwareKind::Bios | FirmwareKind::Uefi => report.exact("firmware.kind", "vmw:Config firmware"),
        FirmwareKind::Unknown(_) => report.refused("firmware.kind", "there is no word for this firmware"),
    }
    match (&firmware.kind, firmware.secure_boot) {
        (FirmwareKind::Unknown(_), _) => report.refused("firmware.secure_boot", "it is part of the firmware"),
        (_, SecureBoot::On | SecureBoot::Off) => {
            report.exact("firmware.secure_boot", "vmw:Config bootOptions.efiSecureBootEnabled");
        }
        (_, SecureBoot::Unsaid) => {
            report.not_carried("firmware.secure_boot", "nobody said; the importer's default holds");
        }
    }
    report
        .not_carried("firmware.nvram", "the importer makes new variables: what the guest set in these does not travel");
    report.not_carried("firmware", IMPORTER);
}

/// Importers start from the first disk of the descriptor, whatever was meant.
fn map_boot(report: &mut Report<'_>, inventory: &Inventory, layout: &Layout) {
    let first = layout.disks.first().map(|disk| disk.target.as_str());
    let meant = match &inventory.domain.boot {
        BootOrder::ByDevice(devices) => devices.iter().find_map(|boot| boot.device.strip_prefix("disk:")),
        BootOrder::ByClass(_) | BootOrder::Unsaid => first,
    };
    let disk_leads = match &inventory.domain.boot {
        BootOrder::ByDevice(devices) => devices.first().is_some_and(|boot| boot.device.starts_with("disk:")),
        BootOrder::ByClass(classes) => classes.first() == Some(&BootClass::Disk),
        BootOrder::Unsaid => true,
    };
    if meant != first && meant.is_some() {
        report.refused("boot", "importers start from the first disk of the descriptor, and the VM's is another");
    } else if disk_leads {
        report.approximate("boot", "the order of DiskSection", "importers start from the first disk, as the VM does");
    } else {
        report.not_carried("boot", "importers start from the first disk; other devices before it are forgotten");
    }
}

fn map_disk(report: &mut Report<'_>, disk: &Disk, planned: &HardDisk, binding: &OvfBinding, inventory: &Inventory) {
    let field = |name: &str| format!("disks[{}].{name}", disk.target);
    report.exact(&field("target"), "Disk: diskId; Item: ElementName");
    report.exact(&field("device"), "Item: ResourceType 17");
    if planned.same_bus {
        report.exact(&field("bus"), "Item of the controller");
    } else {
        let rule = "a paravirtual SCSI controller, for which the guest needs a driver";
        report.approximate(&field("bus"), "Item of the controller", rule);
    }
    report.approximate(&field("address"), "Item: Parent, AddressOnParent", "the next free place on the controller");
    report.approximate(
        &field("source"),
        "File: href",
        "the name of a file beside the descriptor, into which the disk is exported",
    );
    report.approximate(&field("backing"), "File: href", "the exported file has the bytes of all images of the chain");
    let rule = match planned.format {
        _ if planned.format != format_of(disk) => "exported in the format that the binding asks for",
        _ if !matches!(disk.format.as_deref(), None | Some("raw" | "qcow2")) => {
            "exported as qcow2: OVF has no name for the format it has here"
        }
        ExportFormat::VmdkStream => "exported in the format that vSphere imports",
        ExportFormat::Qcow2 | ExportFormat::Raw => {
            "kept: virt-v2v and COT read it, but vSphere imports stream-optimised VMDK only (binding: format)"
        }
    };
    report.approximate(&field("format"), "Disk: format", rule);
    if binding.disks.get(&disk.target).is_some_and(|bound| bound.capacity.is_some()) {
        report.not_carried(&field("size"), "the binding gives the disk's size");
    } else if capacity_of(disk, inventory).is_some() {
        let rule = "what the guest sees; the file's own size only for raw, where it is the same";
        report.approximate(&field("size"), "Disk: capacity", rule);
    }
    report.refused(&field("mirror"), "a block job is changing the disk: export it when the job has ended");
    report
        .refused(&field("encryption"), "the key does not travel: export the disk decrypted, or give it one over there");
    for field in [field("serial"), field("wwn")] {
        report.not_carried(&field, NO_PLACE);
    }
    match disk.writes {
        Writes::Exclusive => report.exact(&field("writes"), "a disk of one VM"),
        Writes::Shared => report.refused(&field("writes"), "a copy is shared with nobody"),
        Writes::ReadOnly | Writes::ReadOnlyShared => report.refused(&field("writes"), "an OVF disk can be written"),
    }
    report.not_carried(&field("boot_order"), "see boot");
    report.not_carried(&format!("disks[{}]", disk.target), HOST);
}

fn map_other_disk(report: &mut Report<'_>, disk: &Disk) {
    let all = format!("disks[{}]", disk.target);
    let field = |name: &str| format!("{all}.{name}");
    match disk.device {
        DiskDevice::Cdrom | DiskDevice::Floppy => {
            report.exact(&field("target"), "Item: ElementName");
            report.exact(&field("device"), "Item: ResourceType 15 or 14");
            report.approximate(&field("bus"), "Item of the controller", "SATA, where VMware has no such controller");
            report.approximate(&field("address"), "Item: Parent, AddressOnParent", "the next free place");
            report.not_carried(&all, "the drive is exported empty");
        }
        DiskDevice::Lun => report.refused(&all, "a raw device of this host; the package leaves the host"),
        DiskDevice::Disk | DiskDevice::Unknown(_) => {
            report.refused(&all, "its bytes are in nothing that could be exported as a disk");
        }
    }
}

fn map_nic(report: &mut Report<'_>, nth: usize, nic: &Nic, binding: &OvfBinding, layout: &Layout) {
    let key = nic.mac.map_or_else(|| nth.to_string(), |mac| mac.to_string());
    let field = |name: &str| format!("nics[{key}].{name}");
    if is_passed_through(nic) {
        report.refused(&format!("nics[{key}]"), "the interface is a device of this host; the package leaves the host");
        return;
    }
    report.exact(&field("mac"), "Item: Address");
    report.approximate(
        &field("source"),
        "Item: Connection; NetworkSection",
        "the name of what it is plugged into, unless the binding gives another",
    );
    match (nic.vlan.trunk, nic.vlan.tags.is_empty()) {
        (Trunk::Yes, _) => report.refused(&field("vlan"), "a trunk is not one network, and OVF knows nothing else"),
        (Trunk::No, true) => {}
        (Trunk::No, false) if nic.mac.is_some_and(|mac| binding.networks.contains_key(&mac)) => {
            report.not_carried(&field("vlan"), "the network that the binding names has its own");
        }
        (Trunk::No, false) => {
            report.approximate(&field("vlan"), "Item: Connection", "the tag is in the network's name");
        }
    }
    if layout.nics.iter().any(|adapter| adapter.nth == nth && adapter.same_model) {
        report.exact(&field("model"), "Item: ResourceSubType");
    } else {
        let rule = "VMware's nearest: VmxNet3 for virtio, else E1000; the guest needs its driver";
        report.approximate(&field("model"), "Item: ResourceSubType", rule);
    }
    match &nic.link {
        LinkState::Up | LinkState::Down => report.exact(&field("link"), "Item: AutomaticAllocation"),
        LinkState::Unknown(_) => report.refused(&field("link"), "there is no word for this state"),
    }
    report.approximate(&field("address"), "Item: AddressOnParent", "in the order of the interfaces");
    report.not_carried(&field("addresses"), "the guest's own configuration is in its disk");
    report.not_carried(&field("boot_order"), "see boot");
    report.not_carried(&format!("nics[{key}]"), HOST);
}
