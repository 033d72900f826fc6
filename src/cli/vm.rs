//! `covirt vm`: which VMs there are, and which of them are co-managed.

use std::io;

use super::client::{CallAgentError, Client};
use super::exit::Exit;
use super::fault::CarryOutError;
use super::output::{Output, Shown};
use super::table::Table;
use super::vm_diff;
use super::vm_shown::{UnknownShown, VmShown, print_unknown, print_vm};
use crate::doors::wire::{EnrollRequest, Enrollment, VmSummary};
use crate::model::{Code, ProviderId};

/// VMs and their co-management
#[derive(Debug, clap::Subcommand)]
pub enum VmCommand {
    /// List the VMs you may see
    List(ListArgs),
    /// Show one VM: resources, network, who may do what
    Show(ShowArgs),
    /// Show what changed since a VM's artifacts were made, or what its next start would change
    Diff(vm_diff::DiffArgs),
    /// Begin to have a VM co-managed; nothing is written to the VM
    Enroll(EnrollArgs),
    /// End a VM's co-management; the VM stays as it is
    Release(ReleaseArgs),
}

/// `vm list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    shown: Shown,
}

/// `vm show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Name or UUID
    vm: String,
    /// Only list what libvirt's XML says of it and covirt does not know: document, path and line
    #[arg(long)]
    unknown: bool,
    #[command(flatten)]
    shown: Shown,
}

/// `vm enroll`.
#[derive(Debug, clap::Args)]
pub struct EnrollArgs {
    /// Name or UUID
    vm: String,
    /// The primary, which holds all that nobody else does [default: you]; the operator must name one
    #[arg(long, value_name = "PROVIDER")]
    primary: Option<ProviderId>,
    #[command(flatten)]
    shown: Shown,
}

/// `vm release`.
#[derive(Debug, clap::Args)]
pub struct ReleaseArgs {
    /// Name or UUID
    vm: String,
    #[command(flatten)]
    shown: Shown,
}

impl VmCommand {
    /// For whom the answer is.
    pub(super) const fn shown(&self) -> Shown {
        match self {
            Self::List(args) => args.shown,
            Self::Show(args) => args.shown,
            Self::Diff(args) => args.shown,
            Self::Enroll(args) => args.shown,
            Self::Release(args) => args.shown,
        }
    }
}

/// Carries out a `vm` command.
///
/// *Errors*: those of the call and of writing.
pub async fn vm(client: &Client, command: &VmCommand, output: &mut Output) -> Result<Exit, CarryOutError> {
    match command {
        VmCommand::List(_) => output.show(&client.vms().await?, |output, list| print_list(output, &list.vms))?,
        VmCommand::Diff(args) => return vm_diff::diff(client, args, output).await,
        VmCommand::Show(args) if args.unknown => {
            let inventory = client.inventory(client.find_vm(&args.vm).await?).await?;
            output.show(&UnknownShown::of(&inventory), |output, unknown| print_unknown(output, unknown))?;
        }
        VmCommand::Show(args) => {
            let shown = look(client, &args.vm).await?;
            output.show(&shown, print_vm)?;
        }
        VmCommand::Enroll(args) => {
            let vm = client.find_vm(&args.vm).await?;
            let detail = client.enroll(vm, &EnrollRequest { primary: args.primary.clone() }).await?;
            output.show(&detail, print_enrolled)?;
        }
        VmCommand::Release(args) => {
            let vm = client.find_vm(&args.vm).await?;
            client.release(vm).await?;
            let answer = serde_json::json!({ "vm": vm, "released": true });
            output.show(&answer, |output, _| output.line(&format!("{vm} is not co-managed any more")))?;
        }
    }
    Ok(Exit::Done)
}

/// A VM that is not co-managed yet still has resources to show, to those who may enroll it.
async fn look(client: &Client, name: &str) -> Result<VmShown, CarryOutError> {
    let vm = client.find_vm(name).await?;
    let detail = match client.vm(vm).await {
        Ok(detail) => Some(detail),
        Err(CallAgentError::Refused(problem)) if problem.code == Code::UnknownVm => None,
        Err(error) => return Err(error.into()),
    };
    Ok(VmShown { vm: detail, inventory: client.inventory(vm).await? })
}

fn print_list(output: &mut Output, vms: &[VmSummary]) -> io::Result<()> {
    let mut table = Table::new(&["NAME", "STATE", "PRIMARY", "SECONDARIES", "UUID"]);
    for vm in vms {
        let secondaries: Vec<&str> = vm.secondaries.iter().map(ProviderId::as_str).collect();
        table.row([
            vm.name.clone(),
            vm.state.to_string(),
            vm.primary.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            if secondaries.is_empty() { "-".to_owned() } else { secondaries.join(",") },
            vm.vm.to_string(),
        ]);
    }
    output.table(&table, "there is no VM that you may see")
}

fn print_enrolled(output: &mut Output, enrolled: &Enrollment) -> io::Result<()> {
    let vm = &enrolled.vm;
    let mut table = Table::bare();
    table.pair("vm", Some(format!("{} ({})", vm.name, vm.vm)));
    table.pair("state", Some(vm.state.to_string()));
    table.pair("generation", Some(vm.generation.clone()));
    table.pair("primary", Some(format!("{}, epoch {}", vm.delegations.primary, vm.delegations.epoch)));
    output.table(&table, "")?;
    for warning in &enrolled.warnings {
        output.line("")?;
        output.line(&format!("warning: {} knows this VM, too ({}).", warning.manager.name(), warning.mark))?;
        output.line(&format!("  What it does by itself: {}.", warning.loops))?;
        output.line(&format!("  To have it leave this VM alone: {}.", warning.tell))?;
        output.line(&format!("  More: {}", warning.documentation))?;
    }
    Ok(())
}
