//! The XML that asks for a snapshot. *Source*: libvirt, `formatsnapshot`.

use super::xml::{element, escaped, put};
use crate::model::operation::SnapshotCreateArgs;

/// A `<domainsnapshot>`; of which disks libvirt decides where none is named. Where some are, `all` are listed, because
/// libvirt decides about those that are not.
pub(super) fn snapshot_xml<'a>(args: &SnapshotCreateArgs, all: impl Iterator<Item = &'a str>) -> String {
    let mut xml = "<domainsnapshot>".to_owned();
    element(&mut xml, "name", &args.name);
    if let Some(text) = &args.description {
        element(&mut xml, "description", text);
    }
    if !args.disks.is_empty() {
        xml.push_str("<disks>");
        for disk in all {
            let how = if args.disks.contains(disk) { "external" } else { "no" };
            put(&mut xml, format_args!("<disk name='{}' snapshot='{how}'/>", escaped(disk)));
        }
        xml.push_str("</disks>");
    }
    xml.push_str("</domainsnapshot>");
    xml
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(args: Value) -> String {
        snapshot_xml(&serde_json::from_value(args).unwrap(), ["vda", "vdb", "hda"].into_iter())
    }

    #[test]
    fn a_description_cannot_add_elements() {
        assert_eq!(
            of(json!({ "name": "a", "description": "</description><memory file='/x'/> & \"b\"" })),
            "<domainsnapshot><name>a</name><description>&lt;/description&gt;&lt;memory file=&apos;/x&apos;/&gt; &amp; \
             &quot;b&quot;</description></domainsnapshot>"
        );
        assert_eq!(of(json!({ "name": "a" })), "<domainsnapshot><name>a</name></domainsnapshot>");
    }

    #[test]
    fn of_every_disk_it_is_said_whether_it_is_in_it() {
        assert_eq!(
            of(json!({ "name": "a", "kind": "disk-only", "disks": ["vdb"] })),
            "<domainsnapshot><name>a</name><disks><disk name='vda' snapshot='no'/>\
             <disk name='vdb' snapshot='external'/><disk name='hda' snapshot='no'/></disks></domainsnapshot>"
        );
    }
}
