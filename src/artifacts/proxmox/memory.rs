//! Memory and the guest's NUMA cells.
//!
//! Assumes an inventory. Guarantees whole MiB, and cells and huge pages only as Proxmox has them.

use super::conf::{Conf, Props, numbers, ranges};
use crate::artifacts::error::RenderError;
use crate::artifacts::report::Report;
use crate::discovery::Domain;
use crate::model::units::Kib;

/// Memory.
pub(super) fn memory(domain: &Domain, conf: &mut Conf, report: &mut Report<'_>) -> Result<(), RenderError> {
    let memory = &domain.memory;
    let mib = memory.max_kib.0 / 1024;
    if mib < 16 {
        let why = "Proxmox gives a VM 16 MiB at least".to_owned();
        return Err(RenderError::Refused { field: "memory.max_kib".to_owned(), why });
    }
    conf.set("memory", mib);
    if !memory.max_kib.0.is_multiple_of(1024) {
        report.approximate("memory.max_kib", "memory", "rounded down to whole MiB");
    }
    report.exact("memory.max_kib", "memory");
    match &memory.balloon {
        None => conf.set("balloon", 0),
        Some(_) if memory.current_kib < memory.max_kib => {
            conf.set("balloon", (memory.current_kib.0 / 1024).max(1));
            let rule = "the least that Proxmox's own balancing leaves it, in whole MiB";
            report.approximate("memory.current_kib", "balloon", rule);
        }
        Some(_) => {}
    }
    if memory.current_kib == memory.max_kib {
        report.exact("memory.current_kib", "memory");
    }
    report.not_carried("memory.current_kib", "without a balloon the guest has all of its memory");
    report.exact("memory.balloon", "balloon");
    let cells = numa(domain, conf, report);
    let pages = hugepages(domain, conf, report);
    if cells || pages {
        conf.set("numa", 1);
    }
    report.refused(
        "memory.hotplug",
        "Proxmox plugs memory from 1 GiB up, in a layout of its own: it would be another VM",
    );
    report.approximate("memory.modules", "memory", "modules are part of the memory the guest starts with");
    report.not_carried("memory.settings", "the node decides what memory is made of");
    Ok(())
}

/// The guest's cells.
fn numa(domain: &Domain, conf: &mut Conf, report: &mut Report<'_>) -> bool {
    let cells = &domain.cpu.numa;
    let mut lines = Vec::new();
    for cell in cells {
        let Some(cpus) = cell.cpus.as_deref().and_then(numbers).filter(|cpus| !cpus.is_empty()) else {
            report.refused("cpu.numa", "Proxmox has no cells without processors");
            return false;
        };
        if cell.memory_kib.0 % 1024 != 0 || cell.id > 7 || cells.len() > 8 {
            report.refused("cpu.numa", "Proxmox has up to 8 cells of whole MiB");
            return false;
        }
        let mut line = Props::new("");
        line.add("cpus", Some(ranges(&cpus, ";")));
        line.add("memory", Some(cell.memory_kib.0 / 1024));
        lines.push((format!("numa{}", cell.id), line));
    }
    if cells.iter().any(|cell| !cell.settings.is_empty()) {
        report.approximate(
            "cpu.numa",
            "numa0…",
            "processors and memory of each cell; Proxmox has no distances and caches",
        );
    }
    report.exact("cpu.numa", "numa0…");
    for (key, line) in lines {
        conf.set(key, line);
    }
    !cells.is_empty()
}

fn hugepages(domain: &Domain, conf: &mut Conf, report: &mut Report<'_>) -> bool {
    let memory = &domain.memory;
    let page = memory.hugepages.first().map(|pages| pages.page_kib);
    let (mib, several) = match page {
        Some(Kib(2048)) => (2, memory.hugepages.len() > 1),
        Some(Kib(1_048_576)) => (1024, memory.hugepages.len() > 1),
        Some(_) => {
            report.refused("memory.hugepages", "Proxmox has pages of 2 MiB and 1 GiB");
            return false;
        }
        None if memory.default_hugepages => {
            report.approximate("memory.default_hugepages", "hugepages", "2 MiB, which x86 hosts have as their default");
            (2, false)
        }
        None => return false,
    };
    if !memory.max_kib.0.is_multiple_of(mib * 1024) {
        report.refused("memory.hugepages", "the memory is no whole number of pages");
        report.refused("memory.default_hugepages", "the memory is no whole number of pages");
        return false;
    }
    conf.set("hugepages", mib);
    if several || memory.hugepages.iter().any(|pages| pages.nodeset.is_some()) {
        report.approximate("memory.hugepages", "hugepages", "the first size, for all of the guest's memory");
    }
    report.exact("memory.hugepages", "hugepages");
    true
}
