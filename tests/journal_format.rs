//! Journals of every released format stay readable. The fixtures are dumps of real journals and are never edited.

use std::collections::BTreeSet;
use std::path::PathBuf;

use covirt::journal::{SqliteStore, Store};

/// Lets SQLite make a journal out of a dump.
fn load(fixture: &str) -> (tempfile::TempDir, PathBuf) {
    let dump = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/journal").join(fixture);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.sqlite");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(&std::fs::read_to_string(dump).unwrap()).unwrap();
    (directory, path)
}

#[test]
fn format_1_is_read_and_continued() {
    let (_directory, path) = load("v1-basic.sql");
    let mut entries = Vec::new();
    let mut store = SqliteStore::open_replaying(&path, &mut |_, entry| entries.push(entry)).unwrap();
    let verified = store.verify().unwrap();
    assert_eq!(verified.records, 22);
    let head = "d0b216eda37245ff5a349e8ae93d45ae59f0b824b00cf5091a9b410c5a748ed7";
    assert_eq!(verified.head.to_string(), head);

    let last = entries.pop().unwrap();
    let one_by_one: Vec<_> = entries.into_iter().flat_map(|entry| entry.facts).collect();
    assert_eq!(last.facts, one_by_one);
    let tag = |fact| serde_json::to_value(fact).unwrap()["fact"].as_str().unwrap().to_owned();
    let kinds: BTreeSet<String> = last.facts.iter().map(tag).collect();
    let expected = [
        "admitted",
        "answered",
        "asked",
        "became-unknown",
        "conflict-opened",
        "delegation",
        "ended",
        "enrolled",
        "found-undone",
        "gap-flagged",
        "observed",
        "released",
        "settled",
        "started",
        "vanished",
    ];
    assert!(kinds.iter().eq(&expected), "{kinds:?}");

    assert_eq!(store.append(std::slice::from_ref(&last)), Ok(23));
    drop(store);
    assert_eq!(SqliteStore::open(&path).unwrap().page(22, 9, None), Ok(vec![(23, last)]));
}
