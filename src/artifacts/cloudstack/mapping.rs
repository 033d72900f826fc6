//! What became of each field of the inventory in an import by CloudStack.
//!
//! Assumes the same plan and checks that were written. Guarantees that what a check fails is `refused`, and a rule for
//! every section.

use super::binding::Address;
use super::checks::{Check, Verdict};
use super::plan::{Plan, Role, cpus, is_listed, mebibytes};
use crate::artifacts::report::Report;
use crate::discovery::{FirmwareKind, Inventory, SecureBoot};

/// CloudStack changes nothing of a VM that it adopts, until it starts it.
const NEXT_START: &str =
    "the running VM keeps it; CloudStack writes the domain anew when it starts it next, without it";
const AGENT: &str = "CloudStack's agent reads it from libvirt";
const OTHERS: &str = "it stays this host's, and CloudStack has its own";

/// Writes the rules.
pub(super) fn map(report: &mut Report<'_>, inventory: &Inventory, plan: &Plan<'_>, checks: &[Check]) {
    let domain = &inventory.domain;
    for check in checks.iter().filter(|check| check.verdict == Verdict::Fail) {
        if let Some(field) = &check.field {
            report.refused(field, &check.why);
        }
    }
    report.exact("identity.name", "name");
    report.exact("identity.title", "displayname");
    report.not_carried("identity.uuid", "CloudStack gives the VM an id of its own; it knows this one by its name");
    report.not_carried("identity", NEXT_START);
    report.exact("cpu.vcpus", "details[0].cpuNumber");
    if cpus(inventory) == domain.cpu.vcpus_max {
        report.exact("cpu.vcpus_max", "details[0].cpuNumber");
    }
    report.not_carried("cpu", NEXT_START);
    if mebibytes(inventory) * 1024 == domain.memory.max_kib.0 {
        report.exact("memory.max_kib", "details[0].memory");
    } else {
        report.approximate("memory.max_kib", "details[0].memory", "rounded down to whole MiB, as the agent does");
    }
    report.not_carried("memory", NEXT_START);
    map_firmware(report, inventory);
    for (id, planned) in plan.disks.iter().enumerate() {
        let field = |part: &str| format!("disks[{}].{part}", planned.disk.target);
        match planned.role {
            Role::Root => report.approximate(&field("target"), "the root disk", "it is the one without an offering"),
            Role::Data { .. } => {
                let to = format!("datadiskofferinglist: disk {id}");
                report.approximate(&field("target"), &to, "its place among the disks that the agent lists");
            }
        }
        report.exact(&field("bus"), "details[0].rootDiskController, dataDiskController");
        report.approximate(&field("backing"), "CloudStack's volume", "the top image only; see pre-checks.json");
        for part in ["source", "format", "size", "device", "volume", "writes"] {
            report.not_carried(&field(part), AGENT);
        }
    }
    for disk in domain.disks.iter().filter(|disk| !is_listed(disk)) {
        let why = "CloudStack lists no such drive, and attaches its own when it starts the VM next";
        report.not_carried(&format!("disks[{}]", disk.target), why);
    }
    report.not_carried("disks", NEXT_START);
    for (id, planned) in plan.nics.iter().enumerate() {
        let Some(mac) = planned.nic.mac else { continue };
        let field = |part: &str| format!("nics[{mac}].{part}");
        let to = format!("nicnetworklist: nic {id}");
        report.approximate(&field("mac"), &to, "its place among the interfaces; the agent reads the MAC itself");
        report.approximate(&field("source"), &to, "the binding's network, which has to be the same one");
        report.approximate(&field("vlan"), &to, "the binding's network has to have the same tag");
        report.exact(&field("model"), "details[0].nicAdapter");
        match planned.address {
            Address::This(_) => report.exact(&field("addresses"), "nicipaddresslist: ip4Address"),
            Address::Auto => {
                report.not_carried(&field("addresses"), "none is surely the interface's, so CloudStack chooses one");
            }
            Address::Layer2 => report.not_carried(&field("addresses"), "a network of layer 2 has no addresses"),
        }
        report.not_carried(&field("target"), AGENT);
    }
    report.not_carried("nics", NEXT_START);
    report.refused("passthrough_arguments", NEXT_START);
    for part in ["hostdevs", "filesystems", "launch_security", "direct_boot", "tpm"] {
        report.refused(part, "the VM that CloudStack starts next would be without it");
    }
    report.not_carried("definition", "the request is about what runs now");
    for part in ["networks", "pools", "host", "security_labels", "metadata"] {
        report.not_carried(part, OTHERS);
    }
    report.machine_not_carried(NEXT_START);
    for part in ["guest_os", "platform", "boot"] {
        report.not_carried(part, NEXT_START);
    }
}

fn map_firmware(report: &mut Report<'_>, inventory: &Inventory) {
    let firmware = &inventory.domain.firmware;
    match (&firmware.kind, firmware.secure_boot) {
        (FirmwareKind::Uefi, SecureBoot::On | SecureBoot::Off) => {
            report.exact("firmware.kind", "details[0].UEFI");
            report.exact("firmware.secure_boot", "details[0].UEFI: SECURE or LEGACY");
        }
        (FirmwareKind::Uefi, SecureBoot::Unsaid) => {
            report.exact("firmware.kind", "details[0].UEFI");
            report.approximate("firmware.secure_boot", "details[0].UEFI", "LEGACY: nobody asked for secure boot");
        }
        (FirmwareKind::Bios, _) => report.exact("firmware.kind", "no details[0].UEFI"),
        (FirmwareKind::Unknown(_), _) => report.refused("firmware.kind", "CloudStack knows BIOS and UEFI only"),
    }
    report.refused("firmware.nvram", "CloudStack starts the VM next with UEFI variables of its own, in another file");
    report.not_carried("firmware", NEXT_START);
}
