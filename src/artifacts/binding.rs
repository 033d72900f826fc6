//! Bindings: what no libvirt XML can say (project, flavor, subnet, region, keys), from one file per VM and provider.
//!
//! Assumes nothing about the text. Guarantees a whole binding, or a refusal with the field, its line where it is known,
//! and a hint; and for a VM without one, a draft that names every field, what was guessed for it, and from what.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// How a binding is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// TOML.
    Toml,
    /// JSON.
    Json,
}

/// A binding as the operator wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingText {
    /// How it is written.
    pub syntax: Syntax,
    /// The text.
    pub text: String,
}

impl BindingText {
    /// The binding of a VM for which nobody wrote one.
    pub fn empty() -> Self {
        Self { syntax: Syntax::Toml, text: String::new() }
    }

    /// Reads it as what one provider needs.
    pub(super) fn read<B: DeserializeOwned>(&self) -> Result<B, BindingFault> {
        match self.syntax {
            Syntax::Toml => toml::from_str(&self.text).map_err(|fault| BindingFault {
                line: fault.span().map(|span| line_of(&self.text, span.start)),
                ..BindingFault::new("", fault.message())
            }),
            Syntax::Json => serde_json::from_str(&self.text).map_err(|fault| BindingFault {
                line: Some(fault.line() as u64),
                ..BindingFault::new("", fault.to_string())
            }),
        }
    }
}

/// The line of the byte at `offset`, from 1.
fn line_of(text: &str, offset: usize) -> u64 {
    text.get(..offset).unwrap_or(text).matches('\n').count() as u64 + 1
}

/// Why a binding is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingFault {
    /// Its line, from 1, where it is known.
    pub line: Option<u64>,
    /// The field, by path (`guest.nics."52:54:00:00:00:01".addresses`); empty for the file as a whole.
    pub field: String,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl BindingFault {
    /// A fault of `field`.
    pub(super) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { line: None, field: field.into(), reason: reason.into(), hint: None }
    }

    /// The same with advice.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for BindingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.reason)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Whether a format can do without a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing is rendered without it.
    Required,
    /// It has a meaning when it is left out.
    Optional,
}

/// One field of a binding, as a draft of the file shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftField {
    /// Its path, table by table: `["guest", "nics", "52:54:00:00:00:01", "addresses"]`.
    pub path: Vec<String>,
    /// Whether it is needed.
    pub need: Need,
    /// What was guessed for it from the inventory; none where only the operator can know.
    pub guess: Option<Value>,
    /// What it is, in a few words, and where a guess came from.
    pub help: String,
}

impl DraftField {
    /// A field that only the operator knows and that is needed.
    pub(super) fn required(path: &[&str], help: &str) -> Self {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        Self { path, need: Need::Required, guess: None, help: help.to_owned() }
    }

    /// A field that may be left out.
    pub(super) fn optional(path: &[&str], help: &str) -> Self {
        Self { need: Need::Optional, ..Self::required(path, help) }
    }

    /// The same with a guess.
    pub(super) fn guess(self, guess: impl Into<Value>) -> Self {
        Self { guess: Some(guess.into()), ..self }
    }
}
