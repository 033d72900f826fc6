//! How long rendering takes: `cargo bench --bench artifacts`.
//!
//! A thousand VMs, one after the other as an agent meets them: read, made into an inventory, rendered in every format, let
//! go. The documents are those of the corpus beside the project when it is there, else the project's own fixture. What a
//! format refuses is counted, and costs what it costs until it is refused.

#[path = "../tests/support/sample.rs"]
mod sample;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use covirt::artifacts::{Format, Source, Subject};
use covirt::discovery::{Discovered, DiskSize, Inventory, Limits, parse_domain, parse_network};
use covirt::model::Bytes;
use serde_json::Value;

/// How many VMs.
const VMS: usize = 1000;

/// The most that rendering all of them in every format may take.
const BUDGET: Duration = Duration::from_secs(2);

/// What the documents of a round are.
struct Documents {
    what: &'static str,
    texts: Vec<Vec<u8>>,
}

fn documents() -> Vec<Documents> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shop = std::fs::read(root.join("fixtures/domain/live-uefi-two-nics.xml")).expect("the fixture is there");
    let mut all = vec![Documents { what: "the fixture", texts: vec![shop] }];
    let corpus = root.join("../shared/corpus");
    match std::fs::read_to_string(corpus.join("accepted.txt")) {
        Ok(names) => {
            let read = |name| std::fs::read(corpus.join("domain").join(name)).expect("the listed files are there");
            all.push(Documents {
                what: "the corpus",
                texts: names.lines().filter(|n| !n.is_empty()).map(read).collect(),
            });
        }
        Err(_) => eprintln!("SKIPPED: no corpus; the project's own fixture alone"),
    }
    all
}

/// The processor time this thread has used; a busy machine makes the clock on the wall tell of its other work too.
fn used() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    told.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// The kernel's count of resident memory, now and at its highest. *Units*: KiB.
fn resident() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    (of("VmRSS:"), of("VmHWM:"))
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let network = std::fs::read(root.join("fixtures/network/front.xml")).expect("the fixture is there");
    let network = parse_network(network, Limits::default()).expect("it is a network");
    let samples: Vec<(Format, Value)> = Format::ALL.iter().map(|format| (*format, sample::sample(*format))).collect();
    let source = Source::Libvirt { uri: "qemu:///system".to_owned() };
    let size = DiskSize { capacity: Bytes(10 << 30), allocation: Bytes(1 << 30), physical: Bytes(1 << 30) };
    let mut slow = false;
    for Documents { what, texts } in documents() {
        let mut spent: BTreeMap<&str, (Duration, usize, usize)> = BTreeMap::new();
        let (mut prepared, mut total) = (Duration::ZERO, Duration::ZERO);
        let (before, _) = resident();
        let start = used();
        for (nth, text) in texts.iter().cycle().take(VMS).enumerate() {
            let mut domain = parse_domain(text, Limits::default()).expect("libvirt accepts it");
            // A file that libvirt has not seen may have no UUID, and a bundle needs one.
            domain.identity.uuid.get_or_insert(uuid::Uuid::from_u128(nth as u128 + 1));
            // No XML tells a disk's size, and some formats need it.
            let sizes = domain.disks.iter().map(|disk| (disk.target.clone(), size)).collect();
            let networks = vec![network.clone()];
            let inventory = Inventory::build(Discovered { networks, sizes, ..Discovered::from_domain(domain) });
            // What the sample lacks is a refusal, which is counted.
            let bound =
                |(format, sample): &(Format, Value)| (*format, sample::binding_for(*format, sample, &inventory).0);
            let bindings: Vec<_> = samples.iter().map(bound).collect();
            let start = Instant::now();
            let subject = Subject::new(&inventory, &source);
            prepared += start.elapsed();
            for (format, binding) in &bindings {
                let start = Instant::now();
                let bundle = black_box(format.render(black_box(&subject), binding));
                let (time, made, bytes) = spent.entry(format.name()).or_default();
                *time += start.elapsed();
                if let Ok(bundle) = bundle {
                    *made += 1;
                    *bytes += bundle.files.iter().map(|file| file.bytes.len()).sum::<usize>();
                }
            }
            total += start.elapsed();
        }
        let (_, peak) = resident();
        // Reading and building are in it, so that it bounds rendering from above.
        let worked = used().zip(start).map_or(total, |(now, start)| now.saturating_sub(start));
        println!("{VMS} VMs of {what}: rendered in {total:.3?}; {worked:.3?} of processor time with reading them");
        println!("  {:<12} {prepared:>12.3?}  (once for all formats)", "prepare");
        for (name, (time, made, bytes)) in spent {
            let mean = bytes.checked_div(made).unwrap_or(0);
            println!("  {name:<12} {time:>12.3?}  {made} made, {mean} bytes on average, {} refused", VMS - made);
        }
        println!("  memory: {before} KiB before, {peak} KiB at its highest");
        slow |= total.min(worked) > BUDGET;
    }
    if slow {
        println!("OVER BUDGET: more than {BUDGET:?} for {VMS} VMs");
        std::process::exit(1);
    }
}
