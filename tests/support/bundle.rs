//! What tests ask of a bundle.

use covirt::artifacts::{Bundle, Fate};

/// The text of one of its files.
#[track_caller]
pub(crate) fn text<'b>(bundle: &'b Bundle, path: &str) -> &'b str {
    let file = bundle.file(path).unwrap_or_else(|| panic!("no {path}"));
    std::str::from_utf8(&file.bytes).unwrap()
}

/// What became of a field.
#[track_caller]
pub(crate) fn fate<'b>(bundle: &'b Bundle, field: &str) -> &'b Fate {
    let entry = bundle.mapping.0.iter().find(|entry| entry.field == field);
    &entry.unwrap_or_else(|| panic!("{field} is not in the mapping")).fate
}

/// Says which fields of the mapping nobody has decided about; there must be none.
#[track_caller]
pub(crate) fn nothing_is_forgotten(what: &str, bundle: &Bundle) {
    let forgotten = |fate: &Fate| matches!(fate, Fate::Refused { why } if why.contains("covirt has no rule"));
    let fields = bundle.mapping.0.iter().filter(|entry| forgotten(&entry.fate)).map(|entry| entry.field.as_str());
    assert_eq!(fields.collect::<Vec<_>>(), Vec::<&str>::new(), "{what}");
}
