//! `covirt artifacts report`: what became of each field of a VM in a format, the worst first.

use std::io;
use std::path::PathBuf;

use serde::Serialize;

use super::super::client::Client;
use super::super::documents::Documents;
use super::super::exit::Exit;
use super::super::fault::CarryOutError;
use super::super::output::{Output, Shown};
use super::super::table::Table;
use super::bindings::BindingArgs;
use super::chosen::look;
use super::folder::bundles_in;
use super::rendering::{fate_name, fate_reason, parse_format, render_one};
use crate::artifacts::{Fate, Format, Mapping, MappingEntry, verify};

/// `artifacts report`.
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// With --for a VM's name or UUID; without, a folder that `artifacts render` made
    #[arg(value_name = "VM|DIR", required_unless_present = "domain", conflicts_with = "domain")]
    what: Option<String>,
    /// The provider's format
    #[arg(long = "for", value_name = "FORMAT", value_parser = parse_format)]
    wanted: Option<Format>,
    #[command(flatten)]
    documents: Documents,
    #[command(flatten)]
    bindings: BindingArgs,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// One format's report. This is the command's JSON, as a list of these.
#[derive(Debug, Serialize)]
struct Told {
    format: String,
    fields: Vec<MappingEntry>,
}

/// Shows mapping reports.
///
/// *Errors*: those of the call, of files, of the binding and of rendering.
pub(super) async fn report(client: &Client, args: &ReportArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let told = match args.wanted {
        Some(format) => {
            let bindings = args.bindings.read(&[format])?;
            let looked = look(client, args.what.as_deref().unwrap_or_default(), &args.documents).await?;
            let bundle = render_one(&looked, format, &bindings)?;
            vec![Told { format: format.name().to_owned(), fields: worst_first(bundle.mapping) }]
        }
        None if args.documents.is_given() => {
            return Err(CarryOutError::Usage("a report on a domain needs --for FORMAT".to_owned()));
        }
        None => of_folder(&PathBuf::from(args.what.as_deref().unwrap_or_default()))?,
    };
    output.show(&told, |output, told| told.iter().try_for_each(|one| print_told(output, one)))?;
    Ok(Exit::Done)
}

fn of_folder(folder: &std::path::Path) -> Result<Vec<Told>, CarryOutError> {
    let mut told = Vec::new();
    for found in bundles_in(folder)?.0 {
        let verified = verify(&found.files);
        let (Some(manifest), Some(mapping)) = (verified.manifest, verified.mapping) else {
            return Err(CarryOutError::NoBundle { folder: found.folder });
        };
        told.push(Told { format: manifest.format, fields: worst_first(mapping) });
    }
    Ok(told)
}

/// By how bad it is, then in the inventory's order.
fn worst_first(mapping: Mapping) -> Vec<MappingEntry> {
    let mut entries = mapping.0;
    entries.sort_by_key(|entry| match entry.fate {
        Fate::Refused { .. } => 0,
        Fate::NotCarried { .. } => 1,
        Fate::Approximate { .. } => 2,
        Fate::Exact { .. } => 3,
    });
    entries
}

fn print_told(output: &mut Output, told: &Told) -> io::Result<()> {
    output.heading(&told.format)?;
    let mut table = Table::new(&["FATE", "FIELD", "WHERE TO, OR WHY NOT"]);
    for entry in &told.fields {
        table.row([fate_name(&entry.fate).to_owned(), entry.field.clone(), fate_reason(&entry.fate)]);
    }
    output.table(&table, "the VM has no fields")
}
