//! The only thing the hypervisor accepts. Nothing outside the resolver can make one, so nothing runs that was not
//! authorised, admitted and settled.

use crate::model::{Command, CommandId, Operation, StartId, VmId};

/// A call to the hypervisor for a command whose start is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    vm: VmId,
    command: CommandId,
    operation: Operation,
    start: StartId,
    whose: Whose,
}

/// Who makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The agent, as the operation says.
    Ours,
    /// The libvirt client whose call it is: its door forwards it.
    Clients,
}

impl Call {
    pub(in crate::resolver) fn of(command: &Command, start: StartId) -> Self {
        let whose = if command.call.is_some() { Whose::Clients } else { Whose::Ours };
        Self { vm: command.vm, command: command.id, operation: command.operation.clone(), start, whose }
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

    /// Who makes it.
    #[must_use]
    pub const fn whose(&self) -> Whose {
        self.whose
    }

    /// The start of the VM for which it was decided: the adapter refuses to act on any other.
    #[must_use]
    pub const fn expected_start(&self) -> StartId {
        self.start
    }
}
