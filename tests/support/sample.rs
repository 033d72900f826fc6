//! Bindings for any VM, from those that are kept for the reference VM; for the tests and for `benches/artifacts.rs`.

use covirt::artifacts::{BindingText, Format, Need, Syntax};
use covirt::discovery::Inventory;
use serde_json::{Map, Value};

/// The binding kept for a format, in which others find what nobody can guess; an empty one when there is none.
pub(crate) fn sample(format: Format) -> Value {
    let path = format!("{}/fixtures/binding/{}.toml", env!("CARGO_MANIFEST_DIR"), format.name());
    let text = std::fs::read_to_string(path).unwrap_or_default();
    toml::from_str(&text).expect("it is TOML")
}

/// A binding with what a format needs of this VM and no more, taken from the sample, else guessed; and the paths of what
/// is neither in the sample nor guessed.
pub(crate) fn binding_for(format: Format, sample: &Value, inventory: &Inventory) -> (BindingText, Vec<String>) {
    let (mut binding, mut missing) = (Value::Object(Map::new()), Vec::new());
    for field in format.draft(inventory).iter().filter(|field| field.need == Need::Required) {
        let told = find(sample, &field.path, Last::Same).or_else(|| find(sample, &field.path, Last::Any));
        match told.or_else(|| field.guess.clone()) {
            Some(value) => put(&mut binding, &field.path, value),
            None => missing.push(field.path.join(".")),
        }
    }
    (BindingText { syntax: Syntax::Json, text: binding.to_string() }, missing)
}

/// What may stand for the last part of a path that the sample lacks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Nothing.
    Same,
    /// Any: it may be the name of an interface or a disk.
    Any,
}

/// The value at `path`; where the sample has another VM's disks or interfaces, that of the first which has one.
fn find(sample: &Value, path: &[String], last: Last) -> Option<Value> {
    let Some((key, rest)) = path.split_first() else { return Some(sample.clone()) };
    let table = sample.as_object()?;
    let own = table.get(key).and_then(|value| find(value, rest, last));
    let another = || table.values().find_map(|value| find(value, rest, last));
    own.or_else(|| if rest.is_empty() && last == Last::Same { None } else { another() })
}

fn put(into: &mut Value, path: &[String], value: Value) {
    match (path.split_first(), into.as_object_mut()) {
        (Some((key, rest)), Some(table)) => {
            put(table.entry(key.clone()).or_insert_with(|| Value::Object(Map::new())), rest, value);
        }
        _ => *into = value,
    }
}
