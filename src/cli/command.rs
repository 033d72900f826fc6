//! `covirt commands`, `command` and `cancel`: where commands stand.

use std::io;

use serde_json::Value;

use super::client::Client;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::output::{Output, Shown};
use super::provider::word;
use super::table::{Table, plain};
use super::times::clock;
use crate::doors::wire::CommandView;
use crate::model::CommandId;
use crate::resolver::StampNote;

/// `commands`.
#[derive(Debug, clap::Args)]
pub struct CommandsArgs {
    /// Name or UUID
    vm: String,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// `command`.
#[derive(Debug, clap::Args)]
pub struct CommandArgs {
    /// The command's id
    id: CommandId,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// `cancel`.
#[derive(Debug, clap::Args)]
pub struct CancelArgs {
    /// Name or UUID
    vm: String,
    /// The command's id
    id: CommandId,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// Lists a VM's commands.
///
/// *Errors*: those of the call and of writing.
pub async fn commands(client: &Client, args: &CommandsArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let vm = client.find_vm(&args.vm).await?;
    output.show(&client.commands(vm).await?, |output, list| {
        let mut table = Table::new(&["RECEIVED", "PROVIDER", "SEQ", "ACTION", "STATE", "RULE", "ID"]);
        for view in &list.commands {
            table.row([
                clock(view.received_at),
                view.provider.to_string(),
                view.order.seq.map_or_else(dash, |seq| seq.to_string()),
                wish(view),
                view.state.as_str().to_owned(),
                view.rule.map_or_else(dash, |rule| rule.as_str().to_owned()),
                view.id.to_string(),
            ]);
        }
        output.table(&table, "no commands")
    })?;
    Ok(Exit::Done)
}

/// Shows one command; the exit code says how it ended.
///
/// *Errors*: those of the call and of writing.
pub async fn command(client: &Client, args: &CommandArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let view = client.command(args.id).await?;
    output.show(&view, print_command)?;
    Ok(Exit::of(view.state))
}

/// Takes a command back.
///
/// *Errors*: those of the call and of writing.
pub async fn cancel(client: &Client, args: &CancelArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let vm = client.find_vm(&args.vm).await?;
    let view = client.cancel(vm, args.id).await?;
    output.show(&view, print_command)?;
    Ok(Exit::Done)
}

/// One command, whole.
pub(super) fn print_command(output: &mut Output, view: &CommandView) -> io::Result<()> {
    let mut table = Table::bare();
    let code = view.code.map(|code| format!(" [{code}]")).unwrap_or_default();
    let reason = view.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    table.pair("state", Some(format!("{}{reason}{code}", view.state.as_str())));
    table.pair("command", Some(view.id.to_string()));
    let seq = view.order.seq.map(|seq| format!(", number {seq}")).unwrap_or_default();
    table.pair("action", Some(format!("{} by {} ({}{seq})", wish(view), view.provider, view.class)));
    table.pair("vm", Some(view.vm.to_string()));
    table.pair("after", ids(&view.order.after));
    table.pair("waits for", ids(&view.waiting_on));
    table.pair("rule", view.rule.map(|rule| rule.as_str().to_owned()));
    let conflicts: Vec<String> = view.conflicts.iter().map(ToString::to_string).collect();
    table.pair("conflicts", (!conflicts.is_empty()).then(|| conflicts.join(" ")));
    table.pair("because of", view.cause.map(|id| id.to_string()));
    table.pair("gap", view.seq_gap.map(|seq| format!("number {seq} never came")));
    let stamp = match view.stamp {
        StampNote::Good | StampNote::Missing => String::new(),
        note @ (StampNote::ClampedFuture | StampNote::ClockBeyondLimit) => format!(" ({})", word(&note)),
    };
    table.pair("issued", view.issued_at.map(|at| format!("{at}{stamp}")));
    table.pair("must start by", view.must_start_by.map(|at| at.to_string()));
    table.pair("broke the glass", view.break_glass.as_deref().map(plain));
    table.pair("client's call", view.call.as_ref().map(|call| plain(&call.to_string())));
    table.pair("put back", (view.deferrals > 0).then(|| format!("{} times", view.deferrals)));
    table.pair("received", Some(view.received_at.to_string()));
    table.pair("started", view.started_at.map(|at| at.to_string()));
    table.pair("finished", view.finished_at.map(|at| at.to_string()));
    table.pair("result", (!view.result.is_null()).then(|| view.result.to_string()));
    output.table(&table, "")
}

/// The action with the arguments that say what it is about.
pub(super) fn wish(view: &CommandView) -> String {
    let mut text = view.action.to_string();
    for key in ["name", "disk", "device", "vcpus", "memory_kib", "uri", "to"] {
        match view.args.get(key) {
            Some(Value::String(value)) => text.push_str(&format!(" {value}")),
            Some(value) => text.push_str(&format!(" {value}")),
            None => {}
        }
    }
    text
}

fn ids<'a>(of: impl IntoIterator<Item = &'a CommandId>) -> Option<String> {
    let ids: Vec<String> = of.into_iter().map(ToString::to_string).collect();
    (!ids.is_empty()).then(|| ids.join(" "))
}

pub(super) fn dash() -> String {
    "-".to_owned()
}
