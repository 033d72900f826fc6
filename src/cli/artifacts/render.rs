//! `covirt artifacts render`: a VM into providers' own files, all of them or none.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::artifacts_dir::write_bundles;
use super::super::client::Client;
use super::super::exit::Exit;
use super::super::fault::CarryOutError;
use super::super::output::{Format as Shape, Output};
use super::super::table::Table;
use super::bindings::BindingArgs;
use super::chosen::ChosenVm;
use super::rendering::{RenderFormatError, Wanted, fate_name, fate_reason, formats_of, parse_wanted, render_bound};
use crate::artifacts::{Bundle, Fate, Manifest, Mapping, MappingEntry, Subject, archive};

/// `artifacts render`.
#[derive(Debug, clap::Args)]
pub struct RenderArgs {
    #[command(flatten)]
    vm: ChosenVm,
    /// The providers' formats, with commas between them, or all; see `covirt artifacts list`
    #[arg(long = "for", value_name = "FORMAT", value_delimiter = ',', required = true, value_parser = parse_wanted)]
    formats: Vec<Wanted>,
    /// The folder: made, or replaced when it holds earlier bundles. Several formats have a folder each in it. - writes a
    /// tar stream to standard output
    #[arg(short = 'o', long = "out", value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    bindings: BindingArgs,
    /// Leave out formats that cannot carry this VM, and say so, where otherwise nothing would be written
    #[arg(long)]
    skip_refused: bool,
    /// For whom the answer is
    #[arg(long = "output", value_enum, default_value_t, value_name = "FORMAT", help_heading = "Output")]
    pub(super) shape: Shape,
}

/// What was written of one format. This is the command's JSON; of several formats, a list of these.
#[derive(Debug, Serialize)]
struct Written<'a> {
    folder: PathBuf,
    manifest: &'a Manifest,
    mapping: &'a Mapping,
}

/// Renders and writes bundles.
///
/// *Errors*: those of the calls, of files, of bindings, of rendering and of writing.
pub(super) async fn render(client: &Client, args: &RenderArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let formats = formats_of(&args.formats);
    let bindings = args.bindings.read(&formats)?;
    let looked = args.vm.look(client).await?;
    let subject = Subject::new(&looked.inventory, &looked.source);
    let mut bundles: Vec<(&str, Bundle)> = Vec::new();
    for format in &formats {
        let bound = bindings.of(*format, &looked.inventory)?;
        match render_bound(&subject, *format, bound) {
            Ok(bundle) => bundles.push((if formats.len() == 1 { "" } else { format.name() }, bundle)),
            Err(refused) if args.skip_refused => tell_left_out(&refused)?,
            Err(refused) => return Err(refused.into()),
        }
    }
    let placed: Vec<(&str, &Bundle)> = bundles.iter().map(|(folder, bundle)| (*folder, bundle)).collect();
    if placed.is_empty() {
        return Err(CarryOutError::Usage("every format refuses this VM: nothing was written".to_owned()));
    }
    if args.folder == Path::new("-") {
        let refused = |error| Box::new(RenderFormatError { format: "archive", binding: None, error });
        let bytes = archive(&placed).map_err(refused)?;
        let mut out = io::stdout().lock();
        out.write_all(&bytes)?;
        out.flush()?;
        return Ok(Exit::Done);
    }
    write_bundles(&placed, &args.folder)?;
    let written: Vec<Written<'_>> = placed
        .iter()
        .map(|(folder, bundle)| Written {
            folder: if folder.is_empty() { args.folder.clone() } else { args.folder.join(folder) },
            manifest: &bundle.manifest,
            mapping: &bundle.mapping,
        })
        .collect();
    match written.as_slice() {
        [one] if formats.len() == 1 => output.show(one, print_written)?,
        several => output.show(&several, |output, several| {
            several.iter().enumerate().try_for_each(|(nth, one)| {
                if nth > 0 {
                    output.gap()?;
                }
                print_written(output, one)
            })
        })?,
    }
    Ok(Exit::Done)
}

fn tell_left_out(refused: &RenderFormatError) -> io::Result<()> {
    writeln!(io::stderr(), "covirt: left out: {refused}")
}

fn print_written(output: &mut Output, written: &Written<'_>) -> io::Result<()> {
    let Written { folder, manifest, mapping } = written;
    output.line(&format!("{} for {} ({}) in {}", manifest.format, manifest.name, manifest.uuid, folder.display()))?;
    let mut files = Table::new(&["FILE", "BYTES", "SHA-256"]);
    for file in &manifest.files {
        files.row([file.path.clone(), file.size.to_string(), file.sha256.clone()]);
    }
    output.table(&files, "no files")?;
    output.gap()?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in &mapping.0 {
        *counts.entry(fate_name(&entry.fate)).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(fate, count)| format!("{count} {fate}")).collect();
    output.line(&format!("{} fields of the inventory: {}", mapping.0.len(), counts.join(", ")))?;
    let told: Vec<&MappingEntry> = mapping
        .0
        .iter()
        .filter(|entry| matches!(entry.fate, Fate::Approximate { .. } | Fate::Refused { .. }))
        .collect();
    if told.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["FIELD", "FATE", "HOW OR WHY"]);
    for entry in told {
        table.row([entry.field.clone(), fate_name(&entry.fate).to_owned(), fate_reason(&entry.fate)]);
    }
    output.table(&table, "")
}
