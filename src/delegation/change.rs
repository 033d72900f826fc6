//! How the table changes: requests, what is refused, and the changes that are recorded.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::authority::{Authority, Hold, Mode};
use crate::model::action::Reach;
use crate::model::{Action, Code, CommandId, Mono, Now, ProviderId, Refusal, Wall};

/// What somebody asks to be changed. Journalled as part of a [`Drain`](super::Drain).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum ChangeRequest {
    /// Give actions to another provider.
    Delegate {
        /// Who asks.
        by: ProviderId,
        /// Who gets them.
        to: ProviderId,
        /// Which.
        actions: BTreeSet<Action>,
        /// Alone or together.
        mode: Mode,
        /// For how long; none until revoked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease: Option<Duration>,
    },
    /// Take actions back.
    Revoke {
        /// Who asks.
        by: ProviderId,
        /// Who loses them.
        from: ProviderId,
        /// Which; empty for all.
        actions: BTreeSet<Action>,
    },
}

impl ChangeRequest {
    /// Who asks.
    #[must_use]
    pub const fn by(&self) -> &ProviderId {
        match self {
            Self::Delegate { by, .. } | Self::Revoke { by, .. } => by,
        }
    }
}

/// A change that was decided; applying it is the only way the table changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Change {
    /// Actions were given.
    Delegated {
        by: ProviderId,
        to: ProviderId,
        actions: BTreeSet<Action>,
        mode: Mode,
        epoch: u64,
        expires: Option<Mono>,
        expires_at: Option<Wall>,
        /// Those of the actions that the provider held in this mode already: their grants go on.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        renewed: BTreeSet<Action>,
    },
    /// Actions were taken back.
    Revoked { by: ProviderId, from: ProviderId, actions: BTreeSet<Action>, epoch: u64 },
}

/// Something that has not ended: whose it is, under which action, and the command that it is or was left by.
pub type Flight = (ProviderId, Action, CommandId);

/// What is in flight on a VM.
pub type InFlight = BTreeSet<Flight>;

/// Decides a request.
///
/// *Errors*: [`Code::Forbidden`] unless the primary, the operator or (for giving back) the holder asks, and for what
/// only the operator delegates;
/// [`Code::BadDelegate`]; [`Code::HeldByOther`] when a third provider holds an action alone;
/// [`Code::ActionInFlight`] when the giver would lose an action that it has something in flight under;
/// [`Code::SetsEqual`] when two providers would hold the same set.
pub fn decide(
    authority: &Authority,
    request: &ChangeRequest,
    in_flight: &InFlight,
    now: Now,
) -> Result<Change, Refusal> {
    match request {
        ChangeRequest::Delegate { by, to, actions, mode, lease } => {
            may_change(authority, by)?;
            let by_name = |action: &Action| action.spec().reach == Reach::ByName;
            if let Some(action) = actions.iter().copied().find(by_name).filter(|_| !by.is_operator()) {
                let message = format!("{action} gets round every other action; only the operator delegates it");
                return Err(Refusal::new(Code::Forbidden, message));
            }
            let held_already = *to == authority.primary && !actions.iter().all(by_name);
            if to.is_operator() || to.is_agent() || held_already {
                let message = format!("{to} cannot be delegated to: it holds its actions already");
                return Err(Refusal::new(Code::BadDelegate, message));
            }
            if actions.is_empty() {
                return Err(Refusal::new(Code::Malformed, "a delegation names at least one action"));
            }
            for action in actions {
                refuse_foreign_hold(authority, *action, to, now)?;
                if *mode == Mode::Exclusive {
                    refuse_in_flight(in_flight, *action, to)?;
                }
            }
            let held_so = |action: &&Action| {
                let grant = authority.hold_of(to, **action, now.mono);
                grant.is_some_and(|grant| grant.mode == Some(*mode))
            };
            let change = Change::Delegated {
                renewed: actions.iter().filter(held_so).copied().collect(),
                by: by.clone(),
                to: to.clone(),
                actions: actions.clone(),
                mode: *mode,
                epoch: authority.epoch.saturating_add(1),
                expires: lease.map(|lease| now.mono.after(lease)),
                expires_at: lease.map(|lease| now.wall.shifted(i64::try_from(lease.as_micros()).unwrap_or(i64::MAX))),
            };
            refuse_equal_sets(authority, &change, to, now)?;
            Ok(change)
        }
        ChangeRequest::Revoke { by, from, actions } => {
            if by != from {
                may_change(authority, by)?;
            }
            let held: BTreeSet<Action> = (authority.delegated.iter())
                .filter(|(action, holders)| {
                    holders.contains_key(from) && (actions.is_empty() || actions.contains(*action))
                })
                .map(|(action, _)| *action)
                .collect();
            if held.is_empty() {
                let message = format!("{from} holds none of these actions by delegation");
                return Err(Refusal::new(Code::NotDelegated, message));
            }
            let epoch = authority.epoch.saturating_add(1);
            Ok(Change::Revoked { by: by.clone(), from: from.clone(), actions: held, epoch })
        }
    }
}

fn may_change(authority: &Authority, by: &ProviderId) -> Result<(), Refusal> {
    if by.is_operator() || *by == authority.primary {
        return Ok(());
    }
    let message = format!("only the primary, {}, or the operator changes this VM's delegations", authority.primary);
    Err(Refusal::new(Code::Forbidden, message).held_by(authority.primary.clone(), None))
}

fn refuse_foreign_hold(authority: &Authority, action: Action, to: &ProviderId, now: Now) -> Result<(), Refusal> {
    match authority.exclusive_holder(action, now.mono) {
        Some((holder, hold)) if holder != to => {
            let message = format!("{action} is held by {holder} alone; revoke it first");
            Err(Refusal::new(Code::HeldByOther, message).held_by(holder.clone(), hold.expires_at))
        }
        Some(_) | None => Ok(()),
    }
}

/// An exclusive hand-over waits until everybody who loses the action has none of it in flight.
fn refuse_in_flight(in_flight: &InFlight, action: Action, to: &ProviderId) -> Result<(), Refusal> {
    let loses = |provider: &ProviderId| provider != to && !provider.is_operator();
    match in_flight.iter().find(|(provider, held, _)| held == &action && loses(provider)) {
        Some((provider, _, command)) => {
            let message = format!("{provider} has {action} in flight; let it end first");
            Err(Refusal::new(Code::ActionInFlight, message).held_by(provider.clone(), None).blocked_by(*command))
        }
        None => Ok(()),
    }
}

/// Two providers that may do the very same things are one provider too many.
fn refuse_equal_sets(authority: &Authority, change: &Change, to: &ProviderId, now: Now) -> Result<(), Refusal> {
    let mut after = authority.clone();
    after.apply(change);
    let set = after.actions_of(to, now.mono);
    for other in after.providers(now.mono) {
        if other != to && after.actions_of(other, now.mono) == set {
            let message = format!("{to} and {other} would hold the same actions; their sets must differ");
            return Err(Refusal::new(Code::SetsEqual, message).held_by(other.clone(), None));
        }
    }
    Ok(())
}

impl Authority {
    /// Applies a decided change.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Delegated { by: _, to, actions, mode, epoch, expires, expires_at, renewed } => {
                self.epoch = *epoch;
                for action in actions {
                    let holders = self.delegated.entry(*action).or_default();
                    // A longer lease on what is held already is the same grant: what it admitted stays admitted.
                    let same = holders.get(to).filter(|_| renewed.contains(action));
                    let epoch = same.map_or(*epoch, |held| held.epoch);
                    if *mode == Mode::Exclusive {
                        holders.clear();
                    }
                    let hold = Hold { mode: *mode, epoch, expires: *expires, expires_at: *expires_at };
                    holders.insert(to.clone(), hold);
                }
            }
            Change::Revoked { by: _, from, actions, epoch } => {
                self.epoch = *epoch;
                for action in actions {
                    if let Some(holders) = self.delegated.get_mut(action) {
                        holders.remove(from);
                    }
                }
                self.delegated.retain(|_, holders| !holders.is_empty());
            }
        }
    }
}
