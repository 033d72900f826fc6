//! Who has a part in which VM: a table beside the lanes, so that a door need ask none of them for every line that it
//! shows. Runners keep it up to date; what it shows may be a moment ahead of what is durable.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use crate::model::{Mono, Now, ProviderId, VmId};
use crate::resolver::{Fact, Standing, State};

/// A provider's part in a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// None: the VM is not enrolled, or all that the provider had was revoked or has run out.
    None,
    /// It holds something by delegation.
    Secondary,
    /// It is the primary; the operator is everywhere.
    Primary,
}

/// Every enrolled VM, and whose it is.
#[derive(Debug, Default)]
pub struct Sight(RwLock<BTreeMap<VmId, Shown>>);

#[derive(Debug, PartialEq, Eq)]
struct Shown {
    name: String,
    standing: Standing,
    epoch: u64,
    primary: ProviderId,
    /// The others, each with when the last thing it holds runs out.
    others: BTreeMap<ProviderId, Option<Mono>>,
}

impl Shown {
    fn part(&self, provider: &ProviderId, now: Now) -> Part {
        if self.primary == *provider || provider.is_operator() {
            return Part::Primary;
        }
        let lives = |end: &Option<Mono>| end.is_none_or(|end| now.mono < end);
        if self.others.get(provider).is_some_and(lives) { Part::Secondary } else { Part::None }
    }
}

impl Sight {
    /// A provider's part in a VM now.
    #[must_use]
    pub fn part(&self, provider: &ProviderId, vm: VmId, now: Now) -> Part {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        shown.get(&vm).map_or(Part::None, |shown| shown.part(provider, now))
    }

    /// Whether a VM is co-managed, be it that it does not exist at the moment.
    #[must_use]
    pub fn is_enrolled(&self, vm: VmId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(&vm)
    }

    /// The enrolled VM of this name: one that exists before one that does not.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<VmId> {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let named = shown.iter().filter(|(_, shown)| shown.name == name);
        named.min_by_key(|(_, shown)| shown.standing == Standing::Vanished).map(|(vm, _)| *vm)
    }

    /// Every enrolled VM with its name.
    #[must_use]
    pub fn enrolled(&self) -> BTreeMap<VmId, String> {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        shown.iter().map(|(vm, shown)| (*vm, shown.name.clone())).collect()
    }

    /// Whether a provider has a part in every VM that is enrolled.
    #[must_use]
    pub fn has_part_in_all(&self, provider: &ProviderId, now: Now) -> bool {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        shown.values().all(|shown| shown.part(provider, now) != Part::None)
    }

    /// Takes over what facts may have changed.
    pub(super) fn follow(&self, state: &State, facts: &[Fact]) {
        let changes = |fact: &Fact| {
            matches!(
                fact,
                Fact::Enrolled { .. }
                    | Fact::Released { .. }
                    | Fact::Delegation { .. }
                    | Fact::Observed { .. }
                    | Fact::Vanished { .. }
                    // A new name.
                    | Fact::Ended { .. }
            )
        };
        if facts.iter().any(changes) && !self.is_as(state) {
            self.show(state);
        }
    }

    /// Whether what is shown is what the lane says, as far as it can change.
    fn is_as(&self, state: &State) -> bool {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match (shown.get(&state.vm()), state.authority()) {
            (Some(shown), Some(authority)) => {
                (shown.epoch, shown.standing) == (authority.epoch, state.standing()) && shown.name == state.name()
            }
            (shown, authority) => shown.is_none() && authority.is_none(),
        }
    }

    /// Shows a lane as it is.
    pub(super) fn show(&self, state: &State) {
        let shown = state.authority().map(|authority| Shown {
            name: state.name().to_owned(),
            standing: state.standing(),
            epoch: authority.epoch,
            primary: authority.primary.clone(),
            others: authority.parts(),
        });
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match shown {
            Some(shown) => _ = all.insert(state.vm(), shown),
            None => _ = all.remove(&state.vm()),
        }
    }

    pub(super) fn forget(&self, vm: VmId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&vm);
    }
}
