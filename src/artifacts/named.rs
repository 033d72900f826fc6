//! What a binding names has to be there.
//!
//! Assumes a table of a binding whose keys are disks, by target, or interfaces, by MAC. Guarantees the device that a key
//! names, or a refusal that says which ones there are.

use super::binding::BindingFault;
use crate::discovery::{Disk, Inventory, Nic};
use crate::model::units::Mac;

/// The disk that `TABLE.TARGET` is about.
pub(super) fn disk_named<'i>(inventory: &'i Inventory, table: &str, target: &str) -> Result<&'i Disk, BindingFault> {
    let disks = &inventory.domain.disks;
    disks.iter().find(|disk| disk.target == target).ok_or_else(|| {
        let there: Vec<&str> = disks.iter().map(|disk| disk.target.as_str()).collect();
        let fault = BindingFault::new(format!("{table}.{target}"), "the domain has no such disk");
        fault.hint(format!("its disks are {}", there.join(", ")))
    })
}

/// The interface that `TABLE."MAC"` is about.
pub(super) fn nic_named<'i>(inventory: &'i Inventory, table: &str, mac: Mac) -> Result<&'i Nic, BindingFault> {
    let nics = &inventory.domain.nics;
    nics.iter().find(|nic| nic.mac == Some(mac)).ok_or_else(|| {
        let there: Vec<String> = nics.iter().filter_map(|nic| Some(nic.mac?.to_string())).collect();
        let fault = BindingFault::new(format!("{table}.\"{mac}\""), "the domain has no such interface");
        fault.hint(format!("its interfaces are {}", there.join(", ")))
    })
}
