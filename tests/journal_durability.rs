//! T5 for the journal: killed at any point, its log cut at any byte, its disk full. What was acknowledged is there,
//! what is there is a prefix of what was appended, and nothing else is.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use covirt::journal::{AppendError, Entry, Journal, Position, SqliteStore, Store};
use covirt::model::{CommandId, Mono, Now, VmId, Wall};
use covirt::resolver::Fact;

const CHILD: &str = "COVIRT_JOURNAL_CHILD";
const LANES: u64 = 4;

fn entry(lane: u64, step: u64) -> Entry {
    let vm = VmId(uuid::Uuid::from_u128(u128::from(lane)));
    let command = CommandId(uuid::Uuid::from_u128(u128::from(lane)));
    // Sizes from one page to several, so that records of all shapes are torn.
    let count = if step.is_multiple_of(7) { 200 } else { 1 + step % 5 };
    let facts = (0..count).map(|_| Fact::GapFlagged { command, expected: step }).collect();
    Entry { vm, at: Now { mono: Mono(step), wall: Wall::from_micros(0) }, facts }
}

fn lane_and_step(entry: &Entry) -> (u64, u64) {
    (u64::try_from(entry.vm.0.as_u128()).unwrap(), entry.at.mono.0)
}

/// A directory for what need not outlive the host: in memory where there is such a place, to spare the disk.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Everything in a journal, after checking it.
fn contents(path: &Path) -> Vec<(Position, Entry)> {
    let mut found = Vec::new();
    let mut store = SqliteStore::open_replaying(path, &mut |position, entry| found.push((position, entry))).unwrap();
    assert_eq!(store.verify().unwrap().records, found.len() as u64);
    drop(store);
    // Verifying compared the snapshots with the facts; a start from them finds the same end.
    assert_eq!(SqliteStore::restore(path).unwrap().0.last(), found.len() as u64);
    found
}

/// A small seeded generator: which points are tried is chance, but the same chance each time.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let seed = std::env::var("COVIRT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x5eed);
        eprintln!("COVIRT_SEED={seed}");
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// This test binary again, running one test of it as a child with a journal of its own.
fn child(test: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(CHILD, path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn child_journal() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// Not a test by itself: the process that is killed. Says each acknowledgement aloud, on standard error.
#[test]
fn child_that_appends_until_killed() {
    let Some(path) = child_journal() else { return };
    let mut steps: BTreeMap<u64, u64> = BTreeMap::new();
    let mut count = |_, entry: Entry| *steps.entry(lane_and_step(&entry).0).or_default() += 1;
    drop(SqliteStore::open_replaying(&path, &mut count).unwrap());
    let (store, restored) = SqliteStore::restore(&path).unwrap();
    // Snapshots as often as may be, so that some are cut short as well.
    let journal = Journal::start_keeping(Box::new(store), restored.coverage, 0).unwrap();
    let (answered, answers) = mpsc::channel();
    let mut waiting = 0;
    loop {
        for lane in 0..LANES {
            let step = steps.entry(lane).or_default();
            let (answered, said) = (answered.clone(), *step);
            journal.append(&entry(lane, said), move |result| {
                let line = format!("acked {} {lane} {said}\n", result.unwrap());
                std::io::stderr().write_all(line.as_bytes()).unwrap();
                answered.send(()).unwrap();
            });
            *step += 1;
            waiting += 1;
        }
        while waiting > 24 {
            answers.recv().unwrap();
            waiting -= 1;
        }
    }
}

#[test]
fn what_was_acknowledged_survives_being_killed_at_any_point() {
    if child_journal().is_some() {
        return;
    }
    let mut chance = Chance::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.sqlite");
    for round in 0..20 {
        let mut child = child("child_that_appends_until_killed", &path);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let enough = usize::try_from(chance.below(150)).unwrap();
        let mut said: Vec<String> = lines.by_ref().filter(|line| line.starts_with("acked")).take(enough).collect();
        child.kill().unwrap();
        said.extend(lines.filter(|line| line.starts_with("acked")));
        child.wait().unwrap();

        let found = contents(&path);
        for line in &said {
            let numbers: Vec<u64> = line.split(' ').skip(1).map(|number| number.parse().unwrap()).collect();
            let [position, lane, step] = numbers[..] else { panic!("round {round}: {line:?}") };
            let at = usize::try_from(position).unwrap() - 1;
            let (found, kept) = found.get(at).unwrap_or_else(|| panic!("round {round}: {line} is lost"));
            assert_eq!((*found, kept), (position, &entry(lane, step)), "round {round}");
        }
        let mut next: BTreeMap<u64, u64> = BTreeMap::new();
        for (_, entry) in &found {
            let (lane, step) = lane_and_step(entry);
            assert_eq!(step, *next.entry(lane).or_default(), "round {round}: a gap in lane {lane}");
            next.insert(lane, step + 1);
        }
    }
}

#[test]
fn a_log_that_was_cut_or_overwritten_anywhere_gives_a_prefix() {
    if child_journal().is_some() {
        return;
    }
    let mut chance = Chance::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.sqlite");
    let mut store = SqliteStore::open(&path).unwrap();
    let mut written = Vec::new();
    let mut ends = vec![0];
    for size in [1, 1, 3, 1, 7, 1, 1, 20, 1, 2] {
        let batch: Vec<_> = (0..size).map(|_| entry(written.len() as u64 % LANES, written.len() as u64)).collect();
        written.extend(batch.iter().cloned());
        ends.push(usize::try_from(store.append(&batch).unwrap()).unwrap());
    }
    // As the disk is at this moment; closing would empty the log.
    let database = std::fs::read(&path).unwrap();
    let log = std::fs::read(directory.path().join("journal.sqlite-wal")).unwrap();
    assert!(log.len() > 20 * 4096, "the log is the point: {}", log.len());

    let mut cuts: Vec<usize> = (0..60).map(|_| usize::try_from(chance.below(log.len() as u64)).unwrap()).collect();
    // Around each frame's end as well, where a commit is decided.
    cuts.extend((0..log.len()).filter(|at| at % (4096 + 24) == 32).flat_map(|at| [at - 1, at, at + 1]));
    cuts.push(log.len());
    cuts.sort_unstable();
    let mut kept_before = 0;
    for cut in cuts {
        let intact = &log[..cut];
        let mut noise = log.clone();
        noise[cut..].fill_with(|| chance.next().to_be_bytes()[0]);
        let mut zeros = log.clone();
        zeros[cut..].fill(0);
        for (name, log) in [("cut", intact), ("noise", noise.as_slice()), ("zeros", zeros.as_slice())] {
            let copy = scratch();
            let path = copy.path().join("journal.sqlite");
            std::fs::write(&path, &database).unwrap();
            std::fs::write(copy.path().join("journal.sqlite-wal"), log).unwrap();
            let found = contents(&path);
            assert!(ends.contains(&found.len()), "{name} at {cut}: half a batch of {}", found.len());
            assert!(found.len() >= kept_before, "{name} at {cut}: less than a shorter log gave");
            assert!(found.iter().map(|(_, entry)| entry).eq(written[..found.len()].iter()), "{name} at {cut}");
            if name == "cut" {
                kept_before = found.len();
            }
        }
    }
    assert_eq!(kept_before, written.len(), "the whole log gives everything");
}

/// Not a test by itself: the process whose files may not grow.
#[test]
fn child_that_fills_its_disk() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use nix::sys::signal::{SigHandler, Signal, signal};

    let Some(path) = child_journal() else { return };
    // SAFETY: ignoring a signal installs no code of ours. Without it the limit kills instead of failing the write.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.unwrap();
    let (store, restored) = SqliteStore::restore(&path).unwrap();
    // Snapshots are written all the time, on the full disk as well: the facts are not concerned.
    let journal = Journal::start_keeping(Box::new(store), restored.coverage, 0).unwrap();
    let append = |lane, step| {
        let (answered, answer) = mpsc::channel();
        journal.append(&entry(lane, step), move |result| answered.send(result).unwrap());
        answer.recv().unwrap()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();

    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 300_000, hard).unwrap();
    let mut step = 0;
    let refused = loop {
        match append(1, step) {
            Ok(position) => assert_eq!(position, step + 1),
            Err(refused) => break refused,
        }
        step += 1;
    };
    assert!(step > 10, "{step}");
    assert!(matches!(refused, AppendError::Unwritable { .. }), "{refused:?}");
    assert!(matches!(append(1, step), Err(AppendError::Fenced { .. })));

    // Reads go on, and find what was acknowledged.
    assert_eq!(journal.last(), step);
    assert_eq!(runtime.block_on(journal.verify()).unwrap().records, step);
    let mut rebuilt = 0;
    let vm = entry(1, 0).vm;
    let count = |_, _| {
        rebuilt += 1;
        ControlFlow::Continue(())
    };
    runtime.block_on(journal.replay_vm(vm, count)).unwrap();
    assert_eq!(rebuilt, step);

    setrlimit(Resource::RLIMIT_FSIZE, hard, hard).unwrap();
    journal.unfence(vm);
    for step in step..step + 20 {
        assert_eq!(append(1, step), Ok(step + 1));
    }
    runtime.block_on(journal.close());
    assert_eq!(contents(&path).len() as u64, step + 20);
    eprintln!("the disk was full and is not any more");
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    if child_journal().is_some() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let output =
        child("child_that_fills_its_disk", &directory.path().join("journal.sqlite")).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("is not any more"), "{said}");
}
