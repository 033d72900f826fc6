//! What one domain XML says, in the model's own words; disks and interfaces have their own files.
//!
//! Assumes nothing about the libvirt that wrote it. Guarantees that sizes carry their unit, that foreign words are
//! kept when unknown, and that no secret and no file system path of a runtime device (a pty) is in here.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::disk::Disk;
use super::foreign::foreign;
use super::nic::Nic;
use crate::model::units::Kib;

/// One domain, live or inactive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Who it is.
    pub identity: Identity,
    /// libosinfo's id of the guest's operating system, when somebody recorded it.
    pub guest_os: Option<String>,
    /// What runs it.
    pub platform: Platform,
    /// Processors.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Firmware.
    pub firmware: Firmware,
    /// Boot order.
    pub boot: BootOrder,
    /// Disks, in the order of the XML.
    pub disks: Vec<Disk>,
    /// Network interfaces, in the order of the XML.
    pub nics: Vec<Nic>,
    /// The guest agent's channel, when there is one.
    pub guest_agent: Option<GuestAgent>,
    /// Displays.
    pub graphics: Vec<Graphics>,
    /// Serial ports and consoles.
    pub consoles: Vec<Console>,
    /// Namespaces of the metadata that other managers keep in the domain, sorted.
    pub metadata_namespaces: Vec<String>,
}

/// Who a domain is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Missing only in a file that libvirt has not seen yet: it gives one when it defines the domain.
    pub uuid: Option<Uuid>,
    /// libvirt's name, unique on the host.
    pub name: String,
    /// Short text for people.
    pub title: Option<String>,
    /// Long text for people.
    pub description: Option<String>,
}

foreign! {
    /// The hypervisor driver behind a domain.
    DomainType {
        Kvm = "kvm", Qemu = "qemu", Xen = "xen", Lxc = "lxc", Test = "test", Hvf = "hvf", Bhyve = "bhyve",
        Vmware = "vmware", Hyperv = "hyperv", Parallels = "parallels", Vz = "vz", Vbox = "vbox",
    }
}

/// What runs a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `/domain/@type`.
    pub domain_type: DomainType,
    /// `hvm`, `xen`, `exe` or another.
    pub os_type: Option<String>,
    /// Architecture.
    pub arch: Option<String>,
    /// Machine type: the live XML has the versioned name, an inactive one may have an alias.
    pub machine: Option<String>,
}

foreign! {
    /// How the guest's CPU model is chosen.
    CpuMode {
        Custom = "custom", HostModel = "host-model", HostPassthrough = "host-passthrough", Maximum = "maximum",
    }
}

/// Processors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// Processors that can be plugged at most.
    pub vcpus_max: u32,
    /// Processors plugged now.
    pub vcpus: u32,
    /// CPU mode, when `<cpu>` says one.
    pub mode: Option<CpuMode>,
    /// CPU model, when `<cpu>` names one.
    pub model: Option<String>,
    /// Topology; without it every processor is a socket.
    pub topology: Option<Topology>,
}

/// How the processors are arranged. The product is `vcpus_max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    pub sockets: u32,
    pub dies: u32,
    pub clusters: u32,
    pub cores: u32,
    pub threads: u32,
}

/// Memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Boot-time memory. *Units*: KiB.
    pub max_kib: Kib,
    /// What the balloon leaves now. *Units*: KiB.
    pub current_kib: Kib,
}

foreign! {
    /// The kind of firmware.
    FirmwareKind { Bios = "bios", Uefi = "efi" }
}

/// Firmware, from either of libvirt's two ways to write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firmware {
    /// BIOS unless the XML says otherwise.
    pub kind: FirmwareKind,
    /// Whether secure boot is asked for.
    pub secure_boot: SecureBoot,
    /// The loader's file, when it is named.
    pub loader: Option<String>,
    /// The file of UEFI variables, when it is named.
    pub nvram: Option<String>,
}

/// Whether the XML asks for secure boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecureBoot {
    /// Asked for.
    On,
    /// Declined.
    Off,
    /// Not mentioned.
    Unsaid,
}

/// Boot order, from either of libvirt's two ways to write it; libvirt allows one of them at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootOrder {
    /// `<os><boot dev=…/></os>`: classes of device (`hd`, `cdrom`, `network`, `fd`).
    ByClass(Vec<BootClass>),
    /// `<boot order=…/>` on devices, lowest first.
    ByDevice(Vec<BootDevice>),
    /// Not said.
    Unsaid,
}

foreign! {
    /// A class of boot device.
    BootClass { Disk = "hd", Cdrom = "cdrom", Network = "network", Floppy = "fd" }
}

/// One device in a boot order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootDevice {
    /// Its order, from 1.
    pub order: u32,
    /// The device: `disk:<target>`, `nic:<mac>`, `hostdev:<n>` or `redirdev:<n>`.
    pub device: String,
}

foreign! {
    /// Whether the guest's end of the agent channel is open.
    AgentState { Connected = "connected", Disconnected = "disconnected" }
}

/// The guest agent's channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestAgent {
    /// Known only from a live XML.
    pub state: Option<AgentState>,
}

foreign! {
    /// The kind of a display.
    GraphicsType {
        Vnc = "vnc", Spice = "spice", Sdl = "sdl", Rdp = "rdp", Desktop = "desktop",
        EglHeadless = "egl-headless", Dbus = "dbus",
    }
}

/// A display.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graphics {
    /// What it speaks.
    pub kind: GraphicsType,
    /// The address it listens on.
    pub listen: Option<String>,
    /// Where its port comes from.
    pub port: GraphicsPort,
}

/// The port of a display.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GraphicsPort {
    /// Chosen by the administrator.
    Fixed(u16),
    /// Chosen by libvirt at each start; the one of now, if it runs.
    Auto(Option<u16>),
    /// None.
    Unsaid,
}

/// A serial port or a console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    /// Which element it is.
    pub role: ConsoleRole,
    /// Its host end: `pty`, `unix`, `tcp`, …
    pub kind: String,
    /// Its guest end: `isa-serial`, `serial`, `virtio`, …
    pub target: Option<String>,
    /// Its number.
    pub port: Option<u32>,
}

/// Which element describes the character device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsoleRole {
    /// `<serial>`.
    Serial,
    /// `<console>`.
    Console,
}
