//! Why a text is refused, where, and under which stable code.
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
}

/// What a text was read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    Domain,
    Network,
    Pool,
    Volume,
    Capabilities,
}

impl Document {
    /// The name of its root element, with which its codes begin.
    pub fn root(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Network => "network",
            Self::Pool => "pool",
            Self::Volume => "volume",
            Self::Capabilities => "capabilities",
        }
    }
}

/// Why a text is not the document it was read as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct ParseError {
    document: Document,
    fault: Fault,
}

impl ParseError {
    pub(crate) fn new(document: Document, fault: Fault) -> Self {
        Self { document, fault }
    }

    /// What the text was read as.
    pub fn document(&self) -> Document {
        self.document
    }

    /// The stable code: `domain-too-large`, `pool-malformed`, …
    pub fn code(&self) -> &'static str {
        let [too_large, too_deep, unsupported, malformed] = match self.document {
            Document::Domain => ["domain-too-large", "domain-too-deep", "domain-unsupported", "domain-malformed"],
            Document::Network => ["network-too-large", "network-too-deep", "network-unsupported", "network-malformed"],
            Document::Pool => ["pool-too-large", "pool-too-deep", "pool-unsupported", "pool-malformed"],
            Document::Volume => ["volume-too-large", "volume-too-deep", "volume-unsupported", "volume-malformed"],
            Document::Capabilities => [
                "capabilities-too-large",
                "capabilities-too-deep",
                "capabilities-unsupported",
                "capabilities-malformed",
            ],
        };
        match self.fault {
            Fault::Xml(XmlRefusal::TooLarge { .. }) => too_large,
            Fault::Xml(XmlRefusal::TooDeep { .. }) => too_deep,
            Fault::Xml(XmlRefusal::Unsupported { .. }) => unsupported,
            Fault::Xml(XmlRefusal::Malformed { .. }) | Fault::Field { .. } => malformed,
        }
    }

    /// Where, when it is known.
    pub fn place(&self) -> Option<Place> {
        match &self.fault {
            Fault::Xml(refusal) => refusal.place(),
            Fault::Field { place, .. } => *place,
        }
    }
}

/// Why a text was not read, whatever it was to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The text is refused as XML.
    #[error(transparent)]
    Xml(#[from] XmlRefusal),
    /// A value is not what libvirt would have written there.
    #[error("{field}: {reason}")]
    Field { place: Option<Place>, field: String, reason: String },
}

/// A value that is wrong, and in which element.
#[derive(Debug)]
pub(crate) struct FieldFault {
    offset: usize,
    field: String,
    reason: String,
}

impl FieldFault {
    /// A fault of the element at `offset` whose path is `field`.
    pub(crate) fn at(offset: usize, field: String, reason: impl fmt::Display) -> Self {
        Self { offset, field, reason: reason.to_string() }
    }

    /// The same fault, of an element that the named one should have.
    pub(crate) fn inside(mut self, name: &str) -> Self {
        self.field.push('/');
        self.field.push_str(name);
        self
    }

    /// The fault with its line.
    pub(crate) fn placed(self, text: &str) -> Fault {
        let place = Some(Place::of(text.as_bytes(), self.offset));
        Fault::Field { place, field: self.field, reason: self.reason }
    }
}
