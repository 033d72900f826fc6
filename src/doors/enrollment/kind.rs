//! What sort of control plane a provider is: one that artifacts are made for, plain libvirt, or another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::artifacts::Format;

/// A provider's kind, such as `openstack`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Kind(String);

/// Why a text is no kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no kind of provider; one of {known} is expected")]
pub struct ParseKindError {
    text: String,
    known: String,
}

/// A client of libvirt, and what has no format of its own.
const PLAIN: [&str; 2] = ["libvirt", "other"];

impl Kind {
    fn all() -> impl Iterator<Item = &'static str> {
        Format::ALL.iter().map(|format| format.name()).chain(PLAIN)
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Kind {
    type Err = ParseKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if Self::all().any(|known| known == text) {
            return Ok(Self(text.to_owned()));
        }
        let text = text.chars().take(64).collect();
        Err(ParseKindError { text, known: Self::all().collect::<Vec<_>>().join(", ") })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_a_format_or_plain() {
        for good in ["openstack", "kubevirt", "libvirt", "other"] {
            assert_eq!(good.parse::<Kind>().unwrap().as_str(), good);
        }
        let error = "openstak".parse::<Kind>().unwrap_err().to_string();
        assert!(error.contains("openstack"), "{error}");
    }
}
