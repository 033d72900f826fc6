//! The generation: one value that changes exactly when a part of the domain changes that somebody decided on.
//!
//! Assumes a domain. Guarantees that what moves by itself leaves it alone (addresses, allocation, the agent's state,
//! `vnet0`-like names, ports chosen at start, the bridge a network resolves to), and that a field added to the model
//! does not compile until it is decided here on which side it belongs.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cpu::CpuMode;
use super::disk::{Backing, Disk, DiskSize};
use super::domain::{Domain, Graphics, GraphicsPort, GuestAgent, SecureBoot};
use super::nic::{Nic, NicSource};
use crate::model::units::Bytes;

/// A digest of what matters: 64 hexadecimal digits.
///
/// Disk capacity and a VLAN of a network's portgroup matter too, so compare generations of inventories that were made
/// from the same kinds of source: one without block info has another generation than one with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(String);

impl Generation {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The generation of a domain.
    pub fn of_domain(domain: &Domain) -> Self {
        let mut digest = Sha256::new();
        // The rule's version: a later rule must not meet an earlier one's values by accident.
        digest.update(b"covirt generation 1");
        for (name, text) in sections(domain) {
            digest.update([0]);
            digest.update(name.as_bytes());
            digest.update([0]);
            digest.update(&text);
        }
        Self(hex(&digest.finalize()))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The sections in which the persistent `definition` differs from what runs, without what moves by itself.
pub(crate) fn pending_sections(live: &Domain, definition: &Domain) -> Vec<String> {
    let started = as_started(definition, live);
    let pairs = sections(live).into_iter().zip(sections(&started));
    pairs.filter(|((_, now), (_, then))| now != then).map(|((name, _), _)| name.to_owned()).collect()
}

/// The definition with what it leaves open taken from what runs: libvirt fills that in at the start, and a difference
/// there is nobody's change.
fn as_started(definition: &Domain, live: &Domain) -> Domain {
    let mut domain = definition.clone();
    if matches!(domain.cpu.mode, Some(CpuMode::HostModel | CpuMode::Maximum)) {
        domain.cpu.mode.clone_from(&live.cpu.mode);
        domain.cpu.model.clone_from(&live.cpu.model);
    }
    let firmware = &mut domain.firmware;
    firmware.loader = firmware.loader.take().or_else(|| live.firmware.loader.clone());
    firmware.nvram = firmware.nvram.take().or_else(|| live.firmware.nvram.clone());
    if firmware.secure_boot == SecureBoot::Unsaid {
        firmware.secure_boot = live.firmware.secure_boot;
    }
    for disk in &mut domain.disks {
        if let Some(now) = live.disks.iter().find(|now| now.target == disk.target) {
            disk.address = disk.address.take().or_else(|| now.address.clone());
            disk.size = now.size;
        }
    }
    for nic in &mut domain.nics {
        if let Some(now) = live.nics.iter().find(|now| now.mac == nic.mac && nic.mac.is_some()) {
            nic.address = nic.address.take().or_else(|| now.address.clone());
            nic.target = nic.target.take().or_else(|| now.target.clone());
            if nic.source.network().is_some() {
                take_from_network(nic, now);
            }
        }
    }
    domain
}

/// What the network and its portgroup may add to an interface, libvirt writes into what runs.
fn take_from_network(nic: &mut Nic, now: &Nic) {
    if nic.vlan.tags.is_empty() {
        nic.vlan.clone_from(&now.vlan);
    }
    if nic.bandwidth.is_none() {
        nic.bandwidth.clone_from(&now.bandwidth);
    }
    match (&mut nic.virtualport, &now.virtualport) {
        (none @ None, now) => none.clone_from(now),
        (Some(own), Some(now)) => own.fill_from(now),
        (Some(_), None) => {}
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The domain cut in named sections, each as canonical bytes.
fn sections(domain: &Domain) -> Vec<(&'static str, Vec<u8>)> {
    let Domain {
        identity,
        guest_os,
        platform,
        cpu,
        memory,
        firmware,
        boot,
        direct_boot,
        disks,
        nics,
        hostdevs,
        filesystems,
        tpm,
        watchdogs,
        rngs,
        iommu,
        launch_security,
        guest_agent,
        channels,
        graphics,
        videos,
        consoles,
        controllers,
        devices,
        features,
        clock,
        lifecycle,
        smbios,
        security_labels,
        settings,
        passthrough_arguments,
        metadata,
        unknown,
    } = domain;
    vec![
        ("identity", bytes(identity)),
        ("guest-os", bytes(guest_os)),
        ("platform", bytes(platform)),
        ("cpu", bytes(cpu)),
        ("memory", bytes(memory)),
        ("firmware", bytes(firmware)),
        ("boot", bytes(&(boot, direct_boot))),
        ("disks", bytes(&disks.iter().map(settled_disk).collect::<Vec<_>>())),
        ("nics", bytes(&nics.iter().map(settled_nic).collect::<Vec<_>>())),
        ("hostdevs", bytes(hostdevs)),
        ("filesystems", bytes(filesystems)),
        ("tpm", bytes(tpm)),
        ("devices", bytes(&(watchdogs, rngs, iommu, channels, videos, controllers, devices))),
        ("launch-security", bytes(launch_security)),
        ("guest-agent", bytes(&guest_agent.as_ref().map(settled_agent))),
        ("graphics", bytes(&graphics.iter().map(settled_graphics).collect::<Vec<_>>())),
        ("consoles", bytes(consoles)),
        ("features", bytes(&(features, clock, lifecycle, smbios))),
        ("security-labels", bytes(security_labels)),
        ("settings", bytes(&(settings, passthrough_arguments))),
        ("metadata", bytes(metadata)),
        ("unknown", bytes(unknown)),
    ]
}

fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    // Only a map with keys that are no strings can fail, and the model has none; a fault would still be a constant.
    serde_json::to_vec(value).unwrap_or_else(|fault| fault.to_string().into_bytes())
}

fn settled_disk(disk: &Disk) -> Disk {
    let mut disk = disk.clone();
    // Which volume it is hangs on pools that come and go, its chain is told of a running domain alone, and a copy under
    // way ends by itself.
    (disk.volume, disk.backing, disk.mirror) = (None, Backing::default(), None);
    // The capacity is decided; how much of it is allocated follows the guest's writes.
    disk.size = disk.size.map(|DiskSize { capacity, allocation: _, physical: _ }| DiskSize {
        capacity,
        allocation: Bytes(0),
        physical: Bytes(0),
    });
    disk
}

fn settled_nic(nic: &Nic) -> Nic {
    let mut nic = nic.clone();
    nic.source = match nic.source {
        NicSource::Network { network, portgroup, bridge: _ } => NicSource::Network { network, portgroup, bridge: None },
        decided @ (NicSource::Bridge { .. }
        | NicSource::Direct { .. }
        | NicSource::User
        | NicSource::Ethernet
        | NicSource::Hostdev { .. }
        | NicSource::VhostUser { .. }
        | NicSource::Vdpa { .. }
        | NicSource::Internal { .. }
        | NicSource::Socket { .. }
        | NicSource::Unknown { .. }) => decided,
    };
    nic.target = nic.target.filter(|name| !is_runtime_name(name));
    nic.addresses.clear();
    nic
}

/// Whether libvirt makes such names up at each start.
fn is_runtime_name(name: &str) -> bool {
    ["vnet", "vif", "macvtap", "macvlan"].iter().any(|prefix| {
        name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    })
}

fn settled_agent(agent: &GuestAgent) -> GuestAgent {
    let GuestAgent { state: _ } = agent;
    GuestAgent { state: None }
}

fn settled_graphics(graphics: &Graphics) -> Graphics {
    // libvirt fills the address in from its own configuration when the domain starts.
    let Graphics { kind, listen: _, port, settings } = graphics.clone();
    let port = match port {
        GraphicsPort::Auto(_) => GraphicsPort::Auto(None),
        decided @ (GraphicsPort::Fixed(_) | GraphicsPort::Unsaid) => decided,
    };
    Graphics { kind, listen: None, port, settings }
}
