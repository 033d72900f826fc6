//! Networks, ports and trunks as bodies of Neutron's API, and what must follow once Neutron has made a port.
//!
//! ```text
//! POST /v2.0/ports (port-N.json) ──► the port's id ──► OVS external_ids:iface-id, the XML's interfaceid (port-N.patch.json)
//! ```
//!
//! Assumes the VM's interfaces. Guarantees bodies without an `id`, which Neutron refuses; fixed addresses only where
//! they are surely the interface's own; and a VLAN as the network's segment, never as the guest's link.
//! *Source*: <https://docs.openstack.org/api-ref/network/v2/>.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::super::bundle::BundleFile;
use super::super::guest::mtu;
use super::port::{Interface, Port, access_tag, interface_id, subport_network};
use super::vm::{Id, Origin, Vm, json_file, printable};
use super::word::PhysicalNetwork;
use crate::discovery::{LinkState, Nic, NicSource};

/// All bodies.
pub(super) fn files(vm: &Vm<'_>, interfaces: &[Interface<'_>]) -> Vec<BundleFile> {
    // By name: interfaces on one segment share its network.
    let mut networks: BTreeMap<String, Value> = BTreeMap::new();
    let mut files = Vec::new();
    for interface in interfaces {
        let Ok(port) = &interface.port else { continue };
        if let Some(physical) = port.bound.and_then(|bound| bound.physical_network.as_ref()) {
            let tag = access_tag(interface.nic);
            let body = network_body(vm, interface.nic, physical, tag);
            networks.entry(network_name(physical, tag)).or_insert(body);
        }
        if interface.id.origin != Origin::Bound {
            let path = format!("api/port-{}.json", interface.nth);
            files.push(json_file(path, &port_body(vm, interface, port, &interface.tag(), port.network.uuid)));
        }
        files.push(json_file(format!("api/port-{}.patch.json", interface.nth), &patch(interface)));
        files.extend(trunk_files(vm, interface, port));
    }
    let networks = networks.into_iter().map(|(name, body)| json_file(format!("api/network-{name}.json"), &body));
    networks.chain(files).collect()
}

/// A network's name: its place and its segment.
pub(super) fn network_name(physical: &PhysicalNetwork, tag: Option<u16>) -> String {
    let segment = tag.map_or_else(|| "flat".to_owned(), |tag| format!("vlan{tag}"));
    format!("{}-{segment}", physical.as_str())
}

fn network_body(vm: &Vm<'_>, nic: &Nic, physical: &PhysicalNetwork, tag: Option<u16>) -> Value {
    let mut network = json!({
        "name": network_name(physical, tag),
        "tenant_id": vm.binding.project_id.as_str(),
        "admin_state_up": true,
        "shared": false,
        "provider:network_type": if tag.is_some() { "vlan" } else { "flat" },
        "provider:physical_network": physical.as_str(),
    });
    if let Some(map) = network.as_object_mut() {
        if let Some(tag) = tag {
            map.insert("provider:segmentation_id".to_owned(), json!(tag));
        }
        if let Some(mtu) = mtu(nic, vm.inventory) {
            map.insert("mtu".to_owned(), json!(mtu));
        }
    }
    json!({"network": network})
}

fn port_body(vm: &Vm<'_>, interface: &Interface<'_>, port: &Port<'_>, name: &str, network: Uuid) -> Value {
    let mut body = json!({
        "name": printable(&format!("{}-{name}", vm.name), 255),
        "network_id": network,
        "mac_address": interface.mac.to_string(),
        "admin_state_up": interface.nic.link != LinkState::Down,
        "device_id": vm.uuid,
        "device_owner": printable(&format!("compute:{}", vm.binding.availability_zone.as_str()), 255),
        "tenant_id": vm.binding.project_id.as_str(),
        "binding:vnic_type": port.vnic_type,
    });
    if let Some(map) = body.as_object_mut() {
        let fixed: Vec<Value> = interface.fixed_ips().into_iter().map(|ip| json!({"ip_address": ip})).collect();
        if !fixed.is_empty() {
            map.insert("fixed_ips".to_owned(), json!(fixed));
        }
        if let Some(host) = &vm.binding.host {
            map.insert("binding:host_id".to_owned(), json!(host.as_str()));
        }
    }
    json!({"port": body})
}

/// The id that a trunk's VLAN has as a port of its own.
fn subport_id(vm: &Vm<'_>, interface: &Interface<'_>, tag: u16) -> Id {
    Id::bound_or_derived(None, vm.uuid, &format!("{} vlan {tag}", interface.mac))
}

/// The tags of a trunk that are ports of their own: all but the native one.
fn subport_tags(nic: &Nic) -> impl Iterator<Item = u16> + '_ {
    nic.vlan.tags.iter().copied().filter(|tag| Some(*tag) != nic.vlan.native)
}

/// Whether a trunk can be written: the binding knows the network of every tag.
pub(super) fn trunk_is_bound(interface: &Interface<'_>) -> bool {
    let Ok(port) = &interface.port else { return false };
    let mut tags = subport_tags(interface.nic).peekable();
    tags.peek().is_some() && tags.all(|tag| subport_network(port, tag).is_some())
}

/// A port for every tag, and the trunk that joins them to the interface's own.
fn trunk_files(vm: &Vm<'_>, interface: &Interface<'_>, port: &Port<'_>) -> Vec<BundleFile> {
    if interface.nic.vlan.trunk == crate::discovery::Trunk::No || !trunk_is_bound(interface) {
        return Vec::new();
    }
    let mut files = Vec::new();
    let mut subports = Vec::new();
    for tag in subport_tags(interface.nic) {
        let Some(network) = subport_network(port, tag) else { continue };
        let name = format!("{}-vlan{tag}", interface.tag());
        let mut body = port_body(vm, interface, port, &name, network);
        if let Some(map) = body.get_mut("port").and_then(Value::as_object_mut) {
            // What the guest has on a VLAN is not known, and a trunk's ports belong to no device.
            map.retain(|key, _| !matches!(key.as_str(), "fixed_ips" | "device_id" | "device_owner"));
        }
        files.push(json_file(format!("api/port-{}-vlan{tag}.json", interface.nth), &body));
        let id = subport_id(vm, interface, tag).uuid;
        subports.push(json!({"port_id": id, "segmentation_type": "vlan", "segmentation_id": tag}));
    }
    let trunk = json!({"trunk": {
        "name": printable(&format!("{}-{}", vm.name, interface.tag()), 255),
        "port_id": interface.id.uuid,
        "admin_state_up": true,
        "tenant_id": vm.binding.project_id.as_str(),
        "sub_ports": subports,
    }});
    files.push(json_file(format!("api/trunk-{}.json", interface.nth), &trunk));
    files
}

/// What has to know the port's id once there is one, and what it knows now.
fn patch(interface: &Interface<'_>) -> Value {
    let nic = interface.nic;
    let new = match interface.id.origin {
        Origin::Bound => json!(interface.id.uuid),
        Origin::InterfaceId | Origin::Derived => {
            json!(format!("port.id in Neutron's answer to POST /v2.0/ports with port-{}.json", interface.nth))
        }
    };
    let now = interface_id(nic);
    let mut set = Vec::new();
    if now.is_some() || is_ovs(nic) {
        if let Some(device) = &nic.target {
            set.push(json!({
                "what": "Open vSwitch", "table": "Interface", "record": device,
                "column": "external_ids:iface-id", "from": now, "to": new,
            }));
        }
        let xpath =
            format!("/domain/devices/interface[mac/@address='{}']/virtualport/parameters/@interfaceid", interface.mac);
        set.push(
            json!({"what": "libvirt", "document": "the persistent definition", "xpath": xpath, "from": now, "to": new}),
        );
    }
    let done = interface.id.origin == Origin::Bound && now == Some(interface.id.uuid);
    json!({
        "mac_address": interface.mac.to_string(),
        "port_id": {"in_these_files": interface.id.uuid, "becomes": new},
        "set": if done { Vec::new() } else { set },
    })
}

fn is_ovs(nic: &Nic) -> bool {
    let ovs = nic.virtualport.as_ref().is_some_and(|port| port.kind.as_deref() == Some("openvswitch"));
    ovs && matches!(nic.source, NicSource::Bridge { .. } | NicSource::Network { .. })
}

/// Ids in the files that hold the place of ones that OpenStack will give: which, for what, and where they come from.
pub(super) fn placeholders(vm: &Vm<'_>, interfaces: &[Interface<'_>]) -> Vec<Value> {
    let mut held = Vec::new();
    for interface in interfaces {
        let Ok(port) = &interface.port else { continue };
        if let (Origin::Derived, Some(bound)) = (port.network.origin, port.bound)
            && let Some(physical) = &bound.physical_network
        {
            let file = format!("api/network-{}.json", network_name(physical, access_tag(interface.nic)));
            held.push(json!({"id": port.network.uuid, "given_by": "POST /v2.0/networks", "file": file}));
        }
        if interface.id.origin != Origin::Bound {
            let file = format!("api/port-{}.json", interface.nth);
            held.push(json!({"id": interface.id.uuid, "given_by": "POST /v2.0/ports", "file": file}));
        }
        if trunk_is_bound(interface) && interface.nic.vlan.trunk == crate::discovery::Trunk::Yes {
            held.extend(subport_tags(interface.nic).map(|tag| {
                let file = format!("api/port-{}-vlan{tag}.json", interface.nth);
                json!({"id": subport_id(vm, interface, tag).uuid, "given_by": "POST /v2.0/ports", "file": file})
            }));
        }
    }
    held
}
