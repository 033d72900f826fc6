//! The host a VM runs on: what libvirt says of it, kept as long as the connection lasts, and what the host itself says
//! of its links and switch ports, asked anew each time.
//!
//! Nothing here fails: what was not answered is absent from the inventory, and a line of the log says why.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use virt::connect::Connect;
use virt::error::Error;

use crate::discovery::{Capabilities, Domain, Host, Limits, Neighbour, parse_capabilities};
use crate::hypervisor::host::{OVS_SOCKETS, holds_libvirtd, read_links, read_ovs_ports};

/// The host, and whom it has seen on its links.
pub(super) struct Around {
    pub(super) host: Arc<Host>,
    neighbours: Vec<Neighbour>,
}

impl Around {
    /// Those neighbours that a domain's interfaces are.
    pub(super) fn neighbours_of(&self, domain: &Domain) -> Vec<Neighbour> {
        let ours = |seen: &&Neighbour| domain.nics.iter().any(|nic| nic.mac == Some(seen.mac));
        self.neighbours.iter().filter(ours).copied().collect()
    }
}

/// What is known of the host.
pub(super) struct HostFacts {
    uri: String,
    /// libvirt's word; its capabilities are long, and the same until it is started anew.
    told: Mutex<Option<Told>>,
}

#[derive(Clone)]
struct Told {
    host: Host,
    is_here: bool,
}

impl HostFacts {
    pub(super) fn new(uri: &str) -> Self {
        Self { uri: uri.to_owned(), told: Mutex::default() }
    }

    /// Forgets what libvirt said.
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    /// Whether libvirt's network is also this process's, as of the last look.
    pub(super) fn is_here(&self) -> bool {
        self.lock().as_ref().is_some_and(|told| told.is_here)
    }

    /// Asks for all of it. It blocks, for some seconds at most.
    pub(super) fn look_around(&self, connect: &Connect) -> Around {
        let Told { mut host, is_here } = self.told(connect);
        let mut neighbours = Vec::new();
        if is_here {
            match read_links() {
                Ok(read) => {
                    host.links = read.links;
                    neighbours = read.neighbours;
                }
                Err(error) => tracing::warn!(%error, "the host's links stay unknown"),
            }
            if let Some(socket) = OVS_SOCKETS.iter().map(Path::new).find(|socket| socket.exists()) {
                match read_ovs_ports(socket) {
                    Ok(ports) => host.ovs_ports = ports,
                    Err(error) => tracing::warn!(%error, "the ports of Open vSwitch stay unknown"),
                }
            }
        }
        Around { host: Arc::new(host), neighbours }
    }

    fn told(&self, connect: &Connect) -> Told {
        if let Some(told) = &*self.lock() {
            return told.clone();
        }
        // Not under the lock: libvirt may take its time.
        let told = Told { host: ask_libvirt(connect), is_here: holds_libvirtd(&self.uri) };
        self.lock().get_or_insert(told).clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ask_libvirt(connect: &Connect) -> Host {
    Host {
        name: told("name", connect.hostname()),
        libvirt_version: told("libvirt version", connect.lib_version()).map(version),
        hypervisor_version: told("hypervisor version", connect.hyp_version()).map(version),
        capabilities: told("capabilities", connect.capabilities()).and_then(|xml| capabilities(&xml)),
        ..Host::default()
    }
}

fn told<T>(what: &str, answer: Result<T, Error>) -> Option<T> {
    answer.inspect_err(|error| tracing::debug!(what, error = error.message(), "libvirt does not tell of its host")).ok()
}

fn capabilities(xml: &str) -> Option<Capabilities> {
    let read = parse_capabilities(xml, Limits::default());
    read.inspect_err(|error| tracing::warn!(%error, "libvirt's capabilities are not understood")).ok()
}

/// libvirt's spelling of versions: `1,000,000 * major + 1,000 * minor + release`.
fn version(number: u32) -> String {
    format!("{}.{}.{}", number / 1_000_000, number / 1000 % 1000, number % 1000)
}
