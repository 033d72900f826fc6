//! From a VM, formats and bindings to bundles; and why one is refused, with the file that is at fault.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::fault::CarryOutError;
use super::bindings::{Bindings, Bound};
use super::chosen::Looked;
use crate::artifacts::{Bundle, Fate, Format, RenderError, Subject};

/// Why a VM is not rendered in a format.
#[derive(Debug)]
pub struct RenderFormatError {
    /// The format.
    pub format: &'static str,
    /// The binding's file, when there is one.
    pub binding: Option<PathBuf>,
    /// Why.
    pub error: RenderError,
}

impl fmt::Display for RenderFormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, binding, error } = self;
        match (error, binding) {
            (RenderError::Binding(fault), Some(path)) => {
                write!(f, "{}: {fault} [{}]", path.display(), error.code())
            }
            (RenderError::Binding(fault), None) => {
                write!(
                    f,
                    "{format} needs a binding: {fault}; covirt artifacts bind --init writes one [{}]",
                    error.code()
                )
            }
            (_, _) => write!(f, "{format}: {error} [{}]", error.code()),
        }
    }
}

impl std::error::Error for RenderFormatError {}

impl RenderFormatError {
    /// The same for programs.
    #[must_use]
    pub fn document(&self) -> Value {
        let mut document =
            json!({ "code": self.error.code(), "format": self.format, "detail": self.error.to_string() });
        if let (RenderError::Binding(fault), Some(map)) = (&self.error, document.as_object_mut()) {
            map.insert("field".to_owned(), json!(fault.field));
            map.insert("line".to_owned(), json!(fault.line));
            map.insert("hint".to_owned(), json!(fault.hint));
            map.insert("binding".to_owned(), json!(self.binding));
        }
        document
    }
}

/// What `--for` may name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    All,
    One(Format),
}

/// A format by its name.
pub(super) fn parse_format(name: &str) -> Result<Format, String> {
    let known = || Format::ALL.iter().map(|format| format.name()).collect::<Vec<_>>().join(", ");
    Format::from_name(name).map_err(|error| format!("{error}: {} are known", known()))
}

/// A format by its name, or all of them.
pub(super) fn parse_wanted(name: &str) -> Result<Wanted, String> {
    if name == "all" { Ok(Wanted::All) } else { parse_format(name).map(Wanted::One) }
}

/// The formats, each once, in their own order.
pub(super) fn formats_of(wanted: &[Wanted]) -> Vec<Format> {
    let is_wanted = |format: &Format| {
        wanted.iter().any(|wanted| matches!(wanted, Wanted::All) || matches!(wanted, Wanted::One(one) if one == format))
    };
    Format::ALL.iter().copied().filter(is_wanted).collect()
}

/// Renders a VM in one format.
///
/// *Errors*: those of the binding and of rendering.
pub(super) fn render_one(looked: &Looked, format: Format, bindings: &Bindings) -> Result<Bundle, CarryOutError> {
    let bound = bindings.of(format, &looked.inventory)?;
    Ok(render_bound(&Subject::new(&looked.inventory, &looked.source), format, bound)?)
}

/// Renders a VM with a binding that was read.
///
/// *Errors*: [`RenderFormatError`].
pub(super) fn render_bound(
    subject: &Subject<'_>,
    format: Format,
    bound: Bound,
) -> Result<Bundle, Box<RenderFormatError>> {
    let refused = |error| Box::new(RenderFormatError { format: format.name(), binding: bound.path, error });
    format.render(subject, &bound.text).map_err(refused)
}

/// The word for a fate.
pub(super) const fn fate_name(fate: &Fate) -> &'static str {
    match fate {
        Fate::Exact { .. } => "exact",
        Fate::Approximate { .. } => "approximate",
        Fate::NotCarried { .. } => "not carried",
        Fate::Refused { .. } => "refused",
    }
}

/// Where a field went, or why it did not.
pub(super) fn fate_reason(fate: &Fate) -> String {
    match fate {
        Fate::Exact { to } => to.clone(),
        Fate::Approximate { to, rule } => format!("{to}: {rule}"),
        Fate::NotCarried { why } | Fate::Refused { why } => why.clone(),
    }
}
