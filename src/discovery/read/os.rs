//! `<os>`: machine, firmware, boot classes, and a kernel that is started directly.

use super::source::{keep_source, read_source};
use super::words;
use crate::discovery::disk::DiskSource;
use crate::discovery::domain::{BootClass, DirectBoot, Firmware, FirmwareKind, SecureBoot};
use crate::discovery::known::keep_children;
use crate::discovery::settings::Settings;
use crate::discovery::xml::Element;

/// What `<os>` says.
pub(super) struct Os {
    pub(super) kind: Option<String>,
    pub(super) arch: Option<String>,
    pub(super) machine: Option<String>,
    pub(super) firmware: Firmware,
    pub(super) boot: Vec<BootClass>,
    pub(super) direct_boot: Option<DirectBoot>,
    pub(super) smbios: Settings,
}

/// Reads `<os>`, and `<bootloader>` beside it.
pub(super) fn read(domain: Element<'_>) -> Os {
    let os = domain.child("os");
    let part = |name| os.and_then(|os: Element<'_>| os.child(name));
    let kind = part("type");
    let mut smbios = Settings::new();
    if let Some(mode) = part("smbios").and_then(|element| element.owned("mode")) {
        smbios.insert("mode".to_owned(), mode);
    }
    Os {
        kind: kind.and_then(|kind| kind.text()),
        arch: kind.and_then(|kind| kind.owned("arch")),
        machine: kind.and_then(|kind| kind.owned("machine")),
        boot: os
            .iter()
            .flat_map(|os| os.children("boot"))
            .filter_map(|boot| boot.owned("dev"))
            .map(BootClass::from)
            .collect(),
        firmware: read_firmware(os),
        direct_boot: read_direct_boot(domain, os),
        smbios,
    }
}

/// Reads firmware from `os/@firmware`, or else from the loader, or else BIOS.
fn read_firmware(os: Option<Element<'_>>) -> Firmware {
    let mut settings = Settings::new();
    let part = |name| os.and_then(|os: Element<'_>| os.child(name));
    let (loader, nvram) = (part("loader"), part("nvram"));
    let flash = loader.is_some_and(|loader| loader.attribute("type") == Some("pflash"));
    if let Some(kind) = loader.and_then(|loader| loader.owned("type")) {
        settings.insert("loader.type".to_owned(), kind);
    }
    let kind = match os.and_then(|os| os.owned("firmware")) {
        Some(word) => FirmwareKind::from(word),
        None if flash || nvram.is_some() => FirmwareKind::Uefi,
        None => FirmwareKind::Bios,
    };
    let mut secure = loader.and_then(|loader| loader.attribute("secure"));
    for feature in part("firmware").iter().flat_map(|firmware| firmware.children("feature")) {
        let (name, enabled) = (feature.attribute("name").unwrap_or_default(), feature.attribute("enabled"));
        if name == "secure-boot" {
            secure = enabled.or(secure);
        } else {
            settings.insert(format!("feature.{name}"), enabled.unwrap_or_default().to_owned());
        }
    }
    let firmware = Firmware {
        kind,
        secure_boot: match secure {
            Some("yes") => SecureBoot::On,
            Some(_) => SecureBoot::Off,
            None => SecureBoot::Unsaid,
        },
        loader: loader.and_then(|loader| loader.text()),
        nvram: nvram.and_then(|nvram| read_nvram(nvram, &mut settings)),
        nvram_template: nvram.and_then(|nvram| nvram.owned("template")),
        settings: Settings::new(),
    };
    if let Some(os) = os {
        words::FIRMWARE.keep(os, "", &mut settings);
    }
    Firmware { settings, ..firmware }
}

/// The file of UEFI variables: the text itself, or since libvirt 8.5 any kind of disk source.
fn read_nvram(nvram: Element<'_>, settings: &mut Settings) -> Option<String> {
    let Some(element) = nvram.child("source") else {
        return nvram.text();
    };
    let kind = nvram.attribute("type").unwrap_or("file");
    settings.insert("nvram.type".to_owned(), kind.to_owned());
    let path = match read_source(kind, element)? {
        DiskSource::File { path } | DiskSource::Directory { path } | DiskSource::VhostUser { path } => Some(path),
        DiskSource::Block { device } => Some(device),
        DiskSource::Network { protocol, name, hosts } => {
            Some(format!("{protocol}://{}/{}", hosts.join(","), name.unwrap_or_default()))
        }
        DiskSource::Volume { pool, volume, mode: _ } => Some(format!("{pool}/{volume}")),
        DiskSource::Nvme { .. } | DiskSource::Unknown { .. } => None,
    };
    keep_source(element, "nvram.source", settings);
    path
}

fn read_direct_boot(domain: Element<'_>, os: Option<Element<'_>>) -> Option<DirectBoot> {
    let mut direct = DirectBoot::default();
    if let Some(os) = os {
        direct.kernel = os.text_of("kernel");
        direct.initrd = os.text_of("initrd");
        direct.cmdline = os.text_of("cmdline");
        // The environment of a container's first process may hold secrets: only the names are kept.
        for variable in os.children("initenv") {
            variable.text();
        }
        keep_children(os, words::DIRECT_BOOT, "", &mut direct.settings);
    }
    keep_children(domain, words::BOOTLOADER, "", &mut direct.settings);
    (direct != DirectBoot::default()).then_some(direct)
}
