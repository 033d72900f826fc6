//! Bindings: what no libvirt XML can say (project, flavor, subnet, region, keys), from one file per VM and provider.
//!
//! ```text
//! text ──parser──► shape fault ─┐
//! text ──serde───► field fault ─┼─ placed ──► BindingFault: field, line, reason, hint
//! renderer ──────► value fault ─┘
//! ```
//!
//! Assumes nothing about the text. Guarantees a whole binding, or a refusal with the field, the line where it is or ought
//! to be, and a hint that comes from the format's own draft. A refusal does not repeat a value of the wrong type: it might
//! be a secret in the wrong place.

use std::fmt;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use serde_path_to_error::Segment;
use sha2::{Digest, Sha256};

use super::complaint::Complaint;
use super::locate::{FieldPath, Step, line_at, locate};
use crate::discovery::hex;

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

    /// A text whose name says nothing: JSON when it begins like an object, else TOML.
    pub fn of_unknown_syntax(text: String) -> Self {
        let syntax = if text.trim_start().starts_with('{') { Syntax::Json } else { Syntax::Toml };
        Self { syntax, text }
    }

    /// SHA-256 of the text, in hexadecimal.
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(self.text.as_bytes()))
    }

    /// Reads it as what one provider needs; `draft` gives the format's fields when there is something to explain.
    pub(super) fn read<B: DeserializeOwned>(&self, draft: impl FnOnce() -> Vec<DraftField>) -> Result<B, BindingFault> {
        let (path, message) = match self.syntax {
            Syntax::Toml => {
                let parsed = toml::Deserializer::parse(&self.text).map_err(|fault| BindingFault {
                    line: fault.span().map(|span| line_at(&self.text, span.start)),
                    ..BindingFault::new("", format!("this is not TOML: {}", one_line(fault.message())))
                })?;
                match serde_path_to_error::deserialize(parsed) {
                    Ok(binding) => return Ok(binding),
                    Err(fault) => (path_of(fault.path()), fault.inner().message().to_owned()),
                }
            }
            Syntax::Json => {
                // All of it first: a fault of the text itself is told before one of its meaning.
                serde_json::from_str::<IgnoredAny>(&self.text).map_err(|fault| BindingFault {
                    line: Some(fault.line().max(1) as u64),
                    ..BindingFault::new("", format!("this is not JSON: {}", without_place(&fault.to_string())))
                })?;
                match serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(&self.text)) {
                    Ok(binding) => return Ok(binding),
                    Err(fault) => (path_of(fault.path()), without_place(&fault.inner().to_string()).to_owned()),
                }
            }
        };
        Err(Complaint::of(&message).fault(self, &path, &draft()))
    }

    /// Completes a fault that was found after reading: its line, and what the field is.
    pub(super) fn placed(&self, fault: BindingFault, draft: impl FnOnce() -> Vec<DraftField>) -> BindingFault {
        if fault.line.is_some() {
            return fault;
        }
        // The guest's own part names its fields as if it were the whole; most formats have it in a table.
        let path = FieldPath::parse(&fault.field);
        let inside = path.under("guest");
        let (here, there) = (locate(&self.text, self.syntax, &path), locate(&self.text, self.syntax, &inside));
        let (path, found) = if there.steps > here.steps + 1 { (inside, there) } else { (path, here) };
        let hint = fault.hint.or_else(|| help_for(&path, &draft()));
        BindingFault { line: Some(found.line), field: path.to_string(), hint, ..fault }
    }
}

/// What a draft says of a field.
pub(super) fn help_for(path: &FieldPath, draft: &[DraftField]) -> Option<String> {
    let keys = path.keys();
    let same = |field: &&DraftField| {
        field.path.len() == keys.len() && field.path.iter().zip(&keys).all(|(a, b)| a.eq_ignore_ascii_case(b))
    };
    draft.iter().find(same).map(|field| field.help.clone())
}

fn path_of(path: &serde_path_to_error::Path) -> FieldPath {
    let steps = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    FieldPath(steps.collect())
}

/// serde_json ends its sentences with the place, which is told apart here.
fn without_place(message: &str) -> &str {
    message.rsplit_once(" at line ").map_or(message, |(reason, _)| reason)
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(", ")
}

/// Why a binding is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingFault {
    /// Its line, from 1; none only before it was looked up.
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

    /// Whether only the operator can give it, and has to.
    pub fn is_open(&self) -> bool {
        self.need == Need::Required && matches!(self.guess, None | Some(Value::Null))
    }
}

#[cfg(test)]
#[path = "binding_tests.rs"]
mod tests;
