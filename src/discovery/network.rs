//! libvirt networks: what an interface on one of them can expect.
//!
//! Assumes nothing about the text, like `parse`. Guarantees a whole network or one refusal with its line.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::{FieldFault, ParseNetworkError};
use super::foreign::foreign;
use super::inventory::UnknownPart;
use super::nic::{VirtualPort, Vlan};
use super::quantity::shorten;
use super::raw;
use super::survey::{Limits, survey};
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
    let survey = survey(xml.as_ref(), "network", limits)?;
    let raw: raw::Network = raw::read(survey.text)?;
    read_network(raw).map_err(|fault| {
        let (place, field, reason) = fault.placed(survey.text);
        ParseNetworkError::Field { place, field, reason }
    })
}

fn read_network(raw: raw::Network) -> Result<Network, FieldFault> {
    let name = raw.name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| FieldFault::new(&["network", "name"], "every network has a name"))?;
    let uuid = match raw.uuid {
        Some(text) => {
            let fault = |_| FieldFault::new(&["network", "uuid"], format!("{:?} is not a UUID", shorten(&text)));
            Some(text.parse().map_err(fault)?)
        }
        None => None,
    };
    let mtu = match raw.mtu.and_then(|mtu| mtu.size) {
        Some(text) => {
            let fault = |_| FieldFault::new(&["network", "mtu"], "the size is not a number");
            Some(text.parse().map_err(fault)?)
        }
        None => None,
    };
    let mut subnets = Vec::with_capacity(raw.ips.len());
    for (nth, ip) in raw.ips.into_iter().enumerate() {
        subnets.push(read_subnet(ip).map_err(|reason| FieldFault::nth(&["network", "ip"], nth, reason))?);
    }
    let mut portgroups = Vec::with_capacity(raw.portgroups.len());
    for (nth, group) in raw.portgroups.into_iter().enumerate() {
        let fault = |reason| FieldFault::nth(&["network", "portgroup"], nth, reason);
        portgroups.push(read_portgroup(group).map_err(fault)?);
    }
    let vlan = raw.vlan.as_ref().map(Vlan::from_raw).transpose();
    let dns = raw.dns.unwrap_or_default();
    Ok(Network {
        name,
        uuid,
        // A bare `<forward/>` means NAT.
        forward: raw.forward.map(|forward| ForwardMode::from(forward.mode.unwrap_or_else(|| "nat".to_owned()))),
        bridge: raw.bridge.and_then(|bridge| bridge.name),
        mtu,
        domain: raw.domain.and_then(|domain| domain.name),
        dns: if dns.enable.as_deref() == Some("no") { DnsService::Off } else { DnsService::On },
        // A forwarder for one domain only is no server to ask everything.
        forwarders: dns
            .forwarders
            .into_iter()
            .filter(|forwarder| forwarder.domain.is_none())
            .filter_map(|forwarder| forwarder.address?.parse().ok())
            .collect(),
        subnets,
        vlan: vlan.map_err(|reason| FieldFault::new(&["network", "vlan"], reason))?.unwrap_or_default(),
        virtualport: raw.virtualport.map(VirtualPort::from_raw),
        portgroups,
        unknown: Vec::new(),
    })
}

fn read_portgroup(raw: raw::Portgroup) -> Result<Portgroup, String> {
    Ok(Portgroup {
        name: raw.name.ok_or("the portgroup has no name")?,
        default: if raw.default.as_deref() == Some("yes") { PortgroupDefault::Yes } else { PortgroupDefault::No },
        vlan: raw.vlan.as_ref().map(Vlan::from_raw).transpose()?.unwrap_or_default(),
        virtualport: raw.virtualport.map(VirtualPort::from_raw),
    })
}

fn read_ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{:?} is not an IP address", shorten(text)))
}

fn read_subnet(raw: raw::Ip) -> Result<Subnet, String> {
    let host = read_ip(raw.address.as_deref().ok_or("the subnet has no address")?)?;
    let prefix = match (raw.prefix, raw.netmask) {
        (Some(text), _) => text.parse().ok().filter(|prefix| *prefix <= widest(host)),
        (None, Some(mask)) => prefix_of_netmask(&mask),
        (None, None) => Some(classful_prefix(host)),
    };
    let raw::Dhcp { ranges: raw_ranges, hosts: raw_hosts } = raw.dhcp.unwrap_or_default();
    let mut ranges = Vec::with_capacity(raw_ranges.len());
    for range in raw_ranges {
        let (start, end) = range.start.zip(range.end).ok_or("a DHCP range needs a start and an end")?;
        ranges.push((read_ip(&start)?, read_ip(&end)?));
    }
    let mut hosts = Vec::with_capacity(raw_hosts.len());
    for host in raw_hosts {
        // IPv6 hosts are known by a DUID (`id`), which says nothing about an interface.
        let mac = host.mac.map(|mac| mac.parse::<Mac>().map_err(|fault| fault.to_string())).transpose()?;
        hosts.push(DhcpHost { mac, name: host.name, ip: host.ip.as_deref().map(read_ip).transpose()? });
    }
    let prefix = prefix.ok_or("the prefix or netmask is not one")?;
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
