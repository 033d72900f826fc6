//! Hand-over that lets work finish: from now on nothing new is taken in under what is to be handed over, what is in
//! flight ends as it would have, and only then the change takes effect, under its new epoch.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Mode;
use super::authority::Authority;
use super::change::{ChangeRequest, InFlight, decide};
use crate::model::{Action, Code, CommandId, Mono, Now, ProviderId, Refusal, Wall};

/// A change that waits for what is in flight. It holds actions back, so it has an owner and an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// What takes effect then.
    pub request: ChangeRequest,
    /// Who takes nothing new in of which actions meanwhile.
    pub closing: BTreeMap<ProviderId, BTreeSet<Action>>,
    /// When it is given up.
    pub deadline: Mono,
    /// The same moment, for people.
    pub until: Wall,
}

impl Drain {
    /// Prepares a change. What it would be refused for now, other than what is in flight, it is refused for.
    ///
    /// *Errors*: those of [`decide`], but for [`Code::ActionInFlight`].
    pub fn prepare(
        authority: &Authority,
        request: ChangeRequest,
        now: Now,
        (deadline, until): (Mono, Wall),
    ) -> Result<Self, Refusal> {
        decide(authority, &request, &InFlight::new(), now)?;
        let mut closing: BTreeMap<ProviderId, BTreeSet<Action>> = BTreeMap::new();
        let mut close = |provider: &ProviderId, action: Action| {
            closing.entry(provider.clone()).or_default().insert(action);
        };
        match &request {
            ChangeRequest::Delegate { to, actions, mode: Mode::Exclusive, .. } => {
                for provider in authority.providers(now.mono).into_iter().filter(|provider| *provider != to) {
                    let held = |action: &&Action| authority.hold_of(provider, **action, now.mono).is_some();
                    actions.iter().filter(held).for_each(|action| close(provider, *action));
                }
            }
            // Sharing takes nothing from anybody.
            ChangeRequest::Delegate { mode: Mode::Shared, .. } => {}
            ChangeRequest::Revoke { from, actions, .. } => {
                let named = |action: &&Action| actions.is_empty() || actions.contains(*action);
                let held = authority.delegated.iter().filter(|(_, holders)| holders.contains_key(from));
                held.map(|(action, _)| action).filter(named).for_each(|action| close(from, *action));
            }
        }
        Ok(Self { request, closing, deadline, until })
    }

    /// Whether `provider` takes nothing new in of `action`.
    #[must_use]
    pub fn closes(&self, provider: &ProviderId, action: Action) -> bool {
        !action.is_read() && self.closing.get(provider).is_some_and(|closing| closing.contains(&action))
    }

    /// What it still waits for.
    #[must_use]
    pub fn waits_for(&self, in_flight: &InFlight) -> Vec<CommandId> {
        let held = in_flight.iter().filter(|(provider, action, _)| self.closes(provider, *action));
        held.map(|(_, _, command)| *command).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Why a new command is not taken in.
    #[must_use]
    pub fn refusal(&self, action: Action) -> Refusal {
        let by = self.request.by();
        let message = format!("{by} is handing {action} over; nothing new of it is taken in until that is done");
        Refusal::new(Code::Draining, message).held_by(by.clone(), Some(self.until))
    }
}
