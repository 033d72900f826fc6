//! Step 3: from one `Inventory` to a second provider's own files.
//!
//! ```text
//! Inventory + Source + Binding ──Renderer──► Bundle = the provider's files + mapping.json + manifest.json
//! ```
//!
//! Assumes an inventory; what libvirt cannot know (host names, keys, addresses of bridged interfaces) comes in the
//! binding. Pure: writing a bundle to disk is the command line's business. Guarantees that the same input gives the
//! same bytes, that the mapping says of every field of the inventory what became of it, and that no secret gets in.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod bundle;
mod error;
mod iso9660;
mod mapping;
mod nocloud;
mod nocloud_mapping;
mod nocloud_network;
mod yaml;

pub use bundle::{
    BUNDLE_FORMAT, Bundle, BundleFile, FileMode, FileRecord, MANIFEST_FILE, MAPPING_FILE, Manifest, Source,
};
pub use error::RenderError;
pub use mapping::{Fate, Mapping, MappingEntry};
pub use nocloud::{NicBinding, NoCloud, NoCloudBinding};

use crate::discovery::Inventory;

/// One provider's way to write an inventory down.
pub trait Renderer {
    /// What the operator adds to the inventory.
    type Binding: serde::de::DeserializeOwned;

    /// Renders a bundle.
    fn render(inventory: &Inventory, source: &Source, binding: &Self::Binding) -> Result<Bundle, RenderError>;
}

/// The formats there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// cloud-init's NoCloud seed.
    NoCloud,
}

impl Format {
    /// Every format.
    pub const ALL: &'static [Self] = &[Self::NoCloud];

    /// Its name on the command line, on the wire and in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoCloud => "nocloud",
        }
    }

    /// The format of that name.
    ///
    /// *Errors*: `format-unknown`.
    pub fn from_name(name: &str) -> Result<Self, RenderError> {
        let found = Self::ALL.iter().copied().find(|format| format.name() == name);
        found.ok_or_else(|| RenderError::UnknownFormat { name: name.chars().take(64).collect() })
    }

    /// Renders with a binding in JSON; `null` is an empty binding.
    ///
    /// *Errors*: `binding-malformed` and those of the renderer.
    pub fn render(
        self,
        inventory: &Inventory,
        source: &Source,
        binding: serde_json::Value,
    ) -> Result<Bundle, RenderError> {
        match self {
            Self::NoCloud => render_with::<NoCloud>(inventory, source, binding),
        }
    }
}

fn render_with<R: Renderer>(
    inventory: &Inventory,
    source: &Source,
    binding: serde_json::Value,
) -> Result<Bundle, RenderError> {
    let binding = if binding.is_null() { serde_json::Value::Object(serde_json::Map::new()) } else { binding };
    let binding: R::Binding =
        serde_json::from_value(binding).map_err(|fault| RenderError::Binding { reason: fault.to_string() })?;
    R::render(inventory, source, &binding)
}
