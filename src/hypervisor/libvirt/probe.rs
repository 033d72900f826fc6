//! Looking whether a call whose answer was lost took effect.
//!
//! First a barrier: a call may still be running in libvirtd, or wait there, so nothing is concluded before libvirt
//! reports no job and has answered a question that waits for the VM's job lock. Then the effect is looked for. What
//! leaves no trace (a reboot, a reset, a revert) stays unknown.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

use super::core::{Core, present};
use super::element;
use super::failure::{Fault, Reached};
use super::gather;
use super::guest_agent::{self, FreezeStatus};
use super::jobs::{self, BUSY};
use super::look::{self, Look};
use super::pauses::Pauses;
use super::traces;
use crate::discovery::{Definition, Discovered, Inactive, Inventory};
use crate::hypervisor::Whole;
use crate::hypervisor::evidence::{Seen, seen_in, weigh, when_gone};
use crate::model::operation::{DefinitionDefineArgs, MetadataSetArgs};
use crate::model::{Action, Operation, StartId, VmId};
use crate::resolver::Evidence;

/// How long a call may still be running before nothing is concluded.
const BARRIER_LIMIT: Duration = Duration::from_secs(30);
const BARRIER_FIRST_PAUSE: Duration = Duration::from_millis(50);
const BARRIER_LAST_PAUSE: Duration = Duration::from_secs(1);
/// How long a guest that was perhaps asked to shut down is watched.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(15);

/// Whether a call may still be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Barrier {
    Passed,
    Busy,
}

impl Core {
    /// What can be observed of a call.
    pub(super) async fn evidence(&self, vm: VmId, operation: Operation, expected: StartId) -> Result<Evidence, Fault> {
        if let Operation::InspectRead(_) = operation {
            return Ok(Evidence::Undone);
        }
        self.barrier(vm, jobs_that_count(&operation)).await?;
        if let Operation::PowerShutdown(_) = operation {
            self.seen_off(vm, expected, SHUTDOWN_LIMIT).await?;
        }
        self.ask(Some(vm), move |connect, _| {
            // A transient VM goes when it is off; of anything else nothing is left to be seen.
            let Some(domain) = present(connect, vm)? else { return Ok(when_gone(&operation)) };
            conclude(connect, &domain, &operation, expected)
        })
        .await
    }

    async fn barrier(&self, vm: VmId, jobs: Jobs) -> Result<(), Fault> {
        let end = Instant::now() + BARRIER_LIMIT;
        let mut pauses = Pauses::from_to(BARRIER_FIRST_PAUSE, BARRIER_LAST_PAUSE);
        loop {
            let pause = pauses.next();
            match self.ask(Some(vm), move |connect, _| try_barrier(connect, vm, jobs)).await? {
                Barrier::Passed => return Ok(()),
                Barrier::Busy if Instant::now() + pause >= end => {
                    return Err(Fault::Failed("a job of the VM is still running".to_owned()));
                }
                Barrier::Busy => {}
            }
            sleep(pause).await;
        }
    }
}

/// Which of libvirt's jobs may be the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Jobs {
    /// Only such as hold the job lock.
    Short,
    /// Also those that let questions through and are reported.
    Reported,
}

fn jobs_that_count(operation: &Operation) -> Jobs {
    match operation.action() {
        Action::PowerStart
        | Action::PowerSave
        | Action::PowerRestore
        | Action::MemoryDump
        | Action::SnapshotCreate
        | Action::SnapshotRevert
        | Action::SnapshotDelete => Jobs::Reported,
        // A backup that somebody has open for hours is not what these wait for.
        _ => Jobs::Short,
    }
}

fn try_barrier(connect: &Connect, vm: VmId, jobs: Jobs) -> Result<Barrier, Fault> {
    let Some(domain) = present(connect, vm)? else { return Ok(Barrier::Passed) };
    if jobs == Jobs::Reported {
        match jobs::background(&domain) {
            // What is open for hours is no call under way.
            Ok(Some(job)) if job.hold().is_none() => return Ok(Barrier::Busy),
            // Of an error that matters the next question tells, too.
            Ok(_) | Err(_) => {}
        }
    }
    // Reading memory statistics takes the job lock, also of a VM that is off (it then fails after having had it).
    match domain.memory_stats(0) {
        Ok(_) => Ok(Barrier::Passed),
        Err(error) if error.code().to_raw() == sys::VIR_ERR_OPERATION_TIMEOUT => Ok(Barrier::Busy),
        Err(error) => match Fault::of(connect, &error, Reached::Harmless) {
            unsent @ Fault::Unsent(_) => Err(unsent),
            _ => Ok(Barrier::Passed),
        },
    }
}

fn conclude(connect: &Connect, domain: &Domain, operation: &Operation, expected: StartId) -> Result<Evidence, Fault> {
    let fault = Fault::harmless(connect);
    let Look { state, whole } = look::look_at(domain).map_err(fault)?;
    if whole == Whole::WithoutJobs {
        return Err(Fault::Failed(BUSY.to_owned()));
    }
    let now = match operation {
        Operation::MetadataSet(args) => {
            metadata_as_asked(domain, args, sys::VIR_DOMAIN_AFFECT_CURRENT).map_err(fault)?
        }
        Operation::DiskResize(args) => traces::of_resize(domain, args).map_err(fault)?,
        Operation::BackupBegin(args) => traces::of_backup(domain, &state, args).map_err(fault)?,
        Operation::BlockCommit(args) => traces::of_commit(domain, args).map_err(fault)?,
        Operation::BlockPull(args) => traces::of_pull(domain, args).map_err(fault)?,
        Operation::BlockCopy(args) => traces::of_copy(domain, args).map_err(fault)?,
        Operation::DeviceUpdate(_) | Operation::NicQos(_) | Operation::DiskIotune(_) => {
            element::shows(&domain.xml_desc(0).map_err(fault)?, operation)?
        }
        _ if operation.action() == Action::GuestFreeze => guest_agent::seen(connect, domain, FreezeStatus::Frozen)?,
        _ if operation.action() == Action::GuestThaw => guest_agent::seen(connect, domain, FreezeStatus::Thawed)?,
        Operation::AutostartSet(args) => Seen::when(domain.autostart().map_err(fault)? == args.enabled),
        Operation::DefinitionRename(args) => Seen::when(domain.name().map_err(fault)? == args.name),
        Operation::DefinitionDefine(args) => defined_as_asked(connect, domain, args)?,
        _ if operation.action() == Action::MigrateBegin && look::has_left(domain).map_err(fault)? => Seen::Yes,
        other => seen_in(&state, other),
    };
    // What is set for now and for later was done only when both are there; setting it again does no harm.
    let seen = match now {
        Seen::Yes if is_persistent_and_runs(domain).map_err(fault)? => seen_in_definition(connect, domain, operation)?,
        other => other,
    };
    Ok(weigh(seen, operation, state.start, expected))
}

fn is_persistent_and_runs(domain: &Domain) -> Result<bool, Error> {
    Ok(domain.id().is_some() && domain.is_persistent()?)
}

fn seen_in_definition(connect: &Connect, domain: &Domain, operation: &Operation) -> Result<Seen, Fault> {
    let fault = Fault::harmless(connect);
    let xml = || domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE).map_err(fault);
    let defined = || gather::parsed(&xml()?);
    Ok(match operation {
        Operation::CpuSet(args) => Seen::when(defined()?.cpu.vcpus == args.vcpus),
        Operation::MemorySet(args) => Seen::when(defined()?.memory.current_kib == args.memory_kib),
        Operation::MetadataSet(args) => {
            metadata_as_asked(domain, args, sys::VIR_DOMAIN_AFFECT_CONFIG).map_err(fault)?
        }
        Operation::DeviceUpdate(_) | Operation::NicQos(_) | Operation::DiskIotune(_) => {
            element::shows(&xml()?, operation)?
        }
        _ => Seen::Yes,
    })
}

/// Whether the definition is the one that was asked for, with what libvirt is known to fill in. It fills in more where
/// little was said; that looks like a change, and the VM is then defined again, as asked, which does no harm.
fn defined_as_asked(connect: &Connect, domain: &Domain, args: &DefinitionDefineArgs) -> Result<Seen, Fault> {
    let fault = Fault::harmless(connect);
    if !domain.is_persistent().map_err(fault)? {
        return Ok(Seen::No);
    }
    let there = gather::parsed(&domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE).map_err(fault)?)?;
    let Ok(asked) = gather::parsed(&args.xml) else { return Ok(Seen::No) };
    let compared = Discovered { inactive: Inactive::Known(Box::new(asked)), ..Discovered::from_domain(there) };
    Ok(match Inventory::build(compared).definition {
        Definition::Persistent { pending, .. } => Seen::when(pending.is_empty()),
        Definition::NotAsked | Definition::Transient => Seen::No,
    })
}

fn metadata_as_asked(
    domain: &Domain,
    args: &MetadataSetArgs,
    where_to: sys::virDomainModificationImpact,
) -> Result<Seen, Error> {
    let kind = sys::VIR_DOMAIN_METADATA_ELEMENT.cast_signed();
    let there = match domain.metadata(kind, Some(&args.uri), where_to) {
        Ok(xml) => Some(xml),
        Err(error) if error.code().to_raw() == sys::VIR_ERR_NO_DOMAIN_METADATA => None,
        Err(error) => return Err(error),
    };
    Ok(match (&args.xml, there) {
        (None, None) => Seen::Yes,
        (Some(asked), Some(there)) if canonical(asked) == canonical(&there) => Seen::Yes,
        (None, Some(_)) | (Some(_), _) => Seen::No,
    })
}

/// XML without what libvirt's own formatting changes: blanks between tags, kind of quotes, `<a></a>` for `<a/>`.
/// Two texts that differ in more may still mean the same; the element is then written again, which is harmless.
fn canonical(xml: &str) -> String {
    let mut text = String::with_capacity(xml.len());
    for word in xml.split_whitespace() {
        if !text.is_empty() && !text.ends_with('>') && !word.starts_with(['<', '/', '>']) {
            text.push(' ');
        }
        text.push_str(word);
    }
    text.replace('\'', "\"").replace(" />", "/>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libvirts_formatting_does_not_make_metadata_differ() {
        assert_eq!(canonical("<a x='1'>\n  <b/>\n</a>"), canonical("<a x=\"1\"><b/></a>"));
        assert_eq!(canonical("<a x='1' />"), canonical("<a x=\"1\"/>"));
        assert_ne!(canonical("<a x='1'/>"), canonical("<a x='2'/>"));
    }
}
