//! The image: the hardware that a guest made from the boot disk needs, as a body of Glance's `POST /v2/images`.
//!
//! Assumes a domain. Guarantees only properties that Nova reads, with Nova's own words as values; where the VM has
//! something that Nova has no word for, the property is left out and the report says so.
//! *Source*: <https://docs.openstack.org/glance/latest/admin/useful-image-properties.html>.

use serde_json::{Map, Value, json};

use super::super::bundle::BundleFile;
use super::cinder::{capacity, root_disk};
use super::guest_os::guest_os;
use super::hardware::{multiqueue, tpm, watchdog_action};
use super::properties::{Properties, Property};
use super::vm::{Vm, json_file, printable};
use crate::artifacts::report::Report;
use crate::discovery::{
    ConsoleRole, Disk, DiskBus, DiskDevice, Domain, DomainType, Firmware, FirmwareKind, SecureBoot,
};

const GIB: u64 = 1 << 30;

/// Formats that Glance takes, by libvirt's name.
const DISK_FORMATS: &[(&str, &str)] = &[
    ("raw", "raw"),
    ("qcow2", "qcow2"),
    ("vmdk", "vmdk"),
    ("vdi", "vdi"),
    ("vpc", "vhd"),
    ("vhdx", "vhdx"),
    ("ploop", "ploop"),
    ("iso", "iso"),
];

/// An image.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) disk_format: Option<&'static str>,
    /// *Units*: GiB.
    pub(super) min_disk: u64,
    pub(super) properties: Properties,
    os_version: Option<String>,
}

/// Where a property is, for the report.
fn place(property: Property) -> String {
    format!("image.json: {}", property.name())
}

impl Image {
    pub(super) fn of(vm: &Vm<'_>, report: &mut Report<'_>) -> Self {
        let domain = &vm.inventory.domain;
        let root = root_disk(domain);
        let mut image = Self {
            disk_format: root.and_then(disk_format),
            min_disk: root.and_then(|root| capacity(root, vm.inventory)).map_or(0, |bytes| bytes.0.div_ceil(GIB)),
            properties: Properties::default(),
            os_version: None,
        };
        if let Some(root) = root {
            if image.min_disk > 0 {
                let rule = "in whole GiB, rounded up";
                report.approximate(&format!("disks[{}].size", root.target), "image.json: min_disk", rule);
            }
            if image.disk_format.is_some() {
                report.exact(&format!("disks[{}].format", root.target), "image.json: disk_format");
            }
        }
        let properties = &mut image.properties;
        write_platform(properties, domain, report);
        write_firmware(properties, &domain.firmware, report);
        write_buses(properties, domain, root, report);
        write_interfaces(properties, domain, report);
        write_devices(properties, domain, report);
        write_features(properties, domain, report);
        if let Some(Ok(tpm)) = tpm(domain) {
            properties.text(Property::TpmModel, tpm.model);
            properties.text(Property::TpmVersion, tpm.version);
        }
        if let Some(os) = domain.guest_os.as_deref().and_then(guest_os) {
            properties.text(Property::OsDistro, os.distro);
            if let Some(family) = os.family {
                properties.text(Property::OsType, family);
            }
            image.os_version = os.version.map(str::to_owned);
            let rule = "libosinfo's id in Glance's words, and whole as the mark covirt:libosinfo";
            report.approximate("guest_os", "image.json: os_distro, os_version, os_type", rule);
        }
        image
    }

    /// The body.
    pub(super) fn file(&self, vm: &Vm<'_>) -> BundleFile {
        let mut body: Map<String, Value> = Map::new();
        let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
        put("name", json!(format!("{}-root", printable(&vm.name, 250))));
        put("visibility", json!("private"));
        put("container_format", json!("bare"));
        if let Some(format) = self.disk_format {
            put("disk_format", json!(format));
        }
        put("min_disk", json!(self.min_disk));
        put("min_ram", json!(0));
        put("protected", json!(false));
        if let Some(version) = &self.os_version {
            put("os_version", json!(version));
        }
        body.extend(self.properties.in_glance());
        json_file("api/image.json", &Value::Object(body))
    }
}

fn disk_format(disk: &Disk) -> Option<&'static str> {
    let format = disk.format.as_deref()?;
    DISK_FORMATS.iter().find(|(libvirt, _)| *libvirt == format).map(|(_, glance)| *glance)
}

/// Nova's names of architectures are libvirt's.
const ARCHITECTURES: &[&str] = &[
    "alpha",
    "armv6",
    "armv7l",
    "armv7b",
    "aarch64",
    "cris",
    "i686",
    "ia64",
    "lm32",
    "m68k",
    "microblaze",
    "microblazeel",
    "mips",
    "mipsel",
    "mips64",
    "mips64el",
    "openrisc",
    "parisc",
    "parisc64",
    "ppc",
    "ppcle",
    "ppc64",
    "ppc64le",
    "ppcemb",
    "s390",
    "s390x",
    "sh4",
    "sh4eb",
    "sparc",
    "sparc64",
    "unicore32",
    "x86_64",
    "xtensa",
    "xtensaeb",
];

fn write_platform(properties: &mut Properties, domain: &Domain, report: &mut Report<'_>) {
    let platform = &domain.platform;
    if let Some(arch) = platform.arch.as_deref().filter(|arch| ARCHITECTURES.contains(arch)) {
        properties.text(Property::Architecture, arch);
        report.exact("platform.arch", &place(Property::Architecture));
    }
    report.refused("platform.arch", "Nova knows no such architecture");
    if let Some(machine) = &platform.machine {
        properties.text(Property::MachineType, machine);
        report.exact("platform.machine", &place(Property::MachineType));
    }
    // Nova's modes are libvirt's types of operating system.
    if let Some(mode) = platform.os_type.as_deref().filter(|mode| ["hvm", "xen", "uml", "exe"].contains(mode)) {
        properties.text(Property::VmMode, mode);
        report.exact("platform.os_type", &place(Property::VmMode));
    }
    report.refused("platform.os_type", "Nova knows no such mode of running");
    match &platform.domain_type {
        DomainType::Kvm | DomainType::Qemu | DomainType::Xen | DomainType::Lxc => {
            properties.text(Property::HypervisorType, platform.domain_type.as_str());
            report.exact("platform.domain_type", &place(Property::HypervisorType));
        }
        DomainType::Test
        | DomainType::Hvf
        | DomainType::Bhyve
        | DomainType::Vmware
        | DomainType::Hyperv
        | DomainType::Parallels
        | DomainType::Vz
        | DomainType::Vbox
        | DomainType::Unknown(_) => report.refused("platform.domain_type", "Nova's libvirt driver runs no such guests"),
    }
    report.not_carried("platform.emulator", "libvirt chooses the hypervisor's program on the host");
}

fn write_firmware(properties: &mut Properties, firmware: &Firmware, report: &mut Report<'_>) {
    let kind = match &firmware.kind {
        FirmwareKind::Bios => Some("bios"),
        FirmwareKind::Uefi => Some("uefi"),
        FirmwareKind::Unknown(_) => None,
    };
    if let Some(kind) = kind {
        properties.text(Property::FirmwareType, kind);
        report.approximate("firmware.kind", &place(Property::FirmwareType), "Nova says uefi where libvirt says efi");
    }
    report.refused("firmware.kind", "Nova knows bios and uefi only");
    let secure = match firmware.secure_boot {
        SecureBoot::On => Some("required"),
        SecureBoot::Off => Some("disabled"),
        SecureBoot::Unsaid => None,
    };
    if let (Some(secure), FirmwareKind::Uefi) = (secure, &firmware.kind) {
        properties.text(Property::SecureBoot, secure);
        report.exact("firmware.secure_boot", &place(Property::SecureBoot));
    }
    report.not_carried("firmware.secure_boot", "it is not asked for, and Nova's default is the same");
    if firmware.settings.get("loader.stateless").is_some_and(|word| word == "yes") {
        properties.flag(Property::FirmwareStateless, true);
        report.exact("firmware.settings.loader.stateless", &place(Property::FirmwareStateless));
    }
    if let Some(word) = firmware.settings.get("bootmenu.enable") {
        properties.flag(Property::BootMenu, word == "yes");
        report.exact("firmware.settings.bootmenu.enable", &place(Property::BootMenu));
    }
    report.not_carried("firmware.loader", "libvirt and Nova choose the file on the host");
    report.refused(
        "firmware.nvram",
        "the firmware's variables (boot entries, enrolled keys) do not travel: Nova starts anew",
    );
    report.not_carried("firmware", "libvirt and Nova choose the file on the host");
}

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

fn write_buses(properties: &mut Properties, domain: &Domain, root: Option<&Disk>, report: &mut Report<'_>) {
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
fn write_interfaces(properties: &mut Properties, domain: &Domain, report: &mut Report<'_>) {
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

const VIDEO_MODELS: &[&str] = &["cirrus", "qxl", "vga", "vmvga", "xen", "virtio", "gop", "none", "bochs"];
const SOUND_MODELS: &[&str] = &["sb16", "es1370", "pcspk", "ac97", "ich6", "ich9", "usb", "virtio"];

fn write_devices(properties: &mut Properties, domain: &Domain, report: &mut Report<'_>) {
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
        properties.number(Property::SerialPortCount, ports);
        let rule = "their number; what is at the host's end is Nova's to choose";
        report.approximate("consoles", &place(Property::SerialPortCount), rule);
    }
    report.not_carried("consoles", "Nova gives every guest a console");
    if domain.guest_agent.is_some() {
        properties.flag(Property::GuestAgent, true);
        report.exact("guest_agent", &place(Property::GuestAgent));
    }
    let redirections = domain.devices.iter().filter(|device| device.kind == "redirdev").count();
    if (1..=15).contains(&redirections) {
        properties.number(Property::RedirectedUsbPorts, redirections);
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

fn write_features(properties: &mut Properties, domain: &Domain, report: &mut Report<'_>) {
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
}
