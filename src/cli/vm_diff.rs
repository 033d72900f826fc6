//! `covirt vm diff`: what changed in a VM since its artifacts were made, field by field; without artifacts, what the next
//! start would change.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::artifacts::bundles_in;
use super::client::Client;
use super::documents::Documents;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::output::{Output, Shown};
use super::table::Table;
use crate::artifacts::verify;
use crate::discovery::{Definition, Inventory};

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

/// The fields in which two inventories differ, in the order of their paths.
pub fn changes_between(before: &Inventory, after: &Inventory) -> Vec<Change> {
    let (before, after) = (leaves_of(before), leaves_of(after));
    let paths: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changes = paths.into_iter().map(|path| Change {
        path: path.clone(),
        before: before.get(path).cloned(),
        after: after.get(path).cloned(),
    });
    changes.filter(|change| change.before != change.after).collect()
}

fn leaves_of(inventory: &Inventory) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    if let Ok(value) = serde_json::to_value(inventory) {
        collect("", &value, &mut leaves);
    }
    leaves
}

fn collect(path: &str, value: &Value, leaves: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(parts) => {
            for (name, part) in parts {
                let dot = if path.is_empty() { "" } else { "." };
                collect(&format!("{path}{dot}{name}"), part, leaves);
            }
        }
        Value::Array(items) => {
            for (nth, item) in items.iter().enumerate() {
                let name = ["target", "mac"].iter().find_map(|key| item.get(key)?.as_str());
                let name = name.map_or_else(|| nth.to_string(), str::to_owned);
                collect(&format!("{path}[{name}]"), item, leaves);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            leaves.insert(path.to_owned(), text.clone());
        }
        Value::Bool(_) | Value::Number(_) => {
            leaves.insert(path.to_owned(), value.to_string());
        }
    }
}
