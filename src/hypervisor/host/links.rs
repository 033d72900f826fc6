//! Links, their addresses, and the neighbours seen on them, by the kernel's routing netlink.
//!
//! The client is made for tokio, so it gets a runtime of its own for the few milliseconds that three dumps take.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};

use crate::discovery::{Link, Neighbour};
use crate::model::Mac;

/// How long the kernel is given.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// How much of each table is read; a host has some links for each of its VMs.
const ENTRIES_MAX: usize = 65_536;

/// What the kernel's tables say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostLinks {
    /// Links by name.
    pub links: BTreeMap<String, Link>,
    /// Addresses that answered for a MAC not long ago.
    pub neighbours: Vec<Neighbour>,
}

/// Why the kernel's tables cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadLinksError {
    /// No socket, or no runtime to wait on it with.
    #[error("netlink cannot be used: {0}")]
    Socket(#[from] io::Error),
    /// The kernel refused, or its answer was not understood.
    #[error("netlink failed: {0}")]
    Netlink(#[from] rtnetlink::Error),
    /// No answer in time.
    #[error("netlink did not answer within {TIME_LIMIT:?}")]
    Timeout,
}

struct Dump {
    links: Vec<LinkMessage>,
    addresses: Vec<AddressMessage>,
    neighbours: Vec<NeighbourMessage>,
}

/// Reads the links of this process's network namespace. It blocks; it may not be called where futures are polled.
pub fn read_links() -> Result<HostLinks, ReadLinksError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let dump = runtime
        .block_on(async { tokio::time::timeout(TIME_LIMIT, dump()).await.unwrap_or(Err(ReadLinksError::Timeout)) })?;
    Ok(understood(&dump))
}

async fn dump() -> Result<Dump, ReadLinksError> {
    let (connection, handle, _unasked) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    Ok(Dump {
        links: handle.link().get().execute().take(ENTRIES_MAX).try_collect().await?,
        addresses: handle.address().get().execute().take(ENTRIES_MAX).try_collect().await?,
        neighbours: handle.neighbours().get().execute().take(ENTRIES_MAX).try_collect().await?,
    })
}

fn understood(dump: &Dump) -> HostLinks {
    let names: BTreeMap<u32, &str> =
        dump.links.iter().filter_map(|link| Some((link.header.index, name_of(link)?))).collect();
    let mut links: BTreeMap<String, Link> = BTreeMap::new();
    for message in &dump.links {
        if let Some(name) = name_of(message) {
            links.insert(name.to_owned(), link_of(message, &names));
        }
    }
    for message in &dump.addresses {
        let link = names.get(&message.header.index).and_then(|name| links.get_mut(*name));
        if let (Some(link), Some(ip)) = (link, own_address(&message.attributes)) {
            link.addresses.push((ip, message.header.prefix_len));
        }
    }
    for link in links.values_mut() {
        link.addresses.sort();
    }
    HostLinks { links, neighbours: dump.neighbours.iter().filter_map(neighbour_of).collect() }
}

fn name_of(message: &LinkMessage) -> Option<&str> {
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })
}

fn link_of(message: &LinkMessage, names: &BTreeMap<u32, &str>) -> Link {
    let name = |index: &u32| names.get(index).map(|name| (*name).to_owned());
    let mut link = Link {
        kind: None,
        mac: None,
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        master: None,
        lower: None,
        vlan: None,
        addresses: Vec::new(),
    };
    let mut elsewhere = false;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Address(bytes) => link.mac = mac_of(bytes),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Controller(index) => link.master = name(index),
            LinkAttribute::Link(index) => link.lower = name(index),
            LinkAttribute::LinkNetNsId(_) => elsewhere = true,
            LinkAttribute::LinkInfo(infos) => read_infos(&mut link, infos),
            _ => {}
        }
    }
    // The index of a link in another namespace means nothing here; the other end of a veth is no link that it stands on.
    if elsewhere || link.kind.as_deref() == Some("veth") {
        link.lower = None;
    }
    if message.header.link_layer_type == LinkLayerType::Loopback {
        link.kind = Some("loopback".to_owned());
    }
    link
}

fn read_infos(link: &mut Link, infos: &[LinkInfo]) {
    for info in infos {
        match info {
            LinkInfo::Kind(InfoKind::Other(kind)) => link.kind = Some(kind.clone()),
            LinkInfo::Kind(kind) => link.kind = Some(kind.to_string()),
            LinkInfo::Data(InfoData::Vlan(vlan)) => {
                link.vlan = vlan.iter().find_map(|info| match info {
                    InfoVlan::Id(id) => Some(*id),
                    _ => None,
                });
            }
            _ => {}
        }
    }
}

/// The host's own end; on a link between two hosts the other attribute is the far end's.
fn own_address(attributes: &[AddressAttribute]) -> Option<IpAddr> {
    let local = attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    });
    local.or_else(|| {
        attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        })
    })
}

fn neighbour_of(message: &NeighbourMessage) -> Option<Neighbour> {
    let answered = matches!(
        message.header.state,
        NeighbourState::Reachable
            | NeighbourState::Stale
            | NeighbourState::Delay
            | NeighbourState::Probe
            | NeighbourState::Permanent
    );
    let mac = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => mac_of(bytes),
        _ => None,
    });
    let ip = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some(IpAddr::V4(*ip)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => Some(IpAddr::V6(*ip)),
        _ => None,
    });
    answered.then_some(Neighbour { mac: mac?, ip: ip? })
}

fn mac_of(bytes: &[u8]) -> Option<Mac> {
    let [a, b, c, d, e, f] = bytes else { return None };
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `ip link add link eth0 name eth0.42 type vlan id 42` leads to, where the test's kernel may have no VLANs.
    #[test]
    fn a_vlan_says_its_tag_and_what_it_stands_on() {
        let link = |index: u32, attributes: Vec<LinkAttribute>| {
            let mut message = LinkMessage::default();
            message.header.index = index;
            message.attributes = attributes;
            message
        };
        let name = |name: &str| LinkAttribute::IfName(name.to_owned());
        let vlan = LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Vlan),
            LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(42)])),
        ]);
        let links = vec![
            link(1, vec![name("eth0"), LinkAttribute::Mtu(1500)]),
            link(2, vec![name("eth0.42"), LinkAttribute::Link(1), vlan.clone()]),
            link(3, vec![name("eth7.42"), LinkAttribute::Link(1), LinkAttribute::LinkNetNsId(0), vlan]),
        ];
        let read = understood(&Dump { links, addresses: Vec::new(), neighbours: Vec::new() });
        let told = |name: &str| {
            let link = &read.links[name];
            (link.kind.as_deref(), link.lower.as_deref(), link.vlan)
        };
        assert_eq!(told("eth0"), (None, None, None));
        assert_eq!(told("eth0.42"), (Some("vlan"), Some("eth0"), Some(42)));
        assert_eq!(told("eth7.42"), (Some("vlan"), None, Some(42)), "what is below it is in another namespace");
    }
}
