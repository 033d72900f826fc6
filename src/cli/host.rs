//! `covirt freeze`, `thaw` and `break-glass`: what only the host's owner may do.

use std::io;
use std::time::Duration;

use super::client::Client;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::output::{Output, Shown};
use super::table::Table;
use super::times::parse_span;
use crate::doors::wire::{FreezeList, FreezeRequest, GlassRequest, RunningVm};
use crate::model::ProviderId;

/// What is frozen or thawed; without a choice, the whole host.
#[derive(Debug, Clone, clap::Args)]
#[group(multiple = false)]
pub struct Chosen {
    /// This provider, on every VM
    // Not called as the global one that says for whom one speaks.
    #[arg(long = "provider", value_name = "PROVIDER")]
    whose: Option<ProviderId>,
    /// This VM, for every provider: name or UUID
    #[arg(long, value_name = "VM")]
    vm: Option<String>,
}

/// `freeze`.
#[derive(Debug, clap::Args)]
pub struct FreezeArgs {
    #[command(flatten)]
    chosen: Chosen,
    /// Why; the journal keeps it, and whoever is refused is told
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// The operator's own commands as well
    #[arg(long)]
    all: bool,
    /// Only list what is frozen, and what still runs of it
    #[arg(long, conflicts_with_all = ["whose", "vm", "reason", "all"])]
    list: bool,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// `thaw`.
#[derive(Debug, clap::Args)]
pub struct ThawArgs {
    #[command(flatten)]
    chosen: Chosen,
    /// Why; the journal keeps it
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// `break-glass`.
#[derive(Debug, clap::Args)]
pub struct GlassArgs {
    /// Name or UUID
    vm: String,
    /// Why; the journal keeps it and every provider of the VM is told
    #[arg(long, value_name = "REASON", required_unless_present = "end")]
    reason: Option<String>,
    /// For how long; then it ends by itself
    #[arg(long = "for", value_name = "SPAN", default_value = "15m", value_parser = parse_span)]
    span: Duration,
    /// Give the actions back now
    #[arg(long, conflicts_with_all = ["reason", "span"])]
    end: bool,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// Stops new work.
///
/// *Errors*: those of the call and of writing.
pub async fn freeze(client: &Client, args: &FreezeArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    if args.list {
        output.show(&client.freezes().await?, print_list)?;
        return Ok(Exit::Done);
    }
    let vm = match &args.chosen.vm {
        Some(name) => Some(client.find_vm(name).await?),
        None => None,
    };
    let request = FreezeRequest { provider: args.chosen.whose.clone(), vm, reason: args.reason.clone(), all: args.all };
    output.show(&client.freeze(&request).await?, |output, frozen| {
        output.line(&format!("{} is frozen; nothing new begins", frozen.freeze.scope))?;
        print_running(output, &frozen.running)
    })?;
    Ok(Exit::Done)
}

/// Lets new work begin again.
///
/// *Errors*: those of the call and of writing.
pub async fn thaw(client: &Client, args: &ThawArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let vm = match &args.chosen.vm {
        Some(name) => Some(client.find_vm(name).await?),
        None => None,
    };
    let list = client.thaw(args.chosen.whose.as_ref(), vm, args.reason.as_deref()).await?;
    output.show(&list, print_list)?;
    Ok(Exit::Done)
}

/// Takes every action of a VM, or gives them back.
///
/// *Errors*: those of the call and of writing.
pub async fn break_glass(client: &Client, args: &GlassArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let vm = client.find_vm(&args.vm).await?;
    let Some(reason) = args.reason.clone().filter(|_| !args.end) else {
        client.mend_glass(vm).await?;
        output.show(&client.freezes().await?, print_list)?;
        return Ok(Exit::Done);
    };
    let request = GlassRequest { reason, for_s: args.span.as_secs() };
    output.show(&client.break_glass(vm, &request).await?, |output, glass| {
        output.line(&format!("every action of {} is the operator's until {}", glass.vm, glass.until))?;
        print_running(output, &glass.running)
    })?;
    Ok(Exit::Done)
}

fn print_list(output: &mut Output, list: &FreezeList) -> io::Result<()> {
    let mut table = Table::new(&["FROZEN", "FOR", "SINCE", "REASON"]);
    for freeze in &list.freezes {
        table.row([
            freeze.scope.to_string(),
            super::provider::word(&freeze.reach),
            freeze.since.to_string(),
            freeze.reason.clone().unwrap_or_else(super::command::dash),
        ]);
    }
    output.table(&table, "nothing is frozen")?;
    for glass in &list.glass {
        output.line(&format!("the glass over {} is broken until {}", glass.vm, glass.until))?;
    }
    if list.freezes.is_empty() {
        return Ok(());
    }
    print_running(output, &list.running)
}

/// What goes on, one line each.
pub(super) fn print_running(output: &mut Output, running: &[RunningVm]) -> io::Result<()> {
    let mut table = Table::new(&["VM", "STILL RUNNING", "PROVIDER", "COMMAND"]);
    for vm in running {
        for command in &vm.commands {
            let (action, provider, id) = (&command.action, &command.provider, &command.id);
            table.row([vm.name.clone(), action.to_string(), provider.to_string(), id.to_string()]);
        }
        for open in &vm.holds {
            let owner = open.owner.as_ref().map_or_else(|| "not covirt's".to_owned(), ToString::to_string);
            table.row([vm.name.clone(), open.hold.to_string(), owner, super::command::dash()]);
        }
    }
    output.table(&table, "nothing is running")
}
