//! NoCloud's `network-config`, version 2.
//!
//! Assumes an inventory and its binding. Guarantees for each interface: found by MAC; fixed addresses only when the
//! binding or a DHCP host entry of its libvirt network says them for this MAC, else DHCP; a default route on the
//! first interface that can have one, and on no other. An interface whose MAC is unknown cannot be matched and is
//! left out (the mapping says so).
//!
//! Ids are `net0`, `net1`, … and rename nothing: a running guest keeps its names. cloud-init's networkd renderer takes
//! the id for the name, so a guest with neither netplan nor ifupdown needs the binding to give each name.

use core::net::IpAddr;

use serde_json::{Map, Value, json};

use super::error::RenderError;
use super::nocloud::{NicBinding, NoCloudBinding};
use crate::discovery::{AddressOrigin, DnsService, Inventory, Network, Nic};
use crate::model::units::Mac;

/// Behind the metric a guest gives its first interface.
const LATER_METRIC: u32 = 200;

/// How an interface gets its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
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
pub(super) struct Fixed {
    addresses: Vec<String>,
    gateway: Option<IpAddr>,
    dns: Vec<IpAddr>,
    search: Vec<String>,
}

/// The whole file.
pub(super) fn network_config(inventory: &Inventory, binding: &NoCloudBinding) -> Result<Value, RenderError> {
    check_binding(inventory, binding)?;
    let mut ethernets = Map::new();
    let mut routed = DefaultRoute::Free;
    for (nth, nic) in inventory.domain.nics.iter().enumerate() {
        let Some(mac) = nic.mac else { continue };
        let name = binding.nics.get(&mac).and_then(|bound| bound.name.clone());
        let mut device = Map::new();
        device.insert("match".to_owned(), json!({"macaddress": mac.to_string()}));
        if let Some(name) = &name {
            device.insert("set-name".to_owned(), json!(name));
        }
        if let Some(mtu) = mtu(nic, inventory) {
            device.insert("mtu".to_owned(), json!(mtu));
        }
        match plan(nic, inventory, binding) {
            Plan::Unmatched => continue,
            Plan::Dhcp => write_dhcp(&mut device, network_of(nic, inventory), &mut routed),
            Plan::Bound(fixed) | Plan::Reserved(fixed) => {
                write_fixed(&mut device, fixed, &mut routed);
            }
        }
        ethernets.insert(name.unwrap_or_else(|| format!("net{nth}")), Value::Object(device));
    }
    Ok(json!({"version": 2, "ethernets": ethernets}))
}

/// Whether an interface has the default route already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DefaultRoute {
    Free,
    Taken,
}

fn write_dhcp(device: &mut Map<String, Value>, network: Option<&Network>, routed: &mut DefaultRoute) {
    device.insert("dhcp4".to_owned(), json!(true));
    device.insert("dhcp6".to_owned(), json!(false));
    if *routed == DefaultRoute::Taken {
        // What the server offers is unknown here; its default route, if any, must stay behind the first one.
        device.insert("dhcp4-overrides".to_owned(), json!({"route-metric": LATER_METRIC}));
    } else if network.is_none_or(offers_default_route) {
        *routed = DefaultRoute::Taken;
    }
}

/// An isolated network's DHCP offers no gateway; of any other one may be expected.
fn offers_default_route(network: &Network) -> bool {
    network.forward.is_some()
}

fn write_fixed(device: &mut Map<String, Value>, fixed: Fixed, routed: &mut DefaultRoute) {
    let Fixed { addresses, gateway, dns, search } = fixed;
    device.insert("dhcp4".to_owned(), json!(false));
    device.insert("dhcp6".to_owned(), json!(false));
    device.insert("addresses".to_owned(), json!(addresses));
    if let (Some(gateway), DefaultRoute::Free) = (gateway, *routed) {
        let everything = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        device.insert("routes".to_owned(), json!([{"to": everything, "via": gateway}]));
        *routed = DefaultRoute::Taken;
    }
    let mut nameservers = Map::new();
    if !dns.is_empty() {
        nameservers.insert("addresses".to_owned(), json!(dns));
    }
    if !search.is_empty() {
        nameservers.insert("search".to_owned(), json!(search));
    }
    if !nameservers.is_empty() {
        device.insert("nameservers".to_owned(), Value::Object(nameservers));
    }
}

/// Decides how one interface gets its addresses.
pub(super) fn plan(nic: &Nic, inventory: &Inventory, binding: &NoCloudBinding) -> Plan {
    let Some(mac) = nic.mac else {
        return Plan::Unmatched;
    };
    let bound = binding.nics.get(&mac).cloned().unwrap_or_default();
    if !bound.addresses.is_empty() {
        let NicBinding { name: _, addresses, gateway, dns } = bound;
        let dns = if dns.is_empty() { binding.dns.clone() } else { dns };
        return Plan::Bound(Fixed { addresses, gateway, dns, search: binding.search.clone() });
    }
    let Some(network) = network_of(nic, inventory) else {
        return Plan::Dhcp;
    };
    match reserved(nic, network, binding) {
        Some(fixed) => Plan::Reserved(Fixed { gateway: bound.gateway.or(fixed.gateway), ..fixed }),
        None => Plan::Dhcp,
    }
}

/// What the network's own DHCP would hand to this MAC, always.
fn reserved(nic: &Nic, network: &Network, binding: &NoCloudBinding) -> Option<Fixed> {
    let ours: Vec<_> = nic.addresses.iter().filter(|address| address.origin == AddressOrigin::StaticHost).collect();
    let first = ours.first()?;
    let subnet = network
        .subnets
        .iter()
        .find(|subnet| subnet.hosts.iter().any(|host| host.mac == nic.mac && host.ip == Some(first.ip)))?;
    let dns = match (binding.dns.is_empty(), network.dns) {
        (false, _) => binding.dns.clone(),
        (true, DnsService::On) => vec![subnet.host],
        (true, DnsService::Off) => Vec::new(),
    };
    let search =
        if binding.search.is_empty() { network.domain.iter().cloned().collect() } else { binding.search.clone() };
    Some(Fixed {
        addresses: ours.iter().map(|a| format!("{}/{}", a.ip, a.prefix.unwrap_or(subnet.prefix))).collect(),
        gateway: network.routes_guests().then_some(subnet.host),
        dns,
        search,
    })
}

/// The libvirt network an interface is on, when the inventory has it.
fn network_of<'a>(nic: &Nic, inventory: &'a Inventory) -> Option<&'a Network> {
    nic.source.network().and_then(|name| inventory.networks.get(name))
}

/// The interface's MTU, or its network's.
fn mtu(nic: &Nic, inventory: &Inventory) -> Option<u32> {
    nic.mtu.or_else(|| network_of(nic, inventory).and_then(|network| network.mtu))
}

/// Refuses a binding for interfaces that are not there, or with values that are none.
fn check_binding(inventory: &Inventory, binding: &NoCloudBinding) -> Result<(), RenderError> {
    let refuse = |mac: Mac, reason: &str| Err(RenderError::Binding { reason: format!("nics.{mac}: {reason}") });
    let mut names = std::collections::BTreeSet::new();
    for (mac, NicBinding { name, addresses, gateway: _, dns: _ }) in &binding.nics {
        if !inventory.domain.nics.iter().any(|nic| nic.mac == Some(*mac)) {
            return refuse(*mac, "the domain has no such interface");
        }
        if !addresses.iter().all(|address| is_address(address)) {
            return refuse(*mac, "an address is not of the form ADDRESS/PREFIX");
        }
        if let Some(name) = name {
            let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
            // The kernel's limit is 15 bytes.
            if name.is_empty() || name.len() > 15 || !letters || name.starts_with('.') {
                return refuse(*mac, "the name is not one an interface can have");
            }
            if !names.insert(name) || is_default_id(name) {
                return refuse(*mac, "the name is taken");
            }
        }
    }
    Ok(())
}

/// Names that the interfaces without a name of their own are given.
fn is_default_id(name: &str) -> bool {
    name.strip_prefix("net").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

fn is_address(text: &str) -> bool {
    let Some((ip, prefix)) = text.split_once('/') else {
        return false;
    };
    let Ok(ip) = ip.parse::<IpAddr>() else {
        return false;
    };
    let widest = if ip.is_ipv4() { 32 } else { 128 };
    prefix.bytes().all(|b| b.is_ascii_digit()) && prefix.parse::<u8>().is_ok_and(|prefix| prefix <= widest)
}
