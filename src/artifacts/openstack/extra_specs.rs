//! A flavor's extra specs: what Nova's libvirt driver can be asked for beyond sizes.
//!
//! Assumes a flavor's sizes. Guarantees only keys and values that Nova's validators accept, each as a text, each written
//! only when Nova would give the guest what it has now; of all else the report says why not.
//! *Source*: <https://docs.openstack.org/nova/latest/configuration/extra-specs.html>.

use serde_json::{Map, Value};

use super::hardware::{self, multiqueue, tpm, watchdog_action};
use super::vm::Vm;
use super::{numa, pinning};
use crate::artifacts::report::Report;
use crate::discovery::{Bandwidth, Cpu, Domain, Hostdev, HostdevType, Memory, Rate, Topology};

/// Extra specs, in the order they were written.
#[derive(Debug, Default)]
pub(super) struct ExtraSpecs(Vec<(&'static str, Option<usize>, String)>);

impl ExtraSpecs {
    pub(super) fn push(&mut self, key: &'static str, value: impl Into<String>) {
        self.0.push((key, None, value.into()));
    }

    /// The same for a key of one NUMA node.
    pub(super) fn push_of(&mut self, key: &'static str, node: usize, value: impl Into<String>) {
        self.0.push((key, Some(node), value.into()));
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(name, ..)| *name == key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whole keys with their values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (String, &str)> {
        self.0.iter().map(|(key, node, value)| {
            let key = node.map_or_else(|| (*key).to_owned(), |node| format!("{key}.{node}"));
            (key, value.as_str())
        })
    }

    pub(super) fn as_json(&self) -> Value {
        self.iter().map(|(key, value)| (key, Value::from(value))).collect::<Map<_, _>>().into()
    }
}

/// Where an extra spec is, for the report.
fn place(key: &str) -> String {
    format!("flavor-extra-specs.json: {key}")
}

/// All that the VM asks for. *Units* of `ram`: MiB.
pub(super) fn extra_specs(vm: &Vm<'_>, ram: u64, report: &mut Report<'_>) -> ExtraSpecs {
    let domain = &vm.inventory.domain;
    let mut specs = ExtraSpecs::default();
    write_topology(&mut specs, &domain.cpu, report);
    numa::write(&mut specs, domain, ram, report);
    write_page_size(&mut specs, domain, ram, report);
    pinning::write(&mut specs, &domain.cpu, report);
    write_cpu_quota(&mut specs, &domain.cpu, report);
    write_vif_quota(&mut specs, domain, report);
    write_tpm(&mut specs, domain, report);
    if let Some(action) = watchdog_action(domain) {
        specs.push("hw:watchdog_action", action);
    }
    write_rng(&mut specs, domain, report);
    hardware::write_memory_encryption(&mut specs, domain, report);
    if multiqueue(domain) {
        specs.push("hw:vif_multiqueue_enabled", "true");
    }
    write_pci_alias(&mut specs, vm, report);
    specs
}

fn write_topology(specs: &mut ExtraSpecs, cpu: &Cpu, report: &mut Report<'_>) {
    let Some(Topology { sockets, dies, clusters, cores, threads }) = cpu.topology else {
        return;
    };
    let product = |parts: &[u32]| parts.iter().try_fold(1_u32, |product, part| product.checked_mul(*part));
    let inner = product(&[dies, clusters, cores]);
    let (Some(inner), true) = (inner, product(&[sockets, dies, clusters, cores, threads]) == Some(cpu.vcpus_max))
    else {
        return report.refused("cpu.topology", "the parts do not multiply to the number of processors");
    };
    specs.push("hw:cpu_sockets", sockets.to_string());
    specs.push("hw:cpu_cores", inner.to_string());
    specs.push("hw:cpu_threads", threads.to_string());
    let to = place("hw:cpu_sockets, hw:cpu_cores, hw:cpu_threads");
    if inner == cores {
        report.exact("cpu.topology", &to);
    } else {
        report.approximate("cpu.topology", &to, "Nova knows no dies and clusters: their cores count as the socket's");
    }
}

fn write_page_size(specs: &mut ExtraSpecs, domain: &Domain, ram: u64, report: &mut Report<'_>) {
    const KEY: &str = "hw:mem_page_size";
    let Memory { hugepages, default_hugepages, .. } = &domain.memory;
    match hugepages.as_slice() {
        [] => {}
        [pages] => {
            let size = pages.page_kib.0;
            let whole = size > 0 && (ram * 1024).is_multiple_of(size);
            if pages.nodeset.as_deref().is_some_and(|_| domain.cpu.numa.len() > 1) {
                report.refused("memory.hugepages", "Nova has one page size for the whole guest, not for single cells");
            } else if whole {
                specs.push(KEY, size.to_string());
                report.exact("memory.hugepages", &place(KEY));
            } else {
                report
                    .refused("memory.hugepages", "the memory is not a multiple of the page size, which Nova asks for");
            }
        }
        [_, _, ..] => report.refused("memory.hugepages", "Nova has one page size for the whole guest"),
    }
    if *default_hugepages && !specs.has(KEY) {
        specs.push(KEY, "large");
        report.approximate("memory.default_hugepages", &place(KEY), "Nova takes any huge page that the host has");
    }
    // Nova locks memory only where the pages are chosen too.
    if domain.memory.settings.contains_key("memoryBacking.locked") && specs.has(KEY) {
        specs.push("hw:locked_memory", "true");
        report.exact("memory.settings.memoryBacking.locked", &place("hw:locked_memory"));
    }
}

fn write_cpu_quota(specs: &mut ExtraSpecs, cpu: &Cpu, report: &mut Report<'_>) {
    for (setting, key) in [
        ("cputune.shares", "quota:cpu_shares"),
        ("cputune.period", "quota:cpu_period"),
        ("cputune.quota", "quota:cpu_quota"),
    ] {
        let Some(value) = cpu.settings.get(setting) else { continue };
        let Ok(number) = value.parse::<i64>() else { continue };
        // Only the quota has a meaning below nought: as much as there is.
        if number >= 0 || key == "quota:cpu_quota" {
            specs.push(key, number.to_string());
            report.exact(&format!("cpu.settings.{setting}"), &place(key));
        }
    }
}

/// Nova limits all interfaces alike, by the flavor.
fn write_vif_quota(specs: &mut ExtraSpecs, domain: &Domain, report: &mut Report<'_>) {
    let mut limits = domain.nics.iter().map(|nic| nic.bandwidth.as_ref());
    let Some(Some(first)) = limits.next() else {
        let why = "Nova's limits are the flavor's, for all interfaces alike; a QoS policy of the port can do this";
        return report.refused("nics[*].bandwidth", why);
    };
    if !limits.all(|limit| limit == Some(first)) {
        let why = "Nova's limits are the flavor's, and the interfaces differ; a QoS policy of each port can do this";
        return report.refused("nics[*].bandwidth", why);
    }
    let Bandwidth { inbound, outbound } = first;
    let mut floor = false;
    for (rate, [average, peak, burst]) in [
        (inbound, ["quota:vif_inbound_average", "quota:vif_inbound_peak", "quota:vif_inbound_burst"]),
        (outbound, ["quota:vif_outbound_average", "quota:vif_outbound_peak", "quota:vif_outbound_burst"]),
    ] {
        let Some(Rate { average: mean, peak: most, burst: at_once, floor: least }) = rate else { continue };
        floor |= least.is_some();
        for (key, value) in [(average, mean), (peak, most), (burst, at_once)] {
            if let Some(value) = value {
                specs.push(key, value.to_string());
            }
        }
    }
    let to = place("quota:vif_inbound_*, quota:vif_outbound_*");
    if floor {
        report.approximate("nics[*].bandwidth", &to, "what is guaranteed (floor) has no place in a flavor");
    } else {
        report.exact("nics[*].bandwidth", &to);
    }
}

fn write_tpm(specs: &mut ExtraSpecs, domain: &Domain, report: &mut Report<'_>) {
    match tpm(domain) {
        None => {}
        Some(Err(why)) => report.refused("tpm", why),
        Some(Ok(found)) => {
            specs.push("hw:tpm_version", found.version);
            specs.push("hw:tpm_model", found.model);
            report.exact("tpm.model", &place("hw:tpm_model"));
            report.exact("tpm.version", &place("hw:tpm_version"));
            let rule = "Nova starts an emulator of its own: what is in this one (keys, measurements) does not follow";
            report.approximate("tpm.backend", &place("hw:tpm_model"), rule);
            report.not_carried("tpm.settings", "Nova sets its emulator up by itself");
        }
    }
}

fn write_rng(specs: &mut ExtraSpecs, domain: &Domain, report: &mut Report<'_>) {
    let Some(rng) = domain.rngs.first() else { return };
    if !rng.model.starts_with("virtio") {
        return report.refused("rngs", "Nova knows the model virtio only");
    }
    if rng.backend == "egd" {
        return report.refused("rngs", "Nova feeds the device from a file of the host's, not from a daemon");
    }
    specs.push("hw_rng:allowed", "true");
    if let Some(rate) = rng.rate {
        specs.push("hw_rng:rate_bytes", rate.bytes.to_string());
        specs.push("hw_rng:rate_period", rate.period_ms.to_string());
    }
    let rule = "Nova's own setting (rng_dev_path) names the host's source";
    report.approximate("rngs[0]", &place("hw_rng:allowed"), rule);
    report.refused("rngs", "Nova gives a guest one such device");
}

/// Devices of the host, for which only the operator knows the aliases of nova.conf.
fn write_pci_alias(specs: &mut ExtraSpecs, vm: &Vm<'_>, report: &mut Report<'_>) {
    let Some(alias) = &vm.binding.pci_alias else {
        return report.refused("hostdevs", "the binding names no pci_alias under which nova.conf has such devices");
    };
    specs.push("pci_passthrough:alias", alias.as_str());
    for (nth, Hostdev { kind, .. }) in vm.inventory.domain.hostdevs.iter().enumerate() {
        let field = format!("hostdevs[{nth}]");
        if *kind == HostdevType::Pci {
            let rule = "the binding's alias says of which kind and how many; Nova chooses which";
            report.approximate(&field, &place("pci_passthrough:alias"), rule);
        } else {
            report.refused(&field, "Nova passes PCI devices through, and mediated ones as resources of a type");
        }
    }
}
