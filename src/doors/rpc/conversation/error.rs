//! What libvirt's reply means to a command, as the agent's own adapter understands it; and small readings of payloads.

use super::super::frame::{Frame, Status};
use super::super::refusal::{Answer, ErrorCode};
use super::super::xdr::{ReadXdrError, Reader};
use crate::model::{Code, Ending, Outcome, VmId};
use crate::resolver::CallResult;

/// The most of libvirt's text that is kept with a command. *Units*: characters.
const TEXT_MAX: usize = 1024;

/// What a released call came to.
pub(super) fn result_of(reply: &Frame) -> CallResult {
    if reply.header().status != Status::Error {
        return super::upstream::done();
    }
    let (number, text) = read(reply.payload()).unwrap_or((0, "libvirt's error cannot be read".to_owned()));
    let (ending, code) = match number {
        // VIR_ERR_NO_DOMAIN
        42 => (Ending::Impossible, Code::VmGone),
        // VIR_ERR_OPERATION_INVALID, _NO_DOMAIN_SNAPSHOT, _BLOCK_COPY_ACTIVE, _DEVICE_MISSING, _NO_DOMAIN_CHECKPOINT
        55 | 72 | 83 | 99 | 103 => (Ending::Impossible, Code::StateForbids),
        // VIR_ERR_AGENT_UNRESPONSIVE, VIR_ERR_AGENT_COMMAND_TIMEOUT
        86 | 112 => (Ending::Failed, Code::GuestTimeout),
        _ => (Ending::Failed, Code::HypervisorFailed),
    };
    CallResult::Failed(Outcome::new(ending, code, text))
}

fn read(payload: &[u8]) -> Result<(i32, String), ReadXdrError> {
    let mut reader = Reader::new(payload);
    let (number, _) = (reader.i32()?, reader.i32()?);
    let text = reader.optional_string()?.unwrap_or("libvirt gave no reason");
    Ok((number, text.chars().take(TEXT_MAX).collect()))
}

/// The VM that a reply begins with: name, UUID, number.
pub(super) fn domain_in(payload: &[u8]) -> Option<VmId> {
    let mut reader = Reader::new(payload);
    reader.string().ok()?;
    reader.uuid().ok().map(VmId)
}

/// A released call that never left: its client had gone.
pub(super) fn client_gone() -> CallResult {
    let reason = "the client's connection ended before its call was made";
    CallResult::Failed(Outcome::new(Ending::Cancelled, Code::ClientGone, reason))
}

/// A released call that never left: there is no way to libvirtd.
pub(super) fn unreachable(why: &str) -> CallResult {
    let reason = format!("the call was not made: {why}");
    CallResult::Failed(Outcome::new(Ending::Failed, Code::HypervisorUnreachable, reason))
}

/// In the place of an error that the provider may not see.
pub(super) fn hidden() -> Answer {
    Answer::other(ErrorCode::Failed, "libvirt failed, and its reason is about what this provider does not see")
}
