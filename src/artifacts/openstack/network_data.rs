//! `network_data.json`: what a guest is told of its links, its addresses and its name servers.
//!
//! Assumes the VM's interfaces. Guarantees the form of Nova's own schema: netmasks and not prefixes, MACs in lower case,
//! a default route of each family at most once. A VLAN that the host's port adds and removes is no link of the guest's.
//! *Source*: <https://opendev.org/openstack/nova/src/branch/master/doc/api_schemas/network_data.json>.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use serde_json::{Map, Value, json};

use super::super::guest::{Fixed, Plan, mtu, network_of};
use super::port::Interface;
use super::vm::Vm;
use crate::discovery::{Inventory, Network, Nic, NicSource, VirtualPort};

/// The whole file.
pub(super) fn network_data(vm: &Vm<'_>, interfaces: &[Interface<'_>]) -> Value {
    let mut networks = Networks::default();
    let mut links = Vec::with_capacity(interfaces.len());
    for interface in interfaces {
        let link = link_id(interface);
        links.push(json!({
            "id": link,
            "vif_id": interface.id.uuid,
            "type": link_type(interface.nic, vm.inventory),
            "mtu": mtu(interface.nic, vm.inventory),
            "ethernet_mac_address": interface.mac.to_string(),
        }));
        match &interface.plan {
            Plan::Bound(fixed) | Plan::Reserved(fixed) => networks.add_fixed(&link, interface, fixed),
            Plan::Dhcp => networks.add_dhcp(&link, interface, network_of(interface.nic, vm.inventory)),
            // An interface without a MAC is not among these.
            Plan::Unmatched => {}
        }
    }
    json!({"links": links, "networks": networks.written, "services": networks.services})
}

/// Nova's name for the tap device of a port: it fits the 15 bytes of a device's name.
fn link_id(interface: &Interface<'_>) -> String {
    interface.id.uuid.to_string().chars().take(11).fold("tap".to_owned(), |id, c| id + c.encode_utf8(&mut [0; 4]))
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

/// The addresses written so far.
#[derive(Default)]
struct Networks {
    written: Vec<Value>,
    services: Vec<Value>,
    /// Whether an interface has the default route of the family already.
    routed4: bool,
    routed6: bool,
}

impl Networks {
    fn add_dhcp(&mut self, link: &str, interface: &Interface<'_>, network: Option<&Network>) {
        // An isolated network's DHCP offers no gateway; of any other one may be expected.
        self.routed4 |= network.is_none_or(|network| network.forward.is_some());
        self.push("ipv4_dhcp", link, interface, Map::new());
    }

    fn add_fixed(&mut self, link: &str, interface: &Interface<'_>, fixed: &Fixed) {
        let mut gateway = fixed.gateway;
        for address in &fixed.addresses {
            let Some((ip, prefix)) = read_address(address) else { continue };
            let mut entry = Map::new();
            entry.insert("ip_address".to_owned(), json!(ip));
            entry.insert("netmask".to_owned(), json!(netmask(ip, prefix)));
            let (kind, everything, routed) = match ip {
                IpAddr::V4(_) => ("ipv4", "0.0.0.0", &mut self.routed4),
                IpAddr::V6(_) => ("ipv6", "::", &mut self.routed6),
            };
            let ours = gateway.take_if(|gateway| gateway.is_ipv4() == ip.is_ipv4());
            let routes = match ours {
                Some(gateway) if !*routed => {
                    *routed = true;
                    vec![json!({"network": everything, "netmask": everything, "gateway": gateway})]
                }
                Some(_) | None => Vec::new(),
            };
            entry.insert("routes".to_owned(), json!(routes));
            let dns = |server: &IpAddr| json!({"type": "dns", "address": server});
            let same = |server: &&IpAddr| server.is_ipv4() == ip.is_ipv4();
            entry.insert("services".to_owned(), json!(fixed.dns.iter().filter(same).map(dns).collect::<Vec<_>>()));
            for service in fixed.dns.iter().map(dns) {
                if !self.services.contains(&service) {
                    self.services.push(service);
                }
            }
            self.push(kind, link, interface, entry);
        }
    }

    fn push(&mut self, kind: &str, link: &str, interface: &Interface<'_>, rest: Map<String, Value>) {
        let mut entry = Map::new();
        entry.insert("id".to_owned(), json!(format!("network{}", self.written.len())));
        entry.insert("type".to_owned(), json!(kind));
        entry.insert("link".to_owned(), json!(link));
        entry.extend(rest);
        if let Ok(port) = &interface.port {
            entry.insert("network_id".to_owned(), json!(port.network.uuid));
        }
        self.written.push(Value::Object(entry));
    }
}

/// `ADDRESS/PREFIX`, as the guest's binding was checked to have it.
fn read_address(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, prefix) = text.split_once('/')?;
    Some((ip.parse().ok()?, prefix.parse().ok()?))
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
