//! `covirt delegate`, `revoke` and `delegations`: who may do what.

use std::io;
use std::time::Duration;

use super::calls::Revoking;
use super::client::Client;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::host::print_running;
use super::output::{Output, Shown};
use super::provider::word;
use super::table::Table;
use super::times::parse_lease;
use crate::delegation::Mode;
use crate::doors::wire::{DelegateRequest, Delegations};
use crate::model::ProviderId;

/// `delegate`.
#[derive(Debug, clap::Args)]
pub struct DelegateArgs {
    /// Name or UUID
    vm: String,
    /// Who gets the actions
    #[arg(long, value_name = "PROVIDER")]
    to: ProviderId,
    /// Actions: group.verb, or 'group.*' for a whole group
    #[arg(value_name = "ACTION", required = true)]
    actions: Vec<String>,
    /// Share the actions instead of handing them over
    #[arg(long)]
    shared: bool,
    /// How long they have them [default: until revoked]
    #[arg(long, value_name = "SPAN", value_parser = parse_lease)]
    lease: Option<Duration>,
    /// Let what is in flight end first; nothing new is taken in meanwhile
    #[arg(long)]
    drain: bool,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// `revoke`.
#[derive(Debug, clap::Args)]
pub struct RevokeArgs {
    /// Name or UUID
    vm: String,
    /// Who loses the actions
    #[arg(long, value_name = "PROVIDER")]
    from: ProviderId,
    /// Actions [default: all they have]
    #[arg(value_name = "ACTION")]
    actions: Vec<String>,
    /// Let what is in flight end first; nothing new is taken in meanwhile
    #[arg(long)]
    drain: bool,
    /// End what waits under it at once, and say what still runs
    #[arg(long, conflicts_with = "drain")]
    now: bool,
    #[command(flatten)]
    pub(super) shown: Shown,
}

impl RevokeArgs {
    const fn how(&self) -> Revoking {
        match (self.drain, self.now) {
            (true, _) => Revoking::Drain,
            (false, true) => Revoking::Now,
            (false, false) => Revoking::Usual,
        }
    }
}

/// `delegations`.
#[derive(Debug, clap::Args)]
pub struct DelegationsArgs {
    /// Name or UUID
    vm: String,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// Gives actions to another provider.
///
/// *Errors*: those of the call and of writing.
pub async fn delegate(client: &Client, args: &DelegateArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let vm = client.find_vm(&args.vm).await?;
    let request = DelegateRequest {
        to: args.to.clone(),
        actions: args.actions.clone(),
        mode: if args.shared { Mode::Shared } else { Mode::Exclusive },
        lease_s: args.lease.map(|lease| lease.as_secs()),
        drain: args.drain,
    };
    let delegations = client.delegate(vm, &request).await?;
    output.show(&delegations, print_delegations)?;
    Ok(Exit::Done)
}

/// Takes actions back.
///
/// *Errors*: those of the call and of writing.
pub async fn revoke(client: &Client, args: &RevokeArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let vm = client.find_vm(&args.vm).await?;
    let delegations = client.revoke(vm, &args.from, &args.actions, args.how()).await?;
    output.show(&delegations, |output, delegations| {
        print_delegations(output, delegations)?;
        if args.now { print_running(output, &delegations.running) } else { Ok(()) }
    })?;
    Ok(Exit::Done)
}

/// Shows who may do what.
///
/// *Errors*: those of the call and of writing.
pub async fn delegations(client: &Client, args: &DelegationsArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let vm = client.find_vm(&args.vm).await?;
    output.show(&client.delegations(vm).await?, print_delegations)?;
    Ok(Exit::Done)
}

fn print_delegations(output: &mut Output, delegations: &Delegations) -> io::Result<()> {
    output.line(&format!("primary {}, epoch {}", delegations.primary, delegations.epoch))?;
    output.table(&delegations_table(delegations), "nothing is delegated: the primary holds every action")?;
    let Some(draining) = &delegations.draining else { return Ok(()) };
    output.gap()?;
    output.heading(&format!("{} is handing over", draining.by))?;
    let mut table = Table::bare();
    for (provider, actions) in &draining.closing {
        let actions: Vec<String> = actions.iter().map(ToString::to_string).collect();
        table.pair("nothing new", Some(format!("by {provider}: {}", actions.join(", "))));
    }
    let waits_for: Vec<String> = draining.waits_for.iter().map(ToString::to_string).collect();
    table.pair("waits for", Some(waits_for.join(" ")));
    table.pair("given up at", Some(draining.until.to_string()));
    output.table(&table, "")
}

/// One row an action.
pub(super) fn delegations_table(delegations: &Delegations) -> Table {
    let mut table = Table::new(&["ACTION", "PROVIDER", "MODE", "EPOCH", "UNTIL"]);
    for held in &delegations.delegations {
        table.row([
            held.action.to_string(),
            held.provider.to_string(),
            word(&held.mode),
            held.epoch.to_string(),
            held.expires_at.map_or_else(|| "no end".to_owned(), |until| until.to_string()),
        ]);
    }
    table
}
