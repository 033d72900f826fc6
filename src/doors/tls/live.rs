//! The server's side of TLS: its certificate and what it believes, read again from their files while it serves.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::files::{ReadTlsFileError, TlsFiles, identity};
use super::gate::Gate;
use super::trust::{Authorities, Trust};
use crate::doors::roster::Roster;

/// The algorithms: made once, because everything that is made of them refers to them.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(default_provider())).clone()
}

/// A certificate's fingerprint: `sha256:` and 64 hexadecimal digits, of the whole of it in DER.
#[must_use]
pub fn fingerprint(der: &[u8]) -> String {
    // A key's name is made the same way, of another part.
    crate::model::KeyId::of_spki(der).to_string()
}

/// What is spoken inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaking {
    /// HTTP/1.1, and said so in the handshake.
    Http,
    /// libvirt's own protocol, which has no name there.
    Libvirt,
}

/// The live server side. Clones are the same.
#[derive(Debug, Clone)]
pub struct Tls {
    own: Arc<RwLock<Arc<CertifiedKey>>>,
    trust: Trust,
    roster: Roster,
}

impl Tls {
    /// Reads the files.
    ///
    /// *Errors*: [`ReadTlsFileError`], with the file's name.
    pub fn load(files: &TlsFiles, roster: Roster) -> Result<Self, ReadTlsFileError> {
        let own = Arc::new(RwLock::new(identity(&files.certificate, &files.key)?));
        Ok(Self { own, trust: Trust::new(Authorities::read(files)?), roster })
    }

    /// Reads the files again. Certificate and key change together or not at all, and so do authorities and revocation
    /// lists; what was not read stays as it was.
    ///
    /// *Errors*: of each pair that was not read.
    pub fn reload(&self, files: &TlsFiles) -> Vec<ReadTlsFileError> {
        let mut errors = Vec::new();
        match identity(&files.certificate, &files.key) {
            Ok(own) => *self.own.write().unwrap_or_else(PoisonError::into_inner) = own,
            Err(error) => errors.push(error),
        }
        match Authorities::read(files) {
            Ok(authorities) => self.trust.replace(authorities),
            Err(error) => errors.push(error),
        }
        errors
    }

    pub(super) const fn trust(&self) -> &Trust {
        &self.trust
    }

    pub(super) const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The SHA-256 of this agent's certificate as it is shown now.
    #[must_use]
    pub fn own_fingerprint(&self) -> Option<String> {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner).clone();
        own.cert.first().map(|certificate| fingerprint(certificate))
    }

    fn own(&self) -> SingleCertAndKey {
        self.own.read().unwrap_or_else(PoisonError::into_inner).clone().into()
    }

    /// One handshake's gate, for a client from there.
    pub(super) fn gate(&self, address: String) -> Gate {
        Gate::new(self.trust.clone(), self.roster.clone(), address, provider().signature_verification_algorithms)
    }

    /// For one handshake before this gate.
    ///
    /// *Errors*: the algorithms do not suit TLS 1.3, which they do.
    pub(super) fn config(&self, gate: Arc<Gate>, speaking: Speaking) -> Result<Arc<ServerConfig>, rustls::Error> {
        let builder =
            ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13])?;
        let mut config = builder.with_client_cert_verifier(gate).with_cert_resolver(Arc::new(self.own()));
        proving_anew(&mut config);
        match speaking {
            Speaking::Http => config.alpn_protocols = vec![b"http/1.1".to_vec()],
            Speaking::Libvirt => {}
        }
        Ok(Arc::new(config))
    }

    /// For clients that have no certificate yet: this agent's own is shown, and none is asked for.
    ///
    /// *Errors*: the algorithms do not suit TLS 1.3, which they do.
    pub fn config_for_strangers(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        let builder =
            ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13])?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(self.own()));
        proving_anew(&mut config);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Nothing is resumed: a resumed session's certificate would not be looked at. libvirt's clients moreover take a ticket
/// for the end of what they wait for.
fn proving_anew(config: &mut ServerConfig) {
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
}
