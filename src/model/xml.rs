//! libvirt's XML, read so that it says the same to us as to libvirt, or nothing; and not for long.
//!
//! libvirt takes elements and attributes by their local names here and without namespace there, the first of several
//! here and the last there. Whoever writes XML could say one thing to us and another to libvirt by that, so what is there
//! more than once, or in a namespace, says nothing.
//!
//! Assumes nothing about the text. Guarantees that no document takes long: the parser compares each attribute with all
//! others of its element, and copies the namespaces of an element to each element in it, so both are bounded before it
//! begins.

use roxmltree::{Document, Node, ParsingOptions};

/// The most elements, attributes not counted, and texts. A domain with a hundred disks has a tenth of that.
pub(crate) const NODES_MAX: u32 = 65536;
/// The most comparisons of attributes with others of their elements.
const COMPARISONS_MAX: u64 = 1 << 24;
/// The most namespaces times what may be in them: each name is looked for among all namespaces.
const LOOKUPS_MAX: u64 = 1 << 23;
/// What is in none of these is text or a tag.
const PASSED_OVER: [(&str, &str); 3] = [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")];

/// The document.
///
/// *Errors*: a sentence's end, when it is malformed, declares a type or another encoding, or is made to take long.
pub(crate) fn parse(xml: &str) -> Result<Document<'_>, String> {
    parse_up_to(xml, NODES_MAX)
}

/// The same with as many nodes as `nodes_limit`.
///
/// *Errors*: as of [`parse`].
pub(crate) fn parse_up_to(xml: &str, nodes_limit: u32) -> Result<Document<'_>, String> {
    if is_encoded(xml) {
        return Err("another encoding than UTF-8 is declared".to_owned());
    }
    if Cost::of(xml).is_too_high() {
        return Err("it has more attributes or namespaces than are read".to_owned());
    }
    let options = ParsingOptions { allow_dtd: false, nodes_limit, ..ParsingOptions::default() };
    Document::parse_with_options(xml, options).map_err(|error| error.to_string())
}

/// Whether it says that it is written otherwise than it came: libvirt would decode it first, and read something else.
fn is_encoded(xml: &str) -> bool {
    let begin = xml.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let Some((declaration, _)) = begin.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")) else {
        return false;
    };
    let Some((before, encoding)) = declaration.rsplit_once("encoding") else { return false };
    if before.contains("encoding") {
        return true;
    }
    let encoding = encoding.trim_start_matches(['=', ' ', '\t', '\r', '\n', '"', '\'']);
    let name: String = encoding.chars().take_while(|c| !matches!(c, '"' | '\'')).collect();
    !["utf-8", "utf8", "us-ascii", "ascii"].contains(&name.to_ascii_lowercase().as_str())
}

/// What a document makes the parser do, at most.
#[derive(Debug, Default)]
struct Cost {
    /// Of attributes.
    comparisons: u64,
    /// Of elements and attributes.
    names: u64,
    namespaces: u64,
}

impl Cost {
    fn of(xml: &str) -> Self {
        let mut cost = Self::default();
        let mut rest = xml;
        while let Some((_, tag)) = rest.split_once('<').map(|(text, _)| rest.split_at(text.len())) {
            let passed_over = PASSED_OVER.iter().find_map(|(open, close)| Some((tag.strip_prefix(open)?, close)));
            rest = match passed_over {
                // One that does not end is malformed.
                Some((within, close)) => within.split_once(close).map_or("", |(_, behind)| behind),
                None => cost.add_tag(tag),
            };
        }
        cost
    }

    /// Adds the tag that comes first; gives what is behind it.
    fn add_tag<'a>(&mut self, tag: &'a str) -> &'a str {
        let (mut quote, mut attributes, mut end) = (None, 0_u64, tag.len());
        for (nth, byte) in tag.bytes().enumerate() {
            match (quote, byte) {
                (Some(open), _) if open == byte => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'=') => {
                    self.comparisons = self.comparisons.saturating_add(attributes);
                    attributes += 1;
                }
                (None, b'>') => {
                    end = nth + 1;
                    break;
                }
                (None, _) => {}
            }
        }
        let (tag, behind) = tag.split_at(end);
        self.names = self.names.saturating_add(attributes + 1);
        self.namespaces = self.namespaces.saturating_add(tag.matches("xmlns").count() as u64);
        behind
    }

    const fn is_too_high(&self) -> bool {
        self.comparisons > COMPARISONS_MAX || self.namespaces.saturating_mul(self.names) > LOOKUPS_MAX
    }
}

/// What an element is called, unless it is in a namespace.
pub(crate) fn name<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    node.tag_name().namespace().is_none().then_some(node.tag_name().name())
}

/// Whether a child of this name is there, in whatever namespace.
pub(crate) fn has(node: Node<'_, '_>, called: &str) -> bool {
    node.children().any(|child| child.is_element() && child.tag_name().name() == called)
}

/// The only child of this name.
pub(crate) fn child<'a, 'input>(node: Node<'a, 'input>, called: &str) -> Option<Node<'a, 'input>> {
    let mut found = node.children().filter(|child| child.is_element() && child.tag_name().name() == called);
    let only = found.next().filter(|_| found.next().is_none())?;
    name(only).map(|_| only)
}

/// The children of this name; none at all when one of them is in a namespace.
pub(crate) fn children<'a, 'input>(node: Node<'a, 'input>, called: &str) -> Option<Vec<Node<'a, 'input>>> {
    (node.children().filter(|child| child.is_element() && child.tag_name().name() == called))
        .map(|child| name(child).map(|_| child))
        .collect()
}

/// The attribute, unless there is another of the same local name.
pub(crate) fn attribute<'a>(node: Node<'a, '_>, called: &str) -> Option<&'a str> {
    let mut found = node.attributes().filter(|attribute| attribute.name() == called);
    let only = found.next().filter(|_| found.next().is_none())?;
    only.namespace().is_none().then_some(only.value())
}

/// All text in it, as XPath's `string()` gives it.
pub(crate) fn text(node: Node<'_, '_>) -> String {
    node.descendants().filter(Node::is_text).filter_map(|text| text.text()).collect()
}

/// The text of the only child of this name.
pub(crate) fn child_text(node: Node<'_, '_>, called: &str) -> Option<String> {
    child(node, called).map(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(what: impl Fn(usize) -> String, count: usize) -> String {
        (0..count).map(what).collect()
    }

    #[test]
    fn what_would_take_the_parser_long_is_refused_wherever_it_hides() {
        let attributes = many(|i| format!("a{i}='' "), 10_000);
        let with_ends = many(|i| format!("a{i}='>' "), 10_000);
        let namespaces = many(|i| format!("<a xmlns:a{i}='u{i}'>"), 5_000) + &"</a>".repeat(5_000);
        for document in [
            format!("<a {attributes}/>"),
            format!("<a {with_ends}/>"),
            format!("<r><!-- ' --><a {with_ends}/></r>"),
            format!("<r><![CDATA[ <' ]]><a {with_ends}/></r>"),
            format!("<?p ' ?><a {with_ends}/>"),
            format!("<r>'\"<a {with_ends}/></r>"),
            format!("<r q='\"'><a {with_ends}/></r>"),
            namespaces,
        ] {
            let refused = parse(&document).err().unwrap_or_default();
            assert!(refused.contains("more attributes or namespaces"), "{refused}: {}", &document[..40]);
        }
    }

    #[test]
    fn what_only_looks_so_is_read() {
        let (equals, names) = ("=".repeat(100_000), "xmlns ".repeat(100_000));
        let value = "a=b&gt; ".repeat(10_000);
        let elements = many(|i| format!("<e{i} xmlns='u' a='1'/>"), 60);
        for document in [
            format!("<a>{equals}{names}</a>"),
            format!("<a><!-- {equals} {names} --><![CDATA[{equals}]]></a>"),
            format!("<a v='{value}'/>"),
            format!("<a>{}</a>", elements.repeat(10)),
            "<a>".to_owned(),
            "<!-- no end".to_owned(),
        ] {
            let refused = parse(&document).err().unwrap_or_default();
            assert!(!refused.contains("more attributes"), "{}", &document[..3]);
        }
    }

    #[test]
    fn what_is_there_twice_or_in_a_namespace_says_nothing() {
        let of = |xml: &str| {
            let document = parse(xml).unwrap();
            child_text(document.root_element(), "name")
        };
        assert_eq!(of("<d><name>a<b>c</b></name></d>").as_deref(), Some("ac"));
        assert_eq!(of("<d><name>a</name><name>a</name></d>"), None);
        assert_eq!(of("<d xmlns:o='u'><o:name>a</o:name></d>"), None);
        assert_eq!(of("<d xmlns:o='u'><o:name>b</o:name><name>a</name></d>"), None);
    }
}
