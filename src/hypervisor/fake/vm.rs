//! A VM that exists only in memory and obeys like libvirt's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::discovery::{Discovered, Generation, Inventory, Limits, parse_domain};
use crate::hypervisor::evidence::{Seen, other_start, seen_in, weigh};
use crate::model::operation::Setting;
use crate::model::{Code, Effect, Ending, HoldKey, Operation, Outcome, PowerState, StartId, VmId, VmState};
use crate::resolver::Evidence;

/// One VM.
#[derive(Debug, Clone)]
pub(super) struct Vm {
    pub(super) name: String,
    pub(super) state: VmState,
    metadata: BTreeMap<String, String>,
    saved: BTreeMap<String, VmState>,
    open: BTreeSet<HoldKey>,
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
        match operation.effect() {
            Effect::Nothing => return Ok(self.described()),
            Effect::Restart => {}
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
                return Err(failed(&format!("target {device} already exists")));
            }
            Effect::DeviceRemoved(device) if !self.state.devices.contains(&device) => {
                return Err(impossible(&format!("device not found: no {device}")));
            }
            Effect::CheckpointRemoved(name) if !self.state.checkpoints.contains(&name) => {
                return Err(impossible(&format!("no domain checkpoint with matching name '{name}'")));
            }
            Effect::Opened { hold, .. } if self.has_open(&hold) => {
                return Err(failed(&format!("{hold} is active already")));
            }
            Effect::Closed(hold) if !self.has_open(&hold) => {
                return Err(impossible(&format!("{hold} is not active")));
            }
            Effect::Opened { ref hold, .. } => {
                if !hold.is_observable() {
                    self.open.insert(hold.clone());
                }
                operation.effect().take(&mut self.state);
                return Ok(begun(operation));
            }
            Effect::Closed(ref hold) => {
                self.open.remove(hold);
                operation.effect().take(&mut self.state);
            }
            other @ (Effect::SavedImageRemoved
            | Effect::DeviceAdded(_)
            | Effect::DeviceRemoved(_)
            | Effect::CheckpointAdded(_)
            | Effect::CheckpointRemoved(_)
            | Effect::Setting(Setting::Tuning(_) | Setting::Capacity(_) | Setting::Device(_))
            | Effect::Elsewhere) => other.take(&mut self.state),
            Effect::Setting(Setting::Autostart) => return self.set_autostart(operation),
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
        Ok(Value::Null)
    }

    /// What can be observed of a call whose answer was lost.
    pub(super) fn evidence(&self, operation: &Operation, expected: StartId) -> Evidence {
        let seen = match operation {
            Operation::InspectRead(_) => return Evidence::Undone,
            Operation::MetadataSet(args) => Seen::when(self.metadata.get(&args.uri) == args.xml.as_ref()),
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
        } else if self.state.start.0.is_none() {
            self.state.start = StartId(Some(*next_start));
            // A start goes on from the image, if there is one.
            self.state.saved = false;
            *next_start += 1;
        }
    }

    /// What libvirt tells of is open as long as it tells so, whoever ended it.
    fn has_open(&self, hold: &HoldKey) -> bool {
        self.open.contains(hold) || self.state.jobs.contains(hold)
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

/// What a call says that leaves something open.
fn begun(operation: &Operation) -> Value {
    match operation {
        Operation::MigrateBegin(args) => json!({ "to": args.to, "over": false }),
        _ => Value::Null,
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
