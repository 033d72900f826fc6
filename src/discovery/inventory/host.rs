//! The part of the host that a VM touches.
//!
//! Assumes any links and switch ports. Guarantees that those stay which the VM's interfaces end at, what those are
//! attached to in turn, and nothing else; and of the machine types those of the VM's own kind.

use std::collections::BTreeMap;

use crate::discovery::domain::Domain;
use crate::discovery::host::{Capabilities, Host};
use crate::discovery::network::Network;
use crate::discovery::nic::{Nic, NicSource};

pub(super) fn limited(host: &Host, domain: &Domain, networks: &BTreeMap<String, Network>) -> Host {
    let Host { name, libvirt_version, hypervisor_version, capabilities, links, ovs_ports } = host;
    let mut wanted: Vec<String> = domain.nics.iter().flat_map(|nic| devices_of(nic, networks)).collect();
    let mut reached = BTreeMap::new();
    while let Some(name) = wanted.pop() {
        let Some(link) = links.get(&name).filter(|_| !reached.contains_key(&name)) else { continue };
        wanted.extend(link.master.iter().chain(&link.lower).cloned());
        reached.insert(name, link.clone());
    }
    let targets = domain.nics.iter().filter_map(|nic| nic.target.as_ref());
    let ports = targets.filter_map(|target| Some((target.clone(), ovs_ports.get(target)?.clone())));
    Host {
        name: name.clone(),
        libvirt_version: libvirt_version.clone(),
        hypervisor_version: hypervisor_version.clone(),
        capabilities: capabilities.as_ref().map(|capabilities| for_platform(capabilities, domain)),
        links: reached,
        ovs_ports: ports.collect(),
    }
}

fn for_platform(capabilities: &Capabilities, domain: &Domain) -> Capabilities {
    let Capabilities {
        arch,
        cpu_model,
        cpu_vendor,
        cpus,
        numa_cells,
        memory_kib,
        page_sizes_kib,
        iommu,
        machines,
        security_models,
        unknown,
    } = capabilities;
    let platform = &domain.platform;
    let kind = platform.arch.as_ref().map(|arch| format!("{arch}/{}", platform.domain_type.as_str()));
    let own = kind.and_then(|kind| machines.get_key_value(&kind));
    Capabilities {
        arch: arch.clone(),
        cpu_model: cpu_model.clone(),
        cpu_vendor: cpu_vendor.clone(),
        cpus: *cpus,
        numa_cells: *numa_cells,
        memory_kib: *memory_kib,
        page_sizes_kib: page_sizes_kib.clone(),
        iommu: *iommu,
        machines: own.map(|(kind, names)| (kind.clone(), names.clone())).into_iter().collect(),
        security_models: security_models.clone(),
        unknown: unknown.clone(),
    }
}

/// The host's devices that an interface ends at, as far as its XML and its network's say.
fn devices_of(nic: &Nic, networks: &BTreeMap<String, Network>) -> Vec<String> {
    let mut devices: Vec<Option<String>> = vec![nic.target.clone()];
    match &nic.source {
        NicSource::Network { network, bridge, .. } => {
            devices.push(bridge.clone());
            if let Some(network) = networks.get(network) {
                devices.push(network.bridge.clone());
                devices.extend(network.forward_devices.iter().map(|device| device.name().map(str::to_owned)));
            }
        }
        NicSource::Bridge { bridge } => devices.push(bridge.clone()),
        NicSource::Direct { device, .. } => devices.push(device.clone()),
        NicSource::User
        | NicSource::Ethernet
        | NicSource::Hostdev { .. }
        | NicSource::VhostUser { .. }
        | NicSource::Vdpa { .. }
        | NicSource::Internal { .. }
        | NicSource::Socket { .. }
        | NicSource::Unknown { .. } => {}
    }
    devices.into_iter().flatten().collect()
}
