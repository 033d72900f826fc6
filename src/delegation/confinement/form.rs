//! When two elements of libvirt's XML are the same: their names, attributes in any order, children in theirs, and texts
//! without the blanks around them.

use roxmltree::Node;

/// An element as one text; equal texts are equal elements.
pub(super) fn form(element: Node<'_, '_>) -> String {
    let mut out = String::new();
    write(element, &mut out);
    out
}

fn write(element: Node<'_, '_>, out: &mut String) {
    let name = element.tag_name();
    let attributes = element.attributes().map(|a| (a.namespace().unwrap_or(""), a.name(), a.value()));
    let mut attributes: Vec<_> = attributes.collect();
    attributes.sort_unstable();
    // Debug's quotes keep names and values apart, whatever is in them.
    out.push_str(&format!("({:?} {:?}", name.namespace().unwrap_or(""), name.name()));
    for attribute in attributes {
        out.push_str(&format!(" {attribute:?}"));
    }
    for child in element.children() {
        if child.is_element() {
            write(child, out);
        } else if let Some(text) = child.text().filter(|text| child.is_text() && !text.trim().is_empty()) {
            out.push_str(&format!(" {:?}", text.trim()));
        }
    }
    out.push(')');
}
