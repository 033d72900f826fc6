//! Artifacts of a VM for other providers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::artifacts::{Manifest, Mapping};

/// `GET /v1/vms/{uuid}/artifacts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FormatList {
    /// The generation of the VM that artifacts would be made of now.
    pub generation: String,
    /// The formats there are.
    pub formats: Vec<FormatSummary>,
}

/// One format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FormatSummary {
    /// Its name: the last part of the path to its artifacts.
    pub name: String,
    /// What it is, in a few words.
    pub title: String,
    /// Whether the agent's folder of bindings has one for this VM.
    pub bound: bool,
}

/// `GET /v1/vms/{uuid}/artifacts/{format}` as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Artifacts {
    /// What they are, of which VM, and every file's digest.
    #[schema(value_type = Object)]
    pub manifest: Manifest,
    /// What became of each field of the VM.
    #[schema(value_type = Vec<Object>)]
    pub mapping: Mapping,
    /// Every file, the manifest and the mapping report among them, in the order of the tar stream.
    pub files: Vec<ArtifactFile>,
}

/// One file: its content is in `text`, or in `base64` when it is no text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArtifactFile {
    /// Its path in the bundle.
    pub path: String,
    /// Its permissions, as an octal number.
    pub mode: String,
    /// Its content, where it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its content otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}
