//! What all lanes are told at once: another policy, a session that was lost, the agent's end.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::{Address, Lanes};
use crate::lanes::runner::Mail;
use crate::model::ProviderId;
use crate::resolver::{Input, Policy};

impl Lanes {
    /// Configures the lanes anew: what they decide from now on follows this.
    pub fn reconfigure(&self, policy: Policy) {
        let policy = Arc::new(policy);
        self.0.around.policy.send_replace(policy.clone());
        self.tell_all(|| Mail::Policy(policy.clone()));
    }

    /// Whether the agent is about to stop.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.closing.load(Ordering::Relaxed)
    }

    /// Tells every lane that a provider has no session any more: what stands still only for it is let go.
    pub fn session_lost(&self, provider: &ProviderId) {
        self.tell_all(|| Mail::Tell(Box::new(Input::SessionLost { provider: provider.clone() })));
    }

    fn tell_all(&self, mail: impl Fn() -> Mail) {
        let addresses: Vec<Address> = {
            let lanes = self.0.lanes.read().unwrap_or_else(PoisonError::into_inner);
            lanes.values().cloned().collect()
        };
        for address in addresses {
            if let Err(mpsc::error::TrySendError::Full(late)) = address.mail.try_send(mail()) {
                // A lane that is busy keeps no other one waiting.
                tokio::spawn(async move { address.mail.send(late).await });
            }
        }
    }

    /// Takes no new commands and waits until what is at the hypervisor has ended, at most this long.
    pub async fn close(&self, at_most: Duration) {
        self.0.closing.store(true, Ordering::Relaxed);
        let vms = self.vms();
        for address in vms.iter().filter_map(|vm| self.address(*vm).ok()) {
            let _ = address.mail.send(Mail::Tell(Box::new(Input::Closing))).await;
        }
        let drained = async {
            for vm in vms {
                // A look sees what is durable, and a command ends by a durable fact: after a look that saw one run, the
                // fact that ends it still moves the journal.
                let mut durable = self.0.around.journal.watch();
                while self.read(vm, |lane, _| lane.state().is_idle()).await == Ok(false) {
                    durable.changed().await?;
                }
            }
            Ok::<(), watch::error::RecvError>(())
        };
        if !matches!(tokio::time::timeout(at_most, drained).await, Ok(Ok(()))) {
            tracing::warn!(
                "calls were still running at the hypervisor; their outcome will be observed at the next start"
            );
        }
    }
}
