//! `covirt conflicts` and `explain`: what was contested, who was asked, and what was decided by which rule.

use std::io;

use super::client::Client;
use super::command::{dash, print_command};
use super::exit::Exit;
use super::fault::CarryOutError;
use super::names::Names;
use super::output::{Output, Shown};
use super::provider::word;
use super::table::Table;
use super::times::clock;
use crate::doors::wire::Explanation;
use crate::model::{CommandId, ConflictId};
use crate::resolver::{Answer, AskRecord, ConflictRecord, Party};

/// `conflicts`.
#[derive(Debug, clap::Args)]
pub struct ConflictsArgs {
    /// Name or UUID
    vm: String,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// `explain`.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// The command's id
    id: CommandId,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// What is contested, and the operator's word on it
#[derive(Debug, clap::Subcommand)]
pub enum ConflictCommand {
    /// List a VM's conflicts, those that wait for the operator among them
    List(ConflictsArgs),
    /// Say which command of a conflict goes first (operator)
    Decide(DecideArgs),
}

/// `conflict decide`.
#[derive(Debug, clap::Args)]
pub struct DecideArgs {
    /// The conflict's id
    id: ConflictId,
    /// The id of the command that goes first
    #[arg(long, value_name = "COMMAND")]
    first: CommandId,
    #[command(flatten)]
    pub(super) shown: Shown,
}

impl ConflictCommand {
    pub(super) const fn shown(&self) -> &Shown {
        match self {
            Self::List(args) => &args.shown,
            Self::Decide(args) => &args.shown,
        }
    }
}

/// Lists conflicts, or decides one.
///
/// *Errors*: those of the call and of writing.
pub async fn conflict(client: &Client, command: &ConflictCommand, output: &mut Output) -> Result<Exit, CarryOutError> {
    let args = match command {
        ConflictCommand::List(args) => return conflicts(client, args, output).await,
        ConflictCommand::Decide(args) => args,
    };
    output.show(&client.decide(args.id, args.first).await?, |output, conflict| {
        let rule = conflict.verdict.as_ref().map_or("", |verdict| verdict.rule.as_str());
        output.line(&format!("conflict {}: {} goes first, by {rule}", conflict.id, args.first))
    })?;
    Ok(Exit::Done)
}

/// Lists a VM's conflicts.
///
/// *Errors*: those of the call and of writing.
pub async fn conflicts(client: &Client, args: &ConflictsArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let vm = client.find_vm(&args.vm).await?;
    let names = Names::of(client, vm, output).await;
    output.show(&client.conflicts(vm).await?, |output, list| {
        if list.conflicts.is_empty() {
            return output.line("no conflicts");
        }
        for (number, conflict) in list.conflicts.iter().enumerate() {
            if number > 0 {
                output.gap()?;
            }
            print_conflict(output, conflict, &names)?;
        }
        Ok(())
    })?;
    Ok(Exit::Done)
}

/// Tells why a command went as it did.
///
/// *Errors*: those of the call and of writing.
pub async fn explain(client: &Client, args: &ExplainArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    output.show(&client.explain(args.id).await?, print_explanation)?;
    Ok(Exit::Done)
}

fn print_explanation(output: &mut Output, explanation: &Explanation) -> io::Result<()> {
    print_command(output, &explanation.command)?;
    output.gap()?;
    output.heading("What happened")?;
    let mut story = Table::bare();
    for moment in &explanation.story {
        story.row([clock(moment.at), moment.what.clone()]);
    }
    output.table(&story, "nothing yet")
}

fn print_conflict(output: &mut Output, conflict: &ConflictRecord, names: &Names) -> io::Result<()> {
    let mut table = Table::bare();
    table.pair("conflict", Some(conflict.id.to_string()));
    let [one, other] = conflict.between;
    table.pair("between", Some(names.long(one)));
    table.pair("and", Some(names.long(other)));
    table.pair("over", Some(conflict.contested.join(", ")));
    let order = |fails: &Option<String>| fails.clone().unwrap_or_else(|| "possible".to_owned());
    table.pair("in this order", Some(order(&conflict.feasible.first_then_second)));
    table.pair("the other way", Some(order(&conflict.feasible.second_then_first)));
    table.pair("found", Some(conflict.opened_at.to_string()));
    for asked in &conflict.asked {
        table.pair("asked", Some(ask_sentence(asked, names)));
    }
    let waits = conflict.escalated_until.filter(|_| conflict.verdict.is_none() && conflict.moot.is_none());
    let decide = |until| format!("for the operator until {until}: covirt conflict decide {} --first ID", conflict.id);
    table.pair("waits", waits.map(decide));
    if let Some(verdict) = &conflict.verdict {
        let at = conflict.settled_at.map_or_else(dash, |at| at.to_string());
        table.pair("settled", Some(format!("{at} by {}", verdict.rule.as_str())));
        table.pair("first", Some(names.long(verdict.first)));
        table.pair("then", Some(names.long(verdict.second)));
        for finding in &verdict.trail {
            table.pair("", Some(format!("{}: {}", finding.rule.as_str(), finding.found)));
        }
    }
    table.pair("moot", conflict.moot.map(|id| format!("{} ended before a decision was needed", names.long(id))));
    output.table(&table, "")
}

/// Who was asked, and what came of it.
fn ask_sentence(asked: &AskRecord, names: &Names) -> String {
    let answer = match (&asked.answer, &asked.how) {
        (Some(answer), Some(how)) => format!("{} ({})", answer_words(answer, names), word(how)),
        (Some(answer), None) => answer_words(answer, names),
        (None, _) => "no answer yet".to_owned(),
    };
    format!("{} at {} in epoch {}: {answer}", party_name(&asked.who), clock(asked.asked_at), asked.epoch)
}

/// What was answered, naming the command.
pub(super) fn answer_words(answer: &Answer, names: &Names) -> String {
    match answer {
        Answer::First(id) => format!("{} first", names.short(*id)),
        Answer::Withdraw(id) => format!("{} taken back", names.short(*id)),
        Answer::NoOpinion => "either".to_owned(),
    }
}

/// Who was asked.
pub(super) fn party_name(party: &Party) -> String {
    match party {
        Party::Hook => "hook".to_owned(),
        Party::Provider(provider) => provider.to_string(),
    }
}
