//! libvirt's capabilities, read.
//!
//! Assumes nothing about the text. Guarantees the host's part of them, the machine types by architecture and kind of
//! domain, and that what nobody reads here is listed as unknown.

use std::collections::{BTreeMap, BTreeSet};

use super::Capabilities;
use crate::discovery::error::{Document, FieldFault, ParseError};
use crate::discovery::limits::Limits;
use crate::discovery::quantity::read_kib;
use crate::discovery::xml::{self, Element};
use crate::model::units::Kib;

/// What the host can do beyond what a VM of it needs to know.
const NOT_KEPT_OF_HOST: [&str; 5] = ["uuid", "power_management", "migration_features", "cache", "memory_bandwidth"];
const NOT_KEPT_OF_CPU: [&str; 8] =
    ["microcode", "signature", "counter", "topology", "maxphysaddr", "feature", "features", "cache"];

/// Reads the answer to libvirt's question for its capabilities.
///
/// *Errors*: `capabilities-too-large`, `capabilities-too-deep`, `capabilities-unsupported`, `capabilities-malformed`.
/// *Source*: <https://libvirt.org/formatcaps.html>.
pub fn parse_capabilities(xml: impl AsRef<[u8]>, limits: Limits) -> Result<Capabilities, ParseError> {
    let read = xml::read(xml.as_ref(), Document::Capabilities.root(), limits, read_capabilities);
    let (capabilities, unknown) = read.map_err(|fault| ParseError::new(Document::Capabilities, fault))?;
    Ok(Capabilities { unknown, ..capabilities })
}

fn read_capabilities(root: Element<'_>) -> Result<Capabilities, FieldFault> {
    let mut read = Capabilities::default();
    let mut page_sizes = BTreeSet::new();
    if let Some(host) = root.child("host") {
        NOT_KEPT_OF_HOST.iter().for_each(|name| host.ignore_children(name));
        if let Some(cpu) = host.child("cpu") {
            NOT_KEPT_OF_CPU.iter().for_each(|name| cpu.ignore_children(name));
            read.arch = cpu.text_of("arch");
            read.cpu_model = cpu.text_of("model");
            read.cpu_vendor = cpu.text_of("vendor");
            read_page_sizes(cpu, &mut page_sizes)?;
        }
        read.iommu = host.child("iommu").and_then(|iommu| iommu.attribute("support")).map(|word| word == "yes");
        for model in host.children("secmodel") {
            model.ignore_children("doi");
            model.ignore_children("baselabel");
            read.security_models.extend(model.text_of("model"));
        }
        if let Some(topology) = host.child("topology") {
            read_topology(topology, &mut read, &mut page_sizes)?;
        }
    }
    read.page_sizes_kib = page_sizes.into_iter().collect();
    for guest in root.children("guest") {
        read_guest(guest, &mut read.machines);
    }
    Ok(read)
}

fn read_topology(
    topology: Element<'_>,
    read: &mut Capabilities,
    page_sizes: &mut BTreeSet<Kib>,
) -> Result<(), FieldFault> {
    topology.ignore_children("interconnects");
    let Some(cells) = topology.child("cells") else { return Ok(()) };
    cells.ignore_attributes(&["num"]);
    for cell in cells.children("cell") {
        read.numa_cells = read.numa_cells.saturating_add(1);
        cell.ignore_attributes(&["id"]);
        cell.ignore_children("distances");
        cell.ignore_children("cache");
        if let Some(memory) = cell.child("memory") {
            let kib = read_kib(&memory.text().unwrap_or_default(), memory.attribute("unit"));
            let kib = kib.map_err(|fault| memory.fault(fault))?;
            read.memory_kib = Kib(read.memory_kib.0.saturating_add(kib.0));
        }
        read_page_sizes(cell, page_sizes)?;
        if let Some(cpus) = cell.child("cpus") {
            cpus.ignore_children("cpu");
            read.cpus = read.cpus.saturating_add(cpus.number::<u32>("num")?.unwrap_or(0));
        }
    }
    Ok(())
}

/// `<pages unit='KiB' size='2048'>`; how many there are of a size changes by itself.
fn read_page_sizes(parent: Element<'_>, sizes: &mut BTreeSet<Kib>) -> Result<(), FieldFault> {
    for pages in parent.children("pages") {
        pages.text();
        if let Some(size) = pages.attribute("size") {
            sizes.insert(read_kib(size, pages.attribute("unit")).map_err(|fault| pages.fault(fault))?);
        }
    }
    Ok(())
}

fn read_guest(guest: Element<'_>, machines: &mut BTreeMap<String, Vec<String>>) {
    guest.ignore_children("features");
    guest.ignore_children("os_type");
    for arch in guest.children("arch") {
        ["wordsize", "emulator", "loader"].iter().for_each(|name| arch.ignore_children(name));
        let general = machine_names(arch);
        let Some(name) = arch.attribute("name") else { continue };
        for domain in arch.children("domain") {
            ["emulator", "loader"].iter().for_each(|name| domain.ignore_children(name));
            let own = machine_names(domain);
            let Some(kind) = domain.attribute("type") else { continue };
            // A kind of domain with machines of its own has no others.
            let names = if own.is_empty() { general.clone() } else { own };
            machines.insert(format!("{name}/{kind}"), names.into_iter().collect());
        }
    }
}

/// Machine types by name, without those that stand for another.
fn machine_names(parent: Element<'_>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for machine in parent.children("machine") {
        machine.ignore_attributes(&["maxCpus", "deprecated"]);
        let name = machine.text();
        if machine.attribute("canonical").is_none() {
            names.extend(name);
        }
    }
    names
}
