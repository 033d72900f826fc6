//! Whether a bundle that was written once is still whole.
//!
//! Assumes the files as they were found. Guarantees that every byte that the manifest vouches for is compared, that a
//! file it does not know is told, and that manifest, mapping and inventory are held against each other. A manifest is not
//! signed: who can write the folder can write another whole bundle.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::bundle::{BUNDLE_FORMAT, INVENTORY_FILE, MANIFEST_FILE, MAPPING_FILE, Manifest, pretty};
use super::mapping::Mapping;
use super::report::Fields;
use crate::discovery::{Inventory, hex};

/// One entry of a bundle's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundFile {
    /// A file, and its content.
    Regular(Vec<u8>),
    /// A link, a device or whatever else a bundle never has.
    Other,
}

/// One thing that is wrong with a bundle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Flaw {
    /// The file.
    pub path: String,
    /// What is wrong with it.
    #[serde(flatten)]
    pub kind: FlawKind,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "flaw", rename_all = "kebab-case")]
pub enum FlawKind {
    /// The manifest lists it, and it is not there.
    Missing,
    /// It is there, and the manifest does not list it.
    Stray,
    /// Its content is not what was written.
    Changed,
    /// It cannot be read for what it is.
    Malformed { reason: String },
    /// It says something else than another file of the bundle.
    Contradicts { what: String },
}

/// What a look over a bundle found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// What is wrong; nothing in a whole bundle. Sorted by path.
    pub flaws: Vec<Flaw>,
    /// The manifest, when it can be read.
    pub manifest: Option<Manifest>,
    /// The mapping report, when it can be read.
    pub mapping: Option<Mapping>,
    /// The inventory that the bundle was rendered from, when it can be read.
    pub inventory: Option<Inventory>,
}

/// Looks over the files found in a bundle's folder, by their path in it.
pub fn verify(found: &BTreeMap<String, FoundFile>) -> Verified {
    let mut verified = Verified::default();
    let manifest: Option<Manifest> = verified.read(found, MANIFEST_FILE);
    if let Some(manifest) = manifest {
        verified.hold_files(found, &manifest);
        verified.mapping = verified.read(found, MAPPING_FILE);
        verified.inventory = verified.read(found, INVENTORY_FILE);
        verified.hold_meaning(found, &manifest);
        verified.manifest = Some(manifest);
    }
    verified.flaws.sort();
    verified.flaws.dedup();
    verified
}

impl Verified {
    fn tell(&mut self, path: &str, kind: FlawKind) {
        self.flaws.push(Flaw { path: path.to_owned(), kind });
    }

    fn read<T: serde::de::DeserializeOwned>(&mut self, found: &BTreeMap<String, FoundFile>, path: &str) -> Option<T> {
        match found.get(path) {
            None => self.tell(path, FlawKind::Missing),
            Some(FoundFile::Other) => self.tell(path, FlawKind::Changed),
            Some(FoundFile::Regular(bytes)) => match serde_json::from_slice(bytes) {
                Ok(value) => return Some(value),
                Err(fault) => self.tell(path, FlawKind::Malformed { reason: fault.to_string() }),
            },
        }
        None
    }

    /// Every file against its record, and the other way round.
    fn hold_files(&mut self, found: &BTreeMap<String, FoundFile>, manifest: &Manifest) {
        for record in &manifest.files {
            match found.get(&record.path) {
                None => self.tell(&record.path, FlawKind::Missing),
                Some(FoundFile::Regular(bytes))
                    if bytes.len() as u64 == record.size && hex(&Sha256::digest(bytes)) == record.sha256 => {}
                Some(FoundFile::Regular(_) | FoundFile::Other) => self.tell(&record.path, FlawKind::Changed),
            }
        }
        for path in found.keys() {
            if path != MANIFEST_FILE && !manifest.files.iter().any(|record| record.path == *path) {
                self.tell(path, FlawKind::Stray);
            }
        }
    }

    /// What the manifest says against what the inventory and the mapping say.
    fn hold_meaning(&mut self, found: &BTreeMap<String, FoundFile>, manifest: &Manifest) {
        let contradicts = |what: &str| FlawKind::Contradicts { what: what.to_owned() };
        if manifest.bundle != BUNDLE_FORMAT {
            let what =
                format!("this covirt reads bundles of shape {BUNDLE_FORMAT}, and this one has {}", manifest.bundle);
            self.tell(MANIFEST_FILE, FlawKind::Contradicts { what });
        }
        // It was written in one way only: any other spelling was made by somebody else.
        if matches!(found.get(MANIFEST_FILE), Some(FoundFile::Regular(bytes)) if *bytes != pretty(manifest)) {
            self.tell(MANIFEST_FILE, FlawKind::Changed);
        }
        let Some(inventory) = self.inventory.take() else {
            return;
        };
        let identity = &inventory.domain.identity;
        if identity.uuid != Some(manifest.uuid) || identity.name != manifest.name {
            self.tell(MANIFEST_FILE, contradicts("the inventory is of another VM"));
        }
        if inventory.generation() != manifest.generation {
            self.tell(MANIFEST_FILE, contradicts("the inventory is of another generation"));
        }
        if let Some(mapping) = &self.mapping {
            let fields = Fields::of(&inventory);
            if !mapping.0.iter().map(|entry| &entry.field).eq(fields.paths()) {
                self.tell(MAPPING_FILE, contradicts("it does not tell of exactly the inventory's fields"));
            }
        }
        self.inventory = Some(inventory);
    }
}
