//! `covirt holds`: what finished commands have left open, who waits for it, and ending it with proof.

use std::io;
use std::time::Duration;

use super::client::Client;
use super::command::dash;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::output::{Output, Shown};
use super::table::Table;
use super::times::{parse_span, rough};
use super::vm_parts::bytes;
use crate::doors::wire::{HoldProgress, HoldRelease, HoldReleaseRequest, HoldView};
use crate::model::{Bytes, HoldKey};

/// `holds`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct HoldsArgs {
    /// Name or UUID [default: every VM you have a part in]
    vm: Option<String>,
    #[command(subcommand)]
    command: Option<HoldsCommand>,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// What is open on VMs
#[derive(Debug, clap::Subcommand)]
pub enum HoldsCommand {
    /// End something that you own and left open (the operator: anything), and print the proof that it is over
    Release(HoldsReleaseArgs),
}

/// `holds release`.
#[derive(Debug, clap::Args)]
pub struct HoldsReleaseArgs {
    /// Name or UUID
    vm: String,
    /// backup, block:TARGET, migration, freeze or lock
    hold: HoldKey,
    /// Why; the journal keeps it and every provider of the VM is told
    #[arg(long, value_name = "REASON")]
    reason: String,
    /// How long to wait for its end
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = parse_span)]
    wait: Duration,
    #[command(flatten)]
    shown: Shown,
}

impl HoldsArgs {
    pub(super) const fn shown(&self) -> &Shown {
        match &self.command {
            Some(HoldsCommand::Release(args)) => &args.shown,
            None => &self.shown,
        }
    }
}

/// Lists what is open, or ends it.
///
/// *Errors*: those of the call and of writing.
pub async fn holds(client: &Client, args: &HoldsArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    if let Some(HoldsCommand::Release(args)) = &args.command {
        return release(client, args, output).await;
    }
    let vm = match &args.vm {
        Some(name) => Some(client.find_vm(name).await?),
        None => None,
    };
    output.show(&client.holds(vm).await?, |output, list| {
        let mut table = Table::new(&["VM", "HOLD", "OWNER", "AGE", "LEASE", "PROGRESS", "WAITING"]);
        for view in &list.holds {
            table.row(row(view));
        }
        output.table(&table, "nothing is open")
    })?;
    Ok(Exit::Done)
}

fn row(view: &HoldView) -> [String; 7] {
    let waiting: Vec<String> =
        view.waiting.iter().map(|held| format!("{}'s {} ({})", held.provider, held.action, held.command)).collect();
    let lease = match view.lease_left_s {
        _ if view.given_up.is_some() => "being ended".to_owned(),
        Some(left) => format!("{} left", rough(left)),
        None => dash(),
    };
    [
        view.name.clone(),
        view.hold.to_string(),
        view.owner.as_ref().map_or_else(|| "not covirt's".to_owned(), ToString::to_string),
        rough(view.age_s),
        lease,
        view.progress.as_ref().map_or_else(dash, progress),
        if waiting.is_empty() { "nobody".to_owned() } else { waiting.join(", ") },
    ]
}

fn progress(progress: &HoldProgress) -> String {
    let left = progress.seconds_left.map(|left| format!(", {} left", rough(left))).unwrap_or_default();
    match progress.done.saturating_mul(100).checked_div(progress.total) {
        Some(percent) => format!("{percent} % of {}{left}", bytes(Bytes(progress.total))),
        None => format!("{} done{left}", bytes(Bytes(progress.done))),
    }
}

async fn release(client: &Client, args: &HoldsReleaseArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let vm = client.find_vm(&args.vm).await?;
    let request = HoldReleaseRequest { reason: args.reason.clone() };
    // Without a wish the agent waits for as long as it sees fit.
    let wait = args.wait.max(Duration::from_secs(1));
    let release = client.release_hold(vm, &args.hold, &request, wait).await?;
    output.show(&release, print_release)?;
    Ok(match &release.closed {
        Some(end) if end.verified => Exit::Done,
        Some(_) => Exit::Failed,
        None => Exit::StillRunning,
    })
}

fn print_release(output: &mut Output, release: &HoldRelease) -> io::Result<()> {
    let mut table = Table::bare();
    let Some(end) = &release.closed else {
        let why = release.open.as_ref().and_then(|view| view.ending.clone());
        let why = why.map(|why| format!(", because {why}")).unwrap_or_default();
        table.pair("hold", Some(format!("{} is still open; covirt is ending it{why}", release.hold)));
        table.pair("vm", Some(release.vm.to_string()));
        return output.table(&table, "");
    };
    let over = if end.verified { "is over" } else { "is not known to be over" };
    table.pair("hold", Some(format!("{} {over}", release.hold)));
    table.pair("proof", Some(end.text.clone()));
    table.pair("vm", Some(release.vm.to_string()));
    table.pair("at", Some(end.at.to_string()));
    table.pair("journal", Some(format!("record {}", end.cursor)));
    output.table(&table, "")
}
