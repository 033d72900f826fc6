//! Why somebody was not let in, in words for the log and for the other side's alert.

use rustls::{CertificateError, Error, PeerIncompatible};

use crate::doors::bounds::Crowded;

/// A reason. Its text has nothing of what the other side sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it showed no certificate")]
    NoCertificate,
    #[error("its certificate cannot be read")]
    Unreadable,
    #[error("no authority that is believed here made its certificate, and its key is nobody's")]
    UnknownAuthority,
    #[error("its certificate has expired")]
    Expired,
    #[error("its certificate is not valid yet")]
    NotYetValid,
    #[error("its certificate is revoked")]
    Revoked,
    #[error("its key is revoked")]
    KeyRevoked,
    #[error("its certificate is not for a client of TLS")]
    WrongUsage,
    #[error("no revocation list is of the authority that made its certificate")]
    NoRevocationList,
    #[error("its certificate or proof is signed wrongly")]
    BadSignature,
    #[error("its certificate is good, and speaks for no provider here")]
    Stranger,
    #[error("it does not speak TLS 1.3")]
    OldVersion,
    #[error("it did not end its handshake in time")]
    Stalled,
    #[error("it went away during the handshake")]
    Left,
    #[error("it did not accept this agent's certificate, or ended the handshake")]
    Declined,
    #[error("it and this agent have no way of TLS in common")]
    NothingInCommon,
    #[error("it did not speak TLS, or wrongly")]
    Protocol,
    #[error("as many connections are open as may be")]
    Full,
    #[error("as many connections from its address are open as may be")]
    AddressFull,
    #[error("as many connections of its provider are open as may be")]
    ProviderFull,
    #[error("its key speaks for several providers, and which of them nothing says")]
    SeveralProviders,
    #[error("its provider has no door for libvirt's clients")]
    NoDoor,
}

impl From<Crowded> for Refused {
    fn from(crowded: Crowded) -> Self {
        match crowded {
            Crowded::All => Self::Full,
            Crowded::Origin => Self::AddressFull,
            Crowded::Provider => Self::ProviderFull,
        }
    }
}

impl Refused {
    /// A stable word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::Unreadable => "unreadable-certificate",
            Self::UnknownAuthority => "unknown-authority",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Revoked => "revoked",
            Self::KeyRevoked => "key-revoked",
            Self::WrongUsage => "wrong-usage",
            Self::NoRevocationList => "no-revocation-list",
            Self::BadSignature => "bad-signature",
            Self::Stranger => "stranger",
            Self::OldVersion => "old-version",
            Self::Stalled => "stalled",
            Self::Left => "left",
            Self::Declined => "declined",
            Self::NothingInCommon => "nothing-in-common",
            Self::Protocol => "protocol",
            Self::Full => "full",
            Self::AddressFull => "address-full",
            Self::ProviderFull => "provider-full",
            Self::SeveralProviders => "several-providers",
            Self::NoDoor => "no-door",
        }
    }

    /// What a certificate's verification says.
    pub(super) fn of_verification(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            _ => Self::BadSignature,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Self::WrongUsage,
            CertificateError::UnknownRevocationStatus
            | CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => Self::NoRevocationList,
            CertificateError::BadEncoding => Self::Unreadable,
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            _ => Self::BadSignature,
        }
    }

    /// Why a handshake failed that the gate has not judged.
    pub(super) fn of_handshake(error: &std::io::Error) -> Self {
        let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else { return Self::Left };
        match error {
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            Error::AlertReceived(_) => Self::Declined,
            Error::NoApplicationProtocol => Self::NothingInCommon,
            Error::PeerIncompatible(
                PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled,
            ) => Self::OldVersion,
            Error::PeerIncompatible(_) => Self::NothingInCommon,
            _ => Self::Protocol,
        }
    }

    /// What the other side is told by an alert.
    pub(super) fn alert(self) -> Error {
        Error::InvalidCertificate(match self {
            Self::Unreadable => CertificateError::BadEncoding,
            Self::UnknownAuthority => CertificateError::UnknownIssuer,
            Self::Expired => CertificateError::Expired,
            Self::NotYetValid => CertificateError::NotValidYet,
            Self::Revoked | Self::KeyRevoked => CertificateError::Revoked,
            Self::WrongUsage => CertificateError::InvalidPurpose,
            Self::NoRevocationList => CertificateError::UnknownRevocationStatus,
            Self::BadSignature => CertificateError::BadSignature,
            Self::NoCertificate
            | Self::Stranger
            | Self::OldVersion
            | Self::Stalled
            | Self::Left
            | Self::Declined
            | Self::NothingInCommon
            | Self::Protocol
            | Self::Full
            | Self::AddressFull
            | Self::ProviderFull
            | Self::SeveralProviders
            | Self::NoDoor => CertificateError::ApplicationVerificationFailure,
        })
    }
}
