//! `covirt timeline`: who wanted what and when, what was decided by which rule, and what came of it.
//!
//! Every row is one event of the agent; the columns that an event does not fill come from the command or the conflict
//! it is about. Nothing is told that the agent did not say.

use serde::Serialize;

use super::calls::EventsAsked;
use super::client::{CallAgentError, Client};
use super::command::{dash, wish};
use super::conflict::{answer_words, party_name};
use super::exit::Exit;
use super::fault::CarryOutError;
use super::names::Names;
use super::output::{Output, Shown};
use super::provider::word;
use super::table::Table;
use super::times::clock;
use crate::doors::wire::Event;
use crate::model::{CommandId, ProviderId, VmId, Wall};
use crate::resolver::{Admission, Fact, Origin, Rule, StampNote};

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
    let known = Known(client.commands(vm).await?.commands.into());
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
        // A page may be empty and still move on: past what we may not see.
        if page.cursor <= after {
            all.extend(page.events);
            return Ok(all);
        }
        after = page.cursor;
        all.extend(page.events);
    }
}

/// What events are about.
struct Known(Names);

impl Known {
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
        let says = |outcome: String, row: Row| Row { outcome: Some(outcome), ..row };
        match fact {
            Fact::Enrolled { primary, .. } => Row { who: by(&primary), ..row },
            Fact::Released { by: who } | Fact::Delegation { by: who, .. } => Row { who: by(&who), ..row },
            Fact::DrainBegan { by: who, drain } => {
                let closing: Vec<String> = drain.closing.keys().map(ToString::to_string).collect();
                says(format!("until {} has nothing in flight", closing.join(" and ")), Row { who: by(&who), ..row })
            }
            Fact::DrainEnded { failed } => says(failed.unwrap_or_else(|| "nothing is in flight".to_owned()), row),
            Fact::Escalated { .. } => says("the operator is to decide".to_owned(), row),
            Fact::Decided { by: who, first, .. } => {
                says(format!("{} first", self.0.short(first)), Row { who: by(&who), ..row })
            }
            Fact::Admitted(admission) => Row {
                issued_at: admission.command.issued_at,
                outcome: Some(admitted(&admission)),
                ..self.about(row, admission.command.id)
            },
            Fact::Started { command, .. } => self.about(says("at the hypervisor".to_owned(), row), command),
            Fact::GapFlagged { command, expected } => {
                self.about(says(format!("number {expected} never came"), row), command)
            }
            Fact::BecameUnknown { command } => self.about(says("its answer was lost".to_owned(), row), command),
            Fact::FoundUndone { command } => self.about(says("it took no effect".to_owned(), row), command),
            Fact::Ended { command, outcome } => {
                let rule = self.0.command(command).and_then(|view| view.rule);
                let told = format!("{}: {}", outcome.ending, outcome.reason);
                self.about(says(told, Row { rule, ..row }), command)
            }
            Fact::ConflictOpened { between: [one, other], contested, .. } => {
                let contested: Vec<String> = contested.iter().map(ToString::to_string).collect();
                let pair = format!("{}, {}", self.0.short(one), self.0.short(other));
                says(format!("{pair}: over {}", contested.join(", ")), row)
            }
            Fact::Asked { epoch, who, .. } => {
                let who: Vec<String> = who.iter().map(party_name).collect();
                says(format!("{}, epoch {epoch}", who.join(", ")), row)
            }
            Fact::Answered { by, answer, how, .. } => {
                let told = format!("{} ({})", answer_words(&answer, &self.0), word(&how));
                says(told, Row { who: Some(party_name(&by)), ..row })
            }
            Fact::Settled { verdict, .. } => {
                let told = format!("{}, then {}", self.0.short(verdict.first), self.0.short(verdict.second));
                says(told, Row { rule: Some(verdict.rule), ..row })
            }
            Fact::HoldOpened { hold, command, owner, .. } => {
                let row = Row { who: owner.as_ref().and_then(by), ..says(format!("{hold} is open"), row) };
                command.into_iter().fold(row, |row, command| self.about(row, command))
            }
            Fact::HoldGivenUp { hold, why } => says(format!("{hold} is to be ended: {why}"), row),
            Fact::HoldClosed { hold, how } => says(format!("{hold} is over: {how}"), row),
            Fact::ChannelOpened { owner, kind, from, .. } => {
                let row = Row { what: Some(kind.action().to_string()), ..row };
                says(format!("the {kind} is open ({from})"), Row { who: Some(owner.to_string()), ..row })
            }
            Fact::ChannelClosed { how, .. } => says(format!("a channel is closed: {how}"), row),
            Fact::Observed { origin, .. } | Fact::Happened { origin, .. } | Fact::Vanished { origin: Some(origin) } => {
                self.brought_about(row, &origin)
            }
            Fact::Frozen { .. } | Fact::Thawed { .. } => Row { who: Some("operator".to_owned()), ..row },
            Fact::GlassBroken { by, .. } | Fact::GlassMended { by } => Row { who: Some(by.to_string()), ..row },
            Fact::Host(fact) => Row { who: Some(fact.by().provider.to_string()), ..says(fact.to_string(), row) },
            Fact::Vanished { origin: None } => row,
        }
    }

    /// Who made the VM so, and by what.
    fn brought_about(&self, row: Row, origin: &Origin) -> Row {
        match origin {
            Origin::Command { command } => {
                // Whose doing it was is in columns of its own.
                let told = row.text.rsplit_once(" (").map_or(row.text.as_str(), |(told, _)| told).to_owned();
                Row { outcome: Some(told), ..self.about(row, *command) }
            }
            Origin::Look => Row { who: Some("covirt".to_owned()), ..row },
            Origin::OutOfBand { .. } | Origin::Guest { .. } | Origin::Hypervisor { .. } => {
                let (who, what) = (origin.actor(), origin.cause());
                Row { who: who.map(|who| who.to_string()), what: what.map(|what| what.to_string()), ..row }
            }
        }
    }

    fn about(&self, row: Row, id: CommandId) -> Row {
        let Some(view) = self.0.command(id) else { return Row { command: Some(id), ..row } };
        let (who, what) = (Some(view.provider.to_string()), Some(wish(view)));
        Row { command: Some(id), who, what, seq: view.order.seq, ..row }
    }
}

/// Its class, what is wrong with its issue time, and the client's call if it is one.
fn admitted(admission: &Admission) -> String {
    let (class, stamp) = (admission.command.class, admission.stamp);
    let call = admission.command.call.as_ref().map(|call| format!(", {call}")).unwrap_or_default();
    match stamp {
        StampNote::Good => format!("{class}{call}"),
        StampNote::Missing | StampNote::ClampedFuture | StampNote::ClockBeyondLimit => {
            format!("{class}, issue time: {}{call}", word(&stamp))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Cause;

    fn row(origin: Origin) -> Row {
        let fact = Fact::Happened { origin, subject: None };
        let vm = VmId(uuid::Uuid::from_u128(1));
        let (at, fact) = (Wall::from_micros(0), serde_json::to_value(fact).unwrap());
        let event = Event { cursor: 1, at, vm, kind: "happened".to_owned(), text: "it happened".to_owned(), fact };
        Known(Vec::new().into()).row(event)
    }

    #[test]
    fn whoever_acted_past_covirt_has_a_row_like_a_provider() {
        let told = |origin| {
            let row = row(origin);
            (row.who.unwrap_or_default(), row.what.unwrap_or_default())
        };
        let pair = |who: &str, what: &str| (who.to_owned(), what.to_owned());
        assert_eq!(told(Origin::past_us(Some(Cause::Rebooted))), pair("guest", "rebooted"));
        assert_eq!(told(Origin::past_us(Some(Cause::NoSpace))), pair("hypervisor", "no-space"));
        assert_eq!(told(Origin::past_us(Some(Cause::DeviceRemoved))), pair("out-of-band", "device-removed"));
        assert_eq!(told(Origin::past_us(None)), pair("out-of-band", ""));
        assert_eq!(told(Origin::Look), pair("covirt", ""));
    }
}
