//! `network_data.json`: what a guest is told of its links, its addresses, its routes and its name servers.
//!
//! Assumes the VM's interfaces and a checked binding. Guarantees the form of Nova's own schema: netmasks and not
//! prefixes, MACs in lower case, a default route of each family at most once. A VLAN that the host's port adds and
//! removes is no link of the guest's; one that the binding has the guest set up on a trunk is.
//! *Source*: <https://opendev.org/openstack/nova/src/branch/master/doc/api_schemas/network_data.json>.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::guest::{
    AutoIpv6, Fixed, GuestNic, GuestRoute, GuestVlan, Plan, auto_ipv6, mtu, network_of, read_address, vlan_name,
};
use super::port::{Interface, subport_network};
use super::vm::Vm;
use crate::discovery::{Inventory, Network, Nic, NicSource, VirtualPort};

/// The whole file.
pub(super) fn network_data(vm: &Vm<'_>, interfaces: &[Interface<'_>]) -> Value {
    let mut data =
        Data { links: Vec::new(), networks: Vec::new(), services: Vec::new(), free: Free { v4: true, v6: true } };
    for interface in interfaces {
        data.add(vm, interface);
    }
    json!({"links": data.links, "networks": data.networks, "services": data.services})
}

/// Nova's name for the tap device of a port: it fits the 15 bytes of a device's name.
fn link_id(interface: &Interface<'_>) -> String {
    let id: String = interface.id.uuid.to_string().chars().take(11).collect();
    format!("tap{id}")
}

/// How the host plugs it, in Nova's words; `phy` is Nova's for all it has no word for.
fn link_type(nic: &Nic, inventory: &Inventory) -> &'static str {
    let is_ovs = |port: Option<&VirtualPort>| port.is_some_and(|port| port.kind.as_deref() == Some("openvswitch"));
    let network = network_of(nic, inventory);
    if is_ovs(nic.virtualport.as_ref()) || is_ovs(network.and_then(|network| network.virtualport.as_ref())) {
        return "ovs";
    }
    match nic.source {
        NicSource::Network { .. } | NicSource::Bridge { .. } => "bridge",
        NicSource::VhostUser { .. } => "vhostuser",
        NicSource::Hostdev { .. } => "hw_veb",
        NicSource::Ethernet => "tap",
        NicSource::Direct { .. }
        | NicSource::User
        | NicSource::Vdpa { .. }
        | NicSource::Internal { .. }
        | NicSource::Socket { .. }
        | NicSource::Unknown { .. } => "phy",
    }
}

/// Whether the default route of a family is still to be had.
struct Free {
    v4: bool,
    v6: bool,
}

impl Free {
    fn of(&mut self, ip: IpAddr) -> &mut bool {
        match ip {
            IpAddr::V4(_) => &mut self.v4,
            IpAddr::V6(_) => &mut self.v6,
        }
    }
}

/// A link's address, and the id of the network it is on.
#[derive(Clone, Copy)]
struct On<'a> {
    link: &'a str,
    network: Uuid,
}

/// The file under construction.
struct Data {
    links: Vec<Value>,
    networks: Vec<Value>,
    services: Vec<Value>,
    free: Free,
}

impl Data {
    fn add(&mut self, vm: &Vm<'_>, interface: &Interface<'_>) {
        let (nic, mac) = (interface.nic, interface.mac.to_string());
        let link = link_id(interface);
        let unbound = GuestNic::default();
        let bound = vm.binding.guest.nics.get(&interface.mac).unwrap_or(&unbound);
        let mut described = json!({
            "id": link,
            "vif_id": interface.id.uuid,
            "type": link_type(nic, vm.inventory),
            "mtu": mtu(nic, vm.inventory),
            "ethernet_mac_address": mac,
        });
        if let (Some(name), Some(map)) = (&bound.name, described.as_object_mut()) {
            // Not in Nova's schema, and cloud-init reads it: without it the guest's own name stays.
            map.insert("name".to_owned(), json!(name));
        }
        self.links.push(described);
        let on = On { link: &link, network: interface.network };
        let auto = auto_ipv6(nic, vm.inventory);
        let network = network_of(nic, vm.inventory);
        match &interface.plan {
            Plan::Bound(fixed) | Plan::Reserved(fixed) => {
                self.add_fixed(on, fixed);
                if !fixed.has_ipv6() {
                    self.add_auto(on, auto);
                }
            }
            Plan::Dhcp => {
                self.add_dhcp(on, network, &bound.routes);
                self.add_auto(on, auto);
            }
            // An interface without a MAC is not among these.
            Plan::Unmatched => {}
        }
        if auto != AutoIpv6::Silent && network.is_some_and(Network::routes_guests) {
            // Who advertises itself on a network that routes is a default route.
            self.free.v6 = self.free.v6 && auto == AutoIpv6::Unknown;
        }
        for GuestVlan { id, addresses, gateway, dns } in bound.vlans.clone() {
            let tagged = vlan_name(&link, id);
            self.links.push(json!({
                "id": tagged,
                "type": "vlan",
                "vlan_id": id,
                "vlan_link": link,
                "vlan_mac_address": mac,
                "mtu": mtu(nic, vm.inventory),
            }));
            let network = interface.port.as_ref().ok().and_then(|port| subport_network(port, id));
            let on = On { link: &tagged, network: network.unwrap_or(interface.network) };
            if addresses.is_empty() {
                self.add_dhcp(on, None, &[]);
            } else {
                let (search, routes) = (Vec::new(), Vec::new());
                self.add_fixed(on, &Fixed { addresses, gateway, gateway6: None, dns, search, routes });
            }
        }
    }

    fn add_dhcp(&mut self, on: On<'_>, network: Option<&Network>, routes: &[GuestRoute]) {
        // An isolated network's DHCP offers no gateway; of any other one may be expected.
        self.free.v4 = self.free.v4 && network.is_some_and(|network| network.forward.is_none());
        let routes: Vec<Value> = routes.iter().filter(|route| route.via.is_ipv4()).filter_map(route).collect();
        let rest = if routes.is_empty() { Map::new() } else { Map::from_iter([("routes".to_owned(), json!(routes))]) };
        self.push("ipv4_dhcp", on, rest);
    }

    /// What the network does for IPv6 by itself; where that is not known, the guest keeps its own way.
    fn add_auto(&mut self, on: On<'_>, auto: AutoIpv6) {
        match auto {
            AutoIpv6::Advertised => self.push("ipv6_slaac", on, Map::new()),
            AutoIpv6::Dhcp => self.push("ipv6_dhcp", on, Map::new()),
            AutoIpv6::Unknown | AutoIpv6::Silent => {}
        }
    }

    fn add_fixed(&mut self, on: On<'_>, fixed: &Fixed) {
        let mut gateways: Vec<IpAddr> = fixed.gateways().collect();
        let mut others: Vec<&GuestRoute> = fixed.routes.iter().collect();
        for address in &fixed.addresses {
            let Some((ip, prefix)) = read_address(address) else { continue };
            let same = |other: IpAddr| other.is_ipv4() == ip.is_ipv4();
            let mut routes = Vec::new();
            for gateway in gateways.extract_if(.., |gateway| same(*gateway)) {
                if std::mem::take(self.free.of(ip)) {
                    let everything = if ip.is_ipv4() { "0.0.0.0" } else { "::" };
                    routes.push(json!({"network": everything, "netmask": everything, "gateway": gateway}));
                }
            }
            routes.extend(others.extract_if(.., |other| same(other.via)).filter_map(route));
            let servers = fixed.dns.iter().filter(|server| same(**server));
            let services: Vec<Value> = servers.map(|server| json!({"type": "dns", "address": server})).collect();
            for service in &services {
                if !self.services.contains(service) {
                    self.services.push(service.clone());
                }
            }
            let rest = [
                ("ip_address", json!(ip)),
                ("netmask", json!(netmask(ip, prefix))),
                ("routes", json!(routes)),
                ("services", json!(services)),
            ];
            let rest = rest.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            self.push(if ip.is_ipv4() { "ipv4" } else { "ipv6" }, on, rest);
        }
        // A server of the family that the interface has no address of is asked all the same.
        for server in &fixed.dns {
            let service = json!({"type": "dns", "address": server});
            if !self.services.contains(&service) {
                self.services.push(service);
            }
        }
    }

    fn push(&mut self, kind: &str, on: On<'_>, rest: Map<String, Value>) {
        let mut entry = Map::new();
        entry.insert("id".to_owned(), json!(format!("network{}", self.networks.len())));
        entry.insert("type".to_owned(), json!(kind));
        entry.insert("link".to_owned(), json!(on.link));
        entry.extend(rest);
        entry.insert("network_id".to_owned(), json!(on.network));
        self.networks.push(Value::Object(entry));
    }
}

/// One of the operator's routes.
fn route(route: &GuestRoute) -> Option<Value> {
    let (network, prefix) = read_address(&route.to)?;
    Some(json!({"network": network, "netmask": netmask(network, prefix), "gateway": route.via}))
}

fn netmask(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)).into(),
        IpAddr::V6(_) => Ipv6Addr::from(u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_becomes_a_netmask() {
        let of = |text| read_address(text).map(|(ip, prefix)| netmask(ip, prefix).to_string());
        assert_eq!(of("192.0.2.1/24").unwrap(), "255.255.255.0");
        assert_eq!(of("192.0.2.1/0").unwrap(), "0.0.0.0");
        assert_eq!(of("192.0.2.1/32").unwrap(), "255.255.255.255");
        assert_eq!(of("2001:db8::1/64").unwrap(), "ffff:ffff:ffff:ffff::");
    }
}
