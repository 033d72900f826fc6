//! Writing XML that libvirt is given, and finding elements in XML that it gave.

use std::borrow::Cow;
use std::fmt::{Arguments, Write};

use roxmltree::{Document, Node};

/// A text as XML holds it, between tags and in attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&apos;"),
            c => safe.push(c),
        }
    }
    safe
}

/// Adds an element with a text in it.
pub(super) fn element(xml: &mut String, name: &str, text: &str) {
    put(xml, format_args!("<{name}>{}</{name}>", escaped(text)));
}

/// Adds what is XML already.
pub(super) fn put(xml: &mut String, text: Arguments<'_>) {
    // A string takes everything.
    let _ = xml.write_fmt(text);
}

/// The first element of this name right inside another.
pub(super) fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// A domain's XML as libvirt gave it, without what anybody has put into its metadata, which may be made to take long. Its
/// name is in no other element's, and texts have no `<` in them.
pub(super) fn without_metadata(domain: &str) -> Cow<'_, str> {
    let close = "</metadata>";
    // libvirt keeps what attributes somebody gave it.
    let open = ["<metadata>", "<metadata "].into_iter().filter_map(|open| domain.find(open)).min();
    match (open, domain.rfind(close)) {
        (Some(from), Some(to)) if from < to => {
            let (before, behind) = (domain.get(..from), domain.get(to + close.len()..));
            Cow::Owned([before, behind].into_iter().flatten().collect())
        }
        _ => Cow::Borrowed(domain),
    }
}

/// What is right inside a domain's `<devices>`.
pub(super) fn devices<'a, 'input>(document: &'a Document<'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    child(document.root_element(), "devices").into_iter().flat_map(|devices| devices.children())
}
