//! The ceiling over the lanes: read at the start, and again when the agent is told to read its files.
//!
//! Guarantees: without a readable file where one is configured, the agent does not start; a file that cannot be read later
//! leaves the ceiling that holds, with a line in the log. No request changes it.

mod file;

use std::io::ErrorKind;
use std::path::Path;

use self::file::CeilingFile;
pub use self::file::ReadCeilingError;
use crate::lanes::Host;
use crate::model::Refusal;
use crate::sovereignty::{By, Ceiling, HostFact, Quota, Subject, Table};

/// The ceiling as the files say, and where the quota of the configuration is a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CeilingSource {
    /// The file, if it is there.
    file: Option<CeilingFile>,
    /// The quota of every provider.
    quota: Quota,
}

impl CeilingSource {
    /// Reads the ceiling; the usual place may be empty.
    ///
    /// *Errors*: [`ReadCeilingError`].
    pub fn read(path: &Path, is_usual: Usual, quota: Quota) -> Result<Self, ReadCeilingError> {
        let file = match CeilingFile::read(path) {
            Err(ReadCeilingError::Unreadable { source, .. })
                if is_usual == Usual::Place && source.kind() == ErrorKind::NotFound =>
            {
                None
            }
            read => Some(read?),
        };
        Ok(Self { file, quota })
    }

    /// Everything that holds.
    fn whole(&self) -> Ceiling {
        let file = self.file.as_ref().map(|file| file.ceiling.clone()).unwrap_or_default();
        let quota = (self.quota != Quota::default()).then(|| as_table(self.quota));
        Ceiling { tables: file.tables.into_iter().chain(quota).collect() }
    }

    /// Puts it over the lanes, and records it if it is another one than before.
    ///
    /// *Errors*: [`Code::JournalUnwritable`](crate::model::Code::JournalUnwritable); the new one holds all the same if it
    /// is the first, because a host without its ceiling is worse than one without a record.
    pub async fn hold_over(&self, host: &Host, by: By) -> Result<(), Refusal> {
        host.set_ceiling(self.whole());
        let digest = self.file.as_ref().map(|file| file.digest.clone());
        if host.current().ceiling() == digest.as_deref() {
            return Ok(());
        }
        let file = self.file.as_ref().map(|file| file.path.display().to_string());
        host.record(HostFact::CeilingChanged { by, file, digest }).await.map(drop)
    }

    /// Reads the file again. A file that was there and is not any more does not take the ceiling away.
    ///
    /// *Errors*: [`ReadCeilingError`].
    pub fn again(&self, path: &Path, is_usual: Usual) -> Result<Self, ReadCeilingError> {
        let is_usual = if self.file.is_some() { Usual::No } else { is_usual };
        Self::read(path, is_usual, self.quota)
    }
}

/// The configuration's own quota, as a part of the ceiling.
fn as_table(quota: Quota) -> Table {
    Table {
        subject: Subject::Host,
        place: "the configuration, [quota]".to_owned(),
        actions: None,
        class: None,
        primary: None,
        enroll: None,
        roles: None,
        quota,
    }
}

/// Whether a path is the one that is looked at without being configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usual {
    /// It is: there need not be a file.
    Place,
    /// It was configured.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usual_place_may_be_empty_and_what_was_there_is_not_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ceiling.toml");
        let quota = Quota { queued: Some(3), ..Quota::default() };
        CeilingSource::read(&path, Usual::No, quota).unwrap_err();
        let none = CeilingSource::read(&path, Usual::Place, quota).unwrap();
        assert_eq!(none.whole().tables.len(), 1, "the configuration's quota");
        std::fs::write(&path, "[host]\nclass = 'routine'\n").unwrap();
        let some = none.again(&path, Usual::Place).unwrap();
        assert_eq!(some.whole().tables.len(), 2);
        std::fs::remove_file(&path).unwrap();
        some.again(&path, Usual::Place).unwrap_err();
    }
}
