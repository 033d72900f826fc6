//! What a path, a URI or a document names, held against what the VM has and what is allowed.

use roxmltree::Node;

use super::asked::{How, Named};
use super::device::{
    DISK_DEVICES, DISK_PARTS, INTERFACE_PARTS, Image, LAYER_PARTS, PLAIN_DEVICES, guards_of, images_of,
};
use super::form::form;
use super::{BeyondVm, Confinement, Holdings, Look, Seen};
use crate::model::xml;

/// Parts of a definition that say nothing of the host.
const PLAIN_PARTS: [&str; 19] = [
    "name",
    "uuid",
    "genid",
    "title",
    "description",
    "memory",
    "currentMemory",
    "maxMemory",
    "vcpu",
    "vcpus",
    "cpu",
    "clock",
    "features",
    "pm",
    "on_poweroff",
    "on_reboot",
    "on_crash",
    "iothreads",
    "perf",
];
/// Parts of how a VM boots that say nothing of the host.
const PLAIN_BOOT: [&str; 4] = ["type", "boot", "bootmenu", "bios"];
/// How one libvirt may be led to another: not by a program, a shell or a file of this host.
const SCHEMES: [&str; 5] = ["qemu", "qemu+tls", "qemu+tcp", "tcp", "tls"];

pub(super) struct Judge<'a> {
    pub(super) holdings: &'a Holdings,
    pub(super) allowed: &'a Confinement,
    pub(super) look: &'a dyn Look,
}

type Judged = Result<(), BeyondVm>;

impl Judge<'_> {
    pub(super) fn named(&self, named: &Named) -> Judged {
        match named {
            Named::File(how, path) => self.file(*how, path, None),
            Named::Never(what) => Err(BeyondVm::new(*what)),
            Named::Uri(uri) => uri_is_plain(uri, |path| self.file(How::Created, path, None)),
            Named::Xml(how, text) => {
                let document =
                    xml::parse(text).map_err(|error| BeyondVm::new(format!("XML that cannot be read: {error}")))?;
                self.root(*how, document.root_element())
            }
        }
    }

    fn root(&self, how: How, root: Node<'_, '_>) -> Judged {
        match xml::name(root) {
            Some("domain") => self.domain(root),
            Some("disk") => self.disk(how, root),
            Some("interface") => self.interface(root),
            Some("domainsnapshot") => self.saved_state(root, &["name", "description", "memory", "disks"]),
            Some("domaincheckpoint") => self.saved_state(root, &["name", "description", "disks"]),
            // What two libvirtds tell each other while they move a VM.
            Some("qemu-migration") => Ok(()),
            Some("domainbackup") => self.saved_state(root, &["incremental", "server", "disks"]),
            Some(_) | None => self.other_device(root),
        }
    }

    /// Whether the VM has the very same already.
    fn has(&self, element: Node<'_, '_>) -> bool {
        self.holdings.elements.contains(&form(element))
    }

    fn file(&self, how: How, path: &str, format: Option<&str>) -> Judged {
        if !path.starts_with('/') || path.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(BeyondVm::new(format!("the file {path:?}, which is no plain absolute path")));
        }
        let held = self.holdings.files.get(path);
        if how == How::Opened
            && let Some(formats) = held
        {
            return match format.filter(|format| !formats.contains(*format)) {
                None => Ok(()),
                Some(format) => {
                    Err(BeyondVm::new(format!("the VM's file {path:?} as {format}, which it is not opened as")))
                }
            };
        }
        let seen = self.look.at(path);
        if let Seen::Nothing(real) | Seen::Something(real) = &seen
            && self.is_allowed(path, real)
        {
            // An image of another format can name files below it that nobody looked at.
            return match format.filter(|format| how == How::Opened && *format != "raw") {
                None => Ok(()),
                Some(format) => {
                    Err(BeyondVm::new(format!("{path:?} as {format}: an image that may name others below it")))
                }
            };
        }
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        match seen {
            Seen::Nothing(_) if self.holdings.folders.contains(folder) => Ok(()),
            // One answer for all of them: who asks does not learn which files the host has.
            Seen::Nothing(_) | Seen::Something(_) | Seen::Hidden => {
                Err(BeyondVm::new(format!("the file {path:?}, which is neither the VM's nor new beside its disks")))
            }
        }
    }

    /// Whether a path is in a folder that is allowed, as it is written and where it really is.
    fn is_allowed(&self, path: &str, real: &str) -> bool {
        let holds = |folder: &String| match self.look.at(folder) {
            Seen::Something(folder) => is_below(real, &folder),
            Seen::Nothing(_) | Seen::Hidden => false,
        };
        self.allowed.folders.iter().any(|folder| is_below(path, folder) && holds(folder))
    }

    fn domain(&self, domain: Node<'_, '_>) -> Judged {
        let kind = xml::attribute(domain, "type").unwrap_or_default();
        if !self.holdings.types.contains(kind) {
            return Err(BeyondVm::new(format!("a VM of type {kind:?}")));
        }
        for part in domain.children().filter(Node::is_element) {
            match xml::name(part) {
                Some("metadata") => {}
                Some("os") => self.each(part, &PLAIN_BOOT, "how it boots")?,
                Some("devices") => {
                    part.children().filter(Node::is_element).try_for_each(|device| self.device(device))?;
                }
                Some(name) if PLAIN_PARTS.contains(&name) => self.plain(part)?,
                Some(_) | None if self.has(part) => {}
                Some(_) | None => {
                    return Err(BeyondVm::new(format!("{}, which the VM has not as it is", called(part))));
                }
            }
        }
        Ok(())
    }

    /// Children that say nothing of the host, or that the VM has.
    fn each(&self, of: Node<'_, '_>, plain: &[&str], what: &str) -> Judged {
        for part in of.children().filter(Node::is_element) {
            match xml::name(part) {
                Some(name) if plain.contains(&name) => self.plain(part)?,
                Some(_) | None if self.has(part) => {}
                Some(_) | None => {
                    return Err(BeyondVm::new(format!("{} in {what}, which the VM has not as it is", called(part))));
                }
            }
        }
        Ok(())
    }

    fn device(&self, device: Node<'_, '_>) -> Judged {
        if self.has(device) {
            return Ok(());
        }
        match xml::name(device) {
            Some("disk") => self.disk(How::Opened, device),
            Some("interface") => self.interface(device),
            Some(_) | None => self.other_device(device),
        }
    }

    fn other_device(&self, device: Node<'_, '_>) -> Judged {
        match xml::name(device) {
            _ if self.has(device) => Ok(()),
            Some(name) if PLAIN_DEVICES.contains(&name) => self.plain(device),
            Some("memory") if matches!(xml::attribute(device, "model"), Some("dimm" | "virtio-mem")) => {
                self.plain(device)
            }
            Some("input") if matches!(xml::attribute(device, "type"), Some("mouse" | "tablet" | "keyboard")) => {
                self.plain(device)
            }
            Some(_) | None => Err(BeyondVm::new(format!("{}, which the VM has not", called(device)))),
        }
    }

    fn disk(&self, how: How, disk: Node<'_, '_>) -> Judged {
        if self.has(disk) {
            return Ok(());
        }
        let said = |name: &str| xml::attribute(disk, name);
        let known = ["type", "device", "model", "snapshot"];
        if disk.attributes().any(|a| a.namespace().is_some() || !known.contains(&a.name())) {
            return Err(BeyondVm::new("a disk with a way to the host's hardware"));
        }
        if !DISK_DEVICES.contains(&said("device").unwrap_or("disk")) {
            return Err(BeyondVm::new(format!("a disk of the kind {:?}", said("device").unwrap_or_default())));
        }
        self.layer(disk, &DISK_PARTS)?;
        images_of(disk).iter().try_for_each(|Image { path, format }| self.file(how, path, Some(format)))
    }

    /// The parts of a disk, and of each image below it: nothing but what [`images_of`] reads and what says nothing of the
    /// host. What is there twice could be one thing here and another to libvirt.
    fn layer(&self, layer: Node<'_, '_>, parts: &[&str]) -> Judged {
        let place = match xml::attribute(layer, "type") {
            None | Some("file") => "file",
            Some("block") => "dev",
            Some(other) => return Err(BeyondVm::new(format!("a disk of type {other:?}, which the VM has not"))),
        };
        for part in layer.children().filter(Node::is_element) {
            let name = xml::name(part).filter(|name| parts.contains(name) && xml::child(layer, name) == Some(part));
            match name {
                Some("source") => {
                    let known = [place, "startupPolicy", "index"];
                    let odd = part.attributes().any(|a| a.namespace().is_some() || !known.contains(&a.name()));
                    if odd || part.children().any(|child| child.is_element()) {
                        return Err(BeyondVm::new(format!("a disk's source that is more than a {place}")));
                    }
                }
                Some("backingStore") => self.layer(part, &LAYER_PARTS)?,
                Some(_) => self.plain(part)?,
                None => return Err(BeyondVm::new(format!("{} of a disk", called(part)))),
            }
        }
        Ok(())
    }

    fn interface(&self, interface: Node<'_, '_>) -> Judged {
        if self.has(interface) {
            return Ok(());
        }
        if interface.attributes().any(|attribute| attribute.name() != "type") {
            return Err(BeyondVm::new("an interface with more than a type"));
        }
        let kind = xml::attribute(interface, "type").unwrap_or_default();
        let source = xml::child(interface, "source");
        let end = (kind.to_owned(), source.map(form).unwrap_or_default());
        let network = source.and_then(|source| xml::attribute(source, "network"));
        // A port group of a network has other rules than the network.
        let is_plain =
            source.is_some_and(|source| source.attributes().len() == 1 && !source.children().any(|c| c.is_element()));
        let is_allowed = |name: &str| self.holdings.networks.contains(name) || self.allowed.networks.contains(name);
        let goes = kind == "network" && is_plain && network.is_some_and(is_allowed);
        let twice = interface.children().filter(|part| part.tag_name().name() == "source").count() > 1;
        if twice || !(goes || self.holdings.ends.contains(&end)) {
            let to = network.map_or_else(|| format!("type {kind:?}"), |network| format!("the network {network:?}"));
            return Err(BeyondVm::new(format!("an interface on {to}, where the VM is not")));
        }
        let guards = guards_of(interface);
        let is_kept = self.holdings.guards.contains(&guards) || (self.holdings.guards.is_empty() && guards.is_empty());
        if !is_kept {
            return Err(BeyondVm::new("an interface that is filtered or tagged unlike the VM's own".to_owned()));
        }
        for part in interface.children().filter(Node::is_element) {
            match xml::name(part) {
                Some("source") => {}
                Some(name) if INTERFACE_PARTS.contains(&name) => self.plain(part)?,
                Some(_) | None if self.has(part) => {}
                Some(_) | None => {
                    return Err(BeyondVm::new(format!("{} of an interface, which the VM has not", called(part))));
                }
            }
        }
        Ok(())
    }

    /// A snapshot, a checkpoint, a backup: what it writes is made anew.
    fn saved_state(&self, root: Node<'_, '_>, parts: &[&str]) -> Judged {
        for part in root.children().filter(Node::is_element) {
            match xml::name(part) {
                Some("server") => self.server(part)?,
                Some(name) if parts.contains(&name) => self.writes(part)?,
                // A definition in it would be the VM's, once it goes back to this.
                Some(_) | None => {
                    return Err(BeyondVm::new(format!("{} of a {}", called(part), root.tag_name().name())));
                }
            }
        }
        Ok(())
    }

    /// An address of the host would be everybody's who reaches it.
    fn server(&self, server: Node<'_, '_>) -> Judged {
        let socket = xml::attribute(server, "socket").filter(|_| xml::attribute(server, "transport") == Some("unix"));
        let socket =
            socket.ok_or_else(|| BeyondVm::new("a backup served on another address than a Unix socket".to_owned()))?;
        self.file(How::Created, socket, None)
    }

    /// Every file that is named anywhere in an element is made anew.
    fn writes(&self, element: Node<'_, '_>) -> Judged {
        for node in element.descendants().filter(Node::is_element) {
            for attribute in node.attributes() {
                match attribute.name() {
                    "file" | "dev" => self.file(How::Created, attribute.value(), None)?,
                    "name" | "snapshot" | "backup" | "type" | "exportname" | "exportbitmap" | "checkpoint"
                    | "bitmap" | "backupmode" | "incremental" | "index" | "cache" => is_no_path(attribute.value())?,
                    other => return Err(BeyondVm::new(format!("{other:?} in {}", called(node)))),
                }
            }
        }
        Ok(())
    }

    /// An element that says nothing of the host: no text in it is a path, and none of it is in a namespace.
    fn plain(&self, element: Node<'_, '_>) -> Judged {
        for node in element.descendants() {
            if node.is_element() && (xml::name(node).is_none() || node.attributes().any(|a| a.namespace().is_some())) {
                return Err(BeyondVm::new(format!("{}, which is in a namespace", called(node))));
            }
            node.attributes().try_for_each(|attribute| is_no_path(attribute.value()))?;
            is_no_path(node.text().filter(|_| node.is_text()).unwrap_or_default().trim())?;
        }
        Ok(())
    }
}

fn is_no_path(text: &str) -> Judged {
    if text.starts_with('/') {
        Err(BeyondVm::new(format!("the file {text:?}, in a place where no file is expected")))
    } else {
        Ok(())
    }
}

/// Whether a path is in a folder, at any depth.
fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/') && rest.len() > 1)
}

/// Whether a URI leads to another host by nothing of this one; a Unix socket is judged as the file that it is.
fn uri_is_plain(uri: &str, file: impl Fn(&str) -> Judged) -> Judged {
    let refused = |why: &str| Err(BeyondVm::new(format!("the address {uri:?}, {why}")));
    let Some((scheme, rest)) = uri.split_once("://") else {
        // QEMU's own short form: tcp:HOST:PORT.
        return if uri.starts_with("tcp:") { Ok(()) } else { refused("which is none that covirt knows") };
    };
    if scheme == "unix" {
        return file(rest);
    }
    if !SCHEMES.contains(&scheme) {
        return refused("which libvirt would reach by a program or a file of this host");
    }
    if rest.contains(['?', '#', '@', '%']) || rest.starts_with('/') {
        return refused("which says more than a host, a port and a path");
    }
    Ok(())
}

fn called(element: Node<'_, '_>) -> String {
    format!("<{}>", element.tag_name().name())
}
