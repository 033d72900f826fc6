//! One table read into its type, key by key, so that every mistake in it is found and each has its place.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use toml::Spanned;
use toml::de::DeTable;

use super::layers::Section;
use super::mistake::{Mistakes, did_you_mean};
use super::place::Place;

/// The type of a table: a struct whose every field has a default. Its fields' names are the keys, and what it
/// serializes to is what `covirt config show` shows.
pub(super) trait Table: DeserializeOwned + Serialize + Default {
    /// The table's name.
    const NAME: &'static str;
}

/// One key as it counts, and where that comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// `table.key`, or `provider.ID.key`.
    pub key: String,
    /// Its value, as in the file; none for one that is not set and has no default.
    pub value: Option<toml::Value>,
    /// The file, line and column; none for a default.
    pub from: Option<String>,
}

/// A table that was read, and where its keys are.
#[derive(Debug)]
pub(super) struct Read<T> {
    pub(super) value: T,
    /// The table's name, with the provider's id.
    name: String,
    at: Option<Place>,
    places: BTreeMap<String, Place>,
}

/// A table read from nothing has no place; mistakes in it are impossible, but must not be lost either.
fn nowhere() -> Place {
    Place { file: std::path::Path::new("(default)").into(), line: None, column: 1 }
}

impl<T: Table> Read<T> {
    /// Reads a table; what does not fit is a mistake, and counts as not written.
    pub(super) fn of(section: Option<Section<'_>>, name: String, mistakes: &mut Mistakes) -> Self {
        let Some(section) = section else {
            return Self { value: T::default(), name, at: None, places: BTreeMap::new() };
        };
        let known = fields_of::<T>();
        let mut good = DeTable::new();
        let mut places = BTreeMap::new();
        for (key, entry) in section.entries {
            let path = format!("{name}.{key}");
            if !known.contains(&key.as_str()) {
                let hint = did_you_mean(&key, known.iter().copied());
                let hint = hint.unwrap_or_else(|| format!("[{}] has {}", T::NAME, known.join(", ")));
                mistakes.add(entry.at, &path, "there is no such key", Some(hint));
                continue;
            }
            let at = entry.source.at(&entry.value.span());
            let mut alone = DeTable::new();
            let spanned = Spanned::new(0..0, key.clone().into());
            alone.insert(spanned.clone(), entry.value.clone());
            match T::deserialize(toml::de::Deserializer::from(Spanned::new(0..0, alone))) {
                Ok(_) => {
                    good.insert(spanned, entry.value);
                    places.insert(key, at);
                }
                Err(error) => {
                    let span = error.span().filter(|span| !span.is_empty());
                    let place = span.map_or(at, |span| entry.source.at(&span));
                    let (what, hint) = plain(&key, error.message());
                    mistakes.add(place, &path, what, hint);
                }
            }
        }
        let value = T::deserialize(toml::de::Deserializer::from(Spanned::new(0..0, good))).unwrap_or_else(|error| {
            mistakes.add(section.at.clone(), &name, error.message(), None);
            T::default()
        });
        Self { value, name, at: Some(section.at), places }
    }

    /// A key's value, or the key as a whole, makes no sense beside the others.
    pub(super) fn wrong(&self, key: &str, what: impl Into<String>, hint: Option<&str>, mistakes: &mut Mistakes) {
        let place = self.places.get(key).or(self.at.as_ref()).cloned().unwrap_or_else(nowhere);
        mistakes.add(place, &format!("{}.{key}", self.name), what, hint.map(str::to_owned));
    }

    /// Every key of the table, and where its value comes from.
    pub(super) fn shown(&self) -> Vec<Shown> {
        let mut values = toml::Table::try_from(&self.value).unwrap_or_default();
        let shown = fields_of::<T>().iter().map(|key| Shown {
            key: format!("{}.{key}", self.name),
            value: values.remove(*key),
            from: self.places.get(*key).map(Place::to_string),
        });
        shown.collect()
    }
}

/// serde's words for what is expected, in ours.
fn plain(key: &str, message: &str) -> (String, Option<String>) {
    let message = message.trim().to_owned();
    if let Some((written, options)) = message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", ")) {
        let options: Vec<&str> = options.split('`').skip(1).step_by(2).collect();
        let written = written.trim_matches('`');
        let hint = did_you_mean(written, options.iter().copied());
        let hint = hint.unwrap_or_else(|| format!("it is one of {}", options.join(", ")));
        return (format!("there is no {written:?} here"), Some(hint));
    }
    let Some((found, expected)) = message.split_once(", expected ") else { return (message, None) };
    let unit = if key.ends_with("_ms") { " of milliseconds" } else { "" };
    let expected = match expected {
        "u16" | "u32" | "u64" | "usize" => format!("a whole number{unit}, 0 or more"),
        "a string" | "path string" => "a text in quotes".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list in [ ]".to_owned(),
        other => other.to_owned(),
    };
    let found = found.strip_prefix("invalid type: ").or_else(|| found.strip_prefix("invalid value: ")).unwrap_or(found);
    (format!("{found} does not fit here"), Some(format!("{expected} is expected")))
}

/// The names of a struct's fields, as serde knows them.
pub(super) fn fields_of<T: Table>() -> &'static [&'static str] {
    let fields = Cell::new(&[][..]);
    // It always fails, once it has been told the names.
    let _ = T::deserialize(Fields(&fields));
    fields.get()
}

struct Fields<'a>(&'a Cell<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("a table is a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.set(fields);
        Err(Self::Error::custom("only the names are wanted"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
