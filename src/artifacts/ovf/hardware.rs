//! The virtual hardware: one item for each processor set, memory, controller, disk, drive and interface.
//!
//! Assumes a layout of the same inventory. Guarantees the children of an item in the schema's order (by name), instance
//! ids from 1 without gaps, and the MAC of an interface as its address.

use std::collections::BTreeMap;

use super::layout::{Layout, Slot};
use crate::artifacts::xml::Element;
use crate::discovery::{FirmwareKind, Inventory, LinkState, SecureBoot};

/// The whole section.
pub(super) fn section(inventory: &Inventory, system_type: &str, layout: &Layout) -> Element {
    let domain = &inventory.domain;
    let (cpus, mebibytes) = (processors(inventory), mebibytes(inventory));
    let system = Element::new("ovf:System")
        .child(Element::text("vssd:ElementName", "Virtual Hardware Family"))
        .child(Element::text("vssd:InstanceID", "0"))
        .child(Element::text("vssd:VirtualSystemIdentifier", &domain.identity.name))
        .child(Element::text("vssd:VirtualSystemType", system_type));
    let section = Element::new("ovf:VirtualHardwareSection")
        .child(Element::text("ovf:Info", format!("{cpus} vCPU, {mebibytes} MiB")))
        .child(system)
        .children(Items::default().all(inventory, layout));
    section.children(configuration(inventory))
}

/// What the guest has when it starts: OVF knows no processors that wait to be plugged.
fn processors(inventory: &Inventory) -> u32 {
    inventory.domain.cpu.vcpus_max.max(1)
}

/// Memory as importers read it: in MiB, a part of one counts as a whole one.
pub(super) fn mebibytes(inventory: &Inventory) -> u64 {
    inventory.domain.memory.max_kib.0.div_ceil(1024).max(1)
}

/// Processors in one socket: dies, clusters and threads count as cores.
pub(super) fn cores_per_socket(inventory: &Inventory) -> Option<u32> {
    let topology = inventory.domain.cpu.topology?;
    let all = processors(inventory);
    (topology.sockets > 0 && all.is_multiple_of(topology.sockets)).then(|| all / topology.sockets)
}

/// The items so far.
#[derive(Default)]
struct Items {
    items: Vec<Element>,
    /// The instance ids of the controllers, by their index in the layout.
    controllers: Vec<usize>,
}

impl Items {
    fn all(mut self, inventory: &Inventory, layout: &Layout) -> Vec<Element> {
        self.processors_and_memory(inventory);
        for controller in &layout.controllers {
            let kind = controller.kind;
            let id = self.add([
                ("rasd:Address", controller.number.to_string()),
                ("rasd:Description", format!("{} Controller", kind.words())),
                ("rasd:ElementName", format!("{} Controller {}", kind.words(), controller.number)),
                ("rasd:ResourceSubType", kind.subtype().to_owned()),
                ("rasd:ResourceType", kind.resource_type().to_string()),
            ]);
            self.controllers.push(id);
        }
        for disk in &layout.disks {
            let placed = self.placed(disk.slot);
            self.add(placed.into_iter().chain([
                ("rasd:ElementName", disk.target.clone()),
                ("rasd:HostResource", format!("ovf:/disk/{}", disk.target)),
                ("rasd:ResourceType", "17".to_owned()),
            ]));
        }
        for drive in &layout.drives {
            let name = ("rasd:ElementName", drive.target.clone());
            let unplugged = ("rasd:AutomaticAllocation", "false".to_owned());
            match drive.slot {
                Some(slot) => {
                    let placed = self.placed(slot);
                    let kind = ("rasd:ResourceType", "15".to_owned());
                    self.add(placed.into_iter().chain([name, unplugged, kind]));
                }
                None => {
                    self.add([name, unplugged, ("rasd:ResourceType", "14".to_owned())]);
                }
            }
        }
        self.adapters(inventory, layout);
        if inventory.domain.tpm.is_some() {
            let optional = self.item([
                ("rasd:AutomaticAllocation", "false".to_owned()),
                ("rasd:ElementName", "Virtual TPM".to_owned()),
                ("rasd:ResourceSubType", "vmware.vtpm".to_owned()),
                ("rasd:ResourceType", "1".to_owned()),
            ]);
            self.items.push(optional.attribute("ovf:required", "false"));
        }
        self.items
    }

    fn processors_and_memory(&mut self, inventory: &Inventory) {
        let cpus = processors(inventory);
        let mut processor = self.item([
            ("rasd:AllocationUnits", "hertz * 10^6".to_owned()),
            ("rasd:Description", "Number of virtual CPUs".to_owned()),
            ("rasd:ElementName", format!("{cpus} virtual CPU(s)")),
            ("rasd:ResourceType", "3".to_owned()),
            ("rasd:VirtualQuantity", cpus.to_string()),
        ]);
        if let Some(cores) = cores_per_socket(inventory) {
            let cores = Element::text("vmw:CoresPerSocket", cores.to_string()).attribute("ovf:required", "false");
            processor = processor.child(cores);
        }
        self.items.push(processor);
        let mebibytes = mebibytes(inventory);
        self.add([
            ("rasd:AllocationUnits", "byte * 2^20".to_owned()),
            ("rasd:Description", "Memory size".to_owned()),
            ("rasd:ElementName", format!("{mebibytes} MB of memory")),
            ("rasd:ResourceType", "4".to_owned()),
            ("rasd:VirtualQuantity", mebibytes.to_string()),
        ]);
    }

    fn adapters(&mut self, inventory: &Inventory, layout: &Layout) {
        for adapter in &layout.nics {
            let Some(nic) = inventory.domain.nics.get(adapter.nth) else { continue };
            let plugged = nic.link != LinkState::Down;
            let fields = [
                ("rasd:AddressOnParent", (adapter.nth + 7).to_string()),
                ("rasd:AutomaticAllocation", plugged.to_string()),
                ("rasd:Connection", adapter.network.clone()),
                ("rasd:ElementName", format!("net{}", adapter.nth)),
                ("rasd:ResourceSubType", adapter.model.to_owned()),
                ("rasd:ResourceType", "10".to_owned()),
            ];
            let mac = nic.mac.map(|mac| ("rasd:Address", mac.to_string()));
            self.add(fields.into_iter().chain(mac));
        }
    }

    /// A place as the fields that say it.
    fn placed(&self, slot: Slot) -> [(&'static str, String); 2] {
        let parent = self.controllers.get(slot.controller).copied().unwrap_or_default();
        [("rasd:AddressOnParent", slot.unit.to_string()), ("rasd:Parent", parent.to_string())]
    }

    /// Adds an item and tells its instance id.
    fn add(&mut self, fields: impl IntoIterator<Item = (&'static str, String)>) -> usize {
        let item = self.item(fields);
        self.items.push(item);
        self.items.len()
    }

    /// The next item, its children sorted as the schema has them.
    fn item(&self, fields: impl IntoIterator<Item = (&'static str, String)>) -> Element {
        let mut fields: BTreeMap<&'static str, String> = fields.into_iter().collect();
        fields.insert("rasd:InstanceID", (self.items.len() + 1).to_string());
        Element::new("ovf:Item").children(fields.into_iter().map(|(name, text)| Element::text(name, text)))
    }
}

/// Firmware and secure boot, in VMware's extension that virt-v2v reads as well.
fn configuration(inventory: &Inventory) -> Vec<Element> {
    let firmware = &inventory.domain.firmware;
    let config = |key: &str, value: &str| {
        Element::new("vmw:Config")
            .attribute("ovf:required", "false")
            .attribute("vmw:key", key)
            .attribute("vmw:value", value)
    };
    let kind = match firmware.kind {
        FirmwareKind::Bios => "bios",
        FirmwareKind::Uefi => "efi",
        FirmwareKind::Unknown(_) => return Vec::new(),
    };
    let mut written = vec![config("firmware", kind)];
    match firmware.secure_boot {
        SecureBoot::On => written.push(config("bootOptions.efiSecureBootEnabled", "true")),
        SecureBoot::Off => written.push(config("bootOptions.efiSecureBootEnabled", "false")),
        SecureBoot::Unsaid => {}
    }
    written
}
