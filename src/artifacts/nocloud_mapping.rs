//! What became of each field of the inventory in a NoCloud seed.
//!
//! Assumes the same inventory and binding that were rendered. Guarantees a rule for every section of the inventory.

use super::guest::{Guest, Plan, plan};
use super::report::Report;
use crate::discovery::{Inventory, Trunk};

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
        let key = nic.mac.map_or_else(|| nth.to_string(), |mac| mac.to_string());
        let field = |name: &str| format!("nics[{key}].{name}");
        report.exact(&field("mac"), "network-config: match.macaddress");
        if nic.vlan.trunk == Trunk::Yes {
            let why = "a trunk hands tagged frames to the guest, and what it makes of them is not known here";
            report.refused(&field("vlan"), why);
        }
        report.not_carried(&field("vlan"), "the host's port adds and removes the tag");
        report.exact(&field("mtu"), "network-config: mtu");
        match plan(nic, inventory, guest) {
            Plan::Unmatched => report.refused(
                &format!("nics[{key}]"),
                "without a MAC the guest cannot tell the interface apart, so that it is left out",
            ),
            Plan::Bound(_) => report.not_carried(&field("addresses"), "the binding gives the addresses"),
            Plan::Reserved(_) => report.exact(&field("addresses"), "network-config: addresses"),
            Plan::Dhcp => report.approximate(
                &field("addresses"),
                "network-config: dhcp4",
                "no address is surely the interface's own (leases and agents tell only of now), so the guest asks DHCP",
            ),
        }
    }
    for part in ["source", "virtualport", "target", "bandwidth", "filter"] {
        report.not_carried(&format!("nics[*].{part}"), HOST);
    }
    report.not_carried("nics", MACHINE);
    map_networks(report);
    report.not_carried("definition", "the seed is made from what runs now");
    report.not_carried("unknown", "covirt does not know what it means");
    for machine in [
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
        "watchdogs",
        "rngs",
        "iommu",
        "launch_security",
        "guest_agent",
        "channels",
        "graphics",
        "videos",
        "consoles",
        "controllers",
        "devices",
        "features",
        "clock",
        "lifecycle",
        "smbios",
        "security_labels",
        "settings",
        "passthrough_arguments",
        "metadata",
        "pools",
        "host",
    ] {
        report.not_carried(machine, MACHINE);
    }
}

fn map_networks(report: &mut Report<'_>) {
    report.approximate(
        "networks[*].forward",
        "network-config: routes",
        "a network that routes gives its address as gateway, to the first interface with one",
    );
    report.exact("networks[*].mtu", "network-config: mtu");
    report.exact("networks[*].domain", "network-config: nameservers.search");
    report.approximate(
        "networks[*].dns",
        "network-config: nameservers.addresses",
        "libvirt's own server at the subnet's address, for interfaces with fixed addresses",
    );
    report.not_carried("networks[*].forwarders", "the guest asks libvirt's own server, which asks them");
    report.approximate(
        "networks[*].subnets",
        "network-config: addresses, routes",
        "only what the network reserves for the VM's own MACs",
    );
    report.not_carried("networks", HOST);
}
