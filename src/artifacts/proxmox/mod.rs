//! Proxmox VE: the configuration of one VM, `VMID.conf`.
//!
//! Assumes an inventory with a UUID and a binding with the VM's number and a storage. Guarantees keys and values of the
//! documented format, that the VM does not start with its node, and that Proxmox removes none of its volumes by
//! accident: they are named here, and have to be there.
//!
//! Proxmox's own parser is no part of any test here: `tests/consumers/proxmox_conf.py` checks the documented grammar.
//! *Source*: <https://pve.proxmox.com/pve-docs/qm.conf.5.html>.

mod binding;
mod conf;
mod cpu;
mod device;
mod disk;
mod drive;
mod machine;
mod memory;
mod nic;
mod state;
mod told;

use self::binding::Binding;
use self::conf::Conf;
use self::cpu::cpu;
use self::device::devices;
use self::disk::disks;
use self::machine::{machine, smbios};
use self::memory::memory;
use self::nic::nics;
use super::binding::DraftField;
use super::bundle::BundleFile;
use super::report::Report;
use super::{Files, Renderer, uuid_of};
use crate::discovery::{BootClass, BootOrder, DiskDevice, Domain, Inventory};
use crate::model::units::Mac;

/// The renderer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proxmox;

impl Renderer for Proxmox {
    type Binding = Binding;

    const NAME: &'static str = "proxmox";
    const TITLE: &'static str = "Proxmox VE VM configuration";

    /// *Errors*: `binding-malformed`, `artifact-incomplete`; `artifact-refused` for an architecture that Proxmox does
    /// not run, and for less memory than it gives.
    fn files(inventory: &Inventory, binding: &Binding, report: &mut Report<'_>) -> Files {
        binding.check(inventory)?;
        let domain = &inventory.domain;
        let identity = &domain.identity;
        let uuid = uuid_of(inventory)?;
        let mut conf = Conf::default();
        conf.describe(&description(domain, &format!("covirt: libvirt domain {uuid}, {}", inventory.generation())));
        conf.set("name", host_name(&identity.name));
        // The guest runs already, under libvirt.
        conf.set("onboot", 0);
        // Removing the VM over there would remove volumes that are in use here.
        conf.set("protection", 1);
        if let Some(genid) = identity.genid {
            conf.set("vmgenid", genid);
        }
        if let Some(kind) = domain.guest_os.as_deref().and_then(os_type) {
            conf.set("ostype", kind);
            report.approximate("guest_os", "ostype", "Proxmox knows families of systems");
        }
        if !binding.tags.is_empty() {
            conf.set("tags", binding.tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>().join(";"));
        }
        machine(domain, binding, &mut conf, report)?;
        cpu(domain, &mut conf, report);
        memory(domain, &mut conf, report)?;
        smbios(domain, &mut conf, report);
        clock(domain, &mut conf, report);
        let disks = disks(inventory, binding, &mut conf, report);
        let nics = nics(inventory, binding, &mut conf, report);
        devices(domain, binding, &mut conf, report);
        boot(domain, &disks, &nics, &mut conf, report);
        tell_rest(domain, &mut conf, report);
        Ok(vec![BundleFile::new(format!("{}.conf", binding.vmid.0), conf.text())])
    }

    fn draft(inventory: &Inventory) -> Vec<DraftField> {
        binding::draft(inventory)
    }
}

/// Title, description, and who this is.
fn description(domain: &Domain, mark: &str) -> String {
    let identity = &domain.identity;
    let texts = [identity.title.as_deref(), identity.description.as_deref(), Some(mark)];
    texts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// The domain's name as a DNS name, which Proxmox wants it to be.
fn host_name(name: &str) -> String {
    let spelled: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let labels = spelled.split('.').map(|label| {
        let short: String = label.trim_matches('-').chars().take(63).collect();
        short.trim_end_matches('-').to_owned()
    });
    let labels: Vec<String> = labels.filter(|label| !label.is_empty()).collect();
    if labels.is_empty() { "vm".to_owned() } else { labels.join(".") }
}

/// Proxmox's family of an operating system, by libosinfo's id.
fn os_type(id: &str) -> Option<&'static str> {
    let path = id.split_once("://").map_or(id, |(_, rest)| rest);
    let mut parts = path.split('/');
    let (vendor, system, version) = (parts.next()?, parts.next()?, parts.next().unwrap_or_default());
    match (vendor, system) {
        ("microsoft.com", "win") => Some(match version {
            "11" | "2k22" | "2k25" => "win11",
            "10" | "2k16" | "2k19" => "win10",
            "8" | "8.1" | "2k12" | "2k12r2" => "win8",
            "7" | "2k8r2" => "win7",
            "2k8" => "w2k8",
            "vista" => "wvista",
            "xp" => "wxp",
            "2k3" | "2k3r2" => "w2k3",
            "2k" => "w2k",
            _ => "other",
        }),
        ("oracle.com", "solaris") | ("sun.com", "solaris" | "opensolaris") => Some("solaris"),
        (
            "debian.org" | "ubuntu.com" | "fedoraproject.org" | "centos.org" | "redhat.com" | "opensuse.org"
            | "suse.com" | "almalinux.org" | "rockylinux.org" | "archlinux.org" | "alpinelinux.org" | "gentoo.org"
            | "oracle.com" | "amazon.com" | "nixos.org" | "libosinfo.org",
            _,
        ) => Some("l26"),
        _ => None,
    }
}

/// Proxmox's clocks show UTC or the node's local time.
fn clock(domain: &Domain, conf: &mut Conf, report: &mut Report<'_>) {
    match domain.clock.offset.as_deref() {
        Some("localtime") => {
            conf.set("localtime", 1);
            report.exact("clock.offset", "localtime");
        }
        Some("utc") | None => {
            conf.set("localtime", 0);
            report.exact("clock.offset", "localtime");
        }
        Some("timezone") => {
            conf.set("localtime", 1);
            let rule = "the node's own time zone takes the place of the one that is named";
            report.approximate("clock.offset", "localtime", rule);
            report.approximate("clock.timezone", "localtime", rule);
        }
        Some(_) => {
            conf.set("localtime", 0);
            report.approximate("clock.offset", "localtime", "Proxmox starts every clock at the time of now, in UTC");
        }
    }
    report.not_carried("clock", "Proxmox sets the timers by the operating system");
}

/// What the firmware tries, in order.
fn boot(
    domain: &Domain,
    disks: &[(String, String)],
    nics: &[(Option<Mac>, String)],
    conf: &mut Conf,
    report: &mut Report<'_>,
) {
    let disk = |wanted: &str| disks.iter().find(|(target, _)| target == wanted).map(|(_, key)| key.as_str());
    let nic = |wanted: &str| {
        let found = nics.iter().find(|(mac, _)| mac.is_some_and(|mac| mac.to_string() == wanted));
        found.map(|(_, key)| key.as_str())
    };
    let order: Vec<&str> = match &domain.boot {
        BootOrder::Unsaid => {
            report.not_carried("boot", "nothing is said, and Proxmox tries what there is");
            return;
        }
        BootOrder::ByDevice(devices) => {
            let keys = devices.iter().map(|device| match device.device.split_once(':') {
                Some(("disk", target)) => disk(target),
                Some(("nic", mac)) => nic(mac),
                Some(_) | None => None,
            });
            let keys: Vec<Option<&str>> = keys.collect();
            if keys.contains(&None) {
                report.approximate("boot", "boot: order", "without the devices that are left out");
            }
            report.exact("boot", "boot: order");
            keys.into_iter().flatten().collect()
        }
        BootOrder::ByClass(classes) => {
            let first = |wanted: fn(&DiskDevice) -> bool| {
                let mut found = domain.disks.iter().filter(|disk| wanted(&disk.device));
                found.find_map(|found| disk(&found.target))
            };
            let keys = classes.iter().filter_map(|class| match class {
                BootClass::Disk => first(|device| matches!(device, DiskDevice::Disk | DiskDevice::Lun)),
                BootClass::Cdrom => first(|device| *device == DiskDevice::Cdrom),
                BootClass::Network => nics.first().map(|(_, key)| key.as_str()),
                BootClass::Floppy | BootClass::Unknown(_) => None,
            });
            report.approximate("boot", "boot: order", "the first device of each class has the place of its class");
            keys.collect()
        }
    };
    if !order.is_empty() {
        conf.set("boot", format!("order={}", order.join(";")));
    }
}

/// What became of everything that no other part has told.
fn tell_rest(domain: &Domain, conf: &mut Conf, report: &mut Report<'_>) {
    const HOST: &str = "it is of this host, and a node has its own";
    report.exact("identity.uuid", "smbios1: uuid, description");
    report.approximate("identity.name", "name", "the name as a DNS name");
    report.exact("identity.title", "description");
    report.exact("identity.description", "description");
    report.exact("identity.genid", "vmgenid");
    report.not_carried("guest_os", "Proxmox does not know it");
    report.not_carried("platform", "Proxmox runs QEMU of its own");
    report.refused(
        "direct_boot",
        "Proxmox starts kernels only by arguments past its own settings, which are not written",
    );
    report.refused("iommu", "Proxmox has intel (on q35) and virtio");
    if domain.lifecycle.get("on_reboot").is_some_and(|action| action == "destroy") {
        conf.set("reboot", 0);
    }
    report.exact("lifecycle.on_reboot", "reboot");
    report.not_carried("lifecycle", "Proxmox stops a VM that has powered off or crashed");
    report.not_carried("features", "Proxmox sets it by machine type and operating system");
    report.not_carried("security_labels", HOST);
    report.not_carried("settings", "Proxmox has no setting for it");
    report.refused("passthrough_arguments", "no arguments are handed past Proxmox's own settings");
    report.not_carried("metadata", "it is another manager's");
    report.not_carried("definition", "the configuration is made from what runs now");
    report.not_carried("networks", HOST);
    report.approximate("pools[*].volumes", "size", "their capacity; the volumes have other names");
    report.not_carried("pools", HOST);
    report.not_carried("host", HOST);
    report.not_carried("memory", "Proxmox has no setting for it");
    report.not_carried("cpu", "Proxmox has no setting for it");
}
