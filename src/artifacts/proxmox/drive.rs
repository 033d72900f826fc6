//! The properties of one disk.
//!
//! Assumes a disk with a bus of Proxmox. Guarantees only properties that the bus takes, within their lengths.

use super::conf::{Props, size, url_encode};
use super::disk::Bus;
use super::told::Told;
use crate::discovery::{Disk, DiskCache, DiskDevice, Inventory, Writes};

pub(super) fn drive(disk: &Disk, bus: Bus, volume: &str, inventory: &Inventory, told: &mut Told<'_, '_>) -> Props {
    let mut line = Props::new(volume);
    told.approximate("source", "the volume has to be there, with the bytes of this disk");
    line.add("aio", aio(disk, told));
    line.add("cache", cache(disk, told));
    line.add("discard", discard(disk, told));
    line.add("detect_zeroes", detect_zeroes(disk, told));
    let thread = disk.settings.contains_key("driver.iothread") && matches!(bus, Bus::Virtio | Bus::Scsi);
    if thread {
        told.approximate("settings.driver.iothread", "a thread of its own, unnumbered");
    }
    line.add("iothread", thread.then_some(1));
    limits(disk, &mut line, told);
    errors(disk, &mut line, told);
    let read_only = matches!(disk.writes, Writes::ReadOnly | Writes::ReadOnlyShared);
    match (disk.writes, bus) {
        (Writes::Shared | Writes::ReadOnlyShared, _) => {
            told.refused("writes", "Proxmox lets no two VMs write to one volume");
        }
        (Writes::ReadOnly, Bus::Ide | Bus::Sata) => {
            told.refused("writes", "Proxmox has no read-only IDE and SATA disks, so that the guest may write");
        }
        (Writes::Exclusive | Writes::ReadOnly, _) => told.exact("writes", "ro"),
    }
    line.add("ro", (read_only && matches!(bus, Bus::Virtio | Bus::Scsi)).then_some(1));
    let lun = disk.device == DiskDevice::Lun;
    if lun && bus != Bus::Scsi {
        told.refused("device", "Proxmox hands out LUNs on SCSI only");
    }
    told.exact("device", "scsiblock");
    line.add("scsiblock", (lun && bus == Bus::Scsi).then_some(1));
    let serial = disk.serial.as_deref().filter(|serial| (1..=20).contains(&serial.len()));
    match serial {
        Some(_) => told.exact("serial", "serial"),
        None => told.refused("serial", "Proxmox has serials of up to 20 bytes"),
    }
    line.add("serial", serial.map(url_encode));
    let ssd = bus != Bus::Virtio && disk.settings.get("target.rotation_rate").is_some_and(|rate| rate == "1");
    if ssd {
        told.exact("settings.target.rotation_rate", "ssd");
    }
    line.add("ssd", ssd.then_some(1));
    let wwn = disk.wwn.as_deref().filter(|wwn| bus != Bus::Virtio && wwn.len() == 16);
    let wwn = wwn.filter(|wwn| wwn.bytes().all(|b| b.is_ascii_hexdigit()));
    if wwn.is_some() {
        told.exact("wwn", "wwn");
    }
    line.add("wwn", wwn.map(|wwn| format!("0x{}", wwn.to_ascii_lowercase())));
    let capacity = inventory.capacity_of(disk);
    if capacity.is_some() {
        told.exact("size", "size");
    }
    line.add("size", capacity.map(size));
    line
}

fn aio<'d>(disk: &'d Disk, told: &mut Told<'_, '_>) -> Option<&'d str> {
    let io = disk.io.as_deref()?;
    if matches!(io, "native" | "threads" | "io_uring") {
        told.exact("io", "aio");
        Some(io)
    } else {
        told.not_carried("io", "Proxmox has native, threads and io_uring, and chooses");
        None
    }
}

fn cache(disk: &Disk, told: &mut Told<'_, '_>) -> Option<&'static str> {
    let word = match disk.cache.as_ref()? {
        DiskCache::None => "none",
        DiskCache::WriteThrough => "writethrough",
        DiskCache::WriteBack => "writeback",
        DiskCache::DirectSync => "directsync",
        DiskCache::Unsafe => "unsafe",
        DiskCache::Default | DiskCache::Unknown(_) => {
            told.not_carried("cache", "Proxmox chooses");
            return None;
        }
    };
    told.exact("cache", "cache");
    Some(word)
}

fn discard(disk: &Disk, told: &mut Told<'_, '_>) -> Option<&'static str> {
    let word = match disk.discard.as_deref()? {
        "unmap" => "on",
        "ignore" => "ignore",
        _ => {
            told.not_carried("discard", "Proxmox has on and ignore");
            return None;
        }
    };
    told.exact("discard", "discard");
    Some(word)
}

fn detect_zeroes(disk: &Disk, told: &mut Told<'_, '_>) -> Option<u8> {
    const FIELD: &str = "settings.driver.detect_zeroes";
    match disk.settings.get("driver.detect_zeroes")?.as_str() {
        "off" => {
            told.exact(FIELD, "detect_zeroes");
            Some(0)
        }
        "on" => {
            told.approximate(FIELD, "with discard, what is found is unmapped too");
            Some(1)
        }
        "unmap" => {
            told.approximate(FIELD, "unmapped where the disk has discard");
            Some(1)
        }
        _ => None,
    }
}

fn errors(disk: &Disk, line: &mut Props, told: &mut Told<'_, '_>) {
    for (path, key) in [("driver.rerror_policy", "rerror"), ("driver.error_policy", "werror")] {
        let word = match (disk.settings.get(path).map(String::as_str), key) {
            (Some(word @ ("stop" | "report" | "ignore")), _) => Some(word),
            (Some("enospace"), "werror") => Some("enospc"),
            (Some(_) | None, _) => None,
        };
        if word.is_some() {
            told.exact(&format!("settings.{path}"), key);
        }
        line.add(key, word);
    }
}

/// libvirt's limits and Proxmox's: rates as they are, the pools of bursts of bytes in MiB.
const LIMITS: [(&str, &str); 18] = [
    ("total_bytes_sec", "bps"),
    ("read_bytes_sec", "bps_rd"),
    ("write_bytes_sec", "bps_wr"),
    ("total_iops_sec", "iops"),
    ("read_iops_sec", "iops_rd"),
    ("write_iops_sec", "iops_wr"),
    ("total_bytes_sec_max", "mbps_max"),
    ("read_bytes_sec_max", "mbps_rd_max"),
    ("write_bytes_sec_max", "mbps_wr_max"),
    ("total_iops_sec_max", "iops_max"),
    ("read_iops_sec_max", "iops_rd_max"),
    ("write_iops_sec_max", "iops_wr_max"),
    ("total_bytes_sec_max_length", "bps_max_length"),
    ("read_bytes_sec_max_length", "bps_rd_max_length"),
    ("write_bytes_sec_max_length", "bps_wr_max_length"),
    ("total_iops_sec_max_length", "iops_max_length"),
    ("read_iops_sec_max_length", "iops_rd_max_length"),
    ("write_iops_sec_max_length", "iops_wr_max_length"),
];

const MIB: u64 = 1 << 20;

fn limits(disk: &Disk, line: &mut Props, told: &mut Told<'_, '_>) {
    let mut whole = disk.iotune.keys().all(|key| LIMITS.iter().any(|(libvirt, _)| key == libvirt));
    for (libvirt, key) in LIMITS {
        let Some(value) = disk.iotune.get(libvirt).and_then(|value| value.parse::<u64>().ok()) else { continue };
        if value == 0 {
            continue;
        }
        if key.starts_with("mbps") {
            whole &= value % MIB == 0;
            line.add(key, Some(value.div_ceil(MIB)));
        } else {
            line.add(key, Some(value));
        }
    }
    if !whole {
        told.approximate("iotune", "rates and bursts, bursts of bytes in whole MiB; Proxmox has no groups and sizes");
    }
    told.exact("iotune", "bps…, iops…, mbps_max…");
}
