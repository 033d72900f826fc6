//! A VM that exists only in memory and obeys like libvirt's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::discovery::{Discovered, Generation, Inventory, Limits, parse_domain};
use crate::hypervisor::evidence::{Seen, other_start, seen_in, weigh};
use crate::hypervisor::{JobProgress, given};
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
    saved: BTreeMap<String, VmState>,
    /// What is open that the state does not show.
    open: BTreeSet<HoldKey>,
    /// Disks' sizes, of those that were made larger.
    capacities: BTreeMap<String, Bytes>,
    /// How far what is open is, where a test said so.
    pub(super) progress: Vec<JobProgress>,
    /// What was last asked of a device that stays.
    settings: BTreeMap<Setting, Operation>,
    autostart: bool,
    definition: Kept,
}

/// Whether there is a definition. What it says is the state's, where a test cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Defined,
    Transient,
}

impl Vm {
    /// What a real hypervisor would tell of it.
    pub(super) fn inventory(&self, vm: VmId) -> Result<Inventory, String> {
        let (name, state) = (&self.name, &self.state);
        let xml = format!(
            "<domain type='test'><name>{name}</name><uuid>{vm}</uuid><memory unit='KiB'>{}</memory>\
             <vcpu current='{}'>{}</vcpu><os><type arch='x86_64'>hvm</type></os></domain>",
            state.memory_max_kib.0, state.vcpus, state.vcpus_max
        );
        let domain = parse_domain(xml, Limits::default()).map_err(|error| error.to_string())?;
        Ok(Inventory::build(Discovered::from_domain(domain)))
    }

    pub(super) fn new(name: &str, state: VmState) -> Self {
        let saved = state.snapshots.iter().map(|snapshot| (snapshot.clone(), state.clone())).collect();
        Self {
            name: name.to_owned(),
            state,
            metadata: BTreeMap::new(),
            saved,
            open: BTreeSet::new(),
            capacities: BTreeMap::new(),
            progress: Vec::new(),
            settings: BTreeMap::new(),
            autostart: false,
            definition: Kept::Defined,
        }
    }

    /// Whether it is there: a transient one goes when it stops.
    pub(super) fn exists(&self) -> bool {
        self.definition == Kept::Defined || self.state.start.0.is_some()
    }

    /// Refuses what was decided for another start.
    pub(super) fn check_start(&self, operation: &Operation, expected: StartId) -> Result<(), Outcome> {
        let other = other_start(expected, self.state.start).filter(|_| !operation.action().is_read());
        other.map_or(Ok(()), |reason| Err(impossible(&reason)))
    }

    /// Does what an operation declares as its effect, or refuses as libvirt would; `next_start` is used by a start.
    pub(super) fn perform(&mut self, operation: &Operation, next_start: &mut u32) -> Result<Value, Outcome> {
        let power = self.state.power;
        if !operation.action().spec().states.contains(&power) {
            return Err(impossible(&format!("Requested operation is not valid: domain is {power}")));
        }
        if let Some(missing) = operation.needs().into_iter().find(|device| !self.state.devices.contains(device)) {
            return Err(impossible(&format!("the VM has no {missing}")));
        }
        match operation.effect() {
            Effect::Nothing => return Ok(self.described()),
            Effect::Restart => {
                // Nothing stands still in a guest that begins anew.
                self.open.remove(&HoldKey::Freeze);
            }
            Effect::Power(to) => self.go(to, next_start),
            Effect::SnapshotAdded(name) => {
                if !self.state.snapshots.insert(name.clone()) {
                    return Err(failed(&format!("domain snapshot {name} already exists")));
                }
                self.saved.insert(name.clone(), self.state.clone());
                return Ok(json!({ "name": name }));
            }
            Effect::SnapshotRemoved(name) => {
                if !self.state.snapshots.remove(&name) {
                    return Err(impossible(&format!("no domain snapshot with matching name '{name}'")));
                }
                self.saved.remove(&name);
            }
            Effect::Reverted(name) => {
                let Some(saved) = self.saved.get(&name).cloned() else {
                    return Err(impossible(&format!("no domain snapshot with matching name '{name}'")));
                };
                let snapshots: BTreeSet<String> = std::mem::take(&mut self.state.snapshots);
                let start = self.state.start;
                self.state = VmState { snapshots, start, ..saved };
                let to = self.state.power;
                self.go(to, next_start);
            }
            Effect::Vcpus(vcpus) if vcpus > self.state.vcpus_max => {
                return Err(failed("requested vcpus is greater than max allowable vcpus"));
            }
            Effect::Vcpus(vcpus) => self.state.vcpus = vcpus,
            Effect::Memory(memory) if memory > self.state.memory_max_kib => {
                return Err(failed("cannot set memory higher than max memory"));
            }
            Effect::Memory(memory) => self.state.memory_kib = memory,
            Effect::Saved if self.definition == Kept::Transient => {
                return Err(impossible("cannot do managed save for transient domain"));
            }
            Effect::Saved => {
                self.go(PowerState::ShutOff, next_start);
                self.state.saved = true;
            }
            Effect::Restored | Effect::SavedImageRemoved if !self.state.saved => {
                return Err(impossible("there is no image that the VM was saved to"));
            }
            Effect::Restored => self.go(PowerState::Running, next_start),
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
            Effect::Opened { ref hold, .. } if self.is_open(hold) => {
                return Err(failed(&format!("{hold} is active already")));
            }
            Effect::Closed(ref hold) if !self.is_open(hold) => {
                return Err(impossible(&format!("{hold} is not active")));
            }
            Effect::Opened { ref hold, .. } => {
                self.check_checkpoints(operation)?;
                if !hold.is_observable() {
                    self.open.insert(hold.clone());
                }
                operation.effect().take(&mut self.state);
            }
            Effect::Closed(ref hold) => {
                self.open.remove(hold);
                operation.effect().take(&mut self.state);
            }
            Effect::Setting(Setting::Capacity(disk)) => self.resize(disk, operation)?,
            Effect::Setting(Setting::Autostart) => return self.set_autostart(operation),
            Effect::Setting(setting) => {
                self.settings.insert(setting, operation.clone());
            }
            other @ (Effect::SavedImageRemoved
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

    fn is_open(&self, hold: &HoldKey) -> bool {
        if hold.is_observable() { self.state.jobs.contains(hold) } else { self.open.contains(hold) }
    }

    /// A backup begins at a checkpoint that is there and makes one that is not.
    fn check_checkpoints(&self, operation: &Operation) -> Result<(), Outcome> {
        let Operation::BackupBegin(args) = operation else { return Ok(()) };
        if let Some(name) = args.incremental.as_ref().filter(|name| !self.state.checkpoints.contains(*name)) {
            return Err(impossible(&format!("no domain checkpoint with matching name '{name}'")));
        }
        match args.checkpoint.as_ref().filter(|name| self.state.checkpoints.contains(*name)) {
            Some(name) => Err(failed(&format!("domain checkpoint {name} already exists"))),
            None => Ok(()),
        }
    }

    fn resize(&mut self, disk: String, operation: &Operation) -> Result<(), Outcome> {
        let Operation::DiskResize(args) = operation else { return Ok(()) };
        let now = self.capacities.get(&disk).copied().unwrap_or(Bytes(0));
        if args.capacity < now {
            return Err(impossible(&format!("{disk} has {} bytes and is not made smaller", now.0)));
        }
        self.capacities.insert(disk, args.capacity);
        Ok(())
    }

    /// What a call that was done gives back, as far as the fake knows it.
    fn given(&self, operation: &Operation) -> Value {
        match operation {
            Operation::BackupBegin(args) => match args.about() {
                Some(named) => given::backup(args, named.iter().map(String::as_str)),
                None => given::backup(args, self.state.devices.iter().filter_map(disk_of)),
            },
            Operation::CheckpointCreate(args) => given::checkpoint(&args.name),
            Operation::CheckpointDelete(args) => given::checkpoint(&args.name),
            Operation::BlockCommit(args) => given::commit(args, args.top.is_none()),
            Operation::BlockPull(args) => given::pull(args),
            Operation::BlockCopy(args) => given::copy(args),
            Operation::BlockAbort(args) => json!({ "disk": args.disk, "pivot": args.pivot }),
            Operation::MigrateBegin(args) => json!({ "to": args.to, "over": false }),
            _ => Value::Null,
        }
    }

    /// The agent in a guest does nothing else while file systems stand still.
    fn deed_of_agent(&self, operation: &Operation) -> Result<(), Outcome> {
        match operation {
            Operation::GuestSetPassword(args) if args.password.reveal().is_none() => {
                Err(impossible("the password was not kept over the restart of the agent; send the command again"))
            }
            Operation::GuestTrim(_) | Operation::GuestSetTime(_) | Operation::GuestSetPassword(_)
                if self.open.contains(&HoldKey::Freeze) =>
            {
                let action = operation.action();
                Err(failed(&format!("the guest's agent refuses {action}: the agent is in frozen state")))
            }
            _ => Ok(()),
        }
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
                let asked = asked.map(|asked| Generation::of_domain(&asked).to_string());
                Seen::when(self.definition == Kept::Defined && asked == self.state.definition)
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
        } else if self.state.start.0.is_none() {
            self.state.start = StartId(Some(*next_start));
            // A start goes on from the image, if there is one.
            self.state.saved = false;
            *next_start += 1;
        }
    }

    fn set_autostart(&mut self, operation: &Operation) -> Result<Value, Outcome> {
        let Operation::AutostartSet(args) = operation else { return Ok(Value::Null) };
        if self.definition == Kept::Transient {
            return Err(impossible("the VM has no definition that its host could start it from"));
        }
        self.autostart = args.enabled;
        Ok(json!({ "autostart": args.enabled }))
    }

    fn redefine(&mut self, operation: &Operation) -> Result<Value, Outcome> {
        let Operation::DefinitionDefine(args) = operation else { return Ok(Value::Null) };
        let asked =
            parse_domain(args.xml.clone(), Limits::default()).map_err(|error| impossible(&error.to_string()))?;
        if asked.identity.name != self.name {
            let reason = format!("the XML names the VM {:?}, and it is named {:?}", asked.identity.name, self.name);
            return Err(impossible(&reason));
        }
        let generation = Generation::of_domain(&asked).to_string();
        let changed = self.state.definition.as_ref() != Some(&generation);
        self.definition = Kept::Defined;
        self.state.definition = Some(generation.clone());
        // One that runs goes on as it is.
        if self.state.start.0.is_none() {
            (self.state.vcpus, self.state.vcpus_max) = (asked.cpu.vcpus, asked.cpu.vcpus_max);
            (self.state.memory_kib, self.state.memory_max_kib) = (asked.memory.current_kib, asked.memory.max_kib);
        }
        Ok(json!({ "generation": generation, "changed": changed }))
    }

    fn undefine(&mut self, operation: &Operation) -> Result<(), Outcome> {
        let Operation::DefinitionUndefine(args) = operation else { return Ok(()) };
        if self.definition == Kept::Transient {
            return Err(impossible("cannot undefine transient domain"));
        }
        let off = self.state.start.0.is_none();
        let kept = [
            (self.state.saved && !args.saved_image, "Refusing to undefine while domain managed save image exists"),
            (
                off && !self.state.snapshots.is_empty() && !args.snapshots_metadata,
                "cannot delete inactive domain with snapshots",
            ),
            (
                off && !self.state.checkpoints.is_empty() && !args.checkpoints_metadata,
                "cannot delete inactive domain with checkpoints",
            ),
        ];
        if let Some((_, reason)) = kept.into_iter().find(|(is_kept, _)| *is_kept) {
            return Err(impossible(reason));
        }
        self.definition = Kept::Transient;
        self.autostart = false;
        operation.effect().take(&mut self.state);
        Ok(())
    }

    fn described(&self) -> Value {
        let mut value = serde_json::to_value(&self.state).unwrap_or(Value::Null);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("generation".to_owned(), Value::String(self.state.generation()));
        }
        value
    }
}

fn disk_of(device: &DeviceName) -> Option<&str> {
    match device {
        DeviceName::Disk(target) => Some(target),
        DeviceName::Nic(_) => None,
    }
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
