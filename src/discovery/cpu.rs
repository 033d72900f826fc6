//! Processors: how many, which model, how arranged, where they run.
//!
//! Assumes nothing about the host. Guarantees libvirt's own words where a model or policy is foreign.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::foreign::foreign;
use super::settings::Settings;
use crate::model::units::Kib;

foreign! {
    /// How the guest's CPU model is chosen.
    CpuMode {
        Custom = "custom", HostModel = "host-model", HostPassthrough = "host-passthrough", Maximum = "maximum",
    }
}

foreign! {
    /// What the guest is to have of a CPU feature.
    FeaturePolicy {
        Force = "force", Require = "require", Optional = "optional", Disable = "disable", Forbid = "forbid",
    }
}

/// Processors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// Processors that can be plugged at most.
    pub vcpus_max: u32,
    /// Processors plugged now.
    pub vcpus: u32,
    /// CPU mode, when `<cpu>` says one.
    pub mode: Option<CpuMode>,
    /// CPU model, when `<cpu>` names one.
    pub model: Option<String>,
    /// Vendor, when `<cpu>` names one.
    pub vendor: Option<String>,
    /// Features, in the order of the XML.
    pub features: Vec<CpuFeature>,
    /// Topology; without it every processor is a socket.
    pub topology: Option<Topology>,
    /// The guest's NUMA cells, in the order of the XML.
    pub numa: Vec<NumaCell>,
    /// Where processors and their helpers may run.
    pub pinning: Pinning,
    /// Threads for disks' input and output.
    pub iothreads: u32,
    /// Everything else of `<vcpu>`, `<cpu>`, `<cputune>` and `<iothreadids>`, by path (`cputune.shares`, `check`).
    pub settings: Settings,
}

/// One CPU feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuFeature {
    /// Its name.
    pub name: String,
    /// What the guest is to have of it.
    pub policy: FeaturePolicy,
}

/// How the processors are arranged. The product is `vcpus_max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    pub sockets: u32,
    pub dies: u32,
    pub clusters: u32,
    pub cores: u32,
    pub threads: u32,
}

/// One NUMA cell of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumaCell {
    /// Its number.
    pub id: u32,
    /// Its processors as libvirt's list (`0-3,8`).
    pub cpus: Option<String>,
    /// Its memory. *Units*: KiB.
    pub memory_kib: Kib,
    /// Everything else (`memAccess`, `discard`, distances, caches), by path.
    pub settings: Settings,
}

/// Where processors may run: lists of host CPUs as libvirt writes them (`0-3,^2`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinning {
    /// For all processors (`vcpu/@cpuset`).
    pub all: Option<String>,
    /// By processor.
    #[serde(deserialize_with = "numbered")]
    pub vcpus: BTreeMap<u32, String>,
    /// The emulator's own threads.
    pub emulator: Option<String>,
    /// By I/O thread.
    #[serde(deserialize_with = "numbered")]
    pub iothreads: BTreeMap<u32, String>,
}

/// Reads a map whose keys are numbers: inside a flattened struct, serde hands keys on as text only.
fn numbered<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u32, String>, D::Error> {
    let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
    let number = |(key, value): (String, String)| Ok((key.parse().map_err(serde::de::Error::custom)?, value));
    texts.into_iter().map(number).collect()
}
