//! Whose certificates are believed, as of now.
//!
//! Two ways lead in. An authority of `client_ca` vouches for a certificate, and the names in it count; or the key is
//! pinned, and then it does not matter who made the certificate around it: it has to be of now and for a client, and the
//! handshake proves that its key is there. A certificate that an authority has revoked is refused on either way.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tokio::sync::watch;

use super::certificate::Certificate;
use super::files::{ReadTlsFileError, TlsFiles, authorities, revocations, unfit_list};
use super::live::provider;
use super::refused::Refused;
use crate::doors::identity::{Directory, Proven};
use crate::model::{KeyId, Peer};

/// What a client showed: its own certificate first, then those that lead from it to an authority.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    own: Certificate,
}

impl Chain {
    /// *Errors*: [`Refused::Unreadable`].
    pub(super) fn read(own: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<Self, Refused> {
        let certificates = std::iter::once(own).chain(others).map(|one| one.clone().into_owned()).collect();
        Ok(Self { certificates, own: Certificate::read(own)? })
    }

    /// The key that it is about.
    pub(crate) const fn key(&self) -> KeyId {
        self.own.key
    }

    /// How long it is still good. *Units*: seconds; 0 once it is not.
    pub(crate) fn left(&self, now: UnixTime) -> u64 {
        self.own.left(now)
    }
}

/// The authorities, and what they have revoked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Authorities(Option<Arc<dyn ClientCertVerifier>>);

impl Authorities {
    /// *Errors*: [`ReadTlsFileError`].
    pub(super) fn read(files: &TlsFiles) -> Result<Self, ReadTlsFileError> {
        let Some(path) = &files.client_ca else { return Ok(Self(None)) };
        let roots: Arc<RootCertStore> = authorities(path)?.into();
        let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
        if let Some(crl) = &files.crl {
            // Those between a client and the authority are believed by the authority's own signature; lists of what
            // authorities revoked of each other are rare, and a missing one would keep everybody out.
            builder = builder.with_crls(revocations(crl)?).only_check_end_entity_revocation();
        }
        let at_fault = files.crl.as_ref().unwrap_or(path);
        builder.build().map(|verifier| Self(Some(verifier))).map_err(|_| unfit_list(at_fault))
    }

    fn vouch(&self, chain: &Chain, now: UnixTime) -> Result<(), Refused> {
        let (Some(verifier), Some((own, others))) = (&self.0, chain.certificates.split_first()) else {
            return Err(Refused::UnknownAuthority);
        };
        let verified = verifier.verify_client_cert(own, others, now);
        verified.map(drop).map_err(|error| Refused::of_verification(&error))
    }

    /// What is proved by whoever holds the key of this chain.
    ///
    /// *Errors*: why it speaks for nobody.
    pub(crate) fn judge(
        &self,
        chain: &Chain,
        address: &str,
        directory: &Directory,
        now: UnixTime,
    ) -> Result<Proven, Refused> {
        let key = chain.own.key;
        if directory.revoked.contains(&key) {
            return Err(Refused::KeyRevoked);
        }
        let uris = match self.vouch(chain, now) {
            Ok(()) => chain.own.uris.clone(),
            Err(Refused::Revoked) => return Err(Refused::Revoked),
            Err(_) if directory.pins(&key) => {
                chain.own.suits(now)?;
                std::collections::BTreeSet::new()
            }
            Err(refused) => return Err(refused),
        };
        let proven = Proven { peer: Peer::Key { key, address: address.to_owned() }, uris };
        if directory.callers(&proven).is_empty() { Err(Refused::Stranger) } else { Ok(proven) }
    }
}

/// The live authorities. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Trust(Arc<watch::Sender<Authorities>>);

impl Trust {
    pub(super) fn new(authorities: Authorities) -> Self {
        Self(Arc::new(watch::Sender::new(authorities)))
    }

    pub(super) fn replace(&self, authorities: Authorities) {
        self.0.send_replace(authorities);
    }

    pub(crate) fn current(&self) -> Authorities {
        self.0.borrow().clone()
    }

    /// Tells when they were read again.
    pub(crate) fn watch(&self) -> watch::Receiver<Authorities> {
        self.0.subscribe()
    }
}
