//! The volumes of EFI variables and of the TPM's state, and the SCSI controller.
//!
//! Assumes an inventory. Guarantees a name for each volume, counted from 0 as Proxmox itself counts.

use super::binding::Binding;
use super::conf::{Conf, Props};
use crate::artifacts::report::Report;
use crate::discovery::{Domain, FirmwareKind, SecureBoot};

/// EFI variables and the TPM's state; returns how many volumes that are.
pub(super) fn state_volumes(domain: &Domain, binding: &Binding, conf: &mut Conf, report: &mut Report<'_>) -> usize {
    let mut number = 0;
    let mut volume = |key: &str| {
        let named = binding.volumes.get(key).map(|volume| volume.as_str().to_owned());
        let volume = named.unwrap_or_else(|| binding.volume(&binding.storage, number, "raw"));
        number += 1;
        volume
    };
    let firmware = &domain.firmware;
    if firmware.kind == FirmwareKind::Uefi {
        let mut line = Props::new(volume("efidisk0"));
        let enrolled = firmware.secure_boot == SecureBoot::On;
        line.add("efitype", Some("4m"));
        line.add("pre-enrolled-keys", Some(u8::from(enrolled)));
        line.add("size", Some("528K"));
        conf.set("efidisk0", line);
        report.approximate("firmware.secure_boot", "efidisk0", "on where Proxmox's usual keys are enrolled");
        let rule = "the volume has to be there; the variables of today do not come along";
        report.approximate("firmware.nvram", "efidisk0", rule);
    }
    report.not_carried("firmware", "Proxmox brings its own firmware");
    let Some(tpm) = &domain.tpm else { return number };
    let version = match (tpm.backend.as_str(), tpm.version.as_deref()) {
        ("emulator", Some("2.0") | None) => "v2.0",
        ("emulator", Some("1.2")) => "v1.2",
        _ => {
            report.refused("tpm", "Proxmox emulates versions 1.2 and 2.0, and nothing else");
            return number;
        }
    };
    let mut line = Props::new(volume("tpmstate0"));
    line.add("size", Some("4M"));
    line.add("version", Some(version));
    conf.set("tpmstate0", line);
    let rule = "the volume has to be there, with a new state: what is sealed in the one of today is lost";
    report.approximate("tpm.backend", "tpmstate0", rule);
    report.approximate("tpm.model", "tpmstate0", "Proxmox chooses the model by the machine");
    report.exact("tpm.version", "tpmstate0: version");
    report.not_carried("tpm", "Proxmox has no property for it");
    number
}

/// The SCSI controller that the first one of the domain is.
pub(super) fn scsi_controller(domain: &Domain, conf: &mut Conf, used: bool, report: &mut Report<'_>) {
    let threads = domain.disks.iter().any(|disk| disk.settings.contains_key("driver.iothread"));
    let virtio = if threads { "virtio-scsi-single" } else { "virtio-scsi-pci" };
    let mut first = true;
    for (nth, controller) in domain.controllers.iter().enumerate() {
        let path = format!("controllers[{nth}]");
        if controller.kind != "scsi" {
            report.not_carried(&path, "Proxmox makes the controllers that its devices need");
            continue;
        }
        let word = match controller.model.as_deref() {
            Some("virtio-scsi" | "virtio-non-transitional" | "virtio-transitional") => Some(virtio),
            Some("lsilogic") => Some("lsi"),
            Some("lsisas1078") => Some("megasas"),
            Some("vmpvscsi") => Some("pvscsi"),
            Some(_) | None => None,
        };
        match word.filter(|_| first && used) {
            Some(word) => {
                report.exact(&path, "scsihw");
                conf.set("scsihw", word);
            }
            None => {
                report.approximate(&path, "scsihw", "one SCSI controller of a model that Proxmox has, when it is used");
            }
        }
        first = false;
    }
    if used && !conf.has("scsihw") {
        conf.set("scsihw", virtio);
    }
}
