//! libvirt networks: what an interface on one of them can expect.
//!
//! Assumes nothing about the text, like `parse`. Guarantees a whole network or one refusal with its line.

mod read;
#[cfg(test)]
mod tests;

use core::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::address::DeviceAddress;
use super::foreign::foreign;
use super::inventory::UnknownPart;
use super::nic::{Bandwidth, VirtualPort, Vlan};
use super::settings::Settings;
use crate::model::units::Mac;

pub use self::read::parse_network;

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
    /// The host's devices it forwards through, or hands out one by one; in the order of the XML.
    pub forward_devices: Vec<ForwardDevice>,
    /// How addresses are translated, where libvirt does not choose by itself.
    pub nat: Option<Nat>,
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
    /// DNS servers that it asks only for names of one domain.
    pub domain_forwarders: Vec<DomainForwarder>,
    /// What libvirt's DNS answers by itself, in the order of the XML.
    pub records: Vec<DnsRecord>,
    /// Its addresses on the host, each with what its DHCP hands out.
    pub subnets: Vec<Subnet>,
    /// Routes of the host through a guest.
    pub routes: Vec<Route>,
    /// VLAN tags for every interface on it.
    pub vlan: Vlan,
    /// The switch port for every interface on it.
    pub virtualport: Option<VirtualPort>,
    /// Variants an interface may choose by name.
    pub portgroups: Vec<Portgroup>,
    /// Limits of the bridge's traffic as a whole; an interface's own come from its portgroup.
    pub bandwidth: Option<Bandwidth>,
    /// Namespaces of other managers inside `<metadata>`.
    pub metadata: Vec<String>,
    /// Everything else (`bridge.stp`, `bridge.zone`, `domain.localOnly`, `port.isolated`, …), by path.
    pub settings: Settings,
    /// What its XML says and this version does not know.
    pub unknown: Vec<UnknownPart>,
}

/// One device of the host under a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ForwardDevice {
    /// A link; of several in a macvtap network, each guest gets one.
    Interface { name: String },
    /// A physical function, whose virtual functions the guests get.
    PhysicalFunction { name: String },
    /// A virtual function.
    Address { address: DeviceAddress },
}

impl ForwardDevice {
    /// The link's name, for one that is named.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Interface { name } | Self::PhysicalFunction { name } => Some(name),
            Self::Address { .. } => None,
        }
    }
}

/// What guests' addresses are translated to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nat {
    /// First and last address.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// First and last port.
    pub ports: Option<(u16, u16)>,
    /// Whether IPv6 is translated too.
    pub ipv6: Option<bool>,
}

/// A DNS server for one domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainForwarder {
    /// The domain.
    pub domain: String,
    /// The server; none when the host's own are to be asked.
    pub address: Option<IpAddr>,
}

/// A record of libvirt's DNS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum DnsRecord {
    /// Names of an address.
    Host { ip: IpAddr, names: Vec<String> },
    /// Where a service is.
    Srv {
        service: String,
        protocol: String,
        domain: Option<String>,
        target: Option<String>,
        port: Option<u16>,
        priority: Option<u16>,
        weight: Option<u16>,
    },
    /// A text.
    Txt { name: String, value: String },
}

/// A route of the host through a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The destination's network.
    pub destination: IpAddr,
    /// The length of its prefix.
    pub prefix: u8,
    /// The guest it goes through.
    pub gateway: IpAddr,
    /// The lower, the better.
    pub metric: Option<u32>,
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
    /// Everything else (`tftp.root`, `dhcp.bootp.file`, `dhcp.range[1].lease.expiry`, `localPtr`, …), by path.
    pub settings: Settings,
}

/// A fixed assignment of DHCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpHost {
    /// Whom by MAC.
    pub mac: Option<Mac>,
    /// Whom by DHCP's client id; for IPv6 its DUID.
    pub id: Option<String>,
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
    /// Limits of each interface's traffic.
    pub bandwidth: Option<Bandwidth>,
    /// Everything else (`trustGuestRxFilters`, …), by path.
    pub settings: Settings,
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
