//! libvirt's XML, read so that it says the same to us as to libvirt, or nothing.
//!
//! libvirt takes elements and attributes by their local names here and without namespace there, the first of several
//! here and the last there. A client could say one thing to us and another to libvirt by that, so what is there more
//! than once, or in a namespace, says nothing.

use roxmltree::{Document, Node, ParsingOptions};

use super::KnownAs;
use crate::model::{DeviceName, VmId};

/// The most elements, attributes not counted, and texts. A domain with a hundred disks has a tenth of that.
const NODES_MAX: u32 = 65536;

/// The most namespaces. The parser copies those of an element to each element in it.
const NAMESPACES_MAX: usize = 64;
/// The most comparisons of attributes, of which the parser compares each with all others of its element.
const COMPARISONS_MAX: u64 = 1 << 24;

/// The document, unless it is malformed, declares a type or an encoding, or is made to take long.
pub(super) fn parse(xml: &str) -> Option<Document<'_>> {
    let takes_long = comparisons(xml) > COMPARISONS_MAX || xml.matches("xmlns").count() > NAMESPACES_MAX;
    if takes_long || is_encoded(xml) {
        return None;
    }
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    Document::parse_with_options(xml, options).ok()
}

/// Whether it says that it is written otherwise than it came: libvirt would decode it first, and read something else.
fn is_encoded(xml: &str) -> bool {
    let begin = xml.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let Some((declaration, _)) = begin.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")) else {
        return false;
    };
    let Some((before, encoding)) = declaration.rsplit_once("encoding") else { return false };
    if before.contains("encoding") {
        return true;
    }
    let encoding = encoding.trim_start_matches(['=', ' ', '\t', '\r', '\n', '"', '\'']);
    let name: String = encoding.chars().take_while(|c| !matches!(c, '"' | '\'')).collect();
    !["utf-8", "utf8", "us-ascii", "ascii"].contains(&name.to_ascii_lowercase().as_str())
}

/// How often attributes would be compared at most: between two `<` there are no more of them than `=`.
fn comparisons(xml: &str) -> u64 {
    let (mut whole, mut here) = (0_u64, 0_u64);
    for byte in xml.bytes() {
        match byte {
            b'<' => here = 0,
            b'=' => {
                whole = whole.saturating_add(here);
                here += 1;
            }
            _ => {}
        }
    }
    whole
}

/// What an element is called, unless it is in a namespace.
pub(super) fn name<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    node.tag_name().namespace().is_none().then_some(node.tag_name().name())
}

/// Whether a child of this name is there, in whatever namespace.
pub(super) fn has(node: Node<'_, '_>, called: &str) -> bool {
    node.children().any(|child| child.is_element() && child.tag_name().name() == called)
}

/// The only child of this name.
pub(super) fn child<'a, 'input>(node: Node<'a, 'input>, called: &str) -> Option<Node<'a, 'input>> {
    let mut found = node.children().filter(|child| child.is_element() && child.tag_name().name() == called);
    let only = found.next().filter(|_| found.next().is_none())?;
    name(only).map(|_| only)
}

/// The children of this name; none at all when one of them is in a namespace.
pub(super) fn children<'a, 'input>(node: Node<'a, 'input>, called: &str) -> Option<Vec<Node<'a, 'input>>> {
    (node.children().filter(|child| child.is_element() && child.tag_name().name() == called))
        .map(|child| name(child).map(|_| child))
        .collect()
}

/// The attribute, unless there is another of the same local name.
pub(super) fn attribute<'a>(node: Node<'a, '_>, called: &str) -> Option<&'a str> {
    let mut found = node.attributes().filter(|attribute| attribute.name() == called);
    let only = found.next().filter(|_| found.next().is_none())?;
    only.namespace().is_none().then_some(only.value())
}

/// All text in it, as XPath's `string()` gives it.
pub(super) fn text(node: Node<'_, '_>) -> String {
    node.descendants().filter(Node::is_text).filter_map(|text| text.text()).collect()
}

/// The text of the only child of this name.
pub(super) fn child_text(node: Node<'_, '_>, called: &str) -> Option<String> {
    child(node, called).map(text)
}

/// By which UUID and name a domain's XML says it is known; none when libvirt may read it as another's.
pub(super) fn domain(xml: &str) -> Option<KnownAs> {
    let document = parse(xml)?;
    let root = document.root_element();
    // libvirt takes nothing for a domain that is called otherwise.
    let text = |called: &str| match child_text(root, called) {
        None if has(root, called) => None,
        text => Some(text),
    };
    let vm = match text("uuid")? {
        Some(text) => Some(uuid(&text)?),
        None => None,
    };
    (name(root) == Some("domain")).then_some(KnownAs { vm, name: text("name")? })
}

/// A UUID as libvirt reads it: hexadecimal digits, hyphens anywhere.
fn uuid(text: &str) -> Option<VmId> {
    let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
    let plain = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// What a device's XML describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Device {
    /// A disk or an interface that is named.
    Named(DeviceName),
    /// Memory.
    Memory,
    /// Anything else that is no disk.
    WithoutContents,
    /// A disk that is not named, or what cannot be told.
    Unknown,
}

/// What a device's XML describes.
pub(super) fn device(xml: &str) -> Device {
    let Some(document) = parse(xml) else { return Device::Unknown };
    let root = document.root_element();
    let of =
        |called: &str, attribute_called: &str| child(root, called).and_then(|child| attribute(child, attribute_called));
    let named = |text: Option<String>| text.and_then(|text| text.parse().ok()).map(Device::Named);
    match name(root) {
        Some("disk") => named(of("target", "dev").map(|target| format!("disk:{target}"))).unwrap_or(Device::Unknown),
        Some("interface") => {
            named(of("mac", "address").map(|mac| format!("nic:{mac}"))).unwrap_or(Device::WithoutContents)
        }
        Some("memory") => Device::Memory,
        Some(_) => Device::WithoutContents,
        None => Device::Unknown,
    }
}

/// Whether XML may hold a secret: it then stays out of the journal.
pub(super) fn may_hold_secret(xml: &str) -> bool {
    ["passw", "cookie", "secret>"].iter().any(|word| xml.contains(word))
}
