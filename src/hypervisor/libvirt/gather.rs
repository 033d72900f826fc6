//! Reading all that an inventory is made from: the domain, its definition, block info, networks, leases and the
//! addresses the guest agent tells.
//!
//! The domain itself must be readable; anything else that libvirt does not answer stays unknown in the inventory.
//! The agent is asked last and apart: libvirt puts no end to a question that a guest's agent has taken and does not
//! answer, so the wait for it is ended here, and a VM whose agent still owes an answer is not asked again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;
use virt::connect::Connect;
use virt::domain::Domain as Handle;
use virt::sys;

use super::core::{Core, look_up};
use super::failure::{Fault, Reached};
use super::surroundings;
use crate::discovery::{
    AgentAddress, AgentState, Discovered, DiskSize, Domain, Inactive, Inventory, Limits, NicSource, parse_domain,
    parse_network,
};
use crate::model::VmId;

/// How long the guest agent is given.
const AGENT_LIMIT: Duration = Duration::from_secs(2);
/// How many agents may owe an answer at once: each holds a thread until it gives one.
const AGENTS_MAX: usize = 8;

/// The VMs whose agents owe an answer.
#[derive(Default)]
pub(super) struct AgentsAsked(Mutex<BTreeSet<VmId>>);

/// One such VM; the debt ends with it.
struct AgentAsked {
    all: Arc<AgentsAsked>,
    vm: VmId,
}

impl AgentsAsked {
    fn begin(self: &Arc<Self>, vm: VmId) -> Option<AgentAsked> {
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
        let mut discovered = self.ask(Some(vm), move |connect, _| ask_libvirt(connect, vm)).await?;
        let agent = discovered.live.guest_agent.as_ref().and_then(|agent| agent.state.as_ref());
        if agent == Some(&AgentState::Connected) {
            discovered.agent = self.ask_agent(vm).await;
        }
        Ok(Inventory::build(discovered))
    }

    async fn ask_agent(&self, vm: VmId) -> Vec<AgentAddress> {
        let Some(asked) = self.agents.begin(vm) else { return Vec::new() };
        let answer = self.ask(Some(vm), move |connect, _| {
            let _asked = asked;
            let domain = look_up(connect, vm)?;
            surroundings::agent_addresses(&domain).map_err(|error| Fault::of(connect, &error, Reached::Harmless))
        });
        match timeout(AGENT_LIMIT, answer).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }
}

fn ask_libvirt(connect: &Connect, vm: VmId) -> Result<Discovered, Fault> {
    let fault = |error| Fault::of(connect, &error, Reached::Harmless);
    let handle = look_up(connect, vm)?;
    let live = parsed(&handle.xml_desc(0).map_err(fault)?)?;
    let inactive = if !handle.is_persistent().map_err(fault)? {
        Inactive::Transient
    } else if handle.id().is_none() {
        Inactive::Known(Box::new(live.clone()))
    } else {
        let xml = handle.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE).map_err(fault)?;
        Inactive::Known(Box::new(parsed(&xml)?))
    };
    let sizes = sizes_of(&handle, &live);
    let (mut networks, mut leases) = (Vec::new(), Vec::new());
    for name in network_names(&live) {
        let Ok(network) = connect.lookup_network_by_name(name) else { continue };
        match network.xml_desc(0).map(|xml| parse_network(xml, Limits::default())) {
            Ok(Ok(parsed)) => networks.push(parsed),
            Ok(Err(error)) => tracing::warn!(network = name, %error, "a network's XML is not understood"),
            Err(error) => tracing::debug!(network = name, error = error.message(), "a network cannot be read"),
        }
        // A network without libvirt's DHCP has no leases and says so with an error.
        leases.extend(surroundings::leases(&network).unwrap_or_default());
    }
    Ok(Discovered { live, inactive, sizes, networks, leases, agent: Vec::new() })
}

/// A domain's XML, read.
pub(super) fn parsed(xml: &str) -> Result<Domain, Fault> {
    parse_domain(xml, Limits::default()).map_err(|error| Fault::Failed(format!("the domain's XML: {error}")))
}

fn network_names(domain: &Domain) -> BTreeSet<&str> {
    let named = domain.nics.iter().filter_map(|nic| match &nic.source {
        NicSource::Network { network, .. } => Some(network.as_str()),
        _ => None,
    });
    named.collect()
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
