//! Identities. Each kind of thing has its own type; mixing two does not compile.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id! {
    /// A virtual machine, by libvirt's domain UUID.
    VmId
}

uuid_id! {
    /// A command, by the UUID (version 7) its provider chose. It is the idempotency key.
    CommandId
}

uuid_id! {
    /// A channel that was opened at a door.
    ChannelId
}

uuid_id! {
    /// A conflict between two commands on one VM.
    ConflictId
}

impl ConflictId {
    /// The id of a VM's `number`-th conflict: the same on every replay.
    #[must_use]
    pub fn nth(vm: VmId, number: u64) -> Self {
        Self(Uuid::new_v5(&vm.0, format!("conflict/{number}").as_bytes()))
    }
}

impl VmId {
    /// No VM: the subject of what happened to the host as a whole.
    pub const HOST: Self = Self(Uuid::nil());
}

impl CommandId {
    /// The id of the `number`-th command that the agent itself sends to a VM: the same on every replay.
    #[must_use]
    pub fn errand(vm: VmId, number: u64) -> Self {
        Self(Uuid::new_v5(&vm.0, format!("errand/{number}").as_bytes()))
    }
}

/// A control plane's name: 1 to 32 of `a-z`, `0-9` and `-`, beginning with a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ProviderId(String);

/// Why a text is not a provider's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a provider name: 1 to 32 of a-z, 0-9 and '-', beginning with a letter, are expected")]
pub struct ParseProviderIdError {
    text: String,
}

impl ProviderId {
    /// The host's owner, who is a provider of every VM and needs no delegation.
    pub const OPERATOR: &'static str = "operator";

    /// The built-in provider of the host's owner.
    #[must_use]
    pub fn operator() -> Self {
        Self(Self::OPERATOR.to_owned())
    }

    /// The agent itself, in whose name what was left open is ended.
    pub const AGENT: &'static str = "covirt";

    /// The built-in provider that the agent itself is.
    #[must_use]
    pub fn agent() -> Self {
        Self(Self::AGENT.to_owned())
    }

    /// Whether this is the agent itself.
    #[must_use]
    pub fn is_agent(&self) -> bool {
        self.0 == Self::AGENT
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whose command this is: the host's owner's, or a provider's.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.0 == Self::OPERATOR
    }
}

impl FromStr for ProviderId {
    type Err = ParseProviderIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=32).contains(&text.len())
            && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseProviderIdError { text: text.chars().take(64).collect() })
        }
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ProviderId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_name_is_short_and_plain() {
        for good in ["north", "a", "nova-2"] {
            assert_eq!(good.parse::<ProviderId>().unwrap().as_str(), good);
        }
        for bad in ["", "2north", "North", "a b", "a/b", "-a", &"a".repeat(33)] {
            assert!(bad.parse::<ProviderId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_conflict_id_is_the_same_on_every_replay() {
        let vm = VmId(Uuid::from_u128(7));
        assert_eq!(ConflictId::nth(vm, 1), ConflictId::nth(vm, 1));
        assert_ne!(ConflictId::nth(vm, 1), ConflictId::nth(vm, 2));
    }
}
