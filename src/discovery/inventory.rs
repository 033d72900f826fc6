//! The inventory: a domain with everything known about its surroundings.
//!
//! Assumes each part was parsed; any of them but the domain may be missing. Guarantees one stable order, every
//! address with its origin, and nothing invented: what was not asked or not answered stays unknown.

use std::collections::BTreeMap;

use core::net::IpAddr;
use serde::{Deserialize, Serialize};

use super::disk::DiskSize;
use super::domain::Domain;
use super::generation::Generation;
use super::host::Host;
use super::network::{Network, PortgroupDefault};
use super::nic::{AddressOrigin, Nic, NicAddress, NicSource, Trunk};
use super::pending::pending;
use super::storage::Pool;
use crate::model::units::Mac;

/// The shape of the inventory's JSON; raised when a reader of the old shape would go wrong.
pub const INVENTORY_FORMAT: u32 = 2;

/// One VM's resources and network settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// `INVENTORY_FORMAT`.
    pub format: u32,
    /// The domain as it is now, with sizes and addresses filled in.
    #[serde(flatten)]
    pub domain: Domain,
    /// The libvirt networks its interfaces are on, by name.
    pub networks: BTreeMap<String, Network>,
    /// The storage pools its disks are in, by name, each with those of its volumes that the disks use.
    pub pools: BTreeMap<String, Pool>,
    /// The host under it, as far as it matters to this VM; none when nobody looked (the inventory comes from files).
    pub host: Option<Host>,
    /// What would be there after the next start.
    pub definition: Definition,
}

/// A part of the XML that was read by nobody. Its value is not kept: it might be a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnknownPart {
    /// The element, with its attribute where that alone is unknown: `/domain/devices/disk[1]/target/@spin`.
    pub path: String,
    /// Its line in that document.
    pub line: u64,
}

/// The persistent definition, compared with the running domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Definition {
    /// Nobody looked (the inventory comes from a file).
    NotAsked,
    /// There is none: the domain is gone when it stops.
    Transient,
    /// There is one.
    Persistent {
        /// The generation of the definition.
        generation: Generation,
        /// The fields in which it differs from what runs now, by path: `memory.current_kib`, `disks[vdb]`.
        pending: Vec<String>,
    },
}

/// What is known of the persistent definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inactive {
    /// Nobody looked.
    NotAsked,
    /// The domain has none.
    Transient,
    /// The definition.
    Known(Box<Domain>),
}

/// Everything an inventory is made from.
#[derive(Debug, Clone)]
pub struct Discovered {
    /// The live XML; for a domain that is off, the inactive one.
    pub live: Domain,
    /// The inactive XML.
    pub inactive: Inactive,
    /// Block info by disk target (`vda`).
    pub sizes: BTreeMap<String, DiskSize>,
    /// Networks, at least those that interfaces name.
    pub networks: Vec<Network>,
    /// DHCP leases valid now.
    pub leases: Vec<Lease>,
    /// What the guest agent says.
    pub agent: Vec<AgentAddress>,
    /// Pools, each with the volumes that were looked at; at least those that disks name.
    pub pools: Vec<Pool>,
    /// The host.
    pub host: Option<Host>,
}

impl Discovered {
    /// What a domain XML alone tells.
    pub fn from_domain(live: Domain) -> Self {
        Self {
            live,
            inactive: Inactive::NotAsked,
            sizes: BTreeMap::new(),
            networks: Vec::new(),
            leases: Vec::new(),
            agent: Vec::new(),
            pools: Vec::new(),
            host: None,
        }
    }
}

/// A DHCP lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Whose.
    pub mac: Mac,
    /// Which address.
    pub ip: IpAddr,
    /// The length of the prefix, when libvirt says it.
    pub prefix: Option<u8>,
}

/// An address the guest agent reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentAddress {
    /// The guest interface's MAC.
    pub mac: Mac,
    /// The address.
    pub ip: IpAddr,
    /// The length of the prefix.
    pub prefix: Option<u8>,
}

impl Inventory {
    /// Puts the parts together.
    pub fn build(discovered: Discovered) -> Self {
        let Discovered { live, inactive, sizes, networks, leases, agent, pools, host } = discovered;
        let definition = match inactive {
            Inactive::NotAsked => Definition::NotAsked,
            Inactive::Transient => Definition::Transient,
            Inactive::Known(domain) => {
                Definition::Persistent { generation: Generation::of_domain(&domain), pending: pending(&live, &domain) }
            }
        };
        let pools = pools.into_iter().map(|pool| (pool.name.clone(), pool)).collect();
        let mut domain = live;
        for disk in &mut domain.disks {
            disk.size = sizes.get(&disk.target).copied();
        }
        let named =
            |network: &Network| domain.nics.iter().any(|nic| nic.source.network() == Some(network.name.as_str()));
        let networks: BTreeMap<String, Network> = networks
            .into_iter()
            .filter(|network| named(network))
            .map(|network| (network.name.clone(), network))
            .collect();
        for nic in &mut domain.nics {
            let network = nic.source.network().and_then(|name| networks.get(name));
            if let Some(network) = network {
                inherit_vlan(nic, network);
            }
            nic.addresses = nic.mac.map(|mac| gather(mac, network, &leases, &agent)).unwrap_or_default();
        }
        Self { format: INVENTORY_FORMAT, domain, networks, pools, host, definition }
    }

    /// The generation of the parts that matter; see `Generation`.
    pub fn generation(&self) -> Generation {
        Generation::of_domain(&self.domain)
    }
}

/// A tag may sit in the interface, else in its portgroup, else in the network: libvirt's own order.
fn inherit_vlan(nic: &mut Nic, network: &Network) {
    if !nic.vlan.tags.is_empty() {
        return;
    }
    let NicSource::Network { portgroup, .. } = &nic.source else {
        return;
    };
    let group = network.portgroups.iter().find(|group| match portgroup {
        Some(name) => group.name == *name,
        None => group.default == PortgroupDefault::Yes,
    });
    nic.vlan = group.map(|group| &group.vlan).filter(|vlan| !vlan.tags.is_empty()).unwrap_or(&network.vlan).clone();
    debug_assert!(nic.vlan.tags.len() < 2 || nic.vlan.trunk == Trunk::Yes);
}

/// Every address known for `mac`, sorted, each origin once.
fn gather(mac: Mac, network: Option<&Network>, leases: &[Lease], agent: &[AgentAddress]) -> Vec<NicAddress> {
    let fixed = network.into_iter().flat_map(|network| &network.subnets).flat_map(|subnet| {
        let ours = subnet.hosts.iter().filter(move |host| host.mac == Some(mac)).filter_map(|host| host.ip);
        ours.map(|ip| NicAddress::new(ip, Some(subnet.prefix), AddressOrigin::StaticHost))
    });
    let leased = leases.iter().filter(|lease| lease.mac == mac);
    let leased = leased.map(|lease| NicAddress::new(lease.ip, lease.prefix, AddressOrigin::Lease));
    let told = agent.iter().filter(|address| address.mac == mac && !address.ip.is_loopback());
    let told = told.map(|told| NicAddress::new(told.ip, told.prefix, AddressOrigin::Agent));
    let mut addresses: Vec<NicAddress> = fixed.chain(leased).chain(told).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}
