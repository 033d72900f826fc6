//! What is in a document and was read by nobody.
//!
//! Assumes an element whose readers are done. Guarantees every part once, in the order of the text, with a path that
//! finds it (`/domain/devices/disk[2]/target/@spin`) and its line; of an unknown element nothing that is in it.

use super::inventory::UnknownPart;
use super::xml::Element;

/// Lists what nobody asked for in `root`.
pub(super) fn unread(root: Element<'_>) -> Vec<UnknownPart> {
    let mut found = Unread { text: root.document(), at: 0, line: 1, parts: Vec::new() };
    // The quick question first, since most documents have nothing unread.
    if root.with_descendants().any(|element| !element.is_marked() || element.has_unread_parts()) {
        found.collect(root, &format!("/{}", root.qualified_name()));
    }
    found.parts
}

/// A list under construction, which counts lines as it goes.
struct Unread<'a> {
    text: &'a str,
    at: usize,
    line: u64,
    parts: Vec<UnknownPart>,
}

impl Unread<'_> {
    fn collect(&mut self, element: Element<'_>, path: &str) {
        for attribute in element.unread_attributes() {
            let name = self.text.get(attribute.range_qname()).unwrap_or(attribute.name());
            self.push(format!("{path}/@{name}"), attribute.range().start);
        }
        if element.has_unread_text() {
            self.push(format!("{path}/text()"), element.offset());
        }
        for (child, number) in element.numbered() {
            let name = child.qualified_name();
            let path = match number {
                Some(number) => format!("{path}/{name}[{number}]"),
                None => format!("{path}/{name}"),
            };
            if child.is_marked() {
                self.collect(child, &path);
            } else {
                self.push(path, child.offset());
            }
        }
    }

    fn push(&mut self, path: String, offset: usize) {
        // Parts come in the order of the text, but for an element's own text after its attributes.
        if let Some(between) = self.text.get(self.at..offset) {
            self.line += between.bytes().filter(|byte| *byte == b'\n').count() as u64;
            self.at = offset;
        }
        self.parts.push(UnknownPart { path, line: self.line });
    }
}
