//! `covirt provider`: who the providers are; and `session`, a ready client for a provider that has none of its own.
//!
//! Sends clock samples, prints every ask and event, and answers each ask as the flags say. It does not connect again
//! by itself: whoever supervises it learns of a lost session by its exit code.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior};

use super::client::Client;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::join::{self, JoinArgs, RotateArgs};
use super::output::{Output, Shown};
use super::provider_admin::{self, AddArgs, ListArgs, RemoveArgs};
use super::session::Session;
use super::times::{clock, now, parse_span};
use crate::doors::wire::{FromAgent, FromProvider};
use crate::model::ConflictId;
use crate::resolver::Said;

/// Samples taken at once when the session opens, so that the first command's stamp already counts.
const FIRST_SAMPLES: u8 = 4;
/// From then on, between two samples.
const BETWEEN_SAMPLES: Duration = Duration::from_secs(30);

/// Who the providers are, and acting as one
#[derive(Debug, clap::Subcommand)]
pub enum ProviderCommand {
    /// Invite a provider: print the token with which it joins (operator)
    ///
    /// The token is shown this once. A provider that is there gets another token, for another key.
    Add(AddArgs),
    /// List the providers, their keys and the tokens that wait (operator)
    List(ListArgs),
    /// Show a provider out, or end one key of it (operator)
    ///
    /// Its keys are revoked and its connections end at once. What was delegated to it is taken back, and its commands
    /// that wait are cancelled; VMs that it is the primary of stay co-managed until the operator releases them.
    Remove(RemoveArgs),
    /// Join an agent on another host with a token: make a key, get a certificate for it
    ///
    /// Nothing is sent to an agent that does not show the certificate that the token names. The folder can be used at
    /// once: `covirt --identity DIR …`, and virsh with `qemu://HOST:PORT/system?pkipath=DIR`.
    Join(JoinArgs),
    /// Replace the key in a folder; the old one stays good for a while
    Rotate(RotateArgs),
    /// Hold a session open, print what arrives and answer every ask
    ///
    /// Ends with exit code 8 when the agent ends the session, and with 0 on SIGINT, SIGTERM or after --count answers.
    Session(SessionArgs),
}

impl ProviderCommand {
    /// Whether it says itself which agent it is for: who joins has no key yet, and who replaces one names its folder.
    pub(super) const fn names_its_agent(&self) -> bool {
        match self {
            Self::Join(_) | Self::Rotate(_) => true,
            Self::Add(_) | Self::List(_) | Self::Remove(_) | Self::Session(_) => false,
        }
    }

    pub(super) const fn shown(&self) -> Shown {
        match self {
            Self::Add(args) => args.shown,
            Self::List(args) => args.shown,
            Self::Remove(args) => args.shown,
            Self::Join(args) => args.shown,
            Self::Rotate(args) => args.shown,
            Self::Session(args) => args.shown,
        }
    }
}

/// What to say in a session.
#[derive(Debug, clap::Args)]
pub struct SessionArgs {
    /// What to answer when asked which command goes first
    #[arg(long, value_name = "ANSWER", default_value = "no-opinion", value_parser = parse_answer,
          long_help = "What to answer when asked which command goes first: mine-first, theirs-first, withdraw-mine or \
                       no-opinion")]
    answer: Said,
    /// Think this long before answering
    #[arg(long, value_name = "SPAN", default_value = "0s", value_parser = parse_span)]
    delay: Duration,
    /// Leave after this many answers
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Print the asks and answer none
    #[arg(long, conflicts_with = "count")]
    silent: bool,
    /// Print events that come after this cursor [default: those from now on]
    #[arg(long, value_name = "CURSOR")]
    after: Option<u64>,
    /// Print no events
    #[arg(long, conflicts_with = "after")]
    no_events: bool,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// The wire's own words; there is no second list of them here.
fn parse_answer(text: &str) -> Result<Said, String> {
    serde_json::from_value(Value::String(text.to_owned()))
        .map_err(|_| "one of mine-first, theirs-first, withdraw-mine and no-opinion is expected".to_owned())
}

/// An answer that is being thought about.
struct Pending {
    due: Instant,
    ask: ConflictId,
    epoch: u64,
}

/// What is said of providers, or by one.
///
/// *Errors*: those of the command.
pub async fn provider(client: &Client, command: &ProviderCommand, output: &mut Output) -> Result<Exit, CarryOutError> {
    match command {
        ProviderCommand::Add(args) => provider_admin::add(client, args, output).await,
        ProviderCommand::List(_) => provider_admin::list(client, output).await,
        ProviderCommand::Remove(args) => provider_admin::remove(client, args, output).await,
        ProviderCommand::Join(args) => join::join(args, output).await,
        ProviderCommand::Rotate(args) => join::rotate(args, output).await,
        ProviderCommand::Session(args) => session(client, args, output).await,
    }
}

/// Holds a session until it ends, a signal comes, or enough was answered.
///
/// *Errors*: those of the session and of writing.
pub async fn session(client: &Client, args: &SessionArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let mut interrupted = signal(SignalKind::interrupt()).map_err(CarryOutError::Start)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(CarryOutError::Start)?;
    let mut session = Session::open(client).await?;
    let mut samples = tokio::time::interval(BETWEEN_SAMPLES);
    samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut samples_left = FIRST_SAMPLES;
    let mut pending: VecDeque<Pending> = VecDeque::new();
    let mut answered = 0;
    let mut clock_was = None;
    loop {
        tokio::select! {
            () = stopped(&mut interrupted, &mut terminated) => break,
            _ = samples.tick() => session.send(&FromProvider::Clock { t0: now() }).await?,
            () = due(pending.front()) => {
                let Some(Pending { ask, epoch, .. }) = pending.pop_front() else { continue };
                session.send(&FromProvider::Answer { ask, epoch, answer: args.answer }).await?;
            }
            message = session.next() => {
                let message = message?;
                match &message {
                    FromAgent::Welcome { cursor, .. } if !args.no_events => {
                        let after = args.after.unwrap_or(*cursor);
                        session.send(&FromProvider::Subscribe { after }).await?;
                    }
                    FromAgent::Clock { t0, t1, t2 } => {
                        session.send(&FromProvider::ClockSample { t0: *t0, t1: *t1, t2: *t2, t3: now() }).await?;
                        samples_left = samples_left.saturating_sub(1);
                        if samples_left > 0 {
                            session.send(&FromProvider::Clock { t0: now() }).await?;
                        }
                    }
                    FromAgent::Ask { ask, epoch, .. } if !args.silent => {
                        pending.push_back(Pending { due: Instant::now() + args.delay, ask: *ask, epoch: *epoch });
                    }
                    FromAgent::Answered { .. } => answered += 1,
                    FromAgent::Welcome { .. }
                    | FromAgent::Ask { .. }
                    | FromAgent::ClockEstimate { .. }
                    | FromAgent::Event(_)
                    | FromAgent::Error { .. } => {}
                }
                // One exchange of stamps is of no interest; an estimate that changes is.
                let estimate = matches!(message, FromAgent::ClockEstimate { .. });
                let known = estimate && clock_was.as_ref() == Some(&message);
                if !known && !matches!(message, FromAgent::Clock { .. }) {
                    output.item(&message, |message| sentence(message, args))?;
                }
                if estimate {
                    clock_was = Some(message);
                }
                if args.count.is_some_and(|count| answered >= count) {
                    break;
                }
            }
        }
    }
    session.close().await;
    Ok(Exit::Done)
}

async fn stopped(interrupted: &mut Signal, terminated: &mut Signal) {
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
}

/// Waits until the first answer is due; for ever when none is.
async fn due(first: Option<&Pending>) {
    match first {
        Some(pending) => tokio::time::sleep_until(pending.due).await,
        None => std::future::pending().await,
    }
}

/// A message as a line.
fn sentence(message: &FromAgent, args: &SessionArgs) -> String {
    let at = clock(now());
    match message {
        FromAgent::Welcome { provider, cursor } => format!("{at}  welcome   {provider}, events from cursor {cursor}"),
        FromAgent::Clock { t0, t1, t2 } => format!("{at}  clock     {t0} {t1} {t2}"),
        FromAgent::ClockEstimate { offset_us, uncertainty_us, warning } => {
            let warning = warning.as_ref().map(|warning| format!("\n{:24}{warning}", "")).unwrap_or_default();
            format!("{at}  clock     {offset_us} us ahead of the agent's, give or take {uncertainty_us} us{warning}")
        }
        FromAgent::Ask { ask, epoch, mine, theirs, hold, contested, feasible, answer_within_ms, .. } => {
            let answer = if args.silent { "silence".to_owned() } else { word(&args.answer) };
            let feasible: Vec<String> = feasible.iter().map(word).collect();
            let open = hold.as_ref().map(|hold| format!(" Mine has left a {hold} open; theirs first gives it up."));
            let open = open.unwrap_or_default();
            format!(
                "{at}  ask       mine, {}, or theirs, {}? Both touch {}.{open}\n{:24}conflict {ask}, epoch {epoch}, \
                 {answer_within_ms} ms to answer\n{:24}possible: {}; my answer: {answer}",
                named(mine),
                named(theirs),
                contested.join(", "),
                "",
                "",
                feasible.join(", "),
            )
        }
        FromAgent::Answered { ask } => format!("{at}  answered  conflict {ask}"),
        FromAgent::Event(event) => {
            format!("{at}  event     {} {} {}: {}", event.cursor, clock(event.at), event.kind, event.text)
        }
        FromAgent::Error { code, message, ask } => {
            let about = ask.map(|ask| format!(" about conflict {ask}")).unwrap_or_default();
            format!("{at}  refused  {about} {message} [{code}]")
        }
    }
}

/// Whose command it is, and what it wants.
fn named(command: &Value) -> String {
    let text = |field: &str| command.get(field).and_then(Value::as_str).unwrap_or("?").to_owned();
    format!("{}'s {}", text("provider"), text("action"))
}

/// The wire's word for a value.
pub(super) fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}
