//! A VM's persistent definition, as far as a look shows it: whether there is one, which one it is, and what the next
//! start will have.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::discovery::{Domain, Generation};
use crate::model::operation::{Setting, SnapshotKind};
use crate::model::{DeviceName, Effect, Kib, Operation, VmState};

/// Whether there is a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kept {
    Defined(Definition),
    Transient,
}

/// A definition that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    /// Its digest as it was defined, where a test cares.
    base: Option<String>,
    /// What it then said.
    name: String,
    first: Figures,
    /// What calls have written into it since, by the part that it is about.
    written: BTreeMap<String, String>,
    /// What disks have been put on since, by their targets, the topmost last.
    images: BTreeMap<String, Vec<String>>,
    /// What it says now.
    figures: Figures,
}

/// What a definition says of the VM.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Figures {
    vcpus: u32,
    vcpus_max: u32,
    memory_kib: Kib,
    memory_max_kib: Kib,
    devices: BTreeSet<DeviceName>,
}

impl Figures {
    fn of_state(state: &VmState) -> Self {
        Self {
            vcpus: state.vcpus,
            vcpus_max: state.vcpus_max,
            memory_kib: state.memory_kib,
            memory_max_kib: state.memory_max_kib,
            devices: state.devices.clone(),
        }
    }

    fn of_domain(domain: &Domain) -> Self {
        let disks = domain.disks.iter().map(|disk| DeviceName::Disk(disk.target.clone()));
        let nics = domain.nics.iter().filter_map(|nic| nic.mac.map(DeviceName::Nic));
        Self {
            vcpus: domain.cpu.vcpus,
            vcpus_max: domain.cpu.vcpus_max,
            memory_kib: domain.memory.current_kib,
            memory_max_kib: domain.memory.max_kib,
            devices: disks.chain(nics).collect(),
        }
    }
}

impl Definition {
    /// The definition of a VM that is as this look shows it.
    pub(super) fn of_state(name: &str, state: &VmState) -> Self {
        Self::new(state.definition.clone(), name, Figures::of_state(state))
    }

    /// The one that a domain's XML makes.
    pub(super) fn of_domain(domain: &Domain) -> Self {
        let base = Some(Generation::of_definition(domain).to_string());
        Self::new(base, &domain.identity.name, Figures::of_domain(domain))
    }

    fn new(base: Option<String>, name: &str, figures: Figures) -> Self {
        let (name, first) = (name.to_owned(), figures.clone());
        Self { base, name, first, written: BTreeMap::new(), images: BTreeMap::new(), figures }
    }

    /// Its digest; none where no test cares.
    pub(super) fn digest(&self) -> Option<String> {
        let base = self.base.clone()?;
        if self.written.is_empty() && self.images.is_empty() {
            return Some(base);
        }
        let digest = Sha256::digest(format!("{base} {:?} {:?}", self.written, self.images));
        Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Somebody changed a VM that is off: that is its definition.
    pub(super) fn follow(&mut self, name: &str, state: &VmState) {
        self.figures = Figures::of_state(state);
        if state.definition != self.digest() {
            *self = Self::of_state(name, state);
        }
    }

    /// A disk goes over to its copy, or to what its topmost image was merged into.
    pub(super) fn go_over(&mut self, disk: &str, copy: Option<String>) {
        let images = self.images.entry(disk.to_owned()).or_default();
        match copy {
            Some(copy) => *images = vec![copy],
            None => drop(images.pop()),
        }
        self.images.retain(|_, images| !images.is_empty());
    }

    /// A VM that is off is what its definition says.
    pub(super) fn show_in(&self, state: &mut VmState) {
        let Figures { vcpus, vcpus_max, memory_kib, memory_max_kib, devices } = self.figures.clone();
        (state.vcpus, state.vcpus_max) = (vcpus, vcpus_max);
        (state.memory_kib, state.memory_max_kib) = (memory_kib, memory_max_kib);
        state.devices = devices;
    }

    /// What a call that was done has written into it.
    pub(super) fn write(&mut self, operation: &Operation) {
        match operation.effect() {
            Effect::Vcpus(vcpus) => {
                self.figures.vcpus = vcpus;
                self.set("vcpus", (vcpus != self.first.vcpus).then(|| vcpus.to_string()));
            }
            Effect::Memory(memory) => {
                self.figures.memory_kib = memory;
                self.set("memory", (memory != self.first.memory_kib).then(|| memory.to_string()));
            }
            Effect::DeviceAdded(device) => {
                // One that was pulled and comes back need not be the one that was.
                self.set(&device.to_string(), Some(operation.args().to_string()));
                self.figures.devices.insert(device);
            }
            Effect::DeviceRemoved(device) => {
                let was_there = self.first.devices.contains(&device);
                self.set(&device.to_string(), was_there.then(|| "removed".to_owned()));
                self.set(&tuning(&device), None);
                self.figures.devices.remove(&device);
            }
            Effect::Renamed(name) => {
                let is_first = name == self.name;
                self.set("name", (!is_first).then_some(name));
            }
            Effect::SnapshotAdded(name) if is_disk_only(operation) => {
                let all = || self.figures.devices.iter().filter_map(target_of).cloned().collect();
                for disk in operation.disks().unwrap_or_else(all) {
                    self.images.entry(disk).or_default().push(name.clone());
                }
            }
            Effect::Setting(Setting::Device(device)) => {
                self.set(&device.to_string(), Some(operation.args().to_string()));
            }
            Effect::Setting(Setting::Tuning(device)) => {
                self.set(&tuning(&device), Some(operation.args().to_string()));
            }
            _ => {}
        }
    }

    fn set(&mut self, key: &str, value: Option<String>) {
        match value {
            Some(value) => self.written.insert(key.to_owned(), value),
            None => self.written.remove(key),
        };
    }
}

fn is_disk_only(operation: &Operation) -> bool {
    matches!(operation, Operation::SnapshotCreate(args) if args.kind == SnapshotKind::DiskOnly)
}

fn target_of(device: &DeviceName) -> Option<&String> {
    match device {
        DeviceName::Disk(target) => Some(target),
        DeviceName::Nic(_) => None,
    }
}

fn tuning(device: &DeviceName) -> String {
    format!("limits of {device}")
}
