//! Why an inventory is not rendered, under a stable code.
//!
//! Assumes nothing. Guarantees one sentence that names the field, and that a refused secret is not repeated.

use super::binding::BindingFault;

/// Why there is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// No such format.
    #[error("{name:?} is not a format of artifacts")]
    UnknownFormat { name: String },
    /// The binding is not of the format's shape.
    #[error("the binding cannot be used: {0}")]
    Binding(BindingFault),
    /// The VM has something that the format cannot express, so that what came out would be another VM.
    #[error("{field} cannot be written in this format: {why}")]
    Refused { field: String, why: String },
    /// The format needs something that the inventory lacks.
    #[error("{field} is needed and not known")]
    Missing { field: &'static str },
    /// A secret would get into the artifacts.
    #[error("{field} holds a secret, and artifacts carry none")]
    Secret { field: String },
    /// The files are more than the format holds.
    #[error("{what} is too large for the format")]
    TooLarge { what: String },
}

impl RenderError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownFormat { .. } => "format-unknown",
            Self::Binding(_) => "binding-malformed",
            Self::Refused { .. } => "artifact-refused",
            Self::Missing { .. } => "artifact-incomplete",
            Self::Secret { .. } => "artifact-secret",
            Self::TooLarge { .. } => "artifact-too-large",
        }
    }
}

impl From<BindingFault> for RenderError {
    fn from(fault: BindingFault) -> Self {
        Self::Binding(fault)
    }
}
