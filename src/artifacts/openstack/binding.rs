//! What an OpenStack cloud has to say about a VM: whose it is, where it is put, and which of its own networks and
//! volumes stand for the VM's.
//!
//! Assumes the operator's file. Guarantees ids and names of the forms that Keystone, Nova, Neutron and Cinder take, and
//! that every table of the file is about something the VM has.
//! *Source*: <https://docs.openstack.org/api-ref/compute/>, <https://docs.openstack.org/api-ref/network/v2/>,
//! <https://docs.openstack.org/api-ref/block-storage/v3/>.

use std::collections::BTreeMap;

use serde::Deserialize;
use uuid::Uuid;

use super::super::binding::{BindingFault, DraftField};
use super::super::guest::{self, Guest};
use super::super::named::{disk_named, nic_named};
use super::word::{
    CinderHost, FlavorName, HostName, KeystoneId, Name, PciAlias, PhysicalNetwork, VlanTag, VolumeType, When,
};
use crate::discovery::Inventory;
use crate::model::units::Mac;

/// The binding.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::artifacts) struct Binding {
    /// The project that owns the VM.
    pub(super) project_id: KeystoneId,
    #[serde(default)]
    pub(super) project_name: Name,
    /// The user for whom it was made.
    pub(super) user_id: KeystoneId,
    #[serde(default)]
    pub(super) user_name: Name,
    pub(super) availability_zone: Name,
    /// The host's name in Nova and Neutron.
    pub(super) host: Option<HostName>,
    /// The flavor's name and id; made from what is in it when left out.
    pub(super) flavor: Option<FlavorName>,
    /// The image it was made from.
    pub(super) image_id: Option<Uuid>,
    /// When it was made.
    pub(super) created_at: Option<When>,
    /// `ALIAS:COUNT` of `pci_passthrough:alias`, for devices of the host.
    pub(super) pci_alias: Option<PciAlias>,
    /// By the interface's MAC.
    #[serde(default)]
    pub(super) ports: BTreeMap<Mac, BoundPort>,
    /// By the disk's target.
    #[serde(default)]
    pub(super) volumes: BTreeMap<String, BoundVolume>,
    /// By the libvirt pool's name.
    #[serde(default)]
    pub(super) pools: BTreeMap<String, BoundPool>,
    /// What the guest is told.
    #[serde(default)]
    pub(super) guest: Guest,
}

/// An interface in Neutron.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::artifacts) struct BoundPort {
    /// The network it is on.
    pub(super) network_id: Option<Uuid>,
    /// The provider's physical network; with it a network's body is written too.
    pub(super) physical_network: Option<PhysicalNetwork>,
    /// The port, once there is one.
    pub(super) port_id: Option<Uuid>,
    /// The networks of a trunk's VLANs, by tag.
    pub(super) trunk: BTreeMap<VlanTag, Uuid>,
}

/// A disk in Cinder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::artifacts) struct BoundVolume {
    /// The volume, once there is one.
    pub(super) volume_id: Option<Uuid>,
    pub(super) cinder_host: Option<CinderHost>,
    pub(super) volume_type: Option<VolumeType>,
}

/// A libvirt pool in Cinder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::artifacts) struct BoundPool {
    /// `HOST@BACKEND#POOL` of the driver that has the same storage.
    pub(super) cinder_host: Option<CinderHost>,
    pub(super) volume_type: Option<VolumeType>,
}

impl Binding {
    /// Refuses tables about what the VM does not have.
    pub(super) fn check(&self, inventory: &Inventory) -> Result<(), BindingFault> {
        for (mac, port) in &self.ports {
            let nic = nic_named(inventory, "ports", *mac)?;
            if let Some(tag) = port.trunk.keys().find(|tag| !nic.vlan.tags.contains(&tag.0)) {
                let field = format!("ports.\"{mac}\".trunk.{}", tag.0);
                let fault = BindingFault::new(field, "the interface carries no such tag");
                return Err(fault.hint("virsh dumpxml: interface/vlan/tag"));
            }
        }
        for target in self.volumes.keys() {
            disk_named(inventory, "volumes", target)?;
        }
        Ok(())
    }
}

/// Every field, with what can be guessed for this VM.
pub(super) fn draft(inventory: &Inventory) -> Vec<DraftField> {
    let required = |name: &str, help: &str| DraftField::required(&[name], help);
    let optional = |name: &str, help: &str| DraftField::optional(&[name], help);
    let host = optional("host", "the host's name in Nova and Neutron (openstack compute service list)");
    let host = match inventory.host.as_ref().and_then(|host| host.name.clone()) {
        Some(name) => host.guess(name),
        None => host,
    };
    let mut fields = vec![
        required("project_id", "the project that owns the VM (openstack project list)"),
        optional("project_name", "its name; N/A when left out, as in Nova"),
        required("user_id", "the user for whom the VM was made (openstack user list)"),
        optional("user_name", "the user's name; N/A when left out, as in Nova"),
        required("availability_zone", "the zone the host is in (openstack availability zone list)"),
        host,
        optional("flavor", "the flavor's name and id; made from what is in it when left out"),
        optional("image_id", "the image the VM was made from, when the cloud has it"),
        optional("created_at", "when the VM was made, as in RFC 3339"),
        optional("pci_alias", "ALIAS:COUNT for the host's devices, as nova.conf names them"),
    ];
    for nic in &inventory.domain.nics {
        let Some(mac) = nic.mac.map(|mac| mac.to_string()) else { continue };
        let at = |name| ["ports", mac.as_str(), name];
        fields.push(if super::port::vnic_type(nic, inventory).is_ok() {
            DraftField::required(&at("network_id"), "the Neutron network it is on (openstack network list)")
        } else {
            DraftField::optional(&at("network_id"), "not used: such an interface has no port in Neutron")
        });
        let help = "the provider's physical network; with it a network's body is written, and network_id is optional";
        fields.push(DraftField::optional(&at("physical_network"), help));
        let port = DraftField::optional(&at("port_id"), "the port, once Neutron has made it");
        let wanted = nic.virtualport.as_ref().and_then(|port| port.interface_id.clone());
        fields.push(match wanted {
            Some(_) => DraftField {
                help: "the port, once Neutron has made it; the XML's interfaceid when left out".into(),
                ..port
            },
            None => port,
        });
    }
    for disk in &inventory.domain.disks {
        let path = ["volumes", disk.target.as_str(), "volume_id"];
        fields.push(DraftField::optional(&path, "the Cinder volume, once there is one"));
    }
    for pool in inventory.pools.keys() {
        let at = |name| ["pools", pool.as_str(), name];
        fields.push(DraftField::optional(&at("cinder_host"), "HOST@BACKEND#POOL that has the same storage in Cinder"));
        fields.push(DraftField::optional(&at("volume_type"), "the type of volumes of that backend"));
    }
    fields.extend(guest::draft(&["guest"], inventory));
    fields
}
