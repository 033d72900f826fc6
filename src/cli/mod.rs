//! The `covirt` commands: a peer of the agent like any other, with no way around its API.
//!
//! | file | idea |
//! |---|---|
//! | `exit`, `fault` | how a command ends: exit codes, and errors as sentences with hints |
//! | `remote`, `reach`, `identity` | which agent, how it is reached, and the key for it |
//! | `client`, `calls`, `session` | HTTP and WebSocket to the agent |
//! | `output`, `table`, `times` | tables for people, JSON for programs, spans and moments |
//! | `outfile` | files that it is asked to write |
//! | `discover`, `documents` | inventories from files, without an agent |
//! | `artifacts`, `artifacts_dir` | bundles: made, checked, compared |
//! | `vm`, `vm_shown`, `vm_parts`, `vm_diff`, `delegate` | what there is, and who may do what |
//! | `run`, `arguments`, `command`, `names` | commands: sent, waited for, listed, named |
//! | `holds` | what they left open |
//! | `access` | what a second provider needs to begin, as one archive |
//! | `console`, `nbd`, `looks`, `bytes` | a VM's own resources: console, backup, screen, guest, figures, disks |
//! | `host` | what only the host's owner may do: freeze, thaw, break the glass |
//! | `conflict`, `events`, `timeline` | what became of them, and why |
//! | `provider` | a ready client that answers asks |
//! | `provider_admin`, `join` | who the providers are; joining, and replacing a key |
//! | `agent_state`, `audit` | health, identity; the journal: whole, who, exported |
//! | `generate` | manual pages and completions, for packages |
//! | `config` | the agent's configuration files, read without an agent |
//! | `demo` | the main job, played by real processes |

pub mod access;
pub mod agent_state;
pub mod arguments;
pub mod artifacts;
pub mod artifacts_dir;
pub mod audit;
pub mod bytes;
pub mod calls;
pub mod client;
pub mod command;
pub mod config;
pub mod conflict;
pub mod console;
pub mod delegate;
pub mod demo;
pub mod discover;
pub mod documents;
pub mod events;
pub mod exit;
pub mod fault;
pub mod generate;
pub mod holds;
pub mod looks;
pub mod host;
pub mod identity;
pub mod join;
pub mod names;
pub mod nbd;
pub mod outfile;
pub mod output;
pub mod provider;
pub mod provider_admin;
pub mod reach;
pub mod remote;
pub mod run;
pub mod session;
pub mod table;
pub mod timeline;
pub mod times;
pub mod vm;
pub mod vm_diff;
mod vm_parts;
pub mod vm_shown;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use access::AccessCommand;
use agent_state::PlainArgs;
use artifacts::ArtifactsCommand;
use audit::AuditCommand;
use command::{CancelArgs, CommandArgs, CommandsArgs};
use config::ConfigCommand;
use conflict::{ConflictCommand, ConflictsArgs, ExplainArgs};
use console::ConsoleArgs;
use delegate::{DelegateArgs, DelegationsArgs, RevokeArgs};
use demo::DemoArgs;
use documents::Surroundings;
use events::EventsArgs;
use exit::Exit;
use fault::CarryOutError;
use generate::GenerateArgs;
use holds::HoldsArgs;
use host::{FreezeArgs, GlassArgs, ThawArgs};
use looks::{ChannelsArgs, DiskCommand, GuestArgs, ScreenshotArgs, StatsArgs};
use nbd::NbdArgs;
use output::{Format, Output};
use provider::ProviderCommand;
use remote::WhichAgent;
use run::RunArgs;
use timeline::TimelineArgs;
use vm::VmCommand;

/// Let several cloud providers co-manage the same running VM
///
/// Talks to covirtd, the agent beside libvirt. Answers are tables for people; `-o json` gives the agent's own JSON.
#[derive(Debug, Parser)]
#[command(name = "covirt", version, after_help = Exit::help(), after_long_help = Exit::help(), max_term_width = 110)]
pub struct Arguments {
    #[command(flatten)]
    agent: WhichAgent,
    #[command(subcommand)]
    task: Task,
}

/// What to do, in the order in which one comes to need it.
#[derive(Debug, Subcommand)]
enum Task {
    /// See it all: two providers, one VM, a conflict and how it is settled
    Demo(DemoArgs),
    /// Read domain XML files into inventories (JSON); needs no agent
    Discover(DiscoverArgs),
    #[command(subcommand)]
    Vm(VmCommand),
    #[command(subcommand)]
    Artifacts(ArtifactsCommand),
    /// Give actions on a VM to another provider
    Delegate(DelegateArgs),
    /// Take delegated actions back
    Revoke(RevokeArgs),
    /// Show who may do what to a VM
    Delegations(DelegationsArgs),
    /// Send a command and wait for its end; the exit code says how it ended
    Run(RunArgs),
    /// List a VM's commands
    Commands(CommandsArgs),
    /// Show one command; the exit code says how it ended
    Command(CommandArgs),
    /// Take a command back that has not begun
    Cancel(CancelArgs),
    /// List a VM's conflicts: who was asked, and what was decided
    Conflicts(ConflictsArgs),
    #[command(subcommand)]
    Conflict(ConflictCommand),
    /// List what finished commands left open (backups, block jobs, migrations, freezes, locks), or end it
    Holds(HoldsArgs),
    /// Open a VM's serial console in this terminal
    Console(ConsoleArgs),
    /// Take a picture of a VM's screen
    Screenshot(ScreenshotArgs),
    /// Show a guest's addresses, and what its agent tells
    Guest(GuestArgs),
    /// Show what libvirt counts of a VM, or of all
    Stats(StatsArgs),
    /// Serve a pull backup on a Unix socket of this host, for qemu-img and nbdinfo
    Nbd(NbdArgs),
    #[command(subcommand)]
    Disk(DiskCommand),
    #[command(subcommand)]
    Access(AccessCommand),
    /// List the channels that are open (consoles, screens, disks), or close one
    Channels(ChannelsArgs),
    /// Stop new work at once, and say what still runs (operator)
    Freeze(FreezeArgs),
    /// Let what was frozen begin again (operator)
    Thaw(ThawArgs),
    /// Take every action of a VM for a while, past locks and delegations (operator)
    BreakGlass(GlassArgs),
    /// Tell why a command went as it did
    Explain(ExplainArgs),
    /// Show a VM's history: who, what, order, issue time, decision, rule, outcome
    Timeline(TimelineArgs),
    /// Print what happened, and with --follow what happens
    Events(EventsArgs),
    #[command(subcommand)]
    Provider(ProviderCommand),
    #[command(subcommand)]
    Audit(AuditCommand),
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show how the agent is
    Health(PlainArgs),
    /// Show whom the agent takes you for
    Whoami(PlainArgs),
    /// Write manual pages and completions into a folder
    #[command(hide = true)]
    Generate(GenerateArgs),
}

/// `discover`.
#[derive(Debug, clap::Args)]
struct DiscoverArgs {
    /// Domain XML, as `virsh dumpxml` prints it; - is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    around: Surroundings,
}

impl Task {
    const fn format(&self) -> Format {
        match self {
            Self::Demo(args) => args.shown.format,
            // It has but one form, and its errors are for people.
            Self::Discover(_) | Self::Generate(_) => Format::Table,
            Self::Vm(command) => command.shown().format,
            Self::Artifacts(command) => command.shape(),
            Self::Delegate(args) => args.shown.format,
            Self::Revoke(args) => args.shown.format,
            Self::Delegations(args) => args.shown.format,
            Self::Run(args) => args.shown.format,
            Self::Commands(args) => args.shown.format,
            Self::Command(args) => args.shown.format,
            Self::Cancel(args) => args.shown.format,
            Self::Conflicts(args) => args.shown.format,
            Self::Conflict(command) => command.shown().format,
            Self::Holds(args) => args.shown().format,
            Self::Console(_) | Self::Screenshot(_) | Self::Nbd(_) | Self::Disk(_) | Self::Access(_) => Format::Table,
            Self::Guest(args) => args.shown.format,
            Self::Stats(args) => args.shown.format,
            Self::Channels(args) => args.shown.format,
            Self::Freeze(args) => args.shown.format,
            Self::Thaw(args) => args.shown.format,
            Self::BreakGlass(args) => args.shown.format,
            Self::Explain(args) => args.shown.format,
            Self::Timeline(args) => args.shown.format,
            Self::Events(args) => args.shown.format,
            Self::Provider(command) => command.shown().format,
            Self::Audit(command) => command.shown().format,
            Self::Config(command) => command.shown().format,
            Self::Health(args) | Self::Whoami(args) => args.shown.format,
        }
    }
}

/// Runs the process's own command line.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let format = arguments.task.format();
    let exit = carry_out(&arguments).unwrap_or_else(|error| {
        if let Some(report) = error.report(format) {
            eprintln!("{report}");
        }
        error.exit()
    });
    ExitCode::from(exit.code())
}

fn carry_out(arguments: &Arguments) -> Result<Exit, CarryOutError> {
    if let Task::Discover(args) = &arguments.task {
        let around = args.around.read()?;
        let mut out = io::BufWriter::new(io::stdout().lock());
        let outcome = discover::discover(&args.files, &around, &mut out, &mut io::stderr().lock())?;
        io::Write::flush(&mut out)?;
        return Ok(match outcome {
            discover::Outcome::Done => Exit::Done,
            discover::Outcome::Refused => Exit::Input,
        });
    }
    if let Task::Generate(args) = &arguments.task {
        return generate::generate(args);
    }
    if let Task::Config(command) = &arguments.task {
        return config::config(command, &mut Output::stdout(arguments.task.format()));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CarryOutError::Start)?;
    runtime.block_on(ask_agent(arguments))
}

async fn ask_agent(arguments: &Arguments) -> Result<Exit, CarryOutError> {
    let output = &mut Output::stdout(arguments.task.format());
    let needs_none = matches!(&arguments.task, Task::Provider(command) if command.names_its_agent());
    let client = &if needs_none { WhichAgent::nowhere() } else { arguments.agent.client()? };
    match &arguments.task {
        // Carried out before, without an event loop.
        Task::Discover(_) | Task::Config(_) | Task::Generate(_) => Ok(Exit::Done),
        Task::Demo(args) => demo::demo(args, output).await,
        Task::Vm(command) => vm::vm(client, command, output).await,
        Task::Artifacts(command) => artifacts::artifacts(client, command, output).await,
        Task::Delegate(args) => delegate::delegate(client, args, output).await,
        Task::Revoke(args) => delegate::revoke(client, args, output).await,
        Task::Delegations(args) => delegate::delegations(client, args, output).await,
        Task::Run(args) => run::run(client, args, output).await,
        Task::Commands(args) => command::commands(client, args, output).await,
        Task::Command(args) => command::command(client, args, output).await,
        Task::Cancel(args) => command::cancel(client, args, output).await,
        Task::Conflicts(args) => conflict::conflicts(client, args, output).await,
        Task::Conflict(command) => conflict::conflict(client, command, output).await,
        Task::Holds(args) => holds::holds(client, args, output).await,
        Task::Console(args) => console::console(client, args).await,
        Task::Screenshot(args) => looks::screenshot(client, args).await,
        Task::Guest(args) => looks::guest(client, args, output).await,
        Task::Stats(args) => looks::stats(client, args, output).await,
        Task::Nbd(args) => nbd::nbd(client, args).await,
        Task::Access(command) => access::access(client, command).await,
        Task::Disk(command) => looks::disk(client, command).await,
        Task::Channels(args) => looks::channels(client, args, output).await,
        Task::Freeze(args) => host::freeze(client, args, output).await,
        Task::Thaw(args) => host::thaw(client, args, output).await,
        Task::BreakGlass(args) => host::break_glass(client, args, output).await,
        Task::Explain(args) => conflict::explain(client, args, output).await,
        Task::Timeline(args) => timeline::timeline(client, args, output).await,
        Task::Events(args) => events::events(client, args, output).await,
        Task::Provider(command) => provider::provider(client, command, output).await,
        Task::Audit(command) => audit::audit(client, command, output).await,
        Task::Health(_) => agent_state::health(client, output).await,
        Task::Whoami(_) => agent_state::whoami(client, output).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
