//! A VM that exists only in memory and obeys like libvirt's.

mod deeds;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::definition::{Definition, Kept};
use super::told::{self, Told};
use crate::discovery::{Discovered, Generation, Inventory, Limits, parse_domain};
use crate::hypervisor::JobProgress;
use crate::hypervisor::evidence::{Seen, other_start, seen_in, weigh};
use crate::model::operation::Setting;
use crate::model::{
    Bytes, Code, DeviceName, Effect, Ending, HoldKey, Operation, Outcome, PowerState, StartId, VmId, VmState,
};
use crate::resolver::Evidence;

/// One VM.
#[derive(Debug, Clone)]
pub(super) struct Vm {
    pub(super) name: String,
    pub(super) state: VmState,
    metadata: BTreeMap<String, String>,
    snapshots: BTreeMap<String, Snapshot>,
    /// How it was when it was put to sleep.
    asleep: Option<PowerState>,
    /// What is open that the state does not show.
    open: BTreeSet<HoldKey>,
    /// Disks' sizes, of those that were made larger.
    capacities: BTreeMap<String, Bytes>,
    /// What block jobs that wait for a pivot go over to, by their disks; none for what is below.
    mirrors: BTreeMap<String, Option<String>>,
    /// How far what is open is, where a test said so.
    progress: Vec<JobProgress>,
    /// What was last asked of a device that stays.
    settings: BTreeMap<Setting, Operation>,
    autostart: bool,
    /// What libvirt calls its devices.
    aliases: BTreeMap<DeviceName, String>,
    definition: Kept,
}

/// What a snapshot holds.
#[derive(Debug, Clone)]
struct Snapshot {
    state: VmState,
    definition: Kept,
}

/// What a call that was done gives back, and what is said of it.
pub(super) struct Done {
    pub(super) value: Value,
    pub(super) told: Vec<Told>,
}

impl Vm {
    /// What a real hypervisor would tell of it.
    pub(super) fn inventory(&self, vm: VmId) -> Result<Inventory, String> {
        let (name, state) = (&self.name, &self.state);
        let device = |device: &DeviceName| match device {
            DeviceName::Disk(target) => {
                format!("<disk type='file' device='disk'><source file='/{target}'/><target dev='{target}'/></disk>")
            }
            DeviceName::Nic(mac) => format!("<interface type='user'><mac address='{mac}'/></interface>"),
        };
        let devices: String = state.devices.iter().map(device).collect();
        let xml = format!(
            "<domain type='test'><name>{name}</name><uuid>{vm}</uuid><memory unit='KiB'>{}</memory>\
             <vcpu current='{}'>{}</vcpu><os><type arch='x86_64'>hvm</type></os><devices>{devices}</devices></domain>",
            state.memory_max_kib.0, state.vcpus, state.vcpus_max
        );
        let domain = parse_domain(xml, Limits::default()).map_err(|error| error.to_string())?;
        Ok(Inventory::build(Discovered::from_domain(domain)))
    }

    pub(super) fn new(name: &str, state: VmState) -> Self {
        let definition = Kept::Defined(Definition::of_state(name, &state));
        let held = || Snapshot { state: state.clone(), definition: definition.clone() };
        let snapshots = state.snapshots.iter().map(|snapshot| (snapshot.clone(), held())).collect();
        Self {
            name: name.to_owned(),
            asleep: state.saved.then_some(PowerState::Running),
            snapshots,
            metadata: BTreeMap::new(),
            open: BTreeSet::new(),
            capacities: BTreeMap::new(),
            mirrors: BTreeMap::new(),
            progress: Vec::new(),
            settings: BTreeMap::new(),
            autostart: false,
            aliases: state.devices.iter().fold(BTreeMap::new(), with_alias),
            definition,
            state,
        }
    }

    /// Somebody has changed what a look shows.
    pub(super) fn was_changed(&mut self) {
        if let (None, Kept::Defined(definition)) = (self.state.start.0, &mut self.definition) {
            definition.follow(&self.name, &self.state);
        }
    }

    /// How far everything is that is open: as a test said, or not known.
    pub(super) fn progress(&self) -> Vec<JobProgress> {
        let open = |hold: &HoldKey| {
            let said = self.progress.iter().find(|progress| progress.hold == *hold);
            let unknown = JobProgress { hold: hold.clone(), done: 0, total: 0, seconds_left: None, elapsed_s: None };
            said.cloned().unwrap_or(unknown)
        };
        self.state.jobs.iter().map(open).collect()
    }

    pub(super) fn set_progress(&mut self, progress: Vec<JobProgress>) {
        self.progress = progress;
    }

    /// Whether it is there: a transient one goes when it stops.
    pub(super) fn exists(&self) -> bool {
        self.is_defined() || self.state.start.0.is_some()
    }

    /// Refuses what was decided for another start.
    pub(super) fn check_start(&self, operation: &Operation, expected: StartId) -> Result<(), Outcome> {
        let other = other_start(expected, self.state.start).filter(|_| !operation.action().is_read());
        other.map_or(Ok(()), |reason| Err(impossible(&reason)))
    }

    fn is_defined(&self) -> bool {
        matches!(self.definition, Kept::Defined(_))
    }

    /// Does an operation, or refuses as libvirt would; `next_start` is used by a start.
    pub(super) fn perform(&mut self, operation: &Operation, next_start: &mut u32) -> Result<Done, Outcome> {
        let before = self.state.clone();
        let alias = operation.device().and_then(|device| self.aliases.get(&device).cloned());
        let is_named = |vm: &Self| matches!(operation, Operation::DefinitionRename(args) if args.name == vm.name);
        // Of a name that the VM has already nobody hears.
        let unheard = is_named(self);
        let value = self.deed(operation, next_start)?;
        if let Kept::Defined(definition) = &mut self.definition {
            definition.write(operation);
            self.state.definition = definition.digest();
            if self.state.start.0.is_none() {
                definition.show_in(&mut self.state);
            }
        }
        if let Effect::DeviceAdded(device) = operation.effect() {
            self.aliases = with_alias(std::mem::take(&mut self.aliases), &device);
        }
        let alias = alias.or_else(|| operation.device().and_then(|device| self.aliases.get(&device).cloned()));
        if let Effect::DeviceRemoved(device) = operation.effect() {
            self.aliases.remove(&device);
        }
        let told = if unheard { Vec::new() } else { told::of(operation, &before, &self.state, alias) };
        Ok(Done { value, told })
    }

    fn deed(&mut self, operation: &Operation, next_start: &mut u32) -> Result<Value, Outcome> {
        self.check_power(operation)?;
        if let Some(missing) = operation.needs().into_iter().find(|device| !self.state.devices.contains(device)) {
            return Err(impossible(&format!("the VM has no {missing}")));
        }
        match operation.effect() {
            Effect::Nothing => return Ok(self.described()),
            // A lock is the lane's own.
            Effect::Opened { hold: HoldKey::Lock, .. } | Effect::Closed(HoldKey::Lock) => return Ok(Value::Null),
            Effect::Restart => {
                // Nothing stands still in a guest that begins anew.
                self.open.remove(&HoldKey::Freeze);
            }
            // A start goes on from the image, if there is one.
            Effect::Power(PowerState::Running) | Effect::Restored if self.state.saved => {
                let asleep = self.asleep.take();
                self.go(asleep.unwrap_or(PowerState::Running), next_start);
            }
            Effect::Power(to) => self.go(to, next_start),
            Effect::SnapshotAdded(name) => {
                if !self.state.snapshots.insert(name.clone()) {
                    return Err(failed(&format!("domain snapshot {name} already exists")));
                }
                let held = Snapshot { state: self.state.clone(), definition: self.definition.clone() };
                self.snapshots.insert(name.clone(), held);
                return Ok(json!({ "name": name }));
            }
            Effect::SnapshotRemoved(name) => {
                if !self.state.snapshots.remove(&name) {
                    return Err(impossible(&format!("no domain snapshot with matching name '{name}'")));
                }
                self.snapshots.remove(&name);
            }
            Effect::Reverted(name) => {
                let Some(Snapshot { state, definition }) = self.snapshots.get(&name).cloned() else {
                    return Err(impossible(&format!("no domain snapshot with matching name '{name}'")));
                };
                let snapshots: BTreeSet<String> = std::mem::take(&mut self.state.snapshots);
                let to = state.power;
                self.definition = definition;
                // libvirt starts a QEMU of its own for what the snapshot holds.
                self.go(PowerState::ShutOff, next_start);
                self.state = VmState { snapshots, start: StartId(None), jobs: BTreeSet::new(), saved: false, ..state };
                self.go(to, next_start);
            }
            Effect::Vcpus(vcpus) if vcpus > self.state.vcpus_max => {
                return Err(failed("requested vcpus is greater than max allowable vcpus"));
            }
            Effect::Vcpus(vcpus) => self.state.vcpus = vcpus,
            Effect::Memory(memory) if memory > self.state.memory_max_kib => {
                return Err(failed("cannot set memory higher than max memory"));
            }
            Effect::Memory(memory) if self.state.start.0.is_some() => {
                // A guest whose vCPUs stand still moves nothing.
                if self.state.power == PowerState::Running {
                    self.state.memory_kib = memory;
                }
                return Ok(json!({ "memory_kib": memory, "guest_memory_kib": self.state.memory_kib }));
            }
            Effect::Memory(memory) => self.state.memory_kib = memory,
            Effect::Saved if !self.is_defined() => {
                return Err(impossible("cannot do managed save for transient domain"));
            }
            Effect::Saved => {
                self.asleep = Some(self.state.power);
                self.go(PowerState::ShutOff, next_start);
                self.state.saved = true;
            }
            Effect::Restored | Effect::SavedImageRemoved if !self.state.saved => {
                return Err(impossible("there is no image that the VM was saved to"));
            }
            Effect::DeviceAdded(device) if self.state.devices.contains(&device) => {
                return Err(impossible(&format!("the VM has {device} already")));
            }
            Effect::CheckpointRemoved(name) if !self.state.checkpoints.contains(&name) => {
                return Err(impossible(&format!("no domain checkpoint with matching name '{name}'")));
            }
            Effect::CheckpointAdded(name) if self.state.checkpoints.contains(&name) => {
                return Err(failed(&format!("domain checkpoint {name} already exists")));
            }
            Effect::Opened { hold: HoldKey::Freeze, .. } if self.open.contains(&HoldKey::Freeze) => {
                return Err(impossible("file systems of the guest stand still already; guest.thaw lets them go"));
            }
            Effect::Opened { hold: hold @ HoldKey::Freeze, .. } => {
                self.open.insert(hold);
                return Ok(json!({ "frozen": 1 }));
            }
            Effect::Closed(HoldKey::Freeze) => {
                return Ok(json!({ "thawed": u32::from(self.open.remove(&HoldKey::Freeze)) }));
            }
            Effect::Opened { ref hold, .. } if self.state.jobs.contains(hold) => {
                return Err(impossible(&format!("{hold} is open already")));
            }
            Effect::Closed(ref hold) if !self.state.jobs.contains(hold) => {
                return Err(impossible(&format!("{hold} is not active")));
            }
            effect @ Effect::Opened { .. } => {
                self.check_disks(operation)?;
                self.check_checkpoints(operation)?;
                effect.take(&mut self.state);
                self.begin_mirror(operation);
            }
            Effect::Closed(hold) => {
                self.end_mirror(operation)?;
                self.state.jobs.remove(&hold);
                self.progress.retain(|said| said.hold != hold);
            }
            Effect::Setting(Setting::Capacity(disk)) => return self.resize(&disk, operation),
            Effect::Setting(Setting::Autostart) => return self.set_autostart(operation),
            Effect::Setting(setting) => {
                self.settings.insert(setting, operation.clone());
            }
            other @ (Effect::Restored
            | Effect::SavedImageRemoved
            | Effect::DeviceAdded(_)
            | Effect::DeviceRemoved(_)
            | Effect::CheckpointAdded(_)
            | Effect::CheckpointRemoved(_)) => other.take(&mut self.state),
            Effect::Elsewhere => self.deed_of_agent(operation)?,
            Effect::Redefined => return self.redefine(operation),
            Effect::Undefined => self.undefine(operation)?,
            Effect::Renamed(name) => {
                self.name.clone_from(&name);
                return Ok(json!({ "name": name }));
            }
            Effect::Metadata(uri) => {
                match asked_metadata(operation) {
                    Some(xml) => self.metadata.insert(uri, xml.to_owned()),
                    None => self.metadata.remove(&uri),
                };
            }
        }
        Ok(self.given(operation))
    }

    /// What can be observed of a call whose answer was lost.
    pub(super) fn evidence(&self, operation: &Operation, expected: StartId) -> Evidence {
        let seen = match operation {
            Operation::InspectRead(_) => return Evidence::Undone,
            Operation::DiskResize(args) => {
                Seen::when(self.capacities.get(&args.disk).is_some_and(|now| *now >= args.capacity))
            }
            Operation::MetadataSet(args) => Seen::when(self.metadata.get(&args.uri) == args.xml.as_ref()),
            Operation::GuestFreeze(_) => Seen::when(self.open.contains(&HoldKey::Freeze)),
            Operation::GuestThaw(_) => Seen::when(!self.open.contains(&HoldKey::Freeze)),
            Operation::DeviceUpdate(_) | Operation::NicQos(_) | Operation::DiskIotune(_) => {
                let Effect::Setting(setting) = operation.effect() else { return Evidence::None };
                Seen::when(self.settings.get(&setting) == Some(operation))
            }
            Operation::AutostartSet(args) => Seen::when(self.autostart == args.enabled),
            Operation::DefinitionRename(args) => Seen::when(self.name == args.name),
            Operation::DefinitionDefine(args) => {
                let asked = parse_domain(args.xml.clone(), Limits::default()).ok();
                let asked = asked.map(|asked| Generation::of_definition(&asked).to_string());
                Seen::when(self.is_defined() && asked == self.state.definition)
            }
            other => seen_in(&self.state, other),
        };
        weigh(seen, operation, self.state.start, expected)
    }

    fn go(&mut self, to: PowerState, next_start: &mut u32) {
        self.state.power = to;
        if matches!(to, PowerState::ShutOff | PowerState::Crashed) {
            self.state.start = StartId(None);
            self.open.clear();
            self.state.jobs.clear();
            self.progress.clear();
            self.mirrors.clear();
        } else if self.state.start.0.is_none() {
            self.state.start = StartId(Some(*next_start));
            self.state.saved = false;
            *next_start += 1;
        }
    }

    fn described(&self) -> Value {
        let mut value = serde_json::to_value(&self.state).unwrap_or(Value::Null);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("generation".to_owned(), Value::String(self.state.generation()));
        }
        value
    }
}

fn with_alias(mut aliases: BTreeMap<DeviceName, String>, device: &DeviceName) -> BTreeMap<DeviceName, String> {
    let nics = aliases.keys().filter(|device| matches!(device, DeviceName::Nic(_))).count();
    aliases.insert(device.clone(), told::alias_of(device, nics));
    aliases
}

fn asked_metadata(operation: &Operation) -> Option<&str> {
    match operation {
        Operation::MetadataSet(args) => args.xml.as_deref(),
        _ => None,
    }
}

fn impossible(reason: &str) -> Outcome {
    Outcome::new(Ending::Impossible, Code::StateForbids, reason)
}

fn failed(reason: &str) -> Outcome {
    Outcome::new(Ending::Failed, Code::HypervisorFailed, reason)
}
