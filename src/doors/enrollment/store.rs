//! The book on disk: `state_dir/providers.json`.
//!
//! Guarantees that what is read in memory is what is on disk: a change counts once it is written and synced. A file that
//! is not as it was written is not used, because whoever reads it would let in whom it names.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::book::Book;
use super::files::{self, KeepFileError, Readers};
use super::token::Sum;

/// The version that is written.
const VERSION: u32 = 1;

/// Why the book cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// The file.
    #[error(transparent)]
    File(#[from] KeepFileError),
    /// It is not as it was written.
    #[error("{path} is damaged: {what}; restore it from a backup, or move it away, and remote providers join anew")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A newer version wrote it.
    #[error("{path} has version {version}, and this covirtd reads version {VERSION}")]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    /// That of the book as it is written.
    sha256: Sum,
    book: Book,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// The book and its file.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    book: Mutex<Book>,
}

impl Store {
    /// Reads the file; one that is not there is an empty book.
    ///
    /// *Errors*: [`OpenStoreError`].
    pub fn open(path: &Path) -> Result<Self, OpenStoreError> {
        let book = match files::read(path, Readers::Owner)? {
            None => Book::default(),
            Some(bytes) => read(path, &bytes)?,
        };
        Ok(Self { path: path.to_owned(), book: Mutex::new(book) })
    }

    /// The book as it is.
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the book: on disk, then in memory. Nothing changes when `change` refuses or the disk does.
    ///
    /// *Errors*: those of `change`, and what `unwritable` makes of the disk's.
    pub(crate) fn change<T, E>(
        &self,
        change: impl FnOnce(&mut Book) -> Result<T, E>,
        unwritable: impl FnOnce(KeepFileError) -> E,
    ) -> Result<T, E> {
        let mut book = self.book();
        let mut next = book.clone();
        let done = change(&mut next)?;
        if next != *book {
            files::replace(&self.path, &written(&next), Readers::Owner).map_err(unwritable)?;
            *book = next;
        }
        Ok(done)
    }
}

fn sum_of(book: &Book) -> Sum {
    Sum::of(&serde_json::to_vec(book).unwrap_or_default())
}

fn written(book: &Book) -> Vec<u8> {
    let whole = Written { version: VERSION, sha256: sum_of(book), book: book.clone() };
    let mut bytes = serde_json::to_vec_pretty(&whole).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn read(path: &Path, bytes: &[u8]) -> Result<Book, OpenStoreError> {
    let damaged = |what: String| OpenStoreError::Damaged { path: path.to_owned(), what };
    let Version { version } = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if version > VERSION {
        return Err(OpenStoreError::Newer { path: path.to_owned(), version });
    }
    let whole: Written = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if sum_of(&whole.book) != whole.sha256 {
        return Err(damaged("its digest is not that of its content".to_owned()));
    }
    Ok(whole.book)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::doors::enrollment::book::samples;

    fn filled(path: &Path) -> Store {
        let store = Store::open(path).unwrap();
        store.change(samples::fill::<String>, |error| error.to_string()).unwrap();
        store
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("providers.json");
        let store = filled(&path);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(*Store::open(&path).unwrap().book(), *store.book());
        assert!(!store.book().providers.is_empty());
    }

    #[test]
    fn no_byte_of_it_changes_unnoticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("providers.json");
        let whole = filled(&path).book().clone();
        let bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            // White space is the only thing whose change says the same.
            assert!(read(&path, &changed).map_or(true, |book| book == whole), "byte {at} of {}", bytes.len());
        }
        for length in 0..bytes.len() - 2 {
            let error = read(&path, &bytes[..length]).unwrap_err().to_string();
            assert!(error.contains("is damaged"), "{error}");
        }
    }

    #[test]
    fn a_newer_version_and_a_file_that_others_may_read_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("providers.json");
        files::replace(&path, br#"{"version":2,"more":true}"#, Readers::Owner).unwrap();
        assert!(matches!(Store::open(&path), Err(OpenStoreError::Newer { version: 2, .. })));
        files::replace(&path, b"{}", Readers::Everybody).unwrap();
        assert!(Store::open(&path).map(drop).unwrap_err().to_string().contains("0600"));
    }

    #[test]
    fn what_the_disk_does_not_take_did_not_happen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone").join("providers.json");
        let store = Store::open(&path).unwrap();
        let changed = store.change(samples::fill::<String>, |error| error.to_string());
        assert!(changed.unwrap_err().contains("cannot be written"));
        assert_eq!(*store.book(), Book::default());
    }
}
