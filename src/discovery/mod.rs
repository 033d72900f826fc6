//! Steps 1 and 2: from what libvirt says about a domain and its surroundings to one `Inventory`.
//!
//! ```text
//! domain XML ──limits──► tree ──parse_domain──► Domain ─┐
//! network XML ─limits──► tree ─parse_network──► Network ┼─ Inventory::build ─► Inventory ─► Generation
//! block info, leases, agent addresses ──────────────────┘
//! ```
//!
//! Assumes that somebody else asked libvirt; may be given anything, also hostile text. Pure: no I/O, no clock.
//! Guarantees a whole inventory or a refusal with a code and a line, and that a newer libvirt's words are kept.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod address;
mod cpu;
mod device;
mod difference;
mod disk;
mod domain;
mod error;
mod foreign;
mod generation;
mod host;
mod inventory;
mod known;
mod limits;
mod manager;
mod memory;
mod network;
mod nic;
mod pending;
mod quantity;
mod read;
mod settings;
mod settled;
mod storage;
mod unread;
#[cfg(test)]
mod tests;
mod xml;

pub use address::DeviceAddress;
pub use cpu::{Cpu, CpuFeature, CpuMode, FeaturePolicy, NumaCell, Pinning, Topology};
pub use device::{
    Channel, Controller, Filesystem, Hostdev, HostdevType, Iommu, LaunchSecurity, OtherDevice, Rng, RngRate, Tpm,
    Video, Watchdog,
};
pub use difference::{Difference, differences};
pub use disk::{
    Backing, BackingImage, ChainEnd, Disk, DiskBus, DiskCache, DiskDevice, DiskSize, DiskSource, Encryption, Mirror,
    VolumeRef, Writes,
};
pub use domain::{
    AgentState, BootClass, BootDevice, BootOrder, Clock, Console, ConsoleRole, DirectBoot, Domain, DomainType, Feature,
    Firmware, FirmwareKind, Graphics, GraphicsPort, GraphicsType, GuestAgent, Identity, ManagerMark, Platform,
    SecureBoot, SecurityLabel, Timer,
};
pub use error::{Document, ParseError, Place, XmlRefusal};
pub use generation::Generation;
pub(crate) use generation::hex;
pub use host::{Capabilities, Host, Link, OvsPort, parse_capabilities};
pub use inventory::{
    AgentAddress, Definition, Discovered, INVENTORY_FORMAT, Inactive, Inventory, Lease, Neighbour, UnknownPart,
};
pub use limits::Limits;
pub use manager::{Manager, Recognised, recognise};
pub use memory::{Balloon, HugePages, Memory, MemoryHotplug, MemoryModule};
pub use network::{
    DhcpHost, DnsRecord, DnsService, DomainForwarder, ForwardDevice, ForwardMode, Nat, Network, Portgroup,
    PortgroupDefault, Route, Subnet, parse_network,
};
pub use nic::{
    AddressOrigin, Bandwidth, Certainty, LinkState, Nic, NicAddress, NicSource, Rate, Trunk, VirtualPort, Vlan,
};
pub use read::parse_domain;
pub use settings::Settings;
pub use storage::{Pool, PoolType, Volume, parse_pool, parse_volume};
