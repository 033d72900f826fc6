//! How long reading a domain takes, part by part: `cargo bench --bench discovery`.
//!
//! Reads the corpus beside the project when it is there, else the project's own fixtures.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use covirt::discovery::{Discovered, Generation, Inventory, Limits, parse_domain};

/// The largest mean time from a domain XML to its inventory: a thousand of them in a fifth of a second.
const BUDGET: Duration = Duration::from_micros(200);

fn documents() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = root.join("../shared/corpus");
    let (folder, names) = match std::fs::read_to_string(corpus.join("accepted.txt")) {
        Ok(names) => (corpus.join("domain"), names.lines().map(str::to_owned).collect()),
        Err(_) => {
            eprintln!("SKIPPED: no corpus; the project's own fixtures instead");
            let names = ["live-uefi-two-nics.xml", "inactive-bios-many-sources.xml"];
            (root.join("fixtures/domain"), names.map(str::to_owned).to_vec())
        }
    };
    let read = |name: String| std::fs::read(folder.join(&name)).map(|bytes| (name, bytes));
    names.into_iter().map(read).collect::<Result<_, _>>().expect("the listed files are there")
}

/// The processor time this thread has used; where the system does not say, the time that passed.
///
/// A busy machine makes the clock on the wall tell of its other work; but the system counts in ticks, so that only
/// work of many milliseconds can be told so.
fn used(start: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|text| text.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

/// The clock on the wall, for what is shorter.
fn passed(start: Instant) -> Duration {
    start.elapsed()
}

/// The mean time of `work` for one document by `clock`, the best of five rounds.
fn mean(documents: usize, clock: fn(Instant) -> Duration, mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    let rounds = (0..5).map(|_| {
        let before = clock(start);
        work();
        clock(start).saturating_sub(before)
    });
    rounds.min().unwrap_or_default() / u32::try_from(documents).unwrap_or(u32::MAX)
}

fn main() {
    let documents = documents();
    let limits = Limits::default();
    let domains: Vec<_> =
        documents.iter().map(|(_, bytes)| parse_domain(bytes, limits).expect("libvirt accepts it")).collect();
    let bytes: usize = documents.iter().map(|(_, bytes)| bytes.len()).sum();
    println!("{} documents, {} bytes on average", documents.len(), bytes / documents.len());

    let parse = mean(documents.len(), used, || {
        for (_, bytes) in &documents {
            let _ = black_box(parse_domain(black_box(bytes), limits));
        }
    });
    println!("parse        {parse:?}");
    let slowest = documents
        .iter()
        .map(|(name, bytes)| (mean(1, passed, || drop(black_box(parse_domain(bytes, limits)))), name))
        .max();
    println!("slowest      {slowest:?}");
    let build = mean(domains.len(), passed, || {
        for domain in &domains {
            black_box(Inventory::build(Discovered::from_domain(domain.clone())));
        }
    });
    println!("build        {build:?}");
    let generation = mean(domains.len(), passed, || {
        for domain in &domains {
            black_box(Generation::of_domain(domain));
        }
    });
    println!("generation   {generation:?}");

    let whole = mean(documents.len(), used, || {
        for (_, bytes) in &documents {
            let domain = parse_domain(black_box(bytes), limits).expect("libvirt accepts it");
            black_box(Inventory::build(Discovered::from_domain(domain)));
        }
    });
    println!("whole        {whole:?}");

    // The worst shape the limits let through: three kinds of device, always one among the others.
    let crowd = "<disk><target dev='a'/></disk><interface type='user'/><serial/>".repeat(limits.elements / 4 - 2);
    let hostile = format!("<domain><name>a</name><devices>{crowd}</devices></domain>");
    let worst = mean(1, used, || drop(black_box(parse_domain(&hostile, limits))));
    println!("worst shape  {worst:?} for {} bytes", hostile.len());

    if whole > BUDGET {
        println!("OVER BUDGET: a mean inventory of more than {BUDGET:?}");
        std::process::exit(1);
    }
}
