//! The inventory: a domain with everything known about its surroundings.
//!
//! Assumes each part was parsed; any of them but the domain may be missing. Guarantees one stable order, every
//! address with its origin, and nothing invented: what was not asked or not answered stays unknown.

mod disks;
mod host;
mod nics;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use core::net::IpAddr;
use serde::{Deserialize, Serialize};

use super::disk::{Disk, DiskSize};
use super::domain::Domain;
use super::generation::Generation;
use super::host::Host;
use super::network::Network;
use super::pending::pending;
use super::storage::{Pool, Volume};
use crate::model::time::Wall;
use crate::model::units::{Bytes, Mac};

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
    /// What the host's neighbour table says, of any MAC.
    pub neighbours: Vec<Neighbour>,
    /// Pools, each with the volumes that were looked at; at least those that disks name.
    pub pools: Vec<Pool>,
    /// The host, with any of its links and switch ports; several VMs share what was asked once.
    pub host: Option<Arc<Host>>,
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
            neighbours: Vec::new(),
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
    /// When it ends unless it is renewed; none for one that does not.
    pub expires: Option<Wall>,
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

/// An address that the host has seen a MAC answer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// Whose.
    pub mac: Mac,
    /// The address.
    pub ip: IpAddr,
}

impl Inventory {
    /// Puts the parts together. Of networks, pools, volumes, links and switch ports only those stay that the domain
    /// uses.
    pub fn build(discovered: Discovered) -> Self {
        let Discovered { live, inactive, sizes, networks, leases, agent, neighbours, pools, host } = discovered;
        let definition = match inactive {
            Inactive::NotAsked => Definition::NotAsked,
            Inactive::Transient => Definition::Transient,
            Inactive::Known(domain) => {
                Definition::Persistent { generation: Generation::of_domain(&domain), pending: pending(&live, &domain) }
            }
        };
        let mut domain = live;
        let pools = disks::resolve(&mut domain.disks, &sizes, pools);
        let known = nics::Addresses { leases: &leases, agent: &agent, neighbours: &neighbours };
        let networks = nics::resolve(&mut domain.nics, networks, known);
        let host = host.map(|host| host::limited(&host, &domain, &networks));
        Self { format: INVENTORY_FORMAT, domain, networks, pools, host, definition }
    }

    /// The generation of the parts that matter; see `Generation`.
    pub fn generation(&self) -> Generation {
        Generation::of_inventory(self)
    }

    /// The pool and the volume that hold a disk of the domain; none unless its pool was looked at and has it.
    pub fn volume_of(&self, disk: &Disk) -> Option<(&Pool, &Volume)> {
        let at = disk.volume.as_ref()?;
        let pool = self.pools.get(&at.pool)?;
        Some((pool, pool.volumes.get(&at.volume)?))
    }

    /// What the guest sees of a disk's size, by block info or by its volume; none where neither tells.
    pub fn capacity_of(&self, disk: &Disk) -> Option<Bytes> {
        disk.size.map(|size| size.capacity).or_else(|| Some(self.volume_of(disk)?.1.capacity))
    }

    /// What nobody read, of every document the inventory was made from, with the document's name: `domain`,
    /// `network:NAME`, `pool:NAME`, `volume:POOL/NAME`, `capabilities`.
    pub fn unknown(&self) -> impl Iterator<Item = (String, &UnknownPart)> {
        fn of(document: String, parts: &[UnknownPart]) -> impl Iterator<Item = (String, &UnknownPart)> {
            parts.iter().map(move |part| (document.clone(), part))
        }
        let networks = self.networks.values().flat_map(|net| of(format!("network:{}", net.name), &net.unknown));
        let pools = self.pools.values().flat_map(|pool| {
            let volumes = pool.volumes.values();
            of(format!("pool:{}", pool.name), &pool.unknown)
                .chain(volumes.flat_map(|volume| of(format!("volume:{}/{}", pool.name, volume.name), &volume.unknown)))
        });
        let capabilities = self.host.iter().filter_map(|host| host.capabilities.as_ref());
        of("domain".to_owned(), &self.domain.unknown)
            .chain(networks)
            .chain(pools)
            .chain(capabilities.flat_map(|found| of("capabilities".to_owned(), &found.unknown)))
    }
}
