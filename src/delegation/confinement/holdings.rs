//! What a VM has of the host, by libvirt's own descriptions of it.

use std::collections::{BTreeMap, BTreeSet};

use roxmltree::Node;

use super::device::{Image, guards_of, images_of};
use super::form::form;
use crate::model::xml;

/// What a VM has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holdings {
    /// The files of its disks, with the formats as which they are opened.
    pub(super) files: BTreeMap<String, BTreeSet<String>>,
    /// The folders that they are in.
    pub(super) folders: BTreeSet<String>,
    pub(super) networks: BTreeSet<String>,
    /// Elements of the domain, of its boot, its devices, and parts of its interfaces.
    pub(super) elements: BTreeSet<String>,
    /// What each interface is kept in by: its filters, its VLANs.
    pub(super) guards: BTreeSet<BTreeSet<String>>,
    /// What each interface is connected to.
    pub(super) ends: BTreeSet<(String, String)>,
    /// `kvm`, `qemu`.
    pub(super) types: BTreeSet<String>,
}

impl Holdings {
    /// By the descriptions of a VM; what cannot be read is not held.
    #[must_use]
    pub fn of<'a>(descriptions: impl IntoIterator<Item = &'a str>) -> Self {
        let mut holdings = Self::default();
        for text in descriptions {
            if let Ok(document) = xml::parse(text)
                && xml::name(document.root_element()) == Some("domain")
            {
                holdings.add(document.root_element());
            }
        }
        holdings
    }

    fn add(&mut self, domain: Node<'_, '_>) {
        self.types.extend(xml::attribute(domain, "type").map(str::to_owned));
        for part in domain.children().filter(Node::is_element) {
            self.elements.insert(form(part));
            if let Some("os" | "devices") = xml::name(part) {
                self.elements.extend(part.children().filter(Node::is_element).map(form));
            }
        }
        let devices = xml::child(domain, "devices").into_iter().flat_map(|devices| devices.children());
        for device in devices {
            match xml::name(device) {
                Some("disk") => self.add_disk(device),
                Some("interface") => self.add_interface(device),
                Some(_) | None => {}
            }
        }
    }

    fn add_disk(&mut self, disk: Node<'_, '_>) {
        for Image { path, format } in images_of(disk) {
            let folder = path.rsplit_once('/').map(|(folder, _)| folder);
            // Whoever has a device of the host has not the folder of all devices.
            let folder = folder.filter(|folder| !folder.is_empty() && !path.starts_with("/dev/"));
            self.folders.extend(folder.map(str::to_owned));
            self.files.entry(path).or_default().insert(format);
        }
    }

    fn add_interface(&mut self, interface: Node<'_, '_>) {
        let source = xml::child(interface, "source");
        self.networks.extend(source.and_then(|source| xml::attribute(source, "network")).map(str::to_owned));
        let kind = xml::attribute(interface, "type").unwrap_or_default().to_owned();
        self.ends.insert((kind, source.map(form).unwrap_or_default()));
        self.guards.insert(guards_of(interface));
        self.elements.extend(interface.children().filter(Node::is_element).map(form));
    }
}
