//! Who is at the other end of a connection: a user of this host by the kernel's word, or the holder of a key.
//!
//! A value, so that facts can carry it. What a peer may speak for is decided elsewhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A public key, by the SHA-256 of its SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7): `sha256:` and 64 hexadecimal
/// digits. It stays the same when a certificate is renewed for the same key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 32]);

/// Why a text names no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no key: \"sha256:\" and 64 hexadecimal digits are expected")]
pub struct ParseKeyIdError {
    text: String,
}

impl KeyId {
    const PREFIX: &'static str = "sha256:";

    /// The key whose SubjectPublicKeyInfo this is, in DER.
    #[must_use]
    pub fn of_spki(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = ParseKeyIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = || {
            let digits = text.strip_prefix(Self::PREFIX)?;
            if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            let mut bytes = [0; 32];
            for (place, byte) in bytes.iter_mut().enumerate() {
                *byte = u8::from_str_radix(digits.get(2 * place..2 * place + 2)?, 16).ok()?;
            }
            Some(Self(bytes))
        };
        parsed().ok_or_else(|| ParseKeyIdError { text: text.chars().take(80).collect() })
    }
}

impl Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Who is at the other end. The two are told apart by their fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Peer {
    /// A process of this host, by the kernel's word.
    Local {
        /// Its user.
        uid: u32,
        /// Its group; journals before this was kept have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gid: Option<u32>,
        /// Its process, if it was still there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<i32>,
    },
    /// Whoever has proved to hold a key.
    Key {
        /// Which.
        key: KeyId,
        /// From where, as `ADDRESS:PORT`.
        address: String,
    },
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { uid, gid: _, pid } => {
                write!(f, "user {uid}")?;
                pid.map_or(Ok(()), |pid| write!(f, ", process {pid}"))
            }
            Self::Key { key, address } => write!(f, "key {key} from {address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_digest_in_both_directions() {
        let key = KeyId::of_spki(b"");
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(key.to_string(), text);
        assert_eq!(text.parse(), Ok(key));
        assert_eq!(text.to_uppercase().replace("SHA256", "sha256").parse(), Ok(key));
        let long = format!("{text}0");
        for bad in
            ["", "sha256:", &text[7..], &text[..70], &long, "sha256:é3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca"]
        {
            assert!(bad.parse::<KeyId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn peers_are_told_apart_by_their_fields() {
        let local = Peer::Local { uid: 107, gid: Some(64), pid: Some(4711) };
        let remote = Peer::Key { key: KeyId::of_spki(b""), address: "192.0.2.7:40000".to_owned() };
        for peer in [&local, &remote] {
            let text = serde_json::to_string(peer).unwrap();
            assert_eq!(&serde_json::from_str::<Peer>(&text).unwrap(), peer, "{text}");
        }
        let old = Peer::Local { uid: 107, gid: None, pid: None };
        assert_eq!(serde_json::from_str::<Peer>(r#"{"uid":107}"#).unwrap(), old);
        serde_json::from_str::<Peer>(r#"{"gid":107}"#).unwrap_err();
        assert_eq!(local.to_string(), "user 107, process 4711");
        assert!(remote.to_string().ends_with("b855 from 192.0.2.7:40000"), "{remote}");
    }
}
