//! Domain XML to `Domain`.
//!
//! Assumes nothing: the text may come from any libvirt, from a file, or from somebody hostile. Guarantees a whole
//! domain or one refusal with its line; what no reader here asks for is listed in `Domain::unknown`.
//!
//! Each reader takes the typed parts of its element first and keeps the rest of what it knows by path in `settings`.
//! What libvirt makes up for one run is known and left out: a device's `alias` (but for those an administrator chose,
//! `ua-…`), the domain's `id`, paths of ptys, sockets in libvirt's own folders, block job state, private data.

mod boot;
mod characters;
mod cpu;
mod devices;
mod disk;
mod features;
mod graphics;
mod hostdev;
mod memory;
mod metadata;
mod nic;
mod os;
mod others;
mod parts;
mod source;
mod words;

use uuid::Uuid;

use super::domain::{Domain, DomainType, Identity, Platform, SecurityLabel};
use super::error::{Document, FieldFault, ParseError};
use super::known::keep_children;
use super::limits::Limits;
use super::quantity::shorten;
use super::settings::Settings;
use super::xml::{self, Element};

/// Reads a domain XML.
///
/// *Errors*: `domain-too-large`, `domain-too-deep`, `domain-unsupported`, `domain-malformed`.
/// *Source*: <https://libvirt.org/formatdomain.html>.
pub fn parse_domain(xml: impl AsRef<[u8]>, limits: Limits) -> Result<Domain, ParseError> {
    let read = xml::read(xml.as_ref(), Document::Domain.root(), limits, read_domain);
    let (domain, unknown) = read.map_err(|fault| ParseError::new(Document::Domain, fault))?;
    Ok(Domain { unknown, ..domain })
}

fn read_domain(domain: Element<'_>) -> Result<Domain, FieldFault> {
    // The number of this run.
    domain.ignore_attributes(&["id"]);
    let mut settings = Settings::new();
    let identity = read_identity(domain, &mut settings)?;
    let os = os::read(domain);
    let mut devices = devices::read(domain)?;
    let (cpu, numa_kib) = cpu::read(domain)?;
    let mut memory = memory::read(domain, numa_kib)?;
    memory.balloon = devices.balloon;
    memory.modules = devices.modules;
    let mut smbios = os.smbios;
    metadata::read_sysinfo(domain, &mut smbios);
    let (guest_os, metadata) = metadata::read(domain);
    let launch_security = metadata::read_launch_security(domain);
    let passthrough_arguments = metadata::read_passthrough(domain, &mut settings);
    let mut lifecycle = Settings::new();
    keep_children(domain, words::LIFECYCLE, "", &mut lifecycle);
    keep_children(domain, words::DOMAIN, "", &mut settings);
    Ok(Domain {
        identity,
        guest_os,
        platform: Platform {
            domain_type: DomainType::from(domain.owned("type").unwrap_or_default()),
            os_type: os.kind,
            arch: os.arch,
            machine: os.machine,
            emulator: devices.emulator,
        },
        cpu,
        memory,
        firmware: os.firmware,
        boot: std::mem::take(&mut devices.orders).settle(os.boot, domain)?,
        direct_boot: os.direct_boot,
        disks: devices.disks,
        nics: devices.nics,
        hostdevs: devices.hostdevs,
        filesystems: devices.filesystems,
        tpm: devices.tpm,
        watchdogs: devices.watchdogs,
        rngs: devices.rngs,
        iommu: devices.iommu,
        launch_security,
        guest_agent: devices.guest_agent,
        channels: devices.channels,
        graphics: devices.graphics,
        videos: devices.videos,
        consoles: devices.consoles,
        controllers: devices.controllers,
        devices: devices.others,
        features: features::read(domain),
        clock: features::read_clock(domain),
        lifecycle,
        smbios,
        security_labels: domain.children("seclabel").map(read_label).collect(),
        settings,
        passthrough_arguments,
        metadata,
        unknown: Vec::new(),
    })
}

fn read_identity(domain: Element<'_>, settings: &mut Settings) -> Result<Identity, FieldFault> {
    let name = domain.text_of("name").ok_or_else(|| domain.missing("name", "every domain has a name"))?;
    let genid = domain.child("genid");
    if genid.is_some_and(|genid| genid.is_bare()) {
        // Asked for; libvirt makes one up when it defines the domain.
        settings.insert("genid".to_owned(), String::new());
    }
    Ok(Identity {
        uuid: domain.child("uuid").map(read_uuid).transpose()?,
        name,
        title: domain.text_of("title"),
        description: domain.text_of("description"),
        genid: genid.filter(|genid| !genid.is_bare()).map(read_uuid).transpose()?,
        hwuuid: domain.child("hwuuid").map(read_uuid).transpose()?,
    })
}

fn read_uuid(element: Element<'_>) -> Result<Uuid, FieldFault> {
    let text = element.text().unwrap_or_default();
    text.trim().parse().map_err(|_| element.fault(format!("{:?} is not a UUID", shorten(&text))))
}

fn read_label(element: Element<'_>) -> SecurityLabel {
    let kind = element.owned("type");
    let label = element.text_of("label");
    // libvirt's label of the images, derived from the label.
    element.ignore_children("imagelabel");
    SecurityLabel {
        model: element.owned("model"),
        relabel: element.owned("relabel"),
        // A dynamic label is made up at each start.
        label: label.filter(|_| kind.as_deref().is_some_and(|kind| kind != "dynamic")),
        base_label: element.text_of("baselabel"),
        kind,
    }
}
