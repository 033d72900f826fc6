//! The config drive: the tree that a guest finds on a disc labelled `config-2`, and the disc itself.
//!
//! Assumes the VM and its interfaces. Guarantees the tree in the newest form and in that of 2018-08-27, with the VM's
//! own UUID as the instance's id, the same files on the disc, and no random seed: it would differ at each rendering.
//! *Source*: <https://docs.openstack.org/nova/latest/user/metadata.html>.

use serde_json::{Map, Value, json};

use super::super::bundle::BundleFile;
use super::super::error::RenderError;
use super::super::guest::{hostname, user_data};
use super::super::iso9660::{IsoFile, image};
use super::pinning::dedicated_cpus;
use super::port::{Interface, access_tag};
use super::vm::{Vm, json_file};
use crate::discovery::{DeviceAddress, Disk, DiskBus, NicSource};

/// The label by which cloud-init finds the disc.
const LABEL: &str = "config-2";
const ROOT: &str = "config-2/";

/// The forms of the tree: guests look for the newest that they know, and `latest` is the newest of all.
const LATEST: &str = "latest";
const OLDER: &str = "2018-08-27";

/// The tree and the disc.
pub(super) fn files(
    vm: &Vm<'_>,
    interfaces: &[Interface<'_>],
    network_data: &Value,
) -> Result<Vec<BundleFile>, RenderError> {
    let mut files = Vec::new();
    for form in [LATEST, OLDER] {
        let path = |name: &str| format!("{ROOT}openstack/{form}/{name}");
        files.push(json_file(path("meta_data.json"), &meta_data(vm, interfaces, form)?));
        files.push(json_file(path("network_data.json"), network_data));
        files.push(json_file(path("vendor_data.json"), &json!({})));
        files.push(json_file(path("vendor_data2.json"), &json!({})));
        files.push(BundleFile::new(path("user_data"), user_data(&vm.binding.guest)));
    }
    let on_disc = files.iter().filter_map(|file| Some((file.path.strip_prefix(ROOT)?, &file.bytes)));
    let on_disc: Vec<IsoFile<'_>> = on_disc.map(|(name, bytes)| IsoFile { name, bytes }).collect();
    let disc = image(LABEL, &on_disc)?;
    files.push(BundleFile::new("config-2.iso", disc));
    Ok(files)
}

fn meta_data(vm: &Vm<'_>, interfaces: &[Interface<'_>], form: &str) -> Result<Value, RenderError> {
    let keys: Vec<(String, &String)> =
        vm.binding.guest.ssh_keys.iter().enumerate().map(|(nth, key)| (format!("key{nth}"), key)).collect();
    let mut data = json!({
        "uuid": vm.uuid,
        "name": vm.name,
        "hostname": hostname(vm.inventory, &vm.binding.guest)?,
        "launch_index": 0,
        "availability_zone": vm.binding.availability_zone.as_str(),
        "project_id": vm.binding.project_id.as_str(),
        "meta": marks(vm),
    });
    let Some(map) = data.as_object_mut() else { return Ok(data) };
    if !keys.is_empty() {
        let named: Map<String, Value> = keys.iter().map(|(name, key)| (name.clone(), json!(key))).collect();
        let listed = keys.iter().map(|(name, key)| json!({"name": name, "type": "ssh", "data": key}));
        map.insert("public_keys".to_owned(), Value::Object(named));
        map.insert("keys".to_owned(), listed.collect());
    }
    map.insert("devices".to_owned(), devices(vm, interfaces));
    if form == LATEST {
        map.insert("dedicated_cpus".to_owned(), json!(dedicated_cpus(&vm.inventory.domain.cpu)));
    }
    Ok(data)
}

/// The longest value of a server's metadata. *Units*: characters.
const LONGEST_MARK: usize = 255;

/// Texts about the VM that OpenStack has no field for, as the metadata of a server; none longer than that takes.
pub(super) fn marks(vm: &Vm<'_>) -> Map<String, Value> {
    let domain = &vm.inventory.domain;
    let texts = [("covirt:title", &domain.identity.title), ("covirt:libosinfo", &domain.guest_os)];
    let fits = |text: &&String| text.chars().count() <= LONGEST_MARK;
    texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text.as_ref().filter(fits)?)))).collect()
}

/// Interfaces and disks with their places on the guest's buses.
fn devices(vm: &Vm<'_>, interfaces: &[Interface<'_>]) -> Value {
    let nics = interfaces.iter().map(|interface| {
        let (bus, address) = place(interface.nic.address.as_ref(), None);
        let mut device =
            json!({"type": "nic", "bus": bus, "address": address, "mac": interface.mac.to_string(), "tags": [interface.tag()]});
        if let Some(map) = device.as_object_mut() {
            // Only a function that the guest itself drives shows its VLAN to it.
            if let (NicSource::Hostdev { .. }, Some(tag)) = (&interface.nic.source, access_tag(interface.nic)) {
                map.insert("vlan".to_owned(), json!(tag));
            }
            map.insert("vf_trusted".to_owned(), json!(false));
        }
        device
    });
    let disks = vm.inventory.domain.disks.iter().filter(|disk| super::cinder::is_volume(disk)).map(|disk| {
        let (bus, address) = place(disk.address.as_ref(), disk.bus.as_ref());
        let path = format!("/dev/{}", disk.target);
        let mut device = json!({"type": "disk", "bus": bus, "address": address, "path": path, "tags": [disk.target]});
        if let (Some(serial), Some(map)) = (&disk.serial, device.as_object_mut()) {
            map.insert("serial".to_owned(), json!(serial));
        }
        device
    });
    nics.chain(disks).collect()
}

/// Bus and address in Nova's words; `none` where it has none.
fn place(address: Option<&DeviceAddress>, bus: Option<&DiskBus>) -> (&'static str, String) {
    let none = || "none".to_owned();
    if let Some(pci) = address.and_then(DeviceAddress::pci) {
        return ("pci", pci.to_owned());
    }
    let drive =
        address.and_then(|address| address.as_str().strip_prefix("drive:")).map(|drive| drive.replace('.', ":"));
    match bus {
        Some(DiskBus::Scsi) => ("scsi", drive.unwrap_or_else(none)),
        Some(DiskBus::Ide) => ("ide", drive.unwrap_or_else(none)),
        Some(DiskBus::Usb) => {
            let port = address.and_then(|address| address.as_str().strip_prefix("usb:"));
            ("usb", port.map_or_else(none, |port| port.replace('.', ":")))
        }
        Some(DiskBus::Xen) => ("xen", none()),
        Some(
            DiskBus::Virtio
            | DiskBus::Sata
            | DiskBus::Fdc
            | DiskBus::Sd
            | DiskBus::Uml
            | DiskBus::Nvme
            | DiskBus::Unknown(_),
        )
        | None => ("none", none()),
    }
}

/// Whether a disk's place is told.
pub(super) fn has_place(disk: &Disk) -> bool {
    place(disk.address.as_ref(), disk.bus.as_ref()).1 != "none"
}
