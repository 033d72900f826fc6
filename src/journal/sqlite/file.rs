//! The journal's file: who may open it, what it must be, and how SQLite is set up for it.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::super::error::{Damage, OpenJournalError, What};

/// The format this version writes, and the latest it reads.
pub const FORMAT: i64 = 1;

/// Marks the file as a covirt journal: "cvrt".
const APPLICATION_ID: i64 = 0x6376_7274;
/// Owner only: the journal names every provider's commands.
const MODE: u32 = 0o600;

/// `encoding` is per record, so that a later version can append other encodings without rewriting anything.
const SCHEMA: &str = "
    CREATE TABLE format (version INTEGER NOT NULL, facts TEXT NOT NULL) STRICT;
    INSERT INTO format (version, facts) VALUES (1, 'json');
    CREATE TABLE records (
        position INTEGER PRIMARY KEY,
        vm       BLOB NOT NULL,
        mono     INTEGER NOT NULL,
        wall     INTEGER NOT NULL,
        encoding INTEGER NOT NULL,
        facts    TEXT NOT NULL,
        digest   BLOB NOT NULL
    ) STRICT;
    CREATE INDEX records_by_vm ON records (vm);
    PRAGMA application_id = 1668706932;
    PRAGMA user_version = 1;
";

/// The journal's file, kept open and locked.
#[derive(Debug)]
pub(super) struct LockedFile(File);

impl LockedFile {
    /// Opens the file, or creates it, and keeps other agents out for as long as the value lives.
    pub(super) fn open(path: &Path) -> Result<Self, OpenJournalError> {
        let unopenable = |error: &io::Error| unopenable(path, error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(MODE);
        let file = match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(&options, path),
            opened => opened,
        };
        let file = file.map_err(|error| unopenable(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(OpenJournalError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(unopenable(&error)),
        }
    }
}

/// Creates the file so that a loss of power does not take it away again.
fn create(options: &OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.clone().create(true).open(path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()?;
    Ok(file)
}

/// Opens the database in the file, creates what is missing in a new one, refuses what is no journal of ours.
pub(super) fn connect(file: &LockedFile, path: &Path) -> Result<Connection, OpenJournalError> {
    let explain = |error: rusqlite::Error| explain(path, &error);
    // No URI: a path is a path, whatever characters it has. No mutex: the connection stays with one owner.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(explain)?;
    db.busy_timeout(std::time::Duration::ZERO).map_err(explain)?;
    // Before the first access, or SQLite maps shared memory for the log.
    pragma(&db, "locking_mode", "EXCLUSIVE").map_err(explain)?;

    let application_id = number(&db, "PRAGMA application_id").map_err(explain)?;
    let objects = number(&db, "SELECT count(*) FROM sqlite_schema").map_err(explain)?;
    // Creating may have been cut short before the schema was committed: then there is nothing in it yet.
    let is_new = application_id == 0 && objects == 0;
    if !is_new {
        recognise(&db, path, application_id)?;
    }
    file.0.set_permissions(Permissions::from_mode(MODE)).map_err(|error| unopenable(path, &error))?;
    configure(&db).map_err(explain)?;
    if is_new {
        // The schema goes into the database at once: a lost log must not make a journal look new.
        db.execute_batch(&format!("BEGIN IMMEDIATE; {SCHEMA} COMMIT;")).map_err(explain)?;
        number(&db, "PRAGMA wal_checkpoint(TRUNCATE)").map_err(explain)?;
    }
    Ok(db)
}

fn recognise(db: &Connection, path: &Path, application_id: i64) -> Result<(), OpenJournalError> {
    let path = || path.to_owned();
    if application_id != APPLICATION_ID {
        let found = format!("a database with application id {application_id:#x}");
        return Err(OpenJournalError::Foreign { path: path(), found });
    }
    let found = number(db, "PRAGMA user_version").map_err(|error| explain(&path(), &error))?;
    if found > FORMAT {
        return Err(OpenJournalError::NewerFormat { path: path(), found, known: FORMAT });
    }
    // Format 1 is the first; anything else below it was not written by us.
    let named = number(db, "SELECT version FROM format").ok();
    if found < 1 || named != Some(found) {
        let what = What::Unreadable(format!("its header says format {found}, its format table says {named:?}"));
        return Err(OpenJournalError::Damaged { path: path(), damage: Damage { position: 0, what } });
    }
    Ok(())
}

fn configure(db: &Connection) -> rusqlite::Result<()> {
    pragma(db, "journal_mode", "WAL")?;
    pragma(db, "synchronous", "FULL")?;
    // The store says when to checkpoint.
    pragma(db, "wal_autocheckpoint", "0")?;
    // A damaged page is to be an error, not another record.
    pragma(db, "cell_size_check", "ON")?;
    pragma(db, "trusted_schema", "OFF")?;
    db.set_prepared_statement_cache_capacity(8);
    Ok(())
}

/// Asks SQLite whether its pages and its index are whole.
pub(super) fn check_pages(db: &Connection) -> Result<(), Damage> {
    let damage = |what| Damage { position: 0, what: What::Unreadable(what) };
    let found = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
    match found {
        Ok(answer) if answer == "ok" => Ok(()),
        Ok(answer) => Err(damage(answer)),
        Err(error) => Err(damage(error.to_string())),
    }
}

/// Sets a pragma; some answer with a row, some do not.
fn pragma(db: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    db.pragma_update_and_check(None, name, value, |_| Ok(())).or_else(|error| match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        error => Err(error),
    })
}

fn number(db: &Connection, sql: &str) -> rusqlite::Result<i64> {
    db.query_row(sql, [], |row| row.get(0))
}

fn unopenable(path: &Path, error: &io::Error) -> OpenJournalError {
    OpenJournalError::Unopenable { path: path.to_owned(), reason: error.to_string() }
}

fn explain(path: &Path, error: &rusqlite::Error) -> OpenJournalError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenJournalError::InUse { path },
        Some(ErrorCode::NotADatabase) => OpenJournalError::Foreign { path, found: "no database".to_owned() },
        Some(ErrorCode::DatabaseCorrupt) => {
            let what = What::Unreadable(error.to_string());
            OpenJournalError::Damaged { path, damage: Damage { position: 0, what } }
        }
        _ => OpenJournalError::Unopenable { path, reason: error.to_string() },
    }
}
