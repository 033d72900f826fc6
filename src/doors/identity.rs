//! Who is at the other end of a socket.
//!
//! The kernel says under which user and group the peer runs; the configuration says which providers that user may
//! speak for. A user who may speak for several names one with a header; nobody can name one it may not.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Code, Peer, ProviderId, Refusal};

/// Whether a provider may begin to co-manage VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
}

impl Peers {
    pub(crate) fn include(&self, peer: &Peer) -> bool {
        match peer {
            Peer::Local { uid, gid, pid: _ } => {
                self.uids.contains(uid) || gid.is_some_and(|gid| self.gids.contains(&gid))
            }
            Peer::Key { .. } => false,
        }
    }
}

/// Everybody the agent knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory {
    /// The providers.
    pub providers: BTreeMap<ProviderId, (Peers, Enrolling)>,
    /// The host's owner.
    pub operator: Peers,
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

    /// Who a peer is, given whom it says it speaks for.
    ///
    /// *Errors*: [`Code::Unidentified`] for a peer that may speak for nobody, or for several and names none;
    /// [`Code::Forbidden`] when it names somebody it may not speak for; [`Code::Malformed`] for no name at all.
    pub fn identify(&self, peer: &Peer, named: Option<&str>) -> Result<Caller, Refusal> {
        let caller = |provider, enrolling| Caller { provider, enrolling, peer: peer.clone() };
        let mut callers: Vec<Caller> = (self.providers.iter())
            .filter(|(_, (peers, _))| peers.include(peer))
            .map(|(provider, (_, enrolling))| caller(provider.clone(), *enrolling))
            .collect();
        if self.operator.include(peer) {
            callers.insert(0, caller(ProviderId::operator(), Enrolling::Yes));
        }
        if let Some(named) = named {
            let named: ProviderId = named.parse().map_err(|error| Refusal::new(Code::Malformed, format!("{error}")))?;
            let message = format!("{peer} may not speak for {named}");
            let found = callers.into_iter().find(|caller| caller.provider == named);
            return found.ok_or_else(|| Refusal::new(Code::Forbidden, message));
        }
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
mod tests {
    use super::*;

    fn directory() -> Directory {
        let peers = |uids: &[u32]| Peers { uids: uids.iter().copied().collect(), gids: BTreeSet::new() };
        Directory {
            providers: BTreeMap::from([
                ("north".parse().unwrap(), (peers(&[100, 7]), Enrolling::Yes)),
                ("south".parse().unwrap(), (peers(&[101, 7]), Enrolling::No)),
            ]),
            operator: Peers { uids: BTreeSet::from([0]), gids: BTreeSet::from([50]) },
        }
    }

    fn who(uid: u32, gid: u32, named: Option<&str>) -> Result<String, Code> {
        let peer = Peer::Local { uid, gid: Some(gid), pid: None };
        directory().identify(&peer, named).map(|caller| caller.provider.to_string()).map_err(|refusal| refusal.code)
    }

    #[test]
    fn the_kernel_says_who_a_peer_is() {
        assert_eq!(who(100, 1, None).unwrap(), "north");
        assert_eq!(who(0, 0, None).unwrap(), "operator");
        assert_eq!(who(9, 50, None).unwrap(), "operator");
        assert_eq!(who(9, 9, None), Err(Code::Unidentified));
    }

    #[test]
    fn a_peer_names_only_whom_it_may_speak_for() {
        assert_eq!(who(7, 1, None), Err(Code::Unidentified));
        assert_eq!(who(7, 1, Some("south")).unwrap(), "south");
        assert_eq!(who(100, 1, Some("south")), Err(Code::Forbidden));
        assert_eq!(who(100, 1, Some("operator")), Err(Code::Forbidden));
        assert_eq!(who(100, 1, Some("No Name")), Err(Code::Malformed));
    }
}
