//! What a client's XML says: of which domain it is, and of which device.

use roxmltree::Document;

use super::KnownAs;
use crate::model::xml;
pub(super) use crate::model::xml::{attribute, child, child_text, children, has, name};
use crate::model::{DeviceName, VmId};

/// The document, unless it is malformed, declares a type or an encoding, or is made to take long.
pub(super) fn parse(xml: &str) -> Option<Document<'_>> {
    xml::parse(xml).ok()
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
