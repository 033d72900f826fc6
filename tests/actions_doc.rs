//! `docs/actions.md` is printed from the catalogue: it cannot say anything else. `COVIRT_BLESS=1` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use covirt::model::action::{Repeat, Scope, Undo, Way};
use covirt::model::{Action, Class, Command, CommandId, Guard, Kib, Order, PowerState, StartId, VmId, VmState};
use covirt::resolver::Imagined;
use uuid::Uuid;

#[path = "../src/resolver/tests/samples.rs"]
mod samples;

const HEAD: &str = "# Actions

Printed from the catalogue in `src/model/action/` by `tests/actions_doc.rs`; do not edit. A conflict needs a *clash*: two
commands of different providers, of which one writes what the other reads or writes. What nobody clashes with runs at
once. Reads never wait. *disks* are those that the arguments name, or all; *device* is the one they name. What says *a
client's own* no request can ask for: a libvirt client's call through its provider's door does. `monitor.command` gets round
everything else: the primary does not have it, no `monitor.*` gives it, and only the operator delegates it, by its name.

*Agent down* is what becomes of an action while covirtd is down. *closed*: nothing of it passes by covirt, and whoever may reach
libvirt itself still may do it there. *closed, runs on*: the same, and what was begun before goes on, without anybody who ends it by
its lease until covirtd is back. *open*: it is covirt's own promise, which nobody keeps meanwhile. The VM notices nothing
([sovereignty.md](sovereignty.md)).

## The catalogue

| action | libvirt call | libvirt ACL | reads | writes | possible while | then | asked twice | undo | agent down |
|---|---|---|---|---|---|---|---|---|---|
";

const OPEN: &str = "
## What stays open

What a finished command leaves open keeps its own footprint until libvirt says that it is over, its lease has run out, or
somebody ends it. Others' commands that clash with it wait, and say for what.

| action | leaves open | what clashes with it waits | lease |
|---|---|---|---|
";

const CLASHES: &str = "
## What clashes

Two commands of different providers with different arguments (two snapshots of different names, two sizes), and over what.
";

const ORDERS: &str = "
## Which order lets both succeed

For pairs that clash and that both succeed in one order only: rule 3 takes it and nobody is asked. All other pairs succeed
in either order or in none.
";

fn command(action: Action, which: usize) -> Command {
    Command {
        id: CommandId(Uuid::from_u128(which as u128)),
        vm: VmId(Uuid::from_u128(7)),
        provider: ["north", "south"][which].parse().unwrap(),
        operation: samples::operation(action, which),
        order: Order::default(),
        issued_at: None,
        not_after: None,
        must_start_by: None,
        break_glass: None,
        guard: Guard::default(),
        class: Class::Routine,
        epoch: None,
        call: samples::call(&samples::operation(action, which)),
    }
}

fn scopes(scopes: &[Scope]) -> String {
    let words: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

fn states(states: &[PowerState]) -> String {
    if states.len() == PowerState::ALL.len() {
        return "any".to_owned();
    }
    states.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ")
}

fn contested(a: Action, b: Action) -> String {
    let (a, b) = (samples::operation(a, 0).footprint(), samples::operation(b, 1).footprint());
    a.contested_with(&b).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn vm(power: PowerState) -> VmState {
    VmState {
        power,
        start: StartId(if power == PowerState::ShutOff { None } else { Some(1) }),
        vcpus: 1,
        vcpus_max: 8,
        memory_kib: Kib(4096),
        memory_max_kib: Kib(8192),
        snapshots: ["base".to_owned()].into(),
        checkpoints: ["north.base".to_owned(), "south.base".to_owned()].into(),
        devices: ["disk:vda", "disk:vdb", "nic:52:54:00:00:00:01"].map(|name| name.parse().unwrap()).into(),
        jobs: [].into(),
        saved: power == PowerState::ShutOff,
        definition: Some("d1".to_owned()),
    }
}

/// Whether both succeed when `a` goes first, and only then.
fn must_precede(vm: &Imagined, a: Action, b: Action) -> bool {
    let (first, second) = (command(a, 0), command(b, 1));
    !contested(a, b).is_empty() && vm.against(&first, &second).is_none() && vm.against(&second, &first).is_some()
}

fn list(actions: &[Action]) -> String {
    actions.iter().map(|action| format!("`{action}`")).collect::<Vec<_>>().join(", ")
}

fn document() -> String {
    let mut text = HEAD.to_owned();
    for action in Action::ALL {
        let spec = action.spec();
        let acl = spec.permissions.iter().map(|acl| format!("`{acl}`")).collect::<Vec<_>>().join(", ");
        let repeat = match spec.repeat {
            Repeat::Idempotent => "is one wish",
            Repeat::Distinct => "is two wishes",
        };
        let down = spec.down.as_str();
        let undo = match (spec.way, spec.undo) {
            (Way::Channel, _) => "no command: opened at its door",
            (Way::Command | Way::Relay, Undo::Reversible) => "possible: goes at once",
            (Way::Command | Way::Relay, Undo::Irreversible) => "none: listens for a rival first",
        };
        let whose = if spec.way == Way::Relay { ", a client's own" } else { "" };
        let call = if spec.call == "none" { "none".to_owned() } else { format!("`{}`{whose}", spec.call) };
        let (reads, writes, while_) = (scopes(spec.reads), scopes(spec.writes), states(spec.states));
        let effect = spec.effect;
        writeln!(
            text,
            "| `{action}` | {call} | {acl} | {reads} | {writes} | {while_} | {effect} | {repeat} | {undo} | {down} |"
        )
        .unwrap();
    }
    text.push_str(OPEN);
    for action in Action::ALL {
        let operation = samples::operation(action, 0);
        let Some((hold, footprint)) = operation.leaves_open() else { continue };
        let touched: Vec<String> = footprint.writes.iter().chain(&footprint.reads).map(ToString::to_string).collect();
        let lease = operation.lease().expect("nothing is held for ever").as_secs();
        let said = samples::args(action, 0).get("lease_s").is_some();
        let lease = if said { "`lease_s`".to_owned() } else { format!("`lease_s`, {} h unless said", lease / 3600) };
        writeln!(text, "| `{action}` | {hold} | {} | {lease} |", touched.join(", ")).unwrap();
    }
    text.push_str(CLASHES);
    for a in Action::ALL {
        let mut over: BTreeMap<String, Vec<Action>> = BTreeMap::new();
        for b in Action::ALL {
            over.entry(contested(a, b)).or_default().push(b);
        }
        over.remove("");
        writeln!(text, "\n### `{a}`\n").unwrap();
        if over.is_empty() {
            writeln!(text, "Clashes with nothing.").unwrap();
        }
        for (what, others) in over {
            writeln!(text, "- over {what}: {}", list(&others)).unwrap();
        }
    }
    text.push_str(ORDERS);
    for power in [PowerState::Running, PowerState::Paused, PowerState::ShutOff] {
        writeln!(text, "\n### While {power}\n\n| first | then |\n|---|---|").unwrap();
        let vm = Imagined::from(&vm(power));
        for a in Action::ALL {
            let after: Vec<Action> = Action::ALL.into_iter().filter(|b| must_precede(&vm, a, *b)).collect();
            if !after.is_empty() {
                writeln!(text, "| `{a}` | {} |", list(&after)).unwrap();
            }
        }
    }
    text
}

#[test]
fn the_document_says_what_the_catalogue_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/actions.md");
    let document = document();
    if std::env::var_os("COVIRT_BLESS").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == document, "docs/actions.md is out of date: COVIRT_BLESS=1 cargo test --test actions_doc");
}

/// A list of texts, not of outcomes: what becomes of each action there, those tests hold. What QEMU or its host cannot do
/// is looked at there, too, as the failure that it is.
#[test]
fn every_action_is_sent_to_a_real_guest() {
    let tests = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")).unwrap();
    let of_guests = tests.map(|entry| entry.unwrap().path()).filter(|path| {
        let name = path.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
        name.starts_with("qemu_") || name == "libvirt_qemu.rs"
    });
    let texts: String = of_guests.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let is_sent =
        |action: &Action| texts.contains(&format!("\"{action}\"")) || texts.contains(&format!("Action::{action:?}"));
    // What only a client's own call asks for is sent by clients, through a door.
    let by_command = Action::ALL.iter().filter(|action| action.spec().way != Way::Relay);
    let missing: Vec<&Action> = by_command.filter(|action| !is_sent(action)).collect();
    assert!(missing.is_empty(), "no test of a real guest names {missing:?}");
}
