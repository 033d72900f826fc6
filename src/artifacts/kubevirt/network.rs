//! Interfaces, the networks they are on, and what the report says of them.
//!
//! Assumes an inventory. Guarantees one interface on the pod network at most, a network for every interface, and that
//! an interface of which nobody can say what it is plugged into over there is left out and reported.
//! *Source*: <https://kubevirt.io/user-guide/network/interfaces_and_networks/>.

use serde_json::{Value, json};

use super::attachment::{Attachment, Attachments};
use super::binding::{Binding, Cni, NicBinding};
use super::drive::class_order;
use super::machine::{Machine, Protection};
use super::name::object;
use crate::artifacts::guest::{mtu, network_of};
use crate::artifacts::part::Part;
use crate::artifacts::report::Report;
use crate::discovery::{BootClass, ForwardMode, Inventory, LinkState, Nic, NicSource, Trunk};

/// Where a definition says how frames travel.
const DEFINITION: &str = "network-attachment-definition: spec.config";

/// What the interfaces become.
#[derive(Debug, Default)]
pub(super) struct Networking {
    pub(super) interfaces: Vec<Value>,
    pub(super) networks: Vec<Value>,
    /// Network attachment definitions, by file name.
    pub(super) attachments: Vec<(String, Value)>,
    /// Whether one of the interfaces had several queues.
    pub(super) queues: bool,
}

/// What an interface is plugged into over there.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Plug {
    /// The network of the pod, behind its address.
    Pod,
    /// A definition that is there.
    Known { network: String, cni: Cni },
    /// A definition that is written; `link` is the bridge or device on the nodes.
    New { cni: Cni, link: Option<String>, resource: Option<String> },
    /// Nobody knows.
    LeftOut(&'static str),
}

/// All interfaces.
pub(super) fn networking(
    inventory: &Inventory,
    binding: &Binding,
    machine: &Machine,
    protection: Option<Protection>,
    report: &mut Report<'_>,
) -> Networking {
    let mut networking = Networking::default();
    let mut attachments = Attachments::new(binding.namespace.as_str());
    let mut pod_taken = false;
    for (nth, nic) in inventory.domain.nics.iter().enumerate() {
        let key = nic.mac.map_or_else(|| nth.to_string(), |mac| mac.to_string());
        let bound = nic.mac.and_then(|mac| binding.nics.get(&mac)).cloned().unwrap_or_default();
        let plug = plug(nic, inventory, &bound, pod_taken);
        let name = format!("net{nth}");
        let (source, cni) = match &plug {
            Plug::LeftOut(why) => {
                report.refused(&format!("nics[{key}]"), why);
                continue;
            }
            Plug::Pod => {
                pod_taken = true;
                (json!({"pod": {}}), None)
            }
            Plug::Known { network, cni } => (json!({"multus": {"networkName": network}}), Some(*cni)),
            Plug::New { cni, link, resource } => {
                let name = attachments.add(&Attachment {
                    cni: *cni,
                    link: link.as_deref(),
                    resource: resource.as_deref(),
                    vlan: &nic.vlan,
                    mtu: mtu(nic, inventory),
                    name: bound.name.as_ref().map(|name| name.as_str()),
                    spoof_check: checks_source(nic),
                });
                (json!({"multus": {"networkName": format!("{}/{name}", binding.namespace.as_str())}}), Some(*cni))
            }
        };
        let mut network = object([("name", Some(json!(name)))]);
        if let (Value::Object(network), Value::Object(source)) = (&mut network, source) {
            network.extend(source);
        }
        networking.networks.push(network);
        networking.queues |= nic.queues.is_some_and(|queues| queues > 1);
        if let (Plug::New { .. }, Some(network)) = (&plug, nic.source.network()) {
            for field in ["bridge", "mtu", "vlan", "virtualport"] {
                let rule = "for the interfaces on it";
                report.approximate(&format!("networks[{network}].{field}"), DEFINITION, rule);
            }
        }
        let mut told = Part::new(report, format!("nics[{key}]"));
        let boot = boot_order(nth, nic, inventory, protection);
        networking.interfaces.push(interface(nic, &name, cni, boot, machine, &mut told));
        tell(nic, &plug, boot.is_some(), &mut told);
    }
    networking.attachments = attachments.files();
    networking
}

fn plug(nic: &Nic, inventory: &Inventory, bound: &NicBinding, pod_taken: bool) -> Plug {
    const NO_RESOURCE: &str = "KubeVirt wants the resource that the nodes offer: `nics` of the binding names it";
    const NO_BRIDGE: &str =
        "what it is plugged into over there, only the operator knows: `nics` of the binding says it";
    const ONE_POD: &str = "one interface can be on the pod network, and another one is";
    let guessed = guess(nic, inventory);
    let cni = bound.cni.or(guessed.cni);
    if let Some(network) = &bound.network {
        return Plug::Known { network: network.as_str().to_owned(), cni: cni.unwrap_or(Cni::Bridge) };
    }
    let said = bound.cni.is_some() || bound.bridge.is_some() || bound.resource.is_some() || bound.name.is_some();
    match (bound.pod, guessed.pod && !said) {
        (Some(true), _) if pod_taken => return Plug::LeftOut(ONE_POD),
        (Some(true), _) => return Plug::Pod,
        (None, true) if !pod_taken => return Plug::Pod,
        (None | Some(false), _) => {}
    }
    let link = bound.bridge.clone().or(guessed.link);
    let resource = bound.resource.as_ref().map(|resource| resource.as_str().to_owned());
    let cni = cni.or(bound.bridge.is_some().then_some(Cni::Bridge));
    match (cni, link, resource) {
        (Some(Cni::Sriov), link, Some(resource)) => Plug::New { cni: Cni::Sriov, link, resource: Some(resource) },
        (Some(Cni::Sriov), _, None) => Plug::LeftOut(NO_RESOURCE),
        (Some(Cni::Macvtap), None, None) => Plug::LeftOut(NO_RESOURCE),
        (Some(Cni::Bridge | Cni::Ovs) | None, None, _) | (None, Some(_), _) => Plug::LeftOut(NO_BRIDGE),
        (Some(cni @ (Cni::Bridge | Cni::Ovs | Cni::Macvtap)), link, resource) => Plug::New { cni, link, resource },
    }
}

/// What the inventory suggests.
#[derive(Debug, Default)]
struct Guess {
    cni: Option<Cni>,
    link: Option<String>,
    pod: bool,
}

fn guess(nic: &Nic, inventory: &Inventory) -> Guess {
    let ovs = |port: Option<&crate::discovery::VirtualPort>| {
        port.is_some_and(|port| port.kind.as_deref() == Some("openvswitch"))
    };
    match &nic.source {
        NicSource::Network { bridge, .. } => {
            let network = network_of(nic, inventory);
            let port = nic.virtualport.as_ref().or(network.and_then(|network| network.virtualport.as_ref()));
            let link = bridge.clone().or(network.and_then(|network| network.bridge.clone()));
            let pod = network.is_some_and(|network| network.routes_guests());
            let cni = match network.and_then(|network| network.forward.as_ref()) {
                Some(ForwardMode::Hostdev) => Cni::Sriov,
                Some(ForwardMode::Private | ForwardMode::Vepa | ForwardMode::Passthrough) => Cni::Macvtap,
                Some(
                    ForwardMode::Nat
                    | ForwardMode::Route
                    | ForwardMode::Open
                    | ForwardMode::Bridge
                    | ForwardMode::Unknown(_),
                )
                | None => {
                    if ovs(port) {
                        Cni::Ovs
                    } else {
                        Cni::Bridge
                    }
                }
            };
            Guess { cni: Some(cni), link, pod }
        }
        NicSource::Bridge { bridge } => {
            let cni = if ovs(nic.virtualport.as_ref()) { Cni::Ovs } else { Cni::Bridge };
            Guess { cni: Some(cni), link: bridge.clone(), pod: false }
        }
        NicSource::Direct { device, .. } => Guess { cni: Some(Cni::Macvtap), link: device.clone(), pod: false },
        NicSource::Hostdev { .. } => Guess { cni: Some(Cni::Sriov), link: None, pod: false },
        // Both hide the guest behind an address that is not its own.
        NicSource::User => Guess { pod: true, ..Guess::default() },
        NicSource::Ethernet
        | NicSource::VhostUser { .. }
        | NicSource::Vdpa { .. }
        | NicSource::Internal { .. }
        | NicSource::Socket { .. }
        | NicSource::Unknown { .. } => Guess::default(),
    }
}

/// Whether its filter keeps the guest from sending with another MAC.
fn checks_source(nic: &Nic) -> bool {
    let filter = nic.filter.as_deref();
    filter.is_some_and(|filter| matches!(filter, "clean-traffic" | "clean-traffic-gateway" | "no-mac-spoofing"))
}

/// Its own order, or that of the network class when it is the first; none beside launch security, which forbids it.
fn boot_order(nth: usize, nic: &Nic, inventory: &Inventory, protection: Option<Protection>) -> Option<u32> {
    match protection {
        Some(Protection::Sev { .. } | Protection::Snp | Protection::Tdx) => None,
        Some(Protection::SecureExecution) | None => {
            let class = if nth == 0 { class_order(inventory, &BootClass::Network) } else { None };
            nic.boot_order.or(class)
        }
    }
}

fn interface(
    nic: &Nic,
    name: &str,
    cni: Option<Cni>,
    boot: Option<u32>,
    machine: &Machine,
    told: &mut Part<'_, '_>,
) -> Value {
    let place = nic.address.as_ref().and_then(|address| address.pci()).filter(|_| machine.same);
    if place.is_some() {
        told.exact("address", "interfaces[].pciAddress");
    }
    let index = nic.settings.get("acpi.index").and_then(|index| index.parse::<u32>().ok());
    if index.is_some() {
        told.exact("settings.acpi.index", "interfaces[].acpiIndex");
    }
    let down = nic.link == LinkState::Down && cni != Some(Cni::Sriov);
    let on = |wanted: bool| wanted.then(|| json!({}));
    object([
        ("name", Some(json!(name))),
        ("model", model(nic, cni, told).map(|model| json!(model))),
        ("macAddress", nic.mac.map(|mac| json!(mac.to_string()))),
        ("bootOrder", boot.map(|order| json!(order))),
        ("pciAddress", place.map(|place| json!(place))),
        ("acpiIndex", index.map(|index| json!(index))),
        ("state", down.then(|| json!("down"))),
        ("masquerade", on(cni.is_none())),
        ("bridge", on(matches!(cni, Some(Cni::Bridge | Cni::Ovs)))),
        ("sriov", on(cni == Some(Cni::Sriov))),
        ("binding", (cni == Some(Cni::Macvtap)).then(|| json!({"name": "macvtap"}))),
    ])
}

fn model<'n>(nic: &'n Nic, cni: Option<Cni>, told: &mut Part<'_, '_>) -> Option<&'n str> {
    let model = nic.model.as_deref()?;
    if cni == Some(Cni::Sriov) {
        told.not_carried("model", "the guest sees the device itself");
        return None;
    }
    match model {
        "virtio" | "e1000" | "e1000e" | "ne2k_pci" | "pcnet" | "rtl8139" => {
            told.exact("model", "interfaces[].model");
            Some(model)
        }
        "virtio-transitional" | "virtio-non-transitional" => {
            told.approximate("model", "interfaces[].model", "KubeVirt chooses the generation of virtio");
            Some("virtio")
        }
        _ => {
            told.refused("model", "KubeVirt has no such card: the guest gets virtio, which it may have no driver for");
            Some("virtio")
        }
    }
}

/// What became of the rest of an interface.
fn tell(nic: &Nic, plug: &Plug, boots: bool, told: &mut Part<'_, '_>) {
    told.exact("mac", "interfaces[].macAddress");
    if boots {
        told.exact("boot_order", "interfaces[].bootOrder");
    }
    told.refused("boot_order", "KubeVirt boots no protected guest from the network");
    match (&nic.link, plug) {
        (LinkState::Down, Plug::Known { cni: Cni::Sriov, .. } | Plug::New { cni: Cni::Sriov, .. }) => {
            told.refused("link", "KubeVirt cannot unplug a virtual function");
        }
        (LinkState::Down | LinkState::Up | LinkState::Unknown(_), _) => told.exact("link", "interfaces[].state"),
    }
    if nic.queues.is_some_and(|queues| queues > 1) {
        let rule = "one queue for each processor, on every interface";
        told.approximate("queues", "devices.networkInterfaceMultiqueue", rule);
    }
    told.exact("queues", "one queue, which is what an interface has");
    let untagged = nic.vlan.tags.is_empty();
    match plug {
        Plug::LeftOut(_) => {}
        Plug::Pod => {
            let rule = "the pod network, behind the pod's address: the guest asks DHCP and gets another address";
            told.approximate("source", "networks[].pod", rule);
            if !untagged {
                told.refused("vlan", "the pod network has no VLANs");
            }
            told.not_carried("mtu", "the pod network has its own");
            told.not_carried("addresses", "the pod network gives its own");
        }
        Plug::Known { .. } => {
            told.approximate("source", "networks[].multus", "the network that the binding names");
            if !untagged {
                told.not_carried("vlan", "the network that is there decides");
            }
            told.not_carried("mtu", "the network that is there decides");
        }
        Plug::New { cni, .. } => {
            let rule = "a bridge or device of that name, or the resource, has to be on the nodes";
            told.approximate("source", DEFINITION, rule);
            match (cni, nic.vlan.trunk) {
                (Cni::Macvtap, _) if !untagged => told.refused("vlan", "macvtap tags no frames"),
                (Cni::Sriov, Trunk::Yes) => told.refused("vlan", "a virtual function has one tag at most over there"),
                (Cni::Ovs, Trunk::Yes) if nic.vlan.native.is_some() => {
                    told.approximate("vlan", DEFINITION, "the native tag is the port's own, the others its trunk");
                }
                (Cni::Bridge | Cni::Ovs | Cni::Sriov | Cni::Macvtap, _) => {}
            }
            if !untagged {
                told.exact("vlan", DEFINITION);
            }
            if *cni == Cni::Sriov {
                told.not_carried("mtu", "a virtual function has that of its card");
            }
            told.exact("mtu", DEFINITION);
            if *cni == Cni::Bridge && checks_source(nic) {
                let rule = "only frames with a foreign MAC are stopped (macspoofchk), not those with a foreign address";
                told.approximate("filter", DEFINITION, rule);
            }
            if *cni == Cni::Ovs {
                let rule = "a port of Open vSwitch, without the id its controller knows it by";
                told.approximate("virtualport", DEFINITION, rule);
            }
        }
    }
    told.not_carried("vlan", "it has no tag");
    told.refused("virtualport", "the switch over there knows no such port");
    told.not_carried("addresses", "the guest has its addresses, or asks the network over there");
    told.not_carried("bandwidth", "KubeVirt limits no interface");
    told.refused("filter", "nothing filters its frames over there");
    told.not_carried("target", "it is the host's side of the interface");
    told.not_carried("address", "KubeVirt chooses the place");
    told.not_carried("settings", "KubeVirt has no field for it");
}
