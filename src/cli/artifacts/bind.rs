//! `covirt artifacts bind`: a binding to be filled in, and whether one that was filled in will do.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::client::Client;
use super::super::exit::Exit;
use super::super::fault::CarryOutError;
use super::super::output::{Format as Shape, Output};
use super::bindings::{Bound, read};
use super::chosen::ChosenVm;
use super::rendering::{parse_format, render_bound};
use crate::artifacts::{DraftField, Format, Subject};

/// `artifacts bind`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("deed").required(true))]
pub struct BindArgs {
    #[command(flatten)]
    vm: ChosenVm,
    /// The provider's format
    #[arg(long = "for", value_name = "FORMAT", value_parser = parse_format)]
    format: Format,
    /// Write a binding with every field: guessed where that can be, marked NEEDED where only you know
    #[arg(long, group = "deed")]
    init: bool,
    /// Render with this binding and write nothing; - is standard input
    #[arg(long, value_name = "FILE", group = "deed")]
    check: Option<PathBuf>,
    /// Where --init writes; made anew, never replaced [default: standard output]
    #[arg(short = 'o', long = "out", value_name = "FILE", requires = "init")]
    out: Option<PathBuf>,
    /// For whom the answer is
    #[arg(long = "output", value_enum, default_value_t, value_name = "FORMAT", help_heading = "Output")]
    pub(super) shape: Shape,
}

/// What was found or made. This is the command's JSON.
#[derive(Debug, Serialize)]
struct Told<'a> {
    format: &'a str,
    file: &'a Path,
    /// What is still to be filled in.
    needed: Vec<String>,
}

/// Writes or checks a binding.
///
/// *Errors*: those of the call, of files, of the binding and of rendering.
pub(super) async fn bind(client: &Client, args: &BindArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let looked = args.vm.look(client).await?;
    let (format, inventory) = (args.format, &looked.inventory);
    if let Some(path) = &args.check {
        let bound = Bound { text: read(path)?, path: Some(path.clone()) };
        render_bound(&Subject::new(inventory, &looked.source), format, bound)?;
        let told = Told { format: format.name(), file: path, needed: Vec::new() };
        output
            .show(&told, |output, _| output.line(&format!("{} is in order for {}", path.display(), format.name())))?;
        return Ok(Exit::Done);
    }
    let text = format.draft_toml(inventory);
    let Some(path) = &args.out else {
        output.verbatim(&text)?;
        return Ok(Exit::Done);
    };
    make(path, &text)?;
    let open = format.draft(inventory).into_iter().filter(DraftField::is_open);
    let needed: Vec<String> = open.map(|field| field.path.join(".")).collect();
    let told = Told { format: format.name(), file: path, needed };
    output.show(&told, |output, told| {
        let needed = if told.needed.is_empty() { "nothing".to_owned() } else { told.needed.join(", ") };
        output.line(&format!("{} is made; {needed} has to be filled in", path.display()))
    })?;
    Ok(Exit::Done)
}

/// Makes a file that is not there yet.
fn make(path: &Path, text: &str) -> Result<(), CarryOutError> {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o640).open(path);
    let written = made.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => CarryOutError::Exists { path: path.to_owned() },
        _ => CarryOutError::Write { path: path.to_owned(), source },
    })
}
