//! A bundle: files in order, and the manifest that names them all.
//!
//! Assumes rendered files. Guarantees that the manifest lists every other file with its size and digest, that it
//! holds no time, and that equal inputs give equal bytes.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Subject;
use super::binding::BindingText;
use super::error::RenderError;
use super::mapping::Mapping;
use super::uuid_of;
use crate::discovery::{Generation, hex};

/// The shape of a bundle; raised when a reader of the old shape would go wrong.
pub const BUNDLE_FORMAT: u32 = 1;

/// The name of the manifest; a folder that has one is a bundle.
pub const MANIFEST_FILE: &str = "manifest.json";

/// The name of the mapping report.
pub const MAPPING_FILE: &str = "mapping.json";

/// The name of the inventory that the bundle was rendered from, by which one sees later what has changed since.
pub const INVENTORY_FILE: &str = "inventory.json";

/// Rendered artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The files: the provider's own in the renderer's order, then the mapping report, the inventory, and the manifest.
    pub files: Vec<BundleFile>,
    /// What the manifest's file says.
    pub manifest: Manifest,
    /// What the mapping report's file says.
    pub mapping: Mapping,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleFile {
    /// Its path inside the bundle, with `/`.
    pub path: String,
    /// Its permissions.
    pub mode: FileMode,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl BundleFile {
    /// A file for its owner and group.
    pub fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), mode: FileMode::PRIVATE, bytes: bytes.into() }
    }
}

/// Unix permission bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl FileMode {
    /// Owner writes, group reads, nobody else anything.
    pub const PRIVATE: Self = Self(0o640);
}

/// Where the inventory came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Source {
    /// A libvirt connection.
    Libvirt { uri: String },
    /// A file or standard input.
    File,
}

impl Source {
    /// Refuses a connection whose user part holds a password.
    fn check_no_secret(&self) -> Result<(), RenderError> {
        let Self::Libvirt { uri } = self else {
            return Ok(());
        };
        let authority = uri.split_once("://").map_or("", |(_, rest)| rest).split('/').next();
        let user = authority.and_then(|authority| authority.rsplit_once('@')).map(|(user, _)| user);
        if user.is_some_and(|user| user.contains(':')) {
            return Err(RenderError::Secret { field: "source.uri".to_owned() });
        }
        Ok(())
    }
}

/// What the bundle is, of which VM, and which files it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `BUNDLE_FORMAT`.
    pub bundle: u32,
    /// The provider's format, by `Format::name`.
    pub format: String,
    /// The VM.
    pub uuid: Uuid,
    /// Its name in libvirt.
    pub name: String,
    /// The generation of the inventory it was rendered from.
    pub generation: Generation,
    /// SHA-256 of the binding's text, in hexadecimal.
    pub binding: String,
    /// Where that inventory came from.
    pub source: Source,
    /// Every other file, in the bundle's order.
    pub files: Vec<FileRecord>,
}

/// A file as the manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its path inside the bundle.
    pub path: String,
    /// *Units*: bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

impl Bundle {
    /// Completes the provider's `files` with the report and the manifest.
    pub(super) fn seal(
        format: &str,
        subject: &Subject<'_>,
        binding: &BindingText,
        mut files: Vec<BundleFile>,
        mapping: Mapping,
    ) -> Result<Self, RenderError> {
        let identity = &subject.inventory.domain.identity;
        subject.source.check_no_secret()?;
        files.push(BundleFile::new(MAPPING_FILE, pretty(&mapping)));
        let mut records: Vec<FileRecord> = files.iter().map(FileRecord::of).collect();
        files.push(subject.inventory_file.clone());
        records.push(subject.inventory_record.clone());
        let manifest = Manifest {
            bundle: BUNDLE_FORMAT,
            format: format.to_owned(),
            uuid: uuid_of(subject.inventory)?,
            name: identity.name.clone(),
            generation: subject.generation.clone(),
            binding: binding.digest(),
            source: subject.source.clone(),
            files: records,
        };
        files.push(BundleFile::new(MANIFEST_FILE, pretty(&manifest)));
        Ok(Self { files, manifest, mapping })
    }

    /// The file at `path`.
    pub fn file(&self, path: &str) -> Option<&BundleFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl FileRecord {
    pub(super) fn of(file: &BundleFile) -> Self {
        Self { path: file.path.clone(), size: file.bytes.len() as u64, sha256: hex(&Sha256::digest(&file.bytes)) }
    }
}

/// Indented JSON with a last line feed.
pub(super) fn pretty<T: Serialize>(value: &T) -> Vec<u8> {
    // None of the types has a map with keys that are no strings, so that serialising them cannot fail.
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
