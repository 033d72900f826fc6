//! The list as a page that people read: `docs/parity.md`. `COVIRT_BLESS=1` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::behaviour::{Backend, Behaviour, Ends, MeantFor, Need, Shows, Step, Tells, What};

const HEAD: &str = "# Parity

Lanes are tested with a fake hypervisor. What it does is held to what libvirt does: one list of behaviours
(`tests/parity/list/`) is put to the fake, to libvirt's mock driver (`test:///default`) and to real guests on QEMU, by one
runner. After every call it compares how the call ended and what it gave; what a look then shows, the whole of it, in
all four questions (`observe`, `list`, `inventory`, `progress`); which events told of it, and the cause that follows from
them; and what a probe for a lost answer would find. Printed from the list by `tests/fake_parity.rs`; do not edit.

`cargo nextest run --test fake_parity` runs it on the first two, `tools/with-qemu.sh cargo nextest run --test qemu_parity` on
QEMU; `COVIRT_PARITY=words` narrows it, `COVIRT_PARITY_EVENTS=1` prints all that was told.

A cell that is not *as said* says how that backend differs; the runner holds it to that, too. `—` means that the
behaviour ends there: what follows cannot be had on it. The fake tells what is said here and nothing else; libvirt says
more, such as what its guest's agent does, from which a lane concludes nothing.

| behaviour | begins | step by step | fake | test driver | QEMU |
|---|---|---|---|---|---|
";

const FOOT: &str = "
## Not in the list

- `console.open` and `screen.open` are no calls: a lane refuses them before any hypervisor is asked (`opens-channel`).
- A migration that arrives needs two hosts: `tests/qemu_lifecycle.rs`.
- Taking vCPUs away needs the guest's help, which the test guest does not give in time.
- What happens past the agent (a crash, a full disk, a pulled device) a test has the fake say as it pleases; what
  libvirt says of it is in [out-of-band.md](out-of-band.md), and `tests/qemu_out_of_band.rs` brings it about.
- Lost connections: `tests/libvirt_qemu.rs`.
";

fn printed(list: &[Behaviour]) -> String {
    let mut text = HEAD.to_owned();
    for behaviour in list {
        let steps: Vec<String> = behaviour.steps.iter().map(step).collect();
        let need = match behaviour.need {
            Some(Need::TrafficControl) => " (where the kernel limits traffic)",
            None => "",
        };
        let cells = Backend::ALL.map(|backend| cell(behaviour, backend));
        writeln!(
            text,
            "| {}{need} | {} | {} | {} |",
            behaviour.name,
            behaviour.ground.name(),
            steps.join("<br>"),
            cells.join(" | ")
        )
        .expect("a text can be written to");
    }
    text + FOOT
}

fn step(step: &Step) -> String {
    let ends = match (&step.what, &step.ends) {
        (What::Call(..), Ends::Done(_)) => String::new(),
        (What::Call(..), Ends::Not(code)) => format!(" → `{}`", code.as_str()),
        _ => return format!("*{}*", step.what),
    };
    let shows: Vec<String> = step.shows.iter().map(shows).collect();
    let tells: Vec<String> = step.tells.iter().map(tells).collect();
    let shown = if shows.is_empty() { String::new() } else { format!(" → {}", shows.join(", ")) };
    let told = if tells.is_empty() { String::new() } else { format!("; told: {}", tells.join(", ")) };
    let late = match step.meant_for {
        MeantFor::Present => "",
        MeantFor::First => " for the first start",
    };
    format!("`{}`{late}{ends}{shown}{told}", called(&step.what))
}

/// An action with those of its arguments that say something.
fn called(what: &What) -> String {
    let What::Call(action, Value::Object(args)) = what else { return what.to_string() };
    let said = args.iter().filter_map(|(name, value)| match value {
        Value::String(text) => Some(format!("{name}={text}")),
        Value::Number(_) | Value::Bool(_) => Some(format!("{name}={value}")),
        Value::Null => Some(format!("{name}=none")),
        Value::Array(_) | Value::Object(_) => None,
    });
    said.fold(action.to_string(), |text, word| format!("{text} {word}"))
}

fn shows(shows: &Shows) -> String {
    match shows {
        Shows::Power(power) => power.to_string(),
        Shows::NewStart => "another start".to_owned(),
        Shows::Vcpus(number) => format!("{number} vCPUs"),
        Shows::MostVcpus(number) => format!("at most {number} vCPUs"),
        Shows::Memory(kib) => format!("{kib} KiB"),
        Shows::Snapshot(name) => format!("snapshot {name}"),
        Shows::NoSnapshot(name) => format!("no snapshot {name}"),
        Shows::Checkpoint(name) => format!("checkpoint {name}"),
        Shows::NoCheckpoint(name) => format!("no checkpoint {name}"),
        Shows::Device(name) => (*name).to_owned(),
        Shows::NoDevice(name) => format!("no {name}"),
        Shows::Open(hold) => format!("{hold} open"),
        Shows::PerhapsOpen(hold) => format!("{hold} open, or over already"),
        Shows::NotOpen(hold) => format!("no {hold}"),
        Shows::Saved => "an image".to_owned(),
        Shows::NotSaved => "no image".to_owned(),
        Shows::Redefined => "another definition".to_owned(),
        Shows::Transient => "no definition".to_owned(),
        Shows::Gone => "no VM".to_owned(),
    }
}

fn tells(tells: &Tells) -> String {
    match tells {
        Tells::Power(power) => format!("`{power}`"),
        Tells::Changed(cause) | Tells::Happened(cause) => format!("`{cause}`"),
        Tells::PerhapsChanged(cause) => format!("perhaps `{cause}`"),
        Tells::About(cause, subject) => format!("`{cause}` of {subject}"),
        Tells::Gone(cause) => format!("`{cause}`, and gone"),
    }
}

fn cell(behaviour: &Behaviour, backend: Backend) -> String {
    let mut cells = Vec::new();
    for step in &behaviour.steps {
        let Some(other) = step.otherwise.iter().find(|other| other.backend == backend) else { continue };
        let end = match ((other.how)(step.clone()).ends, other.is_last) {
            (Ends::Not(code), true) => format!(": `{}` —", code.as_str()),
            (Ends::Not(code), false) => format!(": `{}`", code.as_str()),
            (Ends::Done(_), true) => " —".to_owned(),
            (Ends::Done(_), false) => String::new(),
        };
        cells.push(format!("{}{end}", other.why));
        if other.is_last {
            break;
        }
    }
    if cells.is_empty() { "as said".to_owned() } else { cells.join("; ") }
}

/// Fails unless the page is the list's.
#[track_caller]
pub(crate) fn must_be_printed(list: &[Behaviour]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/parity.md");
    let text = printed(list);
    if std::env::var_os("COVIRT_BLESS").is_some() {
        std::fs::write(&path, &text).expect("write the page");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "docs/parity.md is not what the list says; COVIRT_BLESS=1 prints it anew");
}
