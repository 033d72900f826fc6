//! Disks as volumes: which there are, which of them Cinder can take over where they lie, and their limits.
//!
//! Assumes a checked binding. Guarantees a body of `POST /v3/manageable_volumes` only for a disk that Cinder's own
//! drivers can adopt (a raw logical volume, a raw RBD image), and of every other one the reason. The size is not said:
//! the driver measures it. *Source*: <https://docs.openstack.org/api-ref/block-storage/v3/#manage-an-existing-volume>.

use serde_json::{Map, Value, json};

use super::super::bundle::BundleFile;
use super::binding::BoundVolume;
use super::vm::{Id, Origin, Vm, json_file, printable};
use crate::artifacts::report::Report;
use crate::discovery::{BootClass, BootOrder, Disk, DiskDevice, DiskSource, Domain, PoolType, Writes};

/// Whether a disk becomes a volume; a drive's medium does not.
pub(super) fn is_volume(disk: &Disk) -> bool {
    match disk.device {
        DiskDevice::Disk | DiskDevice::Lun => true,
        DiskDevice::Cdrom | DiskDevice::Floppy | DiskDevice::Unknown(_) => false,
    }
}

/// The disks that become volumes, in the order in which the VM boots from them, each with Nova's `boot_index`; one that
/// is not booted from has -1. The first one is always booted from: Nova needs it.
pub(super) fn boot_indexes(domain: &Domain) -> Vec<(&Disk, i64)> {
    let disks = domain.disks.iter().filter(|disk| is_volume(disk));
    let mut ordered: Vec<&Disk> = disks.clone().filter(|disk| disk.boot_order.is_some()).collect();
    ordered.sort_by_key(|disk| disk.boot_order);
    let first = disks.clone().next();
    if let (true, Some(first)) = (ordered.is_empty(), first) {
        ordered.push(first);
    }
    let index = |disk: &Disk| (0..).zip(&ordered).find(|(_, other)| other.target == disk.target).map(|(nth, _)| nth);
    disks.map(|disk| (disk, index(disk).unwrap_or(-1))).collect()
}

/// The disk the VM boots from, as Nova will.
pub(super) fn root_disk(domain: &Domain) -> Option<&Disk> {
    boot_indexes(domain).into_iter().find(|(_, index)| *index == 0).map(|(disk, _)| disk)
}

/// The volume's id: made from the storage's own key for it where there is none yet.
pub(super) fn volume_id(vm: &Vm<'_>, disk: &Disk) -> Id {
    let bound = vm.binding.volumes.get(&disk.target).and_then(|bound| bound.volume_id);
    let key = vm.inventory.volume_of(disk).and_then(|(_, volume)| volume.key.clone()).or_else(|| source_key(disk));
    Id::bound_or_derived(bound, vm.uuid, &key.unwrap_or_else(|| disk.target.clone()))
}

fn source_key(disk: &Disk) -> Option<String> {
    Some(match disk.source.as_ref()? {
        DiskSource::File { path } | DiskSource::Directory { path } | DiskSource::VhostUser { path } => path.clone(),
        DiskSource::Block { device } => device.clone(),
        DiskSource::Network { protocol, name, .. } => format!("{protocol}:{}", name.as_deref()?),
        DiskSource::Volume { pool, volume, .. } => format!("{pool}/{volume}"),
        DiskSource::Nvme { address, namespace } => format!("{}:{}", address.as_ref()?.as_str(), namespace.as_deref()?),
        DiskSource::Unknown { .. } => return None,
    })
}

/// Bodies for what can be adopted and for limits.
pub(super) fn files(vm: &Vm<'_>, report: &mut Report<'_>) -> Vec<BundleFile> {
    let mut files = Vec::new();
    for (disk, boot_index) in boot_indexes(&vm.inventory.domain) {
        let field = |name: &str| format!("disks[{}].{name}", disk.target);
        let source = ["source", "volume"].map(field);
        match adopt(vm, disk) {
            Ok(place) => {
                let path = format!("api/volume-manage-{}.json", disk.target);
                let to = format!("{}: host, ref", path.trim_start_matches("api/"));
                files.push(json_file(path, &manage_body(vm, disk, boot_index, &place)));
                let rule = "managing renames the storage's volume, and the domain's XML must follow: never while the VM \
                            runs with the old name";
                source.iter().for_each(|field| report.approximate(field, &to, rule));
            }
            Err(Kept::AlreadyThere) => {
                let to = "server-create.json: block_device_mapping_v2.uuid";
                source.iter().for_each(|field| report.approximate(field, to, "the volume that the binding names"));
            }
            Err(Kept::Because(why)) => source.iter().for_each(|field| report.refused(field, why)),
        }
        if let Some(limits) = limits(disk) {
            let path = format!("api/volume-qos-{}.json", disk.target);
            let to = format!("{}: qos_specs", path.trim_start_matches("api/"));
            let whole = limits.len() == disk.iotune.len();
            let name = format!("covirt-{}-{}", vm.uuid, disk.target);
            let mut specs = Map::new();
            specs.insert("name".to_owned(), json!(name));
            specs.insert("consumer".to_owned(), json!("front-end"));
            specs.extend(limits);
            files.push(json_file(path, &json!({"qos_specs": specs})));
            let rule = if whole {
                "the volume's type must be associated with these specs, which then hold for all volumes of the type"
            } else {
                "the volume's type must be associated with these specs; bursts' lengths and groups have no place there"
            };
            report.approximate(&field("iotune"), &to, rule);
        }
    }
    files
}

/// Where Cinder finds a volume.
struct Place {
    host: String,
    name: String,
    volume_type: Option<String>,
}

/// Why a disk is not to be adopted.
enum Kept {
    AlreadyThere,
    Because(&'static str),
}

/// Where Cinder finds a disk that it can adopt, or why it cannot.
fn adopt(vm: &Vm<'_>, disk: &Disk) -> Result<Place, Kept> {
    use Kept::{AlreadyThere, Because};
    let bound = vm.binding.volumes.get(&disk.target);
    if bound.is_some_and(|bound| bound.volume_id.is_some()) {
        return Err(AlreadyThere);
    }
    let found = vm.inventory.volume_of(disk);
    let name = match (&disk.source, found) {
        (None, _) => return Err(Because("there is no medium")),
        (Some(_), Some((pool, volume))) => {
            pool_can(&pool.kind).map_err(Because)?;
            let raw = volume.format.as_deref().or(disk.format.as_deref()).is_none_or(|format| format == "raw");
            if !raw || disk.format.as_deref().is_some_and(|format| format != "raw") {
                return Err(Because(
                    "Cinder's LVM and RBD drivers hold raw volumes, and this one has another format inside",
                ));
            }
            if volume.backing.is_some() || volume.encryption.is_some() {
                return Err(Because("the volume stands on another one or is encrypted, which Cinder would not know"));
            }
            volume.name.clone()
        }
        (Some(DiskSource::Network { protocol, name: Some(name), .. }), None) if protocol == "rbd" => {
            if disk.format.as_deref().is_some_and(|format| format != "raw") {
                return Err(Because("Cinder's RBD driver holds raw images, and this one has another format inside"));
            }
            name.rsplit_once('/').map_or(name.as_str(), |(_, image)| image).to_owned()
        }
        (Some(source), None) => return Err(Because(source_cannot(source))),
    };
    if !disk.backing.images.is_empty() || disk.encryption.is_some() {
        return Err(Because("the disk stands on another image or is encrypted, which Cinder would not know"));
    }
    if disk.mirror.is_some() {
        return Err(Because("a block job is copying the disk: what it ends on is not known yet"));
    }
    let pool = found.and_then(|(pool, _)| vm.binding.pools.get(&pool.name));
    let own = |read: fn(&BoundVolume) -> Option<&str>| bound.and_then(read);
    let host = own(|bound| Some(bound.cinder_host.as_ref()?.as_str()));
    let host = host.or_else(|| Some(pool?.cinder_host.as_ref()?.as_str()));
    let volume_type = own(|bound| Some(bound.volume_type.as_ref()?.as_str()));
    let volume_type = volume_type.or_else(|| Some(pool?.volume_type.as_ref()?.as_str()));
    let missing = "a driver of Cinder's could adopt it, and the binding names no cinder_host for its pool";
    let host = host.ok_or(Because(missing))?.to_owned();
    Ok(Place { host, name, volume_type: volume_type.map(str::to_owned) })
}

/// Whether one of Cinder's generic drivers adopts what is in a pool of that kind.
fn pool_can(kind: &PoolType) -> Result<(), &'static str> {
    match kind {
        PoolType::Logical | PoolType::Rbd => Ok(()),
        PoolType::Dir | PoolType::Fs | PoolType::Netfs => Err(FILE),
        PoolType::Zfs => Err("Cinder's generic drivers adopt from LVM and RBD only; it has none for ZFS on this host"),
        PoolType::Iscsi | PoolType::IscsiDirect | PoolType::Scsi | PoolType::Mpath | PoolType::Disk => {
            Err("the device belongs to a storage system: only that vendor's driver of Cinder's could adopt it, there")
        }
        PoolType::Sheepdog | PoolType::Gluster | PoolType::Vstorage => {
            Err("no driver of Cinder's adopts from such a pool")
        }
        PoolType::Unknown(_) => Err("covirt does not know this kind of pool"),
    }
}

const FILE: &str = "a file: Cinder's generic NFS driver has no manage_existing; only its LVM and RBD drivers adopt";

fn source_cannot(source: &DiskSource) -> &'static str {
    match source {
        DiskSource::File { .. } => FILE,
        DiskSource::Block { .. } => "no libvirt pool has this device, so that its volume group is not known",
        DiskSource::Directory { .. } => "a folder shown as a disk is no volume",
        DiskSource::Network { .. } => "Cinder's generic drivers adopt from LVM and RBD only",
        DiskSource::Volume { .. } => "the volume's pool was not looked at",
        DiskSource::Nvme { .. } => "a namespace of the host's controller is no volume of Cinder's",
        DiskSource::VhostUser { .. } => "what is behind the socket is not known to libvirt",
        DiskSource::Unknown { .. } => "covirt does not know this kind of source",
    }
}

fn manage_body(vm: &Vm<'_>, disk: &Disk, boot_index: i64, place: &Place) -> Value {
    let mut volume = json!({
        "host": place.host,
        "ref": {"source-name": place.name},
        "name": printable(&format!("{}-{}", vm.name, disk.target), 255),
        "description": printable(&format!("covirt: {} {}", vm.name, disk.target), 255),
        "availability_zone": vm.binding.availability_zone.as_str(),
        "bootable": boot_index >= 0,
        "metadata": {"covirt:domain": vm.uuid.to_string(), "covirt:target": printable(&disk.target, 255)},
    });
    if let (Some(volume_type), Some(map)) = (&place.volume_type, volume.as_object_mut()) {
        map.insert("volume_type".to_owned(), json!(volume_type));
    }
    json!({"volume": volume})
}

/// libvirt's limits that Cinder's front-end specs have too, under the same names.
const LIMITS: &[&str] = &[
    "total_bytes_sec",
    "read_bytes_sec",
    "write_bytes_sec",
    "total_iops_sec",
    "read_iops_sec",
    "write_iops_sec",
    "total_bytes_sec_max",
    "read_bytes_sec_max",
    "write_bytes_sec_max",
    "total_iops_sec_max",
    "read_iops_sec_max",
    "write_iops_sec_max",
    "size_iops_sec",
];

fn limits(disk: &Disk) -> Option<Map<String, Value>> {
    let known = disk.iotune.iter().filter(|(name, _)| LIMITS.contains(&name.as_str()));
    let limits: Map<String, Value> = known.map(|(name, value)| (name.clone(), json!(value))).collect();
    (!limits.is_empty()).then_some(limits)
}

/// What becomes of who may write.
pub(super) fn writes_rule(disk: &Disk) -> Option<&'static str> {
    match disk.writes {
        Writes::Exclusive => None,
        Writes::Shared => {
            Some("others write to it too: its volume needs a type with multiattach, which the operator makes")
        }
        Writes::ReadOnly => Some("a volume that is only read is marked in Cinder afterwards (readonly flag)"),
        Writes::ReadOnlyShared => {
            Some("a shared volume that is only read needs a type with multiattach and the readonly flag")
        }
    }
}

/// Whether the VM boots from something before its disks, which Nova cannot.
pub(super) fn boots_otherwise(domain: &Domain) -> bool {
    match &domain.boot {
        BootOrder::ByClass(classes) => classes.iter().any(|class| *class != BootClass::Disk),
        BootOrder::ByDevice(devices) => {
            let disk = |name: &str| {
                let target = name.strip_prefix("disk:");
                target.is_some_and(|target| domain.disks.iter().any(|disk| disk.target == target && is_volume(disk)))
            };
            devices.iter().any(|device| !disk(&device.device))
        }
        BootOrder::Unsaid => false,
    }
}

/// Whether Cinder has the volume already, as far as the binding says.
pub(super) fn is_derived(vm: &Vm<'_>, disk: &Disk) -> bool {
    volume_id(vm, disk).origin == Origin::Derived
}
