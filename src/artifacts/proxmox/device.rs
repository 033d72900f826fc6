//! All other devices.
//!
//! Assumes an inventory. Guarantees values of Proxmox's own lists, and devices of the host only by the cluster's
//! mappings or by what they are (USB vendor and product), never by where they sit on this host.

use super::binding::Binding;
use super::conf::{Conf, Props};
use super::machine::{is_arm, is_q35};
use crate::artifacts::report::Report;
use crate::discovery::{ConsoleRole, Domain, FirmwareKind, GraphicsType, Hostdev, HostdevType, OtherDevice};

/// Writes the devices.
pub(super) fn devices(domain: &Domain, binding: &Binding, conf: &mut Conf, report: &mut Report<'_>) {
    if domain.guest_agent.is_some() {
        conf.set("agent", "enabled=1");
        report.exact("guest_agent", "agent");
    }
    let acpi = domain.features.iter().find(|feature| feature.name == "acpi");
    // libvirt without the element means off, Proxmox on; UEFI cannot do without.
    if acpi.is_none_or(|acpi| !acpi.enabled) && domain.firmware.kind == FirmwareKind::Bios && !is_arm(domain) {
        conf.set("acpi", 0);
    }
    report.exact("features[acpi]", "acpi");
    consoles(domain, conf, report);
    display(domain, conf, report);
    rng(domain, conf, report);
    watchdog(domain, conf, report);
    protection(domain, conf, report);
    let mut usb = Usb::default();
    others(domain, &mut usb, conf, report);
    host_devices(domain, binding, &mut usb, conf, report);
    filesystems(domain, binding, conf, report);
    for (nth, channel) in domain.channels.iter().enumerate() {
        let path = format!("channels[{nth}]");
        if channel.name.as_deref() == Some("org.qemu.guest_agent.0") {
            report.exact(&path, "agent");
        } else if channel.kind.starts_with("spice") {
            report.not_carried(&path, "Proxmox adds SPICE's channels with its display");
        }
    }
    report.refused("channels", "Proxmox has the agent's channel only");
}

fn consoles(domain: &Domain, conf: &mut Conf, report: &mut Report<'_>) {
    let mut nth = 0;
    for (at, console) in domain.consoles.iter().enumerate() {
        let path = format!("consoles[{at}]");
        match console.role {
            ConsoleRole::Serial if nth < 4 => {
                conf.set(format!("serial{nth}"), "socket");
                report.approximate(&path, &format!("serial{nth}"), "a socket of Proxmox's own is its host end");
                nth += 1;
            }
            ConsoleRole::Serial => report.refused(&path, "Proxmox has four serial ports"),
            ConsoleRole::Console if matches!(console.target.as_deref(), Some("serial") | None) => {
                report.not_carried(&path, "it is the first serial port under another name");
            }
            ConsoleRole::Console => report.refused(&path, "Proxmox has serial ports only"),
        }
    }
}

fn display(domain: &Domain, conf: &mut Conf, report: &mut Report<'_>) {
    for (nth, graphics) in domain.graphics.iter().enumerate() {
        let rule = match graphics.kind {
            GraphicsType::Vnc => "VNC through Proxmox's own door",
            GraphicsType::Spice => "SPICE with the adapter qxl, else VNC, through Proxmox's own door",
            GraphicsType::Sdl
            | GraphicsType::Rdp
            | GraphicsType::Desktop
            | GraphicsType::EglHeadless
            | GraphicsType::Dbus
            | GraphicsType::Unknown(_) => "Proxmox shows VNC and SPICE only",
        };
        report.approximate(&format!("graphics[{nth}]"), "vga", rule);
    }
    let Some(video) = domain.videos.first() else {
        conf.set("vga", if conf.has("serial0") { "serial0" } else { "none" });
        return;
    };
    let (kind, same) = match (video.model.as_str(), video.heads) {
        ("virtio", _) => ("virtio", true),
        ("cirrus", _) => ("cirrus", true),
        ("vga", _) => ("std", true),
        ("vmvga", _) => ("vmware", true),
        ("none", _) => ("none", true),
        ("qxl", Some(2)) => ("qxl2", true),
        ("qxl", Some(3)) => ("qxl3", true),
        ("qxl", Some(4)) => ("qxl4", true),
        ("qxl", _) => ("qxl", true),
        _ => ("std", false),
    };
    let mut line = Props::new(kind);
    let memory = video.vram_kib.map(|kib| kib / 1024).filter(|mib| kind != "none" && (4..=512).contains(mib));
    line.add("memory", memory);
    if !same {
        report.approximate("videos[0]", "vga", "Proxmox has no such adapter: the standard one");
    } else if domain.videos.len() > 1 || !video.settings.is_empty() {
        report.approximate("videos[0]", "vga", "type and memory of the first adapter");
    }
    report.exact("videos[0]", "vga");
    report.refused("videos", "Proxmox has one adapter");
    conf.set("vga", line);
}

fn rng(domain: &Domain, conf: &mut Conf, report: &mut Report<'_>) {
    let Some(rng) = domain.rngs.first() else { return };
    let source = match rng.source.as_deref() {
        Some(source @ ("/dev/urandom" | "/dev/random" | "/dev/hwrng")) => source,
        Some(_) | None => "/dev/urandom",
    };
    let mut line = Props::new(format!("source={source}"));
    line.add("max_bytes", rng.rate.map(|rate| rate.bytes));
    line.add("period", rng.rate.map(|rate| rate.period_ms));
    conf.set("rng0", line);
    if rng.model != "virtio" || rng.source.as_deref() != Some(source) {
        report.approximate("rngs[0]", "rng0", "virtio from a device of the node");
    } else if rng.rate.is_none() {
        report.approximate("rngs[0]", "rng0", "Proxmox limits what it hands out to 1024 bytes in a second");
    }
    report.exact("rngs[0]", "rng0");
    report.not_carried("rngs", "Proxmox has one generator");
}

fn watchdog(domain: &Domain, conf: &mut Conf, report: &mut Report<'_>) {
    let Some(first) = domain.watchdogs.first() else { return };
    let model = matches!(first.model.as_str(), "i6300esb" | "ib700");
    let action = matches!(first.action.as_str(), "reset" | "shutdown" | "poweroff" | "pause" | "none");
    if model && action {
        report.exact("watchdogs[0]", "watchdog");
        conf.set("watchdog", format!("model={},action={}", first.model, first.action));
    }
    let why = "Proxmox has one i6300esb or ib700, which resets, shuts down, powers off, pauses or does nothing";
    report.refused("watchdogs", why);
}

/// AMD's encryption of the guest's memory.
fn protection(domain: &Domain, conf: &mut Conf, report: &mut Report<'_>) {
    let Some(asked) = &domain.launch_security else { return };
    let word = asked.policy.as_deref().map(|word| word.trim_start_matches("0x"));
    let policy = word.and_then(|word| u64::from_str_radix(word, 16).ok()).unwrap_or(0);
    let kind = match (asked.kind.as_str(), policy & 4) {
        ("sev", 0) => "std",
        ("sev", _) => "es",
        ("sev-snp", _) => "snp",
        _ => {
            report.refused("launch_security", "it needs AMD's SEV to be written for Proxmox");
            return;
        }
    };
    if domain.firmware.kind != FirmwareKind::Uefi {
        report.refused("launch_security", "it goes with UEFI");
        return;
    }
    let mut line = Props::new(format!("type={kind}"));
    if kind != "snp" {
        line.add("no-debug", Some(policy & 1));
        line.add("no-key-sharing", Some(policy >> 1 & 1));
    }
    conf.set("amd-sev", line);
    report.exact("launch_security.kind", "amd-sev: type");
    report.approximate("launch_security.policy", "amd-sev", "debugging, key sharing and encrypted registers");
    report.not_carried("launch_security", "Proxmox chooses the rest");
}

/// The numbers of USB devices.
#[derive(Debug, Default)]
struct Usb(u32);

impl Usb {
    /// Proxmox has 15 of them.
    fn next(&mut self) -> Option<String> {
        let key = (self.0 < 15).then(|| format!("usb{}", self.0));
        self.0 += 1;
        key
    }
}

fn others(domain: &Domain, usb: &mut Usb, conf: &mut Conf, report: &mut Report<'_>) {
    let spice = domain.graphics.iter().any(|graphics| graphics.kind == GraphicsType::Spice);
    let tablet = |device: &OtherDevice| device.kind == "input" && device.model.as_deref() == Some("tablet");
    conf.set("tablet", u8::from(domain.devices.iter().any(tablet)));
    for (nth, device) in domain.devices.iter().enumerate() {
        let path = format!("devices[{nth}]");
        match (device.kind.as_str(), device.model.as_deref()) {
            ("input", Some("tablet")) => report.approximate(&path, "tablet", "a tablet on USB"),
            ("input", Some("mouse" | "keyboard")) => {
                report.approximate(&path, "Proxmox", "every machine has keyboard and mouse");
            }
            ("sound", Some(model @ ("ich6" | "ich9" | "ac97"))) if !conf.has("audio0") => {
                let model = match model {
                    "ich6" => "intel-hda",
                    "ich9" => "ich9-intel-hda",
                    _ => "AC97",
                };
                let driver = if spice { "spice" } else { "none" };
                conf.set("audio0", format!("device={model},driver={driver}"));
                report.exact(&path, "audio0");
            }
            ("redirdev", _) => match usb.next() {
                Some(key) => {
                    report.exact(&path, &key);
                    conf.set(key, "spice");
                }
                None => report.refused(&path, "Proxmox has 15 USB devices"),
            },
            ("memballoon", _) => report.exact(&path, "balloon"),
            ("hub" | "audio", _) => report.not_carried(&path, "Proxmox makes what its devices need"),
            _ => report.refused(&path, "Proxmox has no such device"),
        }
    }
}

fn host_devices(domain: &Domain, binding: &Binding, usb: &mut Usb, conf: &mut Conf, report: &mut Report<'_>) {
    const UNKNOWN: &str = "which mapping of the cluster stands for it, `host_devices` of the binding says";
    let mut pci = 0;
    for (nth, device) in domain.hostdevs.iter().enumerate() {
        let path = format!("hostdevs[{nth}]");
        let bound = binding.host_devices.get(&device.source);
        match (&device.kind, bound) {
            (HostdevType::Pci | HostdevType::Mdev, Some(bound)) if pci < 16 => {
                let mut line = Props::new(format!("mapping={}", bound.mapping.as_str()));
                line.add("mdev", bound.mdev.as_ref().map(|kind| kind.as_str()));
                line.add("pcie", is_q35(domain).then_some(1));
                line.add("rombar", no_rom(device).then_some(0));
                let key = format!("hostpci{pci}");
                report.approximate(&path, &key, "the device of the node that the mapping names");
                conf.set(key, line);
                pci += 1;
            }
            (HostdevType::Usb, bound) => {
                let kind = device.source.strip_prefix("usb:").filter(|id| id.len() == 9 && id.contains(':'));
                let value = bound.map(|bound| format!("mapping={}", bound.mapping.as_str()));
                match value.or(kind.map(|id| format!("host={id}"))).zip(usb.next()) {
                    Some((value, key)) => {
                        report.approximate(
                            &path,
                            &key,
                            "the device of that mapping, or any of that vendor and product",
                        );
                        conf.set(key, value);
                    }
                    None => report.refused(&path, UNKNOWN),
                }
            }
            (HostdevType::Pci | HostdevType::Mdev, _) => report.refused(&path, UNKNOWN),
            (
                HostdevType::Scsi
                | HostdevType::ScsiHost
                | HostdevType::Storage
                | HostdevType::Misc
                | HostdevType::Net
                | HostdevType::Unknown(_),
                _,
            ) => report.refused(&path, "Proxmox hands over PCI, mediated and USB devices only"),
        }
    }
}

fn no_rom(device: &Hostdev) -> bool {
    device.settings.get("rom.bar").is_some_and(|bar| bar == "off")
}

fn filesystems(domain: &Domain, binding: &Binding, conf: &mut Conf, report: &mut Report<'_>) {
    let mut number = 0;
    for (nth, filesystem) in domain.filesystems.iter().enumerate() {
        let path = format!("filesystems[{nth}]");
        match filesystem.target.as_deref().and_then(|tag| binding.filesystems.get(tag)) {
            Some(mapping) if number < 10 => {
                let key = format!("virtiofs{number}");
                report.approximate(&path, &key, "virtiofs of the mapping, whose id is the tag the guest mounts");
                conf.set(key, format!("dirid={}", mapping.as_str()));
                number += 1;
            }
            Some(_) | None => {
                report.refused(&path, "which directory mapping stands for it, `filesystems` of the binding says");
            }
        }
    }
}
