//! What the operator knows of the Proxmox VE node: the VM's number, storages, bridges, mapped devices.
//!
//! Assumes nothing about the text. Guarantees a number, names and volume ids of Proxmox's own forms.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::artifacts::binding::{BindingFault, DraftField};
use crate::artifacts::checked::checked;
use crate::artifacts::named::{disk_named, nic_named};
use crate::discovery::Inventory;
use crate::model::units::Mac;

/// The binding.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::artifacts) struct Binding {
    /// The VM's number, unique in the cluster.
    pub(super) vmid: VmId,
    /// The storage of whatever has none of its own: disks, EFI variables, TPM state.
    pub(super) storage: StorageId,
    /// The storages that keep volumes as files: there they are named `VMID/vm-VMID-disk-N.FORMAT`.
    #[serde(default)]
    pub(super) file_storages: Vec<StorageId>,
    /// The storage with the optical media.
    pub(super) iso_storage: Option<StorageId>,
    /// The storage that stands for a libvirt pool, by the pool's name.
    #[serde(default)]
    pub(super) pools: BTreeMap<String, StorageId>,
    /// Volume ids, by target; `efidisk0` and `tpmstate0` for those.
    #[serde(default)]
    pub(super) volumes: BTreeMap<String, VolumeId>,
    /// The bridge that stands for one of this host, by its name.
    #[serde(default)]
    pub(super) bridges: BTreeMap<String, BridgeId>,
    /// What interfaces are plugged into, by MAC.
    #[serde(default)]
    pub(super) nics: BTreeMap<Mac, NicBinding>,
    /// The mapping of the cluster's resources that stands for a device of the host, by its source in the inventory.
    #[serde(default)]
    pub(super) host_devices: BTreeMap<String, HostDevice>,
    /// The directory mapping that stands for a shared folder, by the tag the guest mounts it under.
    #[serde(default)]
    pub(super) filesystems: BTreeMap<String, MappingId>,
    /// The machine type to ask for instead of the domain's.
    pub(super) machine: Option<MachineType>,
    /// Tags to find the VM by.
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
}

/// What one interface is plugged into.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NicBinding {
    pub(super) bridge: Option<BridgeId>,
    /// Whether Proxmox's firewall filters it.
    pub(super) firewall: bool,
}

/// A device of the host, by the cluster's mapping.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HostDevice {
    pub(super) mapping: MappingId,
    /// The type of a mediated device.
    pub(super) mdev: Option<MappingId>,
}

/// A VM's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VmId(pub(super) u32);

impl<'de> Deserialize<'de> for VmId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        if (100..=999_999_999).contains(&number) {
            Ok(Self(number))
        } else {
            Err(D::Error::custom("a VM's number is from 100 to 999999999"))
        }
    }
}

fn is_word(text: &str, others: &[u8]) -> bool {
    !text.is_empty() && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric() || others.contains(&b))
}

fn is_storage(text: &str) -> bool {
    let ends = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    ends && text.len() >= 2 && is_word(text, b"-_.") && !text.ends_with(['-', '_', '.'])
}

/// Whether `text` can name a bridge of a node.
pub(super) fn is_bridge(text: &str) -> bool {
    is_word(text, b"-_.")
}

checked! {
    /// A storage.
    StorageId: "a storage's id: a letter, then letters, digits, - _ ." if is_storage;
    /// A volume: `STORAGE:NAME`.
    VolumeId: "STORAGE:VOLUME, without commas and blanks" if |text| text.split_once(':').is_some_and(|(storage, name)| {
        is_storage(storage) && is_word(name, b"-_./+")
    });
    /// A bridge.
    BridgeId: "a bridge's name: letters, digits, - _ ." if is_bridge;
    /// A mapping of a device or folder of the nodes, or the type of a mediated device.
    MappingId: "an id of letters, digits, - and _" if |text| is_word(text, b"-_");
    /// A machine type.
    MachineType: "a machine type: pc, q35 or virt, also with QEMU's version" if super::machine::is_machine;
    /// A tag.
    Tag: "a tag: lower-case letters, digits, - _ . +" if |text| {
        let starts = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        starts && is_word(text, b"-_.+") && !text.bytes().any(|b| b.is_ascii_uppercase())
    };
}

impl Binding {
    /// Refuses a binding for disks and interfaces that are not there.
    pub(super) fn check(&self, inventory: &Inventory) -> Result<(), BindingFault> {
        for target in self.volumes.keys().filter(|target| !matches!(target.as_str(), "efidisk0" | "tpmstate0")) {
            disk_named(inventory, "volumes", target)?;
        }
        for mac in self.nics.keys() {
            nic_named(inventory, "nics", *mac)?;
        }
        Ok(())
    }

    /// Whether a storage keeps volumes as files.
    pub(super) fn keeps_files(&self, storage: &StorageId) -> bool {
        self.file_storages.contains(storage)
    }

    /// The name that Proxmox gives the volume of that number.
    pub(super) fn volume(&self, storage: &StorageId, number: usize, format: &str) -> String {
        let (vmid, name) = (self.vmid.0, storage.as_str());
        if self.keeps_files(storage) {
            format!("{name}:{vmid}/vm-{vmid}-disk-{number}.{format}")
        } else {
            format!("{name}:vm-{vmid}-disk-{number}")
        }
    }
}

/// The draft of the binding.
pub(super) fn draft(inventory: &Inventory) -> Vec<DraftField> {
    let domain = &inventory.domain;
    let mut fields = vec![
        DraftField::required(&["vmid"], "the VM's number, from 100, that no other VM of the cluster has"),
        DraftField::required(&["storage"], "the storage of what has none of its own"),
        DraftField::optional(&["file_storages"], "the storages that keep volumes as files (directory, NFS, CIFS)"),
        DraftField::optional(&["iso_storage"], "the storage with the optical media"),
        DraftField::optional(&["machine"], "the machine type to ask for instead of the domain's"),
        DraftField::optional(&["tags"], "tags to find the VM by"),
    ];
    for pool in inventory.pools.keys() {
        fields.push(DraftField::optional(&["pools", pool], "the storage that stands for this pool"));
    }
    for disk in &domain.disks {
        let help = "its volume, when it has another name than Proxmox would give it";
        fields.push(DraftField::optional(&["volumes", &disk.target], help));
    }
    for mac in domain.nics.iter().filter_map(|nic| nic.mac) {
        fields.push(DraftField::optional(&["nics", &mac.to_string(), "bridge"], "its bridge on the node, like vmbr0"));
    }
    for device in &domain.hostdevs {
        let help = "the cluster's mapping that stands for it";
        fields.push(DraftField::optional(&["host_devices", &device.source, "mapping"], help));
    }
    for tag in domain.filesystems.iter().filter_map(|filesystem| filesystem.target.as_deref()) {
        fields.push(DraftField::optional(&["filesystems", tag], "the cluster's directory mapping"));
    }
    fields
}
