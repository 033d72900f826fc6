//! Replies that are one XML text: what in it is of a VM that the provider does not see is cut out, or all of it hidden.

use std::ops::Range;

use roxmltree::Node;

use super::super::xdr::{ReadXdrError, Reader, Writer};
use super::decided::Xml;
use super::eyes::{Eyes, Thing};
use super::judge::{self, Nature};
use super::{Shown, unknown};
use crate::model::VmId;
use crate::model::xml::parse_up_to;

/// Far more than any network or volume has; a tree takes some hundred bytes for each.
const NODES_MAX: u32 = 200_000;

/// What is to become of a text.
enum Verdict {
    Hidden,
    /// These parts go, in this order; one may be in another. Without any it is passed on as it came.
    Without(Vec<Range<usize>>),
}

impl Verdict {
    const SAME: Self = Self::Without(Vec::new());

    fn same_if(is_seen: bool) -> Self {
        if is_seen { Self::SAME } else { Self::Hidden }
    }
}

/// What is shown of an XML that libvirt answered with.
pub(super) fn sift(of: Xml, payload: &[u8], eyes: &dyn Eyes) -> Result<Shown, ReadXdrError> {
    let mut reader = Reader::new(payload);
    let text = reader.string()?;
    let Ok(document) = parse_up_to(text, NODES_MAX) else { return Ok(unknown(payload, eyes)) };
    let root = document.root_element();
    let verdict = match of {
        Xml::Network => network(root, eyes),
        Xml::Interface => interface(root, eyes),
        Xml::Volume => volume(root, eyes),
        Xml::Secret => secret(root, eyes),
        Xml::Vm => owned(child(root, "uuid"), eyes),
        Xml::Owned => owned(child(root, "owner").and_then(|owner| child(owner, "uuid")), eyes),
    };
    Ok(match verdict {
        Verdict::Hidden => Shown::Hidden,
        Verdict::Without(parts) if parts.is_empty() && reader.rest().is_empty() => Shown::Same,
        Verdict::Without(parts) if reader.rest().is_empty() => {
            let mut writer = Writer::new();
            writer.string(&without(text, &parts));
            Shown::Changed(writer.into_bytes())
        }
        Verdict::Without(_) => Shown::Hidden,
    })
}

fn without(text: &str, parts: &[Range<usize>]) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut from = 0;
    for part in parts {
        kept.push_str(text.get(from..part.start).unwrap_or_default());
        from = from.max(part.end);
    }
    kept.push_str(text.get(from..).unwrap_or_default());
    kept
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn text<'a>(node: Node<'a, '_>, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(node, |node, name| child(node, name)).and_then(|node| node.text()).map(str::trim)
}

/// By the UUID of the VM that it is of; without one, by the host role.
fn owned(uuid: Option<Node<'_, '_>>, eyes: &dyn Eyes) -> Verdict {
    let vm = uuid.and_then(|node| node.text()).and_then(|text| text.trim().parse::<VmId>().ok());
    Verdict::same_if(vm.map_or_else(|| eyes.sees_host(), |vm| eyes.sees(vm)))
}

/// The addresses and names that are kept for guests.
fn network(root: Node<'_, '_>, eyes: &dyn Eyes) -> Verdict {
    let leases = root
        .children()
        .filter(|node| node.has_tag_name("ip"))
        .filter_map(|ip| child(ip, "dhcp"))
        .flat_map(|dhcp| dhcp.children().filter(|node| node.has_tag_name("host")))
        .filter(|host| {
            let mac = host.attribute("mac").map(Thing::Mac);
            let name = host.attribute("name").map(Thing::Name);
            let things: Vec<Thing<'_>> = mac.into_iter().chain(name).collect();
            !judge::sees(eyes, Nature::Guests, &things)
        });
    let names = root.children().filter(|node| node.has_tag_name("dns")).flat_map(|dns| {
        dns.children().filter(|record| {
            let own = ["name", "target"].iter().filter_map(|name| record.attribute(*name));
            let hosts = record.children().filter(|node| node.has_tag_name("hostname")).filter_map(|node| node.text());
            let things: Vec<Thing<'_>> = own.chain(hosts).map(|name| Thing::Name(name.trim())).collect();
            !things.is_empty() && !judge::sees(eyes, Nature::Hosts, &things)
        })
    });
    // How many NICs of guests are plugged in, anybody's.
    let counts = root
        .descendants()
        .filter(|node| node.has_tag_name("network") || node.has_tag_name("interface"))
        .filter(|_| !eyes.sees_host())
        .filter_map(|node| node.attribute_node("connections"))
        .map(|count| count.range().start.saturating_sub(1)..count.range().end);
    let mut parts: Vec<Range<usize>> = leases.chain(names).map(|node| node.range()).chain(counts).collect();
    parts.sort_by_key(|part| part.start);
    Verdict::Without(parts)
}

/// The ports of a bridge.
fn interface(root: Node<'_, '_>, eyes: &dyn Eyes) -> Verdict {
    let ports = root
        .children()
        .filter(|node| node.has_tag_name("bridge") || node.has_tag_name("bond"))
        .flat_map(|group| group.children().filter(|node| node.has_tag_name("interface")))
        .filter(|port| {
            let mac = child(*port, "mac").and_then(|mac| mac.attribute("address"));
            port.attribute("name").is_some_and(|name| !judge::sees_interface(eyes, name, mac))
        });
    Verdict::Without(ports.map(|node| node.range()).collect())
}

/// Itself by its path, and what it lies on.
fn volume(root: Node<'_, '_>, eyes: &dyn Eyes) -> Verdict {
    if text(root, &["target", "path"]).is_some_and(|path| !judge::sees_path(eyes, path)) {
        return Verdict::Hidden;
    }
    let below = child(root, "backingStore")
        .filter(|below| text(*below, &["path"]).is_some_and(|path| !judge::sees_path(eyes, path)));
    Verdict::Without(below.map(|node| node.range()).into_iter().collect())
}

/// By what it is for. Its own UUID is no VM's.
fn secret(root: Node<'_, '_>, eyes: &dyn Eyes) -> Verdict {
    let description = text(root, &["description"]).unwrap_or_default();
    let uses = child(root, "usage").map(|usage| usage.children().filter(Node::is_element));
    let is_seen = uses.into_iter().flatten().all(|usage| {
        let of = usage.text().unwrap_or_default().trim();
        let path = !usage.has_tag_name("volume") || judge::sees_path(eyes, of);
        path && judge::uuids(of).all(|vm| eyes.sees(vm))
    });
    Verdict::same_if(is_seen && judge::uuids(description).all(|vm| eyes.sees(vm)))
}
