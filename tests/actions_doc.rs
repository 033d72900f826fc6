//! `docs/actions.md` is printed from the catalogue: it cannot say anything else. `COVIRT_BLESS=1` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use covirt::model::action::{Repeat, Scope, Undo};
use covirt::model::{
    Action, Class, Command, CommandId, Footprint, Guard, Kib, Operation, Order, PowerState, StartId, VmId, VmState,
};
use covirt::resolver::Imagined;
use serde_json::{Value, json};
use uuid::Uuid;

const HEAD: &str = "# Actions

Printed from the catalogue in `src/model/action.rs` by `tests/actions_doc.rs`; do not edit. A conflict needs a *clash*: two
commands of different providers, of which one writes what the other reads or writes. What nobody clashes with runs at
once. Reads never wait.

## The catalogue

| action | libvirt ACL | reads | writes | possible while | then | asked twice | undo |
|---|---|---|---|---|---|---|---|
";

const PAIRS: &str = "
## All pairs

Row and column are two commands of different providers with different arguments (two snapshots of different names, two
sizes). `·`: no clash, they overlap freely. Otherwise what they clash over.

";

const ORDERS: &str = "
## Which orders let both succeed

For each pair that clashes, by the VM's state: `row` only with the row's command first, `col` only with the column's first,
`any` either way, `none` neither. Where one order is left, rule 3 takes it and nobody is asked. `-` stands where a command is
not possible in that state whatever comes first.
";

/// One operation of each action; `which` tells two of the same action apart.
fn operation(action: Action, which: usize) -> Operation {
    let args = match action {
        Action::SnapshotCreate => json!({"name": (["s1", "s2"][which])}),
        Action::SnapshotRevert | Action::SnapshotDelete => json!({"name": (["base", "other"][which])}),
        Action::CpuSet => json!({"vcpus": ([2, 3][which])}),
        Action::MemorySet => json!({"memory_kib": ([1024, 2048][which])}),
        Action::MetadataSet => json!({"uri": "urn:a", "key": "a"}),
        Action::PowerStart
        | Action::PowerShutdown
        | Action::PowerReboot
        | Action::PowerReset
        | Action::PowerStop
        | Action::PowerSuspend
        | Action::PowerResume
        | Action::InspectRead => Value::Null,
    };
    Operation::parse(action, args).unwrap()
}

fn command(action: Action, which: usize) -> Command {
    Command {
        id: CommandId(Uuid::from_u128(which as u128)),
        vm: VmId(Uuid::from_u128(0)),
        provider: ["north", "south"][which].parse().unwrap(),
        operation: operation(action, which),
        order: Order::default(),
        issued_at: None,
        not_after: None,
        must_start_by: None,
        break_glass: None,
        guard: Guard::default(),
        class: Class::Routine,
        epoch: None,
    }
}

fn scopes(scopes: &[Scope]) -> String {
    let words: Vec<String> = scopes.iter().map(|scope| format!("{scope:?}").to_lowercase()).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

fn states(states: &[PowerState]) -> String {
    if states.len() == PowerState::ALL.len() {
        return "any".to_owned();
    }
    states.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ")
}

fn contested(a: Action, b: Action) -> String {
    let of = |action, which| -> Footprint { operation(action, which).footprint() };
    let words: Vec<String> = of(a, 0).contested_with(&of(b, 1)).iter().map(ToString::to_string).collect();
    if words.is_empty() { "·".to_owned() } else { words.join(" ").replace("metadata:urn:a", "metadata") }
}

fn orders(power: PowerState, a: Action, b: Action) -> &'static str {
    if contested(a, b) == "·" {
        return "·";
    }
    let start = StartId(if power == PowerState::ShutOff { None } else { Some(1) });
    let (vcpus, vcpus_max, memory_kib, memory_max_kib) = (1, 8, Kib(4096), Kib(8192));
    let snapshots = ["base".to_owned(), "other".to_owned()].into();
    let vm = Imagined::from(&VmState { power, start, vcpus, vcpus_max, memory_kib, memory_max_kib, snapshots });
    let (row, col) = (command(a, 0), command(b, 1));
    let hopeless = |one: &Command, other: &Command| {
        vm.after(one).is_err() && vm.after(other).map_or(true, |then| then.after(one).is_err())
    };
    if hopeless(&row, &col) || hopeless(&col, &row) {
        return "-";
    }
    match (vm.against(&row, &col).is_none(), vm.against(&col, &row).is_none()) {
        (true, true) => "any",
        (true, false) => "row",
        (false, true) => "col",
        (false, false) => "none",
    }
}

fn table(text: &mut String, cell: impl Fn(Action, Action) -> String) {
    let names: Vec<&str> = Action::ALL.into_iter().map(Action::name).collect();
    writeln!(text, "| | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len())).unwrap();
    for a in Action::ALL {
        let cells: Vec<String> = Action::ALL.into_iter().map(|b| cell(a, b)).collect();
        writeln!(text, "| **{a}** | {} |", cells.join(" | ")).unwrap();
    }
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
        let undo = match spec.undo {
            Undo::Reversible => "possible: goes at once",
            Undo::Irreversible => "none: listens for a rival first",
        };
        let (reads, writes, while_) = (scopes(spec.reads), scopes(spec.writes), states(spec.states));
        let effect = spec.effect;
        writeln!(text, "| `{action}` | {acl} | {reads} | {writes} | {while_} | {effect} | {repeat} | {undo} |")
            .unwrap();
    }
    text.push_str(PAIRS);
    table(&mut text, contested);
    text.push_str(ORDERS);
    for power in [PowerState::Running, PowerState::Paused, PowerState::ShutOff] {
        writeln!(text, "\n### While {power}\n").unwrap();
        table(&mut text, |a, b| orders(power, a, b).to_owned());
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
