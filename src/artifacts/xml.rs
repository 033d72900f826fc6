//! A small writer of XML 1.0: a tree of elements, then its text.
//!
//! Assumes element and attribute names of ours, which are XML names with a declared prefix. Guarantees a well-formed
//! document in UTF-8, one element a line, in which every text reads back as it was given; a character that XML 1.0
//! cannot hold in any spelling is refused. *Source*: <https://www.w3.org/TR/xml/#charsets>.

use super::error::RenderError;

/// One element.
#[derive(Debug, Clone)]
pub(super) struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    content: Content,
}

/// What is between an element's tags: never text and elements at once, so that indenting changes nothing.
#[derive(Debug, Clone)]
enum Content {
    Elements(Vec<Element>),
    Text(String),
}

impl Element {
    /// An empty element.
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), content: Content::Elements(Vec::new()) }
    }

    /// An element with a text.
    pub(super) fn text(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, attributes: Vec::new(), content: Content::Text(text.into()) }
    }

    /// The same with an attribute.
    pub(super) fn attribute(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    /// The same with an attribute, when there is a value.
    pub(super) fn attribute_if(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.attribute(name, value),
            None => self,
        }
    }

    /// The same with an element behind those it has; a text gives way.
    pub(super) fn child(self, child: Self) -> Self {
        self.children([child])
    }

    /// The same with elements behind those it has; a text gives way.
    pub(super) fn children(mut self, more: impl IntoIterator<Item = Self>) -> Self {
        match &mut self.content {
            Content::Elements(elements) => elements.extend(more),
            Content::Text(_) => self.content = Content::Elements(more.into_iter().collect()),
        }
        self
    }

    /// The whole document.
    ///
    /// *Errors*: `artifact-refused` with the element that holds a character which XML cannot.
    pub(super) fn document(&self) -> Result<String, RenderError> {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        self.write(&mut out, 0)?;
        Ok(out)
    }

    /// The element alone, for another document.
    ///
    /// *Errors*: as for a document.
    pub(super) fn fragment(&self) -> Result<String, RenderError> {
        let mut out = String::new();
        self.write(&mut out, 0)?;
        Ok(out)
    }

    fn write(&self, out: &mut String, depth: usize) -> Result<(), RenderError> {
        let indent = "  ".repeat(depth);
        out.push_str(&indent);
        out.push('<');
        out.push_str(self.name);
        for (name, value) in &self.attributes {
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            escape(out, value).ok_or_else(|| unheld(name))?;
            out.push('"');
        }
        match &self.content {
            Content::Elements(elements) if elements.is_empty() => {
                out.push_str("/>\n");
                return Ok(());
            }
            Content::Elements(elements) => {
                out.push_str(">\n");
                for element in elements {
                    element.write(out, depth + 1)?;
                }
                out.push_str(&indent);
            }
            Content::Text(text) => {
                out.push('>');
                escape(out, text).ok_or_else(|| unheld(self.name))?;
            }
        }
        out.push_str("</");
        out.push_str(self.name);
        out.push_str(">\n");
        Ok(())
    }
}

fn unheld(name: &str) -> RenderError {
    let why = "it holds a character that XML 1.0 cannot hold, however it is spelled".to_owned();
    RenderError::Refused { field: name.to_owned(), why }
}

/// Writes `text` so that a reader gets it back exactly, between tags and in quotes alike; none when XML cannot hold it.
fn escape(out: &mut String, text: &str) -> Option<()> {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // A reader turns these into blanks or line feeds unless they are spelled as numbers.
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => return None,
            other => out.push(other),
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_spelled_so_that_a_reader_gets_it_back() {
        let text = "a & b < c \"e\" 'f' ]]> \t\r\n é";
        let spelled = "a &amp; b &lt; c &quot;e&quot; 'f' ]]&gt; &#9;&#13;&#10; é";
        let document = Element::text("a", text).attribute("b", text).document().unwrap();
        assert!(document.ends_with(&format!("<a b=\"{spelled}\">{spelled}</a>\n")), "{document}");
    }

    #[test]
    fn what_xml_cannot_hold_is_refused_by_its_place() {
        for bad in ["\u{0}", "\u{b}", "\u{1f}", "\u{ffff}"] {
            let refused = Element::new("a").child(Element::text("name", bad)).document().unwrap_err();
            assert!(matches!(&refused, RenderError::Refused { field, .. } if field == "name"), "{refused}");
        }
    }

    #[test]
    fn an_element_is_closed_at_its_own_depth() {
        let tree = Element::new("a").child(Element::new("b").child(Element::text("c", "d"))).child(Element::new("e"));
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                        <a>\n  <b>\n    <c>d</c>\n  </b>\n  <e/>\n</a>\n";
        assert_eq!(tree.document().unwrap(), expected);
    }
}
