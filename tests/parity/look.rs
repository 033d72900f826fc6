//! What a look shows: the state before, with all that a step says and nothing else.

use std::collections::BTreeSet;

use covirt::model::{DeviceName, Effect, HoldKey, Kib, Operation, PowerState, StartId, VmState};

use super::behaviour::Shows;

/// The state that a step leaves. What only shows itself afterwards (which start, which definition) is taken from `after`
/// and must be another than before.
pub(crate) fn expected(before: &VmState, shows: &[Shows], after: &VmState) -> Result<VmState, String> {
    let mut state = before.clone();
    for shown in shows {
        show(&mut state, shown, after)?;
    }
    Ok(state)
}

fn show(state: &mut VmState, shown: &Shows, after: &VmState) -> Result<(), String> {
    let text = |text: &&str| (*text).to_owned();
    match shown {
        Shows::Power(power) => {
            state.power = *power;
            if *power == PowerState::ShutOff {
                state.start = StartId(None);
            }
        }
        Shows::NewStart if after.start.0.is_none() || after.start == state.start => {
            return Err(format!("no new start: {:?} after {:?}", after.start, state.start));
        }
        Shows::NewStart => state.start = after.start,
        Shows::Vcpus(vcpus) => state.vcpus = *vcpus,
        Shows::MostVcpus(most) => state.vcpus_max = *most,
        Shows::Memory(kib) => state.memory_kib = Kib(*kib),
        Shows::Snapshot(name) => drop(state.snapshots.insert(text(name))),
        Shows::NoSnapshot(name) => drop(state.snapshots.remove(*name)),
        Shows::Checkpoint(name) => drop(state.checkpoints.insert(text(name))),
        Shows::NoCheckpoint(name) => drop(state.checkpoints.remove(*name)),
        Shows::Device(name) => drop(state.devices.insert(device(name))),
        Shows::NoDevice(name) => drop(state.devices.remove(&device(name))),
        Shows::Open(key) => drop(state.jobs.insert(hold(key))),
        Shows::PerhapsOpen(key) if after.jobs.contains(&hold(key)) => drop(state.jobs.insert(hold(key))),
        Shows::PerhapsOpen(key) | Shows::NotOpen(key) => drop(state.jobs.remove(&hold(key))),
        Shows::Saved => state.saved = true,
        Shows::NotSaved => state.saved = false,
        Shows::Redefined if after.definition.is_none() || after.definition == state.definition => {
            return Err("the definition is no other".to_owned());
        }
        Shows::Redefined => state.definition.clone_from(&after.definition),
        Shows::Transient => state.definition = None,
        Shows::Gone => return Err("the VM is still there".to_owned()),
    }
    Ok(())
}

pub(crate) fn hold(key: &str) -> HoldKey {
    key.parse().expect("a hold's name")
}

fn device(name: &str) -> DeviceName {
    name.parse().expect("a device's name")
}

/// Where two states differ, field by field.
pub(crate) fn difference(expected: &VmState, found: &VmState) -> Vec<String> {
    let fields = |state: &VmState| serde_json::to_value(state).expect("a state is JSON");
    let (expected, found) = (fields(expected), fields(found));
    let names: BTreeSet<&String> =
        [&expected, &found].into_iter().filter_map(|it| it.as_object()).flat_map(|it| it.keys()).collect();
    let differs = names.into_iter().filter(|name| expected.get(*name) != found.get(*name));
    differs.map(|name| format!("{name} is {}, not {}", shown(&found[name]), shown(&expected[name]))).collect()
}

fn shown(value: &serde_json::Value) -> String {
    value.to_string().chars().take(80).collect()
}

/// A belief in which a lane lets the call out, and which is right about the start: as of a lane that looked a moment
/// too early.
pub(crate) fn belief(state: &VmState, operation: &Operation) -> VmState {
    let mut believed = VmState { jobs: BTreeSet::new(), ..state.clone() };
    let states = operation.action().spec().states;
    if !states.contains(&believed.power) {
        believed.power = states[0];
    }
    if !matches!(operation, Operation::DeviceAttach(_)) {
        believed.devices.extend(operation.needs());
    }
    match operation.effect() {
        Effect::SnapshotAdded(name) => drop(believed.snapshots.remove(&name)),
        Effect::SnapshotRemoved(name) | Effect::Reverted(name) => drop(believed.snapshots.insert(name)),
        Effect::CheckpointAdded(name) | Effect::Opened { checkpoint: Some(name), .. } => {
            believed.checkpoints.remove(&name);
        }
        Effect::CheckpointRemoved(name) => drop(believed.checkpoints.insert(name)),
        Effect::DeviceAdded(device) => drop(believed.devices.remove(&device)),
        Effect::DeviceRemoved(device) => drop(believed.devices.insert(device)),
        Effect::Restored | Effect::SavedImageRemoved => believed.saved = true,
        Effect::Vcpus(vcpus) => believed.vcpus_max = believed.vcpus_max.max(vcpus),
        Effect::Memory(memory) => believed.memory_max_kib = believed.memory_max_kib.max(memory),
        Effect::Undefined => believed.definition = Some("some".to_owned()),
        Effect::Closed(hold) if hold.is_observable() => drop(believed.jobs.insert(hold)),
        _ => {}
    }
    if let Operation::BackupBegin(args) = operation {
        believed.checkpoints.extend(args.incremental.clone());
    }
    believed
}
