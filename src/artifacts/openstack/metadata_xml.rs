//! The element that Nova keeps in a domain's metadata, and that Ceilometer reads from there.
//!
//! Assumes the VM's other artifacts. Guarantees the element that Nova's own writer makes of the same facts, to the byte
//! after canonicalisation; the owner's user and project are always there, for Ceilometer skips a domain without them.
//! *Source*: <https://docs.openstack.org/nova/latest/reference/libvirt-metadata.html> and Nova's
//! `LibvirtConfigGuestMetaNovaInstance`.

use std::fmt::Write;

use super::super::bundle::BundleFile;
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
pub(super) fn file(vm: &Vm<'_>, interfaces: &[Interface<'_>], flavor: &Flavor, image: &Image) -> BundleFile {
    let mut xml = Xml::default();
    let binding = vm.binding;
    let image_id = binding.image_id.map(|id| id.to_string());
    xml.open("instance", &[("xmlns:nova", NAMESPACE)]);
    xml.empty("package", &[("version", NOVA)]);
    xml.text("name", &[], &vm.name);
    if let Some(created_at) = binding.created_at {
        xml.text("creationTime", &[], &created_at.as_nova());
    }
    xml.open("flavor", &[("name", &flavor.name), ("id", &flavor.name)]);
    xml.text("memory", &[], &flavor.ram.to_string());
    for name in ["disk", "swap", "ephemeral"] {
        xml.text(name, &[], "0");
    }
    xml.text("vcpus", &[], &flavor.vcpus.to_string());
    xml.list("extraSpecs", flavor.extra_specs.iter(), |xml, (key, value)| {
        xml.text("extraSpec", &[("name", &key)], value);
    });
    xml.close("flavor");
    xml.open("image", &[("uuid", image_id.as_deref().unwrap_or_default())]);
    xml.text("containerFormat", &[], "bare");
    if let Some(format) = image.disk_format {
        xml.text("diskFormat", &[], format);
    }
    xml.text("minDisk", &[], &image.min_disk.to_string());
    xml.text("minRam", &[], "0");
    xml.list("properties", image.properties.iter(), |xml, (property, value)| {
        xml.text("property", &[("name", property.name())], &value.in_nova());
    });
    xml.close("image");
    xml.open("owner", &[]);
    xml.text("user", &[("uuid", binding.user_id.as_str())], binding.user_name.as_str());
    xml.text("project", &[("uuid", binding.project_id.as_str())], binding.project_name.as_str());
    xml.close("owner");
    if let Some(id) = &image_id {
        xml.empty("root", &[("type", "image"), ("uuid", id)]);
    }
    let ports = interfaces.iter().filter(|interface| interface.port.is_ok());
    xml.list("ports", ports, |xml, interface| {
        let id = interface.id.uuid.to_string();
        xml.list_of("port", &[("uuid", &id)], interface.fixed_ips().into_iter(), |xml, ip| {
            let version = if ip.contains(':') { "6" } else { "4" };
            xml.empty("ip", &[("type", "fixed"), ("address", ip), ("ipVersion", version)]);
        });
    });
    xml.close("instance");
    BundleFile::new("api/nova-instance.xml", xml.out)
}

/// Indented XML, every element with Nova's prefix.
#[derive(Default)]
struct Xml {
    out: String,
    depth: usize,
}

// Writing to a string cannot fail, so that the results of `write!` say nothing.
impl Xml {
    fn tag(&mut self, name: &str, attributes: &[(&str, &str)], end: &str) {
        let _ = write!(self.out, "{}<nova:{name}", "  ".repeat(self.depth));
        for (key, value) in attributes {
            let _ = write!(self.out, " {key}=\"{}\"", Escaped(value));
        }
        self.out.push_str(end);
    }

    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes, ">\n");
        self.depth += 1;
    }

    fn close(&mut self, name: &str) {
        self.depth = self.depth.saturating_sub(1);
        let _ = writeln!(self.out, "{}</nova:{name}>", "  ".repeat(self.depth));
    }

    fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes, "/>\n");
    }

    fn text(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.tag(name, attributes, ">");
        let _ = writeln!(self.out, "{}</nova:{name}>", Escaped(text));
    }

    fn list<I: Iterator>(&mut self, name: &str, items: I, each: impl FnMut(&mut Self, I::Item)) {
        self.list_of(name, &[], items, each);
    }

    /// A list without items is an empty element.
    fn list_of<I: Iterator>(
        &mut self,
        name: &str,
        attributes: &[(&str, &str)],
        items: I,
        mut each: impl FnMut(&mut Self, I::Item),
    ) {
        let mut items = items.peekable();
        if items.peek().is_none() {
            return self.empty(name, attributes);
        }
        self.open(name, attributes);
        items.for_each(|item| each(self, item));
        self.close(name);
    }
}

/// A text of an element or an attribute; characters that XML 1.0 has no place for are left out.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\t' | '\n' | '\r' => write!(f, "&#{};", u32::from(c))?,
                '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
