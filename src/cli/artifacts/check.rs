//! `covirt artifacts check`: whether bundles are whole, and whether they are of the VM as it is now.

use std::io;
use std::path::PathBuf;

use serde::Serialize;

use super::super::client::Client;
use super::super::exit::Exit;
use super::super::fault::CarryOutError;
use super::super::output::{Output, Shown};
use super::super::table::Table;
use super::chosen::HeldAgainst;
use super::folder::{FoundBundle, bundles_in};
use crate::artifacts::{Flaw, FlawKind, Manifest, verify};
use crate::discovery::Generation;

/// `artifacts check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// A folder that `artifacts render` made
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    against: HeldAgainst,
    /// Only look whether it is whole; ask nobody
    #[arg(long, conflicts_with_all = ["vm", "domain"])]
    offline: bool,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// What was found. This is the command's JSON.
#[derive(Debug, Serialize)]
struct Report {
    folder: PathBuf,
    bundles: Vec<Checked>,
    /// What lies beside several bundles and belongs to none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    beside: Vec<PathBuf>,
}

/// What was found of one bundle.
#[derive(Debug, Serialize)]
struct Checked {
    folder: PathBuf,
    manifest: Option<Manifest>,
    flaws: Vec<Flaw>,
    freshness: Freshness,
}

/// Whether a bundle is of the VM as it is now.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
enum Freshness {
    /// Nobody was asked.
    NotAsked,
    /// It is.
    Current,
    /// The VM is another by now.
    Stale { now: Generation },
}

/// Checks the bundles in a folder.
///
/// *Errors*: those of reading, and of the call; a damaged bundle is told before the agent is asked.
pub(super) async fn check(client: &Client, args: &CheckArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let (found, beside) = bundles_in(&args.folder)?;
    let mut report =
        Report { folder: args.folder.clone(), bundles: found.into_iter().map(look_over).collect(), beside };
    let damaged = !report.beside.is_empty() || report.bundles.iter().any(|checked| !checked.flaws.is_empty());
    if !damaged && !args.offline {
        for checked in &mut report.bundles {
            if let Some(manifest) = &checked.manifest {
                let now = args.against.look(client, manifest).await?.inventory.generation();
                let current = now == manifest.generation;
                checked.freshness = if current { Freshness::Current } else { Freshness::Stale { now } };
            }
        }
    }
    output.show(&report, print_report)?;
    let stale = report.bundles.iter().any(|checked| matches!(checked.freshness, Freshness::Stale { .. }));
    Ok(match (damaged, stale) {
        (true, _) => Exit::Damaged,
        (false, true) => Exit::Differs,
        (false, false) => Exit::Done,
    })
}

fn look_over(found: FoundBundle) -> Checked {
    let verified = verify(&found.files);
    Checked { folder: found.folder, manifest: verified.manifest, flaws: verified.flaws, freshness: Freshness::NotAsked }
}

fn print_report(output: &mut Output, report: &Report) -> io::Result<()> {
    for Checked { folder, manifest, flaws, freshness } in &report.bundles {
        let what = manifest.as_ref().map_or_else(
            || folder.display().to_string(),
            |manifest| format!("{}: {} for {} ({})", folder.display(), manifest.format, manifest.name, manifest.uuid),
        );
        if flaws.is_empty() {
            let files = manifest.as_ref().map_or(0, |manifest| manifest.files.len() + 1);
            output.line(&format!("{what}: whole, {files} files; {}", say_freshness(freshness)))?;
            continue;
        }
        output.line(&format!("{what}: DAMAGED"))?;
        let mut table = Table::new(&["FILE", "WHAT IS WRONG"]);
        for flaw in flaws {
            table.row([flaw.path.clone(), say_flaw(&flaw.kind)]);
        }
        output.table(&table, "")?;
    }
    for path in &report.beside {
        output.line(&format!("{}: belongs to no bundle", path.display()))?;
    }
    Ok(())
}

fn say_freshness(freshness: &Freshness) -> String {
    match freshness {
        Freshness::NotAsked => "whether it is current was not asked".to_owned(),
        Freshness::Current => "current".to_owned(),
        Freshness::Stale { now } => {
            format!("STALE: the VM's generation is {now} now; `covirt artifacts diff` tells what changed")
        }
    }
}

fn say_flaw(kind: &FlawKind) -> String {
    match kind {
        FlawKind::Missing => "it is missing".to_owned(),
        FlawKind::Stray => "the manifest does not know it".to_owned(),
        FlawKind::Changed => "it is not what was written".to_owned(),
        FlawKind::Malformed { reason } => format!("it cannot be read: {reason}"),
        FlawKind::Contradicts { what } => what.clone(),
    }
}
