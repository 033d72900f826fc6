//! `covirt screenshot`, `guest`, `stats`, `channels` and `disk download`: a VM's own resources.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::bytes::FetchError;
use super::client::Client;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::output::{Output, Shown};
use super::table::Table;
use super::times::rough;
use super::vm_parts::bytes;
use crate::doors::wire::GuestReport;
use crate::model::{Bytes, ChannelId};

/// `screenshot`.
#[derive(Debug, clap::Args)]
pub struct ScreenshotArgs {
    /// Name or UUID
    vm: String,
    /// The PNG to write; - is standard output
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    file: PathBuf,
    /// Which screen, from 0
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    screen: u32,
}

/// `guest`.
#[derive(Debug, clap::Args)]
pub struct GuestArgs {
    /// Name or UUID
    vm: String,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// `stats`.
#[derive(Debug, clap::Args)]
pub struct StatsArgs {
    /// Name or UUID [default: every VM you have a part in]
    vm: Option<String>,
    /// In Prometheus' format
    #[arg(long)]
    prometheus: bool,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// `channels`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ChannelsArgs {
    #[command(subcommand)]
    command: Option<ChannelsCommand>,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// Ways into VMs that are open
#[derive(Debug, clap::Subcommand)]
pub enum ChannelsCommand {
    /// Close a channel of yours (the operator: anybody's)
    Close(ChannelsCloseArgs),
}

/// `channels close`.
#[derive(Debug, clap::Args)]
pub struct ChannelsCloseArgs {
    /// Its id
    channel: ChannelId,
    /// Why; the journal keeps it
    #[arg(long, value_name = "REASON", default_value = "")]
    reason: String,
}

/// A VM's disks
#[derive(Debug, clap::Subcommand)]
pub enum DiskCommand {
    /// Copy the image of a disk of a VM that is off; the VM does not start meanwhile
    Download(DownloadArgs),
}

/// `disk download`.
#[derive(Debug, clap::Args)]
pub struct DownloadArgs {
    /// Name or UUID
    vm: String,
    /// The disk's target, such as vda
    disk: String,
    /// The file to make
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    file: PathBuf,
}

/// Takes a picture of a screen.
///
/// *Errors*: those of the call and of writing.
pub async fn screenshot(client: &Client, args: &ScreenshotArgs) -> Result<Exit, CarryOutError> {
    let vm = client.find_vm(&args.vm).await?;
    let path = format!("/v1/vms/{vm}/screenshot?screen={}", args.screen);
    let png = client.bytes(&path, "image/png, application/problem+json").await?;
    if args.file == Path::new("-") {
        let mut out = io::stdout().lock();
        out.write_all(&png)?;
        out.flush()?;
        return Ok(Exit::Done);
    }
    super::outfile::write(&args.file, &png)
        .map_err(|source| CarryOutError::Write { path: args.file.clone(), source })?;
    Ok(Exit::Done)
}

/// Shows what a guest tells of itself.
///
/// *Errors*: those of the call and of writing.
pub async fn guest(client: &Client, args: &GuestArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let vm = client.find_vm(&args.vm).await?;
    output.show(&client.guest(vm).await?, print_guest)?;
    Ok(Exit::Done)
}

fn word(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn print_guest(output: &mut Output, report: &GuestReport) -> io::Result<()> {
    let mut table = Table::new(&["FROM", "WHAT", "VALUE"]);
    for (source, found) in &report.addresses {
        for address in found.as_array().into_iter().flatten() {
            let (mac, ip) = (address["mac"].as_str().unwrap_or_default(), address["ip"].as_str().unwrap_or_default());
            table.row([source.clone(), mac.to_owned(), ip.to_owned()]);
        }
    }
    for (name, value) in &report.agent {
        table.row(["agent".to_owned(), name.clone(), word(value)]);
    }
    for (what, why) in &report.unknown {
        table.row(["unknown".to_owned(), what.clone(), why.clone()]);
    }
    output.table(&table, "nothing is known of the guest")
}

/// Shows what libvirt counts.
///
/// *Errors*: those of the call and of writing.
pub async fn stats(client: &Client, args: &StatsArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let vm = match &args.vm {
        Some(name) => Some(client.find_vm(name).await?),
        None => None,
    };
    if args.prometheus {
        let path = vm.map_or_else(|| "/v1/stats".to_owned(), |vm| format!("/v1/vms/{vm}/stats"));
        let text = client.bytes(&path, "text/plain, application/problem+json").await?;
        let mut out = io::stdout().lock();
        out.write_all(&text)?;
        out.flush()?;
        return Ok(Exit::Done);
    }
    output.show(&client.stats(vm).await?, |output, list| {
        let mut table = Table::new(&["VM", "FIGURE", "VALUE"]);
        for vm in &list.vms {
            for (name, value) in &vm.figures {
                table.row([vm.name.clone(), name.clone(), word(value)]);
            }
        }
        output.table(&table, "nothing is counted")
    })?;
    Ok(Exit::Done)
}

/// Lists channels, or closes one.
///
/// *Errors*: those of the call and of writing.
pub async fn channels(client: &Client, args: &ChannelsArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    if let Some(ChannelsCommand::Close(args)) = &args.command {
        client.close_channel(args.channel, &args.reason).await?;
        return Ok(Exit::Done);
    }
    output.show(&client.channels().await?, |output, list| {
        let mut table = Table::new(&["CHANNEL", "VM", "KIND", "OWNER", "PEER", "AGE", "RECEIVED", "SENT"]);
        for view in &list.channels {
            table.row([
                view.channel.to_string(),
                view.name.clone(),
                view.kind.to_string(),
                view.owner.to_string(),
                view.peer.clone(),
                rough(view.age_s),
                bytes(Bytes(view.received)),
                bytes(Bytes(view.sent)),
            ]);
        }
        output.table(&table, "no channel is open")
    })?;
    Ok(Exit::Done)
}

/// Copies a disk's image: the file is there when all of it is.
///
/// *Errors*: those of the call and of writing; [`CarryOutError::Exists`].
pub async fn disk(client: &Client, command: &DiskCommand) -> Result<Exit, CarryOutError> {
    let DiskCommand::Download(args) = command;
    let vm = client.find_vm(&args.vm).await?;
    let failed = |source| CarryOutError::Write { path: args.file.clone(), source };
    if args.file.symlink_metadata().is_ok() {
        return Err(CarryOutError::Exists { path: args.file.clone() });
    }
    let mut name = args.file.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = args.file.with_file_name(name);
    let made = std::fs::File::create_new(&part).map_err(failed)?;
    let mut into = Blocking(made);
    let disk: String = args.disk.chars().filter(char::is_ascii_alphanumeric).collect();
    let fetched = client.fetch(&format!("/v1/vms/{vm}/disks/{disk}/content"), &mut into).await;
    let Blocking(made) = into;
    let kept = match fetched {
        Ok(_) => made.sync_all().and_then(|()| std::fs::rename(&part, &args.file)).map_err(failed),
        Err(FetchError::Call(error)) => Err(error.into()),
        Err(FetchError::Write(source)) => Err(failed(source)),
    };
    if kept.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    kept.map(|()| Exit::Done)
}

/// A file as what is written to by an event loop that has nothing else to do.
struct Blocking(std::fs::File);

impl tokio::io::AsyncWrite for Blocking {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        std::task::Poll::Ready(self.0.write(bytes))
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(self.0.flush())
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}
