//! Tag by tag through an XML text, without its meaning.
//!
//! Assumes UTF-8 and nothing else. Guarantees to end, to give each tag its place, and to refuse a DOCTYPE and other
//! encodings. It exists because the real parser gives neither namespaces nor the places of values.

use super::error::{Place, XmlRefusal};

/// The place of the `nth` element (from 0) whose path from the root is `path`.
pub(crate) fn locate(text: &str, path: &[&str], nth: usize) -> Option<Place> {
    let mut open: Vec<&str> = Vec::new();
    let mut left = nth;
    for tag in Scanner::new(text) {
        let tag = tag.ok()?;
        if tag.kind == TagKind::Close {
            open.pop();
            continue;
        }
        if path.split_last().is_some_and(|(last, parents)| *last == tag.name && parents == open.as_slice()) {
            match left.checked_sub(1) {
                Some(fewer) => left = fewer,
                None => return Some(Place::of(text.as_bytes(), tag.offset)),
            }
        }
        if tag.kind == TagKind::Open {
            open.push(tag.name);
        }
    }
    None
}

/// The place of the first element called `name` that has an earlier sibling of that name.
pub(crate) fn locate_repeated(text: &str, name: &str) -> Option<Place> {
    let mut seen_at: Vec<bool> = vec![false];
    for tag in Scanner::new(text) {
        let tag = tag.ok()?;
        if tag.kind == TagKind::Close {
            seen_at.pop();
            continue;
        }
        if tag.name == name
            && let Some(seen) = seen_at.last_mut()
            && std::mem::replace(seen, true)
        {
            return Some(Place::of(text.as_bytes(), tag.offset));
        }
        if tag.kind == TagKind::Open {
            seen_at.push(false);
        }
    }
    None
}

/// How a tag changes the depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TagKind {
    Open,
    Close,
    Empty,
}

/// One tag as written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag<'a> {
    pub(super) name: &'a str,
    attributes: &'a str,
    pub(super) kind: TagKind,
    pub(super) offset: usize,
}

impl Tag<'_> {
    /// The value of an attribute, with the five predefined entities resolved.
    pub(super) fn attribute(&self, name: &str) -> Option<String> {
        let mut rest = self.attributes;
        loop {
            let (key, after) = rest.split_once('=')?;
            let after = after.trim_start();
            let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let (value, tail) = after.get(1..)?.split_once(quote)?;
            if key.trim() == name {
                return Some(resolve(value));
            }
            rest = tail;
        }
    }
}

/// Resolves the predefined entities; `&amp;` last, so that nothing is resolved twice.
fn resolve(value: &str) -> String {
    if !value.contains('&') {
        return value.to_owned();
    }
    value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}

/// Walks the tags of a text; comments, CDATA and processing instructions are passed over.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn malformed(&mut self, offset: usize, reason: &str) -> XmlRefusal {
        self.at = self.text.len();
        XmlRefusal::Malformed { place: Some(Place::of(self.text.as_bytes(), offset)), reason: reason.to_owned() }
    }

    fn unsupported(&mut self, offset: usize, reason: &str) -> XmlRefusal {
        self.at = self.text.len();
        XmlRefusal::Unsupported { place: Some(Place::of(self.text.as_bytes(), offset)), reason: reason.to_owned() }
    }

    /// Moves past `end`, counted from `from`; gives what lies between.
    fn skip_past(&mut self, from: usize, end: &str) -> Option<&'a str> {
        let rest = self.text.get(from..)?;
        let length = rest.find(end)?;
        self.at = from + length + end.len();
        rest.get(..length)
    }

    /// The next tag, starting at a `<` at `offset`.
    fn tag(&mut self, offset: usize) -> Result<Tag<'a>, XmlRefusal> {
        let body = self.text.get(offset + 1..).unwrap_or_default();
        let mut quote = None;
        // A `>` inside a quoted value does not end the tag.
        let end = body.bytes().position(|byte| match quote {
            Some(open) => {
                if byte == open {
                    quote = None;
                }
                false
            }
            None => {
                if matches!(byte, b'"' | b'\'') {
                    quote = Some(byte);
                }
                byte == b'>'
            }
        });
        let Some(inside) = end.and_then(|end| body.get(..end)) else {
            return Err(self.malformed(offset, "the tag is not closed"));
        };
        self.at = offset + 1 + inside.len() + 1;
        if let Some(name) = inside.strip_prefix('/') {
            return Ok(Tag { name: name.trim_end(), attributes: "", kind: TagKind::Close, offset });
        }
        let (inside, kind) = match inside.strip_suffix('/') {
            Some(inside) => (inside, TagKind::Empty),
            None => (inside, TagKind::Open),
        };
        let (name, attributes) = inside.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((inside, ""));
        if name.is_empty() {
            return Err(self.malformed(offset, "the tag has no name"));
        }
        Ok(Tag { name, attributes, kind, offset })
    }

    fn advance(&mut self) -> Option<Result<Tag<'a>, XmlRefusal>> {
        loop {
            let offset = self.at + self.text.get(self.at..)?.find('<')?;
            let rest = self.text.get(offset..)?;
            if rest.starts_with("<!--") {
                if self.skip_past(offset + 4, "-->").is_none() {
                    return Some(Err(self.malformed(offset, "the comment is not closed")));
                }
            } else if rest.starts_with("<![CDATA[") {
                if self.skip_past(offset + 9, "]]>").is_none() {
                    return Some(Err(self.malformed(offset, "the CDATA section is not closed")));
                }
            } else if rest.starts_with("<?") {
                match self.skip_past(offset + 2, "?>") {
                    None => {
                        return Some(Err(self.malformed(offset, "the processing instruction is not closed")));
                    }
                    Some(inside) if declares_other_encoding(inside) => {
                        return Some(Err(self.unsupported(offset, "only UTF-8 is read")));
                    }
                    Some(_) => {}
                }
            } else if rest.starts_with("<!") {
                return Some(Err(self.unsupported(offset, "a DOCTYPE is refused: libvirt writes none")));
            } else {
                return Some(self.tag(offset));
            }
        }
    }
}

/// Whether an XML declaration names an encoding in which the same bytes would read differently.
fn declares_other_encoding(instruction: &str) -> bool {
    let Some(rest) = instruction.strip_prefix("xml") else {
        return false;
    };
    let Some((_, value)) = rest.split_once("encoding") else {
        return false;
    };
    let value = value.to_ascii_lowercase();
    !value.contains("utf-8") && !value.contains("ascii")
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Result<Tag<'a>, XmlRefusal>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance()
    }
}
