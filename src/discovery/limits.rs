//! How much XML is read, checked before the parser sees it.
//!
//! Assumes nothing: the bytes may be hostile. Guarantees for what passes: UTF-8 within the limits of size, depth,
//! elements and attributes, without a DOCTYPE (so without entities of the document's own) and in no other encoding.
//! It looks at tags only as far as it must; whether the text is XML is the parser's to say.

use super::error::{Place, XmlRefusal};

/// How much XML is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of text.
    pub bytes: usize,
    /// Elements inside one another.
    pub depth: usize,
    /// Elements in all; the time to read them can grow with the square of it.
    pub elements: usize,
    /// Attributes of one element, and namespace declarations in all: the parser compares each with all before it.
    pub attributes: usize,
}

impl Default for Limits {
    /// 4 MiB, 256 levels, 16,384 elements, 256 attributes: some thirty times the largest domain seen. Each image of a
    /// chain is a level, and libvirt allows 200.
    fn default() -> Self {
        Self { bytes: 4 << 20, depth: 256, elements: 16_384, attributes: 256 }
    }
}

/// Gives the text in `bytes` without a byte order mark, when it keeps the limits.
pub(super) fn admit(bytes: &[u8], limits: Limits) -> Result<&str, XmlRefusal> {
    if bytes.len() > limits.bytes {
        return Err(XmlRefusal::TooLarge { size: bytes.len(), limit: limits.bytes, unit: "bytes" });
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let place = Some(Place { line: 1, column: 1 });
        return Err(XmlRefusal::Unsupported { place, reason: "only UTF-8 is read".to_owned() });
    }
    let text = std::str::from_utf8(bytes).map_err(|fault| XmlRefusal::Malformed {
        place: Some(Place::of(bytes, fault.valid_up_to())),
        reason: "the text is not UTF-8".to_owned(),
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Walk { text, limits, depth: 0, elements: 0, declarations: 0 }.run()?;
    Ok(text)
}

/// A walk from tag to tag. Where a tag or a comment is not closed it ends: the parser has the words for that.
struct Walk<'a> {
    text: &'a str,
    limits: Limits,
    depth: usize,
    elements: usize,
    declarations: usize,
}

impl Walk<'_> {
    fn run(&mut self) -> Result<(), XmlRefusal> {
        let mut at = 0;
        while let Some(next) = self.find(at, "<") {
            let rest = self.text.get(next..).unwrap_or_default();
            let end = if rest.starts_with("<!--") {
                self.after(next + 4, "-->")
            } else if rest.starts_with("<![CDATA[") {
                self.after(next + 9, "]]>")
            } else if let Some(instruction) = rest.strip_prefix("<?") {
                let end = self.after(next + 2, "?>");
                if instruction.split("?>").next().is_some_and(declares_other_encoding) {
                    return Err(self.unsupported(next, "only UTF-8 is read"));
                }
                end
            } else if rest.starts_with("<!") {
                return Err(self.unsupported(next, "a DOCTYPE is refused: libvirt writes none"));
            } else if rest.starts_with("</") {
                self.depth = self.depth.saturating_sub(1);
                self.after(next + 2, ">")
            } else {
                self.tag(next, rest)?
            };
            let Some(end) = end else { break };
            at = end;
        }
        Ok(())
    }

    /// Counts the tag that opens at `start`; gives where it ends.
    fn tag(&mut self, start: usize, rest: &str) -> Result<Option<usize>, XmlRefusal> {
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(too_large(self.elements, self.limits.elements, "elements"));
        }
        if self.depth >= self.limits.depth {
            let place = Place::of(self.text.as_bytes(), start);
            return Err(XmlRefusal::TooDeep { place, limit: self.limits.depth });
        }
        let (mut quote, mut last, mut attributes) = (None, b' ', 0_usize);
        for (nth, byte) in rest.bytes().enumerate() {
            match (quote, byte) {
                (Some(open), _) if open == byte => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'=') => {
                    attributes += 1;
                    let before = rest.get(..nth).unwrap_or_default().trim_end();
                    let name = before.rsplit(|c: char| c.is_ascii_whitespace()).next().unwrap_or_default();
                    self.declarations += usize::from(name.starts_with("xmlns"));
                }
                (None, b'>') => {
                    self.depth += usize::from(last != b'/');
                    return Ok(Some(start + nth + 1));
                }
                (None, _) => {}
            }
            if attributes > self.limits.attributes {
                return Err(too_large(attributes, self.limits.attributes, "attributes in one element"));
            }
            if self.declarations > self.limits.attributes {
                return Err(too_large(self.declarations, self.limits.attributes, "namespace declarations"));
            }
            last = byte;
        }
        Ok(None)
    }

    fn find(&self, from: usize, what: &str) -> Option<usize> {
        self.text.get(from..)?.find(what).map(|found| from + found)
    }

    fn after(&self, from: usize, what: &str) -> Option<usize> {
        self.find(from, what).map(|found| found + what.len())
    }

    fn unsupported(&self, offset: usize, reason: &str) -> XmlRefusal {
        XmlRefusal::Unsupported { place: Some(Place::of(self.text.as_bytes(), offset)), reason: reason.to_owned() }
    }
}

fn too_large(size: usize, limit: usize, unit: &'static str) -> XmlRefusal {
    XmlRefusal::TooLarge { size, limit, unit }
}

/// Whether an XML declaration names an encoding in which the same bytes would read differently.
fn declares_other_encoding(instruction: &str) -> bool {
    let Some((_, value)) = instruction.strip_prefix("xml").and_then(|rest| rest.split_once("encoding")) else {
        return false;
    };
    let value = value.to_ascii_lowercase();
    !value.contains("utf-8") && !value.contains("ascii")
}
