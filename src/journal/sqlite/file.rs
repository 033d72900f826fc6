//! The journal's file: who may open it, what it must be, and how SQLite is set up for it.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::super::error::{Damage, OpenJournalError, What};

/// The format this version writes, and the latest it reads.
pub const FORMAT: i64 = 4;
/// The first that has snapshots, and facts that the version before does not know.
pub(super) const FORMAT_WITH_SNAPSHOTS: i64 = 2;

/// Marks the file as a covirt journal: "cvrt".
const APPLICATION_ID: i64 = 0x6376_7274;
/// Owner only: the journal names every provider's commands.
const MODE: u32 = 0o600;

/// `encoding` is per record, so that a later version can append other encodings without rewriting anything.
const SCHEMA_1: &str = "
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

/// What makes a journal of format 1 one of format 2. The state comes last: headers are read without it.
const UPGRADE_TO_2: &str = "
    CREATE TABLE snapshots (
        vm       BLOB PRIMARY KEY,
        through  INTEGER NOT NULL,
        digest   BLOB NOT NULL,
        code     INTEGER NOT NULL,
        released INTEGER NOT NULL,
        length   INTEGER NOT NULL,
        sum      BLOB NOT NULL,
        state    TEXT NOT NULL
    ) STRICT;
    CREATE TABLE basis (
        one    INTEGER PRIMARY KEY CHECK (one = 1),
        base   INTEGER NOT NULL,
        digest BLOB NOT NULL,
        seal   BLOB NOT NULL
    ) STRICT;
    UPDATE format SET version = 2;
    PRAGMA user_version = 2;
";

/// What makes a journal of an older format, which has snapshots, one of the present. Format 3 is the first with commands
/// that are a libvirt client's own call: a version that passes over that would make the call itself. Format 4 is the
/// first with what the host's owner decided: a version that passes over a freeze would go on.
const UPGRADE_TO_4: &str = "
    UPDATE format SET version = 4;
    PRAGMA user_version = 4;
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
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                options.open(path)
            }
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

/// Creates an empty journal beside the place and links it there once it is whole and on the disk: so a file of this
/// name that is empty, or half of a journal, is always one that lost something.
fn create(path: &Path) -> Result<(), OpenJournalError> {
    let unopenable = |error: &io::Error| unopenable(path, error);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = PathBuf::from(name);
    // Left by a process of the same number that was cut short.
    remove(&new).map_err(|error| unopenable(&error))?;
    OpenOptions::new().write(true).create_new(true).mode(MODE).open(&new).map_err(|error| unopenable(&error))?;
    let made = write_empty(&new).map_err(|error| explain(path, &error)).and_then(|()| {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let linked = std::fs::hard_link(&new, path).or_else(|error| match error.kind() {
            // Another process was quicker.
            io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        });
        linked.and_then(|()| File::open(directory)?.sync_all()).map_err(|error| unopenable(&error))
    });
    made.and(remove(&new).map_err(|error| unopenable(&error)))
}

fn remove(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

fn write_empty(path: &Path) -> rusqlite::Result<()> {
    let db = Connection::open_with_flags(path, FLAGS)?;
    // No log of its own that would have to be moved along.
    pragma(&db, "journal_mode", "MEMORY")?;
    pragma(&db, "synchronous", "FULL")?;
    db.execute_batch(&format!("BEGIN IMMEDIATE; {SCHEMA_1} {UPGRADE_TO_2} {UPGRADE_TO_4} COMMIT;"))
}

/// Makes an older journal, which was found whole, one of the present format.
pub(super) fn upgrade(db: &Connection, path: &Path, from: i64) -> Result<(), OpenJournalError> {
    let to_2 = if from < FORMAT_WITH_SNAPSHOTS { UPGRADE_TO_2 } else { "" };
    let upgraded = db.execute_batch(&format!("BEGIN IMMEDIATE; {to_2} {UPGRADE_TO_4} COMMIT;"));
    upgraded.map_err(|error| explain(path, &error))?;
    tracing::info!(path = %path.display(), format = FORMAT, "the journal was brought to the present format");
    Ok(())
}

/// No URI: a path is a path, whatever characters it has. No mutex: the connection stays with one owner.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Opens the database in the file; refuses what is no journal of ours. Gives its format, too.
pub(super) fn connect(file: &LockedFile, path: &Path) -> Result<(Connection, i64), OpenJournalError> {
    let explain = |error: rusqlite::Error| explain(path, &error);
    // SQLite takes an empty file for an empty database, and throws the log beside it away.
    let length = file.0.metadata().map_err(|error| unopenable(path, &error))?.len();
    if length == 0 {
        let what = What::Unreadable("the file is empty; a journal never is, not even a new one".to_owned());
        return Err(OpenJournalError::Damaged { path: path.to_owned(), damage: Damage::at(0, what) });
    }
    let db = Connection::open_with_flags(path, FLAGS).map_err(explain)?;
    db.busy_timeout(std::time::Duration::ZERO).map_err(explain)?;
    // Before the first access, or SQLite maps shared memory for the log.
    pragma(&db, "locking_mode", "EXCLUSIVE").map_err(explain)?;
    let application_id = number(&db, "PRAGMA application_id").map_err(explain)?;
    let format = recognise(&db, path, application_id)?;
    file.0.set_permissions(Permissions::from_mode(MODE)).map_err(|error| unopenable(path, &error))?;
    configure(&db).map_err(explain)?;
    Ok((db, format))
}

fn recognise(db: &Connection, path: &Path, application_id: i64) -> Result<i64, OpenJournalError> {
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
        return Err(OpenJournalError::Damaged { path: path(), damage: Damage::at(0, what) });
    }
    Ok(found)
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
    let damage = |what| Damage::at(0, What::Unreadable(what));
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
            OpenJournalError::Damaged { path, damage: Damage::at(0, what) }
        }
        _ => OpenJournalError::Unopenable { path, reason: error.to_string() },
    }
}
