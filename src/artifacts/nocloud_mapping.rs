//! What became of each field of the inventory in a NoCloud seed.
//!
//! Assumes the same inventory and binding that were rendered. Guarantees an entry for every field: the structs are
//! taken apart without `..`, so a field added to the inventory does not compile until its fate is written here.

use super::mapping::Mapping;
use super::nocloud::NoCloudBinding;
use super::nocloud_network::{Plan, plan};
use crate::discovery::{Disk, Domain, Firmware, Identity, Inventory, Memory, Network, Nic, Platform, Trunk, Writes};

/// A seed configures a guest; the machine it runs in stays as libvirt has it.
const MACHINE: &str = "the seed configures the guest, and the machine stays as libvirt has it";
const HOST: &str = "it is the host's side of the interface, which the guest cannot see";
const RUNTIME: &str = "it is a state of now, and the seed is a setting";

/// Writes the report.
pub(super) fn map(inventory: &Inventory, binding: &NoCloudBinding) -> Mapping {
    let mut report = Mapping::default();
    let Inventory { format, domain, networks, definition } = inventory;
    let _ = (format, definition);
    report.not_carried("format", "it says how to read the inventory, and nothing of the VM");
    map_domain(&mut report, domain, inventory, binding);
    for (name, network) in networks {
        map_network(&mut report, name, network);
    }
    report.not_carried("definition", "the seed is made from what runs now");
    report
}

fn map_domain(report: &mut Mapping, domain: &Domain, inventory: &Inventory, binding: &NoCloudBinding) {
    let Domain {
        identity,
        guest_os: _,
        platform,
        cpu: _,
        memory,
        firmware,
        boot: _,
        disks,
        nics,
        guest_agent: _,
        graphics: _,
        consoles: _,
        metadata_namespaces: _,
    } = domain;
    let Identity { uuid: _, name: _, title: _, description: _ } = identity;
    report.exact("identity.uuid", "meta-data: instance-id");
    match binding.hostname {
        Some(_) => report.not_carried("identity.name", "the binding gives the host name"),
        None => report.approximate(
            "identity.name",
            "meta-data: local-hostname",
            "lower case, other characters than letters and digits become hyphens, 63 at most; the guest is asked to keep the host name it has",
        ),
    }
    report.not_carried("identity.title", "the format has no place for it");
    report.not_carried("identity.description", "the format has no place for it");
    report.not_carried("guest_os", "cloud-init knows the system it runs on");
    let Platform { domain_type: _, os_type: _, arch: _, machine: _ } = platform;
    for field in ["domain_type", "os_type", "arch", "machine"] {
        report.not_carried(format!("platform.{field}"), MACHINE);
    }
    for field in ["vcpus_max", "vcpus", "mode", "model", "topology"] {
        report.not_carried(format!("cpu.{field}"), MACHINE);
    }
    let Memory { max_kib: _, current_kib: _ } = memory;
    report.not_carried("memory.max_kib", MACHINE);
    report.not_carried("memory.current_kib", MACHINE);
    let Firmware { kind: _, secure_boot: _, loader: _, nvram: _ } = firmware;
    for field in ["kind", "secure_boot", "loader"] {
        report.not_carried(format!("firmware.{field}"), MACHINE);
    }
    report.not_carried("firmware.nvram", "the variables' content stays on the host");
    report.not_carried("boot", MACHINE);
    for disk in disks {
        map_disk(report, disk);
    }
    for (nth, nic) in nics.iter().enumerate() {
        map_nic(report, nth, nic, &plan(nic, inventory, binding));
    }
    report.not_carried("guest_agent", RUNTIME);
    report.not_carried("graphics", MACHINE);
    report.not_carried("consoles", MACHINE);
    report.not_carried("metadata_namespaces", "another manager's metadata is not this provider's to carry");
}

fn map_disk(report: &mut Mapping, disk: &Disk) {
    let Disk { target, bus: _, device: _, source: _, format: _, serial: _, writes, boot_order: _, address: _, size: _ } =
        disk;
    for field in ["target", "bus", "device", "source", "format", "serial"] {
        report.not_carried(format!("disks[{target}].{field}"), MACHINE);
    }
    match writes {
        Writes::Exclusive | Writes::Shared | Writes::ReadOnly | Writes::ReadOnlyShared => {
            report.not_carried(format!("disks[{target}].writes"), MACHINE);
        }
    }
    for field in ["boot_order", "address", "size"] {
        report.not_carried(format!("disks[{target}].{field}"), MACHINE);
    }
}

fn map_nic(report: &mut Mapping, nth: usize, nic: &Nic, plan: &Plan) {
    let Nic {
        mac,
        source: _,
        vlan,
        virtualport: _,
        model: _,
        mtu,
        target: _,
        link: _,
        boot_order: _,
        address: _,
        addresses: _,
    } = nic;
    let key = mac.map_or_else(|| nth.to_string(), |mac| mac.to_string());
    let field = |name: &str| format!("nics[{key}].{name}");
    match mac {
        Some(_) => report.exact(field("mac"), "network-config: match.macaddress"),
        None => report.refused(field("mac"), "without a MAC the guest cannot tell the interface apart"),
    }
    report.not_carried(field("source"), HOST);
    match vlan.trunk {
        Trunk::No => report.not_carried(field("vlan"), "the host's port adds and removes the tag"),
        Trunk::Yes => report.refused(
            field("vlan"),
            "a trunk hands tagged frames to the guest, and what it makes of them is not known here",
        ),
    }
    report.not_carried(field("virtualport"), HOST);
    report.not_carried(field("model"), MACHINE);
    match mtu {
        Some(_) => report.exact(field("mtu"), "network-config: mtu"),
        None => report.not_carried(field("mtu"), "the interface has none of its own"),
    }
    report.not_carried(field("target"), HOST);
    report.not_carried(field("link"), MACHINE);
    report.not_carried(field("boot_order"), MACHINE);
    report.not_carried(field("address"), MACHINE);
    let addresses = field("addresses");
    match plan {
        Plan::Unmatched => report.refused(addresses, "the interface has no MAC to match"),
        Plan::Bound(_) => report.not_carried(addresses, "the binding gives the addresses"),
        Plan::Reserved(_) => report.exact(addresses, "network-config: addresses"),
        Plan::Dhcp => report.approximate(
            addresses,
            "network-config: dhcp4",
            "no address is surely the interface's own (leases and agents tell only of now), so the guest asks DHCP",
        ),
    }
}

fn map_network(report: &mut Mapping, name: &str, network: &Network) {
    let Network {
        name: _,
        uuid: _,
        forward: _,
        bridge: _,
        mtu: _,
        domain: _,
        dns: _,
        forwarders: _,
        subnets: _,
        vlan: _,
        virtualport: _,
        portgroups: _,
    } = network;
    let field = |part: &str| format!("networks[{name}].{part}");
    report.not_carried(field("name"), HOST);
    report.not_carried(field("uuid"), HOST);
    report.approximate(
        field("forward"),
        "network-config: routes",
        "a network that routes gives its address as gateway, to the first interface with one",
    );
    report.not_carried(field("bridge"), HOST);
    report.exact(field("mtu"), "network-config: mtu");
    report.exact(field("domain"), "network-config: nameservers.search");
    report.approximate(
        field("dns"),
        "network-config: nameservers.addresses",
        "libvirt's own server at the subnet's address, for interfaces with fixed addresses",
    );
    report.not_carried(field("forwarders"), "the guest asks libvirt's own server, which asks them");
    report.approximate(
        field("subnets"),
        "network-config: addresses, routes",
        "only what the network reserves for the VM's own MACs",
    );
    report.not_carried(field("vlan"), HOST);
    report.not_carried(field("virtualport"), HOST);
    report.not_carried(field("portgroups"), HOST);
}
