//! Damage, byte by byte: a journal that is not what was written is refused, or verification tells; a start never comes
//! to other states than the facts do; nothing panics.

#[path = "support/traffic.rs"]
mod traffic;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use covirt::journal::{Basis, Chain, Coverage, Entry, OpenJournalError, Snapshot, SqliteStore, Store, What};
use covirt::model::VmId;
use covirt::resolver::State;
use traffic::Traffic;

type States = BTreeMap<VmId, State>;

/// A directory for what need not outlive the host: in memory where there is such a place, to spare the disk.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn states(entries: &[Entry]) -> States {
    let mut states = States::new();
    for entry in entries {
        let state = states.remove(&entry.vm).unwrap_or_else(|| State::new(entry.vm));
        states.insert(entry.vm, state.replay(entry.facts.iter().map(|fact| (entry.at, fact))));
    }
    states
}

/// What the keeper does when a snapshot is due; whether one was.
fn keep(store: &mut SqliteStore, coverage: &mut Coverage, written: &[Entry]) -> bool {
    let Some(errand) = coverage.due(0) else { return false };
    let state = &states(&written[..usize::try_from(errand.through).unwrap()])[&errand.vm];
    let mut digest = |position: u64| store.slice(position - 1, 1, None).unwrap()[0].digest;
    let chain = Chain { last: errand.through, head: digest(errand.through) };
    let snapshot = Snapshot::encode(state, chain).unwrap();
    let (headers, base) = coverage.with(snapshot.header, written.len() as u64);
    let head = if base == 0 { Chain::EMPTY.head } else { digest(base) };
    store.keep(&snapshot, &Basis::seal(Chain { last: base, head }, &headers), coverage.is_stale()).unwrap();
    coverage.kept(snapshot.header);
    true
}

fn append(store: &mut SqliteStore, coverage: &mut Coverage, written: &mut Vec<Entry>, entries: Vec<Entry>) {
    store.append(&entries).unwrap();
    for entry in entries {
        let bytes = serde_json::to_string(&entry.facts).unwrap().len() as u64;
        written.push(entry);
        coverage.note(written.last().unwrap().vm, written.len() as u64, bytes);
    }
}

/// A closed journal with snapshots of two lanes and facts after them.
fn journal(path: &Path) -> Vec<Entry> {
    let mut traffic = Traffic::new(2, 3);
    let (mut store, restored) = SqliteStore::restore(path).unwrap();
    let (mut coverage, mut written) = (restored.coverage, Vec::new());
    for round in 0..3 {
        traffic.round(round % 2);
        append(&mut store, &mut coverage, &mut written, std::mem::take(&mut traffic.entries));
    }
    while keep(&mut store, &mut coverage, &written) {}
    traffic.round(0);
    append(&mut store, &mut coverage, &mut written, std::mem::take(&mut traffic.entries));
    drop(store);
    // Written anew without what SQLite left behind when it moved records to other pages: copies that nobody reads.
    rusqlite::Connection::open(path).unwrap().execute_batch("VACUUM").unwrap();
    written
}

/// A copy of a file, somewhere else.
struct Copy {
    directory: tempfile::TempDir,
}

impl Copy {
    fn new() -> Self {
        Self { directory: scratch() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("journal.sqlite")
    }

    /// Writes the database anew, and the log beside it.
    fn write(&self, database: &[u8], log: Option<&[u8]>) {
        let beside = self.directory.path().join("journal.sqlite-wal");
        let _ = std::fs::remove_file(&beside);
        std::fs::write(self.path(), database).unwrap();
        if let Some(log) = log {
            std::fs::write(beside, log).unwrap();
        }
    }
}

/// What became of a journal that somebody changed.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Refused,
    ToldByVerify,
    Whole,
}

/// Starts from it as an agent does, then verifies. Whatever is found, the states are those of the facts.
fn judge(path: &Path, expected: &States, records: u64, what: &str) -> Found {
    let (mut store, restored) = match SqliteStore::restore(path) {
        Ok(opened) => opened,
        Err(OpenJournalError::InUse { .. }) => panic!("{what}: nobody else has it"),
        Err(_) => return Found::Refused,
    };
    assert_eq!(&restored.states, expected, "{what}");
    match store.verify() {
        Ok(verified) => {
            assert_eq!(verified.records, records, "{what}");
            Found::Whole
        }
        Err(_) => Found::ToldByVerify,
    }
}

#[test]
fn every_byte_of_every_fact_counts() {
    let place = Copy::new();
    let written = journal(&place.path());
    let expected = states(&written);
    let whole = std::fs::read(place.path()).unwrap();
    let mut tried = 0;
    let (mut refused, mut told) = (0, 0);
    for (position, entry) in (1_u64..).zip(&written) {
        let facts = serde_json::to_string(&entry.facts).unwrap();
        // A long record goes on in another page, behind a pointer: its beginning is found by its first bytes.
        let begin = facts.as_bytes().get(..facts.len().min(900)).unwrap();
        let Some(at) = whole.windows(begin.len()).position(|window| window == begin) else {
            panic!("record {position} is not in the file as it was written");
        };
        // Of repeated long lists every seventh byte; of everything else each.
        let stride = if begin.len() > 400 { 7 } else { 1 };
        for byte in (at..at + begin.len()).step_by(stride) {
            let mut damaged = whole.clone();
            damaged[byte] ^= 1 << (byte % 8);
            place.write(&damaged, None);
            let what = format!("byte {byte}, in record {position}");
            match judge(&place.path(), &expected, written.len() as u64, &what) {
                Found::Refused => refused += 1,
                Found::ToldByVerify => told += 1,
                Found::Whole => panic!("{what}: the change was not found"),
            }
            tried += 1;
            // The thorough opening says where.
            if byte == at + 20 {
                place.write(&damaged, None);
                let error = SqliteStore::open(&place.path()).unwrap_err();
                let OpenJournalError::Damaged { damage, .. } = error else { panic!("{what}: {error}") };
                assert_eq!(damage.position, position, "{what}");
                assert!(matches!(damage.what, What::Changed | What::Unreadable(_)), "{what}: {damage}");
            }
        }
    }
    println!("{tried} bytes changed: {refused} refused at the start, {told} told by verify");
    assert!(refused > 100 && told > 100, "both the tail and what snapshots cover were met: {refused}, {told}");
}

#[test]
fn a_changed_byte_anywhere_in_the_file_is_found_or_means_nothing() {
    let place = Copy::new();
    let written = journal(&place.path());
    let expected = states(&written);
    let whole = std::fs::read(place.path()).unwrap();
    let mut found = [0; 3];
    // A prime stride, so that headers, cells, indexes, snapshots and free space of every page are met.
    for byte in (0..whole.len()).step_by(61) {
        let mut damaged = whole.clone();
        damaged[byte] ^= [0x01, 0x80, 0x15, 0xff][byte % 4];
        place.write(&damaged, None);
        found[judge(&place.path(), &expected, written.len() as u64, &format!("byte {byte}")) as usize] += 1;
    }
    println!("of {} bytes: refused, told by verify, without meaning: {found:?}", whole.len());
    assert!(found.iter().all(|count| *count > 0), "{found:?}");
}

#[test]
fn a_file_that_ends_early_is_refused() {
    let place = Copy::new();
    journal(&place.path());
    let whole = std::fs::read(place.path()).unwrap();
    assert!(whole.len() > 8 * 4096, "{}", whole.len());
    for end in (0..whole.len()).step_by(512) {
        place.write(&whole[..end], None);
        let error = SqliteStore::restore(&place.path()).map(drop).unwrap_err();
        let told = error.to_string();
        assert!(told.contains("journal.sqlite"), "cut at {end}: {told}");
        assert!(!matches!(error, OpenJournalError::InUse { .. } | OpenJournalError::NewerFormat { .. }), "{told}");
    }
}

#[test]
fn a_log_with_snapshots_in_it_that_was_cut_anywhere_gives_a_prefix() {
    let place = Copy::new();
    let mut traffic = Traffic::new(2, 4);
    let (mut store, restored) = SqliteStore::restore(&place.path()).unwrap();
    let (mut coverage, mut written, mut ends) = (restored.coverage, Vec::new(), vec![0]);
    for round in 0..12 {
        traffic.round(round % 2);
        append(&mut store, &mut coverage, &mut written, std::mem::take(&mut traffic.entries));
        ends.push(written.len());
        keep(&mut store, &mut coverage, &written);
    }
    // As the disk is at this moment; closing would empty the log.
    let database = std::fs::read(place.path()).unwrap();
    let log = std::fs::read(place.directory.path().join("journal.sqlite-wal")).unwrap();
    let copy = Copy::new();
    let (mut kept_before, mut from_snapshots) = (0, 0);
    let frames = (32..=log.len()).step_by(4096 + 24);
    for cut in frames.flat_map(|end| [end.saturating_sub(1), end, (end + 2000).min(log.len())]) {
        copy.write(&database, Some(&log[..cut]));
        let (mut store, restored) = SqliteStore::restore(&copy.path()).unwrap();
        let last = usize::try_from(store.last()).unwrap();
        assert!(ends.contains(&last) && last >= kept_before, "cut at {cut}: {last} after {kept_before}");
        assert_eq!(restored.states, states(&written[..last]), "cut at {cut}");
        assert_eq!(store.verify().map(|verified| verified.records), Ok(last as u64), "cut at {cut}");
        (kept_before, from_snapshots) = (last, from_snapshots + restored.snapshots);
    }
    assert_eq!(kept_before, written.len(), "the whole log gives everything");
    assert!(from_snapshots > 20, "{from_snapshots}");
}
