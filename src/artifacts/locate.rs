//! Where in a binding a field is.
//!
//! Assumes a text that its syntax's own parser has accepted; of any other it finds nothing. Guarantees a line, from 1, for
//! every path: that of the field, or of the innermost table around it that the text has.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;
use toml::de::{DeTable, DeValue};

use super::binding::Syntax;

/// One step into a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a table.
    Key(String),
    /// Into a list, from 0.
    Index(usize),
}

/// The way to a field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FieldPath(pub(super) Vec<Step>);

/// How much of a path the text has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// The line of the last step that is there; the first line when none is.
    pub(super) line: u64,
    /// How many steps are there.
    pub(super) steps: usize,
}

impl FieldPath {
    /// Reads what `Display` writes: `guest.nics."52:54:00:00:00:01".addresses[0]`.
    pub(super) fn parse(text: &str) -> Self {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some((key, after)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                steps.push(Step::Key(key.to_owned()));
                rest = after;
            } else if let Some((index, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                let named = || Step::Key(index.trim_matches('"').to_owned());
                steps.push(index.parse().map_or_else(|_| named(), Step::Index));
                rest = after;
            } else if let Some(after) = rest.strip_prefix('.') {
                rest = after;
            } else {
                let (key, after) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
                steps.push(Step::Key(key.to_owned()));
                rest = after;
            }
        }
        Self(steps)
    }

    /// The way through tables alone, as a draft names its fields.
    pub(super) fn of_keys(keys: &[String]) -> Self {
        Self(keys.iter().cloned().map(Step::Key).collect())
    }

    /// Its tables and its own name, without places in lists.
    pub(super) fn keys(&self) -> Vec<&str> {
        self.0
            .iter()
            .filter_map(|step| match step {
                Step::Key(key) => Some(key.as_str()),
                Step::Index(_) => None,
            })
            .collect()
    }

    /// The same under another table.
    pub(super) fn under(&self, table: &str) -> Self {
        Self(std::iter::once(Step::Key(table.to_owned())).chain(self.0.iter().cloned()).collect())
    }

    /// The same with one more step.
    pub(super) fn with(&self, key: &str) -> Self {
        Self(self.0.iter().cloned().chain(std::iter::once(Step::Key(key.to_owned()))).collect())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    let dot = if nth == 0 { "" } else { "." };
                    write!(f, "{dot}{}", spell_key(key))?;
                }
            }
        }
        Ok(())
    }
}

/// A key as TOML writes it: bare where it can be.
pub(super) fn spell_key(key: &str) -> Cow<'_, str> {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if bare { Cow::Borrowed(key) } else { Cow::Owned(toml::Value::String(key.to_owned()).to_string()) }
}

/// Follows `path` into `text` as far as it goes.
pub(super) fn locate(text: &str, syntax: Syntax, path: &FieldPath) -> Found {
    let places = match syntax {
        Syntax::Toml => in_toml(text, path),
        Syntax::Json => in_json(text, path),
    };
    Found { line: places.last().map_or(1, |offset| line_at(text, *offset)), steps: places.len() }
}

/// The line of the byte at `offset`, from 1.
pub(super) fn line_at(text: &str, offset: usize) -> u64 {
    text.get(..offset).unwrap_or(text).matches('\n').count() as u64 + 1
}

/// The offsets of the steps that are there.
fn in_toml(text: &str, path: &FieldPath) -> Vec<usize> {
    let mut places = Vec::new();
    let Ok(root) = DeTable::parse(text) else {
        return places;
    };
    let root = DeValue::Table(root.into_inner());
    let mut here = &root;
    for step in &path.0 {
        let next = match (step, here) {
            (Step::Key(key), DeValue::Table(table)) => table
                .iter()
                .find(|(name, _)| name.get_ref().eq_ignore_ascii_case(key))
                .map(|(name, value)| (name.span().start, value)),
            (Step::Index(index), DeValue::Array(items)) => items.get(*index).map(|value| (value.span().start, value)),
            _ => None,
        };
        let Some((offset, value)) = next else {
            break;
        };
        places.push(offset);
        here = value.get_ref();
    }
    places
}

/// The same in JSON, where a field is said to be where its value begins.
fn in_json(text: &str, path: &FieldPath) -> Vec<usize> {
    let mut places = Vec::new();
    let mut here = text;
    for step in &path.0 {
        let next = match step {
            Step::Key(key) => serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(here).ok().and_then(|object| {
                object.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.get())
            }),
            Step::Index(index) => serde_json::from_str::<Vec<&RawValue>>(here)
                .ok()
                .and_then(|items| items.get(*index).map(|value| value.get())),
        };
        let Some(value) = next else {
            break;
        };
        // A raw value is a piece of the text it was read from.
        places.push((value.as_ptr() as usize).saturating_sub(text.as_ptr() as usize));
        here = value;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = "a = 1\n\n[guest]\nkeys = [\n  'x',\n  'y',\n]\n[guest.nics.\"52:54:00:00:00:01\"]\ndns = []\n";
    const JSON: &str = "{\n \"a\": 1,\n \"guest\": {\n  \"keys\": [\n   \"x\",\n   \"y\"],\n  \
                        \"nics\": {\n   \"52:54:00:00:00:01\": {\n    \"dns\": []}}}\n}";

    fn found(path: &str) -> [(u64, usize); 2] {
        let path = FieldPath::parse(path);
        [Syntax::Toml, Syntax::Json].map(|syntax| {
            let found = locate(if syntax == Syntax::Toml { TOML } else { JSON }, syntax, &path);
            (found.line, found.steps)
        })
    }

    #[test]
    fn a_field_has_its_line_in_either_syntax() {
        assert_eq!(found("a"), [(1, 1), (2, 1)]);
        assert_eq!(found("guest.keys[1]"), [(6, 3), (6, 3)]);
        assert_eq!(found("guest.nics.\"52:54:00:00:00:01\".dns"), [(9, 4), (9, 4)]);
    }

    #[test]
    fn what_is_not_there_has_the_line_of_what_is_around_it() {
        assert_eq!(found("guest.hostname"), [(3, 1), (3, 1)]);
        assert_eq!(found("guest.keys[7]"), [(4, 2), (4, 2)]);
        assert_eq!(found("nothing.at.all"), [(1, 0), (1, 0)]);
        assert_eq!(locate("= broken", Syntax::Toml, &FieldPath::parse("a")), Found { line: 1, steps: 0 });
    }

    #[test]
    fn a_path_is_read_as_it_is_written() {
        for text in ["a", "guest.keys[1]", "guest.nics.\"52:54:00:00:00:01\".dns[0]", ""] {
            assert_eq!(FieldPath::parse(text).to_string(), text);
        }
        assert_eq!(FieldPath::parse("disks[vda].type").keys(), ["disks", "vda", "type"]);
    }
}
