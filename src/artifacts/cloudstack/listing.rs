//! The VM as CloudStack's agent would list it, to be held beside what `listUnmanagedInstances` really answers.
//!
//! Assumes a plan. Guarantees only what is known: the agent also tells the power state, which no inventory has, and the
//! host's id.

use serde_json::{Map, Value, json};

use super::binding::CloudStackBinding;
use super::plan::{Plan, PlannedDisk, cpus, mebibytes};
use crate::discovery::{DiskSource, Inventory};

/// The whole answer.
pub(super) fn response(inventory: &Inventory, binding: &CloudStackBinding, plan: &Plan<'_>) -> Value {
    let domain = &inventory.domain;
    let mut vm = Map::new();
    vm.insert("name".to_owned(), json!(domain.identity.name));
    vm.insert("clusterid".to_owned(), json!(binding.cluster_id));
    vm.insert("cpunumber".to_owned(), json!(cpus(inventory)));
    if let Some(topology) = domain.cpu.topology {
        vm.insert("cpucorepersocket".to_owned(), json!(topology.cores));
    }
    vm.insert("memory".to_owned(), json!(mebibytes(inventory)));
    let nics = plan.nics.iter().enumerate().map(|(id, planned)| {
        let mut nic = Map::new();
        nic.insert("id".to_owned(), json!(id.to_string()));
        if let Some(mac) = planned.nic.mac {
            nic.insert("macaddress".to_owned(), json!(mac));
        }
        if let Some(model) = &planned.nic.model {
            nic.insert("adaptertype".to_owned(), json!(model.to_ascii_lowercase()));
        }
        if let Some(device) = &planned.nic.target {
            nic.insert("networkname".to_owned(), json!(device));
        }
        Value::Object(nic)
    });
    vm.insert("nic".to_owned(), Value::Array(nics.collect()));
    let disks = plan.disks.iter().enumerate().map(|(id, disk)| listed(id, disk));
    vm.insert("disk".to_owned(), Value::Array(disks.collect()));
    json!({"listunmanagedinstancesresponse": {"count": 1, "unmanagedinstance": [vm]}})
}

fn listed(id: usize, planned: &PlannedDisk<'_>) -> Value {
    let mut disk = Map::new();
    let mut set = |key: &str, value: Value| disk.insert(key.to_owned(), value);
    set("id", json!(id.to_string()));
    set("label", json!(planned.disk.target));
    if let Some(capacity) = planned.capacity {
        set("capacity", json!(capacity));
    }
    if let Some(bus) = &planned.disk.bus {
        set("controller", json!(bus.as_str().to_ascii_lowercase()));
    }
    set("position", json!(id));
    if let Some((kind, path)) = image(planned.disk.source.as_ref()) {
        set("imagepath", json!(path));
        let store = path.rsplit_once('/').map_or(path, |(store, _)| store);
        set("datastorename", json!(store));
        set("datastorepath", json!(store));
        set("datastoretype", json!(kind));
    }
    Value::Object(disk)
}

/// The kind of a source and its path, as the agent takes them.
pub(super) fn image(source: Option<&DiskSource>) -> Option<(&'static str, &str)> {
    match source? {
        DiskSource::File { path } => Some(("file", path)),
        DiskSource::Block { device } => Some(("block", device)),
        DiskSource::Network { name, .. } => Some(("network", name.as_deref().unwrap_or_default())),
        DiskSource::Directory { .. }
        | DiskSource::Volume { .. }
        | DiskSource::Nvme { .. }
        | DiskSource::VhostUser { .. }
        | DiskSource::Unknown { .. } => None,
    }
}
