//! What became of each field of an interface, and of the libvirt network it is on.
//!
//! Assumes that every file is written. Guarantees a rule for every field, by what the interface's port is and whether the
//! binding knows it.

use super::super::guest::{Plan, network_of};
use super::mapping::MACHINE;
use super::neutron::{network_name, trunk_is_bound};
use super::port::{Interface, access_tag, interface_id};
use super::vm::{Origin, Vm};
use crate::artifacts::report::Report;
use crate::discovery::{LinkState, NicSource, Trunk};

/// Writes the rules of one interface.
pub(super) fn map_interface(report: &mut Report<'_>, vm: &Vm<'_>, interface: &Interface<'_>) {
    let nic = interface.nic;
    let body = format!("port-{}.json", interface.nth);
    let field = |name: &str| interface.field(name);
    report.exact(&field("mac"), "network_data.json: links.ethernet_mac_address");
    report.exact(&field("mtu"), "network_data.json: links.mtu");
    map_addresses(report, vm, interface, &body);
    let bound = interface.id.origin == Origin::Bound;
    match &interface.port {
        Err(why) => {
            for part in ["source", "vlan", "virtualport", "link"] {
                report.refused(&field(part), why);
            }
        }
        Ok(port) => {
            let segment = port.bound.and_then(|bound| bound.physical_network.as_ref());
            let to = if bound { "server-create.json: networks.port".to_owned() } else { format!("{body}: network_id") };
            report.approximate(&field("source"), &to, "the network that the binding names for it");
            match (nic.vlan.trunk, access_tag(nic)) {
                (Trunk::Yes, _) if trunk_is_bound(interface) => {
                    let to = format!("trunk-{}.json: sub_ports", interface.nth);
                    report.approximate(&field("vlan"), &to, "each tag on the network that the binding names for it");
                }
                (Trunk::Yes, _) if guest_has_vlans(vm, interface) => {
                    let rule = "those tags that the binding gives a use in the guest; Neutron is told of none";
                    report.approximate(&field("vlan"), "network_data.json: links (vlan)", rule);
                }
                (Trunk::Yes, _) => {
                    let why = "the binding names no network for each of the trunk's tags (ports.MAC.trunk)";
                    report.refused(&field("vlan"), why);
                }
                (Trunk::No, tag @ Some(_)) if segment.is_some() => {
                    let name = segment.map(|physical| network_name(physical, tag)).unwrap_or_default();
                    report.exact(&field("vlan"), &format!("network-{name}.json: provider:segmentation_id"));
                }
                (Trunk::No, Some(_)) => {
                    report.not_carried(&field("vlan"), "the network that the binding names has a segment of its own");
                }
                (Trunk::No, None) => {}
            }
            let patch = format!("port-{}.patch.json: set", interface.nth);
            match (interface_id(nic), bound) {
                (Some(now), true) if now == interface.id.uuid => {
                    report.exact(&field("virtualport"), "server-create.json: networks.port");
                }
                (Some(_), true) => {
                    let why = "the switch knows the interface by another id than the port that the binding names; \
                               port-N.patch.json says what must become what";
                    report.refused(&field("virtualport"), why);
                }
                (Some(_), false) => {
                    let rule =
                        "Neutron gives a new port an id of its own: the switch and the XML must then have that one";
                    report.approximate(&field("virtualport"), &patch, rule);
                }
                (None, _) => {
                    report.not_carried(&field("virtualport"), "Neutron's mechanism plugs the port in its own way");
                }
            }
            if bound {
                report.not_carried(&field("link"), "the port that the binding names has a state of its own");
            } else if nic.link == LinkState::Down {
                let rule = "a port that is administratively down passes nothing";
                report.approximate(&field("link"), &format!("{body}: admin_state_up"), rule);
            } else {
                report.exact(&field("link"), &format!("{body}: admin_state_up"));
            }
        }
    }
    report.not_carried(&field("filter"), "security groups are the port's, and the operator's to choose");
    report.not_carried(&field("boot_order"), "Nova boots from volumes only");
    report.not_carried(&field("target"), "Nova names the host's device after the port");
    if nic.address.as_ref().is_some_and(|address| address.pci().is_some()) {
        let rule = "as it is now; Nova lets libvirt choose anew";
        report.approximate(&field("address"), "meta_data.json: devices.address", rule);
    }
    report.not_carried(&field("address"), "Nova lets libvirt choose places on buses");
    let why = if matches!(nic.source, NicSource::Hostdev { .. }) { "the device is Nova's to choose" } else { MACHINE };
    report.not_carried(&format!("nics[{}]", interface.mac), why);
}

/// Whether the guest is told to set VLANs up on the interface.
fn guest_has_vlans(vm: &Vm<'_>, interface: &Interface<'_>) -> bool {
    vm.binding.guest.nics.get(&interface.mac).is_some_and(|bound| !bound.vlans.is_empty())
}

fn map_addresses(report: &mut Report<'_>, vm: &Vm<'_>, interface: &Interface<'_>, body: &str) {
    let field = interface.field("addresses");
    match &interface.plan {
        Plan::Bound(_) => report.not_carried(&field, "the binding gives the addresses"),
        Plan::Reserved(_) if interface.port.is_ok() && interface.id.origin != Origin::Bound => {
            report.exact(&field, &format!("{body}: fixed_ips; network_data.json: networks"));
        }
        Plan::Reserved(_) => report.exact(&field, "network_data.json: networks"),
        Plan::Dhcp | Plan::Unmatched => {
            let rule = "no address is surely the interface's own (leases and agents tell only of now), so the guest asks \
                        DHCP, and Neutron chooses: bind the addresses if the guest is to keep them";
            report.approximate(&field, "network_data.json: networks", rule);
        }
    }
    map_network(report, vm, interface);
}

/// What of an interface's libvirt network is in the files.
fn map_network(report: &mut Report<'_>, vm: &Vm<'_>, interface: &Interface<'_>) {
    let Some(network) = network_of(interface.nic, vm.inventory) else { return };
    let field = |name: &str| format!("networks[{}].{name}", network.name);
    if interface.nic.mtu.is_none() {
        report.exact(&field("mtu"), "network_data.json: links.mtu");
    }
    let Plan::Reserved(fixed) = &interface.plan else { return };
    let rule = "only what the network reserves for the VM's own MACs";
    report.approximate(&field("subnets"), "network_data.json: networks", rule);
    if fixed.gateway.is_some() {
        let rule = "a network that routes gives its address as gateway, to the first interface with one";
        report.approximate(&field("forward"), "network_data.json: networks.routes", rule);
    }
    if fixed.dns.iter().any(|server| network.subnets.iter().any(|subnet| subnet.host == *server)) {
        let rule = "libvirt's own server at the subnet's address, for interfaces with fixed addresses";
        report.approximate(&field("dns"), "network_data.json: services", rule);
    }
}
