//! Disks, and the volumes of EFI variables and of the TPM's state.
//!
//! Assumes an inventory. Guarantees numbers that each bus has on Proxmox, options that the bus takes, and a name for
//! every volume: the volumes themselves have to be there before the VM starts.

use super::binding::{Binding, StorageId};
use super::compute::is_arm;
use super::conf::{Conf, Props, size, url_encode};
use crate::artifacts::report::Report;
use crate::discovery::{
    Disk, DiskBus, DiskCache, DiskDevice, DiskSource, Domain, FirmwareKind, Inventory, SecureBoot, Writes,
};
use crate::model::units::Bytes;

/// A bus of Proxmox, with the number of disks it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Bus {
    Ide,
    Sata,
    Scsi,
    Virtio,
}

impl Bus {
    fn word(self) -> &'static str {
        match self {
            Self::Ide => "ide",
            Self::Sata => "sata",
            Self::Scsi => "scsi",
            Self::Virtio => "virtio",
        }
    }

    fn most(self) -> usize {
        match self {
            Self::Ide => 4,
            Self::Sata => 6,
            Self::Scsi => 31,
            Self::Virtio => 16,
        }
    }
}

/// The report of one disk.
struct Told<'r, 'f> {
    report: &'r mut Report<'f>,
    target: &'r str,
    key: String,
}

impl Told<'_, '_> {
    fn path(&self, field: &str) -> String {
        if field.is_empty() { format!("disks[{}]", self.target) } else { format!("disks[{}].{field}", self.target) }
    }

    fn exact(&mut self, field: &str, to: &str) {
        let (path, to) = (self.path(field), format!("{}: {to}", self.key));
        self.report.exact(&path, &to);
    }

    fn approximate(&mut self, field: &str, rule: &str) {
        let (path, to) = (self.path(field), self.key.clone());
        self.report.approximate(&path, &to, rule);
    }

    fn not_carried(&mut self, field: &str, why: &str) {
        let path = self.path(field);
        self.report.not_carried(&path, why);
    }

    fn refused(&mut self, field: &str, why: &str) {
        let path = self.path(field);
        self.report.refused(&path, why);
    }
}

/// Writes the disks; returns the key of each by its target, for the boot order.
pub(super) fn disks(
    inventory: &Inventory,
    binding: &Binding,
    conf: &mut Conf,
    report: &mut Report<'_>,
) -> Vec<(String, String)> {
    let domain = &inventory.domain;
    // The first numbers are those of EFI variables and TPM state, as Proxmox itself counts.
    let mut number = state_volumes(domain, binding, conf, report);
    let mut taken: std::collections::BTreeMap<Bus, usize> = std::collections::BTreeMap::new();
    let mut keys = Vec::new();
    for disk in &domain.disks {
        let mut told = Told { report, target: &disk.target, key: String::new() };
        let Some((bus, rule)) = bus(disk, is_arm(domain), &mut told) else { continue };
        let nth = taken.entry(bus).or_default();
        if *nth >= bus.most() {
            told.refused("", &format!("Proxmox has {} disks on {}, and there are more", bus.most(), bus.word()));
            continue;
        }
        told.key = format!("{}{nth}", bus.word());
        *nth += 1;
        match rule {
            Some(rule) => told.approximate("bus", rule),
            None => told.exact("bus", "its name"),
        }
        let line = if disk.device == DiskDevice::Cdrom {
            medium(disk, binding, &mut told)
        } else {
            let volume = volume(disk, binding, number);
            number += 1;
            drive(disk, bus, &volume, inventory, &mut told)
        };
        rest(disk, &mut told);
        keys.push((disk.target.clone(), told.key.clone()));
        conf.set(told.key, line);
    }
    scsi_controller(domain, conf, taken.contains_key(&Bus::Scsi), report);
    keys
}

fn bus(disk: &Disk, arm: bool, told: &mut Told<'_, '_>) -> Option<(Bus, Option<&'static str>)> {
    const ARM: &str = "an ARM machine has no such bus: SCSI takes its place";
    match disk.device {
        DiskDevice::Disk | DiskDevice::Cdrom | DiskDevice::Lun => {}
        DiskDevice::Floppy | DiskDevice::Unknown(_) => {
            told.refused("", "Proxmox has disks and optical drives only, so that it is left out");
            return None;
        }
    }
    let bus = disk.bus.clone().unwrap_or_else(|| {
        let by_name = [("hd", DiskBus::Ide), ("sd", DiskBus::Scsi), ("fd", DiskBus::Fdc), ("xvd", DiskBus::Xen)];
        let found = by_name.into_iter().find(|(start, _)| disk.target.starts_with(start));
        found.map_or(DiskBus::Virtio, |(_, bus)| bus)
    });
    match bus {
        DiskBus::Virtio if disk.device == DiskDevice::Cdrom => {
            Some((Bus::Scsi, Some("Proxmox has no optical drives on virtio: SCSI takes its place")))
        }
        DiskBus::Virtio => Some((Bus::Virtio, None)),
        DiskBus::Scsi => Some((Bus::Scsi, None)),
        DiskBus::Sata | DiskBus::Ide if arm => Some((Bus::Scsi, Some(ARM))),
        DiskBus::Sata => Some((Bus::Sata, None)),
        DiskBus::Ide => Some((Bus::Ide, None)),
        DiskBus::Usb
        | DiskBus::Fdc
        | DiskBus::Sd
        | DiskBus::Xen
        | DiskBus::Uml
        | DiskBus::Nvme
        | DiskBus::Unknown(_) => {
            told.refused("", "Proxmox has IDE, SATA, SCSI and virtio, so that it is left out");
            None
        }
    }
}

/// The volume of a disk: what the binding says, else Proxmox's own name in the storage of its pool.
fn volume(disk: &Disk, binding: &Binding, number: usize) -> String {
    if let Some(volume) = binding.volumes.get(&disk.target) {
        return volume.0.clone();
    }
    let named = match &disk.source {
        Some(DiskSource::Volume { pool, .. }) => Some(pool),
        Some(
            DiskSource::File { .. }
            | DiskSource::Block { .. }
            | DiskSource::Directory { .. }
            | DiskSource::Network { .. }
            | DiskSource::Nvme { .. }
            | DiskSource::VhostUser { .. }
            | DiskSource::Unknown { .. },
        )
        | None => None,
    };
    let pool = disk.volume.as_ref().map(|at| &at.pool).or(named);
    let storage = pool.and_then(|pool| binding.pools.get(pool)).unwrap_or(&binding.storage);
    let format = match disk.format.as_deref() {
        Some(format @ ("qcow2" | "vmdk")) => format,
        Some(_) | None => "raw",
    };
    binding.volume(storage, number, format)
}

/// An optical drive with the medium of the same name in the storage for those, else empty.
fn medium(disk: &Disk, binding: &Binding, told: &mut Told<'_, '_>) -> Props {
    let name = match &disk.source {
        Some(DiskSource::File { path }) => path.rsplit('/').next(),
        Some(
            DiskSource::Block { .. }
            | DiskSource::Directory { .. }
            | DiskSource::Network { .. }
            | DiskSource::Volume { .. }
            | DiskSource::Nvme { .. }
            | DiskSource::VhostUser { .. }
            | DiskSource::Unknown { .. },
        )
        | None => None,
    };
    let plain = |name: &&str| {
        let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+'));
        letters && (name.ends_with(".iso") || name.ends_with(".img"))
    };
    let bound = binding.volumes.get(&disk.target).map(|volume| volume.0.clone());
    let found = name.filter(plain).zip(binding.iso_storage.as_ref());
    let found = found.map(|(name, StorageId(storage))| format!("{storage}:iso/{name}"));
    match bound.or(found) {
        Some(volume) => {
            told.approximate("source", "a medium of that name has to be in the storage");
            told.exact("device", "media");
            let mut line = Props::new(volume);
            line.add("media", Some("cdrom"));
            line
        }
        None => {
            told.refused("source", "which medium it is over there, `iso_storage` or `volumes` of the binding says");
            told.exact("device", "media");
            Props::new("none,media=cdrom")
        }
    }
}

fn drive(disk: &Disk, bus: Bus, volume: &str, inventory: &Inventory, told: &mut Told<'_, '_>) -> Props {
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
    let capacity = capacity(disk, inventory);
    if capacity.is_some() {
        told.exact("size", "size");
    }
    line.add("size", capacity.map(size));
    line
}

fn capacity(disk: &Disk, inventory: &Inventory) -> Option<Bytes> {
    let volume = disk.volume.as_ref();
    let volume = volume.and_then(|at| inventory.pools.get(&at.pool)?.volumes.get(&at.volume));
    disk.size.map(|size| size.capacity).or(volume.map(|volume| volume.capacity))
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

/// What became of everything else of a disk.
fn rest(disk: &Disk, told: &mut Told<'_, '_>) {
    told.approximate("target", "Proxmox counts the disks of each bus from 0");
    match disk.format.as_deref() {
        Some("raw" | "qcow2" | "vmdk") => told.exact("format", "the volume"),
        Some(_) | None => told.approximate("format", "the volume has to be raw"),
    }
    told.exact("boot_order", "boot");
    told.approximate("volume", "the storage that the binding names for its pool");
    told.approximate("backing", "the volume has to hold all that the chain of images does");
    told.refused("encryption", "Proxmox opens no encrypted images");
    told.not_carried("mirror", "it is a job of now");
    told.refused("wwn", "Proxmox has 16 digits, and not on virtio");
    told.not_carried("address", "Proxmox has fixed places for its disks");
    for field in ["serial", "cache", "io", "discard", "iotune"] {
        told.not_carried(field, "an optical drive of Proxmox has none");
    }
    told.exact("writes", "media");
    told.not_carried("size", "the medium has its own");
    told.not_carried("settings", "Proxmox has no property for it");
}

/// EFI variables and the TPM's state; returns how many volumes that are.
fn state_volumes(domain: &Domain, binding: &Binding, conf: &mut Conf, report: &mut Report<'_>) -> usize {
    let mut number = 0;
    let mut volume = |key: &str| {
        let named = binding.volumes.get(key).map(|volume| volume.0.clone());
        let volume = named.unwrap_or_else(|| binding.volume(&binding.storage, number, "raw"));
        number += 1;
        volume
    };
    let firmware = &domain.firmware;
    if firmware.kind == FirmwareKind::Uefi {
        let mut line = Props::new(volume("efidisk0"));
        let enrolled = firmware.secure_boot == SecureBoot::On;
        line.add("efitype", Some("4m"));
        line.add("pre-enrolled-keys", Some(u8::from(enrolled)));
        line.add("size", Some("528K"));
        conf.set("efidisk0", line);
        report.approximate("firmware.secure_boot", "efidisk0", "on where Proxmox's usual keys are enrolled");
        let rule = "the volume has to be there; the variables of today do not come along";
        report.approximate("firmware.nvram", "efidisk0", rule);
    }
    report.not_carried("firmware", "Proxmox brings its own firmware");
    let Some(tpm) = &domain.tpm else { return number };
    let version = match (tpm.backend.as_str(), tpm.version.as_deref()) {
        ("emulator", Some("2.0") | None) => "v2.0",
        ("emulator", Some("1.2")) => "v1.2",
        _ => {
            report.refused("tpm", "Proxmox emulates versions 1.2 and 2.0, and nothing else");
            return number;
        }
    };
    let mut line = Props::new(volume("tpmstate0"));
    line.add("size", Some("4M"));
    line.add("version", Some(version));
    conf.set("tpmstate0", line);
    let rule = "the volume has to be there, with a new state: what is sealed in the one of today is lost";
    report.approximate("tpm.backend", "tpmstate0", rule);
    report.approximate("tpm.model", "tpmstate0", "Proxmox chooses the model by the machine");
    report.exact("tpm.version", "tpmstate0: version");
    report.not_carried("tpm", "Proxmox has no property for it");
    number
}

/// The SCSI controller that the first one of the domain is.
fn scsi_controller(domain: &Domain, conf: &mut Conf, used: bool, report: &mut Report<'_>) {
    let threads = domain.disks.iter().any(|disk| disk.settings.contains_key("driver.iothread"));
    let virtio = if threads { "virtio-scsi-single" } else { "virtio-scsi-pci" };
    let mut first = true;
    for (nth, controller) in domain.controllers.iter().enumerate() {
        let path = format!("controllers[{nth}]");
        if controller.kind != "scsi" {
            report.not_carried(&path, "Proxmox makes the controllers that its devices need");
            continue;
        }
        let word = match controller.model.as_deref() {
            Some("virtio-scsi" | "virtio-non-transitional" | "virtio-transitional") => Some(virtio),
            Some("lsilogic") => Some("lsi"),
            Some("lsisas1078") => Some("megasas"),
            Some("vmpvscsi") => Some("pvscsi"),
            Some(_) | None => None,
        };
        match word.filter(|_| first && used) {
            Some(word) => {
                report.exact(&path, "scsihw");
                conf.set("scsihw", word);
            }
            None => {
                report.approximate(&path, "scsihw", "one SCSI controller of a model that Proxmox has, when it is used")
            }
        }
        first = false;
    }
    if used && !conf.has("scsihw") {
        conf.set("scsihw", virtio);
    }
}
