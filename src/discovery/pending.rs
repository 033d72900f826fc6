//! What the next start would change: the persistent definition beside what runs.
//!
//! Assumes a running domain and its definition. Guarantees that what libvirt fills in by itself at a start is nobody's
//! change, and so is not named: addresses, the versioned machine type, the host's CPU model, chains of images, …

use super::address::DeviceAddress;
use super::cpu::{Cpu, CpuFeature, CpuMode};
use super::device::{Channel, Controller, Filesystem, Hostdev, Iommu, OtherDevice, Rng, Tpm, Video, Watchdog};
use super::difference::between;
use super::disk::Disk;
use super::domain::{Console, Domain, Firmware, SecureBoot, SecurityLabel};
use super::memory::{Balloon, MemoryModule};
use super::nic::Nic;
use super::settings::Settings;

/// The paths of the fields in which the `definition` differs from what runs.
pub(super) fn pending(live: &Domain, definition: &Domain) -> Vec<String> {
    between(live, &as_started(definition, live)).into_iter().map(|difference| difference.path).collect()
}

/// The definition with what it leaves open taken from what runs.
fn as_started(definition: &Domain, live: &Domain) -> Domain {
    let mut domain = definition.clone();
    start_cpu(&mut domain.cpu, &live.cpu);
    if domain.platform.machine.as_deref().zip(live.platform.machine.as_deref()).is_some_and(|(a, b)| is_alias(a, b)) {
        domain.platform.machine.clone_from(&live.platform.machine);
    }
    fill(&mut domain.platform.emulator, &live.platform.emulator);
    start_firmware(&mut domain.firmware, &live.firmware);
    for disk in &mut domain.disks {
        if let Some(now) = live.disks.iter().find(|now| now.target == disk.target) {
            start_disk(disk, now);
        }
    }
    for nic in &mut domain.nics {
        if let Some(now) = live.nics.iter().find(|now| now.mac == nic.mac && nic.mac.is_some()) {
            start_nic(nic, now);
        }
    }
    start_addresses(&mut domain, live);
    start_controllers(&mut domain, live);
    for now in live.security_labels.iter().filter(|now| now.kind.as_deref() == Some("dynamic")) {
        start_label(&mut domain.security_labels, now);
    }
    if let Some(partition) = live.settings.get("resource.partition") {
        domain.settings.entry("resource.partition".to_owned()).or_insert_with(|| partition.clone());
    }
    // Nothing is claimed about what is not known: libvirt may well write some of it for a run only.
    domain.unknown.clone_from(&live.unknown);
    domain
}

fn fill<T: Clone>(open: &mut Option<T>, now: &Option<T>) {
    if open.is_none() {
        open.clone_from(now);
    }
}

/// Whether `alias` is what `machine` is called without its version.
fn is_alias(alias: &str, machine: &str) -> bool {
    let long = match alias {
        "pc" => "pc-i440fx",
        "q35" => "pc-q35",
        other => other,
    };
    machine.strip_prefix(long).is_some_and(|rest| rest.starts_with('-'))
}

/// The host's model is spelt out when the domain starts; features of a named one are completed.
fn start_cpu(cpu: &mut Cpu, live: &Cpu) {
    if matches!(cpu.mode, Some(CpuMode::HostModel | CpuMode::Maximum)) {
        cpu.mode.clone_from(&live.mode);
        cpu.model.clone_from(&live.model);
        cpu.vendor.clone_from(&live.vendor);
        cpu.features.clone_from(&live.features);
        for name in ["match", "check", "model.fallback", "model.vendor_id"] {
            take(&mut cpu.settings, &live.settings, name);
        }
    }
    if live.settings.get("check").is_some_and(|check| check == "full") && cpu.mode == Some(CpuMode::Custom) {
        let kept = |feature: &CpuFeature| live.features.iter().any(|now| now.name == feature.name);
        if cpu.features.iter().all(kept) {
            cpu.features.clone_from(&live.features);
        }
        fill(&mut cpu.vendor, &live.vendor);
        take(&mut cpu.settings, &live.settings, "check");
    }
}

/// Takes one option as it is in what runs.
fn take(settings: &mut Settings, live: &Settings, name: &str) {
    match live.get(name) {
        Some(value) => drop(settings.insert(name.to_owned(), value.clone())),
        None => drop(settings.remove(name)),
    }
}

fn start_firmware(firmware: &mut Firmware, live: &Firmware) {
    fill(&mut firmware.loader, &live.loader);
    fill(&mut firmware.nvram, &live.nvram);
    fill(&mut firmware.nvram_template, &live.nvram_template);
    if firmware.secure_boot == SecureBoot::Unsaid {
        firmware.secure_boot = live.secure_boot;
    }
    // What libvirt's choice of a firmware brings along.
    for (name, value) in live.settings.iter().filter(|(name, _)| !name.starts_with("bootmenu")) {
        firmware.settings.entry(name.clone()).or_insert_with(|| value.clone());
    }
}

fn start_disk(disk: &mut Disk, now: &Disk) {
    fill(&mut disk.address, &now.address);
    disk.size = now.size;
    if disk.source == now.source {
        // The chain is looked at when the domain starts.
        disk.backing.clone_from(&now.backing);
        disk.settings.retain(|name, _| !name.starts_with("backing["));
        let chain = now.settings.iter().filter(|(name, _)| name.starts_with("backing["));
        disk.settings.extend(chain.map(|(name, value)| (name.clone(), value.clone())));
    }
    fill(&mut disk.volume, &now.volume);
    start_settings(&mut disk.settings, &now.settings);
}

fn start_nic(nic: &mut Nic, now: &Nic) {
    fill(&mut nic.address, &now.address);
    fill(&mut nic.target, &now.target);
    if nic.source.network().is_some() {
        // The network and its portgroup have their say.
        if nic.vlan.tags.is_empty() {
            nic.vlan.clone_from(&now.vlan);
        }
        match (&mut nic.virtualport, &now.virtualport) {
            (Some(own), Some(now)) => own.fill_from(now),
            (own, now) => fill(own, now),
        }
        fill(&mut nic.bandwidth, &now.bandwidth);
        fill(&mut nic.mtu, &now.mtu);
    }
    start_settings(&mut nic.settings, &now.settings);
}

/// Addresses among options.
fn start_settings(settings: &mut Settings, live: &Settings) {
    for (name, value) in live.iter().filter(|(name, _)| *name == "address" || name.starts_with("address.")) {
        settings.entry(name.clone()).or_insert_with(|| value.clone());
    }
}

/// A device whose place on the guest's buses libvirt chooses.
trait Placed {
    /// Its address, where it has a field for it, and its options.
    fn place(&mut self) -> (Option<&mut Option<DeviceAddress>>, &mut Settings);
}

/// Implements `Placed` for types with an address of their own, and for those that keep it among their options.
macro_rules! placed {
    (own: $($own:ty),*; among_options: $($among:ty),*) => {
        $(impl Placed for $own {
            fn place(&mut self) -> (Option<&mut Option<DeviceAddress>>, &mut Settings) {
                (Some(&mut self.address), &mut self.settings)
            }
        })*
        $(impl Placed for $among {
            fn place(&mut self) -> (Option<&mut Option<DeviceAddress>>, &mut Settings) {
                (None, &mut self.settings)
            }
        })*
    };
}

placed! {
    own: Hostdev, Watchdog, Controller, OtherDevice;
    among_options: Filesystem, Tpm, Rng, Iommu, Channel, Video, Console, Balloon, MemoryModule
}

/// Gives devices without a name of their own the addresses of those in the same place of the same list.
fn start_places<'d, D: Placed + Clone + 'd>(
    devices: impl IntoIterator<Item = &'d mut D>,
    live: impl IntoIterator<Item = &'d D>,
) {
    for (device, now) in devices.into_iter().zip(live) {
        let mut now = now.clone();
        let ((address, settings), (address_now, settings_now)) = (device.place(), now.place());
        if let Some((address, now)) = address.zip(address_now) {
            fill(address, now);
        }
        start_settings(settings, settings_now);
    }
}

fn start_addresses(domain: &mut Domain, live: &Domain) {
    start_places(&mut domain.hostdevs, &live.hostdevs);
    start_places(&mut domain.watchdogs, &live.watchdogs);
    start_places(&mut domain.devices, &live.devices);
    start_places(&mut domain.filesystems, &live.filesystems);
    start_places(&mut domain.tpm, &live.tpm);
    start_places(&mut domain.rngs, &live.rngs);
    start_places(&mut domain.iommu, &live.iommu);
    start_places(&mut domain.channels, &live.channels);
    start_places(&mut domain.videos, &live.videos);
    start_places(&mut domain.consoles, &live.consoles);
    start_places(&mut domain.memory.balloon, &live.memory.balloon);
    start_places(&mut domain.memory.modules, &live.memory.modules);
}

/// libvirt adds the controllers that devices need, and chooses a model where none is named.
fn start_controllers(domain: &mut Domain, live: &Domain) {
    let mut controllers = Vec::with_capacity(live.controllers.len());
    for now in &live.controllers {
        let same = |one: &&mut Controller| one.kind == now.kind && one.index.unwrap_or(0) == now.index.unwrap_or(0);
        let Some(defined) = domain.controllers.iter_mut().find(same) else {
            controllers.push(now.clone());
            continue;
        };
        fill(&mut defined.index, &now.index);
        fill(&mut defined.model, &now.model);
        start_places([&mut *defined], [now]);
        for (name, value) in
            now.settings.iter().filter(|(name, _)| name.starts_with("target.") || *name == "model.name")
        {
            defined.settings.entry(name.clone()).or_insert_with(|| value.clone());
        }
        controllers.push(defined.clone());
    }
    let gone = |one: &&Controller| !live.controllers.iter().any(|now| now.kind == one.kind && now.index == one.index);
    let added: Vec<Controller> = domain.controllers.iter().filter(gone).cloned().collect();
    controllers.extend(added);
    domain.controllers = controllers;
}

fn start_label(labels: &mut Vec<SecurityLabel>, now: &SecurityLabel) {
    let same = |label: &SecurityLabel| label.model == now.model || label.model.is_none();
    if !labels.iter().any(same) {
        labels.push(now.clone());
    }
}
