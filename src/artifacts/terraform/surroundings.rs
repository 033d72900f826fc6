//! Volumes, pools and networks around the VM, each imported by what libvirt knows it by.
//!
//! Assumes an inventory. Guarantees a resource for each that has an id (a volume's key, a pool's or network's UUID), and
//! names that are unique among resources of a kind.

use std::collections::{BTreeMap, BTreeSet};

use core::net::IpAddr;

use super::hcl::{Block, Value, identifier};
use super::imported;
use crate::discovery::{DnsService, ForwardMode, Inventory, Network, Pool, Volume};

/// The names of resources, by what they are of.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// By pool.
    pub(super) pools: BTreeMap<String, String>,
    /// By pool and volume.
    pub(super) volumes: BTreeMap<(String, String), String>,
    /// By network.
    pub(super) networks: BTreeMap<String, String>,
}

impl Surroundings {
    /// Names what can be imported.
    pub(super) fn of(inventory: &Inventory) -> Self {
        let mut names = Self::default();
        let (mut pools, mut volumes, mut networks) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for pool in inventory.pools.values() {
            if pool.uuid.is_some() {
                names.pools.insert(pool.name.clone(), unique(&pool.name, &mut pools));
            }
            for volume in pool.volumes.values().filter(|volume| volume.key.is_some()) {
                let name = unique(&format!("{}_{}", pool.name, volume.name), &mut volumes);
                names.volumes.insert((pool.name.clone(), volume.name.clone()), name);
            }
        }
        for network in inventory.networks.values().filter(|network| network.uuid.is_some()) {
            names.networks.insert(network.name.clone(), unique(&network.name, &mut networks));
        }
        names
    }

    /// Their blocks: networks, pools, volumes.
    pub(super) fn blocks(&self, inventory: &Inventory) -> Vec<Block> {
        let mut blocks = Vec::new();
        for network in inventory.networks.values() {
            if let (Some(name), Some(uuid)) = (self.networks.get(&network.name), network.uuid) {
                blocks.extend(imported("libvirt_network", name, &uuid.to_string(), network_resource(network, name)));
            }
        }
        for pool in inventory.pools.values() {
            if let (Some(name), Some(uuid)) = (self.pools.get(&pool.name), pool.uuid) {
                blocks.extend(imported("libvirt_pool", name, &uuid.to_string(), pool_resource(pool, name)));
            }
            for volume in pool.volumes.values() {
                let name = self.volumes.get(&(pool.name.clone(), volume.name.clone()));
                if let (Some(name), Some(key)) = (name, &volume.key) {
                    blocks.extend(imported("libvirt_volume", name, key, volume_resource(pool, volume, name)));
                }
            }
        }
        blocks
    }
}

fn unique(name: &str, taken: &mut BTreeSet<String>) -> String {
    let base = identifier(name);
    let mut name = base.clone();
    let mut nth = 1_u32;
    while !taken.insert(name.clone()) {
        nth += 1;
        name = format!("{base}_{nth}");
    }
    name
}

fn pool_resource(pool: &Pool, name: &str) -> Block {
    let source = pool.source_name.as_ref().map(|source| Block::new("source").set("name", Value::text(source)));
    let target = pool.target.as_ref().map(|path| Block::new("target").set("path", Value::text(path)));
    Block::resource("libvirt_pool", name)
        .set("name", Value::text(&pool.name))
        .set("type", Value::text(pool.kind.as_str()))
        .block_if(source)
        .block_if(target)
}

fn volume_resource(pool: &Pool, volume: &Volume, name: &str) -> Block {
    Block::resource("libvirt_volume", name)
        .set("name", Value::text(&volume.name))
        .set("pool", Value::text(&pool.name))
        .set("size", Value::expression(volume.capacity.0.to_string()))
        .set_if("format", volume.format.as_ref().map(Value::text))
}

/// The schema's word for how a network reaches the world; none where it has no word.
pub(super) fn mode(network: &Network) -> Option<&'static str> {
    match &network.forward {
        None => Some("none"),
        Some(ForwardMode::Nat) => Some("nat"),
        Some(ForwardMode::Route) => Some("route"),
        Some(ForwardMode::Open) => Some("open"),
        Some(ForwardMode::Bridge) => Some("bridge"),
        Some(
            ForwardMode::Private
            | ForwardMode::Vepa
            | ForwardMode::Passthrough
            | ForwardMode::Hostdev
            | ForwardMode::Unknown(_),
        ) => None,
    }
}

fn network_resource(network: &Network, name: &str) -> Block {
    let addresses: Vec<String> = network.subnets.iter().map(|subnet| cidr(subnet.host, subnet.prefix)).collect();
    let dns = (!network.subnets.is_empty()).then(|| {
        let on = network.dns == DnsService::On;
        let mut dns = Block::new("dns").set("enabled", Value::expression(on.to_string()));
        for forwarder in &network.forwarders {
            dns = dns.block(Block::new("forwarders").set("address", Value::text(forwarder.to_string())));
        }
        dns
    });
    let hands_out = network.subnets.iter().any(|subnet| !subnet.ranges.is_empty() || !subnet.hosts.is_empty());
    let dhcp = (!network.subnets.is_empty())
        .then(|| Block::new("dhcp").set("enabled", Value::expression(hands_out.to_string())));
    Block::resource("libvirt_network", name)
        .set("name", Value::text(&network.name))
        .set_if("mode", mode(network).map(Value::text))
        .set_if("domain", network.domain.as_ref().map(Value::text))
        .set_if("bridge", network.bridge.as_ref().map(Value::text))
        .set_if("mtu", network.mtu.map(|mtu| Value::expression(mtu.to_string())))
        .set_if("addresses", (!addresses.is_empty()).then_some(Value::Texts(addresses)))
        .block_if(dns)
        .block_if(dhcp)
}

/// The subnet that an address of the host is in: `192.0.2.0/24` for `192.0.2.1`.
fn cidr(host: IpAddr, prefix: u8) -> String {
    let prefix = u32::from(prefix);
    let base = match host {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix)).unwrap_or(0);
            IpAddr::from((u32::from(ip) & mask).to_be_bytes())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix)).unwrap_or(0);
            IpAddr::from((u128::from(ip) & mask).to_be_bytes())
        }
    };
    format!("{base}/{prefix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_is_told_by_its_first_address() {
        let of = |host: &str, prefix| cidr(host.parse().unwrap(), prefix);
        assert_eq!(of("192.0.2.129", 25), "192.0.2.128/25");
        assert_eq!(of("192.0.2.1", 32), "192.0.2.1/32");
        assert_eq!(of("10.1.2.3", 0), "0.0.0.0/0");
        assert_eq!(of("2001:db8:7::1", 64), "2001:db8:7::/64");
    }

    #[test]
    fn two_names_that_are_spelled_alike_stay_two() {
        let mut taken = BTreeSet::new();
        assert_eq!([unique("a b", &mut taken), unique("a.b", &mut taken)], ["a_b", "a_b_2"]);
    }
}
