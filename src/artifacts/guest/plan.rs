//! How one interface gets its addresses, of each family.
//!
//! Assumes a checked binding. Guarantees that nothing is made fixed which may be another's tomorrow: leases and what
//! a guest agent says tell only of now.

use core::net::{IpAddr, Ipv6Addr};

use super::{Guest, GuestNic, GuestRoute};
use crate::discovery::{AddressOrigin, DnsService, Inventory, Network, Nic};

/// How an interface gets its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::artifacts) enum Plan {
    /// It cannot be told apart from the others.
    Unmatched,
    /// The operator's addresses.
    Bound(Fixed),
    /// The addresses its network reserves for it.
    Reserved(Fixed),
    /// Nobody knows for sure: ask.
    Dhcp,
}

/// Fixed addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::artifacts) struct Fixed {
    /// As `ADDRESS/PREFIX`.
    pub(in crate::artifacts) addresses: Vec<String>,
    /// The gateway, of either family.
    pub(in crate::artifacts) gateway: Option<IpAddr>,
    /// The IPv6 gateway, where the other is the IPv4 one.
    pub(in crate::artifacts) gateway6: Option<Ipv6Addr>,
    pub(in crate::artifacts) dns: Vec<IpAddr>,
    pub(in crate::artifacts) search: Vec<String>,
    /// Other routes, which only the operator knows.
    pub(in crate::artifacts) routes: Vec<GuestRoute>,
}

impl Fixed {
    /// The gateways, one of a family at most.
    pub(in crate::artifacts) fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        self.gateway.into_iter().chain(self.gateway6.map(IpAddr::V6))
    }

    /// Whether an address is IPv6.
    pub(in crate::artifacts) fn has_ipv6(&self) -> bool {
        self.addresses.iter().any(|address| address.contains(':'))
    }
}

/// What an interface's network does for IPv6 by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::artifacts) enum AutoIpv6 {
    /// Nobody knows: it is no libvirt network, or not one that libvirt serves.
    Unknown,
    /// Nothing.
    Silent,
    /// It advertises its prefixes, from which guests make their addresses.
    Advertised,
    /// It advertises itself, and hands addresses out by DHCPv6.
    Dhcp,
}

/// What the network of `nic` does for IPv6: libvirt's own rule for the server it runs there.
///
/// *Source*: <https://libvirt.org/formatnetwork.html#addressing>.
pub(in crate::artifacts) fn auto_ipv6(nic: &Nic, inventory: &Inventory) -> AutoIpv6 {
    let Some(network) = network_of(nic, inventory) else {
        return AutoIpv6::Unknown;
    };
    if network.forward.is_some() && !network.routes_guests() {
        return AutoIpv6::Unknown;
    }
    let mut subnets = network.subnets.iter().filter(|subnet| subnet.host.is_ipv6()).peekable();
    match (subnets.peek().is_some(), subnets.any(|subnet| !subnet.ranges.is_empty() || !subnet.hosts.is_empty())) {
        (false, _) => AutoIpv6::Silent,
        (true, false) => AutoIpv6::Advertised,
        (true, true) => AutoIpv6::Dhcp,
    }
}

/// Decides how one interface gets its addresses.
pub(in crate::artifacts) fn plan(nic: &Nic, inventory: &Inventory, guest: &Guest) -> Plan {
    let Some(mac) = nic.mac else {
        return Plan::Unmatched;
    };
    let bound = guest.nics.get(&mac).cloned().unwrap_or_default();
    let GuestNic { name: _, addresses, gateway, gateway6, dns, routes, vlans: _ } = bound;
    if !addresses.is_empty() {
        let dns = if dns.is_empty() { guest.dns.clone() } else { dns };
        return Plan::Bound(Fixed { addresses, gateway, gateway6, dns, search: guest.search.clone(), routes });
    }
    let Some(fixed) = network_of(nic, inventory).and_then(|network| reserved(nic, network, guest)) else {
        return Plan::Dhcp;
    };
    let dns = if dns.is_empty() { fixed.dns } else { dns };
    Plan::Reserved(Fixed { gateway: gateway.or(fixed.gateway), gateway6, dns, routes, ..fixed })
}

/// What the network's own DHCP would hand to this MAC, always. It is IPv4: DHCPv6 knows no MAC.
fn reserved(nic: &Nic, network: &Network, guest: &Guest) -> Option<Fixed> {
    let ours: Vec<_> = nic.addresses.iter().filter(|address| address.origin == AddressOrigin::StaticHost).collect();
    let first = ours.first()?;
    let subnet = network
        .subnets
        .iter()
        .find(|subnet| subnet.hosts.iter().any(|host| host.mac == nic.mac && host.ip == Some(first.ip)))?;
    let dns = match (guest.dns.is_empty(), network.dns) {
        (false, _) => guest.dns.clone(),
        (true, DnsService::On) => vec![subnet.host],
        (true, DnsService::Off) => Vec::new(),
    };
    let search = if guest.search.is_empty() { network.domain.iter().cloned().collect() } else { guest.search.clone() };
    Some(Fixed {
        addresses: ours.iter().map(|a| format!("{}/{}", a.ip, a.prefix.unwrap_or(subnet.prefix))).collect(),
        gateway: network.routes_guests().then_some(subnet.host),
        gateway6: None,
        dns,
        search,
        routes: Vec::new(),
    })
}

/// The libvirt network an interface is on, when the inventory has it.
pub(in crate::artifacts) fn network_of<'a>(nic: &Nic, inventory: &'a Inventory) -> Option<&'a Network> {
    nic.source.network().and_then(|name| inventory.networks.get(name))
}

/// The interface's MTU, or its network's.
pub(in crate::artifacts) fn mtu(nic: &Nic, inventory: &Inventory) -> Option<u32> {
    nic.mtu.or_else(|| network_of(nic, inventory).and_then(|network| network.mtu))
}
