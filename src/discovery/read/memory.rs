//! `<memory>`, `<currentMemory>`, `<maxMemory>`, `<memoryBacking>`, `<memtune>`, `<numatune>` and the devices that are
//! memory.

use super::parts::{device_parts, keep_address};
use super::words;
use crate::discovery::error::FieldFault;
use crate::discovery::known::keep_children;
use crate::discovery::memory::{Balloon, HugePages, Memory, MemoryHotplug, MemoryModule};
use crate::discovery::quantity::read_kib;
use crate::discovery::settings::Settings;
use crate::discovery::xml::Element;
use crate::model::units::Kib;

/// Reads memory; a domain may leave `<memory>` out and give it by NUMA cell.
pub(super) fn read(domain: Element<'_>, numa_kib: Option<Kib>) -> Result<Memory, FieldFault> {
    let mut settings = Settings::new();
    let max = domain.child("memory").map(read_size).transpose()?.filter(|kib| kib.0 > 0);
    let max_kib = max.or(numa_kib).unwrap_or_default();
    let current = domain.child("currentMemory").map(read_size).transpose()?.filter(|kib| kib.0 > 0);
    let hotplug = match domain.child("maxMemory") {
        Some(room) => Some(MemoryHotplug { max_kib: read_size(room)?, slots: room.number("slots")? }),
        None => None,
    };
    let pages = domain.child("memoryBacking").and_then(|backing| backing.child("hugepages"));
    let hugepages: Vec<HugePages> =
        pages.iter().flat_map(|pages| pages.children("page")).map(read_pages).collect::<Result<_, _>>()?;
    keep_children(domain, words::MEMORY, "", &mut settings);
    // `dumpCore` sits in `<memory>` itself.
    if let Some(memory) = domain.child("memory") {
        words::BOOT_MEMORY.keep(memory, "", &mut settings);
    }
    Ok(Memory {
        max_kib,
        current_kib: current.unwrap_or(max_kib),
        hotplug,
        default_hugepages: pages.is_some() && hugepages.is_empty(),
        hugepages,
        balloon: None,
        modules: Vec::new(),
        settings,
    })
}

/// An element whose text is a size.
pub(super) fn read_size(element: Element<'_>) -> Result<Kib, FieldFault> {
    let unit = element.attribute("unit");
    let text = element.text().unwrap_or_else(|| "0".to_owned());
    read_kib(&text, unit).map_err(|reason| element.fault(reason))
}

fn read_pages(page: Element<'_>) -> Result<HugePages, FieldFault> {
    let size = page.attribute("size").unwrap_or("0");
    let page_kib = read_kib(size, page.attribute("unit")).map_err(|reason| page.fault(reason))?;
    Ok(HugePages { page_kib, nodeset: page.owned("nodeset") })
}

/// Reads `<memballoon>`; `model='none'` says that there is none.
pub(super) fn read_balloon(device: Element<'_>) -> Option<Balloon> {
    let model = device.owned("model").unwrap_or_default();
    let mut settings = Settings::new();
    keep_address(device_parts(device, &mut settings), &mut settings);
    words::BALLOON.keep(device, "", &mut settings);
    (model != "none").then_some(Balloon { model, settings })
}

/// Reads `<memory>` among the devices.
pub(super) fn read_module(device: Element<'_>) -> Result<MemoryModule, FieldFault> {
    let mut settings = Settings::new();
    let model = device.owned("model").unwrap_or_default();
    let target = device.child("target");
    let size = target.and_then(|target| target.child("size")).map(read_size).transpose()?;
    let node = target.and_then(|target| target.child("node"));
    let node = match node.and_then(|node| node.text().map(|text| (node, text))) {
        Some((node, text)) => Some(node.parse(&text)?),
        None => None,
    };
    keep_address(device_parts(device, &mut settings), &mut settings);
    words::MODULE.keep(device, "", &mut settings);
    Ok(MemoryModule { model, size_kib: size.unwrap_or_default(), node, settings })
}
