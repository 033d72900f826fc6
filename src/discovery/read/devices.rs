//! `<devices>`: each element to its reader, in the order of the XML.

use super::boot::Orders;
use super::parts::{device_parts, keep_address};
use super::{characters, disk, graphics, hostdev, memory, nic, others, words};
use crate::discovery::device::{
    Channel, Controller, Filesystem, Hostdev, Iommu, OtherDevice, Rng, RngRate, Tpm, Video, Watchdog,
};
use crate::discovery::disk::Disk;
use crate::discovery::domain::{Console, ConsoleRole, Graphics, GuestAgent};
use crate::discovery::error::FieldFault;
use crate::discovery::memory::{Balloon, MemoryModule};
use crate::discovery::nic::Nic;
use crate::discovery::settings::Settings;
use crate::discovery::xml::Element;

/// All devices of a domain.
#[derive(Default)]
pub(super) struct Devices {
    pub(super) emulator: Option<String>,
    pub(super) orders: Orders,
    pub(super) disks: Vec<Disk>,
    pub(super) nics: Vec<Nic>,
    pub(super) hostdevs: Vec<Hostdev>,
    pub(super) filesystems: Vec<Filesystem>,
    pub(super) tpm: Option<Tpm>,
    pub(super) watchdogs: Vec<Watchdog>,
    pub(super) rngs: Vec<Rng>,
    pub(super) iommu: Option<Iommu>,
    pub(super) guest_agent: Option<GuestAgent>,
    pub(super) channels: Vec<Channel>,
    pub(super) graphics: Vec<Graphics>,
    pub(super) videos: Vec<Video>,
    pub(super) consoles: Vec<Console>,
    pub(super) controllers: Vec<Controller>,
    pub(super) balloon: Option<Balloon>,
    pub(super) modules: Vec<MemoryModule>,
    pub(super) others: Vec<OtherDevice>,
}

/// Reads `<devices>`.
pub(super) fn read(domain: Element<'_>) -> Result<Devices, FieldFault> {
    let mut devices = Devices::default();
    let Some(element) = domain.child("devices") else {
        return Ok(devices);
    };
    devices.emulator = element.text_of("emulator");
    let mut redirections = 0;
    for device in element.elements().filter(|device| device.namespace().is_none()) {
        read_device(device, &mut devices, &mut redirections)?;
    }
    // Serial ports before consoles, whatever the order of the XML.
    devices.consoles.sort_by_key(|console| console.role == ConsoleRole::Console);
    Ok(devices)
}

/// Reads one device into its list. A kind that is not known, or a second one of what there is once, stays unread.
fn read_device(device: Element<'_>, devices: &mut Devices, redirections: &mut usize) -> Result<(), FieldFault> {
    let name = device.name();
    if name == "emulator" || (name == "iommu" && devices.iommu.is_some()) {
        return Ok(());
    }
    device.mark();
    match name {
        "disk" => devices.disks.push(disk::read(device, &mut devices.orders)?),
        "interface" => devices.nics.push(nic::read(device, devices.nics.len(), &mut devices.orders)?),
        "hostdev" => devices.hostdevs.push(hostdev::read(device, devices.hostdevs.len(), &mut devices.orders)?),
        "filesystem" => {
            // Another kind of device that a guest may boot from.
            let nth = devices.filesystems.len();
            devices.orders.read(device, || format!("filesystem:{nth}"))?;
            devices.filesystems.push(read_filesystem(device));
        }
        // A proxy (`tpm-spapr-proxy`) stands beside the one that the guest's firmware uses.
        "tpm" if devices.tpm.is_none() => devices.tpm = Some(read_tpm(device)),
        "watchdog" => devices.watchdogs.push(read_watchdog(device)),
        "rng" => devices.rngs.push(read_rng(device)),
        "iommu" => devices.iommu = Some(read_iommu(device)),
        "channel" => {
            let (channel, agent) = characters::read_channel(device);
            devices.guest_agent = devices.guest_agent.take().or(agent);
            devices.channels.push(channel);
        }
        "graphics" => devices.graphics.push(graphics::read(device)),
        "video" => devices.videos.push(graphics::read_video(device)),
        "serial" => devices.consoles.push(characters::read_console(device, ConsoleRole::Serial)),
        "console" => devices.consoles.push(characters::read_console(device, ConsoleRole::Console)),
        "controller" => devices.controllers.push(read_controller(device)),
        "memballoon" if devices.balloon.is_none() => devices.balloon = memory::read_balloon(device),
        "memory" => devices.modules.push(memory::read_module(device)?),
        _ => {
            if name == "redirdev" {
                devices.orders.read(device, || format!("redirdev:{redirections}"))?;
                *redirections += 1;
            }
            match others::read(device) {
                Some(other) => devices.others.push(other),
                None => device.unmark(),
            }
        }
    }
    Ok(())
}

fn read_filesystem(device: Element<'_>) -> Filesystem {
    let mut settings = Settings::new();
    let source = device.child("source");
    let said = |name| source.and_then(|source: Element<'_>| source.owned(name));
    let kind = device.owned("type").unwrap_or_else(|| "mount".to_owned());
    let filesystem = Filesystem {
        driver: device.child("driver").and_then(|driver| driver.owned("type")),
        source: match kind.as_str() {
            "mount" | "bind" => said("dir").or_else(|| said("socket")),
            "file" => said("file"),
            "block" => said("dev"),
            "template" => said("name"),
            "volume" => said("volume"),
            _ => None,
        },
        kind,
        target: device.child("target").and_then(|target| target.owned("dir")),
        read_only: device.child("readonly").is_some(),
        settings: Settings::new(),
    };
    keep_address(device_parts(device, &mut settings), &mut settings);
    words::FILESYSTEM.keep(device, "", &mut settings);
    Filesystem { settings, ..filesystem }
}

fn read_tpm(device: Element<'_>) -> Tpm {
    let mut settings = Settings::new();
    let backend = device.child("backend");
    let said = |name| backend.and_then(|backend: Element<'_>| backend.owned(name));
    if let Some(encryption) = backend.and_then(|backend| backend.child("encryption")) {
        encryption.ignore();
        settings.insert("backend.encryption".to_owned(), String::new());
    }
    let tpm = Tpm {
        model: device.owned("model"),
        backend: said("type").unwrap_or_default(),
        version: said("version"),
        settings: Settings::new(),
    };
    keep_address(device_parts(device, &mut settings), &mut settings);
    words::TPM.keep(device, "", &mut settings);
    Tpm { settings, ..tpm }
}

fn read_watchdog(device: Element<'_>) -> Watchdog {
    let mut settings = Settings::new();
    Watchdog {
        model: device.owned("model").unwrap_or_default(),
        // libvirt's default.
        action: device.owned("action").unwrap_or_else(|| "reset".to_owned()),
        address: device_parts(device, &mut settings),
        settings,
    }
}

fn read_rng(device: Element<'_>) -> Rng {
    let mut settings = Settings::new();
    let backend = device.child("backend");
    let rate = device.child("rate").and_then(|rate| {
        let bytes = rate.number_if_any("bytes")?;
        Some(RngRate { bytes, period_ms: rate.number_if_any("period").unwrap_or(1000) })
    });
    if let Some(backend) = backend {
        characters::leave_out_runtime_paths(backend);
    }
    let rng = Rng {
        model: device.owned("model").unwrap_or_default(),
        backend: backend.and_then(|backend| backend.owned("model")).unwrap_or_default(),
        source: backend.and_then(|backend| backend.text()),
        rate,
        settings: Settings::new(),
    };
    keep_address(device_parts(device, &mut settings), &mut settings);
    words::RNG.keep(device, "", &mut settings);
    Rng { settings, ..rng }
}

fn read_iommu(device: Element<'_>) -> Iommu {
    let mut settings = Settings::new();
    let model = device.owned("model").unwrap_or_default();
    keep_address(device_parts(device, &mut settings), &mut settings);
    words::IOMMU.keep(device, "", &mut settings);
    Iommu { model, settings }
}

fn read_controller(device: Element<'_>) -> Controller {
    let mut settings = Settings::new();
    let controller = Controller {
        kind: device.owned("type").unwrap_or_default(),
        index: device.number_if_any("index"),
        model: device.owned("model"),
        address: device_parts(device, &mut settings),
        settings: Settings::new(),
    };
    words::CONTROLLER.keep(device, "", &mut settings);
    Controller { settings, ..controller }
}
