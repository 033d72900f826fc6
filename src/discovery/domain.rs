//! What one domain XML says, in the model's own words; disks and interfaces have their own files.
//!
//! Assumes nothing about the libvirt that wrote it. Guarantees that sizes carry their unit, that foreign words are
//! kept when unknown, and that no secret and no file system path of a runtime device (a pty) is in here.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::cpu::Cpu;
use super::device::{
    Channel, Controller, Filesystem, Hostdev, Iommu, LaunchSecurity, OtherDevice, Rng, Tpm, Video, Watchdog,
};
use super::disk::Disk;
use super::foreign::foreign;
use super::inventory::UnknownPart;
use super::memory::Memory;
use super::nic::Nic;
use super::settings::Settings;

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
    /// The kernel that is started without firmware's help, when there is one.
    pub direct_boot: Option<DirectBoot>,
    /// Disks, in the order of the XML.
    pub disks: Vec<Disk>,
    /// Network interfaces, in the order of the XML.
    pub nics: Vec<Nic>,
    /// Devices of the host that the guest has, in the order of the XML.
    pub hostdevs: Vec<Hostdev>,
    /// Folders of the host that the guest sees.
    pub filesystems: Vec<Filesystem>,
    /// The trusted platform module.
    pub tpm: Option<Tpm>,
    /// Watchdogs.
    pub watchdogs: Vec<Watchdog>,
    /// Random number generators.
    pub rngs: Vec<Rng>,
    /// The IOMMU.
    pub iommu: Option<Iommu>,
    /// Protection of the guest's memory from the host.
    pub launch_security: Option<LaunchSecurity>,
    /// The guest agent's channel, when there is one.
    pub guest_agent: Option<GuestAgent>,
    /// Channels, the guest agent's among them.
    pub channels: Vec<Channel>,
    /// Displays.
    pub graphics: Vec<Graphics>,
    /// Display adapters.
    pub videos: Vec<Video>,
    /// Serial ports and consoles.
    pub consoles: Vec<Console>,
    /// Controllers.
    pub controllers: Vec<Controller>,
    /// All other devices, in the order of the XML.
    pub devices: Vec<OtherDevice>,
    /// Features of the machine (`acpi`, `smm`, `hyperv.relaxed`, `kvm.hidden`), in the order of the XML.
    pub features: Vec<Feature>,
    /// The guest's clock.
    pub clock: Clock,
    /// What happens on power off, reboot, crash and lost locks, by libvirt's element (`on_crash`).
    pub lifecycle: Settings,
    /// What SMBIOS tells the guest, by path (`mode`, `system.manufacturer`).
    pub smbios: Settings,
    /// How the host confines the emulator.
    pub security_labels: Vec<SecurityLabel>,
    /// Tuning and placement outside processors and memory (`blkiotune`, `resource`, `pm`, `perf`, …), by path.
    pub settings: Settings,
    /// How many arguments and environment variables the XML hands to the hypervisor past libvirt; their values may be
    /// secrets and are not kept.
    pub passthrough_arguments: u32,
    /// Marks that other managers keep in the domain's metadata, in the order of the XML.
    pub metadata: Vec<ManagerMark>,
    /// What the XML says and this version does not know, in the order of the XML.
    pub unknown: Vec<UnknownPart>,
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
    /// The VM generation id, by which a guest notices that it was cloned or rolled back.
    pub genid: Option<Uuid>,
    /// The UUID the guest sees in its firmware, where that is another than libvirt's.
    pub hwuuid: Option<Uuid>,
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
    /// The hypervisor's program.
    pub emulator: Option<String>,
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
    /// The file they are first copied from, when it is named.
    pub nvram_template: Option<String>,
    /// Everything else of the firmware (`loader.readonly`, `feature.enrolled-keys`, `bootmenu.enable`, …), by path.
    pub settings: Settings,
}

/// A kernel that the hypervisor starts by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectBoot {
    /// The kernel's file.
    pub kernel: Option<String>,
    /// The initial RAM disk's file.
    pub initrd: Option<String>,
    /// The kernel's command line.
    pub cmdline: Option<String>,
    /// Everything else (`dtb`, `init`, `initarg`, …), by element.
    pub settings: Settings,
}

/// One feature of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// Its path: `acpi`, `smm`, `hyperv.spinlocks`.
    pub name: String,
    /// Whether it is on; a bare element is.
    pub enabled: bool,
    /// Its other attributes, by path.
    pub settings: Settings,
}

/// The guest's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// `utc`, `localtime`, `timezone`, `variable`, `absolute`; libvirt's default is `utc`.
    pub offset: Option<String>,
    /// The time zone, for `timezone`.
    pub timezone: Option<String>,
    /// Everything else of the clock but its timers; not the adjustment, which the guest moves.
    pub settings: Settings,
    /// Its timers, in the order of the XML.
    pub timers: Vec<Timer>,
}

/// One timer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// `rtc`, `pit`, `hpet`, `kvmclock`, `hypervclock`, `tsc`, …
    pub name: String,
    /// Everything else (`tickpolicy`, `present`, …), by path.
    pub settings: Settings,
}

/// How the host confines the emulator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityLabel {
    /// `selinux`, `apparmor`, `dac`; all when left out.
    pub model: Option<String>,
    /// `dynamic`, `static`, `none`.
    pub kind: Option<String>,
    /// Whether libvirt labels the VM's files.
    pub relabel: Option<String>,
    /// The label, where an administrator chose it.
    pub label: Option<String>,
    /// What a dynamic label is made from.
    pub base_label: Option<String>,
}

/// A mark of another manager in the domain's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagerMark {
    /// The namespace of the element.
    pub namespace: String,
    /// The element's own name.
    pub element: String,
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
    /// The device: `disk:<target>`, `nic:<mac>`, `hostdev:<n>`, `redirdev:<n>` or `filesystem:<n>`, `n` from 0.
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
    /// Everything else (`keymap`, `gl.enable`, `channel[1].mode`, …), by path; never its password.
    pub settings: Settings,
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
    /// Everything else (`source.host`, `log.file`, `target.model.name`, …), by path; no path of a pty.
    pub settings: Settings,
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
