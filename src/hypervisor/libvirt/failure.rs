//! What libvirt's errors mean to a command: refused, failed, gone, not sent, or lost.
//!
//! The one distinction that must never be wrong is between a call that certainly did not leave and one that may have
//! been performed: the first may be tried again, the second never.

use virt::connect::Connect;
use virt::sys;

use crate::hypervisor::AskHypervisorError;
use crate::model::{Code, Ending, Outcome, VmId};
use crate::resolver::CallResult;

/// Whether the request that failed may have reached the hypervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// It changes nothing, or it is certain that it never left.
    Harmless,
    /// It may have been performed.
    Perhaps,
}

/// Why a call did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// libvirt cannot be reached; nothing that changes anything was sent.
    Unsent(String),
    /// The connection was lost after the request may have left.
    Lost(String),
    /// There is no such VM.
    NoSuchVm(String),
    /// The VM's state does not allow it.
    Forbidden(String),
    /// libvirt or QEMU failed.
    Failed(String),
    /// The guest did not do its part in time.
    GuestTimeout(String),
}

impl Fault {
    /// What an error of a call on this connection means.
    pub(super) fn of(connect: &Connect, error: &virt::error::Error, reached: Reached) -> Self {
        let text = error.message().to_owned();
        if is_connection_loss(connect, error) {
            return match reached {
                Reached::Harmless => Self::Unsent(text),
                Reached::Perhaps => Self::Lost(text),
            };
        }
        match error.code().to_raw() {
            sys::VIR_ERR_NO_DOMAIN => Self::NoSuchVm(text),
            sys::VIR_ERR_OPERATION_INVALID
            | sys::VIR_ERR_NO_DOMAIN_SNAPSHOT
            | sys::VIR_ERR_NO_DOMAIN_CHECKPOINT
            | sys::VIR_ERR_DEVICE_MISSING
            // A copy or a commit that the VM cannot go over to yet.
            | sys::VIR_ERR_BLOCK_COPY_ACTIVE => Self::Forbidden(text),
            sys::VIR_ERR_AGENT_UNRESPONSIVE | sys::VIR_ERR_AGENT_COMMAND_TIMEOUT => Self::GuestTimeout(text),
            _ => Self::Failed(text),
        }
    }

    /// What errors of questions on this connection mean, or of calls that certainly did not leave.
    pub(super) fn harmless(connect: &Connect) -> impl Fn(virt::error::Error) -> Self + Copy {
        move |error| Self::of(connect, &error, Reached::Harmless)
    }

    /// What was said.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Unsent(text)
            | Self::Lost(text)
            | Self::NoSuchVm(text)
            | Self::Forbidden(text)
            | Self::Failed(text)
            | Self::GuestTimeout(text) => text,
        }
    }

    /// As the end of a call.
    pub(super) fn into_result(self) -> CallResult {
        let (ending, code, text) = match self {
            Self::Lost(reason) => return CallResult::Lost(reason),
            Self::Unsent(text) => (Ending::Failed, Code::HypervisorUnreachable, text),
            Self::NoSuchVm(text) => (Ending::Impossible, Code::VmGone, text),
            Self::Forbidden(text) => (Ending::Impossible, Code::StateForbids, text),
            Self::Failed(text) => (Ending::Failed, Code::HypervisorFailed, text),
            Self::GuestTimeout(text) => (Ending::Failed, Code::GuestTimeout, text),
        };
        CallResult::Failed(Outcome::new(ending, code, text))
    }

    /// As the answer to a question, which changes nothing and so cannot be half done.
    pub(super) fn into_ask_error(self, uri: &str, vm: Option<VmId>) -> AskHypervisorError {
        match (self, vm) {
            (Self::Unsent(reason) | Self::Lost(reason), _) => {
                AskHypervisorError::Unreachable { uri: uri.to_owned(), reason }
            }
            (Self::NoSuchVm(_), Some(vm)) => AskHypervisorError::NoSuchVm(vm),
            (Self::NoSuchVm(text) | Self::Forbidden(text) | Self::Failed(text) | Self::GuestTimeout(text), _) => {
                AskHypervisorError::Failed(text)
            }
        }
    }
}

/// Whether an error is about the way to libvirtd rather than from it.
///
/// The daemon's own errors keep the domain of the driver that raised them, so a system error of the RPC layer is the
/// client's socket. The first error after a loss and the later ones differ, hence the look at the connection itself.
pub(super) fn is_connection_loss(connect: &Connect, error: &virt::error::Error) -> bool {
    let from_transport = matches!(error.domain().to_raw(), sys::VIR_FROM_RPC | sys::VIR_FROM_REMOTE)
        && matches!(
            error.code().to_raw(),
            sys::VIR_ERR_SYSTEM_ERROR | sys::VIR_ERR_INTERNAL_ERROR | sys::VIR_ERR_RPC | sys::VIR_ERR_NO_CONNECT
        );
    from_transport || is_dead(connect)
}

/// Whether the connection's socket is known to be closed. It asks nobody: the client library knows.
pub(super) fn is_dead(connect: &Connect) -> bool {
    matches!(connect.is_alive(), Ok(false))
}
