//! `covirt audit`: whether the journal is whole, who did what, and records for whoever checks the chain elsewhere.

use std::io;

use serde::Serialize;

use super::client::Client;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::output::{Output, Shown};
use super::table::Table;
use crate::doors::wire::{Deed, DeedList};
use crate::model::Wall;

/// The agent's memory
#[derive(Debug, clap::Subcommand)]
pub enum AuditCommand {
    /// Check every record of the journal against the chain of digests (operator)
    Verify(super::agent_state::PlainArgs),
    /// Tell who did what to a VM, one line each (operator)
    Who(WhoArgs),
    /// Print records with the chain that proves them, as JSON lines (operator)
    Export(ExportArgs),
}

impl AuditCommand {
    pub(super) const fn shown(&self) -> &Shown {
        match self {
            Self::Verify(args) => &args.shown,
            Self::Who(args) => &args.shown,
            Self::Export(args) => &args.shown,
        }
    }
}

/// `audit who`.
#[derive(Debug, clap::Args)]
pub struct WhoArgs {
    /// Name or UUID
    vm: String,
    /// Only what came at or after this moment (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<Wall>,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// `audit export`.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// Only the records of this VM: name or UUID [default: all, with the host's own]
    #[arg(long, value_name = "VM")]
    vm: Option<String>,
    /// Only what was written at or after this moment (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<Wall>,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// Looks into the journal.
///
/// *Errors*: those of the call and of writing.
pub async fn audit(client: &Client, command: &AuditCommand, output: &mut Output) -> Result<Exit, CarryOutError> {
    match command {
        AuditCommand::Verify(_) => super::agent_state::verify(client, output).await,
        AuditCommand::Who(args) => who(client, args, output).await,
        AuditCommand::Export(args) => export(client, args, output).await,
    }
}

async fn who(client: &Client, args: &WhoArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let vm = client.find_vm(&args.vm).await?;
    let mut all = DeedList { deeds: Vec::new(), cursor: 0 };
    loop {
        let page = client.deeds(all.cursor, vm, args.since).await?;
        if page.cursor <= all.cursor {
            break;
        }
        all.cursor = page.cursor;
        all.deeds.extend(page.deeds);
    }
    output.show(&all, |output, all| {
        let mut table = Table::new(&["RECEIVED", "ISSUED", "WHO", "PEER", "WHAT", "SEQ", "RULE", "OUTCOME"]);
        for deed in &all.deeds {
            table.row(row(deed));
        }
        output.table(&table, "nobody has done anything")
    })?;
    Ok(Exit::Done)
}

fn row(deed: &Deed) -> [String; 8] {
    let dash = super::command::dash;
    [
        deed.received_at.to_string(),
        deed.issued_at.map_or_else(dash, |at| at.to_string()),
        deed.provider.to_string(),
        deed.peer.as_ref().map_or_else(dash, ToString::to_string),
        deed.what.clone(),
        deed.seq.map_or_else(dash, |seq| seq.to_string()),
        deed.rule.map_or_else(dash, |rule| rule.as_str().to_owned()),
        deed.outcome.clone().unwrap_or_else(dash),
    ]
}

async fn export(client: &Client, args: &ExportArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let vm = match &args.vm {
        Some(name) => Some(client.find_vm(name).await?),
        None => None,
    };
    let mut cursor = 0;
    loop {
        let page = client.records(cursor, vm, args.since).await?;
        if page.cursor <= cursor {
            return Ok(Exit::Done);
        }
        cursor = page.cursor;
        for record in &page.records {
            output.line(&line(record)?)?;
        }
    }
}

/// One record on one line of plain ASCII, whatever is in it, so that no terminal and no other program sees more in it.
fn line(record: &impl Serialize) -> io::Result<String> {
    let text = serde_json::to_string(record).map_err(io::Error::other)?;
    let mut line = String::with_capacity(text.len());
    for one in text.chars() {
        if (' '..='~').contains(&one) {
            line.push(one);
        } else {
            // Outside a string JSON has none of these.
            let mut units = [0; 2];
            for unit in one.encode_utf16(&mut units) {
                line.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_of_ascii_that_means_the_same() {
        let text = "a\u{7f}\u{85}\u{202e}\u{1f4a5}\n\"";
        let line = line(&text).unwrap();
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }
}
