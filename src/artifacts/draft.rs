//! A binding to be filled in: every field a format has, with what was guessed for it and what only the operator knows.
//!
//! Assumes the draft of a format for one VM. Guarantees TOML that can be read, in which what is needed and was guessed is
//! set, what is needed and could not be guessed is left open under `NEEDED`, and everything else is a comment: read as it
//! is, it is refused for the first open field, or means the same as no binding at all.

use serde_json::Value;

use super::Format;
use super::binding::{DraftField, Need};
use super::locate::{FieldPath, spell_key};
use crate::discovery::Inventory;

/// How wide a comment may be.
const WIDTH: usize = 118;

/// Writes the draft of a VM's binding.
pub(super) fn toml_of(format: Format, inventory: &Inventory) -> String {
    let fields = format.draft(inventory);
    let identity = &inventory.domain.identity;
    let vm = identity.uuid.map_or_else(|| identity.name.clone(), |uuid| format!("{} ({uuid})", identity.name));
    let mut text = comment(&format!("What {} needs to know of {vm} and libvirt cannot tell.", format.name()));
    let open: Vec<String> = fields
        .iter()
        .filter(|field| field.is_open())
        .map(|field| FieldPath::of_keys(&field.path).to_string())
        .collect();
    text.push_str(&match open.as_slice() {
        [] => comment("Nothing has to be filled in; every line may be left as it is."),
        open => comment(&format!("NEEDED, to be filled in below: {}.", open.join(", "))),
    });
    let mut tables: Vec<(&[String], Vec<&DraftField>)> = Vec::new();
    for field in &fields {
        let table = field.path.split_last().map_or::<&[String], _>(&[], |(_, table)| table);
        match tables.iter_mut().find(|(path, _)| *path == table) {
            Some((_, members)) => members.push(field),
            None => tables.push((table, vec![field])),
        }
    }
    // Fields of the whole come before the first table; within either, the draft's order holds.
    tables.sort_by_key(|(table, _)| !table.is_empty());
    for (table, members) in tables {
        if !table.is_empty() {
            let header = format!("[{}]", FieldPath::of_keys(table));
            let used = members.iter().any(|field| field.need == Need::Required);
            text.push_str(&if used { format!("\n{header}\n") } else { format!("\n# {header}\n") });
        }
        for field in members {
            text.push('\n');
            text.push_str(&lines_of(field));
        }
    }
    text
}

/// One field: what it is, and a line for it.
fn lines_of(field: &DraftField) -> String {
    let key = field.path.last().map(|key| spell_key(key)).unwrap_or_default();
    let value = field.guess.as_ref().and_then(spell);
    match (field.need, value) {
        (Need::Required, Some(value)) => format!("{}{key} = {value}\n", comment(&format!("Guessed: {}", field.help))),
        (Need::Required, None) => format!("{}# {key} =\n", comment(&format!("NEEDED: {}", field.help))),
        (Need::Optional, Some(value)) => format!("{}# {key} = {value}\n", comment(&field.help)),
        (Need::Optional, None) => format!("{}# {key} =\n", comment(&field.help)),
    }
}

/// A value on one line; none for what TOML has no word for.
fn spell(value: &Value) -> Option<String> {
    toml::Value::try_from(value).ok().map(|value| value.to_string())
}

/// Words behind `#`, on as many lines as they need.
fn comment(words: &str) -> String {
    let mut text = String::new();
    let mut line = String::from("#");
    for word in words.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH && line.len() > 1 {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_on_one_line() {
        assert_eq!(spell(&serde_json::json!(["a \"b\"", 2])).unwrap(), "['a \"b\"', 2]");
        assert_eq!(spell(&serde_json::json!({"a": true})).unwrap(), "{ a = true }");
        assert_eq!(spell(&Value::Null), None);
    }

    #[test]
    fn only_what_is_needed_and_guessed_is_set() {
        let needed = DraftField::required(&["flavor", "ram"], "memory in MiB, from the domain").guess(2048);
        assert_eq!(lines_of(&needed), "# Guessed: memory in MiB, from the domain\nram = 2048\n");
        let open = DraftField::required(&["project"], "whose it is");
        assert_eq!(lines_of(&open), "# NEEDED: whose it is\n# project =\n");
        let choice = DraftField::optional(&["a b"], "what you like").guess("x");
        assert_eq!(lines_of(&choice), "# what you like\n# \"a b\" = \"x\"\n");
    }
}
