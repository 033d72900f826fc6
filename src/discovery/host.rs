//! The host, as far as it matters to a VM on it: versions, processor, links and switches.
//!
//! Assumes nothing. Guarantees that what was not asked or not answered is absent.

mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use core::net::IpAddr;
use serde::{Deserialize, Serialize};

use super::inventory::UnknownPart;
use crate::model::units::{Kib, Mac};

pub use self::read::parse_capabilities;

/// A host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub name: Option<String>,
    /// libvirt's version, `9.0.0`.
    pub libvirt_version: Option<String>,
    /// The hypervisor's version, `7.2.0`.
    pub hypervisor_version: Option<String>,
    /// What libvirt's capabilities say.
    pub capabilities: Option<Capabilities>,
    /// Links that the VM's interfaces end at, and what those are attached to in turn, by name.
    pub links: BTreeMap<String, Link>,
    /// Open vSwitch ports of the VM's interfaces, by the host's device name.
    pub ovs_ports: BTreeMap<String, OvsPort>,
}

/// What libvirt's capabilities say of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Architecture.
    pub arch: Option<String>,
    /// CPU model that libvirt takes the host for.
    pub cpu_model: Option<String>,
    /// Its vendor.
    pub cpu_vendor: Option<String>,
    /// Processors, over all NUMA cells.
    pub cpus: u32,
    /// NUMA cells.
    pub numa_cells: u32,
    /// Memory over all cells. *Units*: KiB.
    pub memory_kib: Kib,
    /// Sizes of pages that the host has. *Units*: KiB.
    pub page_sizes_kib: Vec<Kib>,
    /// Whether it has an IOMMU.
    pub iommu: Option<bool>,
    /// Machine types by `ARCH/DOMAINTYPE`, aliases left out.
    pub machines: BTreeMap<String, Vec<String>>,
    /// Security models: `apparmor`, `dac`, …
    pub security_models: Vec<String>,
    /// What the XML says and this version does not know.
    pub unknown: Vec<UnknownPart>,
}

/// One link of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// `bridge`, `tun`, `veth`, `vlan`, `bond`, `openvswitch`, …; none for a physical device.
    pub kind: Option<String>,
    /// Its hardware address.
    pub mac: Option<Mac>,
    /// *Units*: bytes.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// The bridge, bond or switch it belongs to.
    pub master: Option<String>,
    /// The link it stands on (a VLAN's, a macvtap's).
    pub lower: Option<String>,
    /// Its VLAN id, for a VLAN.
    pub vlan: Option<u16>,
    /// Addresses of the host on it, with their prefix.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// One port of Open vSwitch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OvsPort {
    /// The switch.
    pub bridge: Option<String>,
    /// The access tag.
    pub tag: Option<u16>,
    /// Tags it carries as a trunk.
    pub trunks: Vec<u16>,
    /// `access`, `native-tagged`, `native-untagged`, `trunk` or `dot1q-tunnel`, when it is set.
    pub vlan_mode: Option<String>,
    /// `external_ids:iface-id`: the id the controller knows the port by.
    pub interface_id: Option<String>,
    /// `external_ids:attached-mac`.
    pub attached_mac: Option<Mac>,
}
