//! What became of each field of the inventory in a NoCloud seed.
//!
//! Assumes the same inventory and binding that were rendered. Guarantees a rule for every section of the inventory.

use super::guest::{AutoIpv6, Guest, Plan, auto_ipv6, plan};
use super::report::Report;
use crate::discovery::{Inventory, LinkState, Nic, Trunk};

/// A seed configures a guest; the machine it runs in stays as libvirt has it.
const MACHINE: &str = "the seed configures the guest, and the machine stays as libvirt has it";
const HOST: &str = "it is the host's side of the interface, which the guest cannot see";

/// Writes the rules.
pub(super) fn map(report: &mut Report<'_>, inventory: &Inventory, guest: &Guest) {
    report.exact("identity.uuid", "meta-data: instance-id");
    match guest.hostname {
        Some(_) => report.not_carried("identity.name", "the binding gives the host name"),
        None => report.approximate(
            "identity.name",
            "meta-data: local-hostname",
            "made into a host name: letters, digits and dashes, 63 at most",
        ),
    }
    report.not_carried("identity.title", "cloud-init knows no such text");
    report.not_carried("identity.description", "cloud-init knows no such text");
    for (nth, nic) in inventory.domain.nics.iter().enumerate() {
        map_nic(report, nth, nic, inventory, guest);
    }
    for part in ["source", "virtualport", "target", "bandwidth", "filter"] {
        report.not_carried(&format!("nics[*].{part}"), HOST);
    }
    report.not_carried("nics", MACHINE);
    map_networks(report, inventory, guest);
    report
        .not_carried("clock", "it is the hardware's clock; which time zone the guest shows is the guest's own matter");
    report.not_carried("definition", "the seed is made from what runs now");
    report.machine_not_carried(MACHINE);
    for part in [
        "identity",
        "guest_os",
        "platform",
        "cpu",
        "memory",
        "firmware",
        "boot",
        "direct_boot",
        "disks",
        "hostdevs",
        "filesystems",
        "tpm",
        "launch_security",
        "security_labels",
        "passthrough_arguments",
        "metadata",
        "pools",
        "host",
    ] {
        report.not_carried(part, MACHINE);
    }
}

fn map_nic(report: &mut Report<'_>, nth: usize, nic: &Nic, inventory: &Inventory, guest: &Guest) {
    let key = nic.mac.map_or_else(|| nth.to_string(), |mac| mac.to_string());
    let field = |name: &str| format!("nics[{key}].{name}");
    let plan = plan(nic, inventory, guest);
    if plan == Plan::Unmatched {
        report.refused(
            &format!("nics[{key}]"),
            "without a MAC the guest cannot tell the interface apart, so that it is left out",
        );
        return;
    }
    report.exact(&field("mac"), "network-config: match.macaddress");
    if nic.vlan.trunk == Trunk::Yes {
        let told = nic.mac.and_then(|mac| guest.nics.get(&mac)).is_some_and(|bound| !bound.vlans.is_empty());
        if told {
            let rule = "those tags that the binding gives a use";
            report.approximate(&field("vlan"), "network-config: vlans", rule);
        } else {
            let why = "a trunk hands tagged frames to the guest, and what it makes of them is not known here";
            report.refused(&field("vlan"), why);
        }
    }
    report.not_carried(&field("vlan"), "the host's port adds and removes the tag");
    report.exact(&field("mtu"), "network-config: mtu");
    if nic.link == LinkState::Down {
        let rule = "nobody waits at boot for an interface whose cable is not plugged";
        report.approximate(&field("link"), "network-config: optional", rule);
    }
    match plan {
        Plan::Unmatched => {}
        Plan::Bound(_) => report.not_carried(&field("addresses"), "the binding gives the addresses"),
        Plan::Reserved(_) if nic.addresses.iter().all(|address| address.ip.is_ipv4()) => {
            report.exact(&field("addresses"), "network-config: addresses");
        }
        Plan::Reserved(_) => report.approximate(
            &field("addresses"),
            "network-config: addresses, accept-ra, dhcp6",
            "the address that the network reserves is fixed, others come as its network serves them",
        ),
        Plan::Dhcp => report.approximate(
            &field("addresses"),
            "network-config: dhcp4, dhcp6",
            "no address is surely the interface's own (leases and agents tell only of now), so the guest asks DHCP",
        ),
    }
}

/// What the guest is told of its networks, which depends on how its interfaces on them get their addresses.
fn map_networks(report: &mut Report<'_>, inventory: &Inventory, guest: &Guest) {
    for (name, network) in &inventory.networks {
        let field = |part: &str| format!("networks[{name}].{part}");
        let ours = |nic: &&Nic| nic.mac.is_some() && nic.source.network() == Some(name.as_str());
        let nics: Vec<&Nic> = inventory.domain.nics.iter().filter(ours).collect();
        let fixed = nics.iter().any(|nic| matches!(plan(nic, inventory, guest), Plan::Reserved(_)));
        let asks = "the guest asks the network's own DHCP, which tells it";
        if fixed && network.routes_guests() {
            let rule = "a network that routes gives its address as gateway, to the first interface with one";
            report.approximate(&field("forward"), "network-config: routes", rule);
        }
        if nics.iter().any(|nic| nic.mtu.is_none()) {
            report.exact(&field("mtu"), "network-config: mtu");
        }
        if fixed && guest.search.is_empty() {
            report.exact(&field("domain"), "network-config: nameservers.search");
        }
        if fixed && guest.dns.is_empty() {
            let rule = "libvirt's own server at the subnet's address, for interfaces with fixed addresses";
            report.approximate(&field("dns"), "network-config: nameservers.addresses", rule);
        }
        for part in ["forward", "domain", "dns"] {
            report.not_carried(&field(part), if fixed { "the binding gives another" } else { asks });
        }
        report.not_carried(&field("forwarders"), "the guest asks libvirt's own server, which asks them");
        let to = "network-config: addresses, dhcp4, dhcp6, accept-ra";
        report.approximate(&field("subnets"), to, subnets_rule(&nics, inventory));
    }
    report.not_carried("networks[*].routes", "they are the host's way into the network, which its guests do not take");
    report.not_carried("networks", HOST);
}

/// What of a network's subnets the guest is told.
fn subnets_rule(nics: &[&Nic], inventory: &Inventory) -> &'static str {
    let auto = |wanted: AutoIpv6| nics.iter().any(|nic| auto_ipv6(nic, inventory) == wanted);
    if auto(AutoIpv6::Dhcp) {
        "only what the network reserves for the VM's own MACs; for IPv6 the guest asks the network's DHCP"
    } else if auto(AutoIpv6::Advertised) {
        "only what the network reserves for the VM's own MACs; for IPv6 the guest takes what the network advertises"
    } else {
        "only what the network reserves for the VM's own MACs"
    }
}
