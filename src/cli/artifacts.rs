//! `covirt artifacts render`: a VM's inventory from the agent, rendered here into another provider's own files.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::artifacts_dir::write_bundle;
use super::client::Client;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::output::{Format as Shape, Output};
use super::table::Table;
use crate::artifacts::{BindingText, Fate, Format, Manifest, Mapping, MappingEntry, Source, Subject, Syntax};

/// Artifacts for another provider
#[derive(Debug, clap::Subcommand)]
pub enum ArtifactsCommand {
    /// Write a VM down in a provider's own formats, into a folder
    Render(RenderArgs),
}

/// `artifacts render`.
#[derive(Debug, clap::Args)]
pub struct RenderArgs {
    /// Name or UUID
    vm: String,
    /// The provider's format: nocloud
    #[arg(long = "for", value_name = "FORMAT", value_parser = parse_format)]
    format: Format,
    /// The folder: made, or replaced when it holds an earlier bundle
    #[arg(short = 'o', long = "out", value_name = "DIR")]
    folder: PathBuf,
    /// What libvirt cannot know (host name, public keys, addresses): a file of JSON
    #[arg(long, value_name = "FILE")]
    binding: Option<PathBuf>,
    /// For whom the answer is
    #[arg(long = "output", value_enum, default_value_t, value_name = "FORMAT", help_heading = "Output")]
    pub(super) shape: Shape,
}

fn parse_format(name: &str) -> Result<Format, String> {
    let known = || Format::ALL.iter().map(|format| format.name()).collect::<Vec<_>>().join(", ");
    Format::from_name(name).map_err(|error| format!("{error}: {} is known", known()))
}

/// What was written. This is the command's JSON.
#[derive(Debug, Serialize)]
struct Written<'a> {
    folder: &'a Path,
    manifest: &'a Manifest,
    mapping: &'a Mapping,
}

/// Renders and writes a bundle.
///
/// *Errors*: those of the calls, of the binding, of rendering and of writing.
pub async fn render(client: &Client, args: &RenderArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let binding = args.binding.as_deref().map_or(Ok(BindingText::empty()), read_binding)?;
    let vm = client.find_vm(&args.vm).await?;
    let inventory = client.inventory(vm).await?;
    let source = Source::Libvirt { uri: client.health().await?.hypervisor };
    let bundle = args.format.render(&Subject::new(&inventory, &source), &binding)?;
    write_bundle(&bundle, &args.folder)?;
    let written = Written { folder: &args.folder, manifest: &bundle.manifest, mapping: &bundle.mapping };
    output.show(&written, |output, written| print_written(output, written))?;
    Ok(Exit::Done)
}

fn read_binding(path: &Path) -> Result<BindingText, CarryOutError> {
    let text = std::fs::read_to_string(path).map_err(|source| CarryOutError::Read { path: path.to_owned(), source })?;
    let syntax = if path.extension().is_some_and(|ext| ext == "json") { Syntax::Json } else { Syntax::Toml };
    Ok(BindingText { syntax, text })
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
        let why = match &entry.fate {
            Fate::Exact { to } => to.clone(),
            Fate::Approximate { to, rule } => format!("{to}: {rule}"),
            Fate::NotCarried { why } | Fate::Refused { why } => why.clone(),
        };
        table.row([entry.field.clone(), fate_name(&entry.fate).to_owned(), why]);
    }
    output.table(&table, "")
}

const fn fate_name(fate: &Fate) -> &'static str {
    match fate {
        Fate::Exact { .. } => "exact",
        Fate::Approximate { .. } => "approximate",
        Fate::NotCarried { .. } => "not carried",
        Fate::Refused { .. } => "refused",
    }
}
