//! A provider's name in a certificate: a URI of SPIFFE's shape (SPIFFE-ID, sections 2.1 to 2.3).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::ProviderId;

const SCHEME: &str = "spiffe://";
/// The longest trust domain. *Units*: bytes.
const DOMAIN_MAX: usize = 255;
/// The longest URI. *Units*: bytes.
const URI_MAX: usize = 2048;

/// Whose names they are: 1 to 255 of `a-z`, `0-9`, `.`, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct TrustDomain(String);

/// Why a text is no trust domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no trust domain: 1 to 255 of a-z, 0-9, '.', '-' and '_' are expected")]
pub struct ParseTrustDomainError(String);

impl FromStr for TrustDomain {
    type Err = ParseTrustDomainError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=DOMAIN_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b));
        if fits { Ok(Self(text.to_owned())) } else { Err(ParseTrustDomainError(shortened(text))) }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The one of an authority that was told no other.
impl Default for TrustDomain {
    fn default() -> Self {
        Self("covirt.internal".to_owned())
    }
}

impl TrustDomain {
    /// What a provider of this name is called in it: `spiffe://DOMAIN/provider/ID`.
    #[must_use]
    pub fn provider(&self, id: &ProviderId) -> SpiffeUri {
        SpiffeUri(format!("{SCHEME}{self}/provider/{id}"))
    }
}

/// A name with its path: `spiffe://DOMAIN/SEGMENT/…`, compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SpiffeUri(String);

/// Why a text is no such name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a provider: spiffe://TRUST-DOMAIN/PATH is expected")]
pub struct ParseSpiffeUriError(String);

impl FromStr for SpiffeUri {
    type Err = ParseSpiffeUriError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_segment = |segment: &str| {
            !segment.is_empty()
                && ![".", ".."].contains(&segment)
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
        };
        let fits = || {
            let (domain, path) = text.strip_prefix(SCHEME)?.split_once('/')?;
            domain.parse::<TrustDomain>().ok()?;
            (text.len() <= URI_MAX && path.split('/').all(is_segment)).then(|| Self(text.to_owned()))
        };
        fits().ok_or_else(|| ParseSpiffeUriError(shortened(text)))
    }
}

impl fmt::Display for SpiffeUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As much of a stranger's text as is repeated.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

macro_rules! deserialized_as_text {
    ($($name:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

deserialized_as_text!(TrustDomain, SpiffeUri);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_domain_and_a_plain_path() {
        for good in ["spiffe://example.org/provider/south", "spiffe://a/b", "spiffe://cloud_1.x-y/ns/A.b/sa/c_d"] {
            assert_eq!(good.parse::<SpiffeUri>().unwrap().to_string(), good);
        }
        let long = format!("spiffe://a/{}", "b".repeat(URI_MAX));
        for bad in [
            "",
            "spiffe://",
            "spiffe://example.org",
            "spiffe://example.org/",
            "spiffe://example.org/a/",
            "spiffe://example.org//a",
            "spiffe://example.org/../a",
            "spiffe://example.org/a%2fb",
            "spiffe://example.org/a?b",
            "spiffe://example.org/a\n",
            "spiffe://user@example.org/a",
            "spiffe://example.org:1/a",
            "spiffe://Example.org/a",
            "SPIFFE://example.org/a",
            "https://example.org/a",
            &long,
        ] {
            bad.parse::<SpiffeUri>().unwrap_err();
        }
    }

    #[test]
    fn a_providers_own_name_is_made_of_the_domain_and_its_id() {
        let domain: TrustDomain = "example.org".parse().unwrap();
        let name = domain.provider(&"south".parse().unwrap());
        assert_eq!(name.to_string(), "spiffe://example.org/provider/south");
        assert_eq!(name.to_string().parse(), Ok(name));
    }
}
