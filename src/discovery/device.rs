//! Devices other than disks and interfaces.
//!
//! Assumes nothing. Guarantees a field for what some provider's format asks for, and the rest by path in `settings`;
//! paths of runtime ends (a pty, a generated socket) and secrets are in neither.

use serde::{Deserialize, Serialize};

use super::address::DeviceAddress;
use super::foreign::foreign;
use super::settings::Settings;

foreign! {
    /// What a host device is.
    HostdevType {
        Pci = "pci", Usb = "usb", Scsi = "scsi", ScsiHost = "scsi_host", Mdev = "mdev", Storage = "storage",
        Misc = "misc", Net = "net",
    }
}

/// A device of the host, given to the guest: PCI (a GPU, a virtual function), USB, SCSI, a mediated device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hostdev {
    /// What it is.
    pub kind: HostdevType,
    /// Where it is on the host: `pci:0000:06:12.5`, `usb:1.4`, `usb:0951:1625` (vendor and product), a mediated
    /// device's UUID, or what else names it.
    pub source: String,
    /// The mediated device's model (`vfio-pci`, `vfio-ccw`, `vfio-ap`), or the SCSI protocol.
    pub model: Option<String>,
    /// Whether libvirt detaches it from the host's driver by itself.
    pub managed: bool,
    /// Whether a mediated device is a display.
    pub display: Option<String>,
    /// Its place in the boot order.
    pub boot_order: Option<u32>,
    /// Its place on the guest's buses.
    pub address: Option<DeviceAddress>,
    /// Everything else, by path.
    pub settings: Settings,
}

/// A trusted platform module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tpm {
    /// `tpm-tis`, `tpm-crb`, `tpm-spapr`, …
    pub model: Option<String>,
    /// `emulator`, `passthrough`, `external`.
    pub backend: String,
    /// `1.2` or `2.0`, when said.
    pub version: Option<String>,
    /// Everything else, by path; of encryption only that there is some.
    pub settings: Settings,
}

/// A watchdog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watchdog {
    /// `i6300esb`, `ib700`, `itco`, `diag288`.
    pub model: String,
    /// What happens when it bites; libvirt's default is `reset`.
    pub action: String,
    /// Its place on the guest's buses.
    pub address: Option<DeviceAddress>,
    /// Everything else, by path.
    pub settings: Settings,
}

/// A random number generator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rng {
    /// `virtio`, …
    pub model: String,
    /// `random`, `egd`, `builtin`.
    pub backend: String,
    /// The host's source, where the backend has one.
    pub source: Option<String>,
    /// Bytes per period, and the period in milliseconds, when limited.
    pub rate: Option<RngRate>,
    /// Everything else, by path.
    pub settings: Settings,
}

/// The limit of a random number generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RngRate {
    /// *Units*: bytes.
    pub bytes: u64,
    /// *Units*: milliseconds; libvirt's default is 1000.
    pub period_ms: u64,
}

/// A display adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Video {
    /// `virtio`, `qxl`, `vga`, `cirrus`, `bochs`, `none`, …
    pub model: String,
    /// Video memory, when said. *Units*: KiB.
    pub vram_kib: Option<u64>,
    /// Screens, when said.
    pub heads: Option<u32>,
    /// Everything else, by path.
    pub settings: Settings,
}

/// A folder of the host, shown to the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filesystem {
    /// `mount`, `file`, `block`, `template`, `ram`, `bind`, `volume`.
    pub kind: String,
    /// `virtiofs`, `path`, `handle`, …
    pub driver: Option<String>,
    /// The folder, file or volume of the host.
    pub source: Option<String>,
    /// The mount tag or folder in the guest.
    pub target: Option<String>,
    /// Whether the guest may only read.
    pub read_only: bool,
    /// Everything else, by path.
    pub settings: Settings,
}

/// A channel between the guest and the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its host end: `unix`, `spicevmc`, `pty`, …
    pub kind: String,
    /// Its guest end: `virtio`, `guestfwd`, `xen`.
    pub target: Option<String>,
    /// Its name in the guest: `org.qemu.guest_agent.0`, `com.redhat.spice.0`, …
    pub name: Option<String>,
    /// Everything else, by path; no path that libvirt makes up at each start.
    pub settings: Settings,
}

/// A controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controller {
    /// `pci`, `scsi`, `usb`, `sata`, `virtio-serial`, …
    pub kind: String,
    /// Its number among those of its kind.
    pub index: Option<u32>,
    /// `virtio-scsi`, `qemu-xhci`, `pcie-root-port`, …
    pub model: Option<String>,
    /// Its place on the guest's buses.
    pub address: Option<DeviceAddress>,
    /// Everything else, by path.
    pub settings: Settings,
}

/// The guest's IOMMU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Iommu {
    /// `intel`, `smmuv3`, `virtio`.
    pub model: String,
    /// Everything else, by path.
    pub settings: Settings,
}

/// Protection of the guest's memory from the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchSecurity {
    /// `sev`, `sev-snp`, `s390-pv`, `tdx`.
    pub kind: String,
    /// The policy word, without keys and sessions: those are the owner's secrets.
    pub policy: Option<String>,
    /// Everything else that is not a secret, by path.
    pub settings: Settings,
}

/// Any other device: input, sound, audio, hub, redirection, shared memory, panic, vsock, smart card, crypto, …
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherDevice {
    /// The element's name.
    pub kind: String,
    /// Its `model` or `type`, whichever names it.
    pub model: Option<String>,
    /// Its place on the guest's buses.
    pub address: Option<DeviceAddress>,
    /// Everything else, by path.
    pub settings: Settings,
}
