//! `<interface>`.

use std::collections::BTreeMap;

use super::boot::Orders;
use super::parts::device_parts;
use super::words;
use crate::discovery::address::DeviceAddress;
use crate::discovery::error::FieldFault;
use crate::discovery::nic::{Bandwidth, LinkState, Nic, NicSource, Rate, VirtualPort, Vlan};
use crate::discovery::settings::Settings;
use crate::discovery::xml::Element;
use crate::model::units::Mac;

/// Reads the `nth` interface, from 0.
pub(super) fn read(element: Element<'_>, nth: usize, orders: &mut Orders) -> Result<Nic, FieldFault> {
    let mut settings = Settings::new();
    let mac = match element.attribute_of("mac", "address") {
        Some(text) => Some(text.parse::<Mac>().map_err(|fault| element.fault(fault))?),
        None => None,
    };
    let boot_order = orders.read(element, || match mac {
        Some(mac) => format!("nic:{mac}"),
        None => format!("nic:{nth}"),
    })?;
    let filter = element.child("filterref");
    let nic = Nic {
        mac,
        source: read_source(element),
        vlan: element.child("vlan").map(Vlan::read).transpose()?.unwrap_or_default(),
        virtualport: element.child("virtualport").map(VirtualPort::read),
        model: element.child("model").and_then(|model| model.owned("type")),
        mtu: element.child("mtu").map(|mtu| mtu.number("size")).transpose()?.flatten(),
        queues: element.child("driver").and_then(|driver| driver.number_if_any("queues")),
        bandwidth: element.child("bandwidth").map(Bandwidth::read).transpose()?,
        filter: filter.and_then(|filter| filter.owned("filter")),
        target: element.child("target").and_then(|target| target.owned("dev")),
        link: element.child("link").and_then(|link| link.owned("state")).map_or(LinkState::Up, LinkState::from),
        boot_order,
        address: device_parts(element, &mut settings),
        settings: Settings::new(),
        addresses: Vec::new(),
    };
    if let Some(filter) = filter {
        keep_parameters(filter, &mut settings);
    }
    words::INTERFACE.keep(element, "", &mut settings);
    Ok(Nic { settings, ..nic })
}

/// A filter's parameters under their own names; a list of values (several addresses) is numbered from the second on.
fn keep_parameters(filter: Element<'_>, settings: &mut Settings) {
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    for parameter in filter.children("parameter") {
        let name = parameter.attribute("name").unwrap_or_default();
        let number = met.entry(name).and_modify(|number| *number += 1).or_insert(1);
        let path = if *number == 1 { format!("filter.{name}") } else { format!("filter.{name}[{number}]") };
        settings.insert(path, parameter.owned("value").unwrap_or_default());
    }
}

fn read_source(element: Element<'_>) -> NicSource {
    let kind = element.attribute("type").unwrap_or_default();
    let source = element.child("source");
    let said = |name| source.and_then(|source: Element<'_>| source.owned(name));
    if let Some(source) = source {
        // Ids of the port and of the connection, made up at each start.
        source.ignore_attributes(&["portid", "connectionid"]);
    }
    match kind {
        "network" => match said("network") {
            Some(network) => NicSource::Network { network, portgroup: said("portgroup"), bridge: said("bridge") },
            None => NicSource::Unknown { raw: "network".to_owned() },
        },
        "bridge" => NicSource::Bridge { bridge: said("bridge") },
        "direct" => NicSource::Direct { device: said("dev"), mode: said("mode") },
        "user" => NicSource::User,
        "ethernet" => NicSource::Ethernet,
        "hostdev" => NicSource::Hostdev {
            address: source.and_then(|source| source.child("address")).and_then(DeviceAddress::read),
        },
        "vhostuser" => NicSource::VhostUser { path: said("path"), mode: said("mode") },
        "vdpa" => NicSource::Vdpa { device: said("dev") },
        "internal" => NicSource::Internal { name: said("name") },
        transport @ ("client" | "server" | "mcast" | "udp") => {
            NicSource::Socket { transport: transport.to_owned(), address: said("address"), port: said("port") }
        }
        other => NicSource::Unknown { raw: other.to_owned() },
    }
}

impl Bandwidth {
    /// Reads `<bandwidth>`.
    pub(in crate::discovery) fn read(element: Element<'_>) -> Result<Self, FieldFault> {
        // libvirt hands the class out when the interface is plugged in.
        element.ignore_attributes(&["classID"]);
        Ok(Self {
            inbound: element.child("inbound").map(Rate::read).transpose()?,
            outbound: element.child("outbound").map(Rate::read).transpose()?,
        })
    }
}

impl Rate {
    fn read(element: Element<'_>) -> Result<Self, FieldFault> {
        Ok(Self {
            average: element.number("average")?,
            peak: element.number("peak")?,
            burst: element.number("burst")?,
            floor: element.number("floor")?,
        })
    }
}
