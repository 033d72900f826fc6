//! How long rendering takes: `cargo bench --bench artifacts`.
//!
//! A thousand VMs, one after the other as an agent meets them: read, made into an inventory, rendered in every format, let
//! go. The documents are those of the corpus beside the project when it is there, else the project's own fixture. What a
//! format refuses is counted, and costs what it costs until it is refused.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use covirt::artifacts::{BindingText, Format, Need, Source, Subject, Syntax};
use covirt::discovery::{Discovered, DiskSize, Inventory, Limits, parse_domain, parse_network};
use covirt::model::Bytes;
use serde_json::{Map, Value};

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

/// The binding kept for a format, in which others find what nobody can guess; an empty one when there is none.
fn sample(format: Format) -> Value {
    let path = format!("{}/fixtures/binding/{}.toml", env!("CARGO_MANIFEST_DIR"), format.name());
    let text = std::fs::read_to_string(path).unwrap_or_default();
    toml::from_str(&text).expect("it is TOML")
}

/// A binding with what a format needs of this VM and no more: guessed, else taken from the sample.
fn binding_for(format: Format, sample: &Value, inventory: &Inventory) -> BindingText {
    let mut binding = Value::Object(Map::new());
    for field in format.draft(inventory).iter().filter(|field| field.need == Need::Required) {
        let told = find(sample, &field.path, Last::Same).or_else(|| find(sample, &field.path, Last::Any));
        if let Some(value) = told.or_else(|| field.guess.clone()) {
            put(&mut binding, &field.path, value);
        }
    }
    BindingText { syntax: Syntax::Json, text: binding.to_string() }
}

/// What may stand for the last part of a path that the sample lacks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Nothing.
    Same,
    /// Any: it may be the name of an interface or a disk.
    Any,
}

/// The value at `path`; where the sample has another VM's disks or interfaces, that of the first which has one.
fn find(sample: &Value, path: &[String], last: Last) -> Option<Value> {
    let Some((key, rest)) = path.split_first() else { return Some(sample.clone()) };
    let table = sample.as_object()?;
    let own = table.get(key).and_then(|value| find(value, rest, last));
    let another = || table.values().find_map(|value| find(value, rest, last));
    own.or_else(|| if rest.is_empty() && last == Last::Same { None } else { another() })
}

fn put(into: &mut Value, path: &[String], value: Value) {
    match (path.split_first(), into.as_object_mut()) {
        (Some((key, rest)), Some(table)) => {
            put(table.entry(key.clone()).or_insert_with(|| Value::Object(Map::new())), rest, value);
        }
        _ => *into = value,
    }
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
    let samples: Vec<(Format, Value)> = Format::ALL.iter().map(|format| (*format, sample(*format))).collect();
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
            let bindings: Vec<_> =
                samples.iter().map(|(format, sample)| (*format, binding_for(*format, sample, &inventory))).collect();
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
