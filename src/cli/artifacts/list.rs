//! `covirt artifacts list`: the formats, and what each needs to be told of any VM.

use std::io;

use serde::Serialize;

use super::super::exit::Exit;
use super::super::fault::CarryOutError;
use super::super::output::{Output, Shown};
use super::super::table::Table;
use crate::artifacts::{DraftField, Format};
use crate::discovery::{Discovered, Inventory, Limits, parse_domain};

/// `artifacts list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// One format. This is the command's JSON.
#[derive(Debug, Serialize)]
struct Listed {
    name: &'static str,
    title: &'static str,
    /// What only the operator knows of any VM; a VM with disks and interfaces may need more.
    needs: Vec<String>,
}

/// The least a VM can be.
const BARE: &str = "<domain type='kvm'><name>any</name><uuid>00000000-0000-0000-0000-000000000001</uuid>\
                    <memory unit='KiB'>1048576</memory><vcpu>1</vcpu></domain>";

/// Lists the formats.
///
/// *Errors*: those of writing.
pub(super) fn list(output: &mut Output) -> Result<Exit, CarryOutError> {
    let bare = parse_domain(BARE, Limits::default());
    let bare = bare.map(|domain| Inventory::build(Discovered::from_domain(domain)));
    let needs = |format: &Format| {
        let draft = bare.as_ref().map(|bare| format.draft(bare)).unwrap_or_default();
        draft.into_iter().filter(DraftField::is_open).map(|field| field.path.join(".")).collect()
    };
    let formats: Vec<Listed> = Format::ALL
        .iter()
        .map(|format| Listed { name: format.name(), title: format.title(), needs: needs(format) })
        .collect();
    output.show(&formats, |output, formats| print_formats(output, formats))?;
    Ok(Exit::Done)
}

fn print_formats(output: &mut Output, formats: &[Listed]) -> io::Result<()> {
    let mut table = Table::new(&["FORMAT", "WHAT", "NEEDS OF ANY VM"]);
    for Listed { name, title, needs } in formats {
        let needs = if needs.is_empty() { "-".to_owned() } else { needs.join(", ") };
        table.row([(*name).to_owned(), (*title).to_owned(), needs]);
    }
    output.table(&table, "there are no formats")?;
    output.line("covirt artifacts bind VM --for FORMAT --init shows every field for one VM")
}
