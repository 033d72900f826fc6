//! All other devices, and the flags of what KubeVirt attaches by itself.
//!
//! Assumes an inventory. Guarantees that KubeVirt attaches nothing the domain lacks where a flag can keep it from it,
//! and writes nothing that needs a feature gate which the binding does not list.
//! *Source*: <https://kubevirt.io/user-guide/compute/virtual_hardware/>,
//! <https://kubevirt.io/user-guide/compute/host-devices/>.

use serde_json::{Map, Value, json};

use super::binding::Binding;
use super::machine::Arch;
use super::name::{joined, object};
use crate::artifacts::report::Report;
use crate::discovery::{ConsoleRole, Domain, GraphicsType, OtherDevice};

const DEVICES: &str = "spec.template.spec.domain.devices";

/// What of the devices section this file writes, and the volumes of shared folders.
#[derive(Debug, Default)]
pub(super) struct Devices {
    pub(super) fields: Map<String, Value>,
    pub(super) volumes: Vec<Value>,
}

/// The devices.
pub(super) fn devices(domain: &Domain, arch: Arch, binding: &Binding, report: &mut Report<'_>) -> Devices {
    let mut devices = Devices::default();
    let graphics = graphics(domain, report);
    let serial =
        domain.consoles.iter().any(|console| matches!(console.role, ConsoleRole::Serial | ConsoleRole::Console));
    report.approximate(
        "consoles",
        &format!("{DEVICES}.autoattachSerialConsole"),
        "one serial console of KubeVirt's own",
    );
    let balloon = domain.memory.balloon.is_some();
    report.exact("memory.balloon", &format!("{DEVICES}.autoattachMemBalloon"));
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            devices.fields.insert(key.to_owned(), value);
        }
    };
    put("autoattachPodInterface", Some(json!(false)));
    put("autoattachGraphicsDevice", Some(json!(graphics)));
    put("autoattachSerialConsole", Some(json!(serial)));
    put("autoattachMemBalloon", Some(json!(balloon)));
    put("autoattachInputDevice", Some(json!(false)));
    put("rng", rng(domain, report));
    put("tpm", tpm(domain, arch, report));
    put("watchdog", watchdog(domain, arch, report));
    put("video", video(domain, arch, graphics, binding, report));
    let others = Others::of(domain, arch, binding, report);
    put("inputs", (!others.inputs.is_empty()).then(|| json!(others.inputs)));
    put("sound", others.sound);
    put("panicDevices", (!others.panics.is_empty()).then(|| json!(others.panics)));
    put("autoattachVSOCK", others.vsock.then(|| json!(true)));
    put("clientPassthrough", others.redirected.then(|| json!({})));
    let (gpus, host_devices) = host_devices(domain, binding, report);
    put("gpus", (!gpus.is_empty()).then(|| json!(gpus)));
    put("hostDevices", (!host_devices.is_empty()).then(|| json!(host_devices)));
    let (filesystems, volumes) = filesystems(domain, binding, report);
    put("filesystems", (!filesystems.is_empty()).then(|| json!(filesystems)));
    devices.volumes = volumes;
    report.not_carried("controllers", "KubeVirt makes the controllers that its devices need");
    report.refused("iommu", "KubeVirt has no IOMMU for the guest");
    report.approximate("guest_agent", "KubeVirt", "every VM of KubeVirt has the agent's channel");
    for (nth, channel) in domain.channels.iter().enumerate() {
        if channel.name.as_deref() == Some("org.qemu.guest_agent.0") {
            report.approximate(&format!("channels[{nth}]"), "KubeVirt", "every VM of KubeVirt has the agent's channel");
        }
    }
    report.not_carried("channels", "KubeVirt has the agent's channel only");
    devices
}

/// Whether the guest has a display.
fn graphics(domain: &Domain, report: &mut Report<'_>) -> bool {
    let to = format!("{DEVICES}.autoattachGraphicsDevice");
    for (nth, graphics) in domain.graphics.iter().enumerate() {
        let rule = match graphics.kind {
            GraphicsType::Vnc => "VNC through KubeVirt's own door",
            GraphicsType::Spice
            | GraphicsType::Sdl
            | GraphicsType::Rdp
            | GraphicsType::Desktop
            | GraphicsType::EglHeadless
            | GraphicsType::Dbus
            | GraphicsType::Unknown(_) => "KubeVirt shows VNC only",
        };
        report.approximate(&format!("graphics[{nth}]"), &to, rule);
    }
    !domain.graphics.is_empty() || domain.videos.iter().any(|video| video.model != "none")
}

fn video(domain: &Domain, arch: Arch, graphics: bool, binding: &Binding, report: &mut Report<'_>) -> Option<Value> {
    let video = domain.videos.first()?;
    let model = video.model.as_str();
    let known: &[&str] = match arch {
        Arch::Amd64 => &["vga", "cirrus", "virtio", "ramfb", "bochs"],
        Arch::Arm64 => &["virtio", "ramfb"],
        Arch::S390x => &["virtio"],
    };
    if model == "none" {
        report.exact("videos[0]", &format!("{DEVICES}.autoattachGraphicsDevice"));
    } else if !known.contains(&model) {
        report.approximate("videos[0]", DEVICES, "KubeVirt has no such adapter and takes the one it likes");
    } else if !binding.gate("VideoConfig") {
        let rule = "KubeVirt takes the adapter it likes; with the feature gate VideoConfig in the binding, this one";
        report.approximate("videos[0]", DEVICES, rule);
    } else {
        report.approximate("videos[0]", &format!("{DEVICES}.video.type"), "the type; memory and heads are KubeVirt's");
    }
    report.not_carried("videos", "KubeVirt has one adapter");
    let wanted = graphics && known.contains(&model) && binding.gate("VideoConfig");
    wanted.then(|| json!({"type": model}))
}

fn rng(domain: &Domain, report: &mut Report<'_>) -> Option<Value> {
    let to = format!("{DEVICES}.rng");
    let first = domain.rngs.first()?;
    let same = first.model == "virtio" && first.source.as_deref() == Some("/dev/urandom") && first.rate.is_none();
    if same {
        report.exact("rngs[0]", &to);
    }
    report.approximate("rngs[0]", &to, "virtio from the node's /dev/urandom, without a limit");
    report.not_carried("rngs", "KubeVirt has one generator");
    Some(json!({}))
}

fn tpm(domain: &Domain, arch: Arch, report: &mut Report<'_>) -> Option<Value> {
    let to = format!("{DEVICES}.tpm");
    let tpm = domain.tpm.as_ref()?;
    let emulated = tpm.backend == "emulator" && tpm.version.as_deref() != Some("1.2") && arch != Arch::S390x;
    if !emulated {
        report.refused("tpm", "KubeVirt emulates version 2.0, and nothing else");
        return None;
    }
    if tpm.model.as_deref() == Some("tpm-crb") {
        report.exact("tpm.model", &to);
    }
    report.approximate("tpm.model", &to, "KubeVirt shows a TPM that keeps its state as tpm-crb");
    report.approximate("tpm.backend", &to, "emulated, with a new state: what is sealed in the one of today is lost");
    report.exact("tpm.version", &to);
    report.not_carried("tpm", "KubeVirt has no field for it");
    Some(json!({"persistent": true}))
}

fn watchdog(domain: &Domain, arch: Arch, report: &mut Report<'_>) -> Option<Value> {
    let to = format!("{DEVICES}.watchdog");
    let first = domain.watchdogs.first()?;
    let model = match (first.model.as_str(), arch) {
        ("i6300esb", Arch::Amd64) => Some("i6300esb"),
        ("diag288", Arch::S390x) => Some("diag288"),
        _ => None,
    };
    let known = matches!(first.action.as_str(), "poweroff" | "reset" | "shutdown");
    let model = model.filter(|_| known);
    match model {
        Some(_) => report.exact("watchdogs[0]", &to),
        None => report.refused(
            "watchdogs[0]",
            "KubeVirt has i6300esb (amd64) and diag288 (s390x), which power off, reset or shut down",
        ),
    }
    report.refused("watchdogs", "KubeVirt has one watchdog");
    model.map(|model| json!({"name": "watchdog", model: {"action": first.action}}))
}

/// What becomes of the devices that have no section of their own.
#[derive(Debug, Default)]
struct Others {
    inputs: Vec<Value>,
    sound: Option<Value>,
    panics: Vec<Value>,
    vsock: bool,
    redirected: bool,
}

impl Others {
    fn of(domain: &Domain, arch: Arch, binding: &Binding, report: &mut Report<'_>) -> Self {
        let mut others = Self::default();
        for (nth, device) in domain.devices.iter().enumerate() {
            let path = format!("devices[{nth}]");
            match device.kind.as_str() {
                "input" => others.input(&path, device, report),
                "sound" => others.sound(&path, device, arch, report),
                "panic" => others.panic(&path, device, binding, report),
                "vsock" => others.vsock(&path, binding, report),
                "redirdev" => {
                    let to = format!("{DEVICES}.clientPassthrough");
                    report.approximate(&path, &to, "four redirected USB devices, through KubeVirt's own door");
                    others.redirected = true;
                }
                "hub" => report.not_carried(&path, "KubeVirt makes the hubs it needs"),
                "audio" => report.not_carried(&path, "KubeVirt has no sound on the host's side"),
                "memballoon" => report.exact(&path, &format!("{DEVICES}.autoattachMemBalloon")),
                _ => report.refused(&path, "KubeVirt has no such device"),
            }
        }
        others
    }

    fn input(&mut self, path: &str, device: &OtherDevice, report: &mut Report<'_>) {
        let bus = device.settings.get("bus").map(String::as_str);
        match (device.model.as_deref(), bus) {
            (Some("tablet"), Some(bus @ ("usb" | "virtio"))) => {
                report.exact(path, &format!("{DEVICES}.inputs[]"));
                let name = format!("tablet{}", self.inputs.len());
                self.inputs.push(json!({"name": name, "type": "tablet", "bus": bus}));
            }
            (Some("mouse" | "keyboard"), Some("ps2") | None) => {
                report.approximate(path, "KubeVirt", "part of every machine that has such a port");
            }
            _ => report.not_carried(path, "KubeVirt attaches tablets only"),
        }
    }

    fn sound(&mut self, path: &str, device: &OtherDevice, arch: Arch, report: &mut Report<'_>) {
        let to = format!("{DEVICES}.sound");
        let model = match (device.model.as_deref(), arch, &self.sound) {
            (Some("ich9"), Arch::Amd64 | Arch::S390x, None) => {
                report.exact(path, &to);
                "ich9"
            }
            (Some("ac97"), Arch::Amd64 | Arch::S390x, None) => {
                report.exact(path, &to);
                "ac97"
            }
            (Some("ich6" | "ich7"), Arch::Amd64, None) => {
                report.approximate(path, &to, "KubeVirt has ich9 and ac97: ich9, which the same driver runs");
                "ich9"
            }
            _ => {
                report.refused(path, "KubeVirt has one card, ich9 or ac97, and none on arm64");
                return;
            }
        };
        self.sound = Some(json!({"name": "sound", "model": model}));
    }

    fn panic(&mut self, path: &str, device: &OtherDevice, binding: &Binding, report: &mut Report<'_>) {
        let model = device.model.as_deref().filter(|model| matches!(*model, "isa" | "hyperv" | "pvpanic"));
        match model {
            None => report.refused(path, "KubeVirt has isa, hyperv and pvpanic"),
            Some(_) if !binding.gate("PanicDevices") => {
                report.refused(path, "it needs the feature gate PanicDevices, which the binding does not list");
            }
            Some(model) => {
                report.exact(path, &format!("{DEVICES}.panicDevices[]"));
                self.panics.push(json!({"model": model}));
            }
        }
    }

    fn vsock(&mut self, path: &str, binding: &Binding, report: &mut Report<'_>) {
        if binding.gate("VSOCK") {
            report.approximate(path, &format!("{DEVICES}.autoattachVSOCK"), "KubeVirt chooses the number");
            self.vsock = true;
        } else {
            report.refused(path, "it needs the feature gate VSOCK, which the binding does not list");
        }
    }
}

/// Devices of the host, as the resources that the operator names for them: graphics processors, and others.
fn host_devices(domain: &Domain, binding: &Binding, report: &mut Report<'_>) -> (Vec<Value>, Vec<Value>) {
    let (mut gpus, mut others) = (Vec::new(), Vec::new());
    for (nth, device) in domain.hostdevs.iter().enumerate() {
        let path = format!("hostdevs[{nth}]");
        let Some(bound) = binding.host_devices.get(&device.source) else {
            let why = format!("which resource stands for {}, `host_devices` of the binding says", device.source);
            report.refused(&path, &why);
            continue;
        };
        let (list, kind) = if bound.gpu { (&mut gpus, "gpu") } else { (&mut others, "hostdev") };
        if !bound.gpu && !binding.gate("HostDevices") {
            report.refused(&path, "it needs the feature gate HostDevices, which the binding does not list");
            continue;
        }
        let rule = "some device of that resource, wherever the node puts it";
        report.approximate(&path, &format!("{DEVICES}: {}", bound.resource.as_str()), rule);
        list.push(json!({"name": format!("{kind}{nth}"), "deviceName": bound.resource.as_str()}));
    }
    (gpus, others)
}

/// Shared folders, each on the claim that the operator names for it, with the volumes of those.
fn filesystems(domain: &Domain, binding: &Binding, report: &mut Report<'_>) -> (Vec<Value>, Vec<Value>) {
    let (mut shown, mut volumes) = (Vec::new(), Vec::new());
    for (nth, filesystem) in domain.filesystems.iter().enumerate() {
        let path = format!("filesystems[{nth}]");
        let tag = filesystem.target.as_deref().unwrap_or_default();
        let Some(claim) = binding.filesystems.get(tag) else {
            report.refused(&path, "which claim holds the folder's files, `filesystems` of the binding says");
            continue;
        };
        if !binding.gate("EnableVirtioFsStorageVolumes") {
            let why = "it needs the feature gate EnableVirtioFsStorageVolumes, which the binding does not list";
            report.refused(&path, why);
            continue;
        }
        // The volume's name is the tag, and has to be a label of its own.
        let name = if super::name::is_label(tag) { tag.to_owned() } else { joined("fs", &nth.to_string()) };
        let rule = "virtiofs on the claim that the binding names, under a tag that is a label";
        report.approximate(&path, &format!("{DEVICES}.filesystems[]"), rule);
        shown.push(object([("name", Some(json!(name))), ("virtiofs", Some(json!({})))]));
        volumes.push(json!({"name": name, "persistentVolumeClaim": {"claimName": claim.as_str()}}));
    }
    (shown, volumes)
}
