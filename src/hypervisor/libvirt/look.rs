//! Reading a VM's state: one VM in four questions, all VMs in few.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::MaybeUninit;
use std::os::raw::c_int;

use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

use super::core::look_up;
use super::failure::{Fault, Reached};
use super::gather::parsed;
use super::job::{self, Job};
use super::stats::{self, Figures};
use crate::discovery::Generation;
use crate::hypervisor::Listing;
use crate::model::{HoldKey, Kib, PowerState, StartId, VmId, VmState};

/// One VM's state.
pub(super) fn observe(connect: &Connect, vm: VmId) -> Result<VmState, Fault> {
    let fault = |error: Error| Fault::of(connect, &error, Reached::Harmless);
    let domain = look_up(connect, vm)?;
    if has_left(&domain).map_err(fault)? {
        return Err(Fault::NoSuchVm("the VM has moved to another host".to_owned()));
    }
    state_of(&domain).map_err(fault)
}

/// Every VM's state.
///
/// VMs that are off are read in bulk, which needs no answer from any QEMU; those that run one by one, because the
/// bulk question would wait for each QEMU in turn.
pub(super) fn list(connect: &Connect) -> Result<Vec<Listing>, Fault> {
    let fault = |error: Error| Fault::of(connect, &error, Reached::Harmless);
    let domains = connect.list_all_domains(0).map_err(fault)?;
    let with_snapshots = ids_with_snapshots(connect);
    let mut resting = stats::resting(connect);
    let mut listings = Vec::with_capacity(domains.len());
    for domain in domains {
        let vm = VmId(domain.uuid().map_err(fault)?);
        let name = domain.name().map_err(fault)?;
        let snapshots = match &with_snapshots {
            Some(ids) if !ids.contains(&vm) => Ok(BTreeSet::new()),
            Some(_) | None => snapshot_names(&domain),
        };
        let figures = match resting.remove(&vm).filter(|_| domain.id().is_none()) {
            Some(figures) => Ok(figures),
            None if has_left(&domain).map_err(fault)? => continue,
            None => figures_of(&domain),
        };
        let state = figures.and_then(|figures| complete(&domain, figures.into_state(start_of(&domain), snapshots?)));
        match state {
            Ok(state) => listings.push(Listing { vm, name, state }),
            Err(error) => match Fault::of(connect, &error, Reached::Harmless) {
                // It went between the two questions.
                Fault::NoSuchVm(_) => {}
                other => return Err(other),
            },
        }
    }
    Ok(listings)
}

/// Which start of the domain this is.
pub(super) fn start_of(domain: &Domain) -> StartId {
    StartId(domain.id())
}

/// The domain's state, with its id as it was when the domain was looked up.
pub(super) fn state_of(domain: &Domain) -> Result<VmState, Error> {
    complete(domain, figures_of(domain)?.into_state(start_of(domain), snapshot_names(domain)?))
}

/// What the figures leave open.
fn complete(domain: &Domain, state: VmState) -> Result<VmState, Error> {
    let job = if state.start.0.is_some() { job::current(domain)? } else { None };
    let jobs = job.filter(Job::is_migration_out).map(|_| HoldKey::Migration).into_iter().collect();
    let saved = match domain.has_managed_save(0) {
        // A driver without managed save has no image.
        Err(error) if error.code().to_raw() == sys::VIR_ERR_NO_SUPPORT => false,
        saved => saved?,
    };
    Ok(VmState { jobs, saved, definition: definition_of(domain)?, ..state })
}

/// The generation of the persistent definition; none when there is none.
pub(super) fn definition_of(domain: &Domain) -> Result<Option<String>, Error> {
    if !domain.is_persistent()? {
        return Ok(None);
    }
    let xml = domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE)?;
    // libvirt's own XML is read; should it ever not be, there is a definition all the same.
    Ok(Some(parsed(&xml).map_or_else(|_| "unreadable".to_owned(), |read| Generation::of_domain(&read).to_string())))
}

/// Whether the VM is off because it runs on another host now. What is left of it here, for a moment or with a
/// definition that was not to go, must not be started as if it were the VM: it would run twice.
pub(super) fn has_left(domain: &Domain) -> Result<bool, Error> {
    if domain.id().is_some() {
        return Ok(false);
    }
    state_and_reason(domain).map(|(state, reason)| is_elsewhere(state, reason))
}

/// The same of what libvirt's statistics say.
pub(super) const fn is_elsewhere(state: sys::virDomainState, reason: u32) -> bool {
    state == sys::VIR_DOMAIN_SHUTOFF && reason == sys::VIR_DOMAIN_SHUTOFF_MIGRATED
}

/// The power state alone.
pub(super) fn power_of(domain: &Domain) -> Result<PowerState, Error> {
    power_in(domain, &info(domain)?)
}

/// The power state, with what a job of libvirt's does on the way taken out: it halts the vCPUs for as long as it takes
/// a snapshot or a dump, or moves the VM, and lets them go on by itself, so that the VM is as running as before.
fn power_in(domain: &Domain, info: &sys::virDomainInfo) -> Result<PowerState, Error> {
    let power = power_state(u32::from(info.state));
    if power != PowerState::Paused || !halted_by_job(domain)? {
        return Ok(power);
    }
    match domain.job_info() {
        Ok(job) if job.r#type != sys::VIR_DOMAIN_JOB_NONE.cast_signed() => Ok(PowerState::Running),
        // It holds the lock that the question needs.
        Err(error) if error.code().to_raw() == sys::VIR_ERR_OPERATION_TIMEOUT => Ok(PowerState::Running),
        // The job has ended meanwhile, or it left the vCPUs halted.
        Ok(_) | Err(_) => Ok(power_state(u32::from(self::info(domain)?.state))),
    }
}

fn halted_by_job(domain: &Domain) -> Result<bool, Error> {
    let (state, reason) = state_and_reason(domain)?;
    let by_job = [
        sys::VIR_DOMAIN_PAUSED_SNAPSHOT,
        sys::VIR_DOMAIN_PAUSED_SAVE,
        sys::VIR_DOMAIN_PAUSED_DUMP,
        sys::VIR_DOMAIN_PAUSED_MIGRATION,
    ];
    Ok(state == sys::VIR_DOMAIN_PAUSED && by_job.contains(&reason))
}

/// libvirt's state and why it is that; the reason's meaning hangs on the state.
pub(super) fn state_and_reason(domain: &Domain) -> Result<(sys::virDomainState, u32), Error> {
    let (mut state, mut reason): (c_int, c_int) = (-1, -1);
    // SAFETY: the domain is open and libvirt fills both numbers when it returns zero. Needed because the safe binding
    // wraps the reason twice.
    if unsafe { sys::virDomainGetState(domain.as_ptr(), &raw mut state, &raw mut reason, 0) } != 0 {
        return Err(Error::last_error());
    }
    // Neither is ever below zero; no state and no reason has the greatest number.
    Ok((u32::try_from(state).unwrap_or(u32::MAX), u32::try_from(reason).unwrap_or(u32::MAX)))
}

/// The guest's memory now, or at the next start.
pub(super) fn memory_of(domain: &Domain) -> Result<Kib, Error> {
    Ok(Kib(info(domain)?.memory))
}

/// libvirt's word for a power state. *Source*: libvirt, `virDomainState`.
pub(super) const fn power_state(raw: sys::virDomainState) -> PowerState {
    match raw {
        sys::VIR_DOMAIN_RUNNING | sys::VIR_DOMAIN_BLOCKED => PowerState::Running,
        sys::VIR_DOMAIN_PAUSED => PowerState::Paused,
        sys::VIR_DOMAIN_SHUTDOWN => PowerState::ShuttingDown,
        sys::VIR_DOMAIN_SHUTOFF => PowerState::ShutOff,
        sys::VIR_DOMAIN_CRASHED => PowerState::Crashed,
        sys::VIR_DOMAIN_PMSUSPENDED => PowerState::PmSuspended,
        _ => PowerState::Unknown,
    }
}

fn figures_of(domain: &Domain) -> Result<Figures, Error> {
    let info = info(domain)?;
    // "Current" means live for one that runs and the definition for one that does not.
    let vcpus_max = domain.vcpus_flags(sys::VIR_DOMAIN_VCPU_MAXIMUM)?;
    Ok(Figures {
        power: power_in(domain, &info)?,
        vcpus: u32::from(info.nrVirtCpu),
        vcpus_max,
        memory_kib: Kib(info.memory),
        memory_max_kib: Kib(info.maxMem),
    })
}

fn info(domain: &Domain) -> Result<sys::virDomainInfo, Error> {
    let mut info = MaybeUninit::<sys::virDomainInfo>::uninit();
    // SAFETY: the domain is open and libvirt fills the struct when it returns zero. Needed because the safe binding
    // passes the state through an enum of its own.
    if unsafe { sys::virDomainGetInfo(domain.as_ptr(), info.as_mut_ptr()) } == 0 {
        // SAFETY: filled, see above.
        Ok(unsafe { info.assume_init() })
    } else {
        Err(Error::last_error())
    }
}

fn snapshot_names(domain: &Domain) -> Result<BTreeSet<String>, Error> {
    match domain.num_snapshots(0) {
        Ok(0) => Ok(BTreeSet::new()),
        Ok(_) => domain.list_all_snapshots(0)?.iter().map(|snapshot| snapshot.name()).collect(),
        // A driver without snapshots has none.
        Err(error) if error.code().to_raw() == sys::VIR_ERR_NO_SUPPORT => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

/// The VMs that have snapshots; none when the driver cannot tell.
fn ids_with_snapshots(connect: &Connect) -> Option<BTreeSet<VmId>> {
    let domains = connect.list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT).ok()?;
    domains.iter().map(|domain| domain.uuid().ok().map(VmId)).collect()
}

/// The VMs' figures by id.
pub(super) type ByVm = BTreeMap<VmId, Figures>;
