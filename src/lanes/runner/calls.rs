//! Calls on their way: to the hypervisor's adapter, or through the door of the client whose call it is.

use super::{Errand, RETRY, Runner};
use crate::hypervisor::AskHypervisorError;
use crate::model::{Effect, HoldKey, Operation};
use crate::resolver::{Call, CallResult, Evidence, Whose};

impl Runner {
    pub(super) fn execute(&mut self, call: Call) {
        self.activity += 1;
        self.in_flight.insert(call.command());
        let (command, vm) = (call.command(), self.vm);
        let must_be_seen = must_be_seen(&call);
        let (hypervisor, send) = (self.around.hypervisor.clone(), self.send.clone());
        let sealed = matches!(call.operation(), Operation::BackupEnd(_)).then(|| hypervisor.seal_exports(vm));
        let calling = match call.whose() {
            Whose::Ours => hypervisor.execute(call),
            Whose::Clients => self.carriers.carry(call),
        };
        tokio::spawn(async move {
            let result = calling.await;
            drop(sealed);
            let seen = match &result {
                // The next command must know the new start, or it would be refused as meant for the old one.
                CallResult::Done(_) if must_be_seen => hypervisor.observe(vm).await.ok(),
                CallResult::Done(_) | CallResult::Failed(_) | CallResult::Lost(_) => None,
            };
            let _ = send.send(Box::new(Errand::Finished { command, result, seen }));
        });
    }

    pub(super) fn probe(&mut self, call: Call) {
        let command = call.command();
        if self.in_flight.contains(&command) {
            self.unprobed.insert(command, call);
            return;
        }
        let (hypervisor, send) = (self.around.hypervisor.clone(), self.send.clone());
        tokio::spawn(async move {
            let evidence = loop {
                match hypervisor.probe(call.clone()).await {
                    Ok(evidence) => break evidence,
                    Err(AskHypervisorError::NoSuchVm(_)) => break Evidence::None,
                    Err(AskHypervisorError::Unreachable { .. } | AskHypervisorError::Failed(_)) => {
                        tokio::time::sleep(RETRY).await;
                    }
                }
            };
            let _ = send.send(Box::new(Errand::Probed { command, evidence }));
        });
    }
}

/// Whether what the VM is afterwards must be seen: another start of itself, or what a definition makes of it.
fn must_be_seen(call: &Call) -> bool {
    use crate::model::PowerState::{Running, ShutOff};
    // Of a client's own call nobody knows better than a look.
    if matches!(call.operation(), Operation::Relayed(_)) {
        return true;
    }
    match call.operation().effect() {
        Effect::Power(Running) => call.expected_start().0.is_none(),
        Effect::Power(ShutOff) | Effect::Reverted(_) | Effect::Saved | Effect::Restored => true,
        // Not a start, but as little known before it is seen.
        Effect::Redefined | Effect::Renamed(_) => true,
        // They change the definition as well, and what is seen of that before the end is known to be theirs.
        Effect::Vcpus(_)
        | Effect::Memory(_)
        | Effect::DeviceAdded(_)
        | Effect::DeviceRemoved(_)
        | Effect::Setting(_)
        | Effect::SnapshotAdded(_)
        | Effect::Closed(HoldKey::Block(_)) => true,
        // Nothing else begins or ends the process.
        _ => false,
    }
}
