//! The guest's NUMA cells as extra specs.
//!
//! Assumes a flavor's sizes. Guarantees that the cells Nova is asked for have every processor once and all memory, as
//! Nova wants it; cells of another kind are refused as a whole.

use std::collections::BTreeSet;

use super::extra_specs::ExtraSpecs;
use super::pinning::{read_cpus, spell_cpus};
use crate::artifacts::report::Report;
use crate::discovery::Domain;

/// Writes the cells. *Units* of `ram`: MiB.
pub(super) fn write(specs: &mut ExtraSpecs, domain: &Domain, ram: u64, report: &mut Report<'_>) {
    if domain.cpu.numa.is_empty() {
        return;
    }
    match cells(domain, ram) {
        Err(why) => report.refused("cpu.numa", why),
        Ok(cells) => {
            specs.push("hw:numa_nodes", cells.len().to_string());
            for (node, (cpus, memory)) in cells.iter().enumerate() {
                specs.push_of("hw:numa_cpus", node, spell_cpus(cpus));
                specs.push_of("hw:numa_mem", node, memory.to_string());
            }
            let to = "flavor-extra-specs.json: hw:numa_nodes, hw:numa_cpus.*, hw:numa_mem.*";
            let plain = domain.cpu.numa.iter().all(|cell| cell.settings.is_empty());
            if plain {
                report.exact("cpu.numa", to);
            } else {
                report.approximate("cpu.numa", to, "Nova knows no distances, caches and modes of access of a cell");
            }
        }
    }
}

/// Processors and MiB of each cell, in the order of their numbers.
fn cells(domain: &Domain, ram: u64) -> Result<Vec<(BTreeSet<u32>, u64)>, &'static str> {
    let mut numbered: Vec<_> = domain.cpu.numa.iter().collect();
    numbered.sort_by_key(|cell| cell.id);
    let mut cells = Vec::with_capacity(numbered.len());
    let mut seen = BTreeSet::new();
    let mut sum = 0_u64;
    for (id, cell) in (0_u32..).zip(numbered) {
        if cell.id != id {
            return Err("Nova numbers cells from 0 without gaps");
        }
        let cpus = cell.cpus.as_deref().and_then(|list| read_cpus(list, domain.cpu.vcpus_max));
        let cpus = cpus.filter(|cpus| !cpus.is_empty());
        let cpus = cpus.ok_or("a cell has no processors of the guest, which Nova cannot ask for")?;
        if cpus.iter().any(|cpu| !seen.insert(*cpu)) {
            return Err("a processor is in two cells");
        }
        if cell.memory_kib.0 == 0 || !cell.memory_kib.0.is_multiple_of(1024) {
            return Err("a cell's memory is not in whole MiB, which is Nova's unit");
        }
        sum = sum.saturating_add(cell.memory_kib.0 / 1024);
        cells.push((cpus, cell.memory_kib.0 / 1024));
    }
    if seen.len() as u64 != u64::from(domain.cpu.vcpus_max) {
        return Err("a processor is in no cell");
    }
    if sum != ram {
        return Err("the cells' memory is not all of the guest's, which Nova asks for");
    }
    Ok(cells)
}
