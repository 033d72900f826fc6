//! The journal in one SQLite file.
//!
//! WAL with `synchronous=FULL`: a commit is one write and one sync of the log. `locking_mode=EXCLUSIVE`: no other
//! process reads or writes the file while the agent runs, no shared memory is mapped, and a commit is cheaper; the
//! price is that every read goes through this one connection, in slices. An advisory lock on the file itself is taken
//! first, because SQLite's own locks are lost when any part of this process opens and closes the file.
//!
//! Checkpoints are not left to chance: they run when nothing waits to be appended, and only a log that has grown far
//! beyond that point makes an append pay for one.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, Row, ffi, params};

use super::audit;
use super::chain::{Chain, Digest};
use super::codec::{Encoding, Record};
use super::error::{AppendError, Damage, OpenJournalError, ReplayError};
use super::restore::{Restored, restore};
use super::snapshot::{Basis, Headers, Snapshot};
use super::store::{Store, Stored};
use super::{DecodeError, Entry, Position};
use crate::model::{Mono, Now, VmId, Wall};

mod file;
mod snapshots;

pub use file::FORMAT;
use file::LockedFile;

/// The log may grow to about this before an idle moment is used to empty it. *Units*: pages.
const CHECKPOINT_WHEN_IDLE: u64 = 1000;
/// The log may grow to about this before an append has to wait for that. *Units*: pages.
const CHECKPOINT_AT_LAST: u64 = 8000;
/// What a slice holds at most, beyond its first record. *Units*: bytes of facts.
const SLICE_MAX_BYTES: usize = 1024 * 1024;

const INSERT: &str = "INSERT INTO records (position, vm, mono, wall, encoding, facts, digest) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const SLICE_OF_ALL: &str = "SELECT position, vm, mono, wall, encoding, facts, digest FROM records \
                            WHERE position > ?1 ORDER BY position LIMIT ?2";
const SLICE_OF_VM: &str = "SELECT position, vm, mono, wall, encoding, facts, digest FROM records \
                           INDEXED BY records_by_vm WHERE position > ?1 AND vm = ?3 ORDER BY position LIMIT ?2";

/// A journal in a file.
#[derive(Debug)]
pub struct SqliteStore {
    // Dropped in this order: SQLite gives up its locks before the file lets another agent in.
    db: Connection,
    _file: LockedFile,
    path: PathBuf,
    chain: Chain,
    log_pages: u64,
    /// Whether the file has tables for them: an older format has not, until it was read.
    has_snapshots: bool,
}

impl SqliteStore {
    /// Opens a journal, or creates an empty one, and checks all there is: every record, snapshot and page.
    ///
    /// *Errors*: [`OpenJournalError`]; no record is changed, whatever is wrong with it.
    pub fn open(path: &Path) -> Result<Self, OpenJournalError> {
        Self::open_replaying(path, &mut |_, _| {})
    }

    /// The same, handing out every entry on the way. When it fails, what was handed out is to be forgotten.
    ///
    /// *Errors*: [`OpenJournalError`]; no record is changed, whatever is wrong with it.
    pub fn open_replaying(path: &Path, each: &mut dyn FnMut(Position, Entry)) -> Result<Self, OpenJournalError> {
        Self::opened(path, |store| {
            let verified = audit::run(store, None, each)?;
            file::check_pages(&store.db)?;
            Ok((Chain { last: verified.records, head: verified.head }, ()))
        })
        .map(|(store, ())| store)
    }

    /// Opens a journal, or creates an empty one, as an agent does: the newest snapshots, and what came after them. It
    /// takes as long as there is live state, however long the history is; what is older is not looked at.
    ///
    /// *Errors*: [`OpenJournalError`]; no record is changed, whatever is wrong with it.
    pub fn restore(path: &Path) -> Result<(Self, Restored), OpenJournalError> {
        Self::opened(path, restore)
    }

    fn opened<T>(
        path: &Path,
        read: impl FnOnce(&mut Self) -> Result<(Chain, T), Damage>,
    ) -> Result<(Self, T), OpenJournalError> {
        let file = LockedFile::open(path)?;
        let (db, format) = file::connect(&file, path)?;
        let has_snapshots = format >= file::FORMAT_WITH_SNAPSHOTS;
        let path = path.to_owned();
        let mut store = Self { db, _file: file, path, chain: Chain::EMPTY, log_pages: 0, has_snapshots };
        let (chain, found) =
            read(&mut store).map_err(|damage| OpenJournalError::Damaged { path: store.path.clone(), damage })?;
        store.chain = chain;
        // Only what was found whole is made a journal of the present format.
        if format < FORMAT {
            file::upgrade(&store.db, &store.path, format)?;
            store.has_snapshots = true;
        }
        Ok((store, found))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn commit(&mut self, records: &[Record]) -> rusqlite::Result<(Chain, u64)> {
        let transaction = self.db.transaction()?;
        let (mut chain, mut pages) = (self.chain, 2);
        {
            let mut insert = transaction.prepare_cached(INSERT)?;
            for record in records {
                chain = chain.with(record);
                let at = record.at();
                insert.execute(params![
                    chain.last.cast_signed(),
                    record.vm().0.as_bytes().as_slice(),
                    at.mono.0.cast_signed(),
                    at.wall.micros(),
                    record.encoding().number(),
                    record.facts(),
                    chain.head.0.as_slice(),
                ])?;
                pages += 1 + record.facts().len() as u64 / 4096;
            }
        }
        transaction.commit()?;
        Ok((chain, pages))
    }

    /// After a transaction that failed.
    fn refused(&mut self, error: &rusqlite::Error) -> AppendError {
        // When it was the sync that failed, the refused batch may stand in the log, whole. SQLite would overwrite it
        // with the next one; should the agent end before that, the next start would find it. Emptying the log removes
        // it now.
        if sync_failed(error) {
            self.checkpoint("TRUNCATE");
        }
        AppendError::Unwritable { reason: error.to_string() }
    }

    /// Moves the log into the database. Failing costs nothing but log space: what was committed stays in the log.
    fn checkpoint(&mut self, how: &str) {
        let outcome = self.db.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |row| row.get::<_, i64>(0));
        match outcome {
            Ok(0) => self.log_pages = 0,
            Ok(_) => tracing::warn!(how, "the journal's log could not be emptied now"),
            Err(error) => tracing::warn!(how, %error, "the journal's log could not be emptied"),
        }
    }
}

impl Store for SqliteStore {
    fn append_records(&mut self, records: &[Record]) -> Result<Position, AppendError> {
        if records.is_empty() {
            return Ok(self.chain.last);
        }
        match self.commit(records) {
            Ok((chain, pages)) => {
                self.chain = chain;
                self.log_pages = self.log_pages.saturating_add(pages);
                if self.log_pages > CHECKPOINT_AT_LAST {
                    self.checkpoint("PASSIVE");
                }
                Ok(chain.last)
            }
            Err(error) => Err(self.refused(&error)),
        }
    }

    fn slice(&mut self, after: Position, at_most: usize, of: Option<VmId>) -> Result<Vec<Stored>, ReplayError> {
        let mut found: Vec<Stored> = Vec::new();
        let unreadable = |after, error: rusqlite::Error| ReplayError::Unreadable { after, reason: error.to_string() };
        // Beyond what SQLite counts to, there is nothing.
        let Ok(from) = i64::try_from(after) else { return Ok(found) };
        let limit = i64::try_from(at_most).unwrap_or(i64::MAX);
        let sql = if of.is_some() { SLICE_OF_VM } else { SLICE_OF_ALL };
        let mut select = self.db.prepare_cached(sql).map_err(|error| unreadable(after, error))?;
        let rows = match of {
            Some(vm) => select.query(params![from, limit, vm.0.as_bytes().as_slice()]),
            None => select.query(params![from, limit]),
        };
        let mut rows = rows.map_err(|error| unreadable(after, error))?;
        let (mut last, mut bytes) = (after, 0);
        while bytes < SLICE_MAX_BYTES {
            let next = match rows.next() {
                Ok(Some(row)) => stored(row, last),
                Ok(None) => break,
                Err(error) => Err(unreadable(last, error)),
            };
            match next {
                Ok(next) => {
                    last = next.position;
                    bytes += next.record.facts().len();
                    found.push(next);
                }
                // What precedes it is good, and is given out first; the next slice begins with the error.
                Err(_) if !found.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn count(&mut self, vm: VmId, after: Position, through: Position) -> Result<u64, ReplayError> {
        snapshots::count(&self.db, vm, after, through)
    }

    fn basis(&mut self) -> Result<Option<Basis>, ReplayError> {
        if self.has_snapshots { snapshots::basis(&self.db) } else { Ok(None) }
    }

    fn headers(&mut self) -> Result<Headers, ReplayError> {
        if self.has_snapshots { snapshots::headers(&self.db) } else { Ok(Headers::new()) }
    }

    fn snapshot(&mut self, vm: VmId) -> Result<Option<Snapshot>, ReplayError> {
        if self.has_snapshots { snapshots::snapshot(&self.db, vm) } else { Ok(None) }
    }

    fn keep(&mut self, snapshot: &Snapshot, basis: &Basis, alone: bool) -> Result<(), AppendError> {
        match snapshots::keep(&mut self.db, snapshot, basis, alone) {
            Ok(()) => {
                self.log_pages = self.log_pages.saturating_add(4 + snapshot.body.len() as u64 / 4096);
                Ok(())
            }
            Err(error) => Err(self.refused(&error)),
        }
    }

    fn chain(&self) -> Chain {
        self.chain
    }

    fn rest(&mut self) {
        if self.log_pages > CHECKPOINT_WHEN_IDLE {
            self.checkpoint("PASSIVE");
        }
    }
}

/// One row as a record; `after` is the position before it.
fn stored(row: &Row<'_>, after: Position) -> Result<Stored, ReplayError> {
    let shape = |error: rusqlite::Error| ReplayError::Unreadable { after, reason: error.to_string() };
    let text = |reason: &str| ReplayError::Unreadable { after, reason: reason.to_owned() };
    let position = row.get::<_, i64>(0).map_err(shape)?;
    let position = u64::try_from(position).map_err(|_| text("its position is negative"))?;
    let vm = row.get::<_, uuid::Bytes>(1).map_err(shape)?;
    let mono = row.get::<_, i64>(2).map_err(shape)?.cast_unsigned();
    let wall = row.get::<_, i64>(3).map_err(shape)?;
    let encoding = row.get::<_, i64>(4).map_err(shape)?;
    let facts = row.get::<_, String>(5).map_err(shape)?;
    let digest = row.get::<_, [u8; 32]>(6).map_err(shape)?;
    let encoding =
        Encoding::from_number(encoding).map_err(|source: DecodeError| ReplayError::Undecodable { position, source })?;
    let at = Now { mono: Mono(mono), wall: Wall::from_micros(wall) };
    let record = Record::stored(VmId(uuid::Uuid::from_bytes(vm)), at, encoding, facts);
    Ok(Stored { position, record, digest: Digest(digest) })
}

fn sync_failed(error: &rusqlite::Error) -> bool {
    let syncs = [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC];
    let code = error.sqlite_error();
    code.is_some_and(|code| code.code == ErrorCode::SystemIoFailure && syncs.contains(&code.extended_code))
}

#[cfg(test)]
mod tests;
