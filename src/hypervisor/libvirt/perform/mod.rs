//! Making a call: the check that the VM is still the one that was decided about, then the one request.
//!
//! Runs on a pool thread. What the guest must complete is not waited for here, so that a shutdown of two minutes
//! holds no thread: the answer then says what to wait for.

mod backup;
mod block;
mod definition;
mod device;
mod guest;
mod hibernate;
mod migrate;
mod snapshot;

use std::collections::BTreeSet;

use serde_json::Value;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

use crate::discovery;
use crate::hypervisor::Whole;
use crate::hypervisor::evidence::other_start;
use crate::hypervisor::libvirt::core::{Driver, look_up, pass};
use crate::hypervisor::libvirt::detach::Detaching;
use crate::hypervisor::libvirt::failure::{Fault, Reached};
use crate::hypervisor::libvirt::gate::Gate;
use crate::hypervisor::libvirt::{gather, look};
use crate::model::operation::{MetadataSetArgs, MigrateBeginArgs, NoArgs};
use crate::model::{DeviceName, HoldKey, Kib, Operation, StartId, VmId};

/// How far a call got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::hypervisor::libvirt) enum Begun {
    /// It is complete; what libvirt gave back.
    Complete(Value),
    /// The guest was asked to shut down. *Units*: seconds it is given.
    UntilOff(u32),
    /// The guest was asked to restart. *Units*: seconds it is given.
    UntilRestarted(u32),
    /// QEMU was told to restart the guest and will say when it did.
    UntilReset,
    /// The balloon was told its size.
    UntilBalloon(Kib),
    /// Something that is open was told to end.
    UntilClosed(HoldKey),
    /// The guest was told to let go of a device.
    UntilDetached(Detaching),
    /// The VM may be sent on its way; nothing was sent yet.
    ToMigrate(Box<MigrateBeginArgs>),
    /// libvirt was told to abort the migration.
    UntilStaying,
}

/// Makes the call, once.
pub(in crate::hypervisor::libvirt) fn perform(
    connect: &Connect,
    vm: VmId,
    operation: &Operation,
    expected: StartId,
    driver: Driver,
    gate: &Gate,
) -> Result<Begun, Fault> {
    let domain = look_up(connect, vm)?;
    if let Operation::InspectRead(NoArgs {}) = operation {
        // It acts on nothing, so that any start will do.
        return read(&domain).map_err(Fault::harmless(connect));
    }
    check_start(&domain, expected)?;
    let impact = Impact::of(&domain, operation).map_err(Fault::harmless(connect))?;
    let target = Target { connect, domain: &domain, vm, driver, gate, impact };
    match operation {
        Operation::PowerSave(NoArgs {}) => return hibernate::save(&target),
        Operation::PowerRestore(NoArgs {}) => return hibernate::restore(&target),
        Operation::PowerSaveRemove(NoArgs {}) => return hibernate::remove(&target),
        Operation::SnapshotCreate(_) | Operation::SnapshotRevert(_) | Operation::SnapshotDelete(_) => {
            return snapshot::perform(&target, operation);
        }
        Operation::BackupBegin(_)
        | Operation::BackupEnd(_)
        | Operation::CheckpointCreate(_)
        | Operation::CheckpointDelete(_) => return backup::perform(&target, operation),
        Operation::DiskResize(_)
        | Operation::BlockCommit(_)
        | Operation::BlockPull(_)
        | Operation::BlockCopy(_)
        | Operation::BlockAbort(_) => return block::perform(&target, operation),
        Operation::DeviceAttach(_)
        | Operation::DeviceDetach(_)
        | Operation::DeviceUpdate(_)
        | Operation::NicQos(_)
        | Operation::DiskIotune(_) => return device::perform(&target, operation),
        Operation::GuestFreeze(_)
        | Operation::GuestThaw(_)
        | Operation::GuestTrim(_)
        | Operation::GuestCommand(_)
        | Operation::GuestSetTime(_)
        | Operation::GuestSetPassword(_) => return guest::perform(&target, operation),
        Operation::AutostartSet(args) => return definition::set_autostart(&target, args),
        Operation::DefinitionDefine(args) => return definition::define(&target, args),
        Operation::DefinitionUndefine(args) => return definition::undefine(&target, args),
        Operation::DefinitionRename(args) => return definition::rename(&target, args),
        Operation::MigrateBegin(args) => return migrate::begin(&target, args),
        Operation::MigrateAbort(NoArgs {}) => return migrate::abort(&target),
        // A lock is the lane's own: libvirt has nothing to do.
        Operation::LockAcquire(_) | Operation::LockRelease(_) => return Ok(Begun::Complete(Value::Null)),
        Operation::ConsoleOpen(_)
        | Operation::ScreenOpen(_)
        | Operation::ScreenCapture(_)
        | Operation::DiskRead(_)
        | Operation::GuestInfo(_) => {
            return Err(Fault::Forbidden("a channel is opened at its door, not by a command".to_owned()));
        }
        Operation::Relayed(_) => {
            return Err(Fault::Forbidden("a client's own call is made by its door".to_owned()));
        }
        _ => {}
    }
    pass(gate)?;
    let done = |()| Begun::Complete(Value::Null);
    let sent = match operation {
        Operation::PowerStart(NoArgs {}) => domain.create().map(done),
        Operation::PowerShutdown(args) => domain.shutdown().map(|()| Begun::UntilOff(args.timeout_s)),
        Operation::PowerReboot(args) => domain.reboot(0).map(|()| match driver {
            Driver::Real => Begun::UntilRestarted(args.timeout_s),
            Driver::Mock => Begun::Complete(Value::Null),
        }),
        Operation::PowerReset(NoArgs {}) => domain.reset().map(|()| match driver {
            Driver::Real => Begun::UntilReset,
            Driver::Mock => Begun::Complete(Value::Null),
        }),
        Operation::PowerStop(NoArgs {}) => domain.destroy().map(done),
        Operation::PowerSuspend(NoArgs {}) => domain.suspend().map(done),
        Operation::PowerResume(NoArgs {}) => domain.resume().map(done),
        Operation::CpuSet(args) => domain.set_vcpus_flags(args.vcpus, impact.flags()).map(done),
        Operation::MemorySet(args) => set_memory(&domain, args.memory_kib, impact, driver).map(|()| match impact {
            Impact::Live | Impact::Both => Begun::UntilBalloon(args.memory_kib),
            Impact::Definition => Begun::Complete(Value::Null),
        }),
        Operation::MetadataSet(args) => set_metadata(&domain, args, impact).map(done),
        // The groups above.
        _ => read(&domain),
    };
    sent.map_err(|error| Fault::of(connect, &error, Reached::Perhaps))
}

/// A call's VM, looked up and found to be the start that was decided about.
struct Target<'a> {
    connect: &'a Connect,
    domain: &'a Domain,
    vm: VmId,
    driver: Driver,
    gate: &'a Gate,
    impact: Impact,
}

impl Target<'_> {
    /// The last moment at which a caller that gave up can still stop the call.
    fn pass(&self) -> Result<(), Fault> {
        pass(self.gate)
    }

    /// Puts a question to libvirt.
    fn ask<T>(&self, question: impl FnOnce(&Domain) -> Result<T, Error>) -> Result<T, Fault> {
        question(self.domain).map_err(Fault::harmless(self.connect))
    }

    /// Makes the call, unless its caller gave it up.
    fn send<T>(&self, call: impl FnOnce(&Domain) -> Result<T, Error>) -> Result<T, Fault> {
        self.pass()?;
        call(self.domain).map_err(|error| self.perhaps(&error))
    }

    /// What libvirt said to the call.
    fn perhaps(&self, error: &Error) -> Fault {
        Fault::of(self.connect, error, Reached::Perhaps)
    }

    /// The VM as its XML describes it now.
    fn described(&self) -> Result<discovery::Domain, Fault> {
        gather::parsed(&self.ask(|domain| domain.xml_desc(0))?)
    }
}

/// Refuses to go on about a device that the VM has not.
fn missing(device: &DeviceName) -> Fault {
    Fault::Forbidden(format!("the VM has no {device}"))
}

/// Refuses disks that the VM has not.
fn check_disks(domain: &discovery::Domain, named: &BTreeSet<String>) -> Result<(), Fault> {
    let has = |target: &String| domain.disks.iter().any(|disk| disk.target == *target);
    match named.iter().find(|target| !has(target)) {
        Some(target) => Err(missing(&DeviceName::Disk(target.clone()))),
        None => Ok(()),
    }
}

/// Refuses to act on another start than the one that was decided about.
pub(in crate::hypervisor::libvirt) fn check_start(domain: &Domain, expected: StartId) -> Result<(), Fault> {
    other_start(expected, look::start_of(domain)).map_or(Ok(()), |reason| Err(Fault::Forbidden(reason)))
}

/// Which of the two descriptions of a VM a change is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Impact {
    /// It is off, or the operation is about neither description.
    Definition,
    /// It runs and has no definition.
    Live,
    /// It runs; the change is for now and for every later start.
    Both,
}

impl Impact {
    /// What an operation changes. libvirt is asked only for those that must say it: the question costs as much as a
    /// call.
    fn of(domain: &Domain, operation: &Operation) -> Result<Self, Error> {
        match operation {
            Operation::CpuSet(_)
            | Operation::MemorySet(_)
            | Operation::MetadataSet(_)
            | Operation::DeviceAttach(_)
            | Operation::DeviceDetach(_)
            | Operation::DeviceUpdate(_)
            | Operation::NicQos(_)
            | Operation::DiskIotune(_)
                if domain.id().is_some() =>
            {
                Ok(if domain.is_persistent()? { Self::Both } else { Self::Live })
            }
            _ => Ok(Self::Definition),
        }
    }

    const fn flags(self) -> sys::virDomainModificationImpact {
        match self {
            Self::Definition => sys::VIR_DOMAIN_AFFECT_CONFIG,
            Self::Live => sys::VIR_DOMAIN_AFFECT_LIVE,
            Self::Both => sys::VIR_DOMAIN_AFFECT_LIVE | sys::VIR_DOMAIN_AFFECT_CONFIG,
        }
    }
}

fn set_memory(domain: &Domain, memory: Kib, impact: Impact, driver: Driver) -> Result<(), Error> {
    match (driver, impact) {
        (Driver::Mock, Impact::Both) => domain
            .set_memory_flags(memory.0, Impact::Live.flags())
            .and_then(|()| domain.set_memory_flags(memory.0, Impact::Definition.flags())),
        (Driver::Mock | Driver::Real, _) => domain.set_memory_flags(memory.0, impact.flags()),
    }
}

fn set_metadata(domain: &Domain, args: &MetadataSetArgs, impact: Impact) -> Result<(), Error> {
    let kind = sys::VIR_DOMAIN_METADATA_ELEMENT.cast_signed();
    let key = args.xml.as_ref().map(|_| args.key.as_str());
    domain.set_metadata(kind, args.xml.as_deref(), key, Some(&args.uri), impact.flags())
}

fn read(domain: &Domain) -> Result<Begun, Error> {
    // Whoever reads is not kept waiting by a VM that is busy; what is open then is not told.
    let look::Look { state, whole } = look::look_at(domain)?;
    let generation = state.generation();
    let mut value = serde_json::to_value(&state).unwrap_or(Value::Null);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("generation".to_owned(), Value::String(generation));
        if whole == Whole::WithoutJobs {
            fields.insert("jobs".to_owned(), Value::Null);
        }
    }
    Ok(Begun::Complete(value))
}
