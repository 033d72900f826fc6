//! The rules of disks, shared folders and volumes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::name::is_label;
use super::{Causes, has, is_block_size, is_on, is_pci_address, is_serial, items, number, text};

/// The ways a disk can be shown.
const KINDS: [&str; 3] = ["disk", "cdrom", "lun"];

pub(super) fn check(spec: &Value, causes: &mut Causes) {
    let arm = text(spec, "/architecture") == Some("arm64");
    let volumes = items(spec, "/volumes");
    let names: Vec<&str> = volumes.iter().filter_map(|volume| text(volume, "/name")).collect();
    let mut seen = BTreeSet::new();
    let mut orders = BTreeSet::new();
    for (nth, disk) in items(spec, "/domain/devices/disks").iter().enumerate() {
        let at = |field: &str| format!("domain.devices.disks[{nth}].{field}");
        let name = text(disk, "/name").unwrap_or_default();
        // A disk's name becomes that of a container, and two cannot share it.
        causes.want(is_label(name), at("name"), "a disk's name is a label of RFC 1123");
        causes.want(seen.insert(name), at("name"), "two disks have different names");
        causes.want(names.contains(&name), at("name"), "every disk has a volume of its name");
        causes.want(
            KINDS.iter().filter(|kind| disk.get(kind).is_some()).count() <= 1,
            at("disk"),
            "a disk is of one kind",
        );
        check_order(disk, &mut orders, at("bootOrder"), causes);
        check_bus(disk, arm, &at, causes);
        if let Some(serial) = text(disk, "/serial") {
            causes.want(is_serial(serial), at("serial"), "a serial has letters, digits and _.+-, 256 at most");
        }
        let cache = text(disk, "/cache").is_none_or(|cache| matches!(cache, "none" | "writethrough" | "writeback"));
        causes.want(cache, at("cache"), "the cache is none, writethrough or writeback");
        let io = text(disk, "/io").is_none_or(|io| matches!(io, "native" | "threads"));
        causes.want(io, at("io"), "io is native or threads");
        let policy = text(disk, "/errorPolicy");
        let policy = policy.is_none_or(|policy| matches!(policy, "stop" | "ignore" | "report" | "enospace"));
        causes.want(policy, at("errorPolicy"), "the error policy is stop, ignore, report or enospace");
        check_blocks(disk, &at, causes);
    }
    for (nth, interface) in items(spec, "/domain/devices/interfaces").iter().enumerate() {
        check_order(interface, &mut orders, format!("domain.devices.interfaces[{nth}].bootOrder"), causes);
    }
    check_volumes(spec, causes);
}

/// Disks and interfaces share one boot order: numbers from 1, each once.
fn check_order(device: &Value, orders: &mut BTreeSet<u64>, field: String, causes: &mut Causes) {
    if has(device, "/bootOrder") {
        let order = number(device, "/bootOrder").filter(|order| *order > 0);
        causes.want(
            order.is_some_and(|order| orders.insert(order)),
            field,
            "boot orders are numbers from 1, each once",
        );
    }
}

fn check_bus(disk: &Value, arm: bool, at: &impl Fn(&str) -> String, causes: &mut Causes) {
    for kind in KINDS {
        let Some(target) = disk.get(kind) else { continue };
        let bus = text(target, "/bus").unwrap_or("virtio");
        let known = matches!(bus, "virtio" | "scsi" | "sata" | "usb");
        causes.want(known, at(&format!("{kind}.bus")), "the bus is virtio, scsi, sata or usb");
        // An arm64 machine has neither SATA nor USB disks.
        causes.want(!arm || matches!(bus, "virtio" | "scsi"), at(&format!("{kind}.bus")), "on arm64 virtio or scsi");
        // A q35 machine has no optical drive on virtio.
        let optical = kind != "cdrom" || bus != "virtio" || !has(target, "/bus");
        causes.want(optical, at("cdrom.bus"), "an optical drive is not on virtio");
        let fixed = kind == "disk" && bus == "sata" && is_on(target, "/readonly");
        causes.want(!fixed, at("disk.readonly"), "a SATA disk cannot be read-only");
        let threaded = is_on(disk, "/dedicatedIOThread") && bus != "virtio";
        causes.want(!threaded, at("dedicatedIOThread"), "only a virtio disk has a thread of its own");
        if let Some(address) = text(target, "/pciAddress") {
            let holds = bus == "virtio" && is_pci_address(address);
            causes.want(holds, at("disk.pciAddress"), "a PCI address is given in full, and to virtio disks only");
        }
    }
}

fn check_blocks(disk: &Value, at: &impl Fn(&str) -> String, causes: &mut Causes) {
    let Some(custom) = disk.pointer("/blockSize/custom") else { return };
    let (logical, physical) = (number(custom, "/logical").unwrap_or(0), number(custom, "/physical").unwrap_or(0));
    let holds = is_block_size(logical) && is_block_size(physical) && logical <= physical;
    causes.want(holds, at("blockSize"), "block sizes are powers of two from 512 to 2097152, logical up to physical");
}

/// Each volume has one source and belongs to a disk or a shared folder.
fn check_volumes(spec: &Value, causes: &mut Causes) {
    let shown = items(spec, "/domain/devices/disks").iter().chain(items(spec, "/domain/devices/filesystems"));
    let shown: BTreeSet<&str> = shown.filter_map(|device| text(device, "/name")).collect();
    let mut seen = BTreeSet::new();
    for (nth, volume) in items(spec, "/volumes").iter().enumerate() {
        let field = format!("volumes[{nth}]");
        let name = text(volume, "/name").unwrap_or_default();
        causes.want(seen.insert(name), field.clone(), "two volumes have different names");
        causes.want(shown.contains(name), field.clone(), "every volume is a disk's or a shared folder's");
        let sources = volume.as_object().map_or(0, |fields| fields.keys().filter(|key| *key != "name").count());
        causes.want(sources == 1, field.clone(), "a volume has one source");
        if has(volume, "/dataVolume") {
            causes.want(text(volume, "/dataVolume/name").is_some_and(|name| !name.is_empty()), field, "it is named");
        }
    }
}
