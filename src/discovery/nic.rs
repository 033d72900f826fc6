//! Network interfaces: what the guest sees, what they are plugged into, and their addresses with their origin.
//!
//! Assumes nothing. Guarantees a source that says its kind, and no address here: the XML has none, so
//! addresses are added from networks, leases and the guest agent when the inventory is built.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::address::DeviceAddress;
use super::error::FieldFault;
use super::foreign::foreign;
use super::known::{Known, known};
use super::settings::Settings;
use super::xml::Element;
use crate::model::time::Wall;
use crate::model::units::Mac;

/// One network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Missing only in a file that libvirt has not seen yet: it makes one up when it defines the domain.
    pub mac: Option<Mac>,
    /// What it is plugged into.
    pub source: NicSource,
    /// VLAN tags that the host's port puts on its frames; the guest sees none of them.
    pub vlan: Vlan,
    /// The switch port, when the switch wants to know.
    pub virtualport: Option<VirtualPort>,
    /// What the guest sees: `virtio`, `e1000e`, …
    pub model: Option<String>,
    /// MTU, when it is set.
    pub mtu: Option<u32>,
    /// Queues, when there are several. *Units*: pairs of a receiving and a sending one.
    pub queues: Option<u32>,
    /// Limits of traffic towards the guest and from it, when set.
    pub bandwidth: Option<Bandwidth>,
    /// The network filter, when there is one.
    pub filter: Option<String>,
    /// The host's device.
    pub target: Option<String>,
    /// Whether the cable is plugged.
    pub link: LinkState,
    /// Its place in the boot order.
    pub boot_order: Option<u32>,
    /// Its place on the guest's buses.
    pub address: Option<DeviceAddress>,
    /// Everything else (`driver.name`, `rom.bar`, `port.isolated`, `filter.IP`, …), by path.
    pub settings: Settings,
    /// Addresses, with where each was learnt; sorted.
    pub addresses: Vec<NicAddress>,
}

/// What an interface is plugged into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum NicSource {
    /// A libvirt network; a running domain also says which bridge that is now.
    Network { network: String, portgroup: Option<String>, bridge: Option<String> },
    /// A bridge of the host.
    Bridge { bridge: Option<String> },
    /// A device of the host (macvtap).
    Direct { device: Option<String>, mode: Option<String> },
    /// The hypervisor's own user-mode network.
    User,
    /// A tap device that somebody else connects.
    Ethernet,
    /// A device of the host, given to the guest.
    Hostdev { address: Option<DeviceAddress> },
    /// A vhost-user switch behind a socket.
    VhostUser { path: Option<String>, mode: Option<String> },
    /// A vDPA device of the host.
    Vdpa { device: Option<String> },
    /// An internal network of the hypervisor.
    Internal { name: Option<String> },
    /// Frames over a socket: `client`, `server`, `mcast` or `udp`.
    Socket { transport: String, address: Option<String>, port: Option<String> },
    /// A kind this version does not know.
    Unknown { raw: String },
}

/// Limits of an interface's or a network's traffic, as seen from the guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// Towards the guest.
    pub inbound: Option<Rate>,
    /// From the guest.
    pub outbound: Option<Rate>,
}

/// The limit of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// *Units*: KiB per second.
    pub average: Option<u64>,
    /// *Units*: KiB per second.
    pub peak: Option<u64>,
    /// *Units*: KiB.
    pub burst: Option<u64>,
    /// What is guaranteed. *Units*: KiB per second.
    pub floor: Option<u64>,
}

/// VLAN tags of a port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vlan {
    /// Tag ids, in the order of the XML.
    pub tags: Vec<u16>,
    /// Whether the port carries several.
    pub trunk: Trunk,
    /// The tag of frames that come untagged, on a trunk that has one.
    pub native: Option<u16>,
}

/// Whether a port is a trunk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trunk {
    /// One tag at most; the guest sees untagged frames.
    #[default]
    No,
    /// Several; the guest sees tagged frames.
    Yes,
}

/// A switch port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualPort {
    /// `openvswitch`, `midonet`, `802.1Qbh`, …; none where a portgroup may decide.
    pub kind: Option<String>,
    /// The port's id in the switch's controller.
    pub interface_id: Option<String>,
    /// The port's profile in the switch's controller.
    pub profile_id: Option<String>,
    /// Other parameters (`managerid`, `typeid`, `instanceid`, …), by name.
    pub settings: Settings,
}

foreign! {
    /// Whether the cable is plugged.
    LinkState { Up = "up", Down = "down" }
}

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NicAddress {
    /// The address.
    pub ip: IpAddr,
    /// The length of its network's prefix, when the origin knows it.
    pub prefix: Option<u8>,
    /// Where it was learnt.
    pub origin: AddressOrigin,
    /// How sure it is.
    pub certainty: Certainty,
    /// When a lease ends unless it is renewed; none for what does not end by itself.
    pub expires: Option<Wall>,
}

/// Where an address was learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressOrigin {
    /// A host entry of the network's DHCP: this MAC always gets it.
    StaticHost,
    /// A DHCP lease that is valid now.
    Lease,
    /// The guest agent says the guest uses it now.
    Agent,
    /// The host's neighbour table has it for this MAC.
    Arp,
}

/// How sure an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// Written down for this MAC: it is the guest's to use, now and later.
    Assigned,
    /// The guest itself says so, as of now.
    Reported,
    /// Handed out and not yet expired; the guest may have another by now.
    Granted,
    /// Seen on the wire not long ago; it may be stale or forged.
    Seen,
}

impl AddressOrigin {
    /// How sure an address of this origin is.
    pub fn certainty(self) -> Certainty {
        match self {
            Self::StaticHost => Certainty::Assigned,
            Self::Agent => Certainty::Reported,
            Self::Lease => Certainty::Granted,
            Self::Arp => Certainty::Seen,
        }
    }
}

impl NicAddress {
    /// An address, as sure as its origin.
    pub fn new(ip: IpAddr, prefix: Option<u8>, origin: AddressOrigin) -> Self {
        Self { ip, prefix, origin, certainty: origin.certainty(), expires: None }
    }
}

impl NicSource {
    /// The name of the libvirt network, for an interface on one.
    pub fn network(&self) -> Option<&str> {
        match self {
            Self::Network { network, .. } => Some(network),
            Self::Bridge { .. }
            | Self::Direct { .. }
            | Self::User
            | Self::Ethernet
            | Self::Hostdev { .. }
            | Self::VhostUser { .. }
            | Self::Vdpa { .. }
            | Self::Internal { .. }
            | Self::Socket { .. }
            | Self::Unknown { .. } => None,
        }
    }
}

impl Vlan {
    /// Reads `<vlan>`.
    pub(super) fn read(vlan: Element<'_>) -> Result<Self, FieldFault> {
        let (mut tags, mut native) = (Vec::new(), None);
        for tag in vlan.children("tag") {
            let id = tag.attribute("id").and_then(|id| id.trim().parse().ok()).filter(|id| *id < 4096_u16);
            let id = id.ok_or_else(|| tag.fault("a vlan tag is not a number below 4096"))?;
            tags.push(id);
            if tag.peek("nativeMode").is_some() {
                native = Some(id);
            }
            // Its frames come without a tag and leave without one; a mode in which they leave with one stays unread.
            if tag.peek("nativeMode") == Some("untagged") {
                tag.attribute("nativeMode");
            }
        }
        let several = vlan.says_yes("trunk") || tags.len() > 1 || native.is_some();
        Ok(Self { tags, native, trunk: if several { Trunk::Yes } else { Trunk::No } })
    }
}

/// The parameters of a switch port; by name alone, as libvirt's documentation calls them.
const PARAMETERS: Known = known("parameters", &["managerid", "typeid", "typeidversion", "instanceid"], &[]);

impl VirtualPort {
    /// Takes over what is not said yet.
    pub(super) fn fill_from(&mut self, other: &Self) {
        let Self { kind, interface_id, profile_id, settings } = other;
        let fill = |mine: &mut Option<String>, theirs: &Option<String>| {
            if mine.is_none() {
                mine.clone_from(theirs);
            }
        };
        fill(&mut self.kind, kind);
        fill(&mut self.interface_id, interface_id);
        fill(&mut self.profile_id, profile_id);
        for (name, value) in settings {
            self.settings.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }

    /// Reads `<virtualport>`.
    pub(super) fn read(port: Element<'_>) -> Self {
        let parameters = port.child("parameters");
        let mut settings = Settings::new();
        let read = Self {
            kind: port.owned("type"),
            interface_id: parameters.and_then(|parameters| parameters.owned("interfaceid")),
            profile_id: parameters.and_then(|parameters| parameters.owned("profileid")),
            settings: Settings::new(),
        };
        if let Some(parameters) = parameters {
            PARAMETERS.keep(parameters, "", &mut settings);
        }
        Self { settings, ..read }
    }
}
