//! Files that must be whole, and secrets that nobody else may read.
//!
//! Guarantees that a file is replaced as a whole or not at all, also when the power goes: written beside, synced,
//! renamed, the folder synced. What is private is never on disk with wider rights, not even for a moment.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The largest file that is read here.
const FILE_MAX: u64 = 16 * 1024 * 1024;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Its owner alone: 0600.
    Owner,
    /// Everybody: 0644.
    Everybody,
}

/// Why a file could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum KeepFileError {
    /// It could not be written.
    #[error("{path} cannot be written")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not be read.
    #[error("{path} cannot be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is private, and others may read it.
    #[error("{path} can be read by others (its mode is {mode:04o}); it holds a secret, and 0600 is right for it")]
    Open {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// Makes a folder that its owner alone may enter, if it is not there.
///
/// *Errors*: [`KeepFileError::Write`].
pub fn private_folder(path: &Path) -> Result<(), KeepFileError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| KeepFileError::Write { path: path.to_owned(), source })
}

/// Puts `bytes` in the place of a file.
///
/// *Errors*: [`KeepFileError::Write`]; the file is then what it was.
pub fn replace(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), KeepFileError> {
    put(path, bytes, readers).map_err(|source| KeepFileError::Write { path: path.to_owned(), source })
}

fn put(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(".new");
    let beside = folder.join(beside);
    // What an interrupted write left behind; a link put there by somebody else goes, and not what it points to.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = (|| {
        file.write_all(bytes)?;
        if readers == Readers::Everybody {
            file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// The file; none when it is not there. One that holds a secret must be its owner's alone.
///
/// *Errors*: [`KeepFileError::Read`], [`KeepFileError::Open`].
pub fn read(path: &Path, readers: Readers) -> Result<Option<Vec<u8>>, KeepFileError> {
    let unreadable = |source| KeepFileError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(unreadable)?,
    };
    let mode = file.metadata().map_err(unreadable)?.mode() & 0o777;
    if readers == Readers::Owner && mode & 0o077 != 0 {
        return Err(KeepFileError::Open { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(unreadable(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than any such file")));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_private_file_is_its_owners_alone_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("in");
        private_folder(&inner).unwrap();
        assert_eq!(mode(&inner), 0o700);
        let path = inner.join("key");
        replace(&path, b"one", Readers::Owner).unwrap();
        replace(&path, b"two", Readers::Owner).unwrap();
        assert_eq!((mode(&path), read(&path, Readers::Owner).unwrap().unwrap()), (0o600, b"two".to_vec()));
        replace(&path, b"three", Readers::Everybody).unwrap();
        assert_eq!(mode(&path), 0o644);
        assert_eq!(std::fs::read_dir(&inner).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_secret_that_others_may_read_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(read(&path, Readers::Owner).unwrap().is_none());
        replace(&path, b"one", Readers::Everybody).unwrap();
        assert!(matches!(read(&path, Readers::Owner), Err(KeepFileError::Open { mode: 0o644, .. })));
        assert_eq!(read(&path, Readers::Everybody).unwrap().unwrap(), b"one");
    }

    #[test]
    fn a_link_in_the_way_is_replaced_and_its_target_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (target, path) = (folder.path().join("target"), folder.path().join("key"));
        std::fs::write(&target, b"mine").unwrap();
        std::os::unix::fs::symlink(&target, folder.path().join(".key.new")).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        replace(&path, b"new", Readers::Owner).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"mine");
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }
}
