//! Network XML, read.
//!
//! Assumes nothing about the text. Guarantees a whole network or one refusal with its line, and that what nobody reads
//! here is listed as unknown.

use core::net::IpAddr;

use super::{
    DhcpHost, DnsRecord, DnsService, DomainForwarder, ForwardDevice, ForwardMode, Nat, Network, Portgroup,
    PortgroupDefault, Route, Subnet,
};
use crate::discovery::address::DeviceAddress;
use crate::discovery::error::{Document, FieldFault, ParseError};
use crate::discovery::known::{Known, keep_children, known, text};
use crate::discovery::limits::Limits;
use crate::discovery::nic::{Bandwidth, VirtualPort, Vlan};
use crate::discovery::quantity::shorten;
use crate::discovery::settings::Settings;
use crate::discovery::xml::{self, Element};
use crate::model::units::Mac;

/// Namespace of options that go to libvirt's DHCP and DNS server as they are.
const DNSMASQ: &str = "http://libvirt.org/schemas/network/dnsmasq/1.0";

/// What is kept by name.
const NETWORK: Known = known(
    "network",
    &["ipv6", "trustGuestRxFilters"],
    &[
        text("title", &[]),
        text("description", &[]),
        known("forward", &["managed"], &[known("driver", &["name", "model"], &[])]),
        known("bridge", &["stp", "delay", "macTableManager", "zone"], &[]),
        known("mac", &["address"], &[]),
        known("domain", &["localOnly", "register"], &[]),
        known("dns", &["forwardPlainNames"], &[]),
        known("port", &["isolated"], &[]),
    ],
);
const LEASE: Known = known("lease", &["expiry", "unit"], &[]);
const SUBNET: &[Known] = &[
    known("tftp", &["root"], &[]),
    known(
        "dhcp",
        &[],
        &[
            known("bootp", &["file", "server"], &[]),
            known("range", &[], &[LEASE]).many(),
            known("host", &[], &[LEASE]).many(),
        ],
    ),
];

/// Reads a network XML.
///
/// *Errors*: `network-too-large`, `network-too-deep`, `network-unsupported`, `network-malformed`.
/// *Source*: <https://libvirt.org/formatnetwork.html>.
pub fn parse_network(xml: impl AsRef<[u8]>, limits: Limits) -> Result<Network, ParseError> {
    let read = xml::read(xml.as_ref(), Document::Network.root(), limits, read_network);
    let (network, unknown) = read.map_err(|fault| ParseError::new(Document::Network, fault))?;
    Ok(Network { unknown, ..network })
}

fn read_network(network: Element<'_>) -> Result<Network, FieldFault> {
    let name = network.text_of("name").ok_or_else(|| network.missing("name", "every network has a name"))?;
    let forward = network.child("forward");
    let dns = network.child("dns");
    let (forwarders, domain_forwarders) = read_forwarders(dns)?;
    let mut read = Network {
        name,
        uuid: network.uuid()?,
        // A bare `<forward/>` means NAT.
        forward: forward.map(|forward| ForwardMode::from(forward.attribute("mode").unwrap_or("nat").to_owned())),
        forward_devices: forward.map(read_devices).unwrap_or_default(),
        nat: forward.and_then(|forward| forward.child("nat")).map(read_nat).transpose()?,
        bridge: network.child("bridge").and_then(|bridge| bridge.owned("name")),
        mtu: network.child("mtu").map(|mtu| mtu.number("size")).transpose()?.flatten(),
        domain: network.child("domain").and_then(|domain| domain.owned("name")),
        dns: match dns.and_then(|dns| dns.attribute("enable")) {
            Some("no") => DnsService::Off,
            Some(_) | None => DnsService::On,
        },
        forwarders,
        domain_forwarders,
        records: read_records(dns)?,
        subnets: network.children("ip").map(read_subnet).collect::<Result<_, _>>()?,
        routes: network.children("route").map(read_route).collect::<Result<_, _>>()?,
        vlan: network.child("vlan").map(Vlan::read).transpose()?.unwrap_or_default(),
        virtualport: network.child("virtualport").map(VirtualPort::read),
        portgroups: network.children("portgroup").map(read_portgroup).collect::<Result<_, _>>()?,
        bandwidth: network.child("bandwidth").map(Bandwidth::read).transpose()?,
        metadata: network.child("metadata").map(read_metadata).unwrap_or_default(),
        settings: Settings::new(),
        unknown: Vec::new(),
    };
    // How many interfaces are on it now changes by itself.
    network.ignore_attributes(&["connections"]);
    NETWORK.keep(network, "", &mut read.settings);
    keep_dnsmasq(network, &mut read.settings);
    Ok(read)
}

fn read_devices(forward: Element<'_>) -> Vec<ForwardDevice> {
    let mut devices = Vec::new();
    for element in forward.elements() {
        let name = || element.owned("dev");
        let device = if element.is("interface") {
            name().map(|name| ForwardDevice::Interface { name })
        } else if element.is("pf") {
            name().map(|name| ForwardDevice::PhysicalFunction { name })
        } else if element.is("address") {
            DeviceAddress::read(element).map(|address| ForwardDevice::Address { address })
        } else {
            continue;
        };
        if let Some(device) = device {
            element.mark();
            element.ignore_attributes(&["connections"]);
            devices.push(device);
        }
    }
    // The short form of a single interface; libvirt writes both.
    if let Some(name) = forward.attribute("dev")
        && !devices.iter().any(|device| device.name() == Some(name))
    {
        devices.insert(0, ForwardDevice::Interface { name: name.to_owned() });
    }
    devices
}

fn read_nat(nat: Element<'_>) -> Result<Nat, FieldFault> {
    let ports = nat.child("port").map(|port| Ok(port.number("start")?.zip(port.number("end")?))).transpose()?;
    let addresses = nat.child("address").map(|range| Ok(read_ip(range, "start")?.zip(read_ip(range, "end")?)));
    Ok(Nat {
        addresses: addresses.transpose()?.flatten(),
        ports: ports.flatten(),
        ipv6: nat.attribute("ipv6").map(|word| word == "yes"),
    })
}

type Forwarders = (Vec<IpAddr>, Vec<DomainForwarder>);

fn read_forwarders(dns: Option<Element<'_>>) -> Result<Forwarders, FieldFault> {
    let (mut general, mut of_domains) = (Vec::new(), Vec::new());
    for forwarder in dns.iter().flat_map(|dns| dns.children("forwarder")) {
        let address = read_ip(forwarder, "addr")?;
        match forwarder.owned("domain") {
            // A forwarder for one domain only is no server to ask everything.
            Some(domain) => of_domains.push(DomainForwarder { domain, address }),
            None => general.extend(address),
        }
    }
    Ok((general, of_domains))
}

fn read_records(dns: Option<Element<'_>>) -> Result<Vec<DnsRecord>, FieldFault> {
    let mut records = Vec::new();
    for record in dns.iter().flat_map(Element::elements) {
        let needed = |name: &str| record.owned(name).ok_or_else(|| record.missing(name, "the record has none"));
        if record.is("host") {
            let ip = read_ip(record, "ip")?.ok_or_else(|| record.fault("the record has no address"))?;
            let names = record.children("hostname").filter_map(|name| name.text()).collect();
            records.push(DnsRecord::Host { ip, names });
        } else if record.is("txt") {
            records.push(DnsRecord::Txt { name: needed("name")?, value: record.owned("value").unwrap_or_default() });
        } else if record.is("srv") {
            records.push(DnsRecord::Srv {
                service: needed("service")?,
                protocol: needed("protocol")?,
                domain: record.owned("domain"),
                target: record.owned("target"),
                port: record.number("port")?,
                priority: record.number("priority")?,
                weight: record.number("weight")?,
            });
        } else {
            continue;
        }
        record.mark();
    }
    Ok(records)
}

fn read_portgroup(group: Element<'_>) -> Result<Portgroup, FieldFault> {
    const PORTGROUP: Known = known("portgroup", &["trustGuestRxFilters"], &[]);
    let mut settings = Settings::new();
    let read = Portgroup {
        name: group.owned("name").ok_or_else(|| group.fault("the portgroup has no name"))?,
        default: if group.says_yes("default") { PortgroupDefault::Yes } else { PortgroupDefault::No },
        vlan: group.child("vlan").map(Vlan::read).transpose()?.unwrap_or_default(),
        virtualport: group.child("virtualport").map(VirtualPort::read),
        bandwidth: group.child("bandwidth").map(Bandwidth::read).transpose()?,
        settings: Settings::new(),
    };
    PORTGROUP.keep(group, "", &mut settings);
    Ok(Portgroup { settings, ..read })
}

fn read_metadata(metadata: Element<'_>) -> Vec<String> {
    let mut namespaces: Vec<String> = Vec::new();
    for element in metadata.elements() {
        namespaces.extend(element.namespace().map(str::to_owned));
        // It is somebody else's, and may hold anything.
        element.ignore();
    }
    namespaces.sort();
    namespaces.dedup();
    namespaces
}

fn keep_dnsmasq(network: Element<'_>, settings: &mut Settings) {
    let ours = |element: &Element<'_>, name: &str| element.namespace() == Some(DNSMASQ) && element.name() == name;
    let options = network.elements().find(|element| ours(element, "options"));
    let Some(options) = options else { return };
    options.mark();
    for (nth, option) in options.elements().filter(|option| ours(option, "option")).enumerate() {
        option.mark();
        if let Some(value) = option.owned("value") {
            settings.insert(format!("dnsmasq.option[{}]", nth + 1), value);
        }
    }
}

/// An attribute that is an IP address, when it is there.
fn read_ip(element: Element<'_>, attribute: &str) -> Result<Option<IpAddr>, FieldFault> {
    let read =
        |text: &str| text.parse().map_err(|_| element.fault(format!("{:?} is not an IP address", shorten(text))));
    element.attribute(attribute).map(read).transpose()
}

fn read_route(route: Element<'_>) -> Result<Route, FieldFault> {
    let needed = |name: &str| read_ip(route, name)?.ok_or_else(|| route.missing(name, "the route has none"));
    let destination = needed("address")?;
    route.ignore_attributes(&["family"]);
    Ok(Route {
        destination,
        prefix: read_prefix(route, destination)?,
        gateway: needed("gateway")?,
        metric: route.number("metric")?,
    })
}

fn read_subnet(subnet: Element<'_>) -> Result<Subnet, FieldFault> {
    let host = read_ip(subnet, "address")?.ok_or_else(|| subnet.fault("the subnet has no address"))?;
    let prefix = read_prefix(subnet, host)?;
    let dhcp = subnet.child("dhcp");
    let mut ranges = Vec::new();
    for range in dhcp.iter().flat_map(|dhcp| dhcp.children("range")) {
        let ends = read_ip(range, "start")?.zip(read_ip(range, "end")?);
        ranges.push(ends.ok_or_else(|| range.fault("a DHCP range needs a start and an end"))?);
    }
    let mut hosts = Vec::new();
    for host in dhcp.iter().flat_map(|dhcp| dhcp.children("host")) {
        let mac = host.attribute("mac").map(|mac| mac.parse::<Mac>().map_err(|fault| host.fault(fault))).transpose()?;
        hosts.push(DhcpHost { mac, id: host.owned("id"), name: host.owned("name"), ip: read_ip(host, "ip")? });
    }
    let mut settings = Settings::new();
    // The address says its family.
    subnet.ignore_attributes(&["family"]);
    if let Some(word) = subnet.owned("localPtr") {
        settings.insert("localPtr".to_owned(), word);
    }
    keep_children(subnet, SUBNET, "", &mut settings);
    Ok(Subnet { host, prefix, ranges, hosts, settings })
}

fn read_prefix(element: Element<'_>, ip: IpAddr) -> Result<u8, FieldFault> {
    let prefix = match (element.attribute("prefix"), element.attribute("netmask")) {
        (Some(text), _) => text.trim().parse().ok().filter(|prefix| *prefix <= widest(ip)),
        (None, Some(mask)) => prefix_of_netmask(mask),
        (None, None) => Some(classful_prefix(ip)),
    };
    prefix.ok_or_else(|| element.fault("the prefix or netmask is not one"))
}

fn widest(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// The prefix of a dotted netmask; a mask with holes is none.
fn prefix_of_netmask(mask: &str) -> Option<u8> {
    let bits = u32::from(mask.parse::<core::net::Ipv4Addr>().ok()?);
    let ones = bits.leading_ones();
    (bits.count_ones() == ones).then(|| u8::try_from(ones).ok()).flatten()
}

/// The prefix libvirt falls back to: the address class for IPv4, 64 for IPv6.
fn classful_prefix(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(ip) => match ip.octets() {
            [0..=127, ..] => 8,
            [128..=191, ..] => 16,
            [192..=255, ..] => 24,
        },
        IpAddr::V6(_) => 64,
    }
}
