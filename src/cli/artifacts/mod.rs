//! `covirt artifacts`: a VM in another provider's own files, and what became of those files since.
//!
//! | file | idea |
//! |---|---|
//! | `chosen` | which VM: the agent's, or one in files |
//! | `bindings` | which binding for which format |
//! | `rendering` | a VM, formats and bindings to bundles; what refuses, and in which file |
//! | `list`, `bind`, `render` | what there is, what it needs, and making it |
//! | `folder` | bundles found in a folder |
//! | `check`, `diff`, `report` | whether they are whole and current, what changed, and what became of each field |

mod bind;
mod bindings;
mod check;
mod chosen;
mod diff;
mod folder;
mod list;
mod render;
mod rendering;
mod report;

use super::client::Client;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::output::{Format as Shape, Output};

pub use folder::bundles_in;
pub use rendering::RenderFormatError;

/// Artifacts for other providers
#[derive(Debug, clap::Subcommand)]
pub enum ArtifactsCommand {
    /// List the formats and what each needs to be told
    List(list::ListArgs),
    /// Write a binding to be filled in, or check one
    Bind(bind::BindArgs),
    /// Write a VM down in providers' own formats, into a folder or as a tar stream
    Render(render::RenderArgs),
    /// Verify what was written: that it is whole, and that it is the VM as it is now
    Check(check::CheckArgs),
    /// Show what would be written differently now
    Diff(diff::DiffArgs),
    /// Show what became of each field of a VM, the worst first
    Report(report::ReportArgs),
}

impl ArtifactsCommand {
    /// For whom the answer is.
    pub(super) const fn shape(&self) -> Shape {
        match self {
            Self::List(args) => args.shown.format,
            Self::Bind(args) => args.shape,
            Self::Render(args) => args.shape,
            Self::Check(args) => args.shown.format,
            Self::Diff(args) => args.shown.format,
            Self::Report(args) => args.shown.format,
        }
    }
}

/// Carries out an `artifacts` command.
///
/// *Errors*: those of the calls, of files, of bindings, of rendering and of writing.
pub async fn artifacts(
    client: &Client,
    command: &ArtifactsCommand,
    output: &mut Output,
) -> Result<Exit, CarryOutError> {
    match command {
        ArtifactsCommand::List(_) => list::list(output),
        ArtifactsCommand::Bind(args) => bind::bind(client, args, output).await,
        ArtifactsCommand::Render(args) => render::render(client, args, output).await,
        ArtifactsCommand::Check(args) => check::check(client, args, output).await,
        ArtifactsCommand::Diff(args) => diff::diff(client, args, output).await,
        ArtifactsCommand::Report(args) => report::report(client, args, output).await,
    }
}
