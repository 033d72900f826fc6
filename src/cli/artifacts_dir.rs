//! Bundles to a folder, whole or not at all.
//!
//! Assumes rendered bundles: one for the folder itself, or several for a folder each in it. Guarantees that the target
//! either holds every file of them, on disk and with its mode, or is as it was before; and that nothing is replaced but
//! earlier bundles.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::artifacts::{Bundle, MANIFEST_FILE};

/// Why a bundle is not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteBundleError {
    /// The target is there and is no bundle.
    #[error("{} is not empty and holds no bundle: nothing there was touched", target.display())]
    Occupied { target: PathBuf },
    /// The target cannot be a folder.
    #[error("{} is not a path a folder can have", target.display())]
    Target { target: PathBuf },
    /// A path of the bundle leads out of it.
    #[error("the bundle has a file {path:?} outside of its folder")]
    Path { path: String },
    /// The system refused.
    #[error("cannot {deed} {}", path.display())]
    Io {
        deed: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl WriteBundleError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Occupied { .. } => "bundle-target-occupied",
            Self::Target { .. } => "bundle-target-invalid",
            Self::Path { .. } => "bundle-path-invalid",
            Self::Io { .. } => "bundle-not-written",
        }
    }
}

/// Names the deed and the path in an I/O error.
fn doing(deed: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WriteBundleError {
    let path = path.to_path_buf();
    move |source| WriteBundleError::Io { deed, path, source }
}

/// Writes `bundle` to the folder `target`, which is made, or replaced when it holds earlier bundles or nothing.
///
/// *Errors*: `bundle-target-occupied`, `bundle-target-invalid`, `bundle-path-invalid`, `bundle-not-written`.
pub fn write_bundle(bundle: &Bundle, target: &Path) -> Result<(), WriteBundleError> {
    write_bundles(&[("", bundle)], target)
}

/// Writes each bundle to the folder in `target` that is named with it, all of them in one step; see [`write_bundle`].
///
/// *Errors*: those of [`write_bundle`].
pub fn write_bundles(bundles: &[(&str, &Bundle)], target: &Path) -> Result<(), WriteBundleError> {
    let invalid = || WriteBundleError::Target { target: target.to_path_buf() };
    let name = target.file_name().ok_or_else(invalid)?;
    let parent = match target.parent().ok_or_else(invalid)? {
        parent if parent.as_os_str().is_empty() => Path::new("."),
        parent => parent,
    };
    let before = look_at(target)?;
    let staged = make_beside(parent, name)?;
    let done = fill(bundles, &staged).and_then(|()| swap(&staged, target, before, parent));
    if done.is_err() {
        // The first error is the one to tell; a staging folder that stays behind has a name that says so.
        let _ = fs::remove_dir_all(&staged);
    }
    done
}

/// What is at the target.
#[derive(Clone, Copy)]
enum Before {
    Nothing,
    Empty,
    Bundle,
}

fn look_at(target: &Path) -> Result<Before, WriteBundleError> {
    let found = match fs::symlink_metadata(target) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(Before::Nothing),
        found => found.map_err(doing("look at", target))?,
    };
    if !found.is_dir() {
        return Err(WriteBundleError::Occupied { target: target.to_path_buf() });
    }
    if target.join(MANIFEST_FILE).is_file() {
        return Ok(Before::Bundle);
    }
    let mut before = Before::Empty;
    for entry in fs::read_dir(target).map_err(doing("list", target))? {
        let path = entry.map_err(doing("list", target))?.path();
        // One of several bundles that were written together.
        if path.is_symlink() || !path.join(MANIFEST_FILE).is_file() {
            return Err(WriteBundleError::Occupied { target: target.to_path_buf() });
        }
        before = Before::Bundle;
    }
    Ok(before)
}

/// Makes a folder of a name that is not taken, beside the target so that a rename can move it.
fn make_beside(parent: &Path, name: &std::ffi::OsStr) -> Result<PathBuf, WriteBundleError> {
    let mut attempt = 0_u32;
    loop {
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".new-{}-{attempt}", std::process::id()));
        let path = parent.join(hidden);
        match DirBuilder::new().mode(0o750).create(&path) {
            Ok(()) => return Ok(path),
            Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => {
                attempt += 1;
            }
            Err(fault) => return Err(doing("make", &path)(fault)),
        }
    }
}

/// Writes every file and makes sure it is on disk.
fn fill(bundles: &[(&str, &Bundle)], staged: &Path) -> Result<(), WriteBundleError> {
    let mut folders = BTreeSet::from([staged.to_path_buf()]);
    for (folder, bundle) in bundles {
        for file in &bundle.files {
            let relative = Path::new(folder).join(&file.path);
            let inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
            if file.path.is_empty() || !inside {
                return Err(WriteBundleError::Path { path: file.path.clone() });
            }
            let path = staged.join(&relative);
            for folder in path.ancestors().skip(1).take_while(|folder| *folder != staged) {
                folders.insert(folder.to_path_buf());
            }
            if let Some(folder) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o750).create(folder).map_err(doing("make", folder))?;
            }
            let mut handle = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(file.mode.0)
                .open(&path)
                .map_err(doing("make", &path))?;
            // The umask may have taken bits away that the bundle wants.
            handle.set_permissions(fs::Permissions::from_mode(file.mode.0)).map_err(doing("set the mode of", &path))?;
            handle.write_all(&file.bytes).map_err(doing("write", &path))?;
            handle.sync_all().map_err(doing("sync", &path))?;
        }
    }
    folders.iter().try_for_each(|folder| sync_folder(folder))
}

/// Puts the staged folder in the target's place; an earlier bundle changes places with it in one step.
fn swap(staged: &Path, target: &Path, before: Before, parent: &Path) -> Result<(), WriteBundleError> {
    match before {
        // A plain rename replaces an empty folder by itself.
        Before::Nothing | Before::Empty => {
            fs::rename(staged, target).map_err(doing("put in place", target))?;
            sync_folder(parent)
        }
        Before::Bundle => {
            let exchange = RenameFlags::RENAME_EXCHANGE;
            renameat2(AT_FDCWD, staged, AT_FDCWD, target, exchange)
                .map_err(|errno| doing("put in place", target)(errno.into()))?;
            sync_folder(parent)?;
            fs::remove_dir_all(staged).map_err(doing("remove", staged))
        }
    }
}

fn sync_folder(folder: &Path) -> Result<(), WriteBundleError> {
    File::open(folder).and_then(|handle| handle.sync_all()).map_err(doing("sync", folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::{BindingText, Format, Source, Subject};
    use crate::discovery::{Discovered, Inventory, Limits, parse_domain};

    fn bundle(name: &str) -> Bundle {
        let xml =
            format!("<domain type='kvm'><name>{name}</name><uuid>7c1f9f1e-2f0a-4b7b-9c55-3f6f0e2a6d10</uuid></domain>");
        let inventory = Inventory::build(Discovered::from_domain(parse_domain(xml, Limits::default()).unwrap()));
        Format::NoCloud.render(&Subject::new(&inventory, &Source::File), &BindingText::empty()).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn every_file_is_there_for_owner_and_group_only() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("seed");
        let bundle = bundle("web01");
        write_bundle(&bundle, &target).unwrap();
        for file in &bundle.files {
            let path = target.join(&file.path);
            assert_eq!(fs::read(&path).unwrap(), file.bytes);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        }
        assert_eq!(names(folder.path()), ["seed"]);
    }

    #[test]
    fn an_earlier_bundle_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("seed");
        write_bundle(&bundle("web01"), &target).unwrap();
        fs::write(target.join("stray"), "of the earlier bundle").unwrap();
        write_bundle(&bundle("web02"), &target).unwrap();
        assert!(!target.join("stray").exists());
        assert!(fs::read_to_string(target.join("meta-data")).unwrap().contains("web02"));
        assert_eq!(names(folder.path()), ["seed"]);
    }

    #[test]
    fn several_bundles_take_their_place_together() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("all");
        let (one, two) = (bundle("web01"), bundle("web02"));
        write_bundles(&[("a", &one), ("b", &two)], &target).unwrap();
        assert_eq!(names(&target), ["a", "b"]);
        write_bundles(&[("b", &one)], &target).unwrap();
        assert_eq!(names(&target), ["b"]);
        fs::write(target.join("precious"), "x").unwrap();
        assert_eq!(write_bundles(&[("a", &one)], &target).unwrap_err().code(), "bundle-target-occupied");
        assert_eq!(names(&target), ["b", "precious"]);
    }

    #[test]
    fn a_folder_of_somebody_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("seed");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("precious"), "x").unwrap();
        let error = write_bundle(&bundle("web01"), &target).unwrap_err();
        assert_eq!(error.code(), "bundle-target-occupied");
        assert_eq!(names(&target), ["precious"]);
    }

    #[test]
    fn a_path_out_of_the_bundle_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let mut bundle = bundle("web01");
        bundle.files.push(crate::artifacts::BundleFile::new("../escape", "x"));
        let error = write_bundle(&bundle, &folder.path().join("seed")).unwrap_err();
        assert_eq!(error.code(), "bundle-path-invalid");
        assert!(names(folder.path()).is_empty());
    }
}
