//! Calls that are not the agent's own: a door forwards its client's message when the lane releases the command.
//!
//! A carrier is kept by the lane's runner from the moment its command is submitted and is used up at most once. It is
//! dropped without having carried anything when its command ends otherwise: refused, cancelled, coalesced, expired.

use std::collections::{BTreeMap, BTreeSet};

use crate::hypervisor::Later;
use crate::model::CommandId;
use crate::resolver::{Call, CallResult, nobody_carries};

/// Makes a command's call in the hypervisor adapter's stead.
pub trait Carrier: Send + 'static {
    /// Makes the call, once. What became of it is told when libvirt has answered, or, where the call goes on for as
    /// long as what it opens is open (a migration), once that is seen to be open.
    fn carry(self: Box<Self>, call: Call) -> Later<CallResult>;
}

/// The carriers of a lane's commands that have not been released.
#[derive(Default)]
pub(super) struct Carriers(BTreeMap<CommandId, Box<dyn Carrier>>);

impl Carriers {
    /// Keeps one, unless the command has one already: the same id twice is one command.
    pub(super) fn keep(&mut self, command: CommandId, carrier: Box<dyn Carrier>) -> Option<CommandId> {
        if self.0.contains_key(&command) {
            return None;
        }
        self.0.insert(command, carrier);
        Some(command)
    }

    /// Makes a call, once; nobody makes the call of a command whose carrier is gone.
    pub(super) fn carry(&mut self, call: Call) -> Later<CallResult> {
        let carrier = self.0.remove(&call.command());
        Box::pin(async move {
            let Some(carrier) = carrier else { return CallResult::Failed(nobody_carries()) };
            // What goes wrong in a door is no lane's defect.
            let carrying = tokio::spawn(async move { carrier.carry(call).await });
            carrying.await.unwrap_or_else(|error| CallResult::Lost(format!("the door failed: {error}")))
        })
    }

    /// Drops one that is not needed any more.
    pub(super) fn drop(&mut self, command: CommandId) {
        self.0.remove(&command);
    }

    /// The commands whose calls have not been made.
    pub(super) fn commands(&self) -> BTreeSet<CommandId> {
        self.0.keys().copied().collect()
    }
}
