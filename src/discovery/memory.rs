//! Memory: how much, backed by what, and how it may grow.
//!
//! Assumes nothing. Guarantees KiB, whatever unit the XML used.

use serde::{Deserialize, Serialize};

use super::settings::Settings;
use crate::model::units::Kib;

/// Memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Boot-time memory. *Units*: KiB.
    pub max_kib: Kib,
    /// What the balloon leaves now. *Units*: KiB.
    pub current_kib: Kib,
    /// How far it may be plugged, when it may.
    pub hotplug: Option<MemoryHotplug>,
    /// Huge pages, when the guest's memory is made of them; by page size and the guest cells they are for.
    pub hugepages: Vec<HugePages>,
    /// Whether it is backed by huge pages of the host's default size (`<hugepages/>` without pages).
    pub default_hugepages: bool,
    /// The balloon device; none also where the XML says `model='none'`.
    pub balloon: Option<Balloon>,
    /// Plugged modules (DIMM, NVDIMM, virtio-mem), in the order of the XML.
    pub modules: Vec<MemoryModule>,
    /// Everything else of `<memoryBacking>`, `<memtune>` and `<numatune>`, by path (`memoryBacking.source.type`).
    pub settings: Settings,
}

/// The room for plugged memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryHotplug {
    /// Memory with all slots filled. *Units*: KiB.
    pub max_kib: Kib,
    /// Slots, when the XML gives their number.
    pub slots: Option<u32>,
}

/// Huge pages of one size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HugePages {
    /// The size of a page. *Units*: KiB.
    pub page_kib: Kib,
    /// The guest cells they are for, as libvirt's list; all when left out.
    pub nodeset: Option<String>,
}

/// The balloon device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balloon {
    /// `virtio`, `xen`, …
    pub model: String,
    /// Everything else (`autodeflate`, `stats.period`, …), by path.
    pub settings: Settings,
}

/// A plugged memory module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryModule {
    /// `dimm`, `nvdimm`, `virtio-mem`, `virtio-pmem`, `sgx-epc`.
    pub model: String,
    /// Its size. *Units*: KiB.
    pub size_kib: Kib,
    /// The guest cell it belongs to.
    pub node: Option<u32>,
    /// Everything else, by path.
    pub settings: Settings,
}
