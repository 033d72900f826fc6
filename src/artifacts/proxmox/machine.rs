//! Architecture, machine type, firmware, SMBIOS.
//!
//! Assumes an inventory. Guarantees an architecture that Proxmox runs, and a machine type of its forms.

use super::binding::Binding;
use super::conf::{Conf, Props, base64};
use crate::artifacts::error::RenderError;
use crate::artifacts::report::Report;
use crate::discovery::{Domain, DomainType, FirmwareKind};

/// Whether `text` is a machine type that Proxmox takes.
pub(super) fn is_machine(text: &str) -> bool {
    let version = |rest: &str| {
        let parts: Vec<&str> = rest.split('.').collect();
        parts.len() >= 2 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    let plain = matches!(text, "pc" | "q35" | "virt");
    let starts = ["pc-q35-", "pc-i440fx-", "pc-", "virt-"];
    text.len() <= 40 && (plain || starts.iter().any(|start| text.strip_prefix(start).is_some_and(version)))
}

/// The base of a machine type of QEMU.
fn base(kind: &str) -> Option<&'static str> {
    if kind.contains("q35") {
        Some("q35")
    } else if kind.starts_with("virt") {
        Some("virt")
    } else if kind == "pc" || kind.starts_with("pc-") {
        Some("pc")
    } else {
        None
    }
}

/// Whether the machine is one with PCI Express.
pub(super) fn is_q35(domain: &Domain) -> bool {
    domain.platform.machine.as_deref().is_some_and(|kind| kind.contains("q35"))
}

/// Whether the machine is an ARM one.
pub(super) fn is_arm(domain: &Domain) -> bool {
    domain.platform.arch.as_deref() == Some("aarch64")
}

/// Architecture, machine type and firmware.
pub(super) fn machine(
    domain: &Domain,
    binding: &Binding,
    conf: &mut Conf,
    report: &mut Report<'_>,
) -> Result<(), RenderError> {
    match domain.platform.arch.as_deref() {
        Some("x86_64") | None => report.exact("platform.arch", "a node is x86_64"),
        Some("i686") => {
            let rule = "Proxmox has no 32-bit machine, and its 64-bit one runs 32-bit guests";
            report.approximate("platform.arch", "a node is x86_64", rule);
        }
        Some("aarch64") => {
            conf.set("arch", "aarch64");
            report.exact("platform.arch", "arch");
        }
        Some(other) => {
            return Err(RenderError::Refused {
                field: "platform.arch".to_owned(),
                why: format!("Proxmox VE runs x86_64 and aarch64, and not {other}"),
            });
        }
    }
    match domain.platform.domain_type {
        DomainType::Kvm => report.exact("platform.domain_type", "kvm"),
        DomainType::Qemu => {
            conf.set("kvm", 0);
            report.exact("platform.domain_type", "kvm");
        }
        DomainType::Xen
        | DomainType::Lxc
        | DomainType::Test
        | DomainType::Hvf
        | DomainType::Bhyve
        | DomainType::Vmware
        | DomainType::Hyperv
        | DomainType::Parallels
        | DomainType::Vz
        | DomainType::Vbox
        | DomainType::Unknown(_) => {
            report.approximate("platform.domain_type", "kvm", "Proxmox runs KVM");
        }
    }
    if let Some(kind) = machine_type(domain, binding, report) {
        let mut machine = Props::new(kind);
        machine.add("viommu", iommu(domain, report));
        for (state, key) in [("suspend-to-mem", "enable-s3"), ("suspend-to-disk", "enable-s4")] {
            let path = format!("pm.{state}.enabled");
            if let Some(enabled) = domain.settings.get(&path) {
                report.exact(&format!("settings.{path}"), "machine");
                machine.add(key, Some(u8::from(enabled == "yes")));
            }
        }
        conf.set("machine", machine);
    }
    match (&domain.firmware.kind, is_arm(domain)) {
        (FirmwareKind::Uefi, _) => {
            conf.set("bios", "ovmf");
            report.exact("firmware.kind", "bios");
        }
        (FirmwareKind::Bios, false) => {
            conf.set("bios", "seabios");
            report.exact("firmware.kind", "bios");
        }
        (FirmwareKind::Bios | FirmwareKind::Unknown(_), true) => {
            conf.set("bios", "ovmf");
            report.approximate("firmware.kind", "bios", "an ARM machine of Proxmox has UEFI");
        }
        (FirmwareKind::Unknown(_), false) => report.refused("firmware.kind", "Proxmox has OVMF and SeaBIOS"),
    }
    Ok(())
}

fn machine_type(domain: &Domain, binding: &Binding, report: &mut Report<'_>) -> Option<String> {
    let own = domain.platform.machine.as_deref();
    if let Some(kind) = &binding.machine {
        if own != Some(kind.as_str()) {
            report.approximate("platform.machine", "machine", "the binding asks for another machine type");
        }
        report.exact("platform.machine", "machine");
        return Some(kind.as_str().to_owned());
    }
    let own = own?;
    if is_machine(own) {
        report.exact("platform.machine", "machine");
        return Some(own.to_owned());
    }
    match base(own) {
        Some(base) => {
            let rule = "Proxmox takes QEMU's own versions only: the newest of the same kind";
            report.approximate("platform.machine", "machine", rule);
            Some(base.to_owned())
        }
        None => {
            report.refused("platform.machine", "Proxmox has pc, q35 and virt machines: its default takes the place");
            None
        }
    }
}

fn iommu(domain: &Domain, report: &mut Report<'_>) -> Option<&'static str> {
    let iommu = domain.iommu.as_ref()?;
    let kind = match iommu.model.as_str() {
        "intel" if is_q35(domain) => "intel",
        "virtio" => "virtio",
        _ => {
            report.refused("iommu", "Proxmox has intel (on q35) and virtio");
            return None;
        }
    };
    report.exact("iommu.model", "machine: viommu");
    report.not_carried("iommu", "Proxmox has no property for it");
    Some(kind)
}

/// What SMBIOS tells the guest: the UUID in the clear, all else in base64 once there is some.
pub(super) fn smbios(domain: &Domain, conf: &mut Conf, report: &mut Report<'_>) {
    const FIELDS: [&str; 6] = ["family", "manufacturer", "product", "serial", "sku", "version"];
    let seen = domain.identity.hwuuid.or(domain.identity.uuid);
    report.exact("identity.hwuuid", "smbios1: uuid");
    let told = domain.smbios.get("mode").is_none_or(|mode| mode == "sysinfo");
    let mut line = Props::new("");
    line.add("uuid", seen);
    let mut encoded = false;
    for field in FIELDS {
        let path = format!("system.{field}");
        let value = domain.smbios.get(&path).filter(|value| told && !value.is_empty() && value.len() <= 128);
        if value.is_some() {
            report.exact(&format!("smbios.{path}"), "smbios1");
            encoded = true;
        }
        line.add(field, value.map(|value| base64(value)));
    }
    line.add("base64", encoded.then_some(1));
    conf.set("smbios1", line);
    report.not_carried("smbios.mode", "Proxmox has only the fields themselves");
    report.refused("smbios", "Proxmox has fields of the system only, 128 characters at most");
}
