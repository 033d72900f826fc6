//! What happened to the host as a whole, as it is journalled.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::freeze::{Freeze, Scope};
use crate::model::{Peer, ProviderId, VmId, Wall};

/// Who brought it about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// In whose name.
    pub provider: ProviderId,
    /// Who was at the other end; none for the agent itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
}

impl By {
    /// Somebody of whom no more is known.
    #[must_use]
    pub const fn of(provider: ProviderId) -> Self {
        Self { provider, peer: None }
    }

    /// The agent itself.
    #[must_use]
    pub fn agent() -> Self {
        Self::of(ProviderId::agent())
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.provider)
    }
}

/// One thing that happened to the host. When, the record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum HostFact {
    /// New work of a scope was stopped.
    Frozen { by: By, freeze: Freeze },
    /// It may go on.
    Thawed {
        by: By,
        scope: Scope,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// What no provider may exceed is another file than before; none when there is none any more.
    CeilingChanged {
        by: By,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// Its SHA-256, in hexadecimal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<String>,
    },
    /// A provider is known from now on.
    ProviderAdded {
        by: By,
        provider: ProviderId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A provider is not known any more.
    ProviderRemoved {
        by: By,
        provider: ProviderId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A key speaks for a provider from now on.
    KeyAdded { by: By, provider: ProviderId, key: String },
    /// A key speaks for nobody any more.
    KeyRevoked {
        by: By,
        provider: ProviderId,
        key: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A token with which a provider may join was given out.
    TokenMade { by: By, provider: ProviderId, expires: Wall, uses: u32 },
    /// The operator took every action of a VM for a while.
    GlassBroken { by: By, vm: VmId, reason: String, until: Wall },
    /// That is over.
    GlassMended { by: By, vm: VmId },
}

macro_rules! words {
    ($($name:ident = $word:literal,)*) => {
        impl HostFact {
            /// The word of every kind, in the order of the declaration.
            pub const KINDS: &'static [&'static str] = &[$($word,)*];

            /// Its kind, by the word that it is journalled with.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $word,)*
                }
            }

            /// Who brought it about.
            #[must_use]
            pub const fn by(&self) -> &By {
                match self {
                    $(Self::$name { by, .. } => by,)*
                }
            }
        }
    };
}

words! {
    Frozen = "frozen",
    Thawed = "thawed",
    CeilingChanged = "ceiling-changed",
    ProviderAdded = "provider-added",
    ProviderRemoved = "provider-removed",
    KeyAdded = "key-added",
    KeyRevoked = "key-revoked",
    TokenMade = "token-made",
    GlassBroken = "glass-broken",
    GlassMended = "glass-mended",
}

/// As the end of a sentence, where there is a reason.
fn why(reason: Option<&String>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

impl fmt::Display for HostFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frozen { by, freeze } => write!(f, "{by} froze {}{}", freeze.scope, why(freeze.reason.as_ref())),
            Self::Thawed { by, scope, reason } => write!(f, "{by} thawed {scope}{}", why(reason.as_ref())),
            Self::CeilingChanged { by: _, file: Some(file), digest: _ } => {
                write!(f, "what {file} allows is the host's ceiling from now on")
            }
            Self::CeilingChanged { by: _, file: None, digest: _ } => f.write_str("the host has no ceiling any more"),
            Self::ProviderAdded { by, provider, reason } => {
                write!(f, "{by} added provider {provider}{}", why(reason.as_ref()))
            }
            Self::ProviderRemoved { by, provider, reason } => {
                write!(f, "{by} removed provider {provider}{}", why(reason.as_ref()))
            }
            Self::KeyAdded { by, provider, key } => write!(f, "{by} added the key {key} of {provider}"),
            Self::KeyRevoked { by, provider, key, reason } => {
                write!(f, "{by} revoked the key {key} of {provider}{}", why(reason.as_ref()))
            }
            Self::TokenMade { by, provider, expires, uses } => {
                write!(f, "{by} made a token for {provider}, for {uses} uses until {expires}")
            }
            Self::GlassBroken { by, vm, reason, until } => {
                write!(f, "{by} broke the glass over {vm} until {until}: {reason}")
            }
            Self::GlassMended { by, vm } => write!(f, "the glass over {vm} is whole again ({by})"),
        }
    }
}
