//! Rule 3 and the check before a start: would a command succeed on this state, and what would it leave behind?
//!
//! Everything follows from what the catalogue declares: the states in which an action is possible, and its effect.

use std::collections::BTreeSet;

use crate::model::operation::SnapshotKind;
use crate::model::{Command, DeviceName, Effect, Guard, HoldKey, Kib, Operation, PowerState, VmState};

/// A state that may be known only in part: what a revert leaves is not known before it is observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imagined {
    power: Option<PowerState>,
    vcpus: Option<u32>,
    memory_kib: Option<Kib>,
    snapshots: BTreeSet<String>,
    checkpoints: BTreeSet<String>,
    devices: BTreeSet<DeviceName>,
    saved: bool,
    defined: bool,
    /// Why there would be nothing left to act on.
    gone: Option<String>,
    /// Whether the memory that the guest has now would be lost.
    memory: Contents,
    /// Set as long as nothing was imagined on top of the observed state.
    observed: Option<VmState>,
    vcpus_max: u32,
    memory_max_kib: Kib,
}

/// What becomes of the contents of the guest's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contents {
    Kept,
    Lost,
}

impl From<&VmState> for Imagined {
    fn from(state: &VmState) -> Self {
        Self {
            power: Some(state.power).filter(|power| *power != PowerState::Unknown),
            vcpus: Some(state.vcpus),
            memory_kib: Some(state.memory_kib),
            snapshots: state.snapshots.clone(),
            checkpoints: state.checkpoints.clone(),
            devices: state.devices.clone(),
            saved: state.saved,
            // A VM that is off is there because it is defined.
            defined: state.definition.is_some() || state.start.0.is_none(),
            gone: None,
            memory: Contents::Kept,
            observed: Some(state.clone()),
            vcpus_max: state.vcpus_max,
            memory_max_kib: state.memory_max_kib,
        }
    }
}

impl Imagined {
    /// This state after `command`, or why the command would not succeed on it.
    ///
    /// *Errors*: the reason, as a sentence's end.
    pub fn after(&self, command: &Command) -> Result<Self, String> {
        self.meets(&command.guard)?;
        self.allows(&command.operation)?;
        Ok(self.with_effect(&command.operation))
    }

    /// Whether the guard's expectations hold, as far as the state is known.
    ///
    /// *Errors*: the expectation that does not.
    pub fn meets(&self, guard: &Guard) -> Result<(), String> {
        if let Some(observed) = &self.observed {
            return guard.unmet_by(observed).map_or(Ok(()), Err);
        }
        if guard.generation.is_some() {
            return Err("the expected generation would be past".to_owned());
        }
        let differs = (guard.state.is_some() && self.power.is_some() && guard.state != self.power)
            || (guard.vcpus.is_some() && self.vcpus.is_some() && guard.vcpus != self.vcpus)
            || (guard.memory_kib.is_some() && self.memory_kib.is_some() && guard.memory_kib != self.memory_kib);
        if differs { Err("its guard would not hold any more".to_owned()) } else { Ok(()) }
    }

    /// Whether the operation is possible.
    ///
    /// *Errors*: what forbids it.
    pub fn allows(&self, operation: &Operation) -> Result<(), String> {
        let action = operation.action();
        if let Some(gone) = self.gone.as_ref().filter(|_| !action.is_read()) {
            return Err(gone.clone());
        }
        if let Some(power) = self.power.filter(|power| !action.spec().states.contains(power)) {
            return Err(format!("{action} is not possible while the VM is {power}"));
        }
        if let Operation::SnapshotCreate(args) = operation
            && args.kind == SnapshotKind::Full
            && self.memory == Contents::Lost
        {
            return Err("a full snapshot would not hold the memory that the guest has now".to_owned());
        }
        if let Some(missing) = operation.needs().into_iter().find(|device| !self.devices.contains(device)) {
            return Err(format!("the VM has no {missing}"));
        }
        match operation.effect() {
            Effect::SnapshotAdded(name) if self.snapshots.contains(&name) => {
                Err(format!("a snapshot named {name:?} exists already"))
            }
            Effect::SnapshotRemoved(name) | Effect::Reverted(name) if !self.snapshots.contains(&name) => {
                Err(format!("there is no snapshot named {name:?}"))
            }
            Effect::Vcpus(vcpus) if vcpus > self.vcpus_max => {
                Err(format!("{vcpus} vCPUs are more than the {} that the definition allows", self.vcpus_max))
            }
            Effect::Memory(memory) if memory > self.memory_max_kib => {
                Err(format!("{memory} are more than the {} that the definition allows", self.memory_max_kib))
            }
            Effect::CheckpointAdded(name) | Effect::Opened { checkpoint: Some(name), .. }
                if self.checkpoints.contains(&name) =>
            {
                Err(format!("a checkpoint named {name:?} exists already"))
            }
            Effect::CheckpointRemoved(name) if !self.checkpoints.contains(&name) => {
                Err(format!("there is no checkpoint named {name:?}"))
            }
            Effect::DeviceAdded(device) if self.devices.contains(&device) => {
                Err(format!("the VM has {device} already"))
            }
            Effect::Restored | Effect::SavedImageRemoved if !self.saved => {
                Err("there is no image that the VM was saved to".to_owned())
            }
            Effect::Undefined if !self.defined => Err("the VM has no definition".to_owned()),
            // What is open already is waited for, and whether something is open to be ended is the holds' business.
            Effect::Nothing
            | Effect::Power(_)
            | Effect::Restart
            | Effect::Saved
            | Effect::Restored
            | Effect::SavedImageRemoved
            | Effect::SnapshotAdded(_)
            | Effect::SnapshotRemoved(_)
            | Effect::Reverted(_)
            | Effect::Vcpus(_)
            | Effect::Memory(_)
            | Effect::Metadata(_)
            | Effect::DeviceAdded(_)
            | Effect::DeviceRemoved(_)
            | Effect::Setting(_)
            | Effect::CheckpointAdded(_)
            | Effect::CheckpointRemoved(_)
            | Effect::Opened { .. }
            | Effect::Closed(_)
            | Effect::Redefined
            | Effect::Undefined
            | Effect::Renamed(_)
            | Effect::Elsewhere => Ok(()),
        }
    }

    /// This state with the operation's effect, whether or not it would be possible.
    #[must_use]
    pub fn with_effect(&self, operation: &Operation) -> Self {
        let mut after = Self { observed: None, ..self.clone() };
        match operation.effect() {
            Effect::Nothing => after.observed.clone_from(&self.observed),
            Effect::Restart
            | Effect::Metadata(_)
            | Effect::Setting(_)
            | Effect::Closed(_)
            | Effect::Renamed(_)
            | Effect::Elsewhere => {}
            Effect::Power(power) => after.go(power),
            Effect::Saved => {
                after.go(PowerState::ShutOff);
                after.memory = Contents::Kept;
                after.saved = true;
            }
            Effect::Restored => {
                after.power = Some(PowerState::Running);
                after.saved = false;
            }
            Effect::SavedImageRemoved => {
                after.memory = Contents::Lost;
                after.saved = false;
            }
            Effect::SnapshotAdded(name) => {
                after.snapshots.insert(name);
            }
            Effect::SnapshotRemoved(name) => {
                after.snapshots.remove(&name);
            }
            Effect::Reverted(_) => {
                after.power = None;
                after.memory = Contents::Lost;
                after.vcpus = None;
                after.memory_kib = None;
            }
            Effect::Vcpus(vcpus) => after.vcpus = Some(vcpus),
            Effect::Memory(memory) => after.memory_kib = Some(memory),
            Effect::DeviceAdded(device) => {
                after.devices.insert(device);
            }
            Effect::DeviceRemoved(device) => {
                after.devices.remove(&device);
            }
            Effect::CheckpointAdded(name) => {
                after.checkpoints.insert(name);
            }
            Effect::CheckpointRemoved(name) => {
                after.checkpoints.remove(&name);
            }
            Effect::Opened { hold, checkpoint } => {
                after.checkpoints.extend(checkpoint);
                if hold == HoldKey::Migration {
                    after.gone = Some("the VM would have moved to another host".to_owned());
                }
            }
            Effect::Redefined => {
                after.vcpus = None;
                after.memory_kib = None;
            }
            Effect::Undefined => {
                after.defined = false;
                after.vanish_if_off();
            }
        }
        after
    }

    fn go(&mut self, power: PowerState) {
        self.power = Some(power);
        if power == PowerState::ShutOff {
            self.memory = Contents::Lost;
            self.vanish_if_off();
        } else {
            self.saved = false;
        }
    }

    /// A VM without a definition is there only as long as it runs.
    fn vanish_if_off(&mut self) {
        if !self.defined && self.power.is_some_and(|power| power == PowerState::ShutOff) {
            self.gone = Some("the VM would not exist any more".to_owned());
        }
    }

    /// Why `first` and then `second` would not both succeed; none when they would.
    #[must_use]
    pub fn against(&self, first: &Command, second: &Command) -> Option<String> {
        let between = match self.after(first) {
            Ok(between) => between,
            Err(reason) => return Some(format!("{}: {reason}", first.operation.action())),
        };
        between.after(second).err().map(|reason| format!("{}: {reason}", second.operation.action()))
    }
}
