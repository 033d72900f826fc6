//! `covirt demo`: the main job from end to end, played by real processes.
//!
//! ```text
//! covirt demo ─┬─ covirtd                          the agent, on the hypervisor that was named
//!              ├─ covirt --as north provider session   ┐ two providers that stay connected
//!              ├─ covirt --as south provider session   ┘
//!              └─ covirt --as … …                      one process a step
//! ```
//!
//! The demonstration itself says headings only; everything else is what those processes print, and they know it from
//! the agent. At the end it checks that what it is there to show has really happened.

mod actors;
mod agent;
mod checks;

use std::path::PathBuf;
use std::process::ExitStatus;

use tokio::signal::unix::{SignalKind, signal};

use super::client::{CallAgentError, Client};
use super::exit::Exit;
use super::fault::CarryOutError;
use super::output::{Output, Shown};
use crate::model::ProviderId;
use actors::{Actor, SessionProcess, Stage};
use agent::AgentProcess;

/// `demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// The hypervisor, by libvirt's URI; test:///default needs neither daemon nor VM
    #[arg(long, value_name = "URI", default_value = "test:///default")]
    connect: String,
    /// The VM: it must be running, and its disks must take snapshots
    #[arg(long, value_name = "NAME", default_value = "test")]
    vm: String,
    /// Keep the folder with the configuration, the journal, the artifacts and the agent's log
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// Why the demonstration broke off, or did not show what it should.
#[derive(Debug, thiserror::Error)]
pub enum PlayDemoError {
    /// No folder.
    #[error("cannot write {}", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A program does not start.
    #[error("cannot start {}", program.display())]
    Spawn {
        program: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The agent does not get ready.
    #[error("covirtd did not get ready{}\n{log}", status.map_or_else(String::new, |status| format!(" ({status})")))]
    AgentNotReady { status: Option<ExitStatus>, log: String },
    /// The agent does not stop as it should.
    #[error("covirtd did not stop well ({why})\n{log}")]
    AgentNotStopped { why: String, log: String },
    /// A provider's session does not open.
    #[error("{provider}'s session did not open: {said}")]
    SessionNotOpen { provider: ProviderId, said: String },
    /// A step takes too long.
    #[error("`{command}` was not over after {} s", after.as_secs())]
    StepTooSlow { command: String, after: std::time::Duration },
    /// A step fails.
    #[error("`{command}` failed ({status}): {said}")]
    StepFailed { command: String, status: ExitStatus, said: String },
    /// The agent does not answer the checks.
    #[error("what happened cannot be checked")]
    Unchecked(#[from] CallAgentError),
    /// What should have happened has not.
    #[error("this did not happen as it should: {}", .0.join("; "))]
    NotShown(Vec<String>),
    /// Somebody stopped it.
    #[error("it was interrupted")]
    Interrupted,
    /// Standard output takes nothing more.
    #[error("cannot write the output")]
    Print(#[from] std::io::Error),
}

/// Plays the demonstration; whatever happens, no process of it is left, and no folder unless it is asked for.
///
/// *Errors*: [`PlayDemoError`].
pub async fn demo(args: &DemoArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let mut interrupted = signal(SignalKind::interrupt()).map_err(CarryOutError::Start)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(CarryOutError::Start)?;
    let folder = agent::make_folder()?;
    let played = tokio::select! {
        played = play(args, &folder, output) => played,
        _ = interrupted.recv() => Err(PlayDemoError::Interrupted),
        _ = terminated.recv() => Err(PlayDemoError::Interrupted),
    };
    if args.keep {
        output.heading(&format!("Kept: {}", folder.display()))?;
    } else {
        // The folder lies among temporary files; what cannot be removed now is swept up there.
        let _ = std::fs::remove_dir_all(&folder);
    }
    match played {
        Ok(()) => Ok(Exit::Done),
        Err(PlayDemoError::Print(error)) => Err(CarryOutError::Print(error)),
        Err(error) => Err(error.into()),
    }
}

async fn play(args: &DemoArgs, folder: &std::path::Path, output: &mut Output) -> Result<(), PlayDemoError> {
    let [north, south, operator] = ["north", "south", ProviderId::OPERATOR].map(Actor::named);
    let vm = args.vm.as_str();
    let mut stage = Stage::new(folder, output)?;

    let agent = AgentProcess::start(folder, &args.connect).await?;
    stage.shown("The agent runs beside the hypervisor", &operator, &["health"]).await?;
    stage.shown("It knows who may speak for whom", &north, &["whoami"]).await?;

    let sessions = [
        SessionProcess::open(&stage, &north, "theirs-first").await?,
        SessionProcess::open(&stage, &south, "mine-first").await?,
    ];
    stage.shown("north finds the VM", &north, &["vm", "list"]).await?;
    stage.shown("north, its primary, has it co-managed", &north, &["vm", "enroll", vm]).await?;
    stage.shown("Its resources and network settings", &north, &["vm", "show", vm]).await?;
    let delegate = ["delegate", vm, "--to", "south", "snapshot.*"];
    stage.shown("north delegates snapshots to south", &north, &delegate).await?;
    let seed = folder.join("south-seed");
    let seed = seed.to_string_lossy();
    let render = ["artifacts", "render", vm, "--for", "nocloud", "--out", &seed];
    stage.shown("south's artifacts are made from the inventory", &south, &render).await?;

    let reboot = ["run", vm, "power.reboot"];
    let snapshot = ["run", vm, "snapshot.create", "name=demo-1"];
    let title = "Both issue commands at the same time, and the two conflict";
    stage.shown_together(title, [(&north, &reboot), (&south, &snapshot)]).await?;
    for session in sessions {
        stage.session("What was asked and answered in the session", session).await?;
    }
    stage.shown("How the conflict was settled", &north, &["conflicts", vm]).await?;
    stage.shown("What happened, in order", &north, &["timeline", vm]).await?;

    let client = Client::new(folder.join(agent::SOCKET), Some(north.provider.clone()));
    let second = checks::check(&client, vm, &[&north.provider, &south.provider]).await?.to_string();
    stage.shown("Why the other one had to wait", &north, &["explain", &second]).await?;

    let delete = ["run", vm, "snapshot.delete", "name=demo-1"];
    stage.shown("south removes its snapshot again", &south, &delete).await?;
    stage.shown("north ends the co-management", &north, &["vm", "release", vm]).await?;
    stage.shown("The journal holds", &operator, &["audit", "verify"]).await?;
    agent.stop().await?;
    stage
        .end("Checked: both commands ended done, the callbacks settled their order, one began when the other was over.")
}
