//! What a client's certificate says, whoever vouches for it.

use std::collections::BTreeSet;

use rustls::pki_types::UnixTime;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::refused::Refused;
use crate::doors::identity::SpiffeUri;
use crate::model::KeyId;

/// What is taken from a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) key: KeyId,
    /// The names of providers in it. Other names say nothing here.
    pub(crate) uris: BTreeSet<SpiffeUri>,
    /// *Units*: seconds since 1970.
    not_before: i64,
    /// *Units*: seconds since 1970.
    not_after: i64,
    purpose: Purpose,
}

/// Whether a client may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Client,
    Other,
}

impl Certificate {
    /// *Errors*: [`Refused::Unreadable`].
    pub(crate) fn read(der: &[u8]) -> Result<Self, Refused> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| Refused::Unreadable)?;
        let names = certificate.subject_alternative_name().map_err(|_| Refused::Unreadable)?;
        let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        let uris = names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => uri.parse().ok(),
            _ => None,
        });
        let usage = certificate.extended_key_usage().map_err(|_| Refused::Unreadable)?;
        let purpose = match usage {
            Some(usage) if !usage.value.client_auth && !usage.value.any => Purpose::Other,
            _ => Purpose::Client,
        };
        Ok(Self {
            key: KeyId::of_spki(certificate.public_key().raw),
            uris: uris.collect(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            purpose,
        })
    }

    /// What has to hold even when the key alone is believed: the certificate is of now and for a client.
    ///
    /// *Errors*: which of them does not.
    pub(super) fn suits(&self, now: UnixTime) -> Result<(), Refused> {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now < self.not_before {
            return Err(Refused::NotYetValid);
        }
        if now > self.not_after {
            return Err(Refused::Expired);
        }
        match self.purpose {
            Purpose::Client => Ok(()),
            Purpose::Other => Err(Refused::WrongUsage),
        }
    }

    /// How long it is still good. *Units*: seconds; 0 once it is not.
    pub(super) fn left(&self, now: UnixTime) -> u64 {
        let end = u64::try_from(self.not_after).unwrap_or(0).saturating_add(1);
        end.saturating_sub(now.as_secs())
    }
}
