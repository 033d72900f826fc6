//! What `covirt vm show` prints: the inventory's resources and network, and who may do what.

use std::io;

use serde::Serialize;

use super::delegate::delegations_table;
use super::output::Output;
use super::table::Table;
use super::vm_parts::{disks, hostdevs, nics, resources};
use crate::discovery::{Definition, Inventory, UnknownPart};
use crate::doors::wire::VmDetail;

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
    output.gap()?;
    output.heading("Disks")?;
    output.table(&disks(inventory), "no disks")?;
    let hostdevs = hostdevs(inventory);
    if !hostdevs.is_empty() {
        output.gap()?;
        output.heading("Devices of the host")?;
        output.table(&hostdevs, "")?;
    }
    output.gap()?;
    output.heading("Network")?;
    output.table(&nics(inventory), "no network interfaces")?;
    let unknown = inventory.unknown().count();
    if unknown > 0 {
        output.gap()?;
        output.line(&format!("{unknown} parts of its XML are not known to covirt; --unknown lists them"))?;
    }
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

/// What libvirt's XML says of a VM and covirt does not know. This is the JSON of `vm show --unknown`, as a list.
#[derive(Debug, Serialize)]
pub struct UnknownShown {
    document: String,
    #[serde(flatten)]
    part: UnknownPart,
}

impl UnknownShown {
    /// Every unknown part, document by document.
    pub fn of(inventory: &Inventory) -> Vec<Self> {
        inventory.unknown().map(|(document, part)| Self { document, part: part.clone() }).collect()
    }
}

/// Prints the unknown parts for people.
///
/// *Errors*: those of writing.
pub fn print_unknown(output: &mut Output, unknown: &[UnknownShown]) -> io::Result<()> {
    let mut table = Table::new(&["DOCUMENT", "LINE", "PATH"]);
    for UnknownShown { document, part } in unknown {
        table.row([document.clone(), part.line.to_string(), part.path.clone()]);
    }
    output.table(&table, "covirt knows every part of its XML")
}
