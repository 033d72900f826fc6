//! Image properties about devices: buses, interfaces, what else is plugged in, and features.
//!
//! Assumes a domain. Guarantees one property for a thing that Nova gives every guest once, chosen from the first that
//! Nova has a word for; of the others the report says why they are not asked for.

use super::hardware::{multiqueue, watchdog_action};
use super::properties::{Properties, Property, place};
use crate::artifacts::report::Report;
use crate::discovery::{Channel, ConsoleRole, Disk, DiskBus, DiskDevice, Domain};

/// Nova's word for a bus; it is libvirt's where it has one.
pub(super) fn nova_bus(bus: &DiskBus) -> Option<&str> {
    match bus {
        DiskBus::Virtio
        | DiskBus::Scsi
        | DiskBus::Sata
        | DiskBus::Ide
        | DiskBus::Usb
        | DiskBus::Fdc
        | DiskBus::Xen
        | DiskBus::Uml => Some(bus.as_str()),
        DiskBus::Sd | DiskBus::Nvme | DiskBus::Unknown(_) => None,
    }
}

const SCSI_MODELS: &[&str] =
    &["buslogic", "ibmvscsi", "lsilogic", "lsisas1068", "lsisas1078", "virtio-scsi", "vmpvscsi"];

pub(super) fn write_buses(properties: &mut Properties, domain: &Domain, root: Option<&Disk>, report: &mut Report<'_>) {
    let bus = |disk: Option<&Disk>| disk.and_then(|disk| disk.bus.as_ref()).and_then(nova_bus).map(str::to_owned);
    let of = |device: &DiskDevice| domain.disks.iter().find(|disk| disk.device == *device);
    for (property, disk) in [
        (Property::DiskBus, root),
        (Property::CdromBus, of(&DiskDevice::Cdrom)),
        (Property::FloppyBus, of(&DiskDevice::Floppy)),
    ] {
        if let (Some(bus), Some(disk)) = (bus(disk), disk) {
            properties.text(property, bus);
            if property != Property::DiskBus {
                report.exact(&format!("disks[{}].bus", disk.target), &place(property));
            }
        }
    }
    let scsi = domain.controllers.iter().enumerate().filter(|(_, controller)| controller.kind == "scsi");
    for (nth, controller) in scsi {
        let model = controller.model.as_deref().filter(|model| SCSI_MODELS.contains(model));
        if let Some(model) = model {
            properties.text(Property::ScsiModel, model);
            report.exact(&format!("controllers[{nth}]"), &place(Property::ScsiModel));
            break;
        }
    }
    let usb = domain.controllers.iter().enumerate().find(|(_, controller)| controller.kind == "usb");
    if let Some((nth, controller)) = usb {
        let known = controller.model.as_deref().filter(|model| ["none", "nec-xhci", "qemu-xhci"].contains(model));
        if let Some(model) = known {
            properties.text(Property::UsbModel, model);
            report.exact(&format!("controllers[{nth}]"), &place(Property::UsbModel));
        }
    }
}

const VIF_MODELS: &[&str] = &[
    "virtio",
    "ne2k_pci",
    "pcnet",
    "rtl8139",
    "e1000",
    "e1000e",
    "netfront",
    "spapr-vlan",
    "lan9118",
    "vmxnet",
    "vmxnet3",
    "igb",
];

/// Nova's word for an interface's model.
fn vif_model(model: &str) -> Option<&str> {
    match model {
        "virtio-transitional" | "virtio-non-transitional" | "virtio-net-pci" => Some("virtio"),
        _ => VIF_MODELS.iter().find(|known| **known == model).copied(),
    }
}

/// One model and one answer about queues for all interfaces.
pub(super) fn write_interfaces(properties: &mut Properties, domain: &Domain, report: &mut Report<'_>) {
    let chosen = domain.nics.iter().find_map(|nic| nic.model.as_deref().and_then(vif_model));
    if let Some(chosen) = chosen {
        properties.text(Property::VifModel, chosen);
    }
    let many = multiqueue(domain);
    if many {
        properties.flag(Property::VifMultiqueue, true);
    }
    for (nth, nic) in domain.nics.iter().enumerate() {
        let key = nic.mac.map_or_else(|| nth.to_string(), |mac| mac.to_string());
        let (model, queues) = (format!("nics[{key}].model"), format!("nics[{key}].queues"));
        let to = place(Property::VifModel);
        match nic.model.as_deref() {
            None => {}
            Some(own) if Some(own) == chosen => report.exact(&model, &to),
            Some(own) if vif_model(own).is_some_and(|word| Some(word) == chosen) => {
                report.approximate(&model, &to, "Nova knows the virtio model without its variants");
            }
            Some(own) if vif_model(own).is_some() => {
                report.refused(&model, "Nova gives every interface one model, and another one's is written");
            }
            Some(_) => report.refused(&model, "Nova knows no such model"),
        }
        if many && nic.queues == Some(domain.cpu.vcpus_max) {
            report.exact(&queues, &place(Property::VifMultiqueue));
        } else if many {
            let rule = "Nova gives every interface as many queues as the guest has processors";
            report.approximate(&queues, &place(Property::VifMultiqueue), rule);
        } else {
            report.not_carried(&queues, "one processor has one queue in Nova");
        }
    }
}

/// The name by which a guest knows its agent's channel.
const AGENT_CHANNEL: &str = "org.qemu.guest_agent.0";
const VIDEO_MODELS: &[&str] = &["cirrus", "qxl", "vga", "vmvga", "xen", "virtio", "gop", "none", "bochs"];
const SOUND_MODELS: &[&str] = &["sb16", "es1370", "pcspk", "ac97", "ich6", "ich9", "usb", "virtio"];

pub(super) fn write_devices(properties: &mut Properties, domain: &Domain, report: &mut Report<'_>) {
    if let Some(action) = watchdog_action(domain) {
        properties.text(Property::WatchdogAction, action);
        let i6300esb = domain.watchdogs.first().is_some_and(|watchdog| watchdog.model == "i6300esb");
        if i6300esb {
            report.exact("watchdogs[0]", &place(Property::WatchdogAction));
        }
        report.approximate(
            "watchdogs[0]",
            &place(Property::WatchdogAction),
            "the action only; Nova's model is i6300esb",
        );
    }
    report.refused("watchdogs[0]", "Nova knows the actions none, pause, poweroff and reset only");
    report.refused("watchdogs", "Nova gives a guest one watchdog");
    if domain.rngs.first().is_some_and(|rng| rng.model.starts_with("virtio") && rng.backend != "egd") {
        properties.text(Property::RngModel, "virtio");
    }
    if let Some(video) = domain.videos.first() {
        match VIDEO_MODELS.iter().find(|known| **known == video.model) {
            Some(model) => {
                properties.text(Property::VideoModel, *model);
                let rule = "the model; Nova decides about memory and screens";
                report.approximate("videos[0]", &place(Property::VideoModel), rule);
            }
            None => report.refused("videos[0]", "Nova knows no such model"),
        }
        report.refused("videos", "Nova gives a guest one display adapter");
    }
    if let Some(iommu) = &domain.iommu {
        if ["intel", "smmuv3", "virtio"].contains(&iommu.model.as_str()) {
            properties.text(Property::ViommuModel, &iommu.model);
            report.exact("iommu.model", &place(Property::ViommuModel));
            report.not_carried("iommu.settings", "Nova sets the IOMMU up by itself");
        }
        report.refused("iommu", "Nova knows the models intel, smmuv3 and virtio only");
    }
    let ports = domain.consoles.iter().filter(|console| console.role == ConsoleRole::Serial).count();
    if ports > 0 {
        properties.number(Property::SerialPortCount, ports as u64);
        let rule = "their number; what is at the host's end is Nova's to choose";
        report.approximate("consoles", &place(Property::SerialPortCount), rule);
    }
    report.not_carried("consoles", "Nova gives every guest a console");
    if domain.guest_agent.is_some() {
        properties.flag(Property::GuestAgent, true);
        let rule = "that there is a channel for one; whether it answers is of now";
        report.approximate("guest_agent", &place(Property::GuestAgent), rule);
        let agent = |channel: &Channel| channel.name.as_deref() == Some(AGENT_CHANNEL);
        for (nth, _) in domain.channels.iter().enumerate().filter(|(_, channel)| agent(channel)) {
            report.approximate(&format!("channels[{nth}]"), &place(Property::GuestAgent), rule);
        }
    }
    let redirections = domain.devices.iter().filter(|device| device.kind == "redirdev").count();
    if (1..=15).contains(&redirections) {
        properties.number(Property::RedirectedUsbPorts, redirections as u64);
    }
    for (nth, device) in domain.devices.iter().enumerate() {
        let field = format!("devices[{nth}]");
        let model = device.model.as_deref().unwrap_or_default();
        match device.kind.as_str() {
            "redirdev" if (1..=15).contains(&redirections) => {
                report.approximate(&field, &place(Property::RedirectedUsbPorts), "their number");
            }
            "sound" if SOUND_MODELS.contains(&model) => {
                properties.text(Property::SoundModel, model);
                report.exact(&field, &place(Property::SoundModel));
            }
            "input" if model == "tablet" => {
                let bus = device.settings.get("bus").map_or("usb", String::as_str);
                if bus == "usb" {
                    properties.text(Property::PointerModel, "usbtablet");
                }
                if bus == "usb" || bus == "virtio" {
                    properties.text(Property::InputBus, bus);
                    report.exact(&field, &place(Property::InputBus));
                }
            }
            _ => {}
        }
    }
}

pub(super) fn write_features(properties: &mut Properties, domain: &Domain, report: &mut Report<'_>) {
    let hpet = domain.clock.timers.iter().find(|timer| timer.name == "hpet");
    if let Some(present) = hpet.and_then(|timer| timer.settings.get("present")) {
        properties.flag(Property::TimeHpet, present == "yes");
        let rule = "the hpet timer alone; the others are as Nova sets them for the guest's system";
        report.approximate("clock.timers", &place(Property::TimeHpet), rule);
    }
    for (name, property) in [("pmu", Property::Pmu), ("kvm.hidden", Property::HideHypervisor)] {
        if let Some(feature) = domain.features.iter().find(|feature| feature.name == name) {
            properties.flag(property, feature.enabled);
            report.exact(&format!("features[{name}]"), &place(property));
        }
    }
    write_address_bits(properties, domain, report);
}

/// How many bits a physical address of the guest has.
fn write_address_bits(properties: &mut Properties, domain: &Domain, report: &mut Report<'_>) {
    let setting = |name: &str| domain.cpu.settings.get(&format!("maxphysaddr.{name}"));
    let bits = setting("bits").and_then(|bits| bits.parse().ok());
    match (setting("mode").map(String::as_str), bits) {
        (Some("passthrough"), _) => properties.text(Property::MaxPhysAddrMode, "passthrough"),
        (Some("emulate"), Some(bits)) => {
            properties.text(Property::MaxPhysAddrMode, "emulate");
            properties.number(Property::MaxPhysAddrBits, bits);
            report.exact("cpu.settings.maxphysaddr.bits", &place(Property::MaxPhysAddrBits));
        }
        (Some(_) | None, _) => return,
    }
    report.exact("cpu.settings.maxphysaddr.mode", &place(Property::MaxPhysAddrMode));
}
