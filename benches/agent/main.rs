//! The figures of `docs/benchmarks.md`, against the agent as users have it: a process of its own, spoken to over its
//! socket, with its durable journal. `make bench`, or with a part's name: `cargo bench --bench agent -- lanes`.
//!
//! Every ratio is of two things measured in the same run, in turns, so that whatever else this machine does falls on
//! both.

mod figures;
mod idle;
mod inventory;
mod lanes;
mod power;
#[path = "../../tests/support/covirtd.rs"]
mod covirtd;
#[path = "../../tests/support/mod.rs"]
mod support;

use figures::Table;

const PROGRAM: &str = env!("CARGO_BIN_EXE_covirtd");

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|name| name == part);
    figures::print_machine();
    let mut table = Table::default();
    let parts: [(&str, fn(&mut Table)); 4] = [
        ("power", power::measure),
        ("lanes", lanes::measure),
        ("inventory", inventory::measure),
        ("idle", idle::measure),
    ];
    for (name, measure) in parts.into_iter().filter(|(name, _)| is_wanted(name)) {
        eprintln!("measuring {name} …");
        measure(&mut table);
    }
    table.print();
}
