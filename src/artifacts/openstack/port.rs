//! The VM's interfaces as Neutron can know them: which have a port, on which network, under which id.
//!
//! Assumes a checked binding. Guarantees one entry for every interface with a MAC, a network for each that can have a
//! port (else the binding is refused), and of each other one the reason why it has none. libvirt's `portid` is new at
//! every start and is never used.

use uuid::Uuid;

use super::super::binding::BindingFault;
use super::super::error::RenderError;
use super::super::guest::{Plan, plan};
use super::binding::BoundPort;
use super::vm::{Id, Origin, Vm};
use crate::discovery::{ForwardMode, Inventory, Nic, NicSource, VirtualPort};
use crate::model::units::Mac;

/// One interface that has a MAC.
#[derive(Debug)]
pub(super) struct Interface<'a> {
    /// Its place among all interfaces, from 0.
    pub(super) nth: usize,
    pub(super) nic: &'a Nic,
    pub(super) mac: Mac,
    /// Its port's id.
    pub(super) id: Id,
    /// How it gets its addresses.
    pub(super) plan: Plan,
    /// Its network's id; one made up where it has no port, for the guest's data must have one.
    pub(super) network: Uuid,
    /// Its port, or why it has none.
    pub(super) port: Result<Port<'a>, &'static str>,
}

/// What Neutron is told of an interface.
#[derive(Debug)]
pub(super) struct Port<'a> {
    pub(super) network: Id,
    pub(super) vnic_type: &'static str,
    pub(super) bound: Option<&'a BoundPort>,
}

impl Interface<'_> {
    /// Its name in the reports and the tag by which the guest finds it.
    pub(super) fn tag(&self) -> String {
        format!("net{}", self.nth)
    }

    /// A field of it in the mapping.
    pub(super) fn field(&self, name: &str) -> String {
        format!("nics[{}].{name}", self.mac)
    }

    /// Its fixed addresses, without prefixes.
    pub(super) fn fixed_ips(&self) -> Vec<&str> {
        match &self.plan {
            Plan::Bound(fixed) | Plan::Reserved(fixed) => {
                fixed.addresses.iter().filter_map(|address| address.split_once('/')).map(|(ip, _)| ip).collect()
            }
            Plan::Dhcp | Plan::Unmatched => Vec::new(),
        }
    }
}

/// Every interface with a MAC, in the order of the XML.
pub(super) fn interfaces<'a>(vm: &Vm<'a>) -> Result<Vec<Interface<'a>>, RenderError> {
    let mut found = Vec::with_capacity(vm.inventory.domain.nics.len());
    for (nth, nic) in vm.inventory.domain.nics.iter().enumerate() {
        let Some(mac) = nic.mac else { continue };
        let bound = vm.binding.ports.get(&mac);
        let port = match vnic_type(nic, vm.inventory) {
            Ok(vnic_type) => Ok(Port { network: network_id(vm, nic, mac, bound)?, vnic_type, bound }),
            Err(why) => Err(why),
        };
        let plan = plan(nic, vm.inventory, &vm.binding.guest);
        let unplugged = || Id::bound_or_derived(None, vm.uuid, &format!("network of {mac}")).uuid;
        let network = port.as_ref().map_or_else(|_| unplugged(), |port| port.network.uuid);
        found.push(Interface { nth, nic, mac, id: port_id(vm.uuid, nic, mac, bound), plan, network, port });
    }
    Ok(found)
}

/// The kind of port that an interface can have, or why it can have none.
pub(super) fn vnic_type(nic: &Nic, inventory: &Inventory) -> Result<&'static str, &'static str> {
    match &nic.source {
        NicSource::Network { network, .. } => {
            let forward = inventory.networks.get(network).and_then(|network| network.forward.as_ref());
            Ok(if forward == Some(&ForwardMode::Hostdev) { "direct" } else { "normal" })
        }
        NicSource::Bridge { .. } | NicSource::Direct { .. } | NicSource::Ethernet | NicSource::VhostUser { .. } => {
            Ok("normal")
        }
        NicSource::Hostdev { .. } => Ok("direct"),
        NicSource::Vdpa { .. } => Ok("vdpa"),
        NicSource::User => {
            Err("the hypervisor's user-mode network ends in its process, and no port of Neutron reaches it")
        }
        NicSource::Internal { .. } | NicSource::Socket { .. } => {
            Err("frames over a private socket pass no switch that Neutron knows")
        }
        NicSource::Unknown { .. } => Err("covirt does not know this kind of interface"),
    }
}

fn network_id(vm: &Vm<'_>, nic: &Nic, mac: Mac, bound: Option<&BoundPort>) -> Result<Id, RenderError> {
    let physical = bound.and_then(|bound| bound.physical_network.as_ref());
    let id = bound.and_then(|bound| bound.network_id);
    match (id, physical) {
        (Some(_), _) => Ok(Id::bound_or_derived(id, vm.uuid, "")),
        (None, Some(physical)) => {
            let key = format!("network {}", super::neutron::network_name(physical, access_tag(nic)));
            Ok(Id::bound_or_derived(None, vm.uuid, &key))
        }
        (None, None) => {
            let fault = BindingFault::new(format!("ports.\"{mac}\".network_id"), "the interface's network is not said");
            let hint = "the id from `openstack network list`, or physical_network to have a network's body written";
            Err(fault.hint(hint).into())
        }
    }
}

/// The tag that the host's port adds and removes, when it is one.
pub(super) fn access_tag(nic: &Nic) -> Option<u16> {
    match nic.vlan.trunk {
        crate::discovery::Trunk::No => nic.vlan.tags.first().copied(),
        crate::discovery::Trunk::Yes => nic.vlan.native,
    }
}

/// The id that the VM's switch knows the interface by, when it is a UUID.
pub(super) fn interface_id(nic: &Nic) -> Option<Uuid> {
    nic.virtualport.as_ref().and_then(|port: &VirtualPort| port.interface_id.as_ref()).and_then(|id| id.parse().ok())
}

/// The network of a tag that a trunk carries, as far as the binding says.
pub(super) fn subport_network(port: &Port<'_>, tag: u16) -> Option<Uuid> {
    port.bound?.trunk.iter().find(|(bound, _)| bound.0 == tag).map(|(_, network)| *network)
}

fn port_id(vm: Uuid, nic: &Nic, mac: Mac, bound: Option<&BoundPort>) -> Id {
    match (bound.and_then(|bound| bound.port_id), interface_id(nic)) {
        (None, Some(uuid)) => Id { uuid, origin: Origin::InterfaceId },
        (bound, _) => Id::bound_or_derived(bound, vm, &mac.to_string()),
    }
}
