//! What only a file can show: its mode, who else may open it, damage, and a disk that is full.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::super::samples::{entry, vm};
use super::super::{Damage, Verified, What};
use super::*;

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        // In memory where there is such a place: what these tests show does not depend on the disk.
        Self { directory: tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("journal.sqlite")
    }

    fn open(&self) -> Result<SqliteStore, OpenJournalError> {
        SqliteStore::open(&self.path())
    }

    fn with(entries: u64) -> Self {
        let place = Self::new();
        let entries: Vec<_> = (1..=entries).map(|step| entry(step % 3, step)).collect();
        place.open().unwrap().append(&entries).unwrap();
        place
    }

    /// Changes the closed journal as another program would.
    fn change(&self, sql: &str) {
        Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }

    fn damage(&self) -> Damage {
        match self.open() {
            Err(OpenJournalError::Damaged { damage, .. }) => damage,
            other => panic!("damage was expected, not {other:?}"),
        }
    }
}

#[test]
fn the_file_and_its_log_belong_to_the_owner_alone() {
    let place = Place::new();
    let mut store = place.open().unwrap();
    store.append(&[entry(1, 1)]).unwrap();
    for name in ["journal.sqlite", "journal.sqlite-wal"] {
        let mode = std::fs::metadata(place.directory.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(!place.directory.path().join("journal.sqlite-shm").exists());
}

#[test]
fn durability_is_set_as_documented() {
    let store = Place::new().open().unwrap();
    let asked = |pragma: &str| store.db.query_row(pragma, [], |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
    assert_eq!(asked("PRAGMA synchronous"), 2.into());
    assert_eq!(asked("PRAGMA journal_mode"), "wal".to_owned().into());
    assert_eq!(asked("PRAGMA locking_mode"), "exclusive".to_owned().into());
    assert_eq!(asked("PRAGMA wal_autocheckpoint"), 0.into());
}

#[test]
fn another_program_is_kept_out_while_the_journal_is_open() {
    let place = Place::new();
    let mut store = place.open().unwrap();
    store.append(&[entry(1, 1)]).unwrap();
    let other = Connection::open(place.path()).unwrap();
    other.busy_timeout(std::time::Duration::ZERO).unwrap();
    other.query_row("SELECT count(*) FROM records", [], |row| row.get::<_, i64>(0)).unwrap_err();
}

#[test]
fn a_changed_field_is_found_at_its_position() {
    for change in [
        "facts = replace(facts, 'gap', 'gop')",
        "wall = wall + 1",
        "mono = mono - 1",
        "vm = (SELECT vm FROM records WHERE position = 6)",
        "digest = zeroblob(32)",
    ] {
        let place = Place::with(9);
        place.change(&format!("UPDATE records SET {change} WHERE position = 5"));
        let Damage { position, what, vm: _ } = place.damage();
        assert_eq!((position, what), (5, What::Changed), "{change}");
    }
}

#[test]
fn a_changed_byte_in_the_file_is_found_at_its_position() {
    let place = Place::with(9);
    let mut bytes = std::fs::read(place.path()).unwrap();
    let fact = b"\"expected\":5}";
    let at = bytes.windows(fact.len()).position(|window| window == fact).unwrap();
    bytes[at + fact.len() - 2] = b'4';
    std::fs::write(place.path(), bytes).unwrap();
    assert_eq!(place.damage(), Damage::at(5, What::Changed).of(vm(2)));
}

#[test]
fn missing_moved_and_inserted_records_are_found() {
    let missing = |position, next| Damage::at(position, What::Missing { next });
    let place = Place::with(9);
    place.change("DELETE FROM records WHERE position = 4");
    assert_eq!(place.damage(), missing(4, 5));

    let place = Place::with(9);
    place.change("DELETE FROM records WHERE position < 3");
    assert_eq!(place.damage(), missing(1, 3));

    let place = Place::with(9);
    place.change("UPDATE records SET position = 20 WHERE position = 9");
    assert_eq!(place.damage(), missing(9, 20));

    let place = Place::with(9);
    let copy = "INSERT INTO records SELECT 10, vm, mono, wall, encoding, facts, digest FROM records WHERE position = 9";
    place.change(copy);
    assert_eq!(place.damage(), Damage::at(10, What::Changed).of(vm(0)));
}

#[test]
fn an_unknown_encoding_is_an_error_at_its_position_and_what_precedes_it_is_still_read() {
    let place = Place::with(9);
    place.change("UPDATE records SET encoding = 7 WHERE position = 5");
    let damage = place.damage();
    assert_eq!(damage, Damage::at(5, What::Undecodable(DecodeError::Encoding { number: 7 })));
}

#[test]
fn damage_to_any_page_is_found_or_harmless() {
    let place = Place::with(400);
    let whole = std::fs::read(place.path()).unwrap();
    let before = place.open().unwrap().verify().unwrap();
    // A prime stride, so that headers, cells, the index and free space are all met.
    for at in (0..whole.len()).step_by(1013) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x15;
        let damaged = Place::new();
        std::fs::write(damaged.path(), bytes).unwrap();
        if let Ok(mut store) = damaged.open() {
            assert_eq!(store.verify().unwrap(), before, "byte {at}");
        }
    }
}

#[test]
fn a_later_format_is_refused_by_number_and_left_alone() {
    let place = Place::with(1);
    place.change("PRAGMA user_version = 5; UPDATE format SET version = 5");
    let before = std::fs::read(place.path()).unwrap();
    let error = place.open().unwrap_err();
    assert!(matches!(error, OpenJournalError::NewerFormat { found: 5, known: 4, .. }), "{error:?}");
    assert_eq!(std::fs::read(place.path()).unwrap(), before);
}

#[test]
fn what_is_no_journal_is_refused_and_left_alone() {
    let text = Place::new();
    std::fs::write(text.path(), "This is a text of more than a hundred bytes. ".repeat(30)).unwrap();
    let database = Place::new();
    database.change("CREATE TABLE wishes (wish TEXT)");
    for place in [text, database] {
        let before = std::fs::read(place.path()).unwrap();
        let error = place.open().unwrap_err();
        assert!(matches!(error, OpenJournalError::Foreign { .. }), "{error:?}");
        assert_eq!(std::fs::read(place.path()).unwrap(), before);
    }
    let nowhere = SqliteStore::open(Path::new("/nonexistent/journal.sqlite")).unwrap_err();
    assert!(matches!(nowhere, OpenJournalError::Unopenable { .. }), "{nowhere:?}");
}

#[test]
fn a_journal_appears_whole_or_not_at_all_and_an_empty_file_is_none() {
    let place = Place::new();
    // What a creation that was cut short leaves, by a process of this number.
    let left = place.directory.path().join(format!("journal.sqlite.new-{}", std::process::id()));
    std::fs::write(&left, "half").unwrap();
    place.open().unwrap().append(&[entry(1, 1)]).unwrap();
    assert!(!left.exists());
    assert_eq!(place.open().unwrap().last(), 1);

    std::fs::write(place.path(), "").unwrap();
    assert!(place.damage().to_string().contains("empty"), "{}", place.damage());
}

#[test]
fn damage_and_a_later_format_are_told_in_full() {
    let place = Place::with(9);
    place.change("UPDATE records SET mono = mono + 1 WHERE position = 5");
    let error = place.open().unwrap_err();
    let told = format!("{error}: {}", std::error::Error::source(&error).unwrap());
    let vm = vm(2).to_string();
    for part in [place.path().to_str().unwrap(), "record 5", &vm, "does not match its digest"] {
        assert!(told.contains(part), "{part} is not in: {told}");
    }
    place.change("PRAGMA user_version = 7");
    let told = place.open().unwrap_err().to_string();
    assert!(told.contains("format 7") && told.contains("up to format 4"), "{told}");
}

#[test]
fn a_full_disk_refuses_whole_batches_until_there_is_room() {
    let place = Place::new();
    let mut store = place.open().unwrap();
    store.append(&[entry(1, 1)]).unwrap();
    pages(&store, 40);
    let batch: Vec<_> = (0..50).map(|step| entry(2, step)).collect();
    let mut written = 1;
    let refused = loop {
        match store.append(&batch) {
            Ok(last) => written = last,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Unwritable { .. }), "{refused:?}");
    assert_eq!(store.last(), written);
    assert_eq!(store.verify().unwrap().records, written);
    store.append(&batch).unwrap_err();
    pages(&store, 1_000_000);
    assert_eq!(store.append(&batch), Ok(written + 50));
    drop(store);
    assert_eq!(place.open().unwrap().last(), written + 50);
}

fn pages(store: &SqliteStore, limit: i64) {
    store.db.query_row(&format!("PRAGMA max_page_count = {limit}"), [], |_| Ok(())).unwrap();
}

#[test]
fn the_log_is_emptied_when_idle_and_at_last_in_any_case() {
    let place = Place::new();
    let mut store = place.open().unwrap();
    let log = || std::fs::metadata(place.directory.path().join("journal.sqlite-wal")).unwrap().len();
    let batch: Vec<_> = (0..1024).map(|step| entry(step, step)).collect();
    for _ in 0..40 {
        store.append(&batch).unwrap();
    }
    let busy = log();
    assert!(busy < 4 * CHECKPOINT_AT_LAST * 4096, "{busy}");
    store.rest();
    assert!(store.log_pages <= CHECKPOINT_AT_LAST);
    let Verified { records, .. } = store.verify().unwrap();
    assert_eq!(records, 40 * 1024);
}

#[test]
fn entries_larger_than_a_slice_are_read_one_at_a_time() {
    let place = Place::new();
    let mut store = place.open().unwrap();
    let fact = entry(1, 1).facts[0].clone();
    let large = crate::journal::Entry { facts: vec![fact; 20_000], ..entry(1, 1) };
    store.append(&[large.clone(), large.clone(), large.clone()]).unwrap();
    assert_eq!(store.slice(0, 10, None).unwrap().len(), 1);
    assert_eq!(store.verify().unwrap().records, 3);
}
