//! libvirt networks: what an interface on one of them can expect.
//!
//! Assumes nothing about the text, like `parse`. Guarantees a whole network or one refusal with its line.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::{FieldFault, ParseNetworkError};
use super::foreign::foreign;
use super::inventory::UnknownPart;
use super::limits::Limits;
use super::nic::{VirtualPort, Vlan};
use super::quantity::shorten;
use super::xml::{self, Element};
use crate::model::units::Mac;

foreign! {
    /// How a network reaches the world; a network without one is isolated.
    ForwardMode {
        Nat = "nat", Route = "route", Open = "open", Bridge = "bridge", Private = "private", Vepa = "vepa",
        Passthrough = "passthrough", Hostdev = "hostdev",
    }
}

/// One libvirt network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its name, unique on the host.
    pub name: String,
    /// Its UUID, once libvirt has defined it.
    pub uuid: Option<Uuid>,
    /// How it reaches the world.
    pub forward: Option<ForwardMode>,
    /// The bridge on the host.
    pub bridge: Option<String>,
    /// MTU, when it is set.
    pub mtu: Option<u32>,
    /// The DNS domain of its guests.
    pub domain: Option<String>,
    /// Whether libvirt answers DNS there.
    pub dns: DnsService,
    /// DNS servers that libvirt's own asks in turn.
    pub forwarders: Vec<IpAddr>,
    /// Its addresses on the host, each with what its DHCP hands out.
    pub subnets: Vec<Subnet>,
    /// VLAN tags for every interface on it.
    pub vlan: Vlan,
    /// The switch port for every interface on it.
    pub virtualport: Option<VirtualPort>,
    /// Variants an interface may choose by name.
    pub portgroups: Vec<Portgroup>,
    /// What its XML says and this version does not know.
    pub unknown: Vec<UnknownPart>,
}

/// Whether libvirt answers DNS on a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnsService {
    /// At the host's address of each subnet.
    On,
    /// Switched off.
    Off,
}

/// One address of the host on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The host's address; the guests' gateway where the network forwards.
    pub host: IpAddr,
    /// The length of the prefix.
    pub prefix: u8,
    /// Ranges handed out by DHCP: first and last address.
    pub ranges: Vec<(IpAddr, IpAddr)>,
    /// Fixed assignments.
    pub hosts: Vec<DhcpHost>,
}

/// A fixed assignment of DHCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpHost {
    /// Whom by MAC.
    pub mac: Option<Mac>,
    /// The host name it is given.
    pub name: Option<String>,
    /// The address it is given.
    pub ip: Option<IpAddr>,
}

/// A variant of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Portgroup {
    /// Its name.
    pub name: String,
    /// Whether an interface that names none gets it.
    pub default: PortgroupDefault,
    /// VLAN tags.
    pub vlan: Vlan,
    /// The switch port.
    pub virtualport: Option<VirtualPort>,
}

/// Whether an interface that names no portgroup gets this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortgroupDefault {
    Yes,
    No,
}

impl Network {
    /// Whether guests can leave through the host's address; a bridged network's gateway is not libvirt's to know.
    pub fn routes_guests(&self) -> bool {
        match self.forward {
            Some(ForwardMode::Nat | ForwardMode::Route | ForwardMode::Open) => true,
            Some(
                ForwardMode::Bridge
                | ForwardMode::Private
                | ForwardMode::Vepa
                | ForwardMode::Passthrough
                | ForwardMode::Hostdev
                | ForwardMode::Unknown(_),
            )
            | None => false,
        }
    }
}

/// Reads a network XML.
///
/// *Errors*: `network-too-large`, `network-too-deep`, `network-unsupported`, `network-malformed`.
/// *Source*: <https://libvirt.org/formatnetwork.html>.
pub fn parse_network(xml: impl AsRef<[u8]>, limits: Limits) -> Result<Network, ParseNetworkError> {
    let (network, unknown) = xml::read(xml.as_ref(), "network", limits, read_network)?;
    Ok(Network { unknown, ..network })
}

fn read_network(network: Element<'_>) -> Result<Network, FieldFault> {
    let name = network.text_of("name").ok_or_else(|| network.missing("name", "every network has a name"))?;
    let uuid = match network.child("uuid") {
        Some(element) => {
            let text = element.text().unwrap_or_default();
            Some(text.trim().parse().map_err(|_| element.fault(format!("{:?} is not a UUID", shorten(&text))))?)
        }
        None => None,
    };
    let dns = network.child("dns");
    let forwarders = dns.iter().flat_map(|dns| dns.children("forwarder"));
    Ok(Network {
        name,
        uuid,
        // A bare `<forward/>` means NAT.
        forward: network
            .child("forward")
            .map(|forward| ForwardMode::from(forward.attribute("mode").unwrap_or("nat").to_owned())),
        bridge: network.child("bridge").and_then(|bridge| bridge.owned("name")),
        mtu: network.child("mtu").map(|mtu| mtu.number("size")).transpose()?.flatten(),
        domain: network.child("domain").and_then(|domain| domain.owned("name")),
        dns: match dns.and_then(|dns| dns.attribute("enable")) {
            Some("no") => DnsService::Off,
            Some(_) | None => DnsService::On,
        },
        // A forwarder for one domain only is no server to ask everything.
        forwarders: forwarders
            .filter(|forwarder| forwarder.attribute("domain").is_none())
            .filter_map(|forwarder| forwarder.attribute("addr")?.parse().ok())
            .collect(),
        subnets: network.children("ip").map(read_subnet).collect::<Result<_, _>>()?,
        vlan: network.child("vlan").map(Vlan::read).transpose()?.unwrap_or_default(),
        virtualport: network.child("virtualport").map(VirtualPort::read),
        portgroups: network.children("portgroup").map(read_portgroup).collect::<Result<_, _>>()?,
        unknown: Vec::new(),
    })
}

fn read_portgroup(group: Element<'_>) -> Result<Portgroup, FieldFault> {
    Ok(Portgroup {
        name: group.owned("name").ok_or_else(|| group.fault("the portgroup has no name"))?,
        default: if group.says_yes("default") { PortgroupDefault::Yes } else { PortgroupDefault::No },
        vlan: group.child("vlan").map(Vlan::read).transpose()?.unwrap_or_default(),
        virtualport: group.child("virtualport").map(VirtualPort::read),
    })
}

fn read_ip(element: Element<'_>, text: &str) -> Result<IpAddr, FieldFault> {
    text.parse().map_err(|_| element.fault(format!("{:?} is not an IP address", shorten(text))))
}

fn read_subnet(subnet: Element<'_>) -> Result<Subnet, FieldFault> {
    let host = subnet.attribute("address").ok_or_else(|| subnet.fault("the subnet has no address"))?;
    let host = read_ip(subnet, host)?;
    let prefix = match (subnet.attribute("prefix"), subnet.attribute("netmask")) {
        (Some(text), _) => text.parse().ok().filter(|prefix| *prefix <= widest(host)),
        (None, Some(mask)) => prefix_of_netmask(mask),
        (None, None) => Some(classful_prefix(host)),
    };
    let dhcp = subnet.child("dhcp");
    let mut ranges = Vec::new();
    for range in dhcp.iter().flat_map(|dhcp| dhcp.children("range")) {
        let ends = range.attribute("start").zip(range.attribute("end"));
        let (start, end) = ends.ok_or_else(|| range.fault("a DHCP range needs a start and an end"))?;
        ranges.push((read_ip(range, start)?, read_ip(range, end)?));
    }
    let mut hosts = Vec::new();
    for host in dhcp.iter().flat_map(|dhcp| dhcp.children("host")) {
        // IPv6 hosts are known by a DUID (`id`), which says nothing about an interface.
        let mac = host.attribute("mac").map(|mac| mac.parse::<Mac>().map_err(|fault| host.fault(fault))).transpose()?;
        let ip = host.attribute("ip").map(|ip| read_ip(host, ip)).transpose()?;
        hosts.push(DhcpHost { mac, name: host.owned("name"), ip });
    }
    let prefix = prefix.ok_or_else(|| subnet.fault("the prefix or netmask is not one"))?;
    Ok(Subnet { host, prefix, ranges, hosts })
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
