//! What happened to the host as a whole: recorded in the journal, one fact at a time, and shown to whoever watches.
//!
//! Guarantees: a fact is shown only once it is durable; a fact that the journal refuses changes nothing.

use std::sync::Arc;

use tokio::sync::{Mutex, oneshot, watch};

use super::clock::Clock;
use crate::journal::{Entry, Journal, Position};
use crate::model::{Code, ProviderId, Refusal, VmId};
use crate::resolver::Fact;
use crate::sovereignty::{By, Ceiling, HostFact, HostState, Restraint};

/// The host's own records. Clones are the same.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    journal: Journal,
    clock: Clock,
    /// Held from the decision until its fact is durable.
    deciding: Mutex<()>,
    shown: watch::Sender<Arc<HostState>>,
    restraint: watch::Sender<Arc<Restraint>>,
}

impl Host {
    /// The host as its records say, which go on in this journal.
    #[must_use]
    pub fn new(journal: Journal, clock: Clock, state: HostState) -> Self {
        let restraint = Restraint { freezes: state.freezes().to_vec(), ceiling: Arc::default() };
        let restraint = watch::Sender::new(Arc::new(restraint));
        let shown = watch::Sender::new(Arc::new(state));
        Self(Arc::new(Inner { journal, clock, deciding: Mutex::default(), shown, restraint }))
    }

    /// What its records add up to.
    #[must_use]
    pub fn current(&self) -> Arc<HostState> {
        self.0.shown.borrow().clone()
    }

    /// Changes with every record.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<HostState>> {
        self.0.shown.subscribe()
    }

    /// What holds on the whole host now.
    #[must_use]
    pub fn holds(&self) -> Arc<Restraint> {
        self.0.restraint.borrow().clone()
    }

    /// What no provider may exceed from now on; every lane goes by it before its next step.
    pub fn set_ceiling(&self, ceiling: Ceiling) {
        let ceiling = Arc::new(ceiling);
        self.0.restraint.send_if_modified(|told| {
            let changed = told.ceiling != ceiling;
            if changed {
                *told = Arc::new(Restraint { ceiling, ..(**told).clone() });
            }
            changed
        });
    }

    /// What lanes go by; a lane looks before every step.
    pub(super) fn restraint(&self) -> watch::Receiver<Arc<Restraint>> {
        let mut receiver = self.0.restraint.subscribe();
        receiver.mark_changed();
        receiver
    }

    /// Records a fact; returns its position once it is durable.
    ///
    /// *Errors*: [`Code::JournalUnwritable`]; nothing has changed then.
    pub async fn record(&self, fact: HostFact) -> Result<Position, Refusal> {
        self.decide(|_| Ok(fact)).await
    }

    /// Records, when it can, that a lane has seen the glass over its VM mend.
    pub(super) fn glass_mended(&self, vm: VmId, by: ProviderId) {
        let host = self.clone();
        tokio::spawn(async move {
            // What is refused is logged, and made up for at the next start.
            let _ = host.record(HostFact::GlassMended { by: By::of(by), vm }).await;
        });
    }

    /// Decides by what the records say now, and records what was decided, alone.
    ///
    /// *Errors*: the decision's; [`Code::JournalUnwritable`].
    pub async fn decide(
        &self,
        decide: impl FnOnce(&HostState) -> Result<HostFact, Refusal>,
    ) -> Result<Position, Refusal> {
        // A caller that goes away must not leave a fact that is durable and not shown.
        let _alone = self.0.deciding.lock().await;
        let fact = decide(&self.current())?;
        let mut next = (*self.current()).clone();
        next.apply(&fact);
        let (send, written) = oneshot::channel();
        let at = self.0.clock.now();
        let text = fact.to_string();
        let entry = Entry { vm: VmId::HOST, at, facts: vec![Fact::Host(Box::new(fact))] };
        let (shown, restraint) = (self.0.shown.clone(), self.0.restraint.clone());
        self.0.journal.append(&entry, move |result| {
            if result.is_ok() {
                restraint.send_if_modified(|told| {
                    let changed = told.freezes != next.freezes();
                    if changed {
                        *told = Arc::new(Restraint { freezes: next.freezes().to_vec(), ..(**told).clone() });
                    }
                    changed
                });
                shown.send_replace(Arc::new(next));
            }
            let _ = send.send(result);
        });
        let unwritable = |reason: String| {
            tracing::error!(reason, "what happened to the host cannot be recorded");
            Refusal::new(Code::JournalUnwritable, "the journal cannot be written now; nothing was changed")
        };
        match written.await {
            Ok(Ok(position)) => {
                tracing::warn!(position, "{text}");
                Ok(position)
            }
            Ok(Err(error)) => {
                // What was refused is known nowhere, so the next fact may be written.
                self.0.journal.unfence(VmId::HOST);
                Err(unwritable(error.to_string()))
            }
            Err(_) => Err(unwritable("the journal is closed".to_owned())),
        }
    }
}
