//! A text that never leaves by log, journal, event or answer.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is written in its place.
const HIDDEN: &str = "(hidden)";

/// A secret in memory. Written anywhere it is a fixed word, and what is read from that word is a secret that is lost:
/// a command that needs it cannot be executed any more.
#[derive(Clone, Default)]
pub struct Secret(Option<String>);

impl Secret {
    /// The text, unless it is lost.
    #[must_use]
    pub fn reveal(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Some(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Two secrets compare as they are written: alike. So a lane that was replayed equals the one that lived, and nobody
/// can try texts against one.
impl PartialEq for Secret {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Secret {}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // An error of its own: serde's would show the value that is no text.
        let text = String::deserialize(deserializer).map_err(|_| D::Error::custom("a text is expected"))?;
        Ok(Self(Some(text).filter(|text| text != HIDDEN)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_written_nowhere() {
        let secret: Secret = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!(secret.reveal(), Some("hunter2"));
        let (written, shown) = (serde_json::to_string(&secret).unwrap(), format!("{secret:?}"));
        assert!(!written.contains("hunter2") && !shown.contains("hunter2"));
        assert_eq!(serde_json::from_str::<Secret>(&written).unwrap().reveal(), None, "lost, not guessed");
    }

    #[test]
    fn a_secret_of_another_type_is_not_told_in_the_error() {
        let refusal = serde_json::from_str::<Secret>("474747").unwrap_err().to_string();
        assert!(refusal.contains("a text is expected") && !refusal.contains("474747"), "{refusal}");
    }
}
