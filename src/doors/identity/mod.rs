//! Who is at the other end of a connection, and whom it may speak for.
//!
//! On a Unix socket the kernel says under which user and group the peer runs; over TLS the peer proves to hold a key, and
//! its certificate may have a name in it. The configuration says for which providers that is enough. Who may speak for
//! several names one with a header; nobody can name one it may not.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Code, KeyId, Peer, ProviderId, Refusal};

mod uri;

pub use uri::{ParseSpiffeUriError, ParseTrustDomainError, SpiffeUri, TrustDomain};

/// What a connection has proved of who is behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The user, or the key.
    pub peer: Peer,
    /// The names in its certificate, if an authority vouches for them; of others none.
    pub uris: BTreeSet<SpiffeUri>,
}

impl From<Peer> for Proven {
    fn from(peer: Peer) -> Self {
        Self { peer, uris: BTreeSet::new() }
    }
}

/// Whether a provider may begin to co-manage VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Enrolling {
    /// It joins VMs that others enrolled.
    #[default]
    No,
    /// It becomes the primary of what it enrolls.
    Yes,
}

/// What a provider may do besides what is delegated to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// At its door it sees VMs that nobody co-manages, changes objects of the host, and becomes the primary of what it makes;
    /// its commands, wherever they come from, may name anything of the host.
    Host,
    /// At its door it reads secrets in definitions.
    ReadSecure,
}

/// Which peers may speak for somebody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peers {
    /// These users.
    pub uids: BTreeSet<u32>,
    /// Everybody whose primary group is one of these.
    pub gids: BTreeSet<u32>,
    /// Whoever holds one of these keys, whatever certificate it has.
    pub keys: BTreeSet<KeyId>,
    /// Whoever has a certificate of our authority with one of these names.
    pub uris: BTreeSet<SpiffeUri>,
}

impl Peers {
    pub(crate) fn include(&self, proven: &Proven) -> bool {
        match &proven.peer {
            Peer::Local { uid, gid, pid: _ } => {
                self.uids.contains(uid) || gid.is_some_and(|gid| self.gids.contains(&gid))
            }
            Peer::Key { key, address: _ } => self.keys.contains(key) || !self.uris.is_disjoint(&proven.uris),
        }
    }

    /// Whether it is said by which keys or certificates they are known.
    fn say_certificates(&self) -> bool {
        !self.keys.is_empty() || !self.uris.is_empty()
    }

    fn add(&mut self, others: &Self) {
        self.uids.extend(&others.uids);
        self.gids.extend(&others.gids);
        self.keys.extend(&others.keys);
        self.uris.extend(others.uris.iter().cloned());
    }
}

/// Everybody the agent knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory {
    /// The providers.
    pub providers: BTreeMap<ProviderId, (Peers, Enrolling)>,
    /// The host's owner.
    pub operator: Peers,
    /// Keys that speak for nobody any more, whatever else is said of them or vouches for them.
    pub revoked: BTreeSet<KeyId>,
    /// Whose names providers have that neither keys nor names are given for.
    pub trust_domain: Option<TrustDomain>,
}

/// Who a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The provider, or the operator.
    pub provider: ProviderId,
    /// Whether it may begin to co-manage VMs.
    pub enrolling: Enrolling,
    /// Who is at the other end.
    pub peer: Peer,
}

impl Caller {
    /// Whether it sees VMs that nobody co-manages yet.
    #[must_use]
    pub fn may_enroll(&self) -> bool {
        self.enrolling == Enrolling::Yes
    }
}

impl Directory {
    /// Whether there is a provider of this name.
    #[must_use]
    pub fn knows(&self, provider: &ProviderId) -> bool {
        self.providers.contains_key(provider)
    }

    /// Both together: whoever one of them knows.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for (provider, (peers, enrolling)) in &other.providers {
            let (known, may) = both.providers.entry(provider.clone()).or_default();
            known.add(peers);
            *may = (*may).max(*enrolling);
        }
        both.operator.add(&other.operator);
        both.revoked.extend(&other.revoked);
        both.trust_domain = both.trust_domain.or_else(|| other.trust_domain.clone());
        both
    }

    /// Whom a peer may speak for: the operator first, then the providers by name.
    #[must_use]
    pub fn callers(&self, proven: &Proven) -> Vec<Caller> {
        if matches!(&proven.peer, Peer::Key { key, .. } if self.revoked.contains(key)) {
            return Vec::new();
        }
        let caller = |provider, enrolling| Caller { provider, enrolling, peer: proven.peer.clone() };
        let operator = self.operator.include(proven).then(|| caller(ProviderId::operator(), Enrolling::Yes));
        let providers = (self.providers.iter())
            .filter(|(provider, (peers, _))| peers.include(proven) || self.is_named(provider, peers, proven))
            .map(|(provider, (_, enrolling))| caller(provider.clone(), *enrolling));
        operator.into_iter().chain(providers).collect()
    }

    /// Whether a certificate has the name that this provider has in the trust domain. One that is known by keys or names of
    /// its own has no other, so that to take one of them away ends something.
    fn is_named(&self, provider: &ProviderId, peers: &Peers, proven: &Proven) -> bool {
        let domain = self.trust_domain.as_ref().filter(|_| !proven.uris.is_empty() && !peers.say_certificates());
        domain.is_some_and(|domain| proven.uris.contains(&domain.provider(provider)))
    }

    /// Whether anybody is known by this key.
    #[must_use]
    pub fn pins(&self, key: &KeyId) -> bool {
        let everybody = self.providers.values().map(|(peers, _)| peers).chain([&self.operator]);
        !self.revoked.contains(key) && everybody.into_iter().any(|peers| peers.keys.contains(key))
    }

    /// The peer as this provider or the operator; none when it may not speak for it.
    #[must_use]
    pub fn as_provider(&self, proven: &Proven, provider: &ProviderId) -> Option<Caller> {
        self.callers(proven).into_iter().find(|caller| caller.provider == *provider)
    }

    /// Who a peer is, given whom it says it speaks for.
    ///
    /// *Errors*: [`Code::Unidentified`] for a peer that may speak for nobody, or for several and names none;
    /// [`Code::Forbidden`] when it names somebody it may not speak for; [`Code::Malformed`] for no name at all.
    pub fn identify(&self, proven: &Proven, named: Option<&str>) -> Result<Caller, Refusal> {
        let peer = &proven.peer;
        if let Some(named) = named {
            let named: ProviderId = named.parse().map_err(|error| Refusal::new(Code::Malformed, format!("{error}")))?;
            let found = self.as_provider(proven, &named);
            return found.ok_or_else(|| Refusal::new(Code::Forbidden, format!("{peer} may not speak for {named}")));
        }
        let mut callers = self.callers(proven);
        let operator_or_only = |callers: &[Caller]| {
            callers.first().is_some_and(|first| callers.len() == 1 || first.provider.is_operator())
        };
        if operator_or_only(&callers) {
            return Ok(callers.swap_remove(0));
        }
        let message = if callers.is_empty() {
            format!("{peer} is no provider of this agent and not its operator")
        } else {
            let names: Vec<&str> = callers.iter().map(|caller| caller.provider.as_str()).collect();
            format!("{peer} may speak for {}; say for which with the covirt-provider header", names.join(", "))
        };
        Err(Refusal::new(Code::Unidentified, message))
    }
}

#[cfg(test)]
mod tests;
