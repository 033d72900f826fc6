//! The one way this module reads XML: a cursor that remembers what was looked at.
//!
//! ```text
//! bytes ──limits──► text ──roxmltree──► tree ──read(Element)──► value
//!                                        └── what no reader looked at ──► unknown
//! ```
//!
//! Assumes nothing about the text. Guarantees a value, or one refusal with its line; and that an element, attribute or
//! text that no reader asked for is listed as unknown, so that the readers themselves are the list of what is known.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use roxmltree::{Attribute, Document, Node, ParsingOptions};
use uuid::Uuid;

use super::error::{Fault, FieldFault, Place, XmlRefusal};
use super::inventory::UnknownPart;
use super::limits::{Limits, admit};
use super::quantity::{shorten, shorten_to};
use super::unread::unread;

/// Reads a document whose root is `root`: what `read` makes of it, and what it did not look at.
pub(super) fn read<T>(
    bytes: &[u8],
    root: &str,
    limits: Limits,
    read: impl FnOnce(Element<'_>) -> Result<T, FieldFault>,
) -> Result<(T, Vec<UnknownPart>), Fault> {
    let text = admit(bytes, limits)?;
    // Elements were counted; this bounds comments and pieces of text.
    let nodes_limit = u32::try_from(limits.elements.saturating_mul(8)).unwrap_or(u32::MAX);
    let options = ParsingOptions { allow_dtd: false, nodes_limit, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|fault| refusal(text, &fault, nodes_limit))?;
    let marks = Marks::new(text);
    let element = Element { node: document.root_element(), marks: &marks };
    if element.name() != root || element.namespace().is_some() {
        let reason = format!("the document is a {:?}, not a {root:?}", shorten(element.qualified_name()));
        return Err(XmlRefusal::Unsupported { place: Some(element.place()), reason }.into());
    }
    element.mark();
    let value = read(element).map_err(|fault| fault.placed(text))?;
    Ok((value, unread(element)))
}

/// The parser's fault as a refusal. Its words may quote a name, never a value.
fn refusal(text: &str, fault: &roxmltree::Error, nodes_limit: u32) -> XmlRefusal {
    if matches!(fault, roxmltree::Error::NodesLimitReached) {
        let limit = usize::try_from(nodes_limit).unwrap_or(usize::MAX);
        return XmlRefusal::TooLarge { size: limit.saturating_add(1), limit, unit: "nodes" };
    }
    use roxmltree::Error::{NoRootNode, UnclosedRootNode, UnexpectedEndOfStream};
    // A text that ends too early has no place of its own: the end is meant.
    let place = if matches!(fault, UnclosedRootNode | NoRootNode | UnexpectedEndOfStream) {
        Place::of(text.as_bytes(), text.len())
    } else {
        Place { line: u64::from(fault.pos().row), column: u64::from(fault.pos().col) }
    };
    XmlRefusal::Malformed { place: Some(place), reason: shorten_to(&fault.to_string(), 200) }
}

/// What was looked at: one bit for each byte of the text. Elements, attributes and texts start at different bytes.
struct Marks<'a> {
    text: &'a str,
    bits: Vec<Cell<u64>>,
}

impl<'a> Marks<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, bits: vec![Cell::new(0); text.len() / 64 + 1] }
    }

    fn set(&self, offset: usize) {
        if let Some(word) = self.bits.get(offset / 64) {
            word.set(word.get() | 1 << (offset % 64));
        }
    }

    fn clear(&self, offset: usize) {
        if let Some(word) = self.bits.get(offset / 64) {
            word.set(word.get() & !(1 << (offset % 64)));
        }
    }

    fn has(&self, offset: usize) -> bool {
        self.bits.get(offset / 64).is_some_and(|word| word.get() & 1 << (offset % 64) != 0)
    }
}

/// An element. To ask for a part of it is to mark that part as read.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    node: Node<'a, 'a>,
    marks: &'a Marks<'a>,
}

impl<'a> Element<'a> {
    /// Its name without a prefix.
    pub(super) fn name(&self) -> &'a str {
        self.node.tag_name().name()
    }

    /// Its namespace; libvirt's own elements have none.
    pub(super) fn namespace(&self) -> Option<&'a str> {
        self.node.tag_name().namespace()
    }

    /// Marks the element itself, as its parent's reader does; its parts stay to be read.
    pub(super) fn mark(&self) {
        self.marks.set(self.offset());
    }

    /// Takes the mark back: its reader found that it does not know such an element.
    pub(super) fn unmark(&self) {
        self.marks.clear(self.offset());
    }

    /// Whether somebody asked for it before.
    pub(super) fn is_marked(&self) -> bool {
        self.marks.has(self.offset())
    }

    /// All its elements, of any name and namespace; none of them is marked.
    pub(super) fn elements(&self) -> impl Iterator<Item = Element<'a>> + use<'a> {
        let marks = self.marks;
        self.node.children().filter(Node::is_element).map(move |node| Element { node, marks })
    }

    /// Its first element called `name`. A second one stays unread, as libvirt has no use for it either.
    pub(super) fn child(&self, name: &str) -> Option<Element<'a>> {
        let found = self.elements().find(|element| element.is(name))?;
        found.mark();
        Some(found)
    }

    /// Its elements called `name`.
    pub(super) fn children<'n>(&self, name: &'n str) -> impl Iterator<Item = Element<'a>> + use<'a, 'n> {
        self.elements().filter(move |element| element.is(name)).inspect(Element::mark)
    }

    /// Whether it is called `name`, in no namespace.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name() == name && self.namespace().is_none()
    }

    /// An attribute's value.
    pub(super) fn attribute(&self, name: &str) -> Option<&'a str> {
        let attribute = self.find(name)?;
        self.marks.set(attribute.range().start);
        Some(attribute.value())
    }

    /// An attribute's value, without marking it.
    pub(super) fn peek(&self, name: &str) -> Option<&'a str> {
        self.find(name).map(|attribute| attribute.value())
    }

    /// The parser's own look-up would take an attribute of another namespace.
    fn find(&self, name: &str) -> Option<Attribute<'a, 'a>> {
        self.node.attributes().find(|attribute| attribute.name() == name && attribute.namespace().is_none())
    }

    /// An attribute's value, to keep.
    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.attribute(name).map(str::to_owned)
    }

    /// The value of an attribute of the first element called `child`.
    pub(super) fn attribute_of(&self, child: &str, name: &str) -> Option<&'a str> {
        self.child(child)?.attribute(name)
    }

    /// Its own text without its elements', as it was written; none when there is nothing but white space.
    pub(super) fn text(&self) -> Option<String> {
        let mut text = String::new();
        for node in self.node.children().filter(Node::is_text) {
            self.marks.set(node.range().start);
            text.push_str(node.text().unwrap_or_default());
        }
        (!text.trim().is_empty()).then_some(text)
    }

    /// The text of its first element called `name`.
    pub(super) fn text_of(&self, name: &str) -> Option<String> {
        self.child(name)?.text()
    }

    /// The UUID in its first element called `uuid`.
    pub(super) fn uuid(&self) -> Result<Option<Uuid>, FieldFault> {
        let Some(element) = self.child("uuid") else { return Ok(None) };
        let text = element.text().unwrap_or_default();
        text.trim().parse().map(Some).map_err(|_| element.fault(format!("{:?} is not a UUID", shorten(&text))))
    }

    /// A number in an attribute; anything else is refused.
    pub(super) fn number<N: FromStr>(&self, name: &str) -> Result<Option<N>, FieldFault> {
        self.attribute(name).map(|text| self.parse(text)).transpose()
    }

    /// A number in an attribute, where nothing hangs on it: anything else stays unread.
    pub(super) fn number_if_any<N: FromStr>(&self, name: &str) -> Option<N> {
        let number = self.peek(name)?.trim().parse().ok()?;
        self.attribute(name);
        Some(number)
    }

    /// Reads `text`, which it has somewhere, as a number.
    pub(super) fn parse<N: FromStr>(&self, text: &str) -> Result<N, FieldFault> {
        text.trim().parse().map_err(|_| self.fault(format!("{:?} is not a whole number", shorten(text))))
    }

    /// Whether an attribute says `yes` or `on`.
    pub(super) fn says_yes(&self, name: &str) -> bool {
        matches!(self.attribute(name), Some("yes" | "on"))
    }

    /// Marks the element with all that is in it as read: it is known, and deliberately not kept.
    pub(super) fn ignore(&self) {
        for node in self.node.descendants() {
            self.marks.set(node.range().start);
            for attribute in node.attributes() {
                self.marks.set(attribute.range().start);
            }
        }
    }

    /// Ignores its elements called `name`.
    pub(super) fn ignore_children(&self, name: &str) {
        self.elements().filter(|element| element.is(name)).for_each(|element| element.ignore());
    }

    /// Ignores attributes.
    pub(super) fn ignore_attributes(&self, names: &[&str]) {
        for name in names {
            self.attribute(name);
        }
    }

    /// Its attributes that nobody asked for, without marking them.
    pub(super) fn unread_attributes(&self) -> impl Iterator<Item = Attribute<'a, 'a>> + use<'a> {
        let marks = self.marks;
        self.node.attributes().filter(move |attribute| !marks.has(attribute.range().start))
    }

    /// Whether there is nothing in it: no attribute, element or text.
    pub(super) fn is_bare(&self) -> bool {
        self.node.attributes().len() == 0 && self.elements().next().is_none() && !self.has_text(|_| true)
    }

    /// Whether it has text of its own that nobody asked for.
    pub(super) fn has_unread_text(&self) -> bool {
        self.has_text(|offset| !self.marks.has(offset))
    }

    /// Whether an attribute or its own text was not asked for.
    pub(super) fn has_unread_parts(&self) -> bool {
        self.unread_attributes().next().is_some() || self.has_unread_text()
    }

    /// It and all elements in it, in the order of the text.
    pub(super) fn with_descendants(&self) -> impl Iterator<Item = Element<'a>> + use<'a> {
        let marks = self.marks;
        self.node.descendants().filter(Node::is_element).map(move |node| Element { node, marks })
    }

    /// The whole text.
    pub(super) fn document(&self) -> &'a str {
        self.marks.text
    }

    fn has_text(&self, which: impl Fn(usize) -> bool) -> bool {
        let mut texts = self.node.children().filter(Node::is_text);
        texts.any(|node| which(node.range().start) && !node.text().unwrap_or_default().trim().is_empty())
    }

    /// Its elements, each with its number from 1 where several share its name.
    pub(super) fn numbered(&self) -> Vec<(Element<'a>, Option<usize>)> {
        let mut tally: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for element in self.elements() {
            tally.entry(element.qualified_name()).or_default().0 += 1;
        }
        let number = |element: Element<'a>| {
            let counts = tally.entry(element.qualified_name()).or_default();
            counts.1 += 1;
            (element, (counts.0 > 1).then_some(counts.1))
        };
        self.elements().map(number).collect()
    }

    /// A fault of this element.
    pub(super) fn fault(&self, reason: impl Display) -> FieldFault {
        let mut names: Vec<&str> =
            self.node.ancestors().filter(Node::is_element).map(|node| node.tag_name().name()).collect();
        names.reverse();
        FieldFault::at(self.offset(), names.join("/"), reason)
    }

    /// A fault of an element that it should have.
    pub(super) fn missing(&self, name: &str, reason: impl Display) -> FieldFault {
        self.fault(reason).inside(name)
    }

    /// Where it starts.
    fn place(&self) -> Place {
        Place::of(self.marks.text.as_bytes(), self.offset())
    }

    /// The byte at which it starts.
    pub(super) fn offset(&self) -> usize {
        self.node.range().start
    }

    /// Its name as written, with its prefix.
    pub(super) fn qualified_name(&self) -> &'a str {
        let rest = self.marks.text.get(self.offset() + 1..).unwrap_or_default();
        let end = rest.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'));
        end.and_then(|end| rest.get(..end)).unwrap_or(rest)
    }
}

#[cfg(test)]
#[path = "xml_tests.rs"]
mod tests;
