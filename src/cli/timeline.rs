//! `covirt timeline`: who wanted what and when, what was decided by which rule, and what came of it.
//!
//! Every row is one event of the agent; the columns that an event does not fill come from the command or the conflict
//! it is about. Nothing is told that the agent did not say.

use std::collections::BTreeMap;

use serde::Serialize;

use super::calls::EventsAsked;
use super::client::{CallAgentError, Client};
use super::command::{dash, wish};
use super::conflict::party_name;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::output::{Output, Shown};
use super::table::Table;
use super::times::clock;
use crate::doors::wire::{CommandView, Event};
use crate::model::{CommandId, ConflictId, ProviderId, VmId, Wall};
use crate::resolver::{ConflictRecord, Fact, Rule};

/// `timeline`.
#[derive(Debug, clap::Args)]
pub struct TimelineArgs {
    /// Name or UUID
    vm: String,
    /// Only what comes after this cursor
    #[arg(long, value_name = "CURSOR", default_value_t = 0)]
    after: u64,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// One row. As JSON, columns that are not filled are left out.
#[derive(Debug, Default, Serialize)]
pub struct Row {
    cursor: u64,
    at: Option<Wall>,
    event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<CommandId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_at: Option<Wall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Rule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    text: String,
}

/// Prints a VM's timeline.
///
/// *Errors*: those of the calls and of writing.
pub async fn timeline(client: &Client, args: &TimelineArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let vm = client.find_vm(&args.vm).await?;
    let known = Known::of(client, vm).await?;
    let events = all_events(client, vm, args.after).await?;
    let rows: Vec<Row> = events.into_iter().map(|event| known.row(event)).collect();
    output.show(&rows, |output, rows| {
        let mut table = Table::new(&["WHEN", "WHO", "WHAT", "SEQ", "ISSUED", "EVENT", "RULE", "OUTCOME"]);
        for row in rows {
            table.row([
                row.at.map_or_else(dash, clock),
                row.who.clone().unwrap_or_default(),
                row.what.clone().unwrap_or_default(),
                row.seq.map(|seq| seq.to_string()).unwrap_or_default(),
                row.issued_at.map(clock).unwrap_or_default(),
                row.event.clone(),
                row.rule.map(|rule| rule.as_str().to_owned()).unwrap_or_default(),
                row.outcome.clone().unwrap_or_else(|| row.text.clone()),
            ]);
        }
        output.table(&table, "nothing happened yet")
    })?;
    Ok(Exit::Done)
}

async fn all_events(client: &Client, vm: VmId, mut after: u64) -> Result<Vec<Event>, CallAgentError> {
    let mut all = Vec::new();
    loop {
        let asked = EventsAsked { after, vm: Some(vm), wait: std::time::Duration::ZERO };
        let page = client.events(asked).await?;
        if page.events.is_empty() || page.cursor <= after {
            all.extend(page.events);
            return Ok(all);
        }
        after = page.cursor;
        all.extend(page.events);
    }
}

/// What events are about.
struct Known {
    commands: BTreeMap<CommandId, CommandView>,
    conflicts: BTreeMap<ConflictId, ConflictRecord>,
}

impl Known {
    async fn of(client: &Client, vm: VmId) -> Result<Self, CallAgentError> {
        let commands = client.commands(vm).await?.commands;
        let conflicts = client.conflicts(vm).await?.conflicts;
        Ok(Self {
            commands: commands.into_iter().map(|view| (view.id, view)).collect(),
            conflicts: conflicts.into_iter().map(|conflict| (conflict.id, conflict)).collect(),
        })
    }

    fn row(&self, event: Event) -> Row {
        let row =
            Row { cursor: event.cursor, at: Some(event.at), event: event.kind, text: event.text, ..Row::default() };
        // An agent of a later version may know facts that we do not; its text still tells.
        match serde_json::from_value::<Fact>(event.fact) {
            Ok(fact) => self.fill(row, fact),
            Err(_) => row,
        }
    }

    fn fill(&self, row: Row, fact: Fact) -> Row {
        let by = |who: &ProviderId| Some(who.to_string());
        match fact {
            Fact::Enrolled { primary, .. } => Row { who: by(&primary), ..row },
            Fact::Released { by: who } | Fact::Delegation { by: who, .. } => Row { who: by(&who), ..row },
            Fact::Admitted(admission) => Row {
                issued_at: admission.command.issued_at,
                seq: admission.command.order.seq,
                ..self.about_command(row, admission.command.id)
            },
            Fact::GapFlagged { command, .. }
            | Fact::Started { command, .. }
            | Fact::BecameUnknown { command }
            | Fact::FoundUndone { command } => self.about_command(row, command),
            Fact::Ended { command, outcome } => {
                let told = format!("{}: {}", outcome.ending, outcome.reason);
                let rule = self.commands.get(&command).and_then(|view| view.rule);
                Row { outcome: Some(told), rule, ..self.about_command(row, command) }
            }
            Fact::ConflictOpened { between, .. } => Row { what: Some(self.both(between)), ..row },
            Fact::Asked { conflict, who, .. } => {
                let who: Vec<String> = who.iter().map(party_name).collect();
                self.about_conflict(Row { who: Some(who.join(", ")), ..row }, conflict)
            }
            Fact::Answered { conflict, by, .. } => {
                self.about_conflict(Row { who: Some(party_name(&by)), ..row }, conflict)
            }
            Fact::Settled { verdict, .. } => {
                Row { rule: Some(verdict.rule), what: Some(self.both([verdict.first, verdict.second])), ..row }
            }
            Fact::Observed { .. } | Fact::Vanished {} => row,
        }
    }

    fn about_command(&self, row: Row, id: CommandId) -> Row {
        let Some(view) = self.commands.get(&id) else { return Row { command: Some(id), ..row } };
        Row {
            command: Some(id),
            who: Some(view.provider.to_string()),
            what: Some(wish(view)),
            seq: view.order.seq,
            ..row
        }
    }

    fn about_conflict(&self, row: Row, id: ConflictId) -> Row {
        Row { what: self.conflicts.get(&id).map(|conflict| self.both(conflict.between)), ..row }
    }

    /// The two commands, in this order.
    fn both(&self, ids: [CommandId; 2]) -> String {
        ids.map(|id| self.commands.get(&id).map_or_else(|| id.to_string(), |view| view.action.to_string())).join(", ")
    }
}
