//! What the XML of a disk or an interface says, as far as it is about the host.

use std::collections::BTreeSet;

use roxmltree::Node;

use super::form::form;
use crate::model::xml;

/// A file that holds a disk's data, and as what it is opened. Who may say the format decides what the file's own bytes
/// are taken for: a guest that writes another format's head into its disk must not have it read as such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) path: String,
    pub(super) format: String,
}

/// What each image of a disk is, the topmost first: its own, and those that are said to be below it.
pub(super) fn images_of(disk: Node<'_, '_>) -> Vec<Image> {
    let layers =
        disk.descendants().filter(|node| *node == disk || matches!(xml::name(*node), Some("backingStore" | "mirror")));
    layers.filter_map(image_of).collect()
}

fn image_of(layer: Node<'_, '_>) -> Option<Image> {
    let source = xml::child(layer, "source")?;
    let path = xml::attribute(source, "file").or_else(|| xml::attribute(source, "dev"))?;
    let said = |element: &str| xml::child(layer, element).and_then(|element| xml::attribute(element, "type"));
    // Without a word libvirt takes it for raw.
    let format = said("driver").or_else(|| said("format")).unwrap_or("raw");
    Some(Image { path: path.to_owned(), format: format.to_owned() })
}

/// What keeps an interface in its bounds.
pub(super) fn guards_of(interface: Node<'_, '_>) -> BTreeSet<String> {
    let guards = ["filterref", "vlan", "port", "virtualport"];
    let parts = interface.children().filter(|part| guards.contains(&part.tag_name().name()));
    parts.map(form).collect()
}

/// Parts of a disk that are about the disk alone, or are read by [`images_of`].
pub(super) const DISK_PARTS: [&str; 16] = [
    "driver",
    "source",
    "target",
    "address",
    "alias",
    "serial",
    "wwn",
    "vendor",
    "product",
    "readonly",
    "shareable",
    "boot",
    "iotune",
    "blockio",
    "geometry",
    "backingStore",
];
/// What a layer below says.
pub(super) const LAYER_PARTS: [&str; 3] = ["format", "source", "backingStore"];
/// Parts of an interface that are about the guest's side alone.
pub(super) const INTERFACE_PARTS: [&str; 11] =
    ["mac", "source", "model", "alias", "address", "boot", "link", "driver", "mtu", "bandwidth", "acpi"];
/// Devices that are QEMU's alone.
pub(super) const PLAIN_DEVICES: [&str; 6] = ["controller", "watchdog", "memballoon", "video", "sound", "hub"];
/// Kinds of disks: what the guest takes them for, without a way to the host's hardware.
pub(super) const DISK_DEVICES: [&str; 3] = ["disk", "cdrom", "floppy"];
