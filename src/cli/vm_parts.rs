//! The tables of `covirt vm show`: processors, memory and firmware, disks with all their images, interfaces, and devices
//! of the host.
//!
//! Assumes an inventory. Guarantees that what is not known is a dash, and not a guess.

use super::provider::word;
use super::table::Table;
use crate::discovery::{
    BackingImage, BootOrder, ChainEnd, Disk, DiskSource, Inventory, Nic, NicAddress, NicSource, SecureBoot, VolumeRef,
    Writes,
};
use crate::model::{Bytes, Kib};

/// What the machine is.
pub(super) fn resources(inventory: &Inventory) -> Table {
    let domain = &inventory.domain;
    let mut table = Table::bare();
    table.pair("platform", Some(platform(inventory)));
    table.pair("cpu", Some(cpu(inventory)));
    table.pair("memory", Some(memory(inventory)));
    table.pair("firmware", Some(firmware(inventory)));
    table.pair("boot order", boot(&domain.boot));
    let tpm = domain.tpm.as_ref().map(|tpm| {
        let version = tpm.version.as_deref().map(|version| format!(" version {version}")).unwrap_or_default();
        format!("{}{version}, {}", tpm.model.as_deref().unwrap_or("of the default model"), tpm.backend)
    });
    table.pair("tpm", tpm);
    table.pair("protection", domain.launch_security.as_ref().map(|security| security.kind.clone()));
    let agent = domain.guest_agent.as_ref();
    let agent = agent.map(|agent| agent.state.as_ref().map_or_else(|| "configured".to_owned(), ToString::to_string));
    table.pair("guest agent", agent);
    table.pair("guest os", domain.guest_os.clone());
    table.pair("host", host(inventory));
    let marks: Vec<&str> = domain.metadata.iter().map(|mark| mark.namespace.as_str()).collect();
    table.pair("managed also by", (!marks.is_empty()).then(|| marks.join(", ")));
    table
}

fn platform(inventory: &Inventory) -> String {
    let platform = &inventory.domain.platform;
    let words = [platform.os_type.as_deref(), platform.arch.as_deref(), platform.machine.as_deref()];
    let words: Vec<&str> = words.into_iter().flatten().collect();
    format!("{} {}", platform.domain_type, words.join(" "))
}

fn cpu(inventory: &Inventory) -> String {
    let cpu = &inventory.domain.cpu;
    let mut parts = vec![format!("{} vCPUs of at most {}", cpu.vcpus, cpu.vcpus_max)];
    parts.extend(cpu.model.clone().or_else(|| cpu.mode.as_ref().map(ToString::to_string)));
    parts.extend(cpu.topology.map(|at| {
        let counts = [("socket", at.sockets), ("die", at.dies), ("cluster", at.clusters), ("core", at.cores)];
        let counts = counts.into_iter().chain([("thread", at.threads)]).filter(|(_, count)| *count > 1);
        let counts: Vec<String> = counts.map(|(what, count)| format!("{count} {what}s")).collect();
        if counts.is_empty() { "one thread".to_owned() } else { counts.join(" x ") }
    }));
    if !cpu.numa.is_empty() {
        parts.push(format!("{} NUMA cells", cpu.numa.len()));
    }
    let pinned = cpu.pinning.all.is_some() || !cpu.pinning.vcpus.is_empty();
    parts.extend(pinned.then(|| "pinned".to_owned()));
    parts.join(", ")
}

fn memory(inventory: &Inventory) -> String {
    let memory = &inventory.domain.memory;
    let mut parts = vec![format!("{} of at most {}", kib(memory.current_kib), kib(memory.max_kib))];
    parts.extend(memory.hotplug.map(|plug| {
        let slots = plug.slots.map(|slots| format!(" in {slots} slots")).unwrap_or_default();
        format!("up to {}{slots}", kib(plug.max_kib))
    }));
    parts.extend(memory.hugepages.iter().map(|pages| format!("pages of {}", kib(pages.page_kib))));
    parts.extend(memory.default_hugepages.then(|| "huge pages".to_owned()));
    parts.join(", ")
}

fn firmware(inventory: &Inventory) -> String {
    let firmware = &inventory.domain.firmware;
    let secure = match firmware.secure_boot {
        SecureBoot::On => ", secure boot",
        SecureBoot::Off => ", no secure boot",
        SecureBoot::Unsaid => "",
    };
    format!("{}{secure}", firmware.kind)
}

fn boot(order: &BootOrder) -> Option<String> {
    let names: Vec<String> = match order {
        BootOrder::ByClass(classes) => classes.iter().map(ToString::to_string).collect(),
        BootOrder::ByDevice(devices) => devices.iter().map(|device| device.device.clone()).collect(),
        BootOrder::Unsaid => Vec::new(),
    };
    (!names.is_empty()).then(|| names.join(", "))
}

fn host(inventory: &Inventory) -> Option<String> {
    let host = inventory.host.as_ref()?;
    let versions = [("libvirt", &host.libvirt_version), ("hypervisor", &host.hypervisor_version)];
    let versions = versions.into_iter().filter_map(|(what, version)| Some(format!("{what} {}", version.as_ref()?)));
    let words: Vec<String> = host.name.clone().into_iter().chain(versions).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// Disks, each with the images under it on rows of their own.
pub(super) fn disks(inventory: &Inventory) -> Table {
    let mut table = Table::new(&["DISK", "BUS", "DEVICE", "FORMAT", "CAPACITY", "ALLOCATED", "SOURCE"]);
    for disk in &inventory.domain.disks {
        let volume = disk.volume.as_ref().and_then(|at| inventory.pools.get(&at.pool)?.volumes.get(&at.volume));
        let capacity = disk.size.map(|size| size.capacity).or_else(|| volume.map(|volume| volume.capacity));
        let allocated = disk.size.map(|size| size.allocation).or_else(|| volume.and_then(|volume| volume.allocation));
        table.row([
            disk.target.clone(),
            disk.bus.as_ref().map_or_else(dash, ToString::to_string),
            disk.device.to_string(),
            disk.format.clone().unwrap_or_else(dash),
            capacity.map_or_else(dash, bytes),
            allocated.map_or_else(dash, bytes),
            whole_source(disk),
        ]);
        for image in &disk.backing.images {
            let BackingImage { source, format, volume } = image;
            let place = in_volume(disk_source(source), volume.as_ref());
            let format = format.clone().unwrap_or_else(dash);
            table.row(["".into(), "".into(), "on".into(), format, "".into(), "".into(), place]);
        }
        if disk.backing.end == ChainEnd::Unseen && !disk.backing.images.is_empty() {
            let cells = ["", "", "on", "", "", "", "perhaps more: libvirt did not tell"];
            table.row(cells);
        }
    }
    table
}

/// The source, its volume, and what is special about it.
fn whole_source(disk: &Disk) -> String {
    let mut text = disk.source.as_ref().map_or_else(|| "empty".to_owned(), disk_source);
    text = in_volume(text, disk.volume.as_ref());
    let mut marks = Vec::new();
    match disk.writes {
        Writes::Exclusive => {}
        Writes::Shared => marks.push("shared".to_owned()),
        Writes::ReadOnly => marks.push("read only".to_owned()),
        Writes::ReadOnlyShared => marks.push("read only, shared".to_owned()),
    }
    marks.extend(disk.encryption.as_ref().map(|encryption| format!("encrypted ({})", encryption.format)));
    marks.extend(disk.serial.as_ref().map(|serial| format!("serial {serial}")));
    marks.extend(disk.mirror.as_ref().map(|_| "a block job copies it".to_owned()));
    if marks.is_empty() { text } else { format!("{text} ({})", marks.join(", ")) }
}

fn in_volume(text: String, volume: Option<&VolumeRef>) -> String {
    match volume {
        Some(VolumeRef { pool, volume }) => format!("{text}, volume {volume} of pool {pool}"),
        None => text,
    }
}

fn disk_source(source: &DiskSource) -> String {
    match source {
        DiskSource::File { path } | DiskSource::Directory { path } | DiskSource::VhostUser { path } => path.clone(),
        DiskSource::Block { device } => device.clone(),
        DiskSource::Network { protocol, name, hosts } => {
            format!("{protocol}:{} at {}", name.as_deref().unwrap_or(""), hosts.join(","))
        }
        DiskSource::Volume { pool, volume, .. } => format!("volume {volume} of pool {pool}"),
        DiskSource::Nvme { address, namespace } => {
            let address = address.as_ref().map_or("", |address| address.as_str());
            format!("nvme {address} namespace {}", namespace.as_deref().unwrap_or(""))
        }
        DiskSource::Unknown { raw } => raw.clone(),
    }
}

/// Interfaces, each address on a row of its own, with where it was learnt and how sure it is.
pub(super) fn nics(inventory: &Inventory) -> Table {
    let mut table = Table::new(&["MAC", "PLUGGED INTO", "MODEL", "VLAN", "MTU", "LINK", "ADDRESS", "LEARNT FROM"]);
    for nic in &inventory.domain.nics {
        let tags: Vec<String> = nic.vlan.tags.iter().map(ToString::to_string).collect();
        let mut addresses = nic.addresses.iter().map(address);
        let (first, origin) = addresses.next().unwrap_or_else(|| (dash(), dash()));
        table.row([
            nic.mac.map_or_else(dash, |mac| mac.to_string()),
            plugged_into(nic, inventory),
            nic.model.clone().unwrap_or_else(dash),
            if tags.is_empty() { dash() } else { tags.join(",") },
            nic.mtu.map_or_else(dash, |mtu| mtu.to_string()),
            nic.link.to_string(),
            first,
            origin,
        ]);
        for (address, origin) in addresses {
            let nothing = String::new;
            table.row([nothing(), nothing(), nothing(), nothing(), nothing(), nothing(), address, origin]);
        }
    }
    table
}

fn address(at: &NicAddress) -> (String, String) {
    let prefix = at.prefix.map(|prefix| format!("/{prefix}")).unwrap_or_default();
    (format!("{}{prefix}", at.ip), format!("{}, {}", word(&at.origin), word(&at.certainty)))
}

/// Devices of the host that the guest has.
pub(super) fn hostdevs(inventory: &Inventory) -> Table {
    let mut table = Table::new(&["KIND", "ON THE HOST", "MODEL"]);
    for device in &inventory.domain.hostdevs {
        table.row([device.kind.to_string(), device.source.clone(), device.model.clone().unwrap_or_else(dash)]);
    }
    table
}

fn plugged_into(nic: &Nic, inventory: &Inventory) -> String {
    let named = |kind: &str, name: Option<&str>| name.map_or_else(|| kind.to_owned(), |name| format!("{kind} {name}"));
    match &nic.source {
        NicSource::Network { network, bridge, .. } => {
            let known = inventory.networks.get(network);
            let forward = known.and_then(|known| known.forward.as_ref()).map(ToString::to_string);
            let bridge = bridge.clone().or_else(|| known.and_then(|known| known.bridge.clone()));
            let more: Vec<String> = [forward, bridge].into_iter().flatten().collect();
            let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
            format!("network {network}{more}")
        }
        NicSource::Bridge { bridge } => named("bridge", bridge.as_deref()),
        NicSource::Direct { device, .. } => named("macvtap on", device.as_deref()),
        NicSource::User => "user-mode network".to_owned(),
        NicSource::Ethernet => "tap device".to_owned(),
        NicSource::Hostdev { address } => named("host device", address.as_ref().map(|address| address.as_str())),
        NicSource::VhostUser { path, .. } => named("vhost-user", path.as_deref()),
        NicSource::Vdpa { device } => named("vdpa", device.as_deref()),
        NicSource::Internal { name } => named("internal network", name.as_deref()),
        NicSource::Socket { transport, .. } => format!("{transport} socket"),
        NicSource::Unknown { raw } => raw.clone(),
    }
}

fn dash() -> String {
    "-".to_owned()
}

fn kib(size: Kib) -> String {
    bytes(Bytes(size.0.saturating_mul(1024)))
}

/// The largest binary unit in which the size is at least one, with one decimal place when it needs one.
pub(super) fn bytes(size: Bytes) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut power = 0_u32;
    while power < 4 && size.0 >= 1024_u64.pow(power + 1) {
        power += 1;
    }
    let unit = UNITS.get(power as usize).copied().unwrap_or("B");
    let scale = 1024_u64.pow(power);
    let (whole, tenth) = (size.0 / scale, (size.0 % scale).saturating_mul(10) / scale);
    if tenth == 0 { format!("{whole} {unit}") } else { format!("{whole}.{tenth} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_the_unit_that_fits() {
        assert_eq!(bytes(Bytes(0)), "0 B");
        assert_eq!(bytes(Bytes(1536)), "1.5 KiB");
        assert_eq!(bytes(Bytes(2 << 30)), "2 GiB");
        assert_eq!(bytes(Bytes(u64::MAX)), "16777215.9 TiB");
        assert_eq!(kib(Kib(8 * 1024 * 1024)), "8 GiB");
    }
}
