//! What became of each field of the inventory in Terraform's configuration.
//!
//! Assumes the same inventory that was written. Guarantees a rule for every section.

use super::domain::{mebibytes, plug, url};
use super::surroundings::{Surroundings, mode};
use crate::artifacts::report::Report;
use crate::discovery::{
    AddressOrigin, BootOrder, Console, ConsoleRole, Disk, DiskDevice, DiskSource, FirmwareKind, Inventory, Nic,
    NicSource,
};

/// What the schema cannot say no plan can see.
const UNSEEN: &str = "the schema has no place for it, so that no plan sees or changes it; only a replacement would lose it, and prevent_destroy forbids one";
const LIBVIRT: &str = "libvirt keeps it, and the resource is the same VM";

/// Writes the rules.
pub(super) fn map(report: &mut Report<'_>, inventory: &Inventory, around: &Surroundings) {
    map_machine(report, inventory);
    for disk in &inventory.domain.disks {
        map_disk(report, disk, around);
    }
    report.not_carried("disks", UNSEEN);
    for (nth, nic) in inventory.domain.nics.iter().enumerate() {
        map_nic(report, nth, nic);
    }
    report.not_carried("nics", UNSEEN);
    map_devices(report, inventory);
    map_surroundings(report, inventory, around);
    report.not_carried("passthrough_arguments", UNSEEN);
    report.not_carried("definition", LIBVIRT);
    for part in ["metadata", "security_labels", "host"] {
        report.not_carried(part, LIBVIRT);
    }
    report.machine_not_carried(UNSEEN);
    for part in ["guest_os", "boot", "direct_boot", "hostdevs", "filesystems", "launch_security"] {
        report.not_carried(part, UNSEEN);
    }
}

fn map_machine(report: &mut Report<'_>, inventory: &Inventory) {
    let domain = &inventory.domain;
    report.exact("identity.uuid", "import: id");
    report.exact("identity.name", "libvirt_domain: name");
    report.exact("identity.description", "libvirt_domain: description");
    report.not_carried("identity", UNSEEN);
    report.exact("platform.arch", "libvirt_domain: arch");
    report.exact("platform.machine", "libvirt_domain: machine");
    report.exact("platform.emulator", "libvirt_domain: emulator");
    report.not_carried("platform", UNSEEN);
    report.exact("cpu.vcpus_max", "libvirt_domain: vcpu");
    report.exact("cpu.mode", "libvirt_domain: cpu.mode");
    report.not_carried("cpu", UNSEEN);
    if mebibytes(inventory) * 1024 == domain.memory.max_kib.0 {
        report.exact("memory.max_kib", "libvirt_domain: memory");
    } else {
        report.approximate(
            "memory.max_kib",
            "libvirt_domain: memory",
            "rounded down to whole MiB, as the provider reads it",
        );
    }
    report.not_carried("memory", UNSEEN);
    report.exact("firmware.loader", "libvirt_domain: firmware");
    report.exact("firmware.nvram", "libvirt_domain: nvram.file");
    if domain.firmware.nvram.is_some() {
        report.exact("firmware.nvram_template", "libvirt_domain: nvram.template");
    }
    match (&domain.firmware.kind, &domain.firmware.loader) {
        (FirmwareKind::Bios, _) => report.exact("firmware.kind", "no libvirt_domain: firmware"),
        (FirmwareKind::Uefi, Some(_)) => report.approximate(
            "firmware.kind",
            "libvirt_domain: firmware",
            "the schema names the loader's file, which is of that kind",
        ),
        (FirmwareKind::Uefi, None) | (FirmwareKind::Unknown(_), _) => {
            report.refused("firmware.kind", "the schema knows a loader's file only, and here libvirt chooses one");
        }
    }
    report.not_carried("firmware", UNSEEN);
    match &domain.boot {
        BootOrder::ByClass(_) => report.exact("boot", "libvirt_domain: boot_device.dev"),
        BootOrder::ByDevice(_) | BootOrder::Unsaid => {
            report.not_carried("boot", "the schema knows classes of devices only, and the VM orders single ones");
        }
    }
    report.exact("direct_boot.kernel", "libvirt_domain: kernel");
    report.exact("direct_boot.initrd", "libvirt_domain: initrd");
    report.approximate("direct_boot.cmdline", "libvirt_domain: cmdline", "as one argument without a key");
}

fn map_disk(report: &mut Report<'_>, disk: &Disk, around: &Surroundings) {
    let field = |part: &str| format!("disks[{}].{part}", disk.target);
    let at = disk.volume.as_ref().map(|at| (at.pool.clone(), at.volume.clone()));
    let resource = at.is_some_and(|at| around.volumes.contains_key(&at));
    match &disk.source {
        Some(DiskSource::File { .. }) if resource && disk.device == DiskDevice::Disk => {
            report.exact(&field("source"), "libvirt_domain: disk.volume_id");
            report.exact(&field("volume"), "libvirt_domain: disk.volume_id");
        }
        Some(DiskSource::File { .. }) if disk.device == DiskDevice::Cdrom => {
            report.exact(&field("source"), "libvirt_domain: disk.file");
        }
        Some(DiskSource::File { .. }) => report.approximate(
            &field("source"),
            "libvirt_domain: disk.file",
            "the provider looks it up as a volume of a pool that runs, and cannot read the VM when there is none",
        ),
        Some(DiskSource::Block { .. }) => report.exact(&field("source"), "libvirt_domain: disk.block_device"),
        Some(DiskSource::Volume { pool, volume, .. }) => {
            if around.volumes.contains_key(&(pool.clone(), volume.clone())) {
                report.exact(&field("source"), "libvirt_domain: disk.volume_id");
            } else {
                report.refused(&field("source"), "its volume was not looked at, so that its key is not known");
            }
        }
        Some(DiskSource::Network { .. }) if url(disk).is_some() => {
            let rule = "as the provider spells it when it reads the VM, with the first host only";
            report.approximate(&field("source"), "libvirt_domain: disk.url", rule);
        }
        Some(
            DiskSource::Network { .. }
            | DiskSource::Directory { .. }
            | DiskSource::Nvme { .. }
            | DiskSource::VhostUser { .. }
            | DiskSource::Unknown { .. },
        ) => report.refused(&field("source"), "the schema has no word for this kind of source"),
        None => {}
    }
    if disk.source.is_some() {
        report.exact(&field("wwn"), "libvirt_domain: disk.wwn");
    }
    report.not_carried(&field("target"), "the provider counts disks by their place");
    report.approximate(&field("bus"), "libvirt_domain: disk.scsi", "said of SCSI only");
}

fn map_nic(report: &mut Report<'_>, nth: usize, nic: &Nic) {
    let key = nic.mac.map_or_else(|| nth.to_string(), |mac| mac.to_string());
    let field = |part: &str| format!("nics[{key}].{part}");
    report.exact(&field("mac"), "libvirt_domain: network_interface.mac");
    match (plug(nic), &nic.source) {
        (Some((attribute, _)), NicSource::Network { portgroup: Some(_), .. }) => {
            let to = format!("libvirt_domain: network_interface.{attribute}");
            report.approximate(&field("source"), &to, "without the portgroup, for which the schema has no place");
        }
        (Some((attribute, _)), _) => {
            report.exact(&field("source"), &format!("libvirt_domain: network_interface.{attribute}"));
        }
        (None, _) => report.refused(&field("source"), "the schema has no word for what it is plugged into"),
    }
    if nic.addresses.iter().any(|address| address.origin == AddressOrigin::StaticHost) {
        let rule = "those that the network reserves for it; others are of the moment";
        report.approximate(&field("addresses"), "libvirt_domain: network_interface.addresses", rule);
    }
    report.not_carried(&field("addresses"), "what is not reserved for it is of the moment");
}

fn map_devices(report: &mut Report<'_>, inventory: &Inventory) {
    let domain = &inventory.domain;
    report.exact("guest_agent", "libvirt_domain: qemu_agent");
    report.approximate("tpm", "libvirt_domain: tpm", "its model, backend and version");
    report.approximate("graphics[0]", "libvirt_domain: graphics", "without the number of its port");
    report.not_carried("graphics", "the schema has a place for one display");
    report.approximate("videos[0]", "libvirt_domain: video.type", "its model");
    report.not_carried("videos", "the schema has a place for one");
    for (nth, Console { role, .. }) in domain.consoles.iter().enumerate() {
        match role {
            ConsoleRole::Console => report.exact(&format!("consoles[{nth}]"), "libvirt_domain: console"),
            ConsoleRole::Serial => report.not_carried(&format!("consoles[{nth}]"), UNSEEN),
        }
    }
    for (nth, filesystem) in domain.filesystems.iter().enumerate() {
        let field = format!("filesystems[{nth}]");
        if filesystem.source.is_some() && filesystem.target.is_some() {
            report.approximate(&field, "libvirt_domain: filesystem", "source, target and whether it is read only");
        } else {
            report.refused(&field, "the schema needs its source and target");
        }
    }
}

fn map_surroundings(report: &mut Report<'_>, inventory: &Inventory, around: &Surroundings) {
    for network in inventory.networks.values() {
        let field = |part: &str| format!("networks[{}].{part}", network.name);
        if !around.networks.contains_key(&network.name) {
            report.not_carried(
                &format!("networks[{}]", network.name),
                "it is not imported: by the binding, or for want of a UUID",
            );
            continue;
        }
        report.exact(&field("uuid"), "import: id");
        for part in ["name", "domain", "bridge", "mtu"] {
            report.exact(&field(part), &format!("libvirt_network: {part}"));
        }
        match mode(network) {
            Some(_) => report.exact(&field("forward"), "libvirt_network: mode"),
            None => report.refused(&field("forward"), "the schema has no word for this mode"),
        }
        report.approximate(
            &field("subnets"),
            "libvirt_network: addresses, dhcp",
            "the subnets, and whether DHCP serves them",
        );
        if network.subnets.is_empty() {
            report.not_carried(&field("dns"), "without a subnet nothing answers");
        }
        report.exact(&field("dns"), "libvirt_network: dns.enabled");
        if !network.subnets.is_empty() {
            report.exact(&field("forwarders"), "libvirt_network: dns.forwarders");
        }
    }
    report.not_carried("networks", UNSEEN);
    for pool in inventory.pools.values() {
        let field = |part: &str| format!("pools[{}].{part}", pool.name);
        if around.pools.contains_key(&pool.name) {
            report.exact(&field("uuid"), "import: id");
            report.exact(&field("name"), "libvirt_pool: name");
            report.exact(&field("kind"), "libvirt_pool: type");
            report.exact(&field("target"), "libvirt_pool: target.path");
            report.exact(&field("source_name"), "libvirt_pool: source.name");
        }
        if around.volumes.keys().any(|(name, _)| *name == pool.name) {
            let rule = "those with a key: name, size and format";
            report.approximate(&field("volumes"), "libvirt_volume", rule);
        }
    }
    report.not_carried("pools", "it is not in the schema, or it is of the moment, or it is not imported");
}
