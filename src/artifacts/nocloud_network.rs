//! NoCloud's `network-config`, version 2.
//!
//! Assumes an inventory and its guest. Guarantees for each interface: found by MAC; fixed addresses only when the
//! binding or a DHCP host entry of its libvirt network says them for this MAC, else DHCP; IPv6 as its network serves
//! it; one default route of a family, on the first interface that can have one. An interface whose MAC is unknown
//! cannot be matched and is left out (the mapping says so).
//!
//! Ids are `net0`, `net1`, … and rename nothing: a running guest keeps its names. In the guest cloud-init looks the
//! real name up by the MAC; where it finds none (an image is prepared elsewhere), its networkd renderer takes the id
//! for the name, and the binding has to give the name.
//!
//! *Source*: <https://docs.cloud-init.io/en/latest/reference/network-config-format-v2.html>.

use core::net::IpAddr;
use serde_json::{Map, Value, json};

use super::error::RenderError;
use super::guest::{
    AutoIpv6, Fixed, Guest, GuestNic, GuestRoute, GuestVlan, Plan, auto_ipv6, check_nics, mtu, network_of, plan,
    vlan_name,
};
use crate::discovery::{Inventory, LinkState, Network, Nic};

/// Behind the metric a guest gives its first interface.
const LATER_METRIC: u32 = 200;

/// The whole file.
pub(super) fn network_config(inventory: &Inventory, guest: &Guest) -> Result<Value, RenderError> {
    check_nics(inventory, guest)?;
    let mut ethernets = Map::new();
    let mut vlans = Map::new();
    let mut free = DefaultRoutes { ipv4: true, ipv6: true };
    let unbound = GuestNic::default();
    for (nth, nic) in inventory.domain.nics.iter().enumerate() {
        let Some(mac) = nic.mac else { continue };
        let bound = guest.nics.get(&mac).unwrap_or(&unbound);
        let id = bound.name.clone().unwrap_or_else(|| format!("net{nth}"));
        let device = ethernet(nic, inventory, guest, bound, &mut free);
        ethernets.insert(id.clone(), Value::Object(device));
        for vlan in &bound.vlans {
            vlans.insert(vlan_name(&id, vlan.id), Value::Object(tagged(vlan, &id, &mut free)));
        }
    }
    let mut config = Map::from_iter([("version".to_owned(), json!(2)), ("ethernets".to_owned(), json!(ethernets))]);
    if !vlans.is_empty() {
        config.insert("vlans".to_owned(), json!(vlans));
    }
    Ok(Value::Object(config))
}

/// Whether the default route of a family is still to be had.
struct DefaultRoutes {
    ipv4: bool,
    ipv6: bool,
}

impl DefaultRoutes {
    /// Takes the default route of the gateway's family, unless it is taken.
    fn take(&mut self, gateway: IpAddr) -> Option<Value> {
        let (free, everything) = match gateway {
            IpAddr::V4(_) => (&mut self.ipv4, "0.0.0.0/0"),
            IpAddr::V6(_) => (&mut self.ipv6, "::/0"),
        };
        std::mem::take(free).then(|| json!({"to": everything, "via": gateway}))
    }
}

fn ethernet(
    nic: &Nic,
    inventory: &Inventory,
    guest: &Guest,
    bound: &GuestNic,
    free: &mut DefaultRoutes,
) -> Map<String, Value> {
    let mut device = Map::new();
    device.insert("match".to_owned(), json!({"macaddress": nic.mac.map(|mac| mac.to_string())}));
    if let Some(name) = &bound.name {
        device.insert("set-name".to_owned(), json!(name));
    }
    if let Some(mtu) = mtu(nic, inventory) {
        device.insert("mtu".to_owned(), json!(mtu));
    }
    if nic.link == LinkState::Down {
        // Nobody is to wait at boot for a cable that is not plugged.
        device.insert("optional".to_owned(), json!(true));
    }
    let auto = auto_ipv6(nic, inventory);
    match plan(nic, inventory, guest) {
        Plan::Bound(fixed) | Plan::Reserved(fixed) => {
            device.insert("dhcp4".to_owned(), json!(false));
            write_ipv6(&mut device, if fixed.has_ipv6() { AutoIpv6::Unknown } else { auto });
            write_fixed(&mut device, fixed, free);
        }
        Plan::Dhcp | Plan::Unmatched => {
            write_dhcp4(&mut device, network_of(nic, inventory), free);
            write_ipv6(&mut device, auto);
            write_routes(&mut device, bound.routes.iter().map(route).collect());
        }
    }
    if auto != AutoIpv6::Silent && network_of(nic, inventory).is_some_and(Network::routes_guests) {
        // Who advertises itself on a network that routes is a default route.
        free.ipv6 = free.ipv6 && auto == AutoIpv6::Unknown;
    }
    device
}

/// A VLAN that the guest sets up on an interface.
fn tagged(vlan: &GuestVlan, link: &str, free: &mut DefaultRoutes) -> Map<String, Value> {
    let GuestVlan { id, addresses, gateway, dns } = vlan.clone();
    let mut device = Map::new();
    device.insert("id".to_owned(), json!(id));
    device.insert("link".to_owned(), json!(link));
    if addresses.is_empty() {
        write_dhcp4(&mut device, None, free);
        write_ipv6(&mut device, AutoIpv6::Unknown);
        return device;
    }
    device.insert("dhcp4".to_owned(), json!(false));
    write_ipv6(&mut device, AutoIpv6::Unknown);
    let fixed = Fixed { addresses, gateway, gateway6: None, dns, search: Vec::new(), routes: Vec::new() };
    write_fixed(&mut device, fixed, free);
    device
}

fn write_dhcp4(device: &mut Map<String, Value>, network: Option<&Network>, free: &mut DefaultRoutes) {
    device.insert("dhcp4".to_owned(), json!(true));
    if !free.ipv4 {
        // What the server offers is unknown here; its default route, if any, must stay behind the first one.
        device.insert("dhcp4-overrides".to_owned(), json!({"route-metric": LATER_METRIC}));
    } else if network.is_none_or(offers_default_route) {
        free.ipv4 = false;
    }
}

/// An isolated network's DHCP offers no gateway; of any other one may be expected.
fn offers_default_route(network: &Network) -> bool {
    network.forward.is_some()
}

/// Where the network's own doing is unknown, the guest keeps its own way with advertisements.
fn write_ipv6(device: &mut Map<String, Value>, auto: AutoIpv6) {
    device.insert("dhcp6".to_owned(), json!(auto == AutoIpv6::Dhcp));
    match auto {
        AutoIpv6::Advertised | AutoIpv6::Dhcp => {
            device.insert("accept-ra".to_owned(), json!(true));
        }
        AutoIpv6::Unknown | AutoIpv6::Silent => {}
    }
}

fn write_fixed(device: &mut Map<String, Value>, fixed: Fixed, free: &mut DefaultRoutes) {
    let mut routes: Vec<Value> = fixed.gateways().filter_map(|gateway| free.take(gateway)).collect();
    let Fixed { addresses, gateway: _, gateway6: _, dns, search, routes: others } = fixed;
    routes.extend(others.iter().map(route));
    device.insert("addresses".to_owned(), json!(addresses));
    write_routes(device, routes);
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

fn route(route: &GuestRoute) -> Value {
    json!({"to": route.to, "via": route.via})
}

fn write_routes(device: &mut Map<String, Value>, routes: Vec<Value>) {
    if !routes.is_empty() {
        device.insert("routes".to_owned(), Value::Array(routes));
    }
}
