//! Rule 3 and the check before a start: would a command succeed on this state, and what would it leave behind?
//!
//! Everything follows from what the catalogue declares: the states in which an action is possible, and its effect.

use std::collections::BTreeSet;

use crate::model::operation::SnapshotKind;
use crate::model::{Command, Effect, Guard, Kib, Operation, PowerState, VmState};

/// A state that may be known only in part: what a revert leaves is not known before it is observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imagined {
    power: Option<PowerState>,
    vcpus: Option<u32>,
    memory_kib: Option<Kib>,
    snapshots: BTreeSet<String>,
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
        if let Some(power) = self.power.filter(|power| !action.spec().states.contains(power)) {
            return Err(format!("{action} is not possible while the VM is {power}"));
        }
        if let Operation::SnapshotCreate(args) = operation
            && args.kind == SnapshotKind::Full
            && self.memory == Contents::Lost
        {
            return Err("a full snapshot would not hold the memory that the guest has now".to_owned());
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
            Effect::Nothing
            | Effect::Power(_)
            | Effect::Restart
            | Effect::SnapshotAdded(_)
            | Effect::SnapshotRemoved(_)
            | Effect::Reverted(_)
            | Effect::Vcpus(_)
            | Effect::Memory(_)
            | Effect::Metadata(_) => Ok(()),
        }
    }

    /// This state with the operation's effect, whether or not it would be possible.
    #[must_use]
    pub fn with_effect(&self, operation: &Operation) -> Self {
        let mut after = Self { observed: None, ..self.clone() };
        match operation.effect() {
            Effect::Nothing => after.observed.clone_from(&self.observed),
            Effect::Restart | Effect::Metadata(_) => {}
            Effect::Power(power) => {
                if power == PowerState::ShutOff {
                    after.memory = Contents::Lost;
                }
                after.power = Some(power);
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
        }
        after
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
