//! Reading a VM's state: one VM in few questions, all VMs in fewer.
//!
//! No question waits for the lock that every change of a VM holds: what cannot be asked without it is asked while the
//! lock is free ([`jobs`]), and one VM's look comes again for a moment until it is.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::MaybeUninit;
use std::os::raw::c_int;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

use super::checkpoints;
use super::core::{Core, look_up};
use super::failure::Fault;
use super::gather;
use super::jobs::{self, Answer, BUSY};
use super::pauses::Pauses;
use super::stats::{self, Figures};
use crate::discovery::{self, Generation, hex};
use crate::hypervisor::{Listing, Whole};
use crate::model::{DeviceName, HoldKey, Kib, PowerState, StartId, VmId, VmState};

/// How long a look waits for a VM that is busy before it says so.
const BUSY_LIMIT: Duration = Duration::from_secs(2);
const BUSY_FIRST_PAUSE: Duration = Duration::from_millis(5);
const BUSY_LAST_PAUSE: Duration = Duration::from_millis(100);

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) state: VmState,
    pub(super) whole: Whole,
}

impl Core {
    /// One VM's state. A VM that stays busy fails the look: nobody may conclude that nothing is open on it.
    pub(super) async fn observe(&self, vm: VmId) -> Result<VmState, Fault> {
        let end = Instant::now() + BUSY_LIMIT;
        let mut pauses = Pauses::from_to(BUSY_FIRST_PAUSE, BUSY_LAST_PAUSE);
        loop {
            let look = self.ask(Some(vm), move |connect, _| {
                let domain = look_up(connect, vm)?;
                let fault = Fault::harmless(connect);
                if has_left(&domain).map_err(fault)? {
                    return Err(Fault::NoSuchVm("the VM has moved to another host".to_owned()));
                }
                look_at(&domain).map_err(fault)
            });
            let look = look.await?;
            let pause = pauses.next();
            match look {
                Look { state, whole: Whole::Yes } => return Ok(state),
                Look { whole: Whole::WithoutJobs, .. } if Instant::now() + pause >= end => {
                    return Err(Fault::Failed(BUSY.to_owned()));
                }
                Look { whole: Whole::WithoutJobs, .. } => {}
            }
            sleep(pause).await;
        }
    }
}

/// Every VM's state.
///
/// VMs that are off are read in bulk as far as libvirt can, which needs no answer from any QEMU; those that run one by
/// one, because the bulk question would wait for each QEMU in turn.
pub(super) fn list(connect: &Connect) -> Result<Vec<Listing>, Fault> {
    let fault = Fault::harmless(connect);
    let domains = connect.list_all_domains(0).map_err(fault)?;
    let known = Bulk::ask(connect);
    let mut resting = stats::resting(connect);
    let mut listings = Vec::with_capacity(domains.len());
    for domain in domains {
        let vm = VmId(domain.uuid().map_err(fault)?);
        let name = domain.name().map_err(fault)?;
        let figures = resting.remove(&vm).filter(|_| domain.id().is_none());
        match look_in_list(&domain, figures, known.of(vm)) {
            Ok(Some(Look { state, whole })) => listings.push(Listing { vm, name, state, whole }),
            Ok(None) => {}
            Err(error) => match fault(error) {
                // It went between the two questions.
                Fault::NoSuchVm(_) => {}
                other => return Err(other),
            },
        }
    }
    Ok(listings)
}

/// A VM of a list; none of one that has left for another host and only its name is still here.
fn look_in_list(domain: &Domain, figures: Option<Figures>, may_have: MayHave) -> Result<Option<Look>, Error> {
    if figures.is_none() && has_left(domain)? {
        return Ok(None);
    }
    look_with(domain, figures, may_have).map(Some)
}

/// Which VMs have any of what is asked of each; none when the driver cannot tell.
struct Bulk {
    snapshots: Option<BTreeSet<VmId>>,
    checkpoints: Option<BTreeSet<VmId>>,
    saved: Option<BTreeSet<VmId>>,
}

/// What a VM may have.
#[derive(Debug, Clone, Copy)]
struct MayHave {
    snapshots: bool,
    checkpoints: bool,
    saved: bool,
}

impl MayHave {
    const ANYTHING: Self = Self { snapshots: true, checkpoints: true, saved: true };
}

impl Bulk {
    fn ask(connect: &Connect) -> Self {
        let with = |flag| -> Option<BTreeSet<VmId>> {
            let domains = connect.list_all_domains(flag).ok()?;
            domains.iter().map(|domain| domain.uuid().ok().map(VmId)).collect()
        };
        Self {
            snapshots: with(sys::VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT),
            checkpoints: with(sys::VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT),
            saved: with(sys::VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE),
        }
    }

    fn of(&self, vm: VmId) -> MayHave {
        let may = |known: &Option<BTreeSet<VmId>>| known.as_ref().is_none_or(|ids| ids.contains(&vm));
        MayHave { snapshots: may(&self.snapshots), checkpoints: may(&self.checkpoints), saved: may(&self.saved) }
    }
}

/// Which start of the domain this is.
pub(super) fn start_of(domain: &Domain) -> StartId {
    StartId(domain.id())
}

/// What can be said of the domain now, with its id as it was when the domain was looked up.
pub(super) fn look_at(domain: &Domain) -> Result<Look, Error> {
    look_with(domain, None, MayHave::ANYTHING)
}

fn look_with(domain: &Domain, figures: Option<Figures>, may_have: MayHave) -> Result<Look, Error> {
    let start = start_of(domain);
    let described = match start.0 {
        Some(_) => Described::running(domain)?,
        None => Described::resting(domain)?,
    };
    let figures = figures.map_or_else(|| figures_of(domain, &described), Ok)?;
    let asked = match start.0 {
        Some(_) => jobs::open_on(domain, &described.disks)?,
        None => Answer::Given(BTreeSet::new()),
    };
    let (jobs, whole) = match asked {
        Answer::Given(jobs) => (jobs, Whole::Yes),
        Answer::Busy => (BTreeSet::<HoldKey>::new(), Whole::WithoutJobs),
    };
    let Figures { power, vcpus, vcpus_max, memory_kib, memory_max_kib } = figures;
    let state = VmState {
        power,
        start,
        vcpus,
        vcpus_max,
        memory_kib,
        memory_max_kib,
        snapshots: if may_have.snapshots { snapshot_names(domain)? } else { BTreeSet::new() },
        checkpoints: if may_have.checkpoints { checkpoints::names(domain)? } else { BTreeSet::new() },
        devices: described.devices,
        jobs,
        // One that runs has used its image up.
        saved: start.0.is_none() && may_have.saved && has_image(domain)?,
        definition: described.definition,
    };
    Ok(Look { state, whole })
}

/// What the domain's XML says.
struct Described {
    devices: BTreeSet<DeviceName>,
    disks: Vec<String>,
    vcpus_max: Option<u32>,
    definition: Option<String>,
}

impl Described {
    fn running(domain: &Domain) -> Result<Self, Error> {
        let definition = definition_of(domain)?;
        Ok(Self::of(gather::parsed(&domain.xml_desc(0)?).ok().as_ref(), definition))
    }

    /// One that is off is its definition.
    fn resting(domain: &Domain) -> Result<Self, Error> {
        let xml = domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE)?;
        let parsed = gather::parsed(&xml).ok();
        Ok(Self::of(parsed.as_ref(), Some(digest(&xml, parsed.as_ref()))))
    }

    /// Of XML beyond what is read nothing is known but that it changes.
    fn of(parsed: Option<&discovery::Domain>, definition: Option<String>) -> Self {
        let Some(parsed) = parsed else {
            return Self { devices: BTreeSet::new(), disks: Vec::new(), vcpus_max: None, definition };
        };
        let disks = parsed.disks.iter().map(|disk| DeviceName::Disk(disk.target.clone()));
        let nics = parsed.nics.iter().filter_map(|nic| nic.mac.map(DeviceName::Nic));
        let vcpus_max = Some(parsed.cpu.vcpus_max);
        Self { devices: disks.chain(nics).collect(), disks: jobs::disks_of(parsed), vcpus_max, definition }
    }
}

fn digest(xml: &str, parsed: Option<&discovery::Domain>) -> String {
    parsed.map_or_else(|| hex(&Sha256::digest(xml)), |parsed| Generation::of_definition(parsed).to_string())
}

/// The digest of the persistent definition; none when there is none.
pub(super) fn definition_of(domain: &Domain) -> Result<Option<String>, Error> {
    if !domain.is_persistent()? {
        return Ok(None);
    }
    let xml = domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE)?;
    Ok(Some(digest(&xml, gather::parsed(&xml).ok().as_ref())))
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

/// Whether there is an image to go on from; no driver without images has one.
fn has_image(domain: &Domain) -> Result<bool, Error> {
    match domain.has_managed_save(0) {
        Err(error) if error.code().to_raw() == sys::VIR_ERR_NO_SUPPORT => Ok(false),
        other => other,
    }
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
    // It holds the lock that the next question needs.
    if jobs::is_busy(domain)? {
        return Ok(PowerState::Running);
    }
    match jobs::background(domain) {
        Ok(Some(_)) => Ok(PowerState::Running),
        Err(error) if error.code().to_raw() == sys::VIR_ERR_OPERATION_TIMEOUT => Ok(PowerState::Running),
        // The job has ended meanwhile, or it left the vCPUs halted.
        Ok(None) | Err(_) => Ok(power_state(u32::from(self::info(domain)?.state))),
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

fn figures_of(domain: &Domain, described: &Described) -> Result<Figures, Error> {
    let info = info(domain)?;
    let vcpus_max = match described.vcpus_max {
        Some(most) => most,
        // "Current" means live for one that runs and the definition for one that does not.
        None => domain.vcpus_flags(sys::VIR_DOMAIN_VCPU_MAXIMUM)?,
    };
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

/// The VMs' figures by id.
pub(super) type ByVm = BTreeMap<VmId, Figures>;
