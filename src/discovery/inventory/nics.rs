//! What an interface gets from its network, and the addresses it is known by.
//!
//! Assumes interfaces as the domain has them. Guarantees libvirt's own order (the interface, its portgroup, the
//! network), and every address with its origin, sorted, each origin once.

use std::collections::BTreeMap;

use super::{AgentAddress, Lease, Neighbour};
use crate::discovery::network::{Network, Portgroup, PortgroupDefault};
use crate::discovery::nic::{AddressOrigin, Nic, NicAddress, NicSource};
use crate::model::units::Mac;

/// The addresses that were told, of any MAC.
#[derive(Clone, Copy)]
pub(super) struct Addresses<'a> {
    pub(super) leases: &'a [Lease],
    pub(super) agent: &'a [AgentAddress],
    pub(super) neighbours: &'a [Neighbour],
}

/// Fills in what the surroundings tell; gives the networks that are used, by name.
pub(super) fn resolve(nics: &mut [Nic], networks: Vec<Network>, known: Addresses<'_>) -> BTreeMap<String, Network> {
    let used = |network: &Network| nics.iter().any(|nic| nic.source.network() == Some(network.name.as_str()));
    let networks: BTreeMap<String, Network> =
        networks.into_iter().filter(used).map(|network| (network.name.clone(), network)).collect();
    for nic in nics {
        let network = nic.source.network().and_then(|name| networks.get(name));
        if let Some(network) = network {
            inherit(nic, network);
        }
        nic.addresses = nic.mac.map(|mac| gather(mac, network, known)).unwrap_or_default();
    }
    networks
}

/// *Source*: libvirt, `networkAllocatePort` and `virNetDevVPortProfileMerge3`.
fn inherit(nic: &mut Nic, network: &Network) {
    let group = portgroup_of(nic, network);
    if nic.vlan.tags.is_empty() {
        let of_group = group.map(|group| &group.vlan).filter(|vlan| !vlan.tags.is_empty());
        nic.vlan = of_group.unwrap_or(&network.vlan).clone();
    }
    // A network's own limit is for its bridge as a whole, so only a portgroup's is the interface's.
    if nic.bandwidth.is_none() {
        nic.bandwidth = group.and_then(|group| group.bandwidth.clone());
    }
    let ports = [network.virtualport.as_ref(), group.and_then(|group| group.virtualport.as_ref())];
    for port in ports.into_iter().flatten() {
        match &mut nic.virtualport {
            // libvirt starts no domain in which two of them differ.
            Some(own) => own.fill_from(port),
            none => *none = Some(port.clone()),
        }
    }
}

/// The portgroup the interface names, else the network's default one.
fn portgroup_of<'a>(nic: &Nic, network: &'a Network) -> Option<&'a Portgroup> {
    let NicSource::Network { portgroup, .. } = &nic.source else {
        return None;
    };
    network.portgroups.iter().find(|group| match portgroup {
        Some(name) => group.name == *name,
        None => group.default == PortgroupDefault::Yes,
    })
}

/// Every address known for `mac`.
fn gather(mac: Mac, network: Option<&Network>, known: Addresses<'_>) -> Vec<NicAddress> {
    let fixed = network.into_iter().flat_map(|network| &network.subnets).flat_map(|subnet| {
        let ours = subnet.hosts.iter().filter(move |host| host.mac == Some(mac)).filter_map(|host| host.ip);
        ours.map(|ip| NicAddress::new(ip, Some(subnet.prefix), AddressOrigin::StaticHost))
    });
    let leased = known.leases.iter().filter(|lease| lease.mac == mac).map(|lease| NicAddress {
        expires: lease.expires,
        ..NicAddress::new(lease.ip, lease.prefix, AddressOrigin::Lease)
    });
    let told = known.agent.iter().filter(|address| address.mac == mac && !address.ip.is_loopback());
    let told = told.map(|told| NicAddress::new(told.ip, told.prefix, AddressOrigin::Agent));
    let seen = known.neighbours.iter().filter(|seen| seen.mac == mac);
    let seen = seen.map(|seen| NicAddress::new(seen.ip, None, AddressOrigin::Arp));
    let mut addresses: Vec<NicAddress> = fixed.chain(leased).chain(told).chain(seen).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}
