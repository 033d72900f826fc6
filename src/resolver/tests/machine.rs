//! What QEMU and libvirt would do to a VM, written apart from the catalogue so that the two check each other.

use covirt::model::{Operation, PowerState, StartId, VmState};

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
        Operation::PowerReset(_)
        | Operation::PowerReboot(_)
        | Operation::MetadataSet(_)
        | Operation::InspectRead(_) => vm.power,
    };
    vm.power = power;
    Ok(())
}
