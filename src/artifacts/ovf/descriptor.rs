//! The envelope: references, disks, networks, and the virtual system.
//!
//! Assumes a layout of the same inventory. Guarantees the order of sections that the schema asks for.

use std::collections::BTreeMap;

use super::binding::OvfBinding;
use super::hardware;
use super::layout::Layout;
use super::os_type::os_type;
use crate::artifacts::guest::network_of;
use crate::artifacts::xml::Element;
use crate::discovery::{Inventory, Nic, NicSource};

const ENVELOPE: &str = "http://schemas.dmtf.org/ovf/envelope/1";
const RASD: &str = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData";
const VSSD: &str = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData";
const VMW: &str = "http://www.vmware.com/schema/ovf";

/// The virtual hardware that vSphere 7 and later take.
const SYSTEM_TYPE: &str = "vmx-19";

/// The whole document.
pub(super) fn envelope(inventory: &Inventory, binding: &OvfBinding, layout: &Layout) -> Element {
    Element::new("ovf:Envelope")
        .attribute("xmlns:ovf", ENVELOPE)
        .attribute("xmlns:rasd", RASD)
        .attribute("xmlns:vssd", VSSD)
        .attribute("xmlns:vmw", VMW)
        .child(references(layout))
        .child(disks(layout))
        .child(networks(inventory, layout))
        .child(system(inventory, binding, layout))
}

fn references(layout: &Layout) -> Element {
    let files = layout.disks.iter().enumerate().map(|(nth, disk)| {
        Element::new("ovf:File")
            .attribute("ovf:id", file_id(nth))
            .attribute("ovf:href", &disk.file)
            .attribute_if("ovf:size", disk.size.map(|size| size.to_string()))
    });
    Element::new("ovf:References").children(files)
}

fn file_id(nth: usize) -> String {
    format!("file{}", nth + 1)
}

fn disks(layout: &Layout) -> Element {
    let disks = layout.disks.iter().enumerate().map(|(nth, disk)| {
        Element::new("ovf:Disk")
            .attribute("ovf:diskId", &disk.target)
            .attribute("ovf:fileRef", file_id(nth))
            .attribute("ovf:capacity", disk.capacity.to_string())
            .attribute("ovf:capacityAllocationUnits", "byte")
            .attribute("ovf:format", disk.format.uri())
    });
    Element::new("ovf:DiskSection").child(Element::text("ovf:Info", "Virtual disks")).children(disks)
}

fn networks(inventory: &Inventory, layout: &Layout) -> Element {
    let mut met: BTreeMap<&str, ()> = BTreeMap::new();
    let mut section = Element::new("ovf:NetworkSection").child(Element::text("ovf:Info", "Logical networks"));
    for adapter in &layout.nics {
        let Some(nic) = inventory.domain.nics.get(adapter.nth) else { continue };
        if met.insert(&adapter.network, ()).is_none() {
            let described = Element::text("ovf:Description", describe(nic, inventory));
            section =
                section.child(Element::new("ovf:Network").attribute("ovf:name", &adapter.network).child(described));
        }
    }
    section
}

/// What an interface is plugged into here, for people.
fn describe(nic: &Nic, inventory: &Inventory) -> String {
    let mut words = match &nic.source {
        NicSource::Network { network, .. } => {
            let mode = network_of(nic, inventory).map(|network| match &network.forward {
                Some(mode) => format!(" ({mode})"),
                None => " (isolated)".to_owned(),
            });
            format!("libvirt network {network}{}", mode.unwrap_or_default())
        }
        NicSource::Bridge { bridge } => format!("bridge {}", bridge.as_deref().unwrap_or("of the host")),
        NicSource::Direct { device, mode } => {
            let (device, mode) = (device.as_deref().unwrap_or("a device"), mode.as_deref().unwrap_or("vepa"));
            format!("macvtap on {device}, mode {mode}")
        }
        NicSource::User => "the hypervisor's user-mode network".to_owned(),
        NicSource::Ethernet => "a tap device".to_owned(),
        NicSource::Hostdev { .. } => "a device of the host".to_owned(),
        NicSource::VhostUser { .. } => "a vhost-user switch".to_owned(),
        NicSource::Vdpa { .. } => "a vDPA device".to_owned(),
        NicSource::Internal { .. } => "an internal network of the hypervisor".to_owned(),
        NicSource::Socket { transport, .. } => format!("frames over a socket ({transport})"),
        NicSource::Unknown { raw } => format!("libvirt interface type {raw}"),
    };
    if let Some(kind) = nic.virtualport.as_ref().and_then(|port| port.kind.as_deref()) {
        words.push_str(&format!(", {kind}"));
    }
    if let [tag] = nic.vlan.tags.as_slice() {
        words.push_str(&format!(", VLAN {tag}"));
    }
    words
}

fn system(inventory: &Inventory, binding: &OvfBinding, layout: &Layout) -> Element {
    let identity = &inventory.domain.identity;
    let info = identity.title.clone().unwrap_or_else(|| format!("Virtual machine {}", identity.name));
    let mut system = Element::new("ovf:VirtualSystem")
        .attribute("ovf:id", &identity.name)
        .child(Element::text("ovf:Info", info))
        .child(Element::text("ovf:Name", &identity.name));
    if let Some(description) = &identity.description {
        let section = Element::new("ovf:AnnotationSection")
            .child(Element::text("ovf:Info", "What people wrote about the virtual machine"))
            .child(Element::text("ovf:Annotation", description));
        system = system.child(section);
    }
    if let Some(section) = product(binding) {
        system = system.child(section);
    }
    let known = os_type(inventory.domain.guest_os.as_deref(), inventory.domain.platform.arch.as_deref());
    let mut os = Element::new("ovf:OperatingSystemSection")
        .attribute("ovf:id", binding.os_type.unwrap_or(known.id).to_string())
        .child(Element::text("ovf:Info", "Guest operating system"));
    let words = inventory.domain.guest_os.as_deref().or(binding.os_type.is_none().then_some(known.words));
    if let Some(words) = words {
        os = os.child(Element::text("ovf:Description", words));
    }
    let system_type = binding.system_type.as_deref().unwrap_or(SYSTEM_TYPE);
    system.child(os).child(hardware::section(inventory, system_type, layout))
}

fn product(binding: &OvfBinding) -> Option<Element> {
    if binding.product.is_none() && binding.properties.is_empty() {
        return None;
    }
    let mut section = Element::new("ovf:ProductSection").child(Element::text("ovf:Info", "Product"));
    let product = binding.product.clone().unwrap_or_default();
    let texts = [("ovf:Product", product.name), ("ovf:Vendor", product.vendor), ("ovf:Version", product.version)];
    section = section.children(texts.into_iter().filter_map(|(name, text)| Some(Element::text(name, text?))));
    let properties = binding.properties.iter().map(|(key, property)| {
        let element = Element::new("ovf:Property")
            .attribute("ovf:key", key)
            .attribute("ovf:type", "string")
            .attribute("ovf:userConfigurable", property.user_configurable.to_string())
            .attribute("ovf:value", &property.value);
        match &property.label {
            Some(label) => element.child(Element::text("ovf:Label", label)),
            None => element,
        }
    });
    Some(section.children(properties))
}
