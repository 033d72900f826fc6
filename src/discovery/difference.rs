//! What differs between two looks at a VM, field by field.
//!
//! Assumes two inventories of one VM, or a running domain and its definition. Guarantees a stable order, that runtime
//! state makes no difference, and that there is a difference exactly when the generations differ.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::domain::Domain;
use super::inventory::Inventory;
use super::network::Network;
use super::settled::settled;

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where: `memory.current_kib`, `disks[vda].cache`, `cpu.settings.check`; `disks[vdb]` for a disk that came or went.
    pub path: String,
    /// What was there; none where there was nothing.
    pub before: Option<String>,
    /// What is there now.
    pub after: Option<String>,
}

/// The decided fields in which two inventories of a VM differ, in the inventory's order.
pub fn differences(before: &Inventory, after: &Inventory) -> Vec<Difference> {
    let mut found = between(&before.domain, &after.domain);
    let (before, after) = (&before.networks, &after.networks);
    let json = |network: Option<&Network>| serde_json::to_value(network).unwrap_or_default();
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        compare(&format!("networks[{name}]"), &json(before.get(name)), &json(after.get(name)), &mut found);
    }
    found
}

/// The same of two domains.
pub(super) fn between(before: &Domain, after: &Domain) -> Vec<Difference> {
    let (before, after) = (settled(before), settled(after));
    let mut found = Vec::new();
    if before != after {
        let json = |domain: &Domain| serde_json::to_value(domain).unwrap_or_default();
        compare("", &json(&before), &json(&after), &mut found);
    }
    found
}

fn compare(path: &str, before: &Value, after: &Value, found: &mut Vec<Difference>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in old {
                compare(&join(path, name), value, new.get(name).unwrap_or(&Value::Null), found);
            }
            for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
                compare(&join(path, name), &Value::Null, value, found);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.iter().chain(new).all(Value::is_object) => {
            compare_lists(path, old, new, found);
        }
        (before, after) => {
            found.push(Difference { path: path.to_owned(), before: text(before), after: text(after) });
        }
    }
}

/// Compares lists of things by what names them; where nothing does, by their place, from 0.
fn compare_lists(path: &str, old: &[Value], new: &[Value], found: &mut Vec<Difference>) {
    let key = name_of_elements(path);
    let (old_names, new_names) = match (names(old, key), names(new, key)) {
        (Some(old), Some(new)) => (old, new),
        (Some(_), None) | (None, Some(_)) | (None, None) => (places(old), places(new)),
    };
    let (old_places, new_places) = (by_name(&old_names), by_name(&new_names));
    for (name, value) in old_names.iter().zip(old) {
        let now = new_places.get(name.as_str()).and_then(|place| new.get(*place)).unwrap_or(&Value::Null);
        compare(&format!("{path}[{name}]"), value, now, found);
    }
    for (name, value) in new_names.iter().zip(new).filter(|(name, _)| !old_places.contains_key(name.as_str())) {
        compare(&format!("{path}[{name}]"), &Value::Null, value, found);
    }
    // The guest may see the order, so that another one is a difference, too.
    let stayed = |names: &[String], others: &BTreeMap<&str, usize>| {
        let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| others.contains_key(name)).collect();
        names.join(", ")
    };
    let (before, after) = (stayed(&old_names, &new_places), stayed(&new_names, &old_places));
    if before != after {
        found.push(Difference { path: path.to_owned(), before: Some(before), after: Some(after) });
    }
}

fn by_name(names: &[String]) -> BTreeMap<&str, usize> {
    names.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect()
}

/// The field that names the elements of a list, where there is one.
fn name_of_elements(path: &str) -> &'static str {
    match path {
        "disks" => "target",
        "nics" => "mac",
        "metadata" => "namespace",
        "cpu.numa" => "id",
        "unknown" => "path",
        _ => "name",
    }
}

/// The names of all elements; none when one has no name, or two have the same.
fn names(values: &[Value], key: &str) -> Option<Vec<String>> {
    let names: Vec<String> = values.iter().map(|value| text(value.get(key)?)).collect::<Option<_>>()?;
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort();
    sorted.dedup();
    (sorted.len() == names.len()).then_some(names)
}

fn places(values: &[Value]) -> Vec<String> {
    (0..values.len()).map(|place| place.to_string()).collect()
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A value for people; what is not there has none.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(list) if list.is_empty() => None,
        Value::Object(parts) if parts.is_empty() => None,
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}
