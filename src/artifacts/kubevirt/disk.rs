//! Disks, the volumes behind them, and the DataVolumes that fill those.
//!
//! Assumes an inventory. Guarantees that no image of the host is bound in place: every disk is a copy that CDI makes
//! or a claim that the operator names, and is raw over there.
//! *Source*: <https://kubevirt.io/user-guide/storage/disks_and_volumes/>,
//! <https://github.com/kubevirt/containerized-data-importer/blob/main/doc/datavolumes.md>.

use serde_json::{Value, json};

use super::binding::{Binding, VolumeBinding, VolumeSource};
use super::drive::device;
use super::machine::{Arch, Machine};
use super::name::{joined, label, object, quantity};
use crate::artifacts::part::Part;
use crate::artifacts::report::Report;
use crate::discovery::{Disk, DiskBus, DiskDevice, Inventory, Writes};
use crate::model::units::Bytes;

/// What the disks become.
#[derive(Debug, Default)]
pub(super) struct Storage {
    pub(super) disks: Vec<Value>,
    pub(super) volumes: Vec<Value>,
    /// By file name.
    pub(super) claims: Vec<(String, Value)>,
    /// Whether one of them had several queues.
    pub(super) queues: bool,
}

/// How KubeVirt shows a disk to the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Disk,
    Cdrom,
    Lun,
}

/// All disks.
pub(super) fn storage(
    inventory: &Inventory,
    binding: &Binding,
    vm: &str,
    arch: Arch,
    machine: &Machine,
    report: &mut Report<'_>,
) -> Storage {
    let mut storage = Storage::default();
    for disk in &inventory.domain.disks {
        let mut told = Part::new(report, format!("disks[{}]", disk.target));
        let Some(kind) = kind(disk, &mut told) else { continue };
        let Some(bus) = bus(disk, kind, arch, &mut told) else { continue };
        let name = label(&disk.target);
        let bound = binding.volumes.get(&disk.target).cloned().unwrap_or_default();
        let claim = joined(vm, &disk.target);
        let size = inventory.capacity_of(disk).or(bound.size());
        let volume = match (&bound.source, size) {
            (VolumeSource::Claim(claim), _) => {
                told.approximate("source", "spec.template.spec.volumes", "the claim that the binding names");
                json!({"name": name, "persistentVolumeClaim": {"claimName": claim.as_str()}})
            }
            (source, Some(size)) => {
                let manifest = data_volume(&claim, disk, &bound, source, size, binding);
                storage.claims.push((format!("datavolume-{name}.yaml"), manifest));
                told.approximate(
                    "source",
                    "datavolume: spec.source",
                    "a copy that CDI makes: nothing is bound in place",
                );
                told.exact("size", "datavolume: spec.storage.resources.requests.storage");
                json!({"name": name, "dataVolume": {"name": claim}})
            }
            (_, None) => {
                let why =
                    format!("its size is not known, so that no DataVolume is made: the claim {claim} has to be there");
                told.refused("source", &why);
                json!({"name": name, "persistentVolumeClaim": {"claimName": claim}})
            }
        };
        storage.volumes.push(volume);
        storage.queues |= several_queues(disk);
        storage.disks.push(device(disk, &name, kind, bus, machine, inventory, &mut told));
        rest(disk, &mut told);
    }
    storage
}

fn kind(disk: &Disk, told: &mut Part<'_, '_>) -> Option<Kind> {
    let kind = match &disk.device {
        DiskDevice::Disk => Kind::Disk,
        DiskDevice::Cdrom => Kind::Cdrom,
        DiskDevice::Lun => Kind::Lun,
        DiskDevice::Floppy => {
            told.refused("", "KubeVirt has no floppy drives");
            return None;
        }
        DiskDevice::Unknown(_) => {
            told.refused("", "KubeVirt has disks, optical drives and LUNs only");
            return None;
        }
    };
    if disk.source.is_none() {
        told.not_carried("", "KubeVirt keeps no empty drives: add one with the medium");
        return None;
    }
    told.exact("device", "spec.template.spec.domain.devices.disks[]");
    Some(kind)
}

/// The bus: KubeVirt has virtio, scsi, sata and usb.
fn bus(disk: &Disk, kind: Kind, arch: Arch, told: &mut Part<'_, '_>) -> Option<&'static str> {
    const TO: &str = "spec.template.spec.domain.devices.disks[].bus";
    let bus = disk.bus.clone().unwrap_or_else(|| usual_bus(&disk.target));
    let (word, rule) = match (&bus, arch) {
        (DiskBus::Virtio, _) => ("virtio", None),
        (DiskBus::Scsi, _) => ("scsi", None),
        (DiskBus::Sata, Arch::Amd64) => ("sata", None),
        (DiskBus::Usb, Arch::Amd64) => ("usb", None),
        (DiskBus::Ide, Arch::Amd64) => ("sata", Some("KubeVirt has no IDE: SATA, which the guest needs a driver for")),
        (DiskBus::Sata | DiskBus::Usb | DiskBus::Ide, Arch::Arm64 | Arch::S390x) => {
            ("scsi", Some("outside amd64 KubeVirt has virtio and SCSI only"))
        }
        (DiskBus::Fdc | DiskBus::Sd | DiskBus::Xen | DiskBus::Uml | DiskBus::Nvme | DiskBus::Unknown(_), _) => {
            told.refused("", "KubeVirt has virtio, SCSI, SATA and USB disks only, so that it is left out");
            return None;
        }
    };
    let (word, rule) = match (kind, word, arch) {
        (Kind::Cdrom, "virtio", Arch::Amd64) => ("sata", Some("KubeVirt has no optical drives on virtio")),
        (Kind::Cdrom, "virtio", Arch::Arm64 | Arch::S390x) => {
            ("scsi", Some("KubeVirt has no optical drives on virtio"))
        }
        (Kind::Disk | Kind::Cdrom | Kind::Lun, word, _) => (word, rule),
    };
    match rule {
        Some(rule) => told.approximate("bus", TO, rule),
        None => told.exact("bus", TO),
    }
    Some(word)
}

/// The bus libvirt takes by the target's name when none is said.
fn usual_bus(target: &str) -> DiskBus {
    let buses = [("hd", DiskBus::Ide), ("sd", DiskBus::Scsi), ("fd", DiskBus::Fdc), ("xvd", DiskBus::Xen)];
    let found = buses.into_iter().find(|(start, _)| target.starts_with(start));
    found.map_or(DiskBus::Virtio, |(_, bus)| bus)
}

fn several_queues(disk: &Disk) -> bool {
    disk.settings.get("driver.queues").and_then(|queues| queues.parse::<u32>().ok()).is_some_and(|queues| queues > 1)
}

fn data_volume(
    claim: &str,
    disk: &Disk,
    bound: &VolumeBinding,
    source: &VolumeSource,
    size: Bytes,
    binding: &Binding,
) -> Value {
    let class = bound.storage_class.as_ref().or(binding.storage_class.as_ref());
    let shared = matches!(disk.writes, Writes::Shared | Writes::ReadOnlyShared);
    let modes: Vec<&str> = match (bound.access_modes.is_empty(), shared) {
        (true, true) => vec!["ReadWriteMany"],
        (true, false) => Vec::new(),
        (false, _) => bound.access_modes.iter().map(|mode| mode.word()).collect(),
    };
    json!({
        "apiVersion": "cdi.kubevirt.io/v1beta1",
        "kind": "DataVolume",
        "metadata": {
            "name": claim,
            "namespace": binding.namespace.as_str(),
            // The VM is halted: nothing would consume the claim, and CDI would wait for it for ever.
            "annotations": {"cdi.kubevirt.io/storage.bind.immediate.requested": "true"},
        },
        "spec": object([
            ("contentType", Some(json!("kubevirt"))),
            ("source", source.manifest()),
            ("storage", Some(object([
                ("storageClassName", class.map(|class| json!(class.as_str()))),
                ("volumeMode", bound.volume_mode.map(|mode| json!(mode.word()))),
                ("accessModes", (!modes.is_empty()).then(|| json!(modes))),
                ("resources", Some(json!({"requests": {"storage": quantity(size)}}))),
            ]))),
        ]),
    })
}

/// What became of everything else of a disk.
fn rest(disk: &Disk, told: &mut Part<'_, '_>) {
    told.exact("target", "disks[].name");
    match disk.format.as_deref() {
        Some("raw") => told.exact("format", "KubeVirt's disks are raw"),
        Some(_) | None => told.approximate("format", "datavolume", "converted to raw, as all disks of KubeVirt are"),
    }
    told.not_carried("volume", "it is a volume of this host");
    told.approximate("backing", "datavolume", "one image with all that its chain holds");
    told.refused("encryption", "CDI cannot decrypt an image: decrypt it before it is uploaded");
    told.not_carried("mirror", "it is a job of now");
    told.not_carried("discard", "KubeVirt decides by the storage");
    told.refused("wwn", "KubeVirt has no field for it: a guest that finds the disk by it does not");
    told.not_carried("address", "KubeVirt chooses the place");
    told.not_carried("size", "the claim that the binding names has its own");
    told.not_carried("iotune", "KubeVirt limits no disk: the storage class does");
    if several_queues(disk) {
        told.approximate(
            "settings.driver.queues",
            "devices.blockMultiQueue",
            "one queue for each processor, all disks",
        );
    }
    told.not_carried("settings", "KubeVirt has no field for it");
}
