//! Network interfaces.
//!
//! Assumes an inventory. Guarantees 32 interfaces at most, MACs in capitals as Proxmox writes them, and properties
//! within their ranges.

use super::binding::{Binding, is_bridge};
use super::conf::{Conf, Props};
use super::told::Told;
use crate::artifacts::guest::{mtu, network_of};
use crate::artifacts::report::Report;
use crate::discovery::{Inventory, LinkState, Nic, NicSource, Rate, Trunk, VirtualPort};
use crate::model::units::Mac;

/// Interfaces that Proxmox has at most.
const MOST: usize = 32;

/// What an interface is plugged into over there.
enum Plug {
    Bridge {
        name: String,
        bound: bool,
    },
    /// QEMU's own network behind the node's address.
    User,
    LeftOut(&'static str),
}

/// Writes the interfaces; returns the key of each by its MAC, for the boot order.
pub(super) fn nics(
    inventory: &Inventory,
    binding: &Binding,
    conf: &mut Conf,
    report: &mut Report<'_>,
) -> Vec<(Option<Mac>, String)> {
    let mut keys = Vec::new();
    for (nth, nic) in inventory.domain.nics.iter().enumerate() {
        let of = nic.mac.map_or_else(|| nth.to_string(), |mac| mac.to_string());
        let plug = if nth < MOST { plug(nic, inventory, binding) } else { Plug::LeftOut("Proxmox has 32 at most") };
        let bridge = match &plug {
            Plug::LeftOut(why) => {
                report.refused(&format!("nics[{of}]"), why);
                continue;
            }
            Plug::Bridge { name, .. } => Some(name.as_str()),
            Plug::User => None,
        };
        let key = format!("net{nth}");
        let mut told = Told::new(report, format!("nics[{of}]"), key.clone());
        match &plug {
            Plug::Bridge { bound: true, .. } => told.approximate("source", "the bridge that the binding names"),
            Plug::Bridge { .. } => told.approximate("source", "a bridge of that name has to be on the node"),
            Plug::User | Plug::LeftOut(_) => told.exact("source", "no bridge"),
        }
        let firewall = nic.mac.and_then(|mac| binding.nics.get(&mac)).is_some_and(|bound| bound.firewall);
        let line = interface(nic, bridge, firewall, inventory, &mut told);
        rest(nic, &mut told);
        conf.set(key.clone(), line);
        keys.push((nic.mac, key));
    }
    keys
}

fn plug(nic: &Nic, inventory: &Inventory, binding: &Binding) -> Plug {
    const UNKNOWN: &str = "which bridge it is on over there, only the operator knows: `nics` of the binding says it";
    const FUNCTION: &str =
        "a virtual function is handed over by a mapping: `nics` of the binding gives a bridge instead";
    let bound = nic.mac.and_then(|mac| binding.nics.get(&mac)).and_then(|bound| bound.bridge.as_ref());
    if let Some(bridge) = bound {
        return Plug::Bridge { name: bridge.as_str().to_owned(), bound: true };
    }
    let here = match &nic.source {
        NicSource::Network { bridge, .. } => {
            bridge.clone().or_else(|| network_of(nic, inventory).and_then(|network| network.bridge.clone()))
        }
        NicSource::Bridge { bridge } => bridge.clone(),
        NicSource::User => return Plug::User,
        NicSource::Hostdev { .. } => return Plug::LeftOut(FUNCTION),
        NicSource::Direct { .. }
        | NicSource::Ethernet
        | NicSource::VhostUser { .. }
        | NicSource::Vdpa { .. }
        | NicSource::Internal { .. }
        | NicSource::Socket { .. }
        | NicSource::Unknown { .. } => None,
    };
    let Some(here) = here else { return Plug::LeftOut(UNKNOWN) };
    match binding.bridges.get(&here) {
        Some(bridge) => Plug::Bridge { name: bridge.as_str().to_owned(), bound: true },
        None if is_bridge(&here) => Plug::Bridge { name: here, bound: false },
        None => Plug::LeftOut(UNKNOWN),
    }
}

fn interface(nic: &Nic, bridge: Option<&str>, firewall: bool, inventory: &Inventory, told: &mut Told<'_, '_>) -> Props {
    let model = model(nic, told);
    // A MAC of a group is none that an interface can have.
    let mac = nic.mac.filter(|mac| !is_group(*mac));
    match mac {
        Some(_) => told.exact("mac", "the model's value"),
        None => told.refused("mac", "Proxmox takes no MAC of a group, and makes one up"),
    }
    let mut line = match mac {
        Some(mac) => Props::new(format!("{model}={}", mac.to_string().to_ascii_uppercase())),
        None => Props::new(model),
    };
    line.add("bridge", bridge);
    line.add("firewall", firewall.then_some(1));
    line.add("link_down", (nic.link == LinkState::Down).then_some(1));
    told.exact("link", "link_down");
    let mtu = mtu(nic, inventory).filter(|mtu| model == "virtio" && (1..=65_520).contains(mtu) && bridge.is_some());
    match mtu {
        Some(_) => told.exact("mtu", "mtu"),
        None => told.refused("mtu", "Proxmox sets it for virtio on a bridge, up to 65520"),
    }
    line.add("mtu", mtu);
    let queues = nic.queues.filter(|queues| (2..=64).contains(queues) && model == "virtio");
    match (queues, nic.queues) {
        (None, Some(queues)) if queues > 1 => told.refused("queues", "Proxmox has up to 64 on virtio, else one"),
        (Some(_) | None, _) => told.exact("queues", "queues"),
    }
    line.add("queues", queues);
    line.add("rate", rate(nic, told));
    vlan(nic, bridge.is_some(), &mut line, told);
    line
}

fn is_group(mac: Mac) -> bool {
    let text = mac.to_string();
    let first = text.split(':').next().and_then(|byte| u8::from_str_radix(byte, 16).ok());
    first.is_some_and(|byte| byte & 1 == 1)
}

fn model(nic: &Nic, told: &mut Told<'_, '_>) -> &'static str {
    let (word, same) = match nic.model.as_deref() {
        Some("virtio") => ("virtio", true),
        Some("virtio-transitional" | "virtio-non-transitional") => ("virtio", false),
        Some("e1000") => ("e1000", true),
        Some("e1000e") => ("e1000e", true),
        Some("rtl8139") => ("rtl8139", true),
        Some("ne2k_pci") => ("ne2k_pci", true),
        Some("ne2k_isa") => ("ne2k_isa", true),
        Some("pcnet") => ("pcnet", true),
        Some("vmxnet3") => ("vmxnet3", true),
        Some("i82551") => ("i82551", true),
        Some("i82557b") => ("i82557b", true),
        Some("i82559er") => ("i82559er", true),
        Some(_) => {
            told.refused("model", "Proxmox has no such card: the guest gets virtio, which it may have no driver for");
            return "virtio";
        }
        None => return "virtio",
    };
    if same {
        told.exact("model", "the model");
    } else {
        told.approximate("model", "Proxmox chooses the generation of virtio");
    }
    word
}

/// One rate for both directions, in MiB per second with up to three digits behind the point.
fn rate(nic: &Nic, told: &mut Told<'_, '_>) -> Option<String> {
    let bandwidth = nic.bandwidth.as_ref()?;
    let average = |rate: &Option<Rate>| rate.as_ref().and_then(|rate| rate.average).filter(|average| *average > 0);
    let both = [average(&bandwidth.inbound), average(&bandwidth.outbound)];
    let Some(slower) = both.iter().flatten().min().copied() else {
        told.not_carried("bandwidth", "nothing of it limits the average");
        return None;
    };
    let bare = |rate: &Option<Rate>| {
        rate.as_ref().is_some_and(|rate| rate.peak.is_none() && rate.burst.is_none() && rate.floor.is_none())
    };
    let thousandths = (slower.saturating_mul(1000)).div_ceil(1024).max(1);
    let plain = both == [Some(slower); 2] && bare(&bandwidth.inbound) && bare(&bandwidth.outbound);
    if plain && slower % 128 == 0 {
        told.exact("bandwidth", "rate");
    } else {
        told.approximate("bandwidth", "one rate for both directions, the lower one, without bursts");
    }
    Some(format!("{}.{:03}", thousandths / 1000, thousandths % 1000))
        .map(|text| text.trim_end_matches('0').trim_end_matches('.').to_owned())
}

fn vlan(nic: &Nic, bridged: bool, line: &mut Props, told: &mut Told<'_, '_>) {
    let vlan = &nic.vlan;
    if vlan.tags.is_empty() {
        told.not_carried("vlan", "it has no tag");
        return;
    }
    let valid = |tag: &u16| (1..=4094).contains(tag);
    if !bridged || !vlan.tags.iter().all(valid) {
        told.refused("vlan", "Proxmox has tags from 1 to 4094, on a bridge");
        return;
    }
    told.exact("vlan", "tag, trunks");
    match vlan.trunk {
        Trunk::No => line.add("tag", vlan.tags.first()),
        Trunk::Yes => {
            line.add("tag", vlan.native);
            let carried = vlan.tags.iter().filter(|tag| Some(**tag) != vlan.native);
            let carried: Vec<String> = carried.map(u16::to_string).collect();
            line.add("trunks", (!carried.is_empty()).then(|| carried.join(";")));
        }
    }
}

/// What became of the rest of an interface.
fn rest(nic: &Nic, told: &mut Told<'_, '_>) {
    told.exact("boot_order", "boot");
    let ovs = nic.virtualport.as_ref().and_then(|VirtualPort { kind, .. }| kind.as_deref()) == Some("openvswitch");
    if ovs {
        let rule =
            "a port of the bridge, which has to be one of Open vSwitch; without the id its controller knows it by";
        told.approximate("virtualport", rule);
    }
    told.refused("virtualport", "Proxmox plugs into bridges and Open vSwitch only");
    told.refused("filter", "its rules are libvirt's, and Proxmox's firewall has its own");
    told.not_carried("target", "it is the host's side of the interface");
    told.not_carried("addresses", "the guest has its addresses, or asks the network over there");
    told.not_carried("address", "Proxmox has fixed places for its interfaces");
    told.not_carried("settings", "Proxmox has no property for it");
}
