//! The words of libvirt's XML that CloudStack's agent knows. At any other it drops the whole VM from its list, silently.
//!
//! Assumes what the agent reads of a domain: disks, interfaces, channels, watchdogs, random number generators. Guarantees
//! that a VM which passes is listed by agents from 4.19.1 on. *Source*: the enumerations of the agent's `LibvirtVMDef`.

use super::plan::is_listed;
use crate::artifacts::error::RenderError;
use crate::discovery::{Disk, DiskDevice, DiskSource, Inventory, Nic, NicSource};

/// What the agent knows of interface models. QEMU's `ne2k_pci` is not among them: the agent spells it `ne2kpci`.
const NIC_MODELS: &[&str] = &["e1000", "virtio", "rtl8139", "ne2kpci", "vmxnet3"];
const DISK_BUSES: &[&str] = &["ide", "scsi", "virtio", "xen", "usb", "uml", "fdc", "sata"];
const DISK_FORMATS: &[&str] = &["raw", "qcow2"];
const DISK_CACHES: &[&str] = &["none", "writeback", "writethrough"];
const DISK_PROTOCOLS: &[&str] = &["rbd", "sheepdog", "gluster"];
const CHANNELS: &[&str] = &["unix", "serial", "spicevmc"];
const RNG_BACKENDS: &[&str] = &["random", "egd"];
const WATCHDOGS: &[&str] = &["i6300esb", "ib700", "diag288", "itco"];
const WATCHDOG_ACTIONS: &[&str] = &["reset", "shutdown", "poweroff", "pause", "none", "dump"];

/// Refuses a VM that the agent would not list.
pub(super) fn check(inventory: &Inventory) -> Result<(), RenderError> {
    for disk in &inventory.domain.disks {
        check_disk(disk)?;
    }
    for (nth, nic) in inventory.domain.nics.iter().enumerate() {
        check_nic(nth, nic)?;
    }
    for (nth, channel) in inventory.domain.channels.iter().enumerate() {
        known(CHANNELS, &channel.kind, || format!("channels[{nth}].kind"))?;
    }
    for (nth, rng) in inventory.domain.rngs.iter().enumerate() {
        known(RNG_BACKENDS, &rng.backend, || format!("rngs[{nth}].backend"))?;
    }
    for (nth, watchdog) in inventory.domain.watchdogs.iter().enumerate() {
        known(WATCHDOGS, &watchdog.model, || format!("watchdogs[{nth}].model"))?;
        known(WATCHDOG_ACTIONS, &watchdog.action, || format!("watchdogs[{nth}].action"))?;
    }
    Ok(())
}

fn check_disk(disk: &Disk) -> Result<(), RenderError> {
    let field = |name: &str| format!("disks[{}].{name}", disk.target);
    // Of a file it reads the bus and the format of disks alone; of the others it takes every device for a disk.
    let read = is_listed(disk);
    if read {
        let bus = disk.bus.as_ref().map_or("", |bus| bus.as_str());
        known(DISK_BUSES, bus, || field("bus"))?;
    }
    if let (true, Some(format)) = (read && !matches!(disk.source, Some(DiskSource::Block { .. })), &disk.format) {
        known(DISK_FORMATS, format, || field("format"))?;
    }
    if let Some(cache) = &disk.cache {
        known(DISK_CACHES, cache.as_str(), || field("cache"))?;
    }
    if let Some(DiskSource::Network { protocol, .. }) = &disk.source {
        known(DISK_PROTOCOLS, protocol, || field("source.protocol"))?;
        if disk.cache.is_none() {
            let why = "its agent reads the cache mode of every network disk, and drops a VM with one that has none";
            return Err(RenderError::Refused { field: field("cache"), why: why.to_owned() });
        }
        if disk.device == DiskDevice::Cdrom {
            let why = "its agent takes a network drive for a disk of the VM";
            return Err(RenderError::Refused { field: field("device"), why: why.to_owned() });
        }
    }
    Ok(())
}

fn check_nic(nth: usize, nic: &Nic) -> Result<(), RenderError> {
    let key = nic.mac.map_or_else(|| nth.to_string(), |mac| mac.to_string());
    let field = |name: &str| format!("nics[{key}].{name}");
    let kind = match &nic.source {
        NicSource::Network { .. } | NicSource::Bridge { .. } | NicSource::Ethernet => None,
        NicSource::Direct { .. } => Some("direct"),
        NicSource::User => Some("user"),
        NicSource::Hostdev { .. } => Some("hostdev"),
        // It reads the socket, but then asks for the model, which it has not read.
        NicSource::VhostUser { .. } => Some("vhostuser"),
        NicSource::Vdpa { .. } => Some("vdpa"),
        NicSource::Internal { .. } => Some("internal"),
        NicSource::Socket { transport, .. } => Some(transport.as_str()),
        NicSource::Unknown { raw } => Some(raw.as_str()),
    };
    if let Some(kind) = kind {
        let why =
            format!("its agent lists no VM with an interface of type {kind:?}: network, bridge and ethernet only");
        return Err(RenderError::Refused { field: field("source"), why });
    }
    known(NIC_MODELS, nic.model.as_deref().unwrap_or_default(), || field("model"))?;
    match &nic.address {
        Some(address) if address.pci().is_none() => {
            let why = "its agent asks every interface for its PCI slot, and drops a VM with one that has none";
            Err(RenderError::Refused { field: field("address"), why: why.to_owned() })
        }
        Some(_) | None => Ok(()),
    }
}

/// The agent compares without regard to letter case.
fn known(words: &[&str], word: &str, field: impl FnOnce() -> String) -> Result<(), RenderError> {
    if words.iter().any(|known| known.eq_ignore_ascii_case(word)) {
        return Ok(());
    }
    let word: String = word.chars().take(64).collect();
    let why = format!("its agent drops the whole VM from its list at {word:?}: it knows {}", words.join(", "));
    Err(RenderError::Refused { field: field(), why })
}
