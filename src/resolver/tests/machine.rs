//! What QEMU and libvirt would do to a VM, written apart from the catalogue so that the two check each other.

use covirt::model::operation::RelayedArgs;
use covirt::model::{Action, DeviceName, HoldKey, Operation, PowerState, StartId, VmState};

/// Does one operation, or says why libvirt would refuse it.
pub(crate) fn act(vm: &mut VmState, next_start: &mut u32, operation: &Operation) -> Result<(), &'static str> {
    let alive = vm.start.0.is_some();
    let power = match operation {
        Operation::PowerStart(_) if alive => return Err("domain is already running"),
        Operation::PowerStart(_) => {
            vm.start = StartId(Some(*next_start));
            *next_start += 1;
            PowerState::Running
        }
        Operation::PowerStop(_) if !alive => return Err("domain is not running"),
        Operation::PowerShutdown(_) | Operation::PowerReboot(_) if vm.power != PowerState::Running => {
            return Err("domain is not running");
        }
        Operation::PowerStop(_) | Operation::PowerShutdown(_) => {
            vm.start = StartId(None);
            PowerState::ShutOff
        }
        Operation::PowerSuspend(_) if vm.power == PowerState::Running => PowerState::Paused,
        Operation::PowerResume(_) if vm.power == PowerState::Paused => PowerState::Running,
        Operation::PowerSuspend(_) | Operation::PowerResume(_) => return Err("operation is not valid in this state"),
        Operation::PowerReset(_) if !alive => return Err("domain is not running"),
        Operation::SnapshotCreate(args) if vm.snapshots.contains(&args.name) => return Err("snapshot exists"),
        Operation::SnapshotCreate(args) => {
            vm.snapshots.insert(args.name.clone());
            vm.power
        }
        Operation::SnapshotRevert(args) | Operation::SnapshotDelete(args) if !vm.snapshots.contains(&args.name) => {
            return Err("no such snapshot");
        }
        Operation::SnapshotDelete(args) => {
            vm.snapshots.remove(&args.name);
            vm.power
        }
        Operation::SnapshotRevert(_) => {
            vm.start = StartId(Some(*next_start));
            *next_start += 1;
            vm.vcpus = 1;
            PowerState::Running
        }
        Operation::CpuSet(args) if args.vcpus > vm.vcpus_max => return Err("too many vCPUs"),
        Operation::CpuSet(args) => {
            vm.vcpus = args.vcpus;
            vm.power
        }
        Operation::MemorySet(args) if args.memory_kib > vm.memory_max_kib => return Err("too much memory"),
        Operation::MemorySet(args) => {
            vm.memory_kib = args.memory_kib;
            vm.power
        }
        Operation::Relayed(args) => match args.action {
            Action::PowerStart if alive => return Err("domain is already running"),
            // As a client does that starts it halted.
            Action::PowerStart => {
                vm.start = StartId(Some(*next_start));
                *next_start += 1;
                PowerState::Paused
            }
            Action::PowerStop | Action::PowerSave if !alive => return Err("domain is not running"),
            Action::PowerStop | Action::PowerSave => {
                vm.start = StartId(None);
                PowerState::ShutOff
            }
            // The guest is asked, and takes its time.
            Action::PowerShutdown | Action::PowerReboot if vm.power != PowerState::Running => {
                return Err("domain is not running");
            }
            _ => return act_relayed(vm, args),
        },
        other => return act_on_parts(vm, next_start, other),
    };
    vm.power = power;
    if vm.start.0.is_none() {
        vm.jobs.clear();
    } else {
        vm.saved = false;
    }
    Ok(())
}

fn act_on_parts(vm: &mut VmState, next_start: &mut u32, operation: &Operation) -> Result<(), &'static str> {
    let alive = vm.start.0.is_some();
    let takes = |there: bool, why| if there { Ok(()) } else { Err(why) };
    let mut open = |hold: HoldKey| takes(alive && vm.jobs.insert(hold), "domain is not running or has an active job");
    match operation {
        Operation::PowerSave(_) => {
            takes(alive, "domain is not running")?;
            (vm.power, vm.start, vm.saved) = (PowerState::ShutOff, StartId(None), true);
            vm.jobs.clear();
        }
        Operation::PowerRestore(_) => {
            takes(!alive && vm.saved, "nothing to restore")?;
            (vm.power, vm.start, vm.saved) = (PowerState::Running, StartId(Some(*next_start)), false);
            *next_start += 1;
        }
        Operation::PowerSaveRemove(_) => takes(std::mem::take(&mut vm.saved), "no managed save image")?,
        Operation::BackupBegin(args) => {
            if args.checkpoint.as_ref().is_some_and(|name| vm.checkpoints.contains(name)) {
                return Err("checkpoint exists");
            }
            open(HoldKey::Backup)?;
            vm.checkpoints.extend(args.checkpoint.clone());
        }
        Operation::BackupEnd(_) => takes(vm.jobs.remove(&HoldKey::Backup), "no job is active")?,
        Operation::CheckpointCreate(args) => {
            takes(alive && vm.checkpoints.insert(args.name.clone()), "domain is not running or checkpoint exists")?;
        }
        Operation::CheckpointDelete(args) => takes(vm.checkpoints.remove(&args.name), "no such checkpoint")?,
        Operation::DiskResize(args) => takes(alive && has(vm, &args.disk), "invalid path")?,
        Operation::BlockCommit(args) => open(HoldKey::Block(args.disk.clone()))?,
        Operation::BlockPull(args) => open(HoldKey::Block(args.disk.clone()))?,
        Operation::BlockCopy(args) => open(HoldKey::Block(args.disk.clone()))?,
        Operation::BlockAbort(args) => {
            takes(vm.jobs.remove(&HoldKey::Block(args.disk.clone())), "no active block job")?;
        }
        Operation::DeviceAttach(args) => takes(vm.devices.insert(args.device().unwrap()), "target already exists")?,
        Operation::DeviceDetach(args) => takes(vm.devices.remove(&args.device), "device not found")?,
        Operation::DeviceUpdate(args) => takes(vm.devices.contains(&args.device().unwrap()), "device not found")?,
        Operation::NicQos(args) => takes(vm.devices.contains(&DeviceName::Nic(args.mac)), "device not found")?,
        Operation::DiskIotune(args) => takes(has(vm, &args.disk), "device not found")?,
        Operation::GuestFreeze(_)
        | Operation::GuestThaw(_)
        | Operation::GuestTrim(_)
        | Operation::GuestCommand(_)
        | Operation::GuestSetTime(_)
        | Operation::GuestSetPassword(_) => takes(vm.power == PowerState::Running, "agent not available")?,
        Operation::DefinitionDefine(_) => vm.definition = Some("d2".to_owned()),
        Operation::DefinitionUndefine(_) => takes(vm.definition.take().is_some(), "domain is transient")?,
        Operation::DefinitionRename(_) => takes(!alive, "cannot rename active domain")?,
        Operation::MigrateBegin(_) => open(HoldKey::Migration)?,
        Operation::MigrateAbort(_) => takes(vm.jobs.remove(&HoldKey::Migration), "no job is active")?,
        _ => {}
    }
    Ok(())
}

fn act_relayed(vm: &mut VmState, args: &RelayedArgs) -> Result<(), &'static str> {
    let alive = vm.start.0.is_some();
    let takes = |there: bool, why| if there { Ok(()) } else { Err(why) };
    match args.action {
        Action::BackupBegin => takes(alive && vm.jobs.insert(HoldKey::Backup), "a job is active")?,
        Action::BackupEnd => takes(vm.jobs.remove(&HoldKey::Backup), "no job is active")?,
        Action::MigrateBegin => takes(alive && vm.jobs.insert(HoldKey::Migration), "a job is active")?,
        Action::MigrateAbort => takes(vm.jobs.remove(&HoldKey::Migration), "no job is active")?,
        Action::DefinitionDefine => vm.definition = Some("d3".to_owned()),
        Action::DefinitionUndefine => takes(vm.definition.take().is_some(), "domain is transient")?,
        Action::GuestInput | Action::MemoryDump | Action::MonitorCommand => takes(alive, "domain is not running")?,
        _ => {}
    }
    Ok(())
}

fn has(vm: &VmState, disk: &str) -> bool {
    vm.devices.contains(&DeviceName::Disk(disk.to_owned()))
}
