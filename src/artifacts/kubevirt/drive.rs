//! How KubeVirt shows one disk to the guest.
//!
//! Assumes a disk with a kind and a bus of KubeVirt. Guarantees options that its admission takes.

use serde_json::{Value, json};

use super::admission::{is_block_size, is_serial};
use super::disk::Kind;
use super::machine::Machine;
use super::name::object;
use crate::artifacts::part::Part;
use crate::discovery::{BootClass, BootOrder, Disk, DiskCache, DiskDevice, Inventory, Writes};

pub(super) fn device(
    disk: &Disk,
    name: &str,
    kind: Kind,
    bus: &str,
    machine: &Machine,
    inventory: &Inventory,
    told: &mut Part<'_, '_>,
) -> Value {
    let read_only = matches!(disk.writes, Writes::ReadOnly | Writes::ReadOnlyShared);
    let shared = matches!(disk.writes, Writes::Shared | Writes::ReadOnlyShared);
    let place = disk.address.as_ref().and_then(|address| address.pci());
    let place = place.filter(|_| machine.same && kind == Kind::Disk && bus == "virtio");
    if place.is_some() {
        told.exact("address", "disk.pciAddress");
    }
    // Optical drives are read-only without saying so; SATA disks cannot be.
    let written = read_only && kind != Kind::Cdrom && !(kind == Kind::Disk && bus == "sata");
    match (disk.writes, kind, written) {
        (Writes::ReadOnly | Writes::ReadOnlyShared, Kind::Disk | Kind::Lun, false) => {
            told.refused("writes", "KubeVirt has no read-only SATA disks, so that the guest may write");
        }
        (Writes::Exclusive | Writes::Shared | Writes::ReadOnly | Writes::ReadOnlyShared, _, _) => {
            told.exact("writes", "disk.readonly, shareable");
        }
    }
    let target = object([
        ("bus", Some(json!(bus))),
        ("readonly", written.then(|| json!(true))),
        ("pciAddress", place.map(|place| json!(place))),
    ]);
    let (disk_, cdrom, lun) = match kind {
        Kind::Disk => (Some(target), None, None),
        Kind::Cdrom => (None, Some(target), None),
        Kind::Lun => (None, None, Some(target)),
    };
    let serial = disk.serial.as_deref().filter(|serial| is_serial(serial));
    match serial {
        Some(_) => told.exact("serial", "disks[].serial"),
        None => told.refused("serial", "KubeVirt admits letters, digits and _.+- in serials, 256 at most"),
    }
    let (cache, direct) = cache(disk, told);
    let thread = disk.settings.contains_key("driver.iothread") && bus == "virtio";
    if thread {
        told.approximate("settings.driver.iothread", "disks[].dedicatedIOThread", "a thread of its own, unnumbered");
    }
    object([
        ("name", Some(json!(name))),
        ("bootOrder", boot_order(disk, inventory, told).map(|order| json!(order))),
        ("serial", serial.map(|serial| json!(serial))),
        ("cache", cache.map(|cache| json!(cache))),
        ("io", io(disk, direct, told).map(|io| json!(io))),
        ("errorPolicy", error_policy(disk, told).map(|policy| json!(policy))),
        ("shareable", shared.then(|| json!(true))),
        ("dedicatedIOThread", thread.then(|| json!(true))),
        ("blockSize", block_size(disk, told)),
        ("disk", disk_),
        ("cdrom", cdrom),
        ("lun", lun),
    ])
}

/// The cache mode, and whether it passes by the host's page cache (or leaves that to KubeVirt).
fn cache(disk: &Disk, told: &mut Part<'_, '_>) -> (Option<&'static str>, bool) {
    const TO: &str = "disks[].cache";
    match &disk.cache {
        Some(DiskCache::None) => {
            told.exact("cache", TO);
            (Some("none"), true)
        }
        Some(DiskCache::WriteThrough) => {
            told.exact("cache", TO);
            (Some("writethrough"), false)
        }
        Some(DiskCache::WriteBack) => {
            told.exact("cache", TO);
            (Some("writeback"), false)
        }
        Some(DiskCache::DirectSync) => {
            told.approximate("cache", TO, "writethrough is as safe: each write is on the storage when it is answered");
            (Some("writethrough"), false)
        }
        Some(DiskCache::Unsafe) => {
            told.approximate("cache", TO, "KubeVirt has no unsafe cache: writeback, which heeds the guest's flushes");
            (Some("writeback"), false)
        }
        Some(DiskCache::Default | DiskCache::Unknown(_)) => {
            told.not_carried("cache", "KubeVirt chooses");
            (None, true)
        }
        None => (None, true),
    }
}

fn io(disk: &Disk, direct: bool, told: &mut Part<'_, '_>) -> Option<&'static str> {
    match disk.io.as_deref()? {
        "native" if direct => {
            told.exact("io", "disks[].io");
            Some("native")
        }
        "threads" => {
            told.exact("io", "disks[].io");
            Some("threads")
        }
        _ => {
            told.not_carried("io", "KubeVirt has `threads`, and `native` past the host's cache: it chooses");
            None
        }
    }
}

fn error_policy<'d>(disk: &'d Disk, told: &mut Part<'_, '_>) -> Option<&'d str> {
    let policy = disk.settings.get("driver.error_policy")?;
    if !matches!(policy.as_str(), "stop" | "ignore" | "report" | "enospace") {
        return None;
    }
    told.exact("settings.driver.error_policy", "disks[].errorPolicy");
    Some(policy)
}

/// Block sizes: powers of two from 512 to 2 MiB, the logical one not above the physical one.
fn block_size(disk: &Disk, told: &mut Part<'_, '_>) -> Option<Value> {
    let read = |path: &str| disk.settings.get(path).and_then(|size| size.parse::<u64>().ok());
    let logical = read("blockio.logical_block_size");
    let physical = read("blockio.physical_block_size");
    let (logical, physical) = match (logical, physical) {
        (Some(logical), Some(physical)) => (logical, physical),
        (Some(one), None) => (one, one),
        (None, Some(physical)) => (512, physical),
        (None, None) => return None,
    };
    if logical > physical || !is_block_size(logical) || !is_block_size(physical) {
        told.refused("settings.blockio", "KubeVirt admits powers of two from 512 to 2097152, logical up to physical");
        return None;
    }
    told.exact("settings.blockio.logical_block_size", "disks[].blockSize.custom.logical");
    told.exact("settings.blockio.physical_block_size", "disks[].blockSize.custom.physical");
    Some(json!({"custom": {"logical": logical, "physical": physical}}))
}

/// Its own order, or that of its class when it is the first of it.
fn boot_order(disk: &Disk, inventory: &Inventory, told: &mut Part<'_, '_>) -> Option<u32> {
    told.exact("boot_order", "disks[].bootOrder");
    disk.boot_order.or_else(|| {
        let first = |wanted: fn(&DiskDevice) -> bool| {
            let mut disks = inventory.domain.disks.iter();
            let found = disks.find(|disk| wanted(&disk.device) && disk.source.is_some());
            found.is_some_and(|found| found.target == disk.target)
        };
        if first(|device| matches!(device, DiskDevice::Disk | DiskDevice::Lun)) {
            return class_order(inventory, &BootClass::Disk);
        }
        if first(|device| *device == DiskDevice::Cdrom) { class_order(inventory, &BootClass::Cdrom) } else { None }
    })
}

/// The place of a class in the boot order by classes, from 1.
pub(super) fn class_order(inventory: &Inventory, class: &BootClass) -> Option<u32> {
    match &inventory.domain.boot {
        BootOrder::ByClass(classes) => {
            let place = classes.iter().position(|listed| listed == class)?;
            u32::try_from(place).ok().map(|place| place + 1)
        }
        BootOrder::ByDevice(_) | BootOrder::Unsaid => None,
    }
}
