//! The rules of interfaces and networks.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Causes, has, is_pci_address, items, text};
use crate::model::units::Mac;

/// The address that KubeVirt gives its own bridge in the pod.
const RESERVED: &str = "02:00:00:00:00:00";

pub(super) fn check(spec: &Value, causes: &mut Causes) {
    let networks = items(spec, "/networks");
    let interfaces = items(spec, "/domain/devices/interfaces");
    let mut names = BTreeSet::new();
    for (nth, network) in networks.iter().enumerate() {
        let field = format!("networks[{nth}]");
        let name = text(network, "/name").unwrap_or_default();
        causes.want(names.insert(name), field.clone(), "two networks have different names");
        let used = interfaces.iter().any(|interface| text(interface, "/name") == Some(name));
        causes.want(used, field.clone(), "every network has an interface of its name");
        let one = has(network, "/pod") != has(network, "/multus");
        causes.want(one, field.clone(), "a network is the pod's or Multus's");
        let named =
            !has(network, "/multus") || text(network, "/multus/networkName").is_some_and(|name| !name.is_empty());
        causes.want(named, field, "a network of Multus is named");
    }
    let pods = networks.iter().filter(|network| has(network, "/pod")).count();
    causes.want(pods <= 1, "networks", "one interface is on the pod network at most");
    let mut seen = BTreeSet::new();
    for (nth, interface) in interfaces.iter().enumerate() {
        let at = |field: &str| format!("domain.devices.interfaces[{nth}].{field}");
        let name = text(interface, "/name").unwrap_or_default();
        let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        causes.want(!name.is_empty() && letters, at("name"), "an interface's name has letters, digits, - and _");
        causes.want(seen.insert(name), at("name"), "two interfaces have different names");
        causes.want(names.contains(name), at("name"), "every interface has a network of its name");
        let pod = networks.iter().any(|network| text(network, "/name") == Some(name) && has(network, "/pod"));
        check_interface(interface, pod, &at, causes);
    }
}

fn check_interface(interface: &Value, pod: bool, at: &impl Fn(&str) -> String, causes: &mut Causes) {
    let model = text(interface, "/model")
        .is_none_or(|model| matches!(model, "e1000" | "e1000e" | "ne2k_pci" | "pcnet" | "rtl8139" | "virtio"));
    causes.want(model, at("model"), "the model is virtio, e1000, e1000e, ne2k_pci, pcnet or rtl8139");
    let mac = text(interface, "/macAddress");
    causes.want(mac.is_none_or(|mac| mac.parse::<Mac>().is_ok()), at("macAddress"), "the MAC has six bytes");
    let place = text(interface, "/pciAddress").is_none_or(is_pci_address);
    causes.want(place, at("pciAddress"), "a PCI address is given in full");
    let state = text(interface, "/state");
    let known = state.is_none_or(|state| matches!(state, "up" | "down" | "absent"));
    causes.want(known, at("state"), "the state is up, down or absent");
    // The link of a virtual function is the card's business.
    let linked = has(interface, "/sriov") && matches!(state, Some("up" | "down"));
    causes.want(!linked, at("state"), "a virtual function has no link state");
    let bound = ["masquerade", "bridge", "sriov", "passtBinding"].iter().filter(|way| interface.get(way).is_some());
    let ways = bound.count() + usize::from(has(interface, "/binding"));
    causes.want(ways <= 1, at("binding"), "an interface is bound in one way");
    let masquerade = has(interface, "/masquerade");
    causes.want(!masquerade || pod, at("masquerade"), "only an interface on the pod network hides behind its address");
    causes.want(!masquerade || mac != Some(RESERVED), at("macAddress"), "the MAC is that of the pod's own bridge");
    // A cluster may allow it; this renderer never asks for it.
    causes.want(!(pod && has(interface, "/bridge")), at("bridge"), "the pod network is not bridged");
}
