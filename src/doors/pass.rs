//! A connection's right to speak for somebody, and when it ends.
//!
//! It ends when the directory changes so that the peer may not speak for whom it speaks any more, when the authorities or
//! their revocation lists change so that its certificate is not believed any more, and when that certificate expires.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use tokio::sync::watch;

use super::identity::{Caller, Directory, Proven};
use super::roster::Roster;
use super::tls::{Chain, Refused, Trust};
use crate::model::{Code, Peer, ProviderId, Refusal};

/// How often a certificate's end is looked at again: the wall clock may be set.
const LOOK: Duration = Duration::from_secs(30);

/// Why a right ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lapse {
    #[error("it may not speak for this provider any more")]
    Unlisted,
    #[error("{0}")]
    Certificate(Refused),
}

impl Lapse {
    /// What a session's end is called.
    pub(crate) const fn code(self) -> Code {
        match self {
            Self::Certificate(Refused::Expired) => Code::IdentityExpired,
            Self::Unlisted | Self::Certificate(_) => Code::IdentityRevoked,
        }
    }
}

/// One connection's right. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Pass(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    roster: Roster,
    proof: Proof,
    /// For whom the connection has spoken so far.
    spoken: Mutex<BTreeSet<ProviderId>>,
}

#[derive(Debug)]
enum Proof {
    Kernel(Proven),
    Certificate { first: Proven, chain: Chain, trust: Trust },
}

impl Pass {
    fn new(roster: Roster, proof: Proof) -> Self {
        Self(Arc::new(Inner { roster, proof, spoken: Mutex::default() }))
    }

    /// Of a process of this host.
    pub(crate) fn local(peer: Peer, roster: Roster) -> Self {
        Self::new(roster, Proof::Kernel(peer.into()))
    }

    /// Of the holder of a key, with the certificate it showed.
    pub(crate) fn certified(first: Proven, chain: Chain, roster: Roster, trust: Trust) -> Self {
        Self::new(roster, Proof::Certificate { first, chain, trust })
    }

    /// Who is at the other end.
    pub(crate) fn peer(&self) -> &Peer {
        match &self.0.proof {
            Proof::Kernel(proven) => &proven.peer,
            Proof::Certificate { first, .. } => &first.peer,
        }
    }

    /// What was proved when the connection came in.
    fn first(&self) -> &Proven {
        match &self.0.proof {
            Proof::Kernel(proven) => proven,
            Proof::Certificate { first, .. } => first,
        }
    }

    /// Who calls, now.
    ///
    /// *Errors*: as [`Directory::identify`].
    pub(crate) fn caller(&self, named: Option<&str>) -> Result<Caller, Refusal> {
        let caller = self.0.roster.current().identify(self.first(), named)?;
        self.0.spoken.lock().unwrap_or_else(PoisonError::into_inner).insert(caller.provider.clone());
        Ok(caller)
    }

    /// For whom it may speak, now.
    pub(crate) fn callers(&self) -> Vec<Caller> {
        self.0.roster.current().callers(self.first())
    }

    /// What is proved now, by the authorities of now.
    fn proven(&self, directory: &Directory) -> Result<Proven, Lapse> {
        match &self.0.proof {
            Proof::Kernel(proven) => Ok(proven.clone()),
            Proof::Certificate { first: Proven { peer: Peer::Key { address, .. }, .. }, chain, trust } => {
                let judged = trust.current().judge(chain, address, directory, UnixTime::now());
                judged.map_err(|refused| match refused {
                    Refused::Stranger => Lapse::Unlisted,
                    other => Lapse::Certificate(other),
                })
            }
            Proof::Certificate { first, .. } => Ok(first.clone()),
        }
    }

    /// Returns once the peer may not speak for this provider any more.
    pub(crate) async fn lapsed_for(&self, provider: &ProviderId) -> Lapse {
        self.lapsed_when(|directory, proven| directory.as_provider(proven, provider).is_none()).await
    }

    /// Returns once the peer may not speak for somebody any more for whom this connection has spoken; if it has for
    /// nobody, once it may speak for nobody.
    pub(crate) async fn lapsed(&self) -> Lapse {
        self.lapsed_when(|directory, proven| {
            let callers = directory.callers(proven);
            let spoken = self.0.spoken.lock().unwrap_or_else(PoisonError::into_inner);
            let is_left = |provider: &ProviderId| callers.iter().all(|caller| caller.provider != *provider);
            if spoken.is_empty() { self.is_remote() && callers.is_empty() } else { spoken.iter().any(is_left) }
        })
        .await
    }

    /// Whether it came in over TLS.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self.0.proof, Proof::Certificate { .. })
    }

    /// Returns once this is so of the directory and of what is proved.
    pub(crate) async fn lapsed_when(&self, is_over: impl Fn(&Directory, &Proven) -> bool) -> Lapse {
        let mut roster = self.0.roster.watch();
        let mut trust = match &self.0.proof {
            Proof::Kernel(_) => None,
            Proof::Certificate { trust, .. } => Some(trust.watch()),
        };
        loop {
            let directory = roster.borrow_and_update().clone();
            if let Some(trust) = &mut trust {
                trust.mark_unchanged();
            }
            match self.proven(&directory) {
                Err(lapse) => return lapse,
                Ok(proven) if is_over(&directory, &proven) => return Lapse::Unlisted,
                Ok(_) => {}
            }
            tokio::select! {
                _ = roster.changed() => {}
                () = changed(trust.as_mut()) => {}
                () = self.expired() => {}
            }
        }
    }

    /// Returns once the certificate has expired by the wall clock.
    async fn expired(&self) {
        let Proof::Certificate { chain, .. } = &self.0.proof else { return std::future::pending().await };
        loop {
            match Duration::from_secs(chain.left(UnixTime::now())) {
                Duration::ZERO => return,
                left => tokio::time::sleep(left.min(LOOK)).await,
            }
        }
    }
}

async fn changed<T>(watch: Option<&mut watch::Receiver<T>>) {
    match watch {
        Some(watch) => drop(watch.changed().await),
        None => std::future::pending().await,
    }
}
