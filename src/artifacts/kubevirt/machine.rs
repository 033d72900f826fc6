//! The machine: architecture, type, firmware, launch security.
//!
//! Assumes an inventory. Guarantees one of KubeVirt's architectures, a machine type that the cluster admits, and
//! firmware that goes together with the launch security that is written.
//! *Source*: <https://kubevirt.io/user-guide/compute/virtual_hardware/>.

use serde_json::{Value, json};

use super::binding::Binding;
use super::name::object;
use crate::artifacts::error::RenderError;
use crate::artifacts::report::Report;
use crate::discovery::{Domain, FirmwareKind, SecureBoot};

/// An architecture that KubeVirt runs; none where the XML does not say one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arch {
    Amd64,
    Arm64,
    S390x,
}

impl Arch {
    /// KubeVirt's word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
            Self::S390x => "s390x",
        }
    }

    /// The machine type KubeVirt takes when none is asked for.
    fn default_machine(self) -> &'static str {
        match self {
            Self::Amd64 => "q35",
            Self::Arm64 => "virt",
            Self::S390x => "s390-ccw-virtio",
        }
    }

    /// The machine types a cluster admits unless it was told others.
    fn default_patterns(self) -> &'static [&'static str] {
        match self {
            Self::Amd64 => &["q35*", "pc-q35*"],
            Self::Arm64 => &["virt*"],
            Self::S390x => &["s390-ccw-virtio*"],
        }
    }
}

/// The architecture; a guest of another one is another VM.
pub(super) fn arch(domain: &Domain, report: &mut Report<'_>) -> Result<Arch, RenderError> {
    let arch = match domain.platform.arch.as_deref() {
        Some("x86_64") | None => Arch::Amd64,
        Some("i686") => {
            let rule = "KubeVirt has no 32-bit machine, and its 64-bit one runs 32-bit guests";
            report.approximate("platform.arch", "spec.template.spec.architecture", rule);
            Arch::Amd64
        }
        Some("aarch64") => Arch::Arm64,
        Some("s390x") => Arch::S390x,
        Some(other) => {
            return Err(RenderError::Refused {
                field: "platform.arch".to_owned(),
                why: format!("KubeVirt runs x86_64, aarch64 and s390x, and not {other}"),
            });
        }
    };
    report.exact("platform.arch", "spec.template.spec.architecture");
    Ok(arch)
}

/// The machine type, and whether it is the domain's own: only then do PCI addresses keep their meaning.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) kind: Option<String>,
    pub(super) same: bool,
}

/// Chooses a machine type that the cluster admits.
pub(super) fn machine(domain: &Domain, arch: Arch, binding: &Binding, report: &mut Report<'_>) -> Machine {
    const TO: &str = "spec.template.spec.domain.machine.type";
    let admitted = |kind: &str| {
        if binding.emulated_machines.is_empty() {
            arch.default_patterns().iter().any(|pattern| matches(pattern, kind))
        } else {
            binding.emulated_machines.iter().any(|pattern| matches(pattern, kind))
        }
    };
    let own = domain.platform.machine.as_deref();
    if let Some(kind) = &binding.machine {
        let same = own == Some(kind.as_str());
        if same {
            report.exact("platform.machine", TO);
        } else {
            report.approximate("platform.machine", TO, "the binding asks for another machine type");
        }
        return Machine { kind: Some(kind.clone()), same };
    }
    if let Some(kind) = own.filter(|kind| admitted(kind)) {
        report.exact("platform.machine", TO);
        return Machine { kind: Some(kind.to_owned()), same: true };
    }
    let other = arch.default_machine();
    if admitted(other) {
        let rule = "the cluster admits only other machine types: devices sit elsewhere, and a guest without drivers \
                    for this chipset does not start";
        report.approximate("platform.machine", TO, rule);
        return Machine { kind: Some(other.to_owned()), same: false };
    }
    report.refused(
        "platform.machine",
        "the cluster admits neither it nor the default; `machine` of the binding says one",
    );
    Machine { kind: None, same: false }
}

/// KubeVirt's patterns for machine types: `*` is any text, `?` any character.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => text.is_empty(),
        Some('*') => {
            let tails = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            tails.filter_map(|at| text.get(at..)).any(|tail| matches(rest.as_str(), tail))
        }
        Some(wanted) => {
            let mut letters = text.chars();
            let found = letters.next().is_some_and(|letter| wanted == '?' || wanted == letter);
            found && matches(rest.as_str(), letters.as_str())
        }
    }
}

/// Protection of the guest's memory that KubeVirt knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    /// `es`: with encrypted registers.
    Sev {
        es: bool,
    },
    Snp,
    Tdx,
    SecureExecution,
}

/// What of the launch security can be written; the rest is in the report.
pub(super) fn protection(
    domain: &Domain,
    arch: Arch,
    binding: &Binding,
    report: &mut Report<'_>,
) -> Option<Protection> {
    const TO: &str = "spec.template.spec.domain.launchSecurity";
    let asked = domain.launch_security.as_ref()?;
    // Bit 2 of the policy asks for encrypted registers.
    let word = asked.policy.as_deref().map(|word| word.trim_start_matches("0x"));
    let es = word.and_then(|word| u64::from_str_radix(word, 16).ok()).is_some_and(|policy| policy & 4 != 0);
    let (protection, gate) = match (asked.kind.as_str(), arch) {
        ("sev", Arch::Amd64) => (Protection::Sev { es }, "WorkloadEncryptionSEV"),
        ("sev-snp", Arch::Amd64) => (Protection::Snp, "WorkloadEncryptionSEV"),
        ("tdx", Arch::Amd64) => (Protection::Tdx, "WorkloadEncryptionTDX"),
        ("s390-pv", Arch::S390x) => (Protection::SecureExecution, "SecureExecution"),
        _ => {
            report.refused("launch_security", "KubeVirt does not know this kind of protection");
            return None;
        }
    };
    if !binding.gate(gate) {
        report
            .refused("launch_security", &format!("it needs the feature gate {gate}, which the binding does not list"));
        return None;
    }
    let uefi = domain.firmware.kind == FirmwareKind::Uefi;
    let clash = match protection {
        Protection::SecureExecution => false,
        Protection::Sev { .. } | Protection::Snp => !uefi || domain.firmware.secure_boot == SecureBoot::On,
        Protection::Tdx => !uefi || domain.features.iter().any(|feature| feature.name == "smm" && feature.enabled),
    };
    if clash {
        let why = "KubeVirt admits it only with UEFI and without secure boot (TDX: without SMM)";
        report.refused("launch_security", why);
        return None;
    }
    report.exact("launch_security.kind", TO);
    match protection {
        Protection::Sev { .. } => {
            let rule = "only whether registers are encrypted has a field";
            report.approximate("launch_security.policy", "launchSecurity.sev.policy", rule);
        }
        Protection::Snp | Protection::Tdx | Protection::SecureExecution => {}
    }
    report.not_carried("launch_security", "KubeVirt chooses the rest of the policy");
    Some(protection)
}

impl Protection {
    /// KubeVirt's object.
    pub(super) fn manifest(self) -> Value {
        match self {
            Self::Sev { es: true } => json!({"sev": {"policy": {"encryptedState": true}}}),
            Self::Sev { es: false } => json!({"sev": {}}),
            Self::Snp => json!({"snp": {}}),
            Self::Tdx => json!({"tdx": {}}),
            Self::SecureExecution => json!({}),
        }
    }
}

/// Firmware.
pub(super) fn firmware(
    domain: &Domain,
    arch: Arch,
    protection: Option<Protection>,
    binding: &Binding,
    report: &mut Report<'_>,
) -> Value {
    let seen = domain.identity.hwuuid.or(domain.identity.uuid);
    report.exact("identity.hwuuid", "spec.template.spec.domain.firmware.uuid");
    let smbios = domain.smbios.get("mode").is_none_or(|mode| mode == "sysinfo");
    let serial = domain.smbios.get("system.serial").filter(|serial| smbios && super::admission::is_serial(serial));
    if serial.is_some() {
        report.exact("smbios.system.serial", "spec.template.spec.domain.firmware.serial");
    }
    object([
        ("uuid", seen.map(|uuid| json!(uuid.to_string()))),
        ("serial", serial.map(|serial| json!(serial))),
        ("bootloader", bootloader(domain, arch, protection, report)),
        ("kernelBoot", kernel(domain, binding, report)),
    ])
}

fn bootloader(domain: &Domain, arch: Arch, protection: Option<Protection>, report: &mut Report<'_>) -> Option<Value> {
    const EFI: &str = "spec.template.spec.domain.firmware.bootloader.efi";
    let firmware = &domain.firmware;
    report.not_carried("firmware.loader", "KubeVirt brings its own firmware");
    report.not_carried("firmware.nvram_template", "KubeVirt brings its own firmware");
    let uefi = match (&firmware.kind, arch) {
        (_, Arch::S390x) => {
            report.not_carried("firmware", "an s390x machine has no firmware to choose");
            return None;
        }
        (FirmwareKind::Uefi, Arch::Amd64 | Arch::Arm64) => {
            report.exact("firmware.kind", EFI);
            true
        }
        (FirmwareKind::Bios | FirmwareKind::Unknown(_), Arch::Arm64) => {
            report.approximate("firmware.kind", EFI, "an arm64 machine of KubeVirt always has UEFI");
            true
        }
        (FirmwareKind::Bios, Arch::Amd64) => {
            report.exact("firmware.kind", "spec.template.spec.domain.firmware.bootloader.bios");
            false
        }
        (FirmwareKind::Unknown(_), Arch::Amd64) => {
            report.refused("firmware.kind", "KubeVirt knows BIOS and UEFI");
            return None;
        }
    };
    if !uefi {
        report.not_carried("firmware", "BIOS has no variables");
        return Some(json!({"bios": {}}));
    }
    let secure = match (firmware.secure_boot, arch) {
        (SecureBoot::On, Arch::Amd64 | Arch::S390x) => {
            report.exact("firmware.secure_boot", "bootloader.efi.secureBoot");
            true
        }
        (SecureBoot::On, Arch::Arm64) => {
            report.refused("firmware.secure_boot", "KubeVirt has no secure boot on arm64");
            false
        }
        (SecureBoot::Off, _) => {
            report.exact("firmware.secure_boot", "bootloader.efi.secureBoot");
            false
        }
        (SecureBoot::Unsaid, _) => {
            let rule = "not asked for is off; KubeVirt's own default would be on";
            report.approximate("firmware.secure_boot", "bootloader.efi.secureBoot", rule);
            false
        }
    };
    // SNP and TDX measure the variables, so that KubeVirt does not keep them.
    let persistent = !matches!(protection, Some(Protection::Snp | Protection::Tdx));
    let rule =
        "variables are kept from now on, but those of today stay behind: boot entries and enrolled keys are lost";
    if persistent {
        report.approximate("firmware.nvram", "bootloader.efi.persistent", rule);
    } else {
        report.refused("firmware.nvram", "KubeVirt keeps no variables for a guest with this protection");
    }
    report.not_carried("firmware", "KubeVirt has no field for it");
    Some(json!({"efi": {"secureBoot": secure, "persistent": persistent}}))
}

/// A kernel comes in a container image, which only the operator can name.
fn kernel(domain: &Domain, binding: &Binding, report: &mut Report<'_>) -> Option<Value> {
    const TO: &str = "spec.template.spec.domain.firmware.kernelBoot";
    let direct = domain.direct_boot.as_ref()?;
    let Some(kernel) = &binding.kernel else {
        report.refused("direct_boot", "the kernel has to be in a container image: `kernel` of the binding names it");
        return None;
    };
    let rule = "the files of the image that the binding names";
    report.approximate("direct_boot.kernel", TO, rule);
    if kernel.initrd_path.is_some() {
        report.approximate("direct_boot.initrd", TO, rule);
    }
    report.exact("direct_boot.cmdline", "kernelBoot.kernelArgs");
    report.refused("direct_boot", "KubeVirt has no field for it");
    Some(object([
        ("kernelArgs", direct.cmdline.as_ref().map(|line| json!(line))),
        (
            "container",
            Some(object([
                ("image", Some(json!(kernel.image))),
                ("kernelPath", Some(json!(kernel.kernel_path))),
                ("initrdPath", kernel.initrd_path.as_ref().map(|path| json!(path))),
            ])),
        ),
    ]))
}

/// What the chassis is called, from SMBIOS.
pub(super) fn chassis(domain: &Domain, report: &mut Report<'_>) -> Option<Value> {
    const FIELDS: [(&str, &str); 5] = [
        ("manufacturer", "chassis.manufacturer"),
        ("version", "chassis.version"),
        ("serial", "chassis.serial"),
        ("asset", "chassis.asset"),
        ("sku", "chassis.sku"),
    ];
    if domain.smbios.get("mode").is_some_and(|mode| mode != "sysinfo") {
        return None;
    }
    let pairs = FIELDS.map(|(key, path)| {
        if domain.smbios.contains_key(path) {
            report.exact(&format!("smbios.{path}"), &format!("spec.template.spec.domain.chassis.{key}"));
        }
        (key, domain.smbios.get(path).map(|value| json!(value)))
    });
    pairs.iter().any(|(_, value)| value.is_some()).then(|| object(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_machine_types() {
        assert!(matches("pc-q35*", "pc-q35-7.2") && matches("q35*", "q35") && matches("q3?", "q35"));
        assert!(!matches("pc-q35*", "pc-i440fx-7.2") && !matches("q35", "q35a") && !matches("", "q35"));
    }
}
