//! Domain XML to `Domain`.
//!
//! Assumes nothing: the text may come from any libvirt, from a file, or from somebody hostile. Guarantees a whole
//! domain or one refusal with its line; what the model does not know is passed over.

use super::boot::Orders;
use super::cpu::{Cpu, CpuMode, Topology};
use super::disk::Disk;
use super::domain::{
    AgentState, Clock, Console, ConsoleRole, Domain, DomainType, Firmware, FirmwareKind, Graphics, GraphicsPort,
    GraphicsType, GuestAgent, Identity, ManagerMark, Platform, SecureBoot,
};
use super::error::ParseDomainError;
use super::limits::Limits;
use super::memory::Memory;
use super::nic::Nic;
use super::quantity::{read_kib, shorten};
use super::raw::{self, RawFault};
use super::settings::Settings;
use super::survey::{Survey, survey};
use crate::model::units::Kib;

const DISK: &[&str] = &["domain", "devices", "disk"];
const INTERFACE: &[&str] = &["domain", "devices", "interface"];
const HOSTDEV: &[&str] = &["domain", "devices", "hostdev"];
const REDIRDEV: &[&str] = &["domain", "devices", "redirdev"];

/// The name of the guest agent's channel.
const AGENT_CHANNEL: &str = "org.qemu.guest_agent.0";

/// Reads a domain XML.
///
/// *Errors*: `domain-too-large`, `domain-too-deep`, `domain-unsupported`, `domain-malformed`.
/// *Source*: <https://libvirt.org/formatdomain.html>.
pub fn parse_domain(xml: impl AsRef<[u8]>, limits: Limits) -> Result<Domain, ParseDomainError> {
    let survey = survey(xml.as_ref(), "domain", limits)?;
    let raw: raw::Domain = raw::read(survey.text)?;
    let text = survey.text;
    read_domain(raw, survey).map_err(|fault| {
        let (place, field, reason) = fault.placed(text);
        ParseDomainError::Field { place, field, reason }
    })
}

fn read_domain(raw: raw::Domain, survey: Survey<'_>) -> Result<Domain, RawFault> {
    let raw::Domain { kind, name, uuid, title, description, memory, current_memory, vcpu, os, cpu, devices } = raw;
    let name = name
        .filter(|name| !name.is_empty())
        .ok_or_else(|| RawFault::new(&["domain", "name"], "every domain has a name"))?;
    let uuid = match uuid {
        Some(text) => Some(
            text.parse()
                .map_err(|_| RawFault::new(&["domain", "uuid"], format!("{:?} is not a UUID", shorten(&text))))?,
        ),
        None => None,
    };
    let raw::Devices { disks, interfaces, channels, graphics, serials, consoles, hostdevs, redirdevs } = devices;
    let mut orders = Orders::default();
    let disks = read_disks(disks, &mut orders)?;
    let nics = read_nics(interfaces, &mut orders)?;
    for (path, label, devices) in [(HOSTDEV, "hostdev", hostdevs), (REDIRDEV, "redirdev", redirdevs)] {
        for (nth, device) in devices.iter().enumerate() {
            orders.read(device.boot.as_ref(), path, nth, || format!("{label}:{nth}"))?;
        }
    }
    Ok(Domain {
        identity: Identity { uuid, name, title, description, genid: None, hwuuid: None },
        guest_os: survey.guest_os,
        memory: read_memory(memory.as_ref(), current_memory.as_ref(), cpu.as_ref())?,
        cpu: read_cpu(vcpu, cpu)?,
        firmware: read_firmware(&os),
        boot: orders.settle(&os)?,
        platform: read_platform(kind, os.kind),
        disks,
        nics,
        guest_agent: read_agent(channels),
        graphics: graphics.into_iter().map(read_graphics).collect(),
        consoles: read_consoles(serials, ConsoleRole::Serial)
            .chain(read_consoles(consoles, ConsoleRole::Console))
            .collect(),
        metadata: survey
            .namespaces
            .into_iter()
            .map(|namespace| ManagerMark { namespace, element: String::new() })
            .collect(),
        direct_boot: None,
        hostdevs: Vec::new(),
        filesystems: Vec::new(),
        tpm: None,
        watchdogs: Vec::new(),
        rngs: Vec::new(),
        iommu: None,
        launch_security: None,
        channels: Vec::new(),
        videos: Vec::new(),
        controllers: Vec::new(),
        devices: Vec::new(),
        features: Vec::new(),
        clock: Clock::default(),
        lifecycle: Settings::new(),
        smbios: Settings::new(),
        security_labels: Vec::new(),
        settings: Settings::new(),
        passthrough_arguments: 0,
        unknown: Vec::new(),
    })
}

fn read_platform(kind: Option<String>, os_type: Option<raw::OsType>) -> Platform {
    let os_type = os_type.unwrap_or_default();
    Platform {
        domain_type: DomainType::from(kind.unwrap_or_default()),
        os_type: os_type.kind,
        arch: os_type.arch,
        machine: os_type.machine,
        emulator: None,
    }
}

/// A whole number in an attribute or element, or `default` where it is missing.
fn read_number(text: Option<&str>, path: &'static [&'static str], default: u32) -> Result<u32, RawFault> {
    text.map_or(Ok(default), |text| {
        text.trim().parse().map_err(|_| RawFault::new(path, format!("{:?} is not a whole number", shorten(text))))
    })
}

fn read_cpu(vcpu: Option<raw::Vcpu>, cpu: Option<raw::Cpu>) -> Result<Cpu, RawFault> {
    const VCPU: &[&str] = &["domain", "vcpu"];
    const TOPOLOGY: &[&str] = &["domain", "cpu", "topology"];
    let vcpu = vcpu.unwrap_or_default();
    let cpu = cpu.unwrap_or_default();
    let vcpus_max = read_number(vcpu.count.as_deref(), VCPU, 1)?;
    let vcpus = read_number(vcpu.current.as_deref(), VCPU, vcpus_max)?;
    let part = |text: &Option<String>| read_number(text.as_deref(), TOPOLOGY, 1);
    let topology = match &cpu.topology {
        Some(raw) => Some(Topology {
            sockets: part(&raw.sockets)?,
            dies: part(&raw.dies)?,
            clusters: part(&raw.clusters)?,
            cores: part(&raw.cores)?,
            threads: part(&raw.threads)?,
        }),
        None => None,
    };
    Ok(Cpu { vcpus_max, vcpus, mode: cpu.mode.map(CpuMode::from), model: cpu.model, topology, ..Cpu::default() })
}

/// Reads memory; a domain may leave `<memory>` out and give it by NUMA cell.
fn read_memory(
    max: Option<&raw::Quantity>,
    current: Option<&raw::Quantity>,
    cpu: Option<&raw::Cpu>,
) -> Result<Memory, RawFault> {
    const MEMORY: &[&str] = &["domain", "memory"];
    const CURRENT: &[&str] = &["domain", "currentMemory"];
    const CELL: &[&str] = &["domain", "cpu", "numa", "cell"];
    let read = |quantity: Option<&raw::Quantity>, path| {
        let Some((number, unit)) = quantity.and_then(|q| q.number.as_deref().map(|number| (number, &q.unit))) else {
            return Ok(None);
        };
        read_kib(number, unit.as_deref()).map(Some).map_err(|fault| RawFault::new(path, fault))
    };
    let max_kib = match read(max, MEMORY)? {
        Some(kib) => kib,
        None => {
            let cells = cpu.and_then(|cpu| cpu.numa.as_ref()).map(|numa| numa.cells.as_slice()).unwrap_or_default();
            let mut sum = 0_u64;
            for (nth, cell) in cells.iter().enumerate() {
                let fault = |reason: &dyn std::fmt::Display| RawFault::nth(CELL, nth, reason);
                let number = cell.memory.as_deref().unwrap_or("0");
                let kib = read_kib(number, cell.unit.as_deref()).map_err(|reason| fault(&reason))?;
                sum = sum.checked_add(kib.0).ok_or_else(|| fault(&"the cells add up to more than 2^64 KiB"))?;
            }
            Kib(sum)
        }
    };
    Ok(Memory { max_kib, current_kib: read(current, CURRENT)?.unwrap_or(max_kib), ..Memory::default() })
}

/// Reads firmware from `os/@firmware`, or else from the loader, or else BIOS.
fn read_firmware(os: &raw::Os) -> Firmware {
    let loader = os.loader.as_ref();
    let flash = loader.is_some_and(|loader| loader.kind.as_deref() == Some("pflash"));
    let kind = match os.firmware.clone() {
        Some(word) => FirmwareKind::from(word),
        None if flash || os.nvram.is_some() => FirmwareKind::Uefi,
        None => FirmwareKind::Bios,
    };
    let feature = os
        .features
        .iter()
        .flat_map(|firmware| &firmware.features)
        .find(|feature| feature.name.as_deref() == Some("secure-boot"))
        .and_then(|feature| feature.enabled.as_deref());
    let secure_boot = match feature.or_else(|| loader.and_then(|loader| loader.secure.as_deref())) {
        Some("yes") => SecureBoot::On,
        Some(_) => SecureBoot::Off,
        None => SecureBoot::Unsaid,
    };
    let nvram = os
        .nvram
        .as_ref()
        .and_then(|nvram| nvram.path.clone().or_else(|| nvram.source.as_ref().and_then(|source| source.file.clone())));
    Firmware {
        kind,
        secure_boot,
        loader: loader.and_then(|loader| loader.path.clone()),
        nvram,
        nvram_template: None,
        settings: Settings::new(),
    }
}

fn read_disks(raw: Vec<raw::Disk>, orders: &mut Orders) -> Result<Vec<Disk>, RawFault> {
    let mut disks: Vec<Disk> = Vec::with_capacity(raw.len());
    for (nth, disk) in raw.into_iter().enumerate() {
        let target = disk.target.as_ref().and_then(|target| target.dev.clone()).unwrap_or_default();
        let order = orders.read(disk.boot.as_ref(), DISK, nth, || format!("disk:{target}"))?;
        disks.push(Disk::from_raw(disk, order).map_err(|reason| RawFault::nth(DISK, nth, reason))?);
    }
    Ok(disks)
}

fn read_nics(raw: Vec<raw::Interface>, orders: &mut Orders) -> Result<Vec<Nic>, RawFault> {
    let mut nics = Vec::with_capacity(raw.len());
    for (nth, mut interface) in raw.into_iter().enumerate() {
        let boot = interface.boot.take();
        let mut nic = Nic::from_raw(interface, None).map_err(|reason| RawFault::nth(INTERFACE, nth, reason))?;
        nic.boot_order = orders.read(boot.as_ref(), INTERFACE, nth, || match nic.mac {
            Some(mac) => format!("nic:{mac}"),
            None => format!("nic:{nth}"),
        })?;
        nics.push(nic);
    }
    Ok(nics)
}

fn read_agent(channels: Vec<raw::Channel>) -> Option<GuestAgent> {
    let target =
        channels.into_iter().filter_map(|channel| channel.target).find(|t| t.name.as_deref() == Some(AGENT_CHANNEL))?;
    Some(GuestAgent { state: target.state.map(AgentState::from) })
}

fn read_graphics(raw: raw::Graphics) -> Graphics {
    // libvirt writes -1 for "not chosen yet".
    let now = raw.port.as_deref().and_then(|port| port.parse::<u16>().ok());
    let port = match (raw.autoport.as_deref(), raw.port.as_deref(), now) {
        (Some("yes"), _, now) => GraphicsPort::Auto(now),
        (_, Some("-1"), _) => GraphicsPort::Auto(None),
        (_, _, Some(port)) => GraphicsPort::Fixed(port),
        (_, _, None) => GraphicsPort::Unsaid,
    };
    let listen = raw.listen.or_else(|| raw.listens.into_iter().find_map(|listen| listen.address.or(listen.socket)));
    Graphics { kind: GraphicsType::from(raw.kind.unwrap_or_default()), listen, port }
}

fn read_consoles(raw: Vec<raw::Character>, role: ConsoleRole) -> impl Iterator<Item = Console> {
    raw.into_iter().map(move |raw| {
        let target = raw.target.unwrap_or_default();
        Console {
            role,
            kind: raw.kind.unwrap_or_default(),
            target: target.kind,
            port: target.port.and_then(|port| port.parse().ok()),
        }
    })
}
