//! Whether and how a VM runs.

use super::call::{Call, has, only, said};
use super::{Subject, Treatment};
use crate::doors::rpc::xdr::ReadXdrError;
use crate::model::{Action, Operation, Resource};

// *Source*: `virDomainCreateFlags`.
const START_PAUSED: u32 = 1;
const START_AUTODESTROY: u32 = 2;
const START_BYPASS_CACHE: u32 = 4;
const START_FORCE_BOOT: u32 = 8;
const START_VALIDATE: u32 = 16;
const START_RESET_NVRAM: u32 = 32;
const START_KNOWN: u32 =
    START_PAUSED | START_AUTODESTROY | START_BYPASS_CACHE | START_FORCE_BOOT | START_VALIDATE | START_RESET_NVRAM;
/// A start with none but these is any start.
const START_PLAIN: u32 = START_BYPASS_CACHE | START_VALIDATE;

// *Source*: `virDomainShutdownFlagValues`, `virDomainRebootFlagValues`: how the guest is asked, not what for.
const ASK_KNOWN: u32 = 1 | 2 | 4 | 8 | 16;
const ASK_AGENT: u32 = 2;

/// Only a process that goes by itself is ended. *Source*: `VIR_DOMAIN_DESTROY_GRACEFUL`.
const DESTROY_GRACEFUL: u32 = 1;

/// *Source*: `VIR_NODE_SUSPEND_TARGET_DISK`.
const TARGET_DISK: u32 = 1;

pub(super) fn decode(action: Action, mut call: Call<'_>) -> Result<Treatment, ReadXdrError> {
    let subject = call.subject()?;
    let operation = match call.name() {
        "domain_create" => plain(action, &call),
        "domain_create_with_flags" | "domain_create_with_files" => {
            let flags = call.u32()?;
            if only(flags, START_PLAIN) { plain(action, &call) } else { start(&call, flags, []) }
        }
        "domain_create_xml" | "domain_create_xml_with_files" => {
            let xml = call.text()?;
            let flags = call.u32()?;
            // What the XML says is what runs, whatever the definition says.
            let operation = start(&call, flags, [Resource::Cpu, Resource::Memory, Resource::Devices]);
            return Ok(Treatment::described(xml, Treatment::held(Subject::DomainXml(xml.to_owned()), operation)));
        }
        // The reply comes when the guest was asked, not when it is off as after the catalogue's.
        "domain_shutdown" => call.relayed(action, []),
        "domain_shutdown_flags" | "domain_reboot" => {
            let agent = !only(call.u32()?, ASK_KNOWN & !ASK_AGENT);
            call.relayed(action, agent.then_some(Resource::GuestAgent))
        }
        "domain_destroy_flags" if only(call.u32()?, DESTROY_GRACEFUL) => plain(action, &call),
        "domain_destroy_flags" => call.relayed(action, []),
        "domain_pm_suspend_for_duration" => {
            // Done by the guest, at its agent's word; from sleep on disk it comes back by a boot.
            let action = if call.u32()? == TARGET_DISK { Action::PowerShutdown } else { Action::PowerSuspend };
            call.relayed(action, [Resource::GuestAgent])
        }
        "domain_destroy" | "domain_reset" | "domain_suspend" | "domain_resume" => plain(action, &call),
        _ => call.relayed(action, []),
    };
    Ok(Treatment::held(subject, operation))
}

/// The action without anything that would make it another wish.
fn plain(action: Action, call: &Call<'_>) -> Operation {
    said(action, serde_json::Value::Null).unwrap_or_else(|| call.relayed(action, []))
}

fn start<const N: usize>(call: &Call<'_>, flags: u32, touches: [Resource; N]) -> Operation {
    // Booting anew throws the image away that the VM was saved to; what an unknown flag does nobody knows.
    let image = (has(flags, START_FORCE_BOOT) || !only(flags, START_KNOWN)).then_some(Resource::SavedImage);
    call.relayed(Action::PowerStart, touches.into_iter().chain(image))
}
