//! Network interfaces as EC2's.
//!
//! Assumes a checked binding. Guarantees one interface for each that has a MAC, in the order of the XML, with the
//! addresses that are surest and with how sure they are.

use core::net::IpAddr;

use uuid::Uuid;

use super::binding::{Ec2Binding, SubnetId};
use super::id;
use crate::artifacts::guest::{Guest, Plan, plan, read_address};
use crate::discovery::{AddressOrigin, Inventory, Nic, NicAddress};
use crate::model::units::Mac;

/// An address with the length of its network's prefix, where that is known.
pub(super) type Address = (IpAddr, Option<u8>);

/// An interface.
#[derive(Debug)]
pub(super) struct Interface<'a> {
    pub(super) nic: &'a Nic,
    pub(super) mac: Mac,
    /// Its place among the VM's interfaces, from 0.
    pub(super) number: u64,
    /// `eni-…`.
    pub(super) id: String,
    /// `eni-attach-…`.
    pub(super) attachment: String,
    pub(super) subnet: &'a SubnetId,
    pub(super) known: Known,
}

/// The addresses known of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// They are its own: the binding or its network's DHCP says so.
    Fixed(Vec<Address>),
    /// It has them now, by what the origin says.
    Now(AddressOrigin, Vec<Address>),
    /// None.
    Nothing,
}

impl Known {
    fn all(&self) -> &[Address] {
        match self {
            Self::Fixed(addresses) | Self::Now(_, addresses) => addresses,
            Self::Nothing => &[],
        }
    }
}

impl Interface<'_> {
    /// Its IPv4 addresses, the primary one first.
    pub(super) fn ipv4(&self) -> Vec<Address> {
        self.known.all().iter().copied().filter(|(ip, _)| ip.is_ipv4()).collect()
    }

    /// Its IPv6 addresses.
    pub(super) fn ipv6(&self) -> Vec<Address> {
        self.known.all().iter().copied().filter(|(ip, _)| ip.is_ipv6()).collect()
    }

    /// Its primary address, which EC2 has of IPv4 only.
    pub(super) fn primary(&self) -> Option<String> {
        self.ipv4().first().map(|(ip, _)| ip.to_string())
    }

    /// Whether the host drops what it sends under another's address.
    pub(super) fn checks_source(&self) -> bool {
        let filters = ["clean-traffic", "clean-traffic-gateway", "no-ip-spoofing"];
        self.nic.filter.as_deref().is_some_and(|filter| filters.contains(&filter))
    }
}

/// The interfaces.
pub(super) fn interfaces<'a>(vm: Uuid, inventory: &'a Inventory, binding: &'a Ec2Binding) -> Vec<Interface<'a>> {
    let with_mac = inventory.domain.nics.iter().filter_map(|nic| {
        let mac = nic.mac?;
        Some((nic, mac, binding.subnets.get(&mac)?))
    });
    with_mac
        .zip(0..)
        .map(|((nic, mac, subnet), number)| {
            let key = Uuid::new_v5(&vm, mac.to_string().as_bytes());
            Interface {
                nic,
                mac,
                number,
                id: id("eni-", key),
                attachment: id("eni-attach-", key),
                subnet,
                known: known(nic, inventory, &binding.guest),
            }
        })
        .collect()
}

fn known(nic: &Nic, inventory: &Inventory, guest: &Guest) -> Known {
    match plan(nic, inventory, guest) {
        Plan::Bound(fixed) | Plan::Reserved(fixed) => {
            let addresses = fixed.addresses.iter().filter_map(|text| read_address(text));
            Known::Fixed(addresses.map(|(ip, prefix)| (ip, Some(prefix))).collect())
        }
        Plan::Dhcp | Plan::Unmatched => {
            // The neighbour table may be stale or forged: too little to answer with.
            [AddressOrigin::Agent, AddressOrigin::Lease]
                .into_iter()
                .map(|origin| (origin, told(nic, origin)))
                .find(|(_, addresses)| !addresses.is_empty())
                .map_or(Known::Nothing, |(origin, addresses)| Known::Now(origin, addresses))
        }
    }
}

/// What one origin tells, without addresses that hold on one link only; those that were leased come first, for the
/// guest asked for them.
fn told(nic: &Nic, origin: AddressOrigin) -> Vec<Address> {
    let leased = |ip: IpAddr| nic.addresses.iter().any(|other| other.ip == ip && other.origin == AddressOrigin::Lease);
    let mut ours: Vec<&NicAddress> =
        nic.addresses.iter().filter(|address| address.origin == origin && !of_one_link(address.ip)).collect();
    ours.sort_by_key(|address| !leased(address.ip));
    ours.iter().map(|address| (address.ip, address.prefix)).collect()
}

fn of_one_link(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The network of an address.
pub(super) fn block((ip, prefix): Address) -> Option<String> {
    let prefix = u32::from(prefix?);
    Some(match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - prefix.min(32)).unwrap_or(0);
            format!("{}/{prefix}", core::net::Ipv4Addr::from_bits(ip.to_bits() & mask))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - prefix.min(128)).unwrap_or(0);
            format!("{}/{prefix}", core::net::Ipv6Addr::from_bits(ip.to_bits() & mask))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_its_network() {
        for (ip, prefix, expected) in [
            ("192.0.2.21", 24, "192.0.2.0/24"),
            ("192.0.2.21", 32, "192.0.2.21/32"),
            ("192.0.2.21", 0, "0.0.0.0/0"),
            ("2001:db8:7::21", 64, "2001:db8:7::/64"),
        ] {
            assert_eq!(block((ip.parse().unwrap(), Some(prefix))), Some(expected.to_owned()));
        }
        assert_eq!(block(("192.0.2.1".parse().unwrap(), None)), None);
    }
}
