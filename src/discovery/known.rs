//! Words of libvirt that are kept by name: which attributes and elements of an element are options.
//!
//! Assumes an element whose typed parts were read before. Guarantees that an option's name is its path inside the
//! element (`driver.iommu`; `parameter[2].name` where several share a name), that a bare element is kept as an empty
//! value, and that nothing is kept that is not named here: it stays unread, and so ends as unknown.

use super::settings::Settings;
use super::xml::Element;

/// What is known of an element.
#[derive(Debug)]
pub(super) struct Known {
    name: &'static str,
    attributes: &'static [&'static str],
    children: &'static [Known],
    text: bool,
    many: bool,
}

/// An element with these attributes and elements, once.
pub(super) const fn known(
    name: &'static str,
    attributes: &'static [&'static str],
    children: &'static [Known],
) -> Known {
    Known { name, attributes, children, text: false, many: false }
}

/// An element with a text and these attributes, once.
pub(super) const fn text(name: &'static str, attributes: &'static [&'static str]) -> Known {
    known(name, attributes, &[]).with_text()
}

impl Known {
    /// The element's name.
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// The same element with a text.
    pub(super) const fn with_text(self) -> Self {
        Self { text: true, ..self }
    }

    /// The same element any number of times.
    pub(super) const fn many(self) -> Self {
        Self { many: true, ..self }
    }

    /// Keeps the unread options of `element`, which this describes, with `prefix` before their names.
    pub(super) fn keep(&self, element: Element<'_>, prefix: &str, settings: &mut Settings) {
        for attribute in element.unread_attributes() {
            if attribute.namespace().is_none() && self.attributes.contains(&attribute.name()) {
                let kept = insert(settings, join(prefix, attribute.name()), attribute.value());
                if kept {
                    element.attribute(attribute.name());
                }
            }
        }
        if self.text
            && !prefix.is_empty()
            && let Some(text) = element.text()
        {
            insert(settings, prefix.to_owned(), &text);
        }
        keep_children(element, self.children, prefix, settings);
    }
}

/// Keeps the unread options in those elements of `element` that `words` know.
pub(super) fn keep_children(element: Element<'_>, words: &'static [Known], prefix: &str, settings: &mut Settings) {
    if words.is_empty() || element.elements().next().is_none() {
        return;
    }
    let mut met: Vec<&str> = Vec::new();
    for (child, number) in element.numbered() {
        let Some(word) = words.iter().find(|word| child.is(word.name)) else {
            continue;
        };
        if !word.many {
            if met.contains(&word.name) {
                continue;
            }
            met.push(word.name);
        }
        let mut path = join(prefix, word.name);
        if let Some(number) = number.filter(|_| word.many) {
            path.push_str(&format!("[{number}]"));
        }
        if !child.is_marked() && child.is_bare() {
            insert(settings, path.clone(), "");
        }
        child.mark();
        word.keep(child, &path, settings);
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// Adds an option; a second value of the same name is not kept.
fn insert(settings: &mut Settings, name: String, value: &str) -> bool {
    match settings.entry(name) {
        std::collections::btree_map::Entry::Vacant(free) => {
            free.insert(value.to_owned());
            true
        }
        std::collections::btree_map::Entry::Occupied(_) => false,
    }
}
