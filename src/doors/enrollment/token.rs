//! What is said once to whoever is to join: a secret, and by what to know the agent before saying it.
//!
//! A token's text is `covirt-join-1.PROVIDER.ID.SECRET.FINGERPRINT`. The agent keeps the secret's SHA-256 and never the
//! secret: it has 256 random bits, so that a plain digest cannot be searched. The fingerprint is that of the authority's
//! certificate; whoever joins speaks to nobody else, and trusts nothing on first use.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::chance::{self, DrawChanceError};
use crate::model::{ProviderId, Secret};

/// How every token begins, so that scanners for lost secrets find it.
const MARK: &str = "covirt-join-1";

/// A token's public name: 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(u64);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Why a text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no token: covirt-join-1.PROVIDER.ID.SECRET.FINGERPRINT is expected, whole and unchanged")]
pub struct ParseTokenError;

impl FromStr for TokenId {
    type Err = ParseTokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let number = fits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or(ParseTokenError)
    }
}

impl Serialize for TokenId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The SHA-256 of something: a secret, or a certificate.
#[derive(Clone, Copy)]
pub struct Sum([u8; 32]);

impl Sum {
    /// That of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// As text: 43 letters.
    #[must_use]
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

/// Every byte is looked at, whatever the first ones are: how long it takes tells nothing.
impl PartialEq for Sum {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0.iter()).fold(0, |difference, (one, two)| difference | (one ^ two)) == 0
    }
}

impl Eq for Sum {}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(a digest)")
    }
}

impl FromStr for Sum {
    type Err = ParseTokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ParseTokenError)?;
        bytes.try_into().map(Self).map_err(|_| ParseTokenError)
    }
}

impl Serialize for Sum {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Sum {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // An error of its own: serde's would show the text.
        let text = String::deserialize(deserializer).map_err(|_| serde::de::Error::custom("a digest is expected"))?;
        text.parse().map_err(|_| serde::de::Error::custom("a digest is expected"))
    }
}

/// A token, as whoever is to join has it. It has no `Display`: its text leaves by [`Token::reveal`] alone.
#[derive(Debug, Clone)]
pub struct Token {
    /// Who is to join.
    pub provider: ProviderId,
    /// Its public name.
    pub id: TokenId,
    /// What only its holder knows.
    pub secret: Secret,
    /// Whose certificate the agent must show.
    pub authority: Sum,
}

impl Token {
    /// A new one.
    ///
    /// *Errors*: the system gives no random bytes.
    pub fn draw(provider: ProviderId, authority: Sum) -> Result<Self, DrawChanceError> {
        let id = TokenId(u64::from_be_bytes(chance::bytes()?));
        let secret = Secret::from(URL_SAFE_NO_PAD.encode(chance::bytes::<32>()?));
        Ok(Self { provider, id, secret, authority })
    }

    /// The digest that the agent keeps.
    #[must_use]
    pub fn sum(&self) -> Sum {
        sum_of(&self.secret)
    }

    /// The text, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> String {
        let Self { provider, id, secret, authority } = self;
        format!("{MARK}.{provider}.{id}.{}.{}", secret.reveal().unwrap_or_default(), authority.text())
    }
}

/// What the agent keeps of a secret.
#[must_use]
pub fn sum_of(secret: &Secret) -> Sum {
    Sum::of(secret.reveal().unwrap_or_default().as_bytes())
}

impl FromStr for Token {
    type Err = ParseTokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.trim().split('.').collect();
        let [MARK, provider, id, secret, authority] = parts.as_slice() else { return Err(ParseTokenError) };
        if URL_SAFE_NO_PAD.decode(secret).map_or(0, |bytes| bytes.len()) != 32 {
            return Err(ParseTokenError);
        }
        Ok(Self {
            provider: provider.parse().map_err(|_| ParseTokenError)?,
            id: id.parse()?,
            secret: Secret::from((*secret).to_owned()),
            authority: authority.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token::draw("south".parse().unwrap(), Sum::of(b"a certificate")).unwrap()
    }

    #[test]
    fn a_token_is_read_as_it_was_shown() {
        let token = token();
        let text = token.reveal();
        let read: Token = format!(" {text}\n").parse().unwrap();
        assert_eq!(
            (read.provider, read.id, read.authority),
            (token.provider.clone(), token.id, Sum::of(b"a certificate"))
        );
        assert!(sum_of(&read.secret) == token.sum());
        assert!(sum_of(&read.secret) != super::tests::token().sum(), "no two are alike");
    }

    #[test]
    fn half_a_token_is_none_and_the_error_does_not_show_it() {
        let text = token().reveal();
        for bad in [&text[..text.len() - 1], &text[1..], "", &text.replace("south", "So.uth"), &format!("{text}.x")] {
            let error = bad.parse::<Token>().unwrap_err().to_string();
            assert!(!error.contains(&text[30..60]), "{error}");
        }
    }

    #[test]
    fn a_token_is_not_written_by_accident() {
        let token = token();
        let secret = token.secret.reveal().unwrap().to_owned();
        assert!(!format!("{token:?} {:?}", token.sum()).contains(&secret));
    }
}
