//! `<vcpu>`, `<vcpus>`, `<iothreads>`, `<cputune>` and `<cpu>` to `Cpu`.

use super::words;
use crate::discovery::cpu::{Cpu, CpuFeature, CpuMode, FeaturePolicy, NumaCell, Pinning, Topology};
use crate::discovery::error::FieldFault;
use crate::discovery::known::keep_children;
use crate::discovery::quantity::read_kib;
use crate::discovery::settings::Settings;
use crate::discovery::xml::Element;
use crate::model::units::Kib;

/// Reads processors; with them the memory of all NUMA cells together, when there are any.
pub(super) fn read(domain: Element<'_>) -> Result<(Cpu, Option<Kib>), FieldFault> {
    let mut cpu = Cpu { vcpus_max: 1, vcpus: 1, ..Cpu::default() };
    if let Some(vcpu) = domain.child("vcpu") {
        if let Some(text) = vcpu.text() {
            cpu.vcpus_max = vcpu.parse(&text)?;
        }
        cpu.vcpus = vcpu.number("current")?.unwrap_or(cpu.vcpus_max);
        cpu.pinning.all = vcpu.owned("cpuset");
        words::VCPU.keep(vcpu, "", &mut cpu.settings);
    }
    if let Some(threads) = domain.child("iothreads")
        && let Some(text) = threads.text()
    {
        cpu.iothreads = threads.parse(&text)?;
    }
    if let Some(tune) = domain.child("cputune") {
        read_pinning(tune, &mut cpu.pinning)?;
    }
    keep_children(domain, words::CPU_AROUND, "", &mut cpu.settings);
    let numa_kib = match domain.child("cpu") {
        Some(element) => read_model(element, &mut cpu)?,
        None => None,
    };
    Ok((cpu, numa_kib))
}

fn read_pinning(tune: Element<'_>, pinning: &mut Pinning) -> Result<(), FieldFault> {
    pinning.emulator = tune.child("emulatorpin").and_then(|pin| pin.owned("cpuset"));
    for (name, number, pins) in
        [("vcpupin", "vcpu", &mut pinning.vcpus), ("iothreadpin", "iothread", &mut pinning.iothreads)]
    {
        for pin in tune.children(name) {
            let nth = pin.number(number)?.ok_or_else(|| pin.fault(format!("the pin has no {number}")))?;
            pins.insert(nth, pin.owned("cpuset").unwrap_or_default());
        }
    }
    Ok(())
}

fn read_model(element: Element<'_>, cpu: &mut Cpu) -> Result<Option<Kib>, FieldFault> {
    cpu.mode = element.owned("mode").map(CpuMode::from);
    cpu.model = element.text_of("model");
    cpu.vendor = element.text_of("vendor");
    cpu.features = element.children("feature").map(read_feature).collect();
    cpu.topology = element.child("topology").map(read_topology).transpose()?;
    let numa = element.child("numa");
    for (nth, cell) in numa.iter().flat_map(|numa| numa.children("cell")).enumerate() {
        cpu.numa.push(read_cell(cell, nth)?);
    }
    words::CPU.keep(element, "", &mut cpu.settings);
    let mut sum = 0_u64;
    for cell in &cpu.numa {
        let more = sum.checked_add(cell.memory_kib.0);
        sum = more.ok_or_else(|| element.fault("the cells add up to more than 2^64 KiB"))?;
    }
    Ok((!cpu.numa.is_empty()).then_some(Kib(sum)))
}

fn read_feature(feature: Element<'_>) -> CpuFeature {
    CpuFeature {
        name: feature.owned("name").unwrap_or_default(),
        // libvirt's default.
        policy: FeaturePolicy::from(feature.attribute("policy").unwrap_or("require").to_owned()),
    }
}

fn read_topology(topology: Element<'_>) -> Result<Topology, FieldFault> {
    let part = |name| Ok::<_, FieldFault>(topology.number(name)?.unwrap_or(1));
    Ok(Topology {
        sockets: part("sockets")?,
        dies: part("dies")?,
        clusters: part("clusters")?,
        cores: part("cores")?,
        threads: part("threads")?,
    })
}

fn read_cell(cell: Element<'_>, nth: usize) -> Result<NumaCell, FieldFault> {
    let mut settings = Settings::new();
    let unit = cell.attribute("unit");
    let memory_kib = read_kib(cell.attribute("memory").unwrap_or("0"), unit).map_err(|reason| cell.fault(reason))?;
    // Cells without a number are counted in their order.
    let id = cell.number("id")?.or_else(|| u32::try_from(nth).ok());
    let cpus = cell.owned("cpus");
    words::NUMA_CELL.keep(cell, "", &mut settings);
    Ok(NumaCell { id: id.unwrap_or(u32::MAX), cpus, memory_kib, settings })
}
