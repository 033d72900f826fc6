//! Freezes: new work of a scope is stopped at once; what is at the hypervisor goes on to its end.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Code, ProviderId, Refusal, VmId, Wall};

/// What a freeze is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "scope", rename_all = "kebab-case")]
pub enum Scope {
    /// Every VM.
    Host {},
    /// One provider, on every VM.
    Provider { provider: ProviderId },
    /// One VM.
    Vm { vm: VmId },
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host {} => f.write_str("the host"),
            Self::Provider { provider } => write!(f, "provider {provider}"),
            Self::Vm { vm } => write!(f, "VM {vm}"),
        }
    }
}

/// Whom a freeze stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// The providers; the operator goes on.
    #[default]
    Providers,
    /// The operator as well.
    Everyone,
}

/// One freeze.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// What it is about.
    #[serde(flatten)]
    pub scope: Scope,
    /// Whom it stops.
    pub reach: Reach,
    /// Why, as one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub since: Wall,
}

impl Freeze {
    /// Whether it stops a provider on a VM. The agent's own errands end what is open; nothing stops them.
    #[must_use]
    pub fn stops(&self, provider: &ProviderId, vm: VmId) -> bool {
        let touches = match &self.scope {
            Scope::Host {} => true,
            Scope::Provider { provider: frozen } => frozen == provider,
            Scope::Vm { vm: frozen } => *frozen == vm,
        };
        touches && !provider.is_agent() && (self.reach == Reach::Everyone || !provider.is_operator())
    }

    /// The refusal of what it stops.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        Refusal::new(Code::Frozen, self.to_string()).held_by(ProviderId::operator(), None)
    }
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the operator has frozen {}", self.scope)?;
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

/// What stops a provider on a VM, if anything does.
#[must_use]
pub fn frozen<'a>(freezes: &'a [Freeze], provider: &ProviderId, vm: VmId) -> Option<&'a Freeze> {
    freezes.iter().find(|freeze| freeze.stops(provider, vm))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freeze(scope: Scope, reach: Reach) -> Freeze {
        Freeze { scope, reach, reason: None, since: Wall::from_micros(0) }
    }

    #[test]
    fn a_freeze_stops_whom_it_names_and_nobody_else() {
        let vm = |number| VmId(uuid::Uuid::from_u128(number));
        let [north, south] = ["north", "south"].map(|name| name.parse::<ProviderId>().unwrap());
        let of_south = freeze(Scope::Provider { provider: south.clone() }, Reach::Providers);
        assert!(of_south.stops(&south, vm(1)) && !of_south.stops(&north, vm(1)));
        let of_vm = freeze(Scope::Vm { vm: vm(1) }, Reach::Providers);
        assert!(of_vm.stops(&south, vm(1)) && !of_vm.stops(&south, vm(2)));
        let all = freeze(Scope::Host {}, Reach::Providers);
        assert!(all.stops(&north, vm(3)) && !all.stops(&ProviderId::operator(), vm(3)));
        let everyone = freeze(Scope::Host {}, Reach::Everyone);
        assert!(everyone.stops(&ProviderId::operator(), vm(3)) && !everyone.stops(&ProviderId::agent(), vm(3)));
    }
}
