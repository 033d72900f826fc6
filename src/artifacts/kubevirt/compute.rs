//! Processors and memory.
//!
//! Assumes an inventory. Guarantees that the sockets, cores and threads written give the domain's number of
//! processors, memory to the byte, and requests wherever KubeVirt wants some (huge pages, dedicated processors).
//! *Source*: <https://kubevirt.io/user-guide/compute/dedicated_cpu_resources/>,
//! <https://kubevirt.io/user-guide/compute/memory_hotplug/>.

use serde_json::{Value, json};

use super::binding::Binding;
use super::machine::{Arch, Protection};
use super::name::{object, quantity_kib};
use crate::artifacts::report::Report;
use crate::discovery::{Cpu, CpuMode, Domain, FeaturePolicy};
use crate::model::units::Kib;

const CPU: &str = "spec.template.spec.domain.cpu";
const MEMORY: &str = "spec.template.spec.domain.memory";

/// What of the domain section this file writes.
#[derive(Debug)]
pub(super) struct Compute {
    pub(super) cpu: Value,
    pub(super) memory: Value,
    pub(super) resources: Option<Value>,
}

/// Huge pages of one of the sizes that Kubernetes hands out on this machine.
struct Pages {
    kib: Kib,
    numa: bool,
}

/// Processors and memory.
pub(super) fn compute(
    domain: &Domain,
    arch: Arch,
    protection: Option<Protection>,
    binding: &Binding,
    report: &mut Report<'_>,
) -> Compute {
    let dedicated = dedicated(&domain.cpu, report);
    let pages = pages(domain, arch, report);
    let fits = dedicated && pages.as_ref().is_some_and(|pages| pages.numa);
    let numa = fits && binding.gate("NUMA");
    if numa {
        let rule = "the guest's cells are made from where the host's memory and processors happen to be";
        report.approximate("cpu.numa", "cpu.numa.guestMappingPassthrough", rule);
    }
    if fits && !numa {
        report.refused("cpu.numa", "it needs the feature gate NUMA, which the binding does not list");
    }
    report.not_carried("cpu.numa", "KubeVirt shows cells only for dedicated processors with huge pages");
    let cpu = cpu(domain, arch, dedicated, numa, report);
    let memory = memory(domain, arch, protection, pages.as_ref(), numa, report);
    let request = json!(quantity_kib(domain.memory.max_kib));
    let resources = if dedicated {
        // Dedicated processors need the guaranteed class: requests equal limits.
        Some(json!({"requests": {"memory": request}, "limits": {"memory": request}}))
    } else {
        pages.map(|_| json!({"requests": {"memory": request}}))
    };
    Compute { cpu, memory, resources }
}

/// Whether processors are pinned one by one, so that each gets one of the host's for itself.
fn dedicated(cpu: &Cpu, report: &mut Report<'_>) -> bool {
    if cpu.pinning.vcpus.is_empty() {
        report.not_carried("cpu.pinning", "Kubernetes decides where the processors run");
        return false;
    }
    if cpu.topology.is_some_and(|topology| topology.threads > 2) {
        report.refused("cpu.pinning", "KubeVirt dedicates processors to guests of at most two threads per core");
        return false;
    }
    let rule = "each processor gets one of the host's for itself; which one, the kubelet decides";
    report.approximate("cpu.pinning", "cpu.dedicatedCpuPlacement, cpu.isolateEmulatorThread", rule);
    true
}

fn cpu(domain: &Domain, arch: Arch, dedicated: bool, numa: bool, report: &mut Report<'_>) -> Value {
    let cpu = &domain.cpu;
    let (sockets, cores, threads) = arrangement(cpu, report);
    let (sockets, max_sockets) = plugged(cpu, sockets, cores.saturating_mul(threads), report);
    let model = model(cpu, arch, report);
    let features = features(domain, report);
    let isolate = dedicated && cpu.pinning.emulator.is_some();
    report.not_carried("cpu.vendor", "KubeVirt has no field for the vendor");
    report.approximate("cpu.iothreads", "disks[].dedicatedIOThread", "one thread for each disk that had one");
    report.not_carried("cpu.settings", "KubeVirt has no field for it; the cluster limits and weighs by resources");
    object([
        ("sockets", Some(json!(sockets))),
        ("cores", Some(json!(cores))),
        ("threads", Some(json!(threads))),
        ("maxSockets", max_sockets.map(|max| json!(max))),
        ("model", model.map(|model| json!(model))),
        ("features", (!features.is_empty()).then(|| json!(features))),
        ("dedicatedCpuPlacement", dedicated.then(|| json!(true))),
        ("isolateEmulatorThread", isolate.then(|| json!(true))),
        ("numa", numa.then(|| json!({"guestMappingPassthrough": {}}))),
    ])
}

/// Sockets, cores and threads; KubeVirt knows neither dies nor clusters, and their cores count all the same.
fn arrangement(cpu: &Cpu, report: &mut Report<'_>) -> (u32, u32, u32) {
    let Some(topology) = cpu.topology else {
        return (cpu.vcpus_max, 1, 1);
    };
    let folded = topology.dies.saturating_mul(topology.clusters);
    if folded == 1 {
        report.exact("cpu.topology", "cpu.sockets, cpu.cores, cpu.threads");
    } else {
        let rule = "KubeVirt knows neither dies nor clusters: their cores are counted to the socket";
        report.approximate("cpu.topology", "cpu.sockets, cpu.cores, cpu.threads", rule);
    }
    (topology.sockets, topology.cores.saturating_mul(folded), topology.threads)
}

/// The sockets that are plugged, and those that may be; KubeVirt plugs whole sockets.
fn plugged(cpu: &Cpu, sockets: u32, per_socket: u32, report: &mut Report<'_>) -> (u32, Option<u32>) {
    if cpu.vcpus >= cpu.vcpus_max {
        report.exact("cpu.vcpus_max", "cpu.sockets × cpu.cores × cpu.threads");
        report.exact("cpu.vcpus", "cpu.sockets × cpu.cores × cpu.threads");
        return (sockets, None);
    }
    if per_socket > 0 && cpu.vcpus > 0 && cpu.vcpus.is_multiple_of(per_socket) {
        report.exact("cpu.vcpus_max", "cpu.maxSockets × cpu.cores × cpu.threads");
        report.exact("cpu.vcpus", "cpu.sockets × cpu.cores × cpu.threads");
        return (cpu.vcpus / per_socket, Some(sockets));
    }
    report.exact("cpu.vcpus_max", "cpu.sockets × cpu.cores × cpu.threads");
    let rule = "KubeVirt plugs whole sockets only, so that all processors are plugged";
    report.approximate("cpu.vcpus", "cpu.sockets × cpu.cores × cpu.threads", rule);
    (sockets, None)
}

fn model(cpu: &Cpu, arch: Arch, report: &mut Report<'_>) -> Option<String> {
    const TO: &str = "spec.template.spec.domain.cpu.model";
    const PASSTHROUGH: &str = "host-passthrough";
    let word = match (&cpu.mode, &cpu.model) {
        (Some(CpuMode::HostPassthrough), _) => PASSTHROUGH,
        (Some(CpuMode::HostModel), _) => "host-model",
        (Some(CpuMode::Maximum), _) => {
            report.approximate("cpu.mode", TO, "on KVM all that the host can do is the host's own model");
            PASSTHROUGH
        }
        (Some(CpuMode::Unknown(_)), _) => {
            report.refused("cpu.mode", "KubeVirt does not know this mode");
            report.refused("cpu.model", "KubeVirt does not know the mode it belongs to");
            return None;
        }
        (Some(CpuMode::Custom) | None, Some(name)) => name,
        (Some(CpuMode::Custom) | None, None) => return None,
    };
    if arch == Arch::Arm64 && word != PASSTHROUGH {
        let rule = "KubeVirt admits only the host's own model on arm64";
        report.approximate("cpu.mode", TO, rule);
        report.approximate("cpu.model", TO, rule);
        return Some(PASSTHROUGH.to_owned());
    }
    report.exact("cpu.mode", TO);
    // A model beside host-model is what libvirt took the host for.
    match cpu.mode {
        Some(CpuMode::Custom) | None => report.exact("cpu.model", TO),
        Some(CpuMode::HostModel | CpuMode::HostPassthrough | CpuMode::Maximum | CpuMode::Unknown(_)) => {
            report.not_carried("cpu.model", "the node's own model takes its place");
        }
    }
    Some(word.to_owned())
}

fn features(domain: &Domain, report: &mut Report<'_>) -> Vec<Value> {
    let cpu = &domain.cpu;
    let mut written: Vec<(&str, &str)> = Vec::new();
    let mut foreign = false;
    for feature in &cpu.features {
        match &feature.policy {
            FeaturePolicy::Unknown(_) => foreign = true,
            FeaturePolicy::Force
            | FeaturePolicy::Require
            | FeaturePolicy::Optional
            | FeaturePolicy::Disable
            | FeaturePolicy::Forbid => written.push((&feature.name, feature.policy.as_str())),
        }
    }
    if foreign {
        report.approximate("cpu.features", CPU, "features with a policy that KubeVirt does not know are left out");
    }
    report.exact("cpu.features", "spec.template.spec.domain.cpu.features");
    // Enlightened VMCS without VMX is refused.
    let evmcs = domain.features.iter().any(|feature| feature.name == "hyperv.evmcs" && feature.enabled);
    if evmcs {
        written.retain(|(name, _)| *name != "vmx");
        written.push(("vmx", "require"));
    }
    written.iter().map(|(name, policy)| json!({"name": name, "policy": policy})).collect()
}

/// The huge pages, when there are some of a size that fits the memory.
fn pages(domain: &Domain, arch: Arch, report: &mut Report<'_>) -> Option<Pages> {
    const TO: &str = "spec.template.spec.domain.memory.hugepages.pageSize";
    let memory = &domain.memory;
    let numa = !domain.cpu.numa.is_empty();
    let kib = match (memory.hugepages.first(), arch) {
        (Some(first), _) => first.page_kib,
        (None, Arch::Amd64) if memory.default_hugepages => Kib(2048),
        (None, _) => {
            report.refused("memory.default_hugepages", "KubeVirt wants the size of the pages, which is not known");
            return None;
        }
    };
    if kib.0 == 0 || !memory.max_kib.0.is_multiple_of(kib.0) {
        report.refused("memory.hugepages", "KubeVirt wants the guest's memory to be a whole number of pages");
        report.refused("memory.default_hugepages", "KubeVirt wants the guest's memory to be a whole number of pages");
        return None;
    }
    if memory.hugepages.len() > 1 || memory.hugepages.iter().any(|pages| pages.nodeset.is_some()) {
        report.approximate("memory.hugepages", TO, "the first size, for all of the guest's memory");
    }
    report.exact("memory.hugepages", TO);
    report.approximate("memory.default_hugepages", TO, "2Mi, which x86 hosts have as their default");
    Some(Pages { kib, numa })
}

fn memory(
    domain: &Domain,
    arch: Arch,
    protection: Option<Protection>,
    pages: Option<&Pages>,
    numa: bool,
    report: &mut Report<'_>,
) -> Value {
    let memory = &domain.memory;
    report.exact("memory.max_kib", "spec.template.spec.domain.memory.guest");
    if memory.current_kib == memory.max_kib {
        report.exact("memory.current_kib", "spec.template.spec.domain.memory.guest");
    } else {
        report.not_carried("memory.current_kib", "KubeVirt hands out all of the memory and does not move the balloon");
    }
    let alignment = match pages {
        Some(Pages { kib: Kib(1_048_576), .. }) => 1_048_576,
        Some(_) | None => 2048,
    };
    let growth = memory.hotplug.filter(|hotplug| {
        let aligned = hotplug.max_kib.0.is_multiple_of(alignment) && memory.max_kib.0.is_multiple_of(alignment);
        arch == Arch::Amd64 && protection.is_none() && !numa && aligned && hotplug.max_kib >= memory.max_kib
    });
    if growth.is_some() {
        let rule = "KubeVirt chooses the slots; it plugs only where its rollout strategy is LiveUpdate";
        report.approximate("memory.hotplug", "spec.template.spec.domain.memory.maxGuest", rule);
    }
    let why =
        "KubeVirt plugs memory only on amd64, without launch security and cells of the host, in whole blocks of 2Mi";
    report.refused("memory.hotplug", why);
    report.approximate("memory.modules", MEMORY, "modules are part of the memory the guest starts with");
    report.not_carried("memory.settings", "the node decides what memory is made of");
    object([
        ("guest", Some(json!(quantity_kib(memory.max_kib)))),
        ("maxGuest", growth.map(|growth| json!(quantity_kib(growth.max_kib)))),
        ("hugepages", pages.map(|pages| json!({"pageSize": quantity_kib(pages.kib)}))),
    ])
}
