//! Kubernetes' names and quantities.
//!
//! Assumes nothing about the text. Guarantees names of RFC 1123, and quantities that are exactly the size.
//! *Source*: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>,
//! <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.

use serde_json::{Map, Value};

use crate::model::units::{Bytes, Kib};

/// The longest label of RFC 1123.
const LONGEST: usize = 63;

/// Whether `text` is a label of RFC 1123: lower-case letters, digits and dashes, 63 at most.
pub(super) fn is_label(text: &str) -> bool {
    let inside = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    !text.is_empty() && text.len() <= LONGEST && inside && !text.starts_with('-') && !text.ends_with('-')
}

/// Whether `text` is a subdomain of RFC 1123: labels between dots, 253 characters at most.
pub(super) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// `text` made into a label: what a label cannot hold becomes a dash.
pub(super) fn label(text: &str) -> String {
    cut(text, LONGEST)
}

/// `first-second` as a label; the first part gives way where both are too long.
pub(super) fn joined(first: &str, second: &str) -> String {
    let second = cut(second, LONGEST - 2);
    let first = cut(first, LONGEST - 1 - second.len());
    format!("{first}-{second}")
}

fn cut(text: &str, most: usize) -> String {
    let spelled: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let short: String = spelled.trim_matches('-').chars().take(most).collect();
    let short = short.trim_end_matches('-');
    // A name has to be there, even for one written in none of these letters.
    if short.is_empty() { "x".to_owned() } else { short.to_owned() }
}

/// A size as a quantity in the largest binary unit that divides it.
pub(super) fn quantity(size: Bytes) -> String {
    for (unit, scale) in [("Gi", 1_u64 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
        if size.0 > 0 && size.0.is_multiple_of(scale) {
            return format!("{}{unit}", size.0 / scale);
        }
    }
    size.0.to_string()
}

/// A size in KiB as a quantity.
pub(super) fn quantity_kib(size: Kib) -> String {
    quantity(Bytes(size.0.saturating_mul(1024)))
}

/// An object of those pairs that have a value.
pub(super) fn object<const N: usize>(pairs: [(&str, Option<Value>); N]) -> Value {
    let present = pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_a_label() {
        assert_eq!(label("Shop_Front.1"), "shop-front-1");
        assert_eq!(label("--é--"), "x");
        assert!(is_label(&label(&"a-".repeat(60))));
        let long = joined(&"shop".repeat(30), "vda");
        assert!(is_label(&long) && long.ends_with("-vda"), "{long}");
    }

    #[test]
    fn what_is_no_label_is_not_taken_for_one() {
        for text in ["", "-a", "a-", "A", "a_b", "a.b", &"a".repeat(64)] {
            assert!(!is_label(text), "{text}");
        }
        assert!(is_subdomain("shop.front-1") && !is_subdomain("shop..front"));
    }

    #[test]
    fn a_quantity_is_the_size_to_the_byte() {
        for (bytes, text) in [(20 << 30, "20Gi"), (528 << 10, "528Ki"), (3 << 20, "3Mi"), (1000, "1000"), (0, "0")] {
            assert_eq!(quantity(Bytes(bytes)), text);
        }
    }
}
