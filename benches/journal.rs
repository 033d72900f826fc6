//! What durability costs on this disk: the figures of `docs/journal.md`.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use covirt::journal::{Disk, Entry, Journal, SqliteStore, Store};
use covirt::model::{CommandId, Mono, Now, VmId, Wall};
use covirt::resolver::{Fact, Finding, Rule, Verdict};

/// About as large as what a command leaves behind at each of its steps.
fn entry(lane: u64, step: u64) -> Entry {
    let command = |number: u64| CommandId(uuid::Uuid::from_u128(u128::from(number)));
    let found = "nothing was declared about the order of these two commands".to_owned();
    let trail = vec![Finding { rule: Rule::DeclaredOrder, found: found.clone() }, Finding { rule: Rule::Age, found }];
    let verdict = Verdict { first: command(lane), second: command(step), rule: Rule::Age, trail };
    let vm = VmId(uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &lane.to_be_bytes()));
    let settled = Fact::Settled { conflict: covirt::model::ConflictId::nth(vm, step), verdict };
    let facts = vec![settled, Fact::GapFlagged { command: command(step), expected: step }];
    Entry { vm, at: Now { mono: Mono(step), wall: Wall::from_micros(0) }, facts }
}

fn summary(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1000];
    format!("p50 {:?}  p90 {:?}  p99 {:?}  p99.9 {:?}  max {:?}", at(500), at(900), at(990), at(999), at(1000))
}

fn timed(count: u64, mut deed: impl FnMut(u64)) -> String {
    let once = |step| {
        let start = Instant::now();
        deed(step);
        start.elapsed()
    };
    summary((0..count).map(once).collect())
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(std::env::var_os("COVIRT_BENCH_DIR").unwrap_or_else(|| "/var/tmp".into())).unwrap()
}

fn single_commits() {
    let place = directory();
    let mut store = SqliteStore::open(&place.path().join("journal.sqlite")).unwrap();
    println!(
        "store, one entry: {}",
        timed(3000, |step| assert_eq!(store.append(&[entry(step % 20, step)]), Ok(step + 1)))
    );

    let journal = Journal::start(Box::new(store)).unwrap();
    let line = timed(3000, |step| {
        let (answer, wait) = mpsc::channel();
        journal.append(&entry(step % 20, step), move |result| answer.send(result).unwrap());
        wait.recv().unwrap().unwrap();
    });
    println!("journal, one entry at a time: {line}");
    let size = serde_json::to_string(&entry(1, 1).facts).unwrap().len();
    println!("facts of an entry: {size} bytes");
}

/// What a commit costs under other settings of the same SQLite; the reasons for the choice. They take turns, so that
/// whatever else the disk has to do hits all of them alike.
fn settings() {
    let place = directory();
    let names = [
        ("wal, exclusive, autocheckpoint 1000", "locking_mode=EXCLUSIVE; journal_mode=WAL; wal_autocheckpoint=1000"),
        ("wal, shared, autocheckpoint 1000", "locking_mode=NORMAL; journal_mode=WAL; wal_autocheckpoint=1000"),
        ("wal, exclusive, a log that only grows", "locking_mode=EXCLUSIVE; journal_mode=WAL; wal_autocheckpoint=0"),
        ("rollback journal, exclusive, persist", "locking_mode=EXCLUSIVE; journal_mode=PERSIST"),
    ];
    let open = |(name, pragmas): (&'static str, &str)| {
        let db = rusqlite::Connection::open(place.path().join(name)).unwrap();
        for pragma in pragmas.split("; ") {
            db.execute_batch(&format!("PRAGMA {pragma}")).unwrap();
        }
        db.execute_batch("PRAGMA synchronous=FULL; CREATE TABLE r (p INTEGER PRIMARY KEY, vm BLOB, facts TEXT)")
            .unwrap();
        db.execute_batch("CREATE INDEX i ON r (vm)").unwrap();
        (name, db, Vec::new())
    };
    let mut rivals = names.map(open);
    let facts = serde_json::to_string(&entry(1, 1).facts).unwrap();
    for step in 0..3000_u64 {
        for (_, db, times) in &mut rivals {
            let vm = [u8::try_from(step % 20).unwrap(); 16];
            let mut insert = db.prepare_cached("INSERT INTO r (vm, facts) VALUES (?1, ?2)").unwrap();
            let start = Instant::now();
            insert.execute(rusqlite::params![vm, facts]).unwrap();
            times.push(start.elapsed());
        }
    }
    for (name, _, times) in rivals {
        println!("{name}: {}", summary(times));
    }
}

fn sixty_four_producers() {
    let place = directory();
    let journal = Journal::start(Box::new(SqliteStore::open(&place.path().join("journal.sqlite")).unwrap())).unwrap();
    let start = Instant::now();
    let (rounds, producers) = (500, 64);
    let threads: Vec<_> = (0..producers)
        .map(|lane| {
            let journal = journal.clone();
            std::thread::spawn(move || {
                let (answer, wait) = mpsc::channel();
                let one = |step| {
                    let answer = answer.clone();
                    let start = Instant::now();
                    journal.append(&entry(lane, step), move |result| answer.send(result).unwrap());
                    wait.recv().unwrap().unwrap();
                    start.elapsed()
                };
                (0..rounds).map(one).collect::<Vec<_>>()
            })
        })
        .collect();
    let times: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let rate = (rounds * producers) as f64 / start.elapsed().as_secs_f64();
    println!("64 producers, each waiting for its answer: {rate:.0} entries/s; {}", summary(times));

    let start = Instant::now();
    let (answer, wait) = mpsc::channel();
    for step in 0..50_000 {
        let answer = answer.clone();
        journal.append(&entry(step % 64, step), move |result| answer.send(result).unwrap());
    }
    for _ in 0..50_000 {
        wait.recv().unwrap().unwrap();
    }
    let rate = 50_000.0 / start.elapsed().as_secs_f64();
    println!("one producer that does not wait: {rate:.0} entries/s");
}

fn opening() {
    let place = directory();
    let path = place.path().join("journal.sqlite");
    let mut store = SqliteStore::open(&path).unwrap();
    for batch in 0..100 {
        let entries: Vec<_> = (0..1000).map(|step| entry(step % 50, batch * 1000 + step)).collect();
        store.append(&entries).unwrap();
    }
    drop(store);
    let start = Instant::now();
    let mut store = SqliteStore::open(&path).unwrap();
    println!("opening and checking 100 000 records: {:?}", start.elapsed());
    let start = Instant::now();
    let vm = entry(1, 1).vm;
    store.replay_vm(vm, &mut |_, _| std::ops::ControlFlow::Continue(())).unwrap();
    println!("replaying the 2 000 of one VM: {:?}", start.elapsed());
    println!("file: {} bytes a record", std::fs::metadata(&path).unwrap().len() / 100_000);
    println!("a slice of 256 records: {}", timed(200, |n| drop(store.slice(n * 256, 256, None).unwrap())));
    let mut memory = Disk::new().open().unwrap();
    println!(
        "the twin in memory, one entry: {}",
        timed(2000, |step| assert_eq!(memory.append(&[entry(1, step)]), Ok(step + 1)))
    );
}

fn main() {
    single_commits();
    settings();
    sixty_four_producers();
    opening();
}
