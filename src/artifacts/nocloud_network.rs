//! NoCloud's `network-config`, version 2.
//!
//! Assumes an inventory and its guest. Guarantees for each interface: found by MAC; fixed addresses only when the
//! binding or a DHCP host entry of its libvirt network says them for this MAC, else DHCP; a default route on the
//! first interface that can have one, and on no other. An interface whose MAC is unknown cannot be matched and is
//! left out (the mapping says so).
//!
//! Ids are `net0`, `net1`, … and rename nothing: a running guest keeps its names. cloud-init's networkd renderer takes
//! the id for the name, so a guest with neither netplan nor ifupdown needs the binding to give each name.

use serde_json::{Map, Value, json};

use super::error::RenderError;
use super::guest::{Fixed, Guest, Plan, check_nics, mtu, network_of, plan};
use crate::discovery::{Inventory, Network};

/// Behind the metric a guest gives its first interface.
const LATER_METRIC: u32 = 200;

/// The whole file.
pub(super) fn network_config(inventory: &Inventory, guest: &Guest) -> Result<Value, RenderError> {
    check_nics(inventory, guest)?;
    let mut ethernets = Map::new();
    let mut routed = DefaultRoute::Free;
    for (nth, nic) in inventory.domain.nics.iter().enumerate() {
        let Some(mac) = nic.mac else { continue };
        let name = guest.nics.get(&mac).and_then(|bound| bound.name.clone());
        let mut device = Map::new();
        device.insert("match".to_owned(), json!({"macaddress": mac.to_string()}));
        if let Some(name) = &name {
            device.insert("set-name".to_owned(), json!(name));
        }
        if let Some(mtu) = mtu(nic, inventory) {
            device.insert("mtu".to_owned(), json!(mtu));
        }
        match plan(nic, inventory, guest) {
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
