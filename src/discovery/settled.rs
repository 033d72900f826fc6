//! A domain without what moves by itself: what is left is what somebody decided.
//!
//! Assumes a domain. Guarantees that runtime state leaves no trace (addresses, allocation, the agent's state, block
//! jobs, `vnet0`-like names, ports chosen at start, the bridge a network resolves to), and that a field added to
//! `Domain` does not compile until it is decided here on which side it belongs.

use super::device::{Hostdev, OtherDevice};
use super::disk::{Backing, Disk, DiskSize};
use super::domain::{Domain, Graphics, GraphicsPort, GuestAgent};
use super::inventory::UnknownPart;
use super::memory::Memory;
use super::nic::{Nic, NicSource};
use super::settings::Settings;
use crate::model::units::Bytes;

/// The decided part of `domain`.
pub(super) fn settled(domain: &Domain) -> Domain {
    let Domain {
        identity,
        guest_os,
        platform,
        cpu,
        memory,
        firmware,
        boot,
        direct_boot,
        disks,
        nics,
        hostdevs,
        filesystems,
        tpm,
        watchdogs,
        rngs,
        iommu,
        launch_security,
        guest_agent,
        channels,
        graphics,
        videos,
        consoles,
        controllers,
        devices,
        features,
        clock,
        lifecycle,
        smbios,
        security_labels,
        settings,
        passthrough_arguments,
        metadata,
        unknown,
    } = domain.clone();
    Domain {
        identity,
        guest_os,
        platform,
        cpu,
        memory: settle_memory(memory),
        firmware,
        boot,
        direct_boot,
        disks: disks.into_iter().map(settle_disk).collect(),
        nics: nics.into_iter().map(settle_nic).collect(),
        hostdevs: hostdevs.into_iter().map(settle_hostdev).collect(),
        filesystems,
        tpm,
        watchdogs,
        rngs,
        iommu,
        launch_security,
        guest_agent: guest_agent.map(|GuestAgent { state: _ }| GuestAgent { state: None }),
        channels,
        graphics: graphics.into_iter().map(settle_graphics).collect(),
        videos,
        consoles,
        controllers,
        devices: devices.into_iter().map(settle_device).collect(),
        features,
        clock,
        lifecycle,
        smbios,
        security_labels,
        settings,
        passthrough_arguments,
        metadata,
        // Lines move with whatever stands above them.
        unknown: unknown.into_iter().map(|UnknownPart { path, line: _ }| UnknownPart { path, line: 0 }).collect(),
    }
}

fn drop_under(settings: &mut Settings, prefix: &str) {
    settings.retain(|name, _| !name.starts_with(prefix));
}

fn settle_memory(mut memory: Memory) -> Memory {
    for module in &mut memory.modules {
        // How much of a virtio-mem the guest has taken up, and where libvirt put the module.
        module.settings.remove("target.current");
        module.settings.remove("target.current.unit");
        module.settings.remove("target.address.base");
    }
    memory
}

fn settle_disk(mut disk: Disk) -> Disk {
    // The capacity is decided; how much of it is allocated follows the guest's writes.
    disk.size = disk.size.map(|DiskSize { capacity, allocation: _, physical: _ }| DiskSize {
        capacity,
        allocation: Bytes(0),
        physical: Bytes(0),
    });
    // Which volume it is hangs on pools that come and go, and the chain is told of a running domain alone, else by them;
    // who puts another image on top changes the source.
    (disk.volume, disk.backing) = (None, Backing::default());
    // A job's progress, and a tray that the guest opens.
    disk.mirror = None;
    drop_under(&mut disk.settings, "backing[");
    drop_under(&mut disk.settings, "mirror.");
    disk.settings.remove("target.tray");
    disk
}

fn settle_nic(mut nic: Nic) -> Nic {
    if let NicSource::Network { bridge, .. } = &mut nic.source {
        // What the network resolves to now.
        *bridge = None;
        nic.settings.remove("source.dev");
        nic.settings.remove("source.mode");
    }
    nic.target = nic.target.filter(|name| !is_runtime_name(name));
    nic.settings.remove("mac.currentAddress");
    nic.addresses.clear();
    nic
}

/// Whether libvirt makes such names up at each start.
fn is_runtime_name(name: &str) -> bool {
    ["vnet", "vif", "macvtap", "macvlan"].iter().any(|prefix| {
        name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    })
}

fn settle_hostdev(mut hostdev: Hostdev) -> Hostdev {
    // A device that is named by vendor and product may sit in any port.
    hostdev.settings.remove("source.address");
    hostdev
}

fn settle_graphics(graphics: Graphics) -> Graphics {
    // libvirt fills the address in from its own configuration when the domain starts.
    let Graphics { kind, listen: _, port, mut settings } = graphics;
    drop_under(&mut settings, "listen");
    let port = match port {
        GraphicsPort::Auto(_) => {
            settings.remove("tlsPort");
            GraphicsPort::Auto(None)
        }
        decided @ (GraphicsPort::Fixed(_) | GraphicsPort::Unsaid) => decided,
    };
    if settings.get("websocket").is_some_and(|port| port == "-1") || port == GraphicsPort::Auto(None) {
        settings.remove("websocket");
    }
    Graphics { kind, listen: None, port, settings }
}

fn settle_device(mut device: OtherDevice) -> OtherDevice {
    if device.settings.get("cid.auto").is_some_and(|auto| auto == "yes") {
        device.settings.remove("cid.address");
    }
    device
}
