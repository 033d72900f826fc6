//! Steps 1 and 2: from what libvirt says about a domain and its surroundings to one `Inventory`.
//!
//! ```text
//! domain XML ──survey──► raw shape ──parse_domain──► Domain ─┐
//! network XML ─survey──► raw shape ─parse_network──► Network ┼─ Inventory::build ─► Inventory ─► Generation
//! block info, leases, agent addresses ───────────────────────┘
//! ```
//!
//! Assumes that somebody else asked libvirt; may be given anything, also hostile text. Pure: no I/O, no clock.
//! Guarantees a whole inventory or a refusal with a code and a line, and that a newer libvirt's words are kept.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod address;
mod boot;
mod disk;
mod domain;
mod error;
mod foreign;
mod generation;
mod inventory;
mod network;
mod nic;
mod parse;
mod quantity;
mod raw;
mod scan;
mod survey;
#[cfg(test)]
mod tests;

pub use address::DeviceAddress;
pub use disk::{Disk, DiskBus, DiskDevice, DiskSize, DiskSource, Writes};
pub use domain::{
    AgentState, BootClass, BootDevice, BootOrder, Console, ConsoleRole, Cpu, CpuMode, Domain, DomainType, Firmware,
    FirmwareKind, Graphics, GraphicsPort, GraphicsType, GuestAgent, Identity, Memory, Platform, SecureBoot, Topology,
};
pub use error::{ParseDomainError, ParseNetworkError, Place, XmlRefusal};
pub use generation::Generation;
pub(crate) use generation::hex;
pub use inventory::{AgentAddress, Definition, Discovered, INVENTORY_FORMAT, Inactive, Inventory, Lease};
pub use network::{DhcpHost, DnsService, ForwardMode, Network, Portgroup, PortgroupDefault, Subnet, parse_network};
pub use nic::{AddressOrigin, LinkState, Nic, NicAddress, NicSource, Trunk, VirtualPort, Vlan};
pub use parse::parse_domain;
pub use survey::Limits;
