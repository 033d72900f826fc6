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
    let mut traffic = Traffic::new(1, 5);
    traffic.round(0);
    let written = traffic.entries;
    SqliteStore::restore(&place.path()).unwrap().0.append(&written).unwrap();
    let whole = std::fs::read(place.path()).unwrap();
    let mut tried = 0;
    for (position, entry) in (1_u64..).zip(&written) {
        let facts = serde_json::to_string(&entry.facts).unwrap();
        // When SQLite moves records to other pages, copies that nobody reads stay behind: all are changed alike.
        let copies: Vec<usize> = (0..whole.len()).filter(|at| whole[*at..].starts_with(facts.as_bytes())).collect();
        assert!(!copies.is_empty(), "record {position} is not in the file as it was written");
        for byte in 0..facts.len() {
            let mut damaged = whole.clone();
            copies.iter().for_each(|at| damaged[at + byte] ^= 1 << (byte % 8));
            place.write(&damaged, None);
            let what = format!("byte {byte} of record {position}");
            let error = SqliteStore::restore(&place.path()).map(drop).unwrap_err();
            let OpenJournalError::Damaged { path, damage } = error else { panic!("{what}: {error}") };
            assert_eq!((path, damage.position), (place.path(), position), "{what}");
            match damage.what {
                What::Changed => assert_eq!(damage.vm, Some(entry.vm), "{what}"),
                // It is no text any more.
                What::Unreadable(_) => assert!(byte % 8 == 7, "{what}"),
                other => panic!("{what}: {other}"),
            }
            tried += 1;
        }
    }
    println!("{tried} bytes of {} records", written.len());
    assert!(tried > 1_000, "{tried}");
}

#[test]
fn a_changed_byte_anywhere_in_the_file_is_found_or_means_nothing() {
    let place = Copy::new();
    let written = journal(&place.path());
    let expected = states(&written);
    let whole = std::fs::read(place.path()).unwrap();
    let mut found = [0; 3];
    // A prime stride, so that headers, cells, indexes, snapshots and free space of every page are met.
    for byte in (0..whole.len()).step_by(199) {
        let mut damaged = whole.clone();
        damaged[byte] ^= [0x01, 0x80, 0x15, 0xff][byte % 4];
        place.write(&damaged, None);
        found[judge(&place.path(), &expected, written.len() as u64, &format!("byte {byte}")) as usize] += 1;
    }
    println!("of {} bytes: refused, told by verify, without meaning: {found:?}", whole.len());
    assert!(found.iter().all(|count| *count > 0), "{found:?}");
}

#[test]
fn a_file_that_ends_early_is_refused_or_told() {
    let place = Copy::new();
    let written = journal(&place.path());
    let expected = states(&written);
    let whole = std::fs::read(place.path()).unwrap();
    assert!(whole.len() > 8 * 4096, "{}", whole.len());
    for end in (0..whole.len()).step_by(512) {
        place.write(&whole[..end], None);
        let what = format!("cut at {end}");
        if end % 4096 == 0 {
            let error = SqliteStore::restore(&place.path()).map(drop).unwrap_err();
            let told = error.to_string();
            assert!(told.contains("journal.sqlite"), "{what}: {told}");
            assert!(!matches!(error, OpenJournalError::InUse { .. } | OpenJournalError::NewerFormat { .. }), "{told}");
            continue;
        }
        // Half a page is read as one that ends in zeros; the last one may be of what a start need not read.
        let found = judge(&place.path(), &expected, written.len() as u64, &what);
        assert!(found != Found::Whole || whole[end..].iter().all(|byte| *byte == 0), "{what}");
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
