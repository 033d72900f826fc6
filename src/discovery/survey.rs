//! The first look at an XML text, before the real parser gets it.
//!
//! Assumes nothing: the text may be hostile. Guarantees for what passes: UTF-8, within the limits of size, depth and
//! number of elements, no DOCTYPE (so no entity of the document's own), and the expected root. It also collects what
//! the real parser does not hand on: the namespaces other managers use inside `<metadata>`, and the guest's OS.

use std::collections::BTreeSet;

use super::error::{Place, XmlRefusal};
use super::limits::Limits;
use super::scan::{Scanner, Tag, TagKind};

/// libosinfo's namespace; its `os` element names the guest's operating system.
const LIBOSINFO: &str = "http://libosinfo.org/xmlns/libvirt/domain/1.0";

/// What the first look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Survey<'a> {
    /// The text without a byte order mark.
    pub(crate) text: &'a str,
    /// Namespaces of the elements directly inside `/domain/metadata`.
    pub(crate) namespaces: BTreeSet<String>,
    /// libosinfo's id of the guest's operating system.
    pub(crate) guest_os: Option<String>,
}

/// Looks over `bytes`, whose root must be `root`.
pub(crate) fn survey<'a>(bytes: &'a [u8], root: &'static str, limits: Limits) -> Result<Survey<'a>, XmlRefusal> {
    if bytes.len() > limits.bytes {
        return Err(XmlRefusal::TooLarge { size: bytes.len(), limit: limits.bytes, unit: "bytes" });
    }
    let text = std::str::from_utf8(bytes).map_err(|fault| XmlRefusal::Malformed {
        place: Some(Place::of(bytes, fault.valid_up_to())),
        reason: "the text is not UTF-8".to_owned(),
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Survey { text, namespaces: BTreeSet::new(), guest_os: None };
    let mut open: Vec<Tag<'_>> = Vec::new();
    let mut elements = 0_usize;
    for tag in Scanner::new(text) {
        let tag = tag?;
        if tag.kind == TagKind::Close {
            open.pop();
            continue;
        }
        if elements == 0 && tag.name != root {
            return Err(XmlRefusal::Unsupported {
                place: Some(Place::of(text.as_bytes(), tag.offset)),
                reason: format!("the document is a {:?}, not a {root:?}", super::quantity::shorten(tag.name)),
            });
        }
        elements += 1;
        if elements > limits.elements {
            return Err(XmlRefusal::TooLarge { size: elements, limit: limits.elements, unit: "elements" });
        }
        if open.len() >= limits.depth {
            return Err(XmlRefusal::TooDeep { place: Place::of(text.as_bytes(), tag.offset), limit: limits.depth });
        }
        if open.get(1).is_some_and(|second| second.name == "metadata") {
            note_metadata(&mut found, &open, tag);
        }
        if tag.kind == TagKind::Open {
            open.push(tag);
        }
    }
    Ok(found)
}

/// Records what an element inside `<metadata>` says: whose it is, and libosinfo's answer.
fn note_metadata(found: &mut Survey<'_>, open: &[Tag<'_>], tag: Tag<'_>) {
    let (prefix, local) = tag.name.split_once(':').unwrap_or(("", tag.name));
    let declaration = if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") };
    let Some(namespace) = std::iter::once(&tag).chain(open.iter().rev()).find_map(|tag| tag.attribute(&declaration))
    else {
        return;
    };
    if namespace == LIBOSINFO && local == "os" && found.guest_os.is_none() {
        found.guest_os = tag.attribute("id");
    }
    if open.len() == 2 {
        found.namespaces.insert(namespace);
    }
}
