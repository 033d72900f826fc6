//! The image: the hardware that a guest made from the boot disk needs, as a body of Glance's `POST /v2/images`.
//!
//! Assumes a domain. Guarantees only properties that Nova reads, with Nova's own words as values; where the VM has
//! something that Nova has no word for, the property is left out and the report says so.
//! *Source*: <https://docs.openstack.org/glance/latest/admin/useful-image-properties.html>.

use serde_json::{Map, Value, json};

use super::super::bundle::BundleFile;
use super::cinder::root_disk;
use super::guest_os::guest_os;
use super::hardware::tpm;
use super::image_devices::{write_buses, write_devices, write_features, write_interfaces};
use super::properties::{Properties, Property, place};
use super::vm::{Vm, json_file, printable};
use crate::artifacts::report::Report;
use crate::discovery::{Disk, Domain, DomainType, Firmware, FirmwareKind, SecureBoot};

const GIB: u64 = 1 << 30;

const DISK_FORMAT: &str = "image.json: disk_format";

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

impl Image {
    pub(super) fn of(vm: &Vm<'_>, report: &mut Report<'_>) -> Self {
        let domain = &vm.inventory.domain;
        let root = root_disk(domain);
        let mut image = Self {
            disk_format: root.and_then(disk_format),
            min_disk: root.and_then(|root| vm.inventory.capacity_of(root)).map_or(0, |bytes| bytes.0.div_ceil(GIB)),
            properties: Properties::default(),
            os_version: None,
        };
        if let Some(root) = root {
            if image.min_disk > 0 {
                let rule = "in whole GiB, rounded up";
                report.approximate(&format!("disks[{}].size", root.target), "image.json: min_disk", rule);
            }
            let field = format!("disks[{}].format", root.target);
            match image.disk_format {
                Some(format) if root.format.as_deref() == Some(format) => report.exact(&field, DISK_FORMAT),
                Some(_) => report.approximate(&field, DISK_FORMAT, "by Glance's name for it"),
                None => {}
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
