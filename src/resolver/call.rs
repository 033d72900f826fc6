//! The only thing the hypervisor accepts. Nothing outside the resolver can make one, so nothing runs that was not
//! authorised, admitted and settled.

use crate::model::{CommandId, Operation, StartId, VmId};

/// A call to the hypervisor for a command whose start is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    vm: VmId,
    command: CommandId,
    operation: Operation,
    start: StartId,
}

impl Call {
    pub(in crate::resolver) const fn new(vm: VmId, command: CommandId, operation: Operation, start: StartId) -> Self {
        Self { vm, command, operation, start }
    }

    /// The VM.
    #[must_use]
    pub const fn vm(&self) -> VmId {
        self.vm
    }

    /// The command it is made for.
    #[must_use]
    pub const fn command(&self) -> CommandId {
        self.command
    }

    /// What to do.
    #[must_use]
    pub const fn operation(&self) -> &Operation {
        &self.operation
    }

    /// The start of the VM for which it was decided: the adapter refuses to act on any other.
    #[must_use]
    pub const fn expected_start(&self) -> StartId {
        self.start
    }
}
