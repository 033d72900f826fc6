//! The table of one VM: which provider holds which action.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::action::Reach;
use crate::model::{Action, Code, Mono, Now, ProviderId, Refusal, Wall};

/// How a delegated action is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// By one provider alone.
    Exclusive,
    /// By the primary and others together.
    Shared,
}

/// One provider's hold on one action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Alone or together.
    pub mode: Mode,
    /// In which epoch it was granted.
    pub epoch: u64,
    /// When it ends by itself.
    pub expires: Option<Mono>,
    /// The same moment, for people.
    pub expires_at: Option<Wall>,
}

impl Hold {
    fn lives_at(&self, now: Mono) -> bool {
        self.expires.is_none_or(|end| now < end)
    }
}

/// What an authorised command carries along: proof of the hold that admitted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Alone, together, or as the operator.
    pub mode: Option<Mode>,
    /// The epoch of the hold.
    pub epoch: u64,
}

/// Who may do what to one VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// The provider that created or hosts the VM.
    pub primary: ProviderId,
    /// Rises with every change.
    pub epoch: u64,
    /// What was delegated: by action, then by holder. The primary's own hold is what is left over.
    pub delegated: BTreeMap<Action, BTreeMap<ProviderId, Hold>>,
}

impl Authority {
    /// The primary holds everything but what nobody has unless it is given by name.
    #[must_use]
    pub const fn of_primary(primary: ProviderId) -> Self {
        Self { primary, epoch: 1, delegated: BTreeMap::new() }
    }

    fn live_holds(&self, action: Action, now: Mono) -> impl Iterator<Item = (&ProviderId, &Hold)> {
        self.delegated.get(&action).into_iter().flatten().filter(move |(_, hold)| hold.lives_at(now))
    }

    /// The provider that holds `action` alone, if it is not the primary, and its hold.
    #[must_use]
    pub fn exclusive_holder(&self, action: Action, now: Mono) -> Option<(&ProviderId, &Hold)> {
        self.live_holds(action, now).find(|(_, hold)| hold.mode == Mode::Exclusive)
    }

    /// `provider`'s hold on `action`, whoever it is.
    #[must_use]
    pub fn hold_of(&self, provider: &ProviderId, action: Action, now: Mono) -> Option<Grant> {
        if provider.is_operator() || provider.is_agent() {
            return Some(Grant { mode: None, epoch: 0 });
        }
        if *provider == self.primary && action.spec().reach == Reach::Usual {
            if self.exclusive_holder(action, now).is_some() {
                return None;
            }
            let shared = self.live_holds(action, now).next().is_some();
            return Some(Grant { mode: Some(if shared { Mode::Shared } else { Mode::Exclusive }), epoch: 0 });
        }
        let held = self.live_holds(action, now).find(|(holder, _)| *holder == provider);
        held.map(|(_, hold)| Grant { mode: Some(hold.mode), epoch: hold.epoch })
    }

    /// Every provider that has a part in this VM now, the primary first.
    #[must_use]
    pub fn providers(&self, now: Mono) -> Vec<&ProviderId> {
        let mut all = vec![&self.primary];
        let others: BTreeSet<_> =
            self.delegated.keys().flat_map(|action| self.live_holds(*action, now)).map(|(holder, _)| holder).collect();
        all.extend(others.into_iter().filter(|holder| **holder != self.primary));
        all
    }

    /// Every provider but the primary that was given anything, and when the last of it runs out; none for never.
    #[must_use]
    pub fn parts(&self) -> BTreeMap<ProviderId, Option<Mono>> {
        let mut parts: BTreeMap<ProviderId, Option<Mono>> = BTreeMap::new();
        for (holder, hold) in self.delegated.values().flatten().filter(|(holder, _)| **holder != self.primary) {
            let until = parts.entry(holder.clone()).or_insert(hold.expires);
            // Whatever has no end outlasts all that has one.
            *until = until.zip(hold.expires).map(|(one, other)| one.max(other));
        }
        parts
    }

    /// What `provider` may do now.
    #[must_use]
    pub fn actions_of(&self, provider: &ProviderId, now: Mono) -> BTreeSet<Action> {
        Action::ALL.into_iter().filter(|action| self.hold_of(provider, *action, now).is_some()).collect()
    }

    /// Whether `provider` may do `action` now.
    ///
    /// Whoever has a part in the VM may read it. *Errors*: [`Code::NotDelegated`], naming who holds the action;
    /// [`Code::UnknownVm`] for a provider without any part, so that it does not learn that the VM exists.
    pub fn authorise(&self, provider: &ProviderId, action: Action, now: Now) -> Result<Grant, Refusal> {
        if let Some(grant) = self.hold_of(provider, action, now.mono) {
            return Ok(grant);
        }
        if !self.providers(now.mono).contains(&provider) {
            return Err(Refusal::new(Code::UnknownVm, "there is no VM of this id that you co-manage"));
        }
        if action.is_read() {
            return Ok(Grant { mode: Some(Mode::Shared), epoch: 0 });
        }
        let exclusive = self.exclusive_holder(action, now.mono);
        if action.spec().reach == Reach::ByName && exclusive.is_none() {
            let message = format!(
                "{action} is not delegated to {provider}: nobody has it unless the operator delegates it by this name"
            );
            return Err(Refusal::new(Code::NotDelegated, message));
        }
        let (holder, until) = match exclusive {
            Some((holder, hold)) => (holder.clone(), hold.expires_at),
            None => (self.primary.clone(), None),
        };
        let message = format!("{action} is not delegated to {provider}: {holder} holds it");
        Err(Refusal::new(Code::NotDelegated, message).held_by(holder, until))
    }

    /// Whether a grant that admitted a command still stands.
    #[must_use]
    pub fn still_stands(&self, provider: &ProviderId, action: Action, grant: Grant, now: Now) -> bool {
        self.authorise(provider, action, now).is_ok_and(|current| current.epoch == grant.epoch)
    }

    /// Other providers than `provider` whose commands could clash with `action` now.
    #[must_use]
    pub fn rivals(&self, provider: &ProviderId, action: Action, now: Mono) -> BTreeSet<&ProviderId> {
        self.providers(now)
            .into_iter()
            .filter(|other| *other != provider)
            .filter(|other| self.actions_of(other, now).into_iter().any(|theirs| theirs.may_clash(action)))
            .collect()
    }

    /// The earliest moment after `now` at which a hold runs out.
    #[must_use]
    pub fn next_expiry(&self, now: Mono) -> Option<Mono> {
        self.delegated.values().flatten().filter_map(|(_, hold)| hold.expires).filter(|end| *end > now).min()
    }
}
