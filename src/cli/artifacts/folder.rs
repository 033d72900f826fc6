//! Bundles as they are found in a folder: one in the folder itself, or one in each folder inside it.
//!
//! Assumes a path. Guarantees that nothing but the folder's own files is read: links are not followed, and a file larger
//! than any of a bundle's is not taken in.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::fault::CarryOutError;
use crate::artifacts::{FoundFile, MANIFEST_FILE};

/// The largest file that is taken in; one that is larger was not written by us.
const FILE_MAX: u64 = 256 << 20;

/// One bundle as it was found.
#[derive(Debug)]
pub struct FoundBundle {
    /// Its folder.
    pub folder: PathBuf,
    /// Its files, by their path in it.
    pub files: BTreeMap<String, FoundFile>,
}

/// The bundles in a folder, in the order of their names, and what lies beside them.
///
/// *Errors*: [`CarryOutError::NoBundle`], [`CarryOutError::Read`].
pub fn bundles_in(folder: &Path) -> Result<(Vec<FoundBundle>, Vec<PathBuf>), CarryOutError> {
    if holds_manifest(folder) {
        return Ok((vec![read_bundle(folder)?], Vec::new()));
    }
    let (mut bundles, mut beside) = (Vec::new(), Vec::new());
    for path in entries(folder)? {
        if !path.is_symlink() && holds_manifest(&path) {
            bundles.push(read_bundle(&path)?);
        } else {
            beside.push(path);
        }
    }
    if bundles.is_empty() {
        return Err(CarryOutError::NoBundle { folder: folder.to_owned() });
    }
    Ok((bundles, beside))
}

/// A link there is a flaw, but a flaw of a bundle.
fn holds_manifest(folder: &Path) -> bool {
    fs::symlink_metadata(folder.join(MANIFEST_FILE)).is_ok()
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, CarryOutError> {
    let listed = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> = listed.map_err(unreadable(folder))?;
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> CarryOutError {
    let path = path.to_owned();
    move |source| CarryOutError::Read { path, source }
}

fn read_bundle(folder: &Path) -> Result<FoundBundle, CarryOutError> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(inside) = open.pop() {
        for path in entries(&inside)? {
            let about = fs::symlink_metadata(&path).map_err(unreadable(&path))?;
            if about.is_dir() {
                open.push(path);
                continue;
            }
            let found = if about.is_file() && about.len() <= FILE_MAX {
                FoundFile::Regular(fs::read(&path).map_err(unreadable(&path))?)
            } else {
                FoundFile::Other
            };
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
            files.insert(name, found);
        }
    }
    Ok(FoundBundle { folder: folder.to_owned(), files })
}
