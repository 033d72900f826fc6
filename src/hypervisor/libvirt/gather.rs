//! Reading all that an inventory is made from: the domain, its definition, block info, and what is around it.
//!
//! The domain itself must be readable; anything else that libvirt does not answer stays unknown in the inventory.
//! The agent is asked last and apart: libvirt puts no end to a question that a guest's agent has taken and does not
//! answer, so the wait for it is ended here, and a VM whose agent still owes an answer is not asked again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use virt::connect::Connect;
use virt::domain::Domain as Handle;
use virt::sys;

use super::around::{Known, Volumes};
use super::core::{Core, look_up};
use super::failure::Fault;
use super::host_facts::Around;
use super::surroundings;
use crate::discovery::{
    AgentAddress, AgentState, Discovered, DiskSize, Domain, Inactive, Inventory, Limits, parse_domain,
};
use crate::hypervisor::ReadInventory;
use crate::model::VmId;

/// How long the guest agent is given.
pub(super) const AGENT_LIMIT: Duration = Duration::from_secs(2);
/// How many agents may owe an answer at once: each holds a thread until it gives one.
const AGENTS_MAX: usize = 8;
/// How many threads read when all VMs are read. Each request waits for libvirtd, so that two keep it busy.
const SHARES: usize = 2;

/// The VMs whose agents owe an answer.
#[derive(Default)]
pub(super) struct AgentsAsked(Mutex<BTreeSet<VmId>>);

/// One such VM; the debt ends with it.
pub(super) struct AgentAsked {
    all: Arc<AgentsAsked>,
    vm: VmId,
}

impl AgentsAsked {
    pub(super) fn begin(self: &Arc<Self>, vm: VmId) -> Option<AgentAsked> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (asked.len() < AGENTS_MAX && asked.insert(vm)).then(|| AgentAsked { all: Arc::clone(self), vm })
    }
}

impl Drop for AgentAsked {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.vm);
    }
}

impl Core {
    /// One VM's resources and network settings.
    pub(super) async fn gather(&self, vm: VmId) -> Result<Inventory, Fault> {
        let facts = Arc::clone(&self.host_facts);
        let mut discovered = self
            .ask(Some(vm), move |connect, _| {
                let handle = look_up(connect, vm)?;
                let around = facts.look_around(connect);
                let mut discovered = read(connect, &handle, &mut Known::default(), Volumes::All, &around)?;
                if !facts.is_here() && handle.id().is_some() {
                    // A remote host's neighbours are libvirt's to tell.
                    discovered.neighbours = surroundings::neighbours(&handle).unwrap_or_default();
                }
                Ok(discovered)
            })
            .await?;
        let agent = discovered.live.guest_agent.as_ref().and_then(|agent| agent.state.as_ref());
        if agent == Some(&AgentState::Connected) {
            discovered.agent = self.ask_agent(vm).await;
        }
        Ok(Inventory::build(discovered))
    }

    /// Every VM's inventory, read side by side in shares; without the guests' agents.
    pub(super) async fn gather_all(self: Arc<Self>) -> Result<Vec<ReadInventory>, Fault> {
        let facts = Arc::clone(&self.host_facts);
        let around = Arc::new(self.ask(None, move |connect, _| Ok(facts.look_around(connect))).await?);
        let mut reading = JoinSet::new();
        for share in 0..SHARES {
            let (core, around) = (Arc::clone(&self), Arc::clone(&around));
            reading.spawn(async move { core.ask(None, move |connect, _| read_share(connect, share, &around)).await });
        }
        let mut inventories = Vec::new();
        while let Some(share) = reading.join_next().await {
            inventories.extend(share.unwrap_or_else(|error| Err(Fault::Failed(error.to_string())))?);
        }
        inventories.sort_by_key(|(vm, _)| *vm);
        Ok(inventories)
    }

    async fn ask_agent(&self, vm: VmId) -> Vec<AgentAddress> {
        let Some(asked) = self.agents.begin(vm) else { return Vec::new() };
        let answer = self.ask(Some(vm), move |connect, _| {
            let _asked = asked;
            let domain = look_up(connect, vm)?;
            surroundings::agent_addresses(&domain).map_err(Fault::harmless(connect))
        });
        match timeout(AGENT_LIMIT, answer).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }
}

/// Every share-th VM of all, by the order of their ids.
fn read_share(connect: &Connect, share: usize, around: &Around) -> Result<Vec<ReadInventory>, Fault> {
    let fault = Fault::harmless(connect);
    let mut handles = Vec::new();
    for handle in connect.list_all_domains(0).map_err(fault)? {
        handles.push((VmId(handle.uuid().map_err(fault)?), handle));
    }
    handles.sort_by_key(|(vm, _)| *vm);
    let (mut known, mut inventories) = (Known::default(), Vec::new());
    for (vm, handle) in handles.iter().skip(share).step_by(SHARES) {
        match read(connect, handle, &mut known, Volumes::WithoutSize, around) {
            Ok(discovered) => inventories.push((*vm, Ok(Inventory::build(discovered)))),
            // It went since it was listed.
            Err(Fault::NoSuchVm(_)) => {}
            Err(Fault::Failed(reason)) => inventories.push((*vm, Err(reason))),
            Err(fault) => return Err(fault),
        }
    }
    Ok(inventories)
}

fn read(
    connect: &Connect,
    handle: &Handle,
    known: &mut Known,
    volumes: Volumes,
    around: &Around,
) -> Result<Discovered, Fault> {
    let fault = Fault::harmless(connect);
    let live = parsed(&handle.xml_desc(0).map_err(fault)?)?;
    // One that is off and has no definition does not exist.
    let inactive = if handle.id().is_none() {
        Inactive::Known(Box::new(live.clone()))
    } else if handle.is_persistent().map_err(fault)? {
        let xml = handle.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE).map_err(fault)?;
        Inactive::Known(Box::new(parsed(&xml)?))
    } else {
        Inactive::Transient
    };
    let sizes = sizes_of(handle, &live);
    let (networks, leases) = known.networks(connect, &live);
    Ok(Discovered {
        pools: known.pools(connect, &live, &sizes, volumes),
        neighbours: around.neighbours_of(&live),
        host: Some(Arc::clone(&around.host)),
        inactive,
        sizes,
        networks,
        leases,
        agent: Vec::new(),
        live,
    })
}

/// A domain's XML, read.
pub(super) fn parsed(xml: &str) -> Result<Domain, Fault> {
    parse_domain(xml, Limits::default()).map_err(|error| Fault::Failed(format!("the domain's XML: {error}")))
}

fn sizes_of(handle: &Handle, domain: &Domain) -> BTreeMap<String, DiskSize> {
    let mut sizes = BTreeMap::new();
    for disk in domain.disks.iter().filter(|disk| disk.source.is_some()) {
        match surroundings::disk_size(handle, &disk.target) {
            Ok(size) => {
                sizes.insert(disk.target.clone(), size);
            }
            // The VM is busy; each further disk would wait as long again.
            Err(error) if error.code().to_raw() == sys::VIR_ERR_OPERATION_TIMEOUT => break,
            Err(_) => {}
        }
    }
    sizes
}
