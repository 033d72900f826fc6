//! Machine, firmware, processors, memory.
//!
//! Assumes an inventory. Guarantees a machine type of Proxmox's forms, memory in whole MiB, and flags that it lets a
//! VM have.

use super::binding::Binding;
use super::conf::{Conf, Props, base64, numbers, ranges};
use crate::artifacts::error::RenderError;
use crate::artifacts::report::Report;
use crate::discovery::{Cpu, CpuMode, Domain, DomainType, FeaturePolicy, FirmwareKind};
use crate::model::units::Kib;

/// Processor models that Proxmox knows by name.
const MODELS: &str = "486 athlon Broadwell Broadwell-IBRS Broadwell-noTSX Broadwell-noTSX-IBRS Cascadelake-Server \
    Cascadelake-Server-noTSX Cascadelake-Server-v2 Conroe Cooperlake Cooperlake-v2 EPYC EPYC-Genoa EPYC-IBPB \
    EPYC-Milan EPYC-Milan-v2 EPYC-Rome EPYC-Rome-v2 EPYC-v3 GraniteRapids Haswell Haswell-IBRS Haswell-noTSX \
    Haswell-noTSX-IBRS Icelake-Client Icelake-Client-noTSX Icelake-Server Icelake-Server-noTSX IvyBridge \
    IvyBridge-IBRS KnightsMill Nehalem Nehalem-IBRS Opteron_G1 Opteron_G2 Opteron_G3 Opteron_G4 Opteron_G5 Penryn \
    SandyBridge SandyBridge-IBRS SapphireRapids Skylake-Client Skylake-Client-IBRS Skylake-Client-noTSX-IBRS \
    Skylake-Server Skylake-Server-IBRS Skylake-Server-noTSX-IBRS Westmere Westmere-IBRS core2duo coreduo kvm32 kvm64 \
    max pentium pentium2 pentium3 phenom qemu32 qemu64 cortex-a53 cortex-a57 cortex-a72 cortex-a76 neoverse-n1";

/// CPU flags that Proxmox lets a VM set by itself.
const FLAGS: [&str; 10] =
    ["aes", "amd-no-ssb", "amd-ssbd", "ibpb", "md-clear", "pcid", "pdpe1gb", "spec-ctrl", "ssbd", "virt-ssbd"];

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
        if own != Some(kind.0.as_str()) {
            report.approximate("platform.machine", "machine", "the binding asks for another machine type");
        }
        report.exact("platform.machine", "machine");
        return Some(kind.0.clone());
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

/// Processors.
pub(super) fn cpu(domain: &Domain, conf: &mut Conf, report: &mut Report<'_>) {
    let cpu = &domain.cpu;
    let (sockets, cores) = match cpu.topology {
        // libvirt makes each a socket.
        None => (cpu.vcpus_max, 1),
        Some(topology) => {
            let folded = [topology.dies, topology.clusters, topology.threads];
            let to = "sockets, cores";
            if folded != [1, 1, 1] {
                let rule = "Proxmox knows sockets and cores: dies, clusters and threads are counted as cores";
                report.approximate("cpu.topology", to, rule);
            }
            report.exact("cpu.topology", to);
            (topology.sockets, folded.iter().fold(topology.cores, |cores, more| cores.saturating_mul(*more)))
        }
    };
    conf.set("sockets", sockets);
    conf.set("cores", cores);
    report.exact("cpu.vcpus_max", "sockets × cores");
    if cpu.vcpus < cpu.vcpus_max && cpu.vcpus > 0 {
        conf.set("vcpus", cpu.vcpus);
        conf.set("hotplug", "cpu,disk,network,usb");
        report.exact("cpu.vcpus", "vcpus");
    }
    report.exact("cpu.vcpus", "sockets × cores");
    model(domain, conf, report);
    pinning(cpu, conf, report);
    report.not_carried("cpu.vendor", "Proxmox has no property for the vendor");
    report.approximate("cpu.iothreads", "iothread", "one thread for each disk that had one");
    report.not_carried("cpu.settings", "Proxmox weighs and limits by settings of its own");
}

fn model(domain: &Domain, conf: &mut Conf, report: &mut Report<'_>) {
    let cpu = &domain.cpu;
    let kvm = domain.platform.domain_type != DomainType::Qemu;
    let kind = match (&cpu.mode, &cpu.model) {
        (Some(CpuMode::HostPassthrough), _) if kvm => {
            report.exact("cpu.mode", "cpu");
            Some("host")
        }
        (Some(CpuMode::HostModel | CpuMode::Maximum | CpuMode::HostPassthrough), _) => {
            let rule = "the node's own model (without KVM: all that QEMU can do)";
            report.approximate("cpu.mode", "cpu", rule);
            Some(if kvm { "host" } else { "max" })
        }
        (Some(CpuMode::Custom) | None, Some(name)) if MODELS.split_whitespace().any(|model| model == name) => {
            report.exact("cpu.mode", "cpu");
            report.exact("cpu.model", "cpu");
            Some(name.as_str())
        }
        (Some(CpuMode::Custom | CpuMode::Unknown(_)) | None, Some(_)) => {
            report.refused("cpu.mode", "Proxmox does not know the model: its default takes the place");
            report.refused("cpu.model", "Proxmox does not know it: its default takes the place");
            None
        }
        (Some(CpuMode::Custom | CpuMode::Unknown(_)) | None, None) => {
            report.not_carried("cpu.mode", "no model is named, and Proxmox's default takes the place");
            None
        }
    };
    report.not_carried("cpu.model", "the node's own model takes its place");
    let mut flags: Vec<String> = Vec::new();
    let mut lost = false;
    for feature in &cpu.features {
        let name = match feature.name.as_str() {
            "vmx" | "svm" => "nested-virt",
            other => other,
        };
        let sign = match feature.policy {
            FeaturePolicy::Require | FeaturePolicy::Force => '+',
            FeaturePolicy::Disable | FeaturePolicy::Forbid => '-',
            FeaturePolicy::Optional | FeaturePolicy::Unknown(_) => ' ',
        };
        if sign != ' ' && (name == "nested-virt" || FLAGS.contains(&name)) {
            flags.push(format!("{sign}{name}"));
        } else {
            lost = true;
        }
    }
    flags.dedup();
    let feature = |name: &str| domain.features.iter().find(|feature| feature.name == name && feature.enabled);
    let hidden = feature("kvm.hidden").map(|_| 1);
    let vendor = feature("hyperv.vendor_id").and_then(|feature| feature.settings.get("value"));
    let vendor = vendor.filter(|vendor| vendor.len() <= 12 && vendor.bytes().all(|b| b.is_ascii_alphanumeric()));
    let Some(kind) = kind else {
        report.refused("cpu.features", "they go with a model, and Proxmox does not know it");
        return;
    };
    if lost {
        report.approximate(
            "cpu.features",
            "cpu: flags",
            "only flags that Proxmox lets a VM set, and its default for others",
        );
    }
    report.exact("cpu.features", "cpu: flags");
    if hidden.is_some() {
        report.exact("features[kvm.hidden]", "cpu: hidden");
    }
    if vendor.is_some() {
        report.exact("features[hyperv.vendor_id]", "cpu: hv-vendor-id");
    }
    let mut line = Props::new(kind);
    line.add("flags", (!flags.is_empty()).then(|| flags.join(";")));
    line.add("hidden", hidden);
    line.add("hv-vendor-id", vendor);
    conf.set("cpu", line);
}

/// Proxmox pins the VM as a whole.
fn pinning(cpu: &Cpu, conf: &mut Conf, report: &mut Report<'_>) {
    let pinning = &cpu.pinning;
    let lists: Vec<&String> =
        if pinning.vcpus.is_empty() { pinning.all.iter().collect() } else { pinning.vcpus.values().collect() };
    if lists.is_empty() {
        report.not_carried("cpu.pinning", "nothing pins the processors");
        return;
    }
    let Some(sets) = lists.iter().map(|list| numbers(list)).collect::<Option<Vec<_>>>() else {
        report.refused("cpu.pinning", "the list of processors cannot be read");
        return;
    };
    conf.set("affinity", ranges(&sets.into_iter().flatten().collect(), ","));
    let whole = pinning.vcpus.is_empty() && pinning.emulator.is_none() && pinning.iothreads.is_empty();
    if !whole {
        let rule = "the VM as a whole runs on the processors that its own are pinned to: the same node is assumed";
        report.approximate("cpu.pinning", "affinity", rule);
    }
    report.exact("cpu.pinning", "affinity");
}

/// Memory.
pub(super) fn memory(domain: &Domain, conf: &mut Conf, report: &mut Report<'_>) -> Result<(), RenderError> {
    let memory = &domain.memory;
    let mib = memory.max_kib.0 / 1024;
    if mib < 16 {
        let why = "Proxmox gives a VM 16 MiB at least".to_owned();
        return Err(RenderError::Refused { field: "memory.max_kib".to_owned(), why });
    }
    conf.set("memory", mib);
    if memory.max_kib.0 % 1024 != 0 {
        report.approximate("memory.max_kib", "memory", "rounded down to whole MiB");
    }
    report.exact("memory.max_kib", "memory");
    match &memory.balloon {
        None => conf.set("balloon", 0),
        Some(_) if memory.current_kib < memory.max_kib => {
            conf.set("balloon", (memory.current_kib.0 / 1024).max(1));
            let rule = "the least that Proxmox's own balancing leaves it, in whole MiB";
            report.approximate("memory.current_kib", "balloon", rule);
        }
        Some(_) => {}
    }
    if memory.current_kib == memory.max_kib {
        report.exact("memory.current_kib", "memory");
    }
    report.not_carried("memory.current_kib", "without a balloon the guest has all of its memory");
    report.exact("memory.balloon", "balloon");
    let cells = numa(domain, conf, report);
    let pages = hugepages(domain, conf, report);
    if cells || pages {
        conf.set("numa", 1);
    }
    report.refused(
        "memory.hotplug",
        "Proxmox plugs memory from 1 GiB up, in a layout of its own: it would be another VM",
    );
    report.approximate("memory.modules", "memory", "modules are part of the memory the guest starts with");
    report.not_carried("memory.settings", "the node decides what memory is made of");
    Ok(())
}

/// The guest's cells.
fn numa(domain: &Domain, conf: &mut Conf, report: &mut Report<'_>) -> bool {
    let cells = &domain.cpu.numa;
    let mut lines = Vec::new();
    for cell in cells {
        let Some(cpus) = cell.cpus.as_deref().and_then(numbers).filter(|cpus| !cpus.is_empty()) else {
            report.refused("cpu.numa", "Proxmox has no cells without processors");
            return false;
        };
        if cell.memory_kib.0 % 1024 != 0 || cell.id > 7 || cells.len() > 8 {
            report.refused("cpu.numa", "Proxmox has up to 8 cells of whole MiB");
            return false;
        }
        let mut line = Props::new("");
        line.add("cpus", Some(ranges(&cpus, ";")));
        line.add("memory", Some(cell.memory_kib.0 / 1024));
        lines.push((format!("numa{}", cell.id), line));
    }
    if cells.iter().any(|cell| !cell.settings.is_empty()) {
        report.approximate(
            "cpu.numa",
            "numa0…",
            "processors and memory of each cell; Proxmox has no distances and caches",
        );
    }
    report.exact("cpu.numa", "numa0…");
    for (key, line) in lines {
        conf.set(key, line);
    }
    !cells.is_empty()
}

fn hugepages(domain: &Domain, conf: &mut Conf, report: &mut Report<'_>) -> bool {
    let memory = &domain.memory;
    let page = memory.hugepages.first().map(|pages| pages.page_kib);
    let (mib, several) = match page {
        Some(Kib(2048)) => (2, memory.hugepages.len() > 1),
        Some(Kib(1_048_576)) => (1024, memory.hugepages.len() > 1),
        Some(_) => {
            report.refused("memory.hugepages", "Proxmox has pages of 2 MiB and 1 GiB");
            return false;
        }
        None if memory.default_hugepages => {
            report.approximate("memory.default_hugepages", "hugepages", "2 MiB, which x86 hosts have as their default");
            (2, false)
        }
        None => return false,
    };
    if memory.max_kib.0 % (mib * 1024) != 0 {
        report.refused("memory.hugepages", "the memory is no whole number of pages");
        report.refused("memory.default_hugepages", "the memory is no whole number of pages");
        return false;
    }
    conf.set("hugepages", mib);
    if several || memory.hugepages.iter().any(|pages| pages.nodeset.is_some()) {
        report.approximate("memory.hugepages", "hugepages", "the first size, for all of the guest's memory");
    }
    report.exact("memory.hugepages", "hugepages");
    true
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
