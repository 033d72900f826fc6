//! `covirt vm diff`: what changed in a VM since its artifacts were made, field by field; without artifacts, what the next
//! start would change.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::artifacts::bundles_in;
use super::client::Client;
use super::documents::Documents;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::output::{Output, Shown};
use super::table::Table;
use crate::artifacts::verify;
use crate::discovery::{Definition, Difference, Inventory, differences};

/// `vm diff`.
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    /// A VM's name or UUID (not with --domain), then a folder that `artifacts render` made; without a folder, the VM's
    /// persistent definition is compared with what runs
    #[arg(value_name = "VM] [DIR", num_args = 0..=2)]
    what: Vec<String>,
    #[command(flatten)]
    documents: Documents,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// One field that is different. This is the command's JSON, as a list of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its path in the inventory.
    pub path: String,
    /// What it was; none when it was not there.
    pub before: Option<String>,
    /// What it is; none when it is not there.
    pub after: Option<String>,
}

/// What the next start would change. This is the command's JSON without a folder.
#[derive(Debug, Serialize)]
struct Pending<'a> {
    definition: &'a Definition,
}

/// Compares.
///
/// *Errors*: those of the call and of files.
pub async fn diff(client: &Client, args: &DiffArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let (vm, folder) = match (args.documents.is_given(), args.what.as_slice()) {
        (true, []) => (None, None),
        (true, [folder]) => (None, Some(folder)),
        (false, [vm]) => (Some(vm), None),
        (false, [vm, folder]) => (Some(vm), Some(folder)),
        (true, _) => return Err(CarryOutError::Usage("with --domain there is a folder at most".to_owned())),
        (false, _) => return Err(CarryOutError::Usage("a VM is missing, or --domain FILE".to_owned())),
    };
    let now = match (args.documents.read()?, vm) {
        (Some(inventory), _) => inventory,
        (None, vm) => client.inventory(client.find_vm(vm.map_or("", String::as_str)).await?).await?,
    };
    let Some(folder) = folder else {
        return pending(&now.definition, output);
    };
    let (found, _) = bundles_in(Path::new(folder))?;
    let missing = || CarryOutError::NoBundle { folder: folder.into() };
    let before = found.iter().find_map(|bundle| verify(&bundle.files).inventory).ok_or_else(missing)?;
    let changes = changes_between(&before, &now);
    output.show(&changes, |output, changes| print_changes(output, changes, "nothing changed"))?;
    Ok(if changes.is_empty() { Exit::Done } else { Exit::Differs })
}

fn pending(definition: &Definition, output: &mut Output) -> Result<Exit, CarryOutError> {
    let (sentence, exit) = match definition {
        Definition::NotAsked => ("the persistent definition is not known here".to_owned(), Exit::Done),
        Definition::Transient => ("it has no persistent definition: it is gone when it stops".to_owned(), Exit::Done),
        Definition::Persistent { pending, .. } if pending.is_empty() => {
            ("the next start changes nothing".to_owned(), Exit::Done)
        }
        Definition::Persistent { pending, .. } => {
            (format!("the next start changes: {}", pending.join(", ")), Exit::Differs)
        }
    };
    output.show(&Pending { definition }, |output, _| output.line(&sentence))?;
    Ok(exit)
}

/// Prints changes for people.
///
/// *Errors*: those of writing.
pub fn print_changes(output: &mut Output, changes: &[Change], none: &str) -> io::Result<()> {
    let mut table = Table::new(&["FIELD", "BEFORE", "NOW"]);
    let cell = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    for change in changes {
        table.row([change.path.clone(), cell(&change.before), cell(&change.after)]);
    }
    output.table(&table, none)
}

/// The decided fields in which two looks at a VM differ, in the inventory's order.
#[must_use]
pub fn changes_between(before: &Inventory, after: &Inventory) -> Vec<Change> {
    let change = |Difference { path, before, after }| Change { path, before, after };
    differences(before, after).into_iter().map(change).collect()
}
