//! Why a domain or network text is refused, where, and under which stable code.
//!
//! Assumes nothing. Guarantees that every refusal names its reason in one sentence, its line where there is one, and
//! that no more than a few words of the refused text are repeated.

use std::fmt;

/// A place in a text, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

impl Place {
    /// The place of the byte at `offset`.
    pub(crate) fn of(text: &[u8], offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.split(|byte| *byte == b'\n').count();
        let last = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let column = String::from_utf8_lossy(last).chars().count() + 1;
        Self { line: line as u64, column: column as u64 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why an XML text is refused before its meaning is looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlRefusal {
    /// More of it than the limit allows.
    #[error("the document has {size} {unit}, more than the {limit} allowed")]
    TooLarge { size: usize, limit: usize, unit: &'static str },
    /// Elements inside one another beyond the limit.
    #[error("elements are nested deeper than the {limit} levels allowed")]
    TooDeep { place: Place, limit: usize },
    /// Not well-formed XML, or not the shape libvirt writes.
    #[error("{reason}")]
    Malformed { place: Option<Place>, reason: String },
    /// XML, but of a kind that is not read.
    #[error("{reason}")]
    Unsupported { place: Option<Place>, reason: String },
}

impl XmlRefusal {
    /// Where, when it is known.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::TooLarge { .. } => None,
            Self::TooDeep { place, .. } => Some(*place),
            Self::Malformed { place, .. } | Self::Unsupported { place, .. } => *place,
        }
    }

    /// Turns the parser's fault into a refusal; the parser gives a place only for what is not well-formed.
    pub(crate) fn from_parser(text: &str, fault: &serde_xml_rs::Error) -> Self {
        let (place, reason) = if let serde_xml_rs::Error::Reader(fault) = fault {
            place_and_reason(&fault.to_string())
        } else {
            repeated_element(text, &fault.to_string())
        };
        Self::Malformed { place, reason: super::quantity::shorten_to(&reason, 200) }
    }
}

/// Splits the reader's `LINE:COLUMN reason`.
fn place_and_reason(message: &str) -> (Option<Place>, String) {
    let split = message.split_once(' ').and_then(|(place, reason)| {
        let (line, column) = place.split_once(':')?;
        Some((Place { line: line.parse().ok()?, column: column.parse().ok()? }, reason))
    });
    match split {
        Some((place, reason)) => (Some(place), reason.to_owned()),
        None => (None, message.to_owned()),
    }
}

/// Finds the element behind serde's "duplicate field", the one fault of shape the raw structs leave possible.
fn repeated_element(text: &str, message: &str) -> (Option<Place>, String) {
    let name = message.split_once("duplicate field `").and_then(|(_, rest)| rest.split_once('`')).map(|(name, _)| name);
    match name {
        Some(name) => (super::scan::locate_repeated(text, name), format!("<{name}> is given more than once")),
        // The parser's message may go on to print attributes, and an attribute may be a password.
        None => (None, message.split(" [attributes").next().unwrap_or_default().to_owned()),
    }
}

/// Why a text is not a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseDomainError {
    /// The text is refused as XML.
    #[error(transparent)]
    Xml(#[from] XmlRefusal),
    /// A value is not what libvirt would have written there.
    #[error("{field}: {reason}")]
    Field { place: Option<Place>, field: String, reason: String },
}

impl ParseDomainError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Xml(XmlRefusal::TooLarge { .. }) => "domain-too-large",
            Self::Xml(XmlRefusal::TooDeep { .. }) => "domain-too-deep",
            Self::Xml(XmlRefusal::Unsupported { .. }) => "domain-unsupported",
            Self::Xml(XmlRefusal::Malformed { .. }) | Self::Field { .. } => "domain-malformed",
        }
    }

    /// Where, when it is known.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Xml(refusal) => refusal.place(),
            Self::Field { place, .. } => *place,
        }
    }
}

/// Why a text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseNetworkError {
    /// The text is refused as XML.
    #[error(transparent)]
    Xml(#[from] XmlRefusal),
    /// A value is not what libvirt would have written there.
    #[error("{field}: {reason}")]
    Field { place: Option<Place>, field: String, reason: String },
}

impl ParseNetworkError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Xml(XmlRefusal::TooLarge { .. }) => "network-too-large",
            Self::Xml(XmlRefusal::TooDeep { .. }) => "network-too-deep",
            Self::Xml(XmlRefusal::Unsupported { .. }) => "network-unsupported",
            Self::Xml(XmlRefusal::Malformed { .. }) | Self::Field { .. } => "network-malformed",
        }
    }

    /// Where, when it is known.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Xml(refusal) => refusal.place(),
            Self::Field { place, .. } => *place,
        }
    }
}

/// A value that is wrong, before its line is known.
#[derive(Debug)]
pub(crate) struct FieldFault {
    /// The path of the element from the root.
    pub(crate) path: &'static [&'static str],
    /// Which of the elements of that path, from 0.
    pub(crate) nth: usize,
    /// One sentence.
    pub(crate) reason: String,
}

impl FieldFault {
    pub(crate) fn new(path: &'static [&'static str], reason: impl fmt::Display) -> Self {
        Self::nth(path, 0, reason)
    }

    pub(crate) fn nth(path: &'static [&'static str], nth: usize, reason: impl fmt::Display) -> Self {
        Self { path, nth, reason: reason.to_string() }
    }

    /// Looks up the line; when the element itself is missing, its parent's.
    pub(crate) fn placed(self, text: &str) -> (Option<Place>, String, String) {
        let parent = self.path.split_last().map_or(self.path, |(_, parents)| parents);
        let place =
            super::scan::locate(text, self.path, self.nth).or_else(|| super::scan::locate(text, parent, self.nth));
        (place, self.path.join("/"), self.reason)
    }
}
