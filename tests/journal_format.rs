//! Journals of every released format stay readable. The fixtures are dumps of real journals and are never edited;
//! `COVIRT_MAKE_FIXTURE=1 cargo test --test journal_format` writes the ones of the present format, once.

#[path = "journal_format/history.rs"]
mod history;
#[path = "support/traffic.rs"]
mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use covirt::journal::{Entry, FORMAT, Journal, SqliteStore, Store};
use covirt::model::VmId;
use covirt::resolver::{Fact, State};

/// What there was to be journalled in format 1.
const KINDS_OF_FORMAT_1: [&str; 15] = [
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

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/journal")
}

/// Lets SQLite make a journal out of a dump.
fn load(fixture: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.sqlite");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(&std::fs::read_to_string(fixtures().join(fixture)).unwrap()).unwrap();
    (directory, path)
}

/// A closed journal as SQL that makes it again, table by table as its schema has them.
fn dump(path: &Path) -> String {
    let db = rusqlite::Connection::open(path).unwrap();
    let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let mut text = format!(
        "PRAGMA application_id = {};\nPRAGMA user_version = {};\n",
        number("PRAGMA application_id"),
        number("PRAGMA user_version")
    );
    let mut schema = db.prepare("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL").unwrap();
    let objects = schema.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let objects: Vec<(String, String, String)> = objects.map(Result::unwrap).collect();
    for (_, _, sql) in &objects {
        writeln!(text, "{sql};").unwrap();
    }
    for (_, table, _) in objects.iter().filter(|(kind, ..)| kind == "table") {
        let mut select = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns: Vec<String> = select.column_names().iter().map(|name| format!("quote({name})")).collect();
        select = db.prepare(&format!("SELECT {} FROM {table}", columns.join(" || ', ' || "))).unwrap();
        for row in select.query_map([], |row| row.get::<_, String>(0)).unwrap() {
            writeln!(text, "INSERT INTO {table} VALUES ({});", row.unwrap()).unwrap();
        }
    }
    text
}

fn kinds<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> BTreeSet<&'static str> {
    entries.into_iter().flat_map(|entry| &entry.facts).map(Fact::kind).collect()
}

fn states(entries: &[Entry]) -> BTreeMap<VmId, State> {
    let mut states = BTreeMap::new();
    for entry in entries {
        let state = states.remove(&entry.vm).unwrap_or_else(|| State::new(entry.vm));
        states.insert(entry.vm, state.replay(entry.facts.iter().map(|fact| (entry.at, fact))));
    }
    states
}

#[test]
fn the_present_format_is_kept_for_later() {
    let entries = history::history();
    let all: BTreeSet<&str> = Fact::KINDS.iter().copied().collect();
    let lacking: Vec<_> = all.difference(&kinds(&entries)).copied().collect();
    assert!(lacking.is_empty(), "the history lacks {lacking:?}");
    let name = fixtures().join(format!("v{FORMAT}-lanes.sql"));
    if std::env::var_os("COVIRT_MAKE_FIXTURE").is_none() {
        assert!(name.exists(), "make the fixture of format {FORMAT}, as the head of this file says");
        return;
    }
    assert!(!name.exists(), "fixtures are never edited");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.sqlite");
    let (store, restored) = SqliteStore::restore(&path).unwrap();
    let journal = Journal::start_keeping(Box::new(store), restored.coverage, 0).unwrap();
    for entry in &entries {
        journal.append(entry, |result| {
            result.unwrap();
        });
    }
    // Time for a snapshot or two: later versions are to meet those of another code.
    std::thread::sleep(std::time::Duration::from_secs(3));
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(journal.close());
    std::fs::write(&name, dump(&path)).unwrap();
    std::fs::write(name.with_extension("txt"), history::describe(states(&entries).values())).unwrap();
}

#[test]
fn what_lanes_wrote_in_any_format_gives_the_same_states_and_goes_on() {
    for format in 1..=FORMAT {
        let name = format!("v{format}-lanes.sql");
        let (_directory, path) = load(&name);
        let mut entries = Vec::new();
        let mut store = SqliteStore::open_replaying(&path, &mut |_, entry| entries.push(entry)).unwrap();
        assert!(kinds(&entries).contains("settled"), "{name}");
        let expected = std::fs::read_to_string(fixtures().join(&name).with_extension("txt")).unwrap();
        assert_eq!(history::describe(states(&entries).values()), expected, "{name}");

        let last = entries.len() as u64;
        assert_eq!(store.verify().unwrap().records, last, "{name}");
        let more = entries.last().unwrap().clone();
        assert_eq!(store.append(std::slice::from_ref(&more)), Ok(last + 1), "{name}");
        drop(store);
        let mut store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.page(last, 9, None), Ok(vec![(last + 1, more)]), "{name}");
        assert_eq!(store.verify().unwrap().records, last + 1, "{name}");
        drop(store);
        // As an agent starts: whatever snapshots there are, of this code or another.
        let (_, restored) = SqliteStore::restore(&path).unwrap();
        entries.extend(entries.last().cloned());
        let mut expected = states(&entries);
        expected.retain(|_, state| state.is_needed());
        assert_eq!(restored.states, expected, "{name}");
    }
}

#[test]
fn one_record_of_each_kind_in_format_1_is_read_and_continued() {
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
    assert!(kinds([&last]).iter().eq(&KINDS_OF_FORMAT_1));

    assert_eq!(store.append(std::slice::from_ref(&last)), Ok(23));
    drop(store);
    assert_eq!(SqliteStore::open(&path).unwrap().page(22, 9, None), Ok(vec![(23, last)]));
}
