//! Processors.
//!
//! Assumes an inventory. Guarantees models that Proxmox knows by name, and flags that it lets a VM have.

use super::conf::{Conf, Props, numbers, ranges};
use crate::artifacts::report::Report;
use crate::discovery::{Cpu, CpuMode, Domain, DomainType, FeaturePolicy};

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
