//! What the facts about the host add up to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fact::{By, HostFact};
use super::freeze::{Freeze, Scope};
use crate::model::{Code, Refusal, VmId, Wall};

/// The host, as its owner's decisions have made it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostState {
    freezes: Vec<Freeze>,
    /// The digest of the ceiling that holds.
    #[serde(default)]
    ceiling: Option<String>,
    /// VMs over which the glass is broken, and until when.
    #[serde(default)]
    glass: BTreeMap<VmId, Wall>,
}

impl HostState {
    /// What is frozen.
    #[must_use]
    pub fn freezes(&self) -> &[Freeze] {
        &self.freezes
    }

    /// The SHA-256 of the ceiling that held last.
    #[must_use]
    pub fn ceiling(&self) -> Option<&str> {
        self.ceiling.as_deref()
    }

    /// The VMs over which the glass is broken.
    #[must_use]
    pub const fn glass(&self) -> &BTreeMap<VmId, Wall> {
        &self.glass
    }

    /// The fact that thaws a scope.
    ///
    /// *Errors*: [`Code::NotFrozen`] when it is not frozen itself: what a wider freeze stops, only the end of that lets go.
    pub fn thaw(&self, by: By, scope: Scope, reason: Option<String>) -> Result<HostFact, Refusal> {
        if self.freezes.iter().any(|freeze| freeze.scope == scope) {
            return Ok(HostFact::Thawed { by, scope, reason });
        }
        let others: Vec<String> = self.freezes.iter().map(|freeze| freeze.scope.to_string()).collect();
        let others = if others.is_empty() { "nothing is".to_owned() } else { format!("{} is", others.join(", ")) };
        Err(Refusal::new(Code::NotFrozen, format!("{scope} is not frozen by itself; {others}")))
    }

    /// Takes one fact in: the only code that changes this state, live and on replay alike.
    pub fn apply(&mut self, fact: &HostFact) {
        match fact {
            HostFact::Frozen { by: _, freeze } => {
                self.freezes.retain(|known| known.scope != freeze.scope);
                self.freezes.push(freeze.clone());
                self.freezes.sort_by(|one, other| one.scope.cmp(&other.scope));
            }
            HostFact::Thawed { by: _, scope, reason: _ } => self.freezes.retain(|known| known.scope != *scope),
            HostFact::CeilingChanged { by: _, file: _, digest } => self.ceiling.clone_from(digest),
            HostFact::GlassBroken { by: _, vm, reason: _, until } => _ = self.glass.insert(*vm, *until),
            HostFact::GlassMended { by: _, vm } => _ = self.glass.remove(vm),
            // Who may call is kept where keys are; here it is only remembered.
            HostFact::ProviderAdded { .. }
            | HostFact::ProviderRemoved { .. }
            | HostFact::KeyAdded { .. }
            | HostFact::KeyRevoked { .. }
            | HostFact::TokenMade { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::freeze::Reach;
    use super::*;
    use crate::model::ProviderId;

    fn operator() -> By {
        By::of(ProviderId::operator())
    }

    fn frozen(scope: Scope, reason: &str) -> HostFact {
        let freeze =
            Freeze { scope, reach: Reach::Providers, reason: Some(reason.to_owned()), since: Wall::from_micros(0) };
        HostFact::Frozen { by: operator(), freeze }
    }

    #[test]
    fn a_second_freeze_of_a_scope_takes_the_first_ones_place() {
        let mut host = HostState::default();
        host.apply(&frozen(Scope::Host {}, "first"));
        host.apply(&frozen(Scope::Host {}, "second"));
        assert_eq!(host.freezes().len(), 1);
        assert_eq!(host.freezes()[0].reason.as_deref(), Some("second"));
    }

    #[test]
    fn only_what_is_frozen_itself_is_thawed() {
        let mut host = HostState::default();
        let south = Scope::Provider { provider: "south".parse().unwrap() };
        host.apply(&frozen(Scope::Host {}, "all"));
        assert_eq!(host.thaw(operator(), south.clone(), None).unwrap_err().code, Code::NotFrozen);
        host.apply(&frozen(south.clone(), "one"));
        let thawed = host.thaw(operator(), south, None).unwrap();
        host.apply(&thawed);
        assert_eq!(host.freezes().len(), 1);
    }
}
