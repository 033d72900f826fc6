//! What serde says of a binding, in the words of whoever wrote it.
//!
//! Assumes a sentence of serde's own (its wording has been the same since its version 1) or of a type's `Deserialize`.
//! Guarantees a reason and, where there is one, a hint; a sentence that is not recognised is handed on, without a line
//! break and cut to a length.

use super::binding::{BindingFault, BindingText, DraftField, Syntax, help_for};
use super::locate::{FieldPath, locate};

/// The longest sentence that is handed on.
const SENTENCE_MAX: usize = 300;

/// The kinds of complaint that are told apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Complaint<'a> {
    /// A field that is needed.
    Missing { name: &'a str },
    /// A field that no format has there.
    Unknown { name: &'a str, known: Vec<&'a str> },
    /// A value of another type, or out of its type's range.
    Type { expected: &'a str, found: &'a str },
    /// A word that is none of those there are.
    Variant { known: Vec<&'a str> },
    /// Whatever else a type says.
    Other(&'a str),
}

impl<'a> Complaint<'a> {
    /// Sorts a sentence.
    pub(super) fn of(message: &'a str) -> Self {
        let sorted = if let Some(name) = message.strip_prefix("missing field `") {
            Some(Self::Missing { name: name.split('`').next().unwrap_or_default() })
        } else if let Some(rest) = message.strip_prefix("unknown field `") {
            rest.split_once('`').map(|(name, known)| Self::Unknown { name, known: quoted(known) })
        } else if let Some(rest) = message.strip_prefix("unknown variant `") {
            rest.split_once('`').map(|(_, known)| Self::Variant { known: quoted(known) })
        } else {
            let rest = ["invalid type: ", "invalid value: "].iter().find_map(|start| message.strip_prefix(start));
            rest.and_then(|rest| rest.rsplit_once(", expected ")).map(|(found, expected)| {
                // The value itself may be a secret in the wrong place.
                let found = found.split(['`', '"']).next().unwrap_or_default().trim_end();
                Self::Type { expected, found }
            })
        };
        sorted.unwrap_or(Self::Other(message))
    }

    /// The fault, with its line and a hint; `path` is where serde was when it complained.
    pub(super) fn fault(self, binding: &BindingText, path: &FieldPath, draft: &[DraftField]) -> BindingFault {
        let around = locate(&binding.text, binding.syntax, path).line;
        let (path, line, reason, hint) = match self {
            Self::Missing { name } => {
                let field = path.with(name);
                let hint = hint_for_missing(&field, binding, draft);
                let line = noted(binding, if path.0.is_empty() { 0 } else { around }, name).unwrap_or(around);
                (field, line, "it is needed and missing".to_owned(), hint)
            }
            Self::Unknown { name, known } => (
                path.clone(),
                around,
                "there is no such field".to_owned(),
                Some(hint_for_unknown(name, &known, path, draft)),
            ),
            Self::Type { expected, found } => {
                (path.clone(), around, format!("{expected} is expected, not {found}"), help_for(path, draft))
            }
            Self::Variant { known } => {
                (path.clone(), around, format!("it is one of {}", known.join(", ")), help_for(path, draft))
            }
            Self::Other(message) => (path.clone(), around, plain(message), help_for(path, draft)),
        };
        BindingFault { line: Some(line), field: path.to_string(), reason, hint }
    }
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn plain(message: &str) -> String {
    message.chars().take(SENTENCE_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What a missing field is; for a missing table, what it has; and what else is missing.
fn hint_for_missing(field: &FieldPath, binding: &BindingText, draft: &[DraftField]) -> Option<String> {
    let keys = field.keys();
    let below =
        |other: &&DraftField| other.path.len() > keys.len() && other.path.iter().zip(&keys).all(|(a, b)| a == b);
    let help = help_for(field, draft).or_else(|| {
        let names: Vec<&str> =
            draft.iter().filter(below).filter_map(|field| Some(field.path.last()?.as_str())).collect();
        (!names.is_empty()).then(|| format!("a table with {}", names.join(", ")))
    })?;
    let also: Vec<String> = draft
        .iter()
        .filter(|other| other.is_open() && !below(other))
        .map(|other| FieldPath::of_keys(&other.path))
        .filter(|path| path != field && locate(&binding.text, binding.syntax, path).steps < path.0.len())
        .map(|path| path.to_string())
        .collect();
    Some(if also.is_empty() { help } else { format!("{help}; also missing: {}", also.join(", ")) })
}

/// The field that was probably meant.
fn hint_for_unknown(name: &str, known: &[&str], path: &FieldPath, draft: &[DraftField]) -> String {
    let near = known
        .iter()
        .map(|known| (strsim::osa_distance(&name.to_lowercase(), known), *known))
        .filter(|(distance, known)| *distance <= 1.max(name.len().max(known.len()) / 3))
        .min();
    if let Some((_, near)) = near {
        return format!("did you mean {near}?");
    }
    let here = path.keys();
    let elsewhere = draft.iter().find(|field| field.path.last().is_some_and(|last| last == name) && field.path != here);
    match elsewhere.and_then(|field| field.path.split_last()) {
        Some((_, [])) => format!("{name} belongs to the beginning of the file, before any table"),
        Some((_, table)) => format!("{name} belongs to the table [{}]", FieldPath::of_keys(table)),
        None if known.is_empty() => "there are no fields here".to_owned(),
        None => format!("there are {}", known.join(", ")),
    }
}

/// The line after `line` on which a draft left the field open, before the next table begins.
fn noted(binding: &BindingText, line: u64, name: &str) -> Option<u64> {
    if binding.syntax != Syntax::Toml {
        return None;
    }
    let after = usize::try_from(line).ok()?;
    let bare = |text: &str| text.trim().trim_matches('"').to_owned();
    for (nth, text) in binding.text.lines().enumerate().skip(after) {
        let text = text.trim_start();
        let comment = text.strip_prefix('#').map(str::trim_start);
        if comment.unwrap_or(text).starts_with('[') {
            return None;
        }
        if comment.and_then(|comment| comment.split_once('=')).is_some_and(|(key, _)| bare(key) == name) {
            return Some(nth as u64 + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serdes_sentences_are_told_apart() {
        assert_eq!(Complaint::of("missing field `zone`"), Complaint::Missing { name: "zone" });
        assert_eq!(
            Complaint::of("unknown field `a`, expected `b` or `c`"),
            Complaint::Unknown { name: "a", known: vec!["b", "c"] }
        );
        assert_eq!(Complaint::of("unknown variant `a`, expected `b`"), Complaint::Variant { known: vec!["b"] });
        assert_eq!(
            Complaint::of("invalid type: string \"hunter2\", expected a sequence"),
            Complaint::Type { expected: "a sequence", found: "string" }
        );
        assert_eq!(Complaint::of("no such zone"), Complaint::Other("no such zone"));
    }
}
