//! The element that Nova keeps in a domain's metadata, and that Ceilometer reads from there.
//!
//! Assumes the VM's other artifacts. Guarantees the element that Nova's own writer makes of the same facts, to the byte
//! after canonicalisation; the owner's user and project are always there, for Ceilometer skips a domain without them.
//! *Source*: <https://docs.openstack.org/nova/latest/reference/libvirt-metadata.html> and Nova's
//! `LibvirtConfigGuestMetaNovaInstance`.

use super::super::bundle::BundleFile;
use super::super::error::RenderError;
use super::super::xml::Element;
use super::flavor::Flavor;
use super::glance::Image;
use super::port::Interface;
use super::vm::Vm;

/// The element's namespace.
pub(super) const NAMESPACE: &str = "http://openstack.org/xmlns/libvirt/nova/1.1";
/// Every version of it begins like this.
pub(super) const ANY_VERSION: &str = "http://openstack.org/xmlns/libvirt/nova/";
/// The Nova whose form this is.
const NOVA: &str = "34.0.0";

/// The element.
///
/// *Errors*: `artifact-refused` when a text holds what XML cannot.
pub(super) fn file(
    vm: &Vm<'_>,
    interfaces: &[Interface<'_>],
    flavor: &Flavor,
    image: &Image,
) -> Result<BundleFile, RenderError> {
    let binding = vm.binding;
    let image_id = binding.image_id.map(|id| id.to_string());
    let mut instance = Element::new("nova:instance")
        .attribute("xmlns:nova", NAMESPACE)
        .child(Element::new("nova:package").attribute("version", NOVA))
        .child(Element::text("nova:name", &vm.name));
    if let Some(created_at) = binding.created_at {
        instance = instance.child(Element::text("nova:creationTime", created_at.as_nova()));
    }
    let owner = Element::new("nova:owner")
        .child(Element::text("nova:user", binding.user_name.as_str()).attribute("uuid", binding.user_id.as_str()))
        .child(
            Element::text("nova:project", binding.project_name.as_str()).attribute("uuid", binding.project_id.as_str()),
        );
    instance = instance.children([flavor_element(flavor), image_element(image, image_id.as_deref()), owner]);
    if let Some(id) = image_id {
        instance = instance.child(Element::new("nova:root").attribute("type", "image").attribute("uuid", id));
    }
    let ports = interfaces.iter().filter(|interface| interface.port.is_ok()).map(port);
    let instance = instance.child(Element::new("nova:ports").children(ports));
    Ok(BundleFile::new("api/nova-instance.xml", instance.fragment()?))
}

fn flavor_element(flavor: &Flavor) -> Element {
    let specs =
        flavor.extra_specs.iter().map(|(key, value)| Element::text("nova:extraSpec", value).attribute("name", key));
    Element::new("nova:flavor")
        .attribute("name", &flavor.name)
        .attribute("id", &flavor.name)
        .child(Element::text("nova:memory", flavor.ram.to_string()))
        .children(["nova:disk", "nova:swap", "nova:ephemeral"].map(|name| Element::text(name, "0")))
        .child(Element::text("nova:vcpus", flavor.vcpus.to_string()))
        .child(Element::new("nova:extraSpecs").children(specs))
}

fn image_element(image: &Image, id: Option<&str>) -> Element {
    let properties = image
        .properties
        .iter()
        .map(|(property, value)| Element::text("nova:property", value.in_nova()).attribute("name", property.name()));
    Element::new("nova:image")
        .attribute("uuid", id.unwrap_or_default())
        .child(Element::text("nova:containerFormat", "bare"))
        .children(image.disk_format.map(|format| Element::text("nova:diskFormat", format)))
        .child(Element::text("nova:minDisk", image.min_disk.to_string()))
        .child(Element::text("nova:minRam", "0"))
        .child(Element::new("nova:properties").children(properties))
}

fn port(interface: &Interface<'_>) -> Element {
    let ips = interface.fixed_ips().into_iter().map(|ip| {
        let version = if ip.contains(':') { "6" } else { "4" };
        Element::new("nova:ip").attribute("type", "fixed").attribute("address", ip).attribute("ipVersion", version)
    });
    Element::new("nova:port").attribute("uuid", interface.id.uuid.to_string()).children(ips)
}
