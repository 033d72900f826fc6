//! The shape of libvirt's XML, as far as the model looks at it, for `serde_xml_rs`.
//!
//! Assumes a text that passed the survey. Guarantees only shape: every field is optional and still a string, so that
//! meaning, and refusals with a line, are decided in one place each. What is not named here is passed over, which
//! is how passwords (`graphics@passwd`, secrets) never enter the model.

use serde::Deserialize;
use serde_xml_rs::SerdeXml;

use std::fmt;

use super::error::{Place, XmlRefusal};

/// Reads a surveyed text.
pub(super) fn read<'de, T: Deserialize<'de>>(text: &str) -> Result<T, XmlRefusal> {
    // libvirt writes devices of one kind among those of others.
    SerdeXml::new().overlapping_sequences(true).from_str(text).map_err(|fault| from_parser(text, &fault))
}

/// Defines raw structs whose every field may be missing.
macro_rules! raw {
    ($($name:ident { $($xml:literal $field:ident: $kind:ty,)* })+) => {
        $(
            #[derive(Debug, Default, Deserialize)]
            #[serde(default)]
            pub(super) struct $name {
                $(#[serde(rename = $xml)] pub(super) $field: $kind,)*
            }
        )+
    };
}

type Text = Option<String>;

raw! {
    // An element that says something by being there.
    Flag {}
    Quantity { "@unit" unit: Text, "#text" number: Text, }
    Name { "@name" name: Text, }
    Kind { "@type" kind: Text, }
    Boot { "@order" order: Text, "@dev" dev: Text, }
    State { "@state" state: Text, }
    Mtu { "@size" size: Text, }
    MacAddress { "@address" address: Text, }

    Domain {
        "@type" kind: Text,
        "name" name: Text,
        "uuid" uuid: Text,
        "title" title: Text,
        "description" description: Text,
        "memory" memory: Option<Quantity>,
        "currentMemory" current_memory: Option<Quantity>,
        "vcpu" vcpu: Option<Vcpu>,
        "os" os: Os,
        "cpu" cpu: Option<Cpu>,
        "devices" devices: Devices,
    }

    Vcpu { "@current" current: Text, "#text" count: Text, }
    Os {
        "@firmware" firmware: Text,
        "type" kind: Option<OsType>,
        "firmware" features: Option<OsFirmware>,
        "loader" loader: Option<Loader>,
        "nvram" nvram: Option<Nvram>,
        "boot" boot: Vec<Boot>,
    }
    OsType { "@arch" arch: Text, "@machine" machine: Text, "#text" kind: Text, }
    OsFirmware { "feature" features: Vec<OsFeature>, }
    OsFeature { "@name" name: Text, "@enabled" enabled: Text, }
    Loader { "@type" kind: Text, "@secure" secure: Text, "#text" path: Text, }
    Nvram { "#text" path: Text, "source" source: Option<Source>, }
    Cpu {
        "@mode" mode: Text,
        "model" model: Text,
        "topology" topology: Option<Topology>,
        "numa" numa: Option<Numa>,
    }
    Topology {
        "@sockets" sockets: Text,
        "@dies" dies: Text,
        "@clusters" clusters: Text,
        "@cores" cores: Text,
        "@threads" threads: Text,
    }
    Numa { "cell" cells: Vec<NumaCell>, }
    NumaCell { "@memory" memory: Text, "@unit" unit: Text, }

    Devices {
        "disk" disks: Vec<Disk>,
        "interface" interfaces: Vec<Interface>,
        "channel" channels: Vec<Channel>,
        "graphics" graphics: Vec<Graphics>,
        "serial" serials: Vec<Character>,
        "console" consoles: Vec<Character>,
        "hostdev" hostdevs: Vec<Bootable>,
        "redirdev" redirdevs: Vec<Bootable>,
    }
    Bootable { "boot" boot: Option<Boot>, }

    Disk {
        "@type" kind: Text,
        "@device" device: Text,
        "driver" driver: Option<DiskDriver>,
        "source" source: Option<Source>,
        "target" target: Option<Target>,
        "serial" serial: Text,
        "readonly" readonly: Option<Flag>,
        "shareable" shareable: Option<Flag>,
        "boot" boot: Option<Boot>,
        "address" address: Option<Address>,
    }
    DiskDriver { "@type" kind: Text, }
    // Disks and interfaces use one element name for all their sources.
    Source {
        "@file" file: Text,
        "@dev" dev: Text,
        "@dir" dir: Text,
        "@protocol" protocol: Text,
        "@name" name: Text,
        "@pool" pool: Text,
        "@volume" volume: Text,
        "@mode" mode: Text,
        "@type" kind: Text,
        "@path" path: Text,
        "@namespace" namespace: Text,
        "@network" network: Text,
        "@bridge" bridge: Text,
        "@portgroup" portgroup: Text,
        "@address" address_text: Text,
        "@port" port: Text,
        "host" hosts: Vec<SourceHost>,
        "address" address: Option<Address>,
    }
    SourceHost { "@name" name: Text, "@port" port: Text, "@socket" socket: Text, }
    Target { "@dev" dev: Text, "@bus" bus: Text, "@name" name: Text, "@type" kind: Text, "@state" state: Text, }
    Address {
        "@type" kind: Text,
        "@domain" domain: Text,
        "@bus" bus: Text,
        "@slot" slot: Text,
        "@function" function: Text,
        "@controller" controller: Text,
        "@target" target: Text,
        "@unit" unit: Text,
        "@port" port: Text,
        "@cssid" cssid: Text,
        "@ssid" ssid: Text,
        "@devno" devno: Text,
        "@reg" reg: Text,
    }

    Interface {
        "@type" kind: Text,
        "mac" mac: Option<MacAddress>,
        "source" source: Option<Source>,
        "vlan" vlan: Option<Vlan>,
        "virtualport" virtualport: Option<VirtualPort>,
        "model" model: Option<Kind>,
        "mtu" mtu: Option<Mtu>,
        "target" target: Option<Target>,
        "link" link: Option<State>,
        "boot" boot: Option<Boot>,
        "address" address: Option<Address>,
    }
    Vlan { "@trunk" trunk: Text, "tag" tags: Vec<VlanTag>, }
    VlanTag { "@id" id: Text, "@nativeMode" native_mode: Text, }
    VirtualPort { "@type" kind: Text, "parameters" parameters: Option<PortParameters>, }
    PortParameters { "@interfaceid" interface_id: Text, "@profileid" profile_id: Text, }

    Channel { "@type" kind: Text, "target" target: Option<Target>, }
    Graphics {
        "@type" kind: Text,
        "@port" port: Text,
        "@autoport" autoport: Text,
        "@listen" listen: Text,
        "listen" listens: Vec<Listen>,
    }
    Listen { "@type" kind: Text, "@address" address: Text, "@socket" socket: Text, }
    Character { "@type" kind: Text, "target" target: Option<CharacterTarget>, }
    CharacterTarget { "@type" kind: Text, "@port" port: Text, }

    Network {
        "name" name: Text,
        "uuid" uuid: Text,
        "forward" forward: Option<Forward>,
        "bridge" bridge: Option<Name>,
        "mtu" mtu: Option<Mtu>,
        "domain" domain: Option<Name>,
        "dns" dns: Option<Dns>,
        "ip" ips: Vec<Ip>,
        "portgroup" portgroups: Vec<Portgroup>,
        "vlan" vlan: Option<Vlan>,
        "virtualport" virtualport: Option<VirtualPort>,
    }
    Forward { "@mode" mode: Text, "@dev" dev: Text, }
    Dns { "@enable" enable: Text, "forwarder" forwarders: Vec<Forwarder>, }
    Forwarder { "@addr" address: Text, "@domain" domain: Text, }
    Ip {
        "@family" family: Text,
        "@address" address: Text,
        "@netmask" netmask: Text,
        "@prefix" prefix: Text,
        "dhcp" dhcp: Option<Dhcp>,
    }
    Dhcp { "range" ranges: Vec<DhcpRange>, "host" hosts: Vec<DhcpHost>, }
    DhcpRange { "@start" start: Text, "@end" end: Text, }
    DhcpHost { "@mac" mac: Text, "@id" id: Text, "@name" name: Text, "@ip" ip: Text, }
    Portgroup {
        "@name" name: Text,
        "@default" default: Text,
        "vlan" vlan: Option<Vlan>,
        "virtualport" virtualport: Option<VirtualPort>,
    }
}

fn from_parser(text: &str, fault: &serde_xml_rs::Error) -> XmlRefusal {
    let (place, reason) = if let serde_xml_rs::Error::Reader(fault) = fault {
        place_and_reason(&fault.to_string())
    } else {
        repeated_element(text, &fault.to_string())
    };
    XmlRefusal::Malformed { place, reason: super::quantity::shorten_to(&reason, 200) }
}

/// Splits the reader's `LINE:COLUMN reason`.
fn place_and_reason(message: &str) -> (Option<Place>, String) {
    let split = message.split_once(' ').and_then(|(place, reason)| {
        let (line, column) = place.split_once(':')?;
        Some((Place { line: line.parse().ok()?, column: column.parse().ok()? }, reason))
    });
    match split {
        Some((place, reason)) => (Some(place), reason.to_owned()),
        None => (None, message.to_owned()),
    }
}

/// Finds the element behind serde's "duplicate field", the one fault of shape the raw structs leave possible.
fn repeated_element(text: &str, message: &str) -> (Option<Place>, String) {
    let name = message.split_once("duplicate field `").and_then(|(_, rest)| rest.split_once('`')).map(|(name, _)| name);
    match name {
        Some(name) => (super::scan::locate_repeated(text, name), format!("<{name}> is given more than once")),
        // The parser's message may go on to print attributes, and an attribute may be a password.
        None => (None, message.split(" [attributes").next().unwrap_or_default().to_owned()),
    }
}

/// A value that is wrong, before its line is known.
#[derive(Debug)]
pub(crate) struct RawFault {
    /// The path of the element from the root.
    pub(crate) path: &'static [&'static str],
    /// Which of the elements of that path, from 0.
    pub(crate) nth: usize,
    /// One sentence.
    pub(crate) reason: String,
}

impl RawFault {
    pub(crate) fn new(path: &'static [&'static str], reason: impl fmt::Display) -> Self {
        Self::nth(path, 0, reason)
    }

    pub(crate) fn nth(path: &'static [&'static str], nth: usize, reason: impl fmt::Display) -> Self {
        Self { path, nth, reason: reason.to_string() }
    }

    /// Looks up the line; when the element itself is missing, its parent's.
    pub(crate) fn placed(self, text: &str) -> (Option<Place>, String, String) {
        let parent = self.path.split_last().map_or(self.path, |(_, parents)| parents);
        let place =
            super::scan::locate(text, self.path, self.nth).or_else(|| super::scan::locate(text, parent, self.nth));
        (place, self.path.join("/"), self.reason)
    }
}
