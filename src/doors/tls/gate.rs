//! One handshake's judge. It keeps what it found, because the handshake's own error says too little for the log.

use std::sync::{Mutex, PoisonError};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};

use super::refused::Refused;
use super::trust::{Chain, Trust};
use crate::doors::identity::Proven;
use crate::doors::roster::Roster;
use crate::model::KeyId;

/// What a client showed, and what it proves.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) chain: Chain,
    pub(super) proven: Proven,
}

#[derive(Debug)]
pub(super) struct Gate {
    trust: Trust,
    roster: Roster,
    address: String,
    algorithms: WebPkiSupportedAlgorithms,
    found: Mutex<Found>,
}

#[derive(Debug, Clone, Default)]
enum Found {
    #[default]
    Nothing,
    Good(Box<Shown>),
    Bad(Refused, Option<KeyId>),
}

impl Gate {
    pub(super) fn new(trust: Trust, roster: Roster, address: String, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { trust, roster, address, algorithms, found: Mutex::default() }
    }

    fn note(&self, found: Found) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    fn found(&self) -> Found {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a client showed that was let in.
    pub(super) fn shown(&self) -> Option<Shown> {
        match self.found() {
            Found::Good(shown) => Some(*shown),
            Found::Nothing | Found::Bad(..) => None,
        }
    }

    /// Why a client was not let in, and under which key it came, if it showed a certificate.
    pub(super) fn refused(&self) -> Option<(Refused, Option<KeyId>)> {
        match self.found() {
            Found::Bad(refused, key) => Some((refused, key)),
            Found::Nothing | Found::Good(_) => None,
        }
    }
}

impl ClientCertVerifier for Gate {
    /// None: a client with a pinned key has a certificate of whomever, and some clients send none when they are given a
    /// list that its maker is not on.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = Chain::read(end_entity, intermediates).map_err(|refused| {
            self.note(Found::Bad(refused, None));
            refused.alert()
        })?;
        match self.trust.current().judge(&chain, &self.address, &self.roster.current(), now) {
            Ok(proven) => {
                self.note(Found::Good(Box::new(Shown { chain, proven })));
                Ok(ClientCertVerified::assertion())
            }
            Err(refused) => {
                self.note(Found::Bad(refused, Some(chain.key())));
                Err(refused.alert())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
