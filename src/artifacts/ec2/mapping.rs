//! What became of each field of the inventory in EC2's answers.
//!
//! Assumes the instance that was written. Guarantees a rule for every section of the inventory.

use super::instance::{Instance, fits_a_tag};
use super::interfaces::{Interface, Known};
use super::sizes::size_of;
use super::volumes::{Volume, is_volume};
use crate::artifacts::report::Report;
use crate::discovery::{AddressOrigin, DiskDevice, LinkState, Topology, Trunk, Writes};
use crate::model::units::Kib;

/// What EC2 has no words for.
const MACHINE: &str = "EC2 tells nothing of the machine below an instance, and the VM keeps it";
const TYPE: &str = "in EC2 it belongs to the instance type";
const HOST: &str = "it is the host's side, which EC2 does not show";

/// Writes the rules.
pub(super) fn map(report: &mut Report<'_>, instance: &Instance<'_>) {
    identity(report, instance);
    platform(report, instance);
    size(report, instance);
    for disk in &instance.inventory.domain.disks {
        if !is_volume(disk) {
            let why = "EC2 has no drives for discs and floppies";
            report.not_carried(&format!("disks[{}]", disk.target), why);
        }
    }
    for volume in &instance.volumes {
        disk(report, instance, volume);
    }
    for interface in &instance.interfaces {
        nic(report, interface);
    }
    report.refused("nics", "without a MAC the interface has no stable id, so that it is left out");
    rest(report, instance);
}

fn identity(report: &mut Report<'_>, instance: &Instance<'_>) {
    let identity = &instance.inventory.domain.identity;
    report.exact("identity.uuid", "tag covirt:libvirt-uuid; the ids of instance and reservation are made from it");
    for (field, tag, text) in [
        ("identity.name", "tag Name", Some(&identity.name)),
        ("identity.title", "tag covirt:title", identity.title.as_ref()),
        ("identity.description", "tag covirt:description", identity.description.as_ref()),
    ] {
        if text.is_some_and(|text| fits_a_tag(text)) {
            report.exact(field, tag);
        } else {
            report.not_carried(field, "it is longer than the 256 characters of a tag, or has line breaks");
        }
    }
    let rule = "Windows, or Linux/UNIX for all others but Apple's";
    match instance.inventory.domain.guest_os.as_deref() {
        Some(os) if os.contains("//apple.com/") => report.not_carried("guest_os", "EC2 has no word for it"),
        Some(_) | None => report.approximate("guest_os", "Platform, PlatformDetails", rule),
    }
    report.not_carried("identity", MACHINE);
}

fn platform(report: &mut Report<'_>, instance: &Instance<'_>) {
    let domain = &instance.inventory.domain;
    match (instance.architecture, domain.platform.arch.as_deref()) {
        (Some(word), Some(arch)) if word == arch => report.exact("platform.arch", "Architecture"),
        (Some(_), _) => report.approximate("platform.arch", "Architecture", "EC2's word for it"),
        (None, _) => report.refused("platform.arch", "EC2 has no such architecture, so that none is told"),
    }
    match domain.platform.os_type.as_deref() {
        Some("hvm") => report.exact("platform.os_type", "VirtualizationType"),
        Some("xen" | "linux") => report.approximate("platform.os_type", "VirtualizationType", "EC2's word for it"),
        Some(_) | None => report.refused("platform.os_type", "EC2 has no such virtualization"),
    }
    match instance.boot_mode {
        Some("uefi") => report.exact("firmware.kind", "BootMode, CurrentInstanceBootMode"),
        Some(_) => report.approximate("firmware.kind", "BootMode, CurrentInstanceBootMode", "EC2's word for it"),
        None => report.refused("firmware.kind", "EC2 has no such firmware"),
    }
    report.not_carried("firmware.nvram", "UEFI variables, enrolled keys among them, travel in no answer");
    report.not_carried("firmware", MACHINE);
    if domain.tpm.as_ref().is_some_and(|tpm| tpm.version.as_deref() == Some("2.0")) {
        report.exact("tpm.version", "TpmSupport");
    }
    report.not_carried("tpm", "the TPM's kind and state travel in no answer");
    match &domain.launch_security {
        Some(security) if security.kind == "sev-snp" => report.exact("launch_security.kind", "CpuOptions.AmdSevSnp"),
        Some(_) => report.refused("launch_security.kind", "of such protections EC2 knows SEV-SNP alone"),
        None => {}
    }
    report.not_carried("launch_security", MACHINE);
    let rule = "libvirt's destroy is EC2's stop, or terminate for a VM without a definition";
    match instance.on_power_off {
        Some(_) => report.approximate("lifecycle.on_poweroff", "InstanceInitiatedShutdownBehavior", rule),
        None => report.refused("lifecycle.on_poweroff", "EC2 knows stop and terminate alone"),
    }
    report.not_carried("lifecycle", MACHINE);
}

/// Processors and memory, which an instance has from its type.
fn size(report: &mut Report<'_>, instance: &Instance<'_>) {
    let domain = &instance.inventory.domain;
    let name = instance.binding.instance_type.as_str();
    let known = size_of(name);
    let vcpus = u64::from(domain.cpu.vcpus);
    match known {
        Some(size) if size.vcpus != vcpus => {
            let rule = format!("the VM has {vcpus}, and {name} has {}: tools may show either", size.vcpus);
            report.approximate("cpu.vcpus", "CpuOptions", &rule);
        }
        Some(_) | None => report.exact("cpu.vcpus", "CpuOptions"),
    }
    if domain.cpu.vcpus == domain.cpu.vcpus_max {
        report.exact("cpu.vcpus_max", "CpuOptions");
    }
    report.not_carried("cpu.vcpus_max", "EC2 plugs no processors into what runs");
    let folded = "sockets, dies and clusters are folded into cores";
    match domain.cpu.topology {
        Some(Topology { sockets: 1, dies: 1, clusters: 1, cores, threads })
            if (u64::from(cores), u64::from(threads)) == (instance.cpu.cores, instance.cpu.threads) =>
        {
            report.exact("cpu.topology", "CpuOptions");
        }
        Some(topology) if instance.cpu.threads != u64::from(topology.threads.max(1)) => {
            report.approximate("cpu.topology", "CpuOptions", "the processors plugged now do not fill their cores");
        }
        Some(_) | None => report.approximate("cpu.topology", "CpuOptions", folded),
    }
    report.not_carried("cpu", TYPE);
    let Kib(memory) = domain.memory.max_kib;
    match known {
        Some(size) if size.memory_mib * 1024 == memory => {
            report.exact("memory.max_kib", "InstanceType; DescribeInstanceTypes: MemoryInfo");
        }
        Some(size) => {
            let rule = format!("the VM has {} MiB, and {name} has {}", memory / 1024, size.memory_mib);
            report.approximate("memory.max_kib", "InstanceType; DescribeInstanceTypes: MemoryInfo", &rule);
        }
        None => {
            let why = format!("in EC2 it comes with the instance type, and how much {name} has is not known here");
            report.not_carried("memory.max_kib", &why);
        }
    }
    report.not_carried("memory", TYPE);
}

fn disk(report: &mut Report<'_>, instance: &Instance<'_>, volume: &Volume<'_>) {
    let field = |name: &str| format!("disks[{}].{name}", volume.disk.target);
    report.exact(&field("target"), "BlockDeviceMappings: DeviceName");
    let sized = "DescribeVolumes: Size";
    let whole = "GiB, rounded up";
    match (instance.inventory.capacity_of(volume.disk), volume.size) {
        (Some(_), _) => {
            report.approximate(&field("size"), sized, whole);
            if let Some(at) = volume.disk.volume.as_ref().filter(|_| volume.disk.size.is_none()) {
                report.approximate(&format!("pools[{}].volumes", at.pool), sized, whole);
            }
        }
        (None, Some(_)) => {}
        (None, None) => {
            let why = "nobody knows its size, so that DescribeVolumes tells none; the binding may give it";
            report.refused(&field("source"), why);
        }
    }
    report.approximate(
        &field("source"),
        "VolumeId",
        "a digest of the VM's UUID and the source; it changes with the source, as when an external snapshot is taken",
    );
    if volume.disk.device == DiskDevice::Lun {
        report.approximate(
            &field("device"),
            "DescribeVolumes",
            "a LUN that the guest commands itself is shown as a volume",
        );
    }
    report.exact(&field("device"), "DescribeVolumes");
    report.exact(&field("format"), "DescribeVolumes: tag covirt:format");
    match volume.disk.writes {
        Writes::Exclusive | Writes::Shared => report.exact(&field("writes"), "DescribeVolumes: MultiAttachEnabled"),
        Writes::ReadOnly | Writes::ReadOnlyShared => {
            report.refused(&field("writes"), "EC2 has no volumes that are only read");
        }
    }
    report.approximate(&field("encryption"), "DescribeVolumes: Encrypted", "that there is some, and not which");
    if volume.root {
        report.approximate(&field("boot_order"), "RootDeviceName", "the first disk of the order");
    }
    report.not_carried(&field("serial"), "EC2 shows the volume's id for it");
    report.not_carried(&field("iotune"), "in EC2 it belongs to the volume's type");
    report.not_carried(&format!("disks[{}]", volume.disk.target), MACHINE);
}

fn nic(report: &mut Report<'_>, interface: &Interface<'_>) {
    let field = |name: &str| format!("nics[{}].{name}", interface.mac);
    report.exact(&field("mac"), "MacAddress; interface ids are made from it");
    report.approximate(&field("source"), "SubnetId", "the subnet that the binding gives the interface");
    let addresses = "PrivateIpAddresses, Ipv6Addresses";
    match &interface.known {
        Known::Fixed(_) => report.exact(&field("addresses"), addresses),
        Known::Now(AddressOrigin::Agent, _) => {
            report.approximate(&field("addresses"), addresses, "what the guest agent says it has now");
        }
        Known::Now(AddressOrigin::Lease | AddressOrigin::StaticHost | AddressOrigin::Arp, _) => {
            report.approximate(&field("addresses"), addresses, "what DHCP has lent it now");
        }
        Known::Nothing => report.not_carried(&field("addresses"), "none of them is sure enough to answer with"),
    }
    let checked = "a filter against forged addresses is EC2's check of source and destination, any other is none";
    report.approximate(&field("filter"), "SourceDestCheck", checked);
    if interface.nic.link == LinkState::Down {
        report.refused(&field("link"), "an interface of EC2 has no cable to unplug");
    }
    report.exact(&field("link"), "Status, Attachment.Status");
    if interface.nic.vlan.trunk == Trunk::Yes {
        report.refused(&field("vlan"), "a subnet of EC2 carries no tagged frames");
    }
    report.not_carried(&field("vlan"), HOST);
    report.not_carried(&field("mtu"), "EC2's DHCP tells the guest, and no answer has it");
    report.not_carried(&field("bandwidth"), TYPE);
    for part in ["virtualport", "target"] {
        report.not_carried(&field(part), HOST);
    }
    report.not_carried(&format!("nics[{}]", interface.mac), MACHINE);
}

fn rest(report: &mut Report<'_>, instance: &Instance<'_>) {
    if instance.interfaces.iter().any(|interface| interface.ipv4().iter().any(|(_, prefix)| prefix.is_some())) {
        let to = "meta-data: subnet-ipv4-cidr-block";
        report.approximate("networks[*].subnets", to, "the network of an interface's own addresses");
    }
    report.not_carried("networks", "what of them EC2 knows is the binding's VPC and subnets");
    report.not_carried("pools", HOST);
    report.not_carried("hostdevs", TYPE);
    report.refused("direct_boot", "EC2 starts an instance from its volume, and not from a kernel on the host");
    report.refused("filesystems", "EC2 shows an instance no folders of its host");
    if let Some(root) = instance.root() {
        let rule = format!("{} is the first volume of the order", root.disk.target);
        report.approximate("boot", "RootDeviceName", &rule);
    }
    report.not_carried("boot", "without a volume there is none to start from");
    report.not_carried("definition", "the answers are of what runs now");
    report.not_carried("metadata", "a mark of another manager, which is its own");
    report.not_carried("host", HOST);
    report.machine_not_carried(MACHINE);
    for part in ["platform", "security_labels", "passthrough_arguments"] {
        report.not_carried(part, MACHINE);
    }
}
