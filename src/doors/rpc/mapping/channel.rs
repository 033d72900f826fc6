//! Ways into a VM: its console, its screen, its memory, QEMU's monitor.

use super::call::{Call, has, said};
use super::{Subject, Treatment};
use crate::doors::rpc::xdr::ReadXdrError;
use crate::model::{Action, Operation, Resource};

// *Source*: `virDomainCoreDumpFlags`.
const DUMP_CRASH: u32 = 1;
const DUMP_LIVE: u32 = 2;
const DUMP_RESET: u32 = 8;

pub(super) fn decode(action: Action, mut call: Call<'_>) -> Result<Treatment, ReadXdrError> {
    let subject = call.subject()?;
    let plain = |call: &Call<'_>| said(action, serde_json::Value::Null).unwrap_or_else(|| call.relayed(action, []));
    let operation = match call.name() {
        "domain_open_console" | "domain_open_graphics" | "domain_open_graphics_fd" => plain(&call),
        // Whatever speaks to the agent's own channel is the agent; without a name it is the first there is.
        "domain_open_channel" => match call.optional_text()? {
            Some(name) if !name.contains("agent") => plain(&call),
            Some(_) | None => call.relayed(Action::MonitorCommand, [Resource::GuestAgent]),
        },
        "domain_core_dump" => {
            call.skip_text()?;
            let flags = call.u32()?;
            dump(&call, flags)
        }
        "domain_core_dump_with_format" => {
            call.skip_text()?;
            call.u32()?;
            let flags = call.u32()?;
            dump(&call, flags)
        }
        "domain_attach" => {
            let process = call.u32()?;
            return Ok(Treatment::held(Subject::Process(process), call.relayed(action, [])));
        }
        _ => call.relayed(action, []),
    };
    Ok(Treatment::held(subject, operation))
}

/// A dump that is not live halts the VM meanwhile; afterwards it may be stopped or started anew.
fn dump(call: &Call<'_>, flags: u32) -> Operation {
    let touched = [
        (!has(flags, DUMP_LIVE) || has(flags, DUMP_CRASH | DUMP_RESET), Resource::Power),
        (has(flags, DUMP_CRASH), Resource::Process),
    ];
    call.relayed(Action::MemoryDump, touched.into_iter().filter(|(is, _)| *is).map(|(_, what)| what))
}
