//! The server: a body of Nova's `POST /servers`, microversion 2.94, and the ids in it that OpenStack has yet to give.
//!
//! Assumes the VM, its interfaces and its flavor. Guarantees no id (Nova refuses a caller's), ports and not networks,
//! and one disk to boot from; without any and without an image there is no body, for Nova would refuse it.
//! Sending it makes a second VM on the same volumes: it is for a VM that has ended here.
//! *Source*: <https://docs.openstack.org/api-ref/compute/#create-server>.

use serde_json::{Map, Value, json};

use super::super::bundle::BundleFile;
use super::super::error::RenderError;
use super::super::guest::hostname;
use super::cinder::{boot_indexes, is_derived, volume_id};
use super::config_drive::marks;
use super::flavor::Flavor;
use super::image_devices::nova_bus;
use super::neutron;
use super::port::Interface;
use super::vm::{Vm, json_file, printable};
use crate::discovery::{Disk, DiskDevice};

/// The longest description. *Units*: characters.
const LONGEST: usize = 255;

/// The server's body, when there is one.
pub(super) fn file(
    vm: &Vm<'_>,
    interfaces: &[Interface<'_>],
    flavor: &Flavor,
) -> Result<Option<BundleFile>, RenderError> {
    let disks = boot_indexes(&vm.inventory.domain);
    if disks.is_empty() && vm.binding.image_id.is_none() {
        return Ok(None);
    }
    let ports: Vec<Value> = interfaces
        .iter()
        .filter(|interface| interface.port.is_ok())
        .map(|interface| json!({"port": interface.id.uuid, "tag": interface.tag()}))
        .collect();
    let mut metadata = marks(vm);
    metadata.insert("covirt:domain".to_owned(), json!(vm.uuid));
    let mut server = json!({
        "name": vm.name,
        "hostname": hostname(vm.inventory, &vm.binding.guest)?,
        "flavorRef": flavor.name,
        "availability_zone": vm.binding.availability_zone.as_str(),
        "config_drive": true,
        "networks": if ports.is_empty() { json!("none") } else { json!(ports) },
        "metadata": metadata,
    });
    if let Some(map) = server.as_object_mut() {
        if let Some(description) = &vm.inventory.domain.identity.description {
            map.insert("description".to_owned(), json!(printable(description, LONGEST)));
        }
        if disks.is_empty() {
            map.insert("imageRef".to_owned(), json!(vm.binding.image_id));
        } else {
            let mapped = disks.iter().map(|(disk, boot_index)| mapping(vm, disk, *boot_index)).collect();
            map.insert("block_device_mapping_v2".to_owned(), mapped);
        }
    }
    Ok(Some(json_file("api/server-create.json", &json!({"server": server}))))
}

/// One disk of the server.
fn mapping(vm: &Vm<'_>, disk: &Disk, boot_index: i64) -> Value {
    let mut mapping = Map::new();
    let mut put = |key: &str, value: Value| mapping.insert(key.to_owned(), value);
    put("boot_index", json!(boot_index));
    put("uuid", json!(volume_id(vm, disk).uuid));
    put("source_type", json!("volume"));
    put("destination_type", json!("volume"));
    put("device_name", json!(format!("/dev/{}", disk.target)));
    if let Some(bus) = disk.bus.as_ref().and_then(nova_bus) {
        put("disk_bus", json!(bus));
    }
    put("device_type", json!(if disk.device == DiskDevice::Lun { "lun" } else { "disk" }));
    put("delete_on_termination", json!(false));
    put("tag", json!(disk.target));
    Value::Object(mapping)
}

/// Every id in the files that holds the place of one that OpenStack will give.
pub(super) fn placeholders(vm: &Vm<'_>, interfaces: &[Interface<'_>], files: &[BundleFile]) -> BundleFile {
    let mut held = neutron::placeholders(vm, interfaces);
    for (disk, _) in boot_indexes(&vm.inventory.domain).into_iter().filter(|(disk, _)| is_derived(vm, disk)) {
        let file = format!("api/volume-manage-{}.json", disk.target);
        let id = volume_id(vm, disk).uuid;
        held.push(if files.iter().any(|written| written.path == file) {
            json!({"id": id, "given_by": "POST /v3/manageable_volumes", "file": file})
        } else {
            // Cinder cannot take the disk where it lies: a volume has to be made, and the disk's content copied.
            json!({"id": id, "given_by": "POST /v3/volumes", "file": null})
        });
    }
    json_file("api/placeholders.json", &json!(held))
}
