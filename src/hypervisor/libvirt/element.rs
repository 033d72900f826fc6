//! A disk's or an interface's element in a domain's XML: finding it, and whether it says what was asked.

use roxmltree::{Document, Node};

use super::failure::Fault;
use super::xml::{child, devices};
use crate::hypervisor::evidence::Seen;
use crate::model::device::named_in;
use crate::model::operation::{Bandwidth, DiskIotuneArgs, NicQosArgs};
use crate::model::xml::parse;
use crate::model::{DeviceName, Operation};

/// A device as a domain's XML describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    /// The whole element.
    pub(super) xml: String,
    /// The same without its place on a bus and its alias, which differ between a process and its definition.
    pub(super) bare: String,
    /// What libvirt's events call it; only a process has one.
    pub(super) alias: Option<String>,
}

/// A device of a domain.
pub(super) fn find(domain: &str, device: &DeviceName) -> Result<Option<Element>, Fault> {
    let document = read(domain)?;
    let found = described(&document).find(|node| named_in(&domain[node.range()]).as_ref() == Ok(device));
    Ok(found.map(|node| {
        let alias = child(node, "alias").and_then(|alias| alias.attribute("name")).map(str::to_owned);
        Element { xml: domain[node.range()].to_owned(), bare: bare(domain, node), alias }
    }))
}

/// Whether a domain's XML shows what an operation asks of a device that stays.
pub(super) fn shows(domain: &str, operation: &Operation) -> Result<Seen, Fault> {
    let Some(device) = operation.device() else { return Ok(Seen::Never) };
    let Some(element) = find(domain, &device)? else { return Ok(Seen::No) };
    let there = read(&element.xml)?;
    let there = there.root_element();
    Ok(Seen::when(match operation {
        Operation::DeviceUpdate(args) => contains(there, read(&args.xml)?.root_element()),
        Operation::NicQos(args) => has_bandwidth(there, args),
        Operation::DiskIotune(args) => has_limits(there, args),
        _ => return Ok(Seen::Never),
    }))
}

/// A disk's limits, by libvirt's names; those that are not set are not there.
pub(super) fn limits(disk: &Element) -> Result<Vec<(String, u64)>, Fault> {
    let document = read(&disk.xml)?;
    let Some(iotune) = child(document.root_element(), "iotune") else { return Ok(Vec::new()) };
    let number = |node: Node<'_, '_>| Some((node.tag_name().name().to_owned(), node.text()?.trim().parse().ok()?));
    Ok(iotune.children().filter(Node::is_element).filter_map(number).collect())
}

fn read(xml: &str) -> Result<Document<'_>, Fault> {
    parse(xml).map_err(|error| Fault::Failed(format!("the domain's XML: {error}")))
}

fn described<'a, 'input>(document: &'a Document<'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    devices(document).filter(|node| node.has_tag_name("disk") || node.has_tag_name("interface"))
}

fn bare(domain: &str, node: Node<'_, '_>) -> String {
    let whole = node.range();
    let (mut text, mut from) = (String::with_capacity(whole.len()), whole.start);
    for left_out in node.children().filter(|child| child.has_tag_name("address") || child.has_tag_name("alias")) {
        text.push_str(&domain[from..left_out.range().start]);
        from = left_out.range().end;
    }
    text + &domain[from..whole.end]
}

/// Whether everything that was asked is there; libvirt adds much of its own.
fn contains(there: Node<'_, '_>, asked: Node<'_, '_>) -> bool {
    let attributes = asked.attributes().all(|asked| there.attribute(asked.name()) == Some(asked.value()));
    let text = |node: Node<'_, '_>| node.text().unwrap_or("").trim().to_owned();
    let mut children = asked.children().filter(Node::is_element);
    there.tag_name().name() == asked.tag_name().name()
        && attributes
        && (text(asked).is_empty() || text(asked) == text(there))
        && children.all(|asked| there.children().any(|there| there.is_element() && contains(there, asked)))
}

fn has_bandwidth(interface: Node<'_, '_>, asked: &NicQosArgs) -> bool {
    let set = child(interface, "bandwidth");
    let is = |direction: &str, asked: Option<Bandwidth>| {
        asked.is_none_or(|asked| {
            let set = set.and_then(|set| child(set, direction));
            let number = |name: &str| set.and_then(|set| set.attribute(name)?.parse().ok()).unwrap_or(0);
            asked == Bandwidth { average: number("average"), peak: number("peak"), burst: number("burst") }
        })
    };
    is("inbound", asked.inbound) && is("outbound", asked.outbound)
}

fn has_limits(disk: Node<'_, '_>, asked: &DiskIotuneArgs) -> bool {
    let set = child(disk, "iotune");
    asked.limits().all(|(name, asked)| {
        let limit = set.and_then(|set| child(set, name)).and_then(|limit| limit.text()?.trim().parse().ok());
        limit.unwrap_or(0) == asked
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Action;
    use serde_json::{Value, json};

    const DOMAIN: &str = "<domain><devices><emulator>/q</emulator>\
        <disk type='file' device='cdrom'><source file='/a.iso' index='2'/><target dev='hda' bus='ide'/><readonly/></disk>\
        <disk type='file' device='disk'><source file='/b'/><target dev='vda' bus='virtio'/>\
        <iotune><read_iops_sec>500</read_iops_sec></iotune>\
        <alias name='virtio-disk0'/><address type='pci' slot='0x04'/></disk>\
        <interface type='network'><mac address='52:54:00:11:22:33'/><source network='default' bridge='virbr0'/>\
        <bandwidth><inbound average='1000' peak='2000'/></bandwidth><link state='down'/><alias name='net0'/></interface>\
        </devices></domain>";

    fn seen(action: Action, args: Value) -> Seen {
        shows(DOMAIN, &Operation::parse(action, args).unwrap()).unwrap()
    }

    #[test]
    fn devices_are_found_by_their_names() {
        for name in ["disk:hda", "disk:vda", "nic:52:54:00:11:22:33"] {
            assert!(find(DOMAIN, &name.parse().unwrap()).unwrap().is_some(), "{name}");
        }
        let disk = find(DOMAIN, &"disk:vda".parse().unwrap()).unwrap().unwrap();
        assert_eq!(disk.alias.as_deref(), Some("virtio-disk0"));
        assert!(disk.bare.contains("<source file='/b'/>") && disk.bare.ends_with("</disk>"), "{}", disk.bare);
        assert!(!disk.bare.contains("alias") && !disk.bare.contains("address"), "{}", disk.bare);
        assert_eq!(limits(&disk), Ok(vec![("read_iops_sec".to_owned(), 500)]));
        assert_eq!(find(DOMAIN, &"disk:vdb".parse().unwrap()), Ok(None));
    }

    #[test]
    fn an_update_is_seen_when_all_that_it_asks_is_there() {
        let cdrom = |file: &str| json!({ "xml": format!("<disk type='file' device='cdrom'><source file='{file}'/><target dev='hda'/></disk>") });
        assert_eq!(seen(Action::DeviceUpdate, cdrom("/a.iso")), Seen::Yes);
        assert_eq!(seen(Action::DeviceUpdate, cdrom("/c.iso")), Seen::No);
        let nic = |mac: &str, link: &str| json!({ "xml": format!("<interface type='network'><mac address='{mac}'/><link state='{link}'/></interface>") });
        assert_eq!(seen(Action::DeviceUpdate, nic("52:54:00:11:22:33", "down")), Seen::Yes);
        assert_eq!(seen(Action::DeviceUpdate, nic("52:54:00:11:22:33", "up")), Seen::No);
        assert_eq!(seen(Action::DeviceUpdate, nic("52:54:00:11:22:34", "down")), Seen::No);
    }

    #[test]
    fn limits_are_seen_when_each_that_was_named_is_there() {
        let iotune = |limits: Value| {
            let mut args = json!({ "disk": "vda" });
            args.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
            seen(Action::DiskIotune, args)
        };
        assert_eq!(iotune(json!({ "read_iops_sec": 500 })), Seen::Yes);
        assert_eq!(iotune(json!({ "read_iops_sec": 500, "write_iops_sec": 1 })), Seen::No);
        assert_eq!(iotune(json!({ "total_bytes_sec": 0 })), Seen::Yes, "no limit is as good as none");
        let qos = |inbound: Value| seen(Action::NicQos, json!({ "mac": "52:54:00:11:22:33", "inbound": inbound }));
        assert_eq!(qos(json!({ "average": 1000, "peak": 2000 })), Seen::Yes);
        assert_eq!(qos(json!({ "average": 1000 })), Seen::No);
    }
}
