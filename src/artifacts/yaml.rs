//! JSON values as block YAML.
//!
//! Assumes nothing about the strings. Guarantees that every YAML 1.1 and 1.2 reader gets the same values back: each
//! string is double-quoted, so that `no`, `1e3`, `12:30:45` or a MAC never turn into something else.

use serde_json::Value;
use std::fmt::Write;

/// Writes a mapping as a document.
pub(super) fn document(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0);
    text
}

fn block(text: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                text.push_str(&indent);
                text.push_str(&spell_key(key));
                text.push(':');
                nested(text, value, depth + 1);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                // An item begins on its dash's line: its first line changes two blanks for the dash.
                let mut inner = String::new();
                block(&mut inner, item, depth + 1);
                text.push_str(&indent);
                text.push_str("- ");
                text.push_str(inner.trim_start_matches(' '));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            text.push_str(&indent);
            text.push_str(&scalar(value));
            text.push('\n');
        }
    }
}

/// Puts a scalar on the line that was begun, and anything larger on lines of its own.
fn nested(text: &mut String, value: &Value, depth: usize) {
    let large = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    if large {
        text.push('\n');
        block(text, value, depth);
    } else {
        text.push(' ');
        text.push_str(&scalar(value));
        text.push('\n');
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(string) => quote(string),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Keys of ours are plain words; any other is quoted.
fn spell_key(key: &str) -> String {
    let letters = key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let starts = key.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    let lower = key.to_ascii_lowercase();
    let word = matches!(lower.as_str(), "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null");
    if letters && starts && !word { key.to_owned() } else { quote(key) }
}

/// A double-quoted scalar; whatever YAML does not call printable is escaped.
fn quote(string: &str) -> String {
    let mut text = String::with_capacity(string.len() + 2);
    text.push('"');
    for c in string.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' => {
                text.push(c);
            }
            // Writing to a string cannot fail.
            _ => {
                let _ = write!(text, "\\U{:08x}", u32::from(c));
            }
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn strings_that_look_like_other_types_are_quoted() {
        let value =
            json!({"version": 2, "on": "no", "macs": ["52:54:00:00:00:01", "12"], "none": [], "deep": {"a": true}});
        let expected =
            "version: 2\n\"on\": \"no\"\nmacs:\n  - \"52:54:00:00:00:01\"\n  - \"12\"\nnone: []\ndeep:\n  a: true\n";
        assert_eq!(document(&value), expected);
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(quote("a\u{7}\u{85}\u{2028}\n\"é\""), "\"a\\U00000007\\U00000085\\U00002028\\n\\\"é\\\"\"");
    }
}
