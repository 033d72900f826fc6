//! `covirt run`: sends one command and waits for its end.
//!
//! The id and the issue time are made here, before anything is sent, so that a lost answer leaves the reader with an
//! id to ask for, and sending again is not doing again.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;
use uuid::Uuid;

use super::arguments::{Argument, assemble, parse_argument};
use super::client::{CallAgentError, Client};
use super::command::print_command;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::output::{Output, Shown};
use super::table::plain;
use super::times::{Moment, now, parse_moment, parse_span};
use crate::doors::wire::{CommandRequest, CommandView};
use crate::model::{Action, Class, CommandId, Guard, Order, VmId, Wall};

/// Between two looks at a command that the agent does not hold the answer for any longer.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// `run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Name or UUID
    vm: String,
    /// What to do, such as power.reboot or snapshot.create
    action: Action,
    /// Arguments; a VALUE that is JSON counts as JSON, everything else as text (name='"7"' is the text 7)
    ///
    /// KEY.KEY=VALUE sets a value inside another (files.vda=/backup/a). KEY=@FILE is the text in a file, KEY=@- that of
    /// standard input, without its last line break: the way for a password, which other users could read from the command
    /// line.
    #[arg(value_name = "KEY=VALUE", value_parser = parse_argument)]
    arguments: Vec<Argument>,
    /// Run only after this command has ended, whoever sent it
    #[arg(long, value_name = "ID", help_heading = "Order")]
    after: Vec<CommandId>,
    /// Sequence number among your commands on this VM [default: the next]
    #[arg(long, value_name = "N", help_heading = "Order")]
    seq: Option<u64>,
    /// When it was issued, by your clock [default: now]
    #[arg(long, value_name = "TIME", help_heading = "Order")]
    issued_at: Option<Wall>,
    /// Not to be begun after this: a time, or +30s from now
    #[arg(long, value_name = "TIME", value_parser = parse_moment, help_heading = "Order")]
    not_after: Option<Moment>,
    /// Wished to have begun by this: a time, or +30s from now; near then it goes before its equals
    #[arg(long, value_name = "TIME", value_parser = parse_moment, help_heading = "Order")]
    must_start_by: Option<Moment>,
    /// Past every delegation and queue; the operator alone, for the reason that it gives
    #[arg(long, value_name = "REASON", help_heading = "Order")]
    break_glass: Option<String>,
    /// routine, critical or emergency
    #[arg(long, value_name = "CLASS", default_value = "routine", value_parser = parse_class, help_heading = "Order")]
    class: Class,
    /// Run only when the VM is so: state=running, generation=…, vcpus=2, memory_kib=1048576
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_guard_part)]
    guard: Vec<(String, Value)>,
    /// Run only under this delegation epoch
    #[arg(long, value_name = "N")]
    epoch: Option<u64>,
    /// Its id, the idempotency key: send again with the same to be sure [default: a new UUIDv7]
    #[arg(long, value_name = "UUID")]
    id: Option<CommandId>,
    /// How long to wait for its end
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = parse_span)]
    wait: Duration,
    /// Do not wait
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// Sends the command and waits.
///
/// *Errors*: those of the call and of writing; how the command ended is no error but the exit code.
pub async fn run(client: &Client, args: &RunArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let request = args.request()?;
    let vm = client.find_vm(&args.vm).await?;
    let wait = if args.no_wait { Duration::ZERO } else { args.wait };
    let view = send(client, vm, &request, wait).await.map_err(|error| unsure(request.id, error))?;
    output.show(&view, print_command)?;
    Ok(if args.no_wait && !view.state.is_terminal() { Exit::Done } else { Exit::of(view.state) })
}

/// A request that left may have arrived, unless the agent says otherwise or was never there.
fn unsure(id: CommandId, error: CallAgentError) -> CarryOutError {
    match error {
        CallAgentError::Silent { .. } | CallAgentError::Lost { .. } => CarryOutError::Unsure { id, source: error },
        CallAgentError::Unreachable { .. }
        | CallAgentError::Stranger { .. }
        | CallAgentError::Refused(_)
        | CallAgentError::Garbled { .. } => CarryOutError::Call(error),
    }
}

async fn send(
    client: &Client,
    vm: VmId,
    request: &CommandRequest,
    wait: Duration,
) -> Result<CommandView, CallAgentError> {
    let end = Instant::now() + wait;
    let mut progress = Progress::new();
    // With somebody watching, the answer is held back only until there is something to tell.
    let hold = if progress.is_shown() { wait.min(Duration::from_secs(1)) } else { wait };
    let mut view = client.submit(vm, request, hold).await?;
    while !view.state.is_terminal() && Instant::now() < end {
        progress.tell(&view);
        tokio::time::sleep_until(end.min(Instant::now() + BETWEEN_LOOKS)).await;
        view = client.command(request.id).await?;
    }
    progress.clear();
    Ok(view)
}

impl RunArgs {
    fn request(&self) -> Result<CommandRequest, CarryOutError> {
        let args = assemble(&self.arguments)?;
        let now = now();
        Ok(CommandRequest {
            id: self.id.unwrap_or_else(|| CommandId(Uuid::now_v7())),
            action: self.action,
            args,
            order: Order { seq: self.seq, after: self.after.iter().copied().collect::<BTreeSet<_>>() },
            issued_at: Some(self.issued_at.unwrap_or(now)),
            not_after: self.not_after.map(|moment| moment.from(now)),
            must_start_by: self.must_start_by.map(|moment| moment.from(now)),
            break_glass: self.break_glass.clone(),
            guard: guard(&self.guard).unwrap_or_default(),
            class: self.class,
            epoch: self.epoch,
        })
    }
}

/// Reads a part of a guard and makes sure that it is one by itself.
fn parse_guard_part(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not of the form KEY=VALUE"))?;
    let number = |value: &str| value.parse::<u64>().map_or_else(|_| Value::String(value.to_owned()), Value::from);
    // A generation of digits only is still a text.
    let value = if matches!(key, "vcpus" | "memory_kib") { number(value) } else { Value::String(value.to_owned()) };
    let part = (key.to_owned(), value);
    guard(std::slice::from_ref(&part)).map(|_| part)
}

fn guard(parts: &[(String, Value)]) -> Result<Guard, String> {
    let parts: Map<String, Value> = parts.iter().cloned().collect();
    serde_json::from_value(Value::Object(parts)).map_err(|error| error.to_string())
}

fn parse_class(text: &str) -> Result<Class, String> {
    serde_json::from_value(Value::String(text.to_owned()))
        .map_err(|_| "one of routine, critical and emergency is expected".to_owned())
}

/// One line on standard error that says why the command is not over yet; only where somebody can see it.
struct Progress {
    shown: bool,
    last: String,
}

impl Progress {
    fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal(), last: String::new() }
    }

    const fn is_shown(&self) -> bool {
        self.shown
    }

    fn tell(&mut self, view: &CommandView) {
        let mut line = format!("{} {}", view.action, view.state.as_str());
        if let Some(reason) = &view.reason {
            line.push_str(&format!(": {}", plain(reason)));
        }
        if !view.waiting_on.is_empty() {
            let ids: Vec<String> = view.waiting_on.iter().map(ToString::to_string).collect();
            line.push_str(&format!(" (waits for {})", ids.join(", ")));
        }
        if self.shown && line != self.last {
            // A progress line that cannot be written is no reason to stop waiting.
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
            let _ = std::io::stderr().flush();
            self.last = line;
        }
    }

    fn clear(&mut self) {
        if self.shown && !self.last.is_empty() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
            self.last.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_checked_before_anything_is_sent() {
        for good in ["state=running", "generation=1234567890123456", "memory_kib=1024"] {
            let part = parse_guard_part(good).unwrap();
            assert_eq!(part.0, good.split('=').next().unwrap());
        }
        for bad in ["state=up", "vcpus=two", "disks=1", "state"] {
            assert!(parse_guard_part(bad).is_err(), "{bad}");
        }
    }
}
