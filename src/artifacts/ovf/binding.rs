//! What the operator says of an export: how disks are exported, what networks are called over there, and the product.
//!
//! Assumes nothing. Guarantees that every disk and interface it names is the VM's, and no password among the properties.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::layout::{capacity_of, is_exported};
use crate::artifacts::binding::{BindingFault, DraftField};
use crate::artifacts::error::RenderError;
use crate::artifacts::named::nic_named;
use crate::discovery::Inventory;
use crate::model::units::Mac;

/// The binding.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::artifacts) struct OvfBinding {
    /// The virtual hardware's type, `vmx-19` when left out.
    pub(super) system_type: Option<String>,
    /// The operating system's number in CIM, where libosinfo's id says too little.
    pub(super) os_type: Option<u16>,
    /// How disks are exported, by target.
    pub(super) disks: BTreeMap<String, ExportedDisk>,
    /// What an interface's network is called over there, by MAC.
    pub(super) networks: BTreeMap<Mac, String>,
    /// What product this is, for who imports it.
    pub(super) product: Option<Product>,
    /// What who imports it may set, by key.
    pub(super) properties: BTreeMap<String, Property>,
}

/// How one disk is exported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExportedDisk {
    /// The file's name beside the descriptor.
    pub(super) file: Option<String>,
    /// The format it is exported in.
    pub(super) format: Option<ExportFormat>,
    /// What the guest sees, where libvirt was not asked. *Units*: bytes.
    pub(super) capacity: Option<u64>,
    /// The exported file's size, once it is known. *Units*: bytes.
    pub(super) size: Option<u64>,
}

/// A format of exported disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ExportFormat {
    Qcow2,
    Raw,
    /// What vSphere imports: a compressed VMDK that is written in one go.
    VmdkStream,
}

/// The product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Product {
    /// Its name.
    pub(super) name: Option<String>,
    /// Who makes it.
    pub(super) vendor: Option<String>,
    /// Its version, short.
    pub(super) version: Option<String>,
}

/// One property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Property {
    /// Its value unless another is set.
    #[serde(default)]
    pub(super) value: String,
    /// What it is.
    #[serde(default)]
    pub(super) label: Option<String>,
    /// Whether who imports it may change it.
    #[serde(default)]
    pub(super) user_configurable: bool,
}

impl OvfBinding {
    /// Refuses what names something the VM has not, and what no descriptor may hold.
    pub(super) fn check(&self, inventory: &Inventory) -> Result<(), RenderError> {
        for (target, disk) in &self.disks {
            let field = format!("disks.{target}");
            if !inventory.domain.disks.iter().any(|disk| disk.target == *target && is_exported(disk)) {
                return Err(BindingFault::new(field, "the VM has no such disk to export").into());
            }
            if disk.file.as_deref().is_some_and(|file| !is_file_name(file)) {
                let fault = BindingFault::new(format!("{field}.file"), "this is not a plain file name");
                return Err(fault.hint("letters, digits, '.', '_' and '-'").into());
            }
            if disk.capacity == Some(0) {
                return Err(BindingFault::new(format!("{field}.capacity"), "a disk has at least one byte").into());
            }
        }
        for mac in self.networks.keys() {
            nic_named(inventory, "networks", *mac)?;
        }
        for key in self.properties.keys() {
            let field = format!("properties.{key}");
            let lower = key.to_ascii_lowercase();
            if ["password", "passwd", "secret", "token", "private"].iter().any(|word| lower.contains(word)) {
                return Err(RenderError::Secret { field });
            }
            // The standard keeps '.' and ':' for classes and instances.
            if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) {
                let fault = BindingFault::new(field, "this is not a property's key");
                return Err(fault.hint("letters, digits, '_' and '-'").into());
            }
        }
        Ok(())
    }
}

/// Whether a name can stand in a reference and on any file system as it is.
pub(super) fn is_file_name(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    plain && !name.is_empty() && name.len() <= 200 && !name.starts_with(['.', '-'])
}

/// Every field, with what can be guessed.
pub(super) fn draft(inventory: &Inventory) -> Vec<DraftField> {
    let mut fields = vec![
        DraftField::optional(&["system_type"], "the virtual hardware's type").guess("vmx-19"),
        DraftField::optional(&["os_type"], "the operating system's number in CIM, when libosinfo's id says too little"),
    ];
    for disk in inventory.domain.disks.iter().filter(|disk| is_exported(disk)) {
        let target = disk.target.as_str();
        if capacity_of(disk, inventory).is_none() {
            let help = "the disk's size as the guest sees it, in bytes: libvirt was not asked for it";
            fields.push(DraftField::required(&["disks", target, "capacity"], help));
        }
        fields.push(DraftField::optional(
            &["disks", target, "format"],
            "the format it is exported in: qcow2, raw, or vmdk-stream, the only one vSphere imports",
        ));
        fields.push(DraftField::optional(&["disks", target, "file"], "the exported file's name"));
        fields.push(DraftField::optional(&["disks", target, "size"], "the exported file's size in bytes"));
    }
    for mac in inventory.domain.nics.iter().filter_map(|nic| nic.mac) {
        let help = "what the interface's network is called over there; its name here when left out";
        fields.push(DraftField::optional(&["networks", &mac.to_string()], help));
    }
    for (field, help) in [("name", "the product's name"), ("vendor", "who makes it"), ("version", "its version")] {
        fields.push(DraftField::optional(&["product", field], help));
    }
    fields
}
