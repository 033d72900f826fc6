//! Devices that both a flavor and an image can ask Nova for: both must say the same, so it is decided once, here.
//!
//! Assumes a domain. Guarantees Nova's own words, or the reason why it has none.

use super::extra_specs::ExtraSpecs;
use crate::artifacts::report::Report;
use crate::discovery::{Domain, FirmwareKind};

/// A TPM in Nova's words.
#[derive(Debug)]
pub(super) struct NovaTpm {
    pub(super) model: &'static str,
    pub(super) version: &'static str,
}

/// The TPM; none when the VM has none, and a reason when Nova cannot give it one like that.
pub(super) fn tpm(domain: &Domain) -> Option<Result<NovaTpm, &'static str>> {
    let tpm = domain.tpm.as_ref()?;
    if tpm.backend != "emulator" {
        return Some(Err("Nova emulates a TPM and passes none of the host's through"));
    }
    let version = tpm.version.as_deref();
    Some(match (tpm.model.as_deref(), version) {
        // The CRB interface came with version 2.0, so that there is no other.
        (Some("tpm-crb"), Some("2.0") | None) => Ok(NovaTpm { model: "tpm-crb", version: "2.0" }),
        (Some("tpm-tis"), Some("2.0")) => Ok(NovaTpm { model: "tpm-tis", version: "2.0" }),
        (Some("tpm-tis"), Some("1.2")) => Ok(NovaTpm { model: "tpm-tis", version: "1.2" }),
        (Some("tpm-tis"), None) => Err("the XML does not say which version the TPM has, and Nova has to be told"),
        (Some(_) | None, _) => Err("Nova knows the models tpm-tis (1.2 and 2.0) and tpm-crb (2.0)"),
    })
}

/// The first watchdog's action, when Nova has it.
pub(super) fn watchdog_action(domain: &Domain) -> Option<&'static str> {
    let action = domain.watchdogs.first()?.action.as_str();
    ["none", "pause", "poweroff", "reset"].into_iter().find(|known| *known == action)
}

/// Whether interfaces are to have several queues; Nova gives each as many as there are processors, if more than one.
pub(super) fn multiqueue(domain: &Domain) -> bool {
    domain.cpu.vcpus_max > 1 && domain.nics.iter().any(|nic| nic.queues.is_some_and(|queues| queues > 1))
}

/// Encryption of the guest's memory.
pub(super) fn write_memory_encryption(specs: &mut ExtraSpecs, domain: &Domain, report: &mut Report<'_>) {
    let Some(security) = &domain.launch_security else { return };
    // Bit 2 of an SEV guest's policy asks for encrypted state.
    let encrypted_state = security.policy.as_deref().and_then(read_number).is_some_and(|policy| policy & 4 != 0);
    let model = match security.kind.as_str() {
        "sev" if encrypted_state => "amd-sev-es",
        "sev" => "amd-sev",
        "sev-snp" => "amd-sev-snp",
        "tdx" => "intel-tdx",
        _ => return report.refused("launch_security", "Nova knows SEV, SEV-ES, SEV-SNP and TDX only"),
    };
    let q35 = domain.platform.machine.as_deref().is_some_and(|machine| machine.contains("q35"));
    if domain.firmware.kind != FirmwareKind::Uefi || !q35 {
        return report.refused("launch_security", "Nova encrypts the memory of guests with UEFI on a q35 machine only");
    }
    specs.push("hw:mem_encryption", "true");
    specs.push("hw:mem_encryption_model", model);
    let rule = "Nova chooses the policy's other bits; a launch session and its keys are the owner's and stay here";
    report.approximate("launch_security", "flavor-extra-specs.json: hw:mem_encryption_model", rule);
}

/// A number as libvirt writes it, in hexadecimal with `0x` or in decimal.
fn read_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
