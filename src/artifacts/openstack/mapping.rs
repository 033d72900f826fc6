//! What became of each field of the inventory, beyond what the writers themselves said.
//!
//! Assumes that every file is written. Guarantees a rule for every section of the inventory, and `exact` only for what
//! is in a file.

use super::super::bundle::BundleFile;
use super::cinder::{boots_otherwise, is_volume, root_disk, writes_rule};
use super::config_drive::has_place;
use super::image_devices::nova_bus;
use super::mapping_interface::map_interface;
use super::metadata_xml::{ANY_VERSION, NAMESPACE};
use super::port::Interface;
use super::vm::Vm;
use crate::artifacts::report::Report;
use crate::discovery::{Disk, Inventory};

const HOST: &str = "it is the host's side, which the compute service sets up by itself";
pub(super) const MACHINE: &str = "Nova has no word for it: its libvirt driver decides by itself";

/// Whether a Nova keeps this domain already: its metadata is then that Nova's and not to be written over.
pub(super) fn another_nova(inventory: &Inventory) -> bool {
    inventory.domain.metadata.iter().any(|mark| mark.namespace.starts_with(ANY_VERSION))
}

/// Writes the rules.
pub(super) fn map(report: &mut Report<'_>, vm: &Vm<'_>, interfaces: &[Interface<'_>], files: &[BundleFile]) {
    map_identity(report, vm, files);
    map_boot(report, vm, files);
    for disk in &vm.inventory.domain.disks {
        map_disk(report, vm, disk, files);
    }
    for interface in interfaces {
        map_interface(report, vm, interface);
    }
    report.refused("nics", "without a MAC neither the guest nor Neutron can tell the interface apart");
    map_surroundings(report);
    map_machine(report);
}

fn map_identity(report: &mut Report<'_>, vm: &Vm<'_>, files: &[BundleFile]) {
    let identity = &vm.inventory.domain.identity;
    let server = files.iter().any(|file| file.path == "api/server-create.json");
    let rule = "Nova gives a server an id of its own: sending server-create.json makes a second VM on the same volumes, \
                and is for a VM that has ended here";
    report.approximate("identity.uuid", "meta_data.json: uuid; port-*.json: device_id", rule);
    if identity.name == vm.name {
        report.exact("identity.name", "meta_data.json: name; nova-instance.xml: name");
    } else {
        report.approximate(
            "identity.name",
            "meta_data.json: name; nova-instance.xml: name",
            "made printable, 255 at most",
        );
    }
    let short = |text: &Option<String>| text.as_ref().is_some_and(|text| text.chars().count() <= 255);
    if short(&identity.title) {
        report.exact("identity.title", "meta_data.json: meta.covirt:title");
    }
    report.not_carried("identity.title", "it is longer than Nova's metadata takes");
    if server {
        let rule = "on one line, 255 characters at most";
        report.approximate("identity.description", "server-create.json: description", rule);
    }
    report.not_carried("identity.description", "there is no server's body to carry it");
    report.not_carried("identity.genid", "Nova has no place for it, and a copy of it must not run twice");
    report.not_carried("identity.hwuuid", "Nova shows the guest the server's own id");
    report.not_carried("identity", MACHINE);
    report.not_carried("guest_os", "it is not of libosinfo's form");
}

fn map_boot(report: &mut Report<'_>, vm: &Vm<'_>, files: &[BundleFile]) {
    let domain = &vm.inventory.domain;
    let to = "server-create.json: block_device_mapping_v2.boot_index";
    if !files.iter().any(|file| file.path == "api/server-create.json") {
        report.refused("boot", "there is no disk to boot from, and Nova starts nothing without one or an image");
    } else if boots_otherwise(domain) {
        report.approximate("boot", to, "Nova boots from volumes only: networks, drives and devices are left out of it");
    } else {
        report.exact("boot", to);
    }
    report
        .refused("direct_boot", "Nova starts a kernel of its own choice only from Glance's kernel and ramdisk images");
}

fn map_disk(report: &mut Report<'_>, vm: &Vm<'_>, disk: &Disk, files: &[BundleFile]) {
    let field = |name: &str| format!("disks[{}].{name}", disk.target);
    if !is_volume(disk) {
        report.not_carried(
            &format!("disks[{}]", disk.target),
            "a medium in a drive is no volume; Nova brings its own drives",
        );
        return;
    }
    let server = files.iter().any(|file| file.path == "api/server-create.json");
    let mapped = |name: &str| format!("server-create.json: block_device_mapping_v2.{name}");
    if server {
        report.exact(&field("target"), &mapped("device_name"));
        report.exact(&field("device"), &mapped("device_type"));
        match disk.bus.as_ref().map(nova_bus) {
            Some(Some(_)) => report.exact(&field("bus"), &mapped("disk_bus")),
            Some(None) => report.refused(&field("bus"), "Nova knows no such bus, and will choose another"),
            None => {}
        }
        if boots_otherwise(&vm.inventory.domain) {
            let rule = "counted among the disks alone, from 0";
            report.approximate(&field("boot_order"), &mapped("boot_index"), rule);
        } else {
            report.approximate(&field("boot_order"), &mapped("boot_index"), "counted from 0");
        }
    }
    let raw = disk.format.as_deref() == Some("raw");
    let managed = files.iter().any(|file| file.path == format!("api/volume-manage-{}.json", disk.target));
    if root_disk(&vm.inventory.domain).is_none_or(|root| root.target != disk.target) {
        if raw && managed {
            report.approximate(
                &field("format"),
                &format!("volume-manage-{}.json", disk.target),
                "Cinder's volumes are raw",
            );
        }
        report.not_carried(&field("format"), "a volume of Cinder's is raw: a copy into one is converted");
    }
    report.refused(&field("format"), "Glance knows no such format");
    report.not_carried(&field("size"), "Cinder measures a volume itself");
    if disk.backing.images.is_empty() {
        report.not_carried(&field("backing"), "none is known; libvirt tells all of a chain only while the VM runs");
    }
    report.refused(&field("backing"), "a volume stands alone: the images under it must be merged into a copy first");
    let rule = "as it is now; at its next start Nova gives the volume's id as the serial";
    report.approximate(&field("serial"), "meta_data.json: devices.serial", rule);
    if has_place(disk) {
        let rule = "as it is now; Nova lets libvirt choose anew";
        report.approximate(&field("address"), "meta_data.json: devices.address", rule);
    }
    report.not_carried(&field("address"), "Nova lets libvirt choose places on buses");
    match writes_rule(disk) {
        None => report.approximate(
            &field("writes"),
            &mapped("uuid"),
            "a volume is one server's alone, unless its type says otherwise",
        ),
        Some(why) => report.refused(&field("writes"), why),
    }
    for (part, why) in [
        ("cache", "the host's nova.conf decides (disk_cachemodes)"),
        ("io", "Nova decides by the kind of storage"),
        ("discard", "Cinder's backend decides (report_discard_supported)"),
        ("wwn", "Cinder's backend gives it"),
        ("mirror", "a block job belongs to whoever started it"),
        ("settings", MACHINE),
    ] {
        report.not_carried(&field(part), why);
    }
    report.refused(&field("encryption"), "Cinder encrypts by the volume's type, with keys of its own");
    report.refused(&field("iotune"), "Cinder's QoS specs have no such limits");
    report.refused(&format!("disks[{}]", disk.target), "there is no server's body to carry it");
}

fn map_surroundings(report: &mut Report<'_>) {
    report.not_carried("networks[*].mtu", "the interface says its own");
    report.not_carried(
        "networks[*].domain",
        "network_data.json has no search domains; the subnet's dns_domain is Neutron's",
    );
    report.not_carried("networks[*].dns", "what answers there is told by DHCP");
    report.not_carried("networks[*].subnets", "its addresses are given by DHCP");
    report.not_carried("networks[*].forwarders", "the guest asks libvirt's own server, which asks them");
    report.not_carried("networks", "the network that the binding names takes its place");
    report.not_carried(
        "pools",
        "the backend that the binding names takes the pool's place; a volume's size is measured there",
    );
    report.not_carried("host", "the binding names the host as Nova and Neutron know it");
    report.not_carried("definition", "the artifacts are made from what runs now");
}

fn map_machine(report: &mut Report<'_>) {
    let nova = format!("metadata[{NAMESPACE}]");
    for own in [nova.as_str(), "metadata[http://openstack.org/xmlns/libvirt/nova/1.0]"] {
        let why =
            "a Nova keeps this domain: its metadata is not to be written over, so that nova-instance.xml is left out";
        report.refused(own, why);
    }
    report.not_carried("metadata", "other managers' marks are theirs");
    report.refused("filesystems", "Nova shares folders by Manila's shares, which the operator makes");
    report.refused("memory.hotplug", "Nova plugs no memory");
    report.refused("memory.modules", "Nova plugs no memory; the modules' sizes count in the flavor's");
    let pages = "Nova chooses pages by the flavor, and this VM's are not of a kind it can ask for";
    report.refused("memory.hugepages", pages);
    report.refused("memory.default_hugepages", pages);
    report.not_carried("memory.balloon", "Nova gives every guest a balloon for its statistics");
    let model = "the host's nova.conf chooses the processors' model (cpu_mode, cpu_models)";
    for part in ["cpu.mode", "cpu.model", "cpu.vendor", "cpu.features"] {
        report.not_carried(part, model);
    }
    report.refused("tpm", "Nova knows no such part of a TPM");
    report.not_carried("graphics", "Nova's own console service chooses what a display speaks and where");
    report.not_carried("security_labels", HOST);
    report.refused("passthrough_arguments", "Nova hands nothing to the hypervisor past libvirt");
    report.refused("cpu.iothreads", "Nova gives disks no threads of their own");
    for (part, why) in [
        (
            "cpu.settings.cputune.vcpusched",
            "Nova's realtime guests are all or none of a mask, with a priority of nova.conf's",
        ),
        ("memory.settings.numatune", "Nova binds a guest's cells to the host's by itself"),
        ("memory.settings.memtune", "Nova limits no memory beyond the flavor's"),
        (
            "memory.settings.memoryBacking",
            "Nova chooses how memory is backed by the flavor's pages and the host's setting",
        ),
        ("smbios", "Nova tells every guest its own words (manufacturer, product, serial)"),
        ("settings.blkiotune", "Nova has no weights of disks beside each other"),
    ] {
        report.refused(part, why);
    }
    report.machine_not_carried(MACHINE);
    for part in [
        "cpu",
        "memory",
        "platform",
        "firmware",
        "launch_security",
        "hostdevs",
        "disks",
        "identity",
        "boot",
        "guest_os",
    ] {
        report.not_carried(part, MACHINE);
    }
}
