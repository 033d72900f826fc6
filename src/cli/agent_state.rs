//! `covirt health`, `whoami` and `audit verify`: how the agent is, whom it takes us for, and whether its memory holds.

use super::client::Client;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::output::{Output, Shown};
use super::table::Table;

/// A command without arguments of its own.
#[derive(Debug, clap::Args)]
pub struct PlainArgs {
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// How the agent is.
///
/// *Errors*: those of the call and of writing.
pub async fn health(client: &Client, output: &mut Output) -> Result<Exit, CarryOutError> {
    output.show(&client.health().await?, |output, health| {
        let mut table = Table::bare();
        table.pair("status", Some(health.status.clone()));
        table.pair("version", Some(health.version.clone()));
        table.pair("hypervisor", Some(health.hypervisor.clone()));
        table.pair("journal", Some(format!("durable up to {}", health.journal)));
        table.pair("co-managed", Some(format!("{} VMs", health.lanes)));
        output.table(&table, "")
    })?;
    Ok(Exit::Done)
}

/// Whom the agent takes us for.
///
/// *Errors*: those of the call and of writing.
pub async fn whoami(client: &Client, output: &mut Output) -> Result<Exit, CarryOutError> {
    output.show(&client.identity().await?, |output, identity| {
        let may = if identity.may_enroll { "may" } else { "may not" };
        output.line(&format!("{}, which {may} enroll VMs", identity.provider))
    })?;
    Ok(Exit::Done)
}

/// Checks the journal.
///
/// *Errors*: those of the call and of writing; damage is no error but the exit code.
pub async fn verify(client: &Client, output: &mut Output) -> Result<Exit, CarryOutError> {
    let report = client.audit().await?;
    output.show(&report, |output, report| {
        let mut table = Table::bare();
        table.pair("verdict", Some(report.verdict.clone()));
        table.pair("records", Some(report.records.to_string()));
        table.pair("head", report.head.clone());
        table.pair("damage", report.damage.clone());
        output.table(&table, "")
    })?;
    Ok(if report.damage.is_none() && report.verdict == "intact" { Exit::Done } else { Exit::Damaged })
}
