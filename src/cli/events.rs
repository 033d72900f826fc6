//! `covirt events`: the journal as it tells what happened, from a cursor on.

use std::time::Duration;

use super::calls::EventsAsked;
use super::client::Client;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::output::{Output, Shown};
use super::times::clock;

/// How long the agent may hold an empty page back.
const POLL: Duration = Duration::from_secs(30);

/// `events`.
#[derive(Debug, clap::Args)]
pub struct EventsArgs {
    /// Go on with what happens from now
    #[arg(long, short = 'f')]
    follow: bool,
    /// Only what comes after this cursor
    #[arg(long, value_name = "CURSOR", default_value_t = 0)]
    after: u64,
    /// Only this VM's, by name or UUID
    #[arg(long, value_name = "VM")]
    vm: Option<String>,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// Prints events, one a line, as JSON too.
///
/// *Errors*: those of the calls and of writing.
pub async fn events(client: &Client, args: &EventsArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let vm = match &args.vm {
        Some(name) => Some(client.find_vm(name).await?),
        None => None,
    };
    let wait = if args.follow { POLL } else { Duration::ZERO };
    let mut after = args.after;
    loop {
        let page = client.events(EventsAsked { after, vm, wait }).await?;
        for event in &page.events {
            output.item(event, |event| {
                format!("{:>6}  {}  {:<17}  {}", event.cursor, clock(event.at), event.kind, event.text)
            })?;
        }
        // A page may be empty and still move on: past what we may not see.
        let over = page.cursor <= after;
        after = after.max(page.cursor);
        if over && !args.follow {
            return Ok(Exit::Done);
        }
    }
}
