//! What `covirt vm show` prints: the inventory's resources and network, and who may do what.

use std::io;

use serde::Serialize;

use super::delegate::delegations_table;
use super::output::Output;
use super::table::Table;
use crate::discovery::{Definition, Disk, DiskSource, Inventory, Nic, NicSource};
use crate::doors::wire::VmDetail;
use crate::model::{Bytes, Kib};

/// One VM, whole. As JSON: `vm` is the agent's view (null when it is not co-managed), `inventory` what was found.
#[derive(Debug, Serialize)]
pub struct VmShown {
    /// The co-managed VM.
    pub vm: Option<VmDetail>,
    /// Its resources and network settings.
    pub inventory: Inventory,
}

/// Prints it for people.
///
/// *Errors*: those of writing.
pub fn print_vm(output: &mut Output, shown: &VmShown) -> io::Result<()> {
    let VmShown { vm, inventory } = shown;
    output.table(&who(vm.as_ref(), inventory), "")?;
    output.gap()?;
    output.heading("Resources")?;
    output.table(&resources(inventory), "")?;
    let disks = disks(&inventory.domain.disks);
    if !disks.is_empty() {
        output.gap()?;
    }
    output.table(&disks, "no disks")?;
    output.gap()?;
    output.heading("Network")?;
    output.table(&nics(inventory), "no network interfaces")?;
    if let Some(vm) = vm {
        output.gap()?;
        output.heading("Delegations")?;
        output.table(&delegations_table(&vm.delegations), "none: the primary holds every action")?;
    }
    Ok(())
}

fn who(vm: Option<&VmDetail>, inventory: &Inventory) -> Table {
    let identity = &inventory.domain.identity;
    let mut table = Table::bare();
    table.pair("name", Some(identity.name.clone()));
    table.pair("uuid", identity.uuid.map(|uuid| uuid.to_string()));
    table.pair("title", identity.title.clone());
    match vm {
        None => table.pair("co-managed", Some("no".to_owned())),
        Some(vm) => {
            table.pair("state", Some(vm.state.to_string()));
            table.pair("generation", Some(vm.generation.clone()));
            table.pair("primary", Some(format!("{}, epoch {}", vm.delegations.primary, vm.delegations.epoch)));
            let snapshots: Vec<&str> = vm.snapshots.iter().map(String::as_str).collect();
            table.pair("snapshots", (!snapshots.is_empty()).then(|| snapshots.join(", ")));
            let (live, next) = (vm.live_commands, vm.next_seq);
            table.pair("commands", Some(format!("{live} not ended; your next has sequence number {next}")));
        }
    }
    if let Definition::Persistent { pending, .. } = &inventory.definition
        && !pending.is_empty()
    {
        table.pair("pending", Some(format!("{} change at the next start", pending.join(", "))));
    }
    table
}

fn resources(inventory: &Inventory) -> Table {
    let domain = &inventory.domain;
    let (platform, cpu, memory) = (&domain.platform, &domain.cpu, &domain.memory);
    let mut table = Table::bare();
    let words = [platform.os_type.as_deref(), platform.arch.as_deref(), platform.machine.as_deref()];
    let words: Vec<&str> = words.into_iter().flatten().collect();
    table.pair("platform", Some(format!("{} {}", platform.domain_type, words.join(" "))));
    let model = cpu.model.as_deref().or(cpu.mode.as_ref().map(|mode| mode.as_str()));
    let model = model.map(|model| format!(", {model}")).unwrap_or_default();
    table.pair("cpu", Some(format!("{} vCPUs of at most {}{model}", cpu.vcpus, cpu.vcpus_max)));
    table.pair("memory", Some(format!("{} of at most {}", kib(memory.current_kib), kib(memory.max_kib))));
    table.pair("firmware", Some(domain.firmware.kind.to_string()));
    table.pair(
        "guest agent",
        domain
            .guest_agent
            .as_ref()
            .map(|agent| agent.state.as_ref().map_or_else(|| "configured".to_owned(), ToString::to_string)),
    );
    table.pair("guest os", domain.guest_os.clone());
    table
}

fn disks(disks: &[Disk]) -> Table {
    let mut table = Table::new(&["DISK", "BUS", "DEVICE", "FORMAT", "CAPACITY", "SOURCE"]);
    for disk in disks {
        table.row([
            disk.target.clone(),
            disk.bus.as_ref().map_or_else(dash, ToString::to_string),
            disk.device.to_string(),
            disk.format.clone().unwrap_or_else(dash),
            disk.size.map_or_else(dash, |size| bytes(size.capacity)),
            disk.source.as_ref().map_or_else(|| "empty".to_owned(), disk_source),
        ]);
    }
    table
}

fn disk_source(source: &DiskSource) -> String {
    match source {
        DiskSource::File { path } | DiskSource::Directory { path } | DiskSource::VhostUser { path } => path.clone(),
        DiskSource::Block { device } => device.clone(),
        DiskSource::Network { protocol, name, hosts } => {
            format!("{protocol}:{} at {}", name.as_deref().unwrap_or(""), hosts.join(","))
        }
        DiskSource::Volume { pool, volume, .. } => format!("volume {volume} of pool {pool}"),
        DiskSource::Nvme { address, namespace } => {
            let address = address.as_ref().map_or("", |address| address.as_str());
            format!("nvme {address} namespace {}", namespace.as_deref().unwrap_or(""))
        }
        DiskSource::Unknown { raw } => raw.clone(),
    }
}

fn nics(inventory: &Inventory) -> Table {
    let mut table = Table::new(&["MAC", "PLUGGED INTO", "MODEL", "VLAN", "LINK", "ADDRESSES"]);
    for nic in &inventory.domain.nics {
        let tags: Vec<String> = nic.vlan.tags.iter().map(ToString::to_string).collect();
        let addresses: Vec<String> = nic.addresses.iter().map(|at| address(at.ip, at.prefix, &at.origin)).collect();
        table.row([
            nic.mac.map_or_else(dash, |mac| mac.to_string()),
            plugged_into(nic, inventory),
            nic.model.clone().unwrap_or_else(dash),
            if tags.is_empty() { dash() } else { tags.join(",") },
            nic.link.to_string(),
            if addresses.is_empty() { dash() } else { addresses.join(", ") },
        ]);
    }
    table
}

fn address(ip: core::net::IpAddr, prefix: Option<u8>, origin: &impl Serialize) -> String {
    let prefix = prefix.map(|prefix| format!("/{prefix}")).unwrap_or_default();
    format!("{ip}{prefix} ({})", super::provider::word(origin))
}

fn plugged_into(nic: &Nic, inventory: &Inventory) -> String {
    let named = |kind: &str, name: Option<&str>| name.map_or_else(|| kind.to_owned(), |name| format!("{kind} {name}"));
    match &nic.source {
        NicSource::Network { network, bridge, .. } => {
            let known = inventory.networks.get(network);
            let forward = known.and_then(|known| known.forward.as_ref()).map(ToString::to_string);
            let bridge = bridge.clone().or_else(|| known.and_then(|known| known.bridge.clone()));
            let more: Vec<String> = [forward, bridge].into_iter().flatten().collect();
            let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
            format!("network {network}{more}")
        }
        NicSource::Bridge { bridge } => named("bridge", bridge.as_deref()),
        NicSource::Direct { device, .. } => named("macvtap on", device.as_deref()),
        NicSource::User => "user-mode network".to_owned(),
        NicSource::Ethernet => "tap device".to_owned(),
        NicSource::Hostdev { address } => named("host device", address.as_ref().map(|address| address.as_str())),
        NicSource::VhostUser { path, .. } => named("vhost-user", path.as_deref()),
        NicSource::Vdpa { device } => named("vdpa", device.as_deref()),
        NicSource::Internal { name } => named("internal network", name.as_deref()),
        NicSource::Socket { transport, .. } => format!("{transport} socket"),
        NicSource::Unknown { raw } => raw.clone(),
    }
}

fn dash() -> String {
    "-".to_owned()
}

fn kib(size: Kib) -> String {
    bytes(Bytes(size.0.saturating_mul(1024)))
}

/// The largest binary unit in which the size is at least one, with one decimal place when it needs one.
fn bytes(size: Bytes) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut power = 0_u32;
    while power < 4 && size.0 >= 1024_u64.pow(power + 1) {
        power += 1;
    }
    let unit = UNITS.get(power as usize).copied().unwrap_or("B");
    let scale = 1024_u64.pow(power);
    let (whole, tenth) = (size.0 / scale, (size.0 % scale).saturating_mul(10) / scale);
    if tenth == 0 { format!("{whole} {unit}") } else { format!("{whole}.{tenth} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_the_unit_that_fits() {
        assert_eq!(bytes(Bytes(0)), "0 B");
        assert_eq!(bytes(Bytes(1536)), "1.5 KiB");
        assert_eq!(bytes(Bytes(2 << 30)), "2 GiB");
        assert_eq!(bytes(Bytes(u64::MAX)), "16777215.9 TiB");
        assert_eq!(kib(Kib(8 * 1024 * 1024)), "8 GiB");
    }
}
