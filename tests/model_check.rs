//! A bounded exhaustive check of the real `Lane::step`: every state that one VM, two providers and three commands can
//! reach is walked through, and what is promised is checked in each.
//!
//! A state (`model_check/node.rs`) is the real lane, what its journal has made durable and what not, and the world around it:
//! the VM, calls under way or lost, asks without an answer, what has not been sent, the time. What may happen next is
//! all that can be told to a lane then: a provider sends one of its commands, the journal confirms an append, a call ends,
//! somebody answers, the lane's next timer is due (a deadline may fire before or after anything else), a job ends. Beside
//! that, so many *faults* on any path: a call fails, its answer is lost and it is found done, undone or neither, somebody
//! stops the VM past the agent, the agent dies with any part of what it had not heard of durable, a session ends, a delegation
//! is taken back.
//!
//! - **Always**: `sim/oracle.rs`, the same that the simulation asks, after every step: I1 to I7 and I10, I11, no reply without
//!   its durable fact. A lost call counts as under way until a look shows what became of it.
//! - **Sometimes**: the witnesses of each scene (`model_check/scenes.rs`), each with a shortest path that is played again as
//!   a scenario (`COVIRT_TRACE=1` prints it).
//! - **Eventually**: the graph of all states has no cycle, so every path ends; where nothing more can happen every
//!   command has ended, somebody was told, and nothing is held.
//!
//! Bounded are: three commands (a crash that forgets one has it sent again), time that moves only to the next timer, asks that
//! are answered while they are open, calls that are not lost for ever, and what the journal has not confirmed
//! (`model_check/bound.rs`). Where all is over nothing goes wrong any more. A change of the VM is seen before the answer of the
//! call that made it. The simulation has no such bounds, and sees no more than chance shows it. Every walk goes to its end:
//!
//! | walk | appends that wait | faults on a path | states | by |
//! |---|---|---|---|---|
//! | each scene | two, whatever else happens meanwhile | none | 5,000 to 23,000 | `make test` |
//! | two resizes and a snapshot | one, during which only a fault may come; after it none | one, anywhere | 47,000 | `make test` |
//! | each scene | two, before a fault and after it | one, anywhere | 0.2, 1.0 and 2.7 million | `make sim`, a release build |
//!
//! `COVIRT_FAULTS=2` lets more of them come. Two on each path were walked to the end of the prompt walk (476,000 states).
//!
//! `model_check/figures.txt` has the number of states and of ends, so that every change of behaviour is seen;
//! `COVIRT_BLESS=1` writes it (with `--test-threads=1`). A broken promise prints a shortest path to it as a scenario.
//! What the checker notices when the resolver is broken on purpose is in `docs/model-check.md`.
//!
//! A search of our own: of the libraries for it, `stateright` takes paths that meet for ended (an `eventually` of it can
//! miss just what is looked for here), counts no ends, and brings sixteen crates with an HTTP server that cannot be left
//! out.

#[path = "model_check/bound.rs"]
mod bound;
#[path = "model_check/fingerprint.rs"]
mod fingerprint;
#[path = "model_check/node.rs"]
mod node;
#[path = "sim/oracle.rs"]
#[allow(dead_code, reason = "its tally is the simulation's")]
mod oracle;
#[path = "model_check/scenes.rs"]
mod scenes;
#[path = "../src/resolver/tests/script.rs"]
mod script;
#[path = "model_check/search.rs"]
mod search;
#[path = "model_check/told.rs"]
mod told;
#[path = "../src/resolver/tests/world.rs"]
mod world;

use std::fmt::Write as _;
use std::path::Path;

use bound::{Bound, Journal};
use node::Node;
use scenes::Scene;
use search::{Broken, Found};

fn check(scene: &Scene, faults: usize, journal: Journal) {
    let bound = Bound { faults, journal };
    let found = search::all_states(scene, bound).unwrap_or_else(|Broken { what, path }| {
        panic!("{}: {what}\n\n{}\n", scene.name, told::story(scene, bound, &path));
    });
    let missing: Vec<&str> = scene.expected(bound).filter(|name| !found.witnesses.contains_key(name)).collect();
    println!("{}", figures(scene, bound, &found));
    assert!(missing.is_empty(), "{}: never reached: {missing:#?}", scene.name);
    for (name, path) in &found.witnesses {
        if std::env::var_os("COVIRT_TRACE").is_some() {
            println!("# {name}\n{}\n", told::story(scene, bound, path));
        }
        let (mut node, mut world) = (Node::first(scene, bound), told::world(scene));
        path.iter().for_each(|one| node.take(scene, one));
        told::lines(scene, bound, path).iter().for_each(|line| drop(script::run(&mut world, line)));
        assert!(node.lane.state() == world.lane.state(), "{name}: its scenario is another story");
    }
    compare(scene, bound, &figures(scene, bound, &found));
}

/// What was found, as `figures.txt` has it.
fn figures(scene: &Scene, bound: Bound, found: &Found) -> String {
    let title = title(scene, bound);
    let Found { states, transitions, depth, ends, witnesses } = found;
    let at_rest: usize = ends.values().sum();
    let mut told = format!("{title}\n{states} states, {transitions} transitions, {depth} moves to the farthest\n");
    writeln!(told, "{} different ends in {at_rest} states of rest:", ends.len()).unwrap();
    ends.iter().for_each(|(end, times)| writeln!(told, "{times:>8}  {end}").unwrap());
    writeln!(told, "moves to the nearest state in which:").unwrap();
    scene.expected(bound).for_each(|name| {
        writeln!(told, "{:>8}  {name}", witnesses.get(name).map_or(0, Vec::len)).unwrap();
    });
    told
}

fn title(scene: &Scene, Bound { faults, journal }: Bound) -> String {
    let journal = match journal {
        Journal::Slow => "a slow journal",
        Journal::Prompt => "a prompt journal",
    };
    format!("# {}, {journal}, at most {faults} {}", scene.name, if faults == 1 { "fault" } else { "faults" })
}

/// Holds what was found against the file, or writes it there.
fn compare(scene: &Scene, bound: Bound, found: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/model_check/figures.txt");
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let mut sections: Vec<&str> = kept.split("\n\n").map(str::trim_end).filter(|section| !section.is_empty()).collect();
    let title = title(scene, bound);
    let place = sections.iter().position(|section| section.lines().next() == Some(&title));
    if place.is_some_and(|place| sections[place] == found.trim_end()) {
        return;
    }
    let bless = std::env::var_os("COVIRT_BLESS").is_some();
    if place.is_none() && !bless && std::env::var_os("COVIRT_FAULTS").is_some() {
        return; // Nobody has kept how many there are with so many faults.
    }
    assert!(bless, "figures.txt has other figures; now they are:\n{found}");
    match place {
        Some(place) => sections[place] = found.trim_end(),
        None => sections.push(found.trim_end()),
    }
    std::fs::write(file, sections.join("\n\n") + "\n").unwrap();
}

/// How many faults there are on a path at most, as far as `COVIRT_FAULTS` says nothing else.
fn with_faults(scene: &Scene, journal: Journal) {
    let most = std::env::var("COVIRT_FAULTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    check(scene, most, journal);
}

#[test]
fn a_stop_a_snapshot_and_a_frozen_guest_on_a_slow_journal() {
    check(&Scene::stop_and_freeze(), 0, Journal::Slow);
}

#[test]
#[ignore = "over a million states: `make sim` walks through them in a release build"]
fn a_stop_a_snapshot_and_a_frozen_guest_and_a_fault_on_a_slow_journal() {
    with_faults(&Scene::stop_and_freeze(), Journal::Slow);
}

#[test]
fn two_resizes_and_a_snapshot_on_a_slow_journal() {
    check(&Scene::two_resizes(), 0, Journal::Slow);
}

#[test]
fn two_resizes_and_a_snapshot_and_a_fault() {
    with_faults(&Scene::two_resizes(), Journal::Prompt);
}

#[test]
#[ignore = "a long walk: `make sim` walks it in a release build"]
fn two_resizes_and_a_snapshot_and_a_fault_on_a_slow_journal() {
    with_faults(&Scene::two_resizes(), Journal::Slow);
}

#[test]
fn two_stops_and_a_backup_on_a_slow_journal() {
    check(&Scene::two_stops(), 0, Journal::Slow);
}

#[test]
#[ignore = "over a million states: `make sim` walks through them in a release build"]
fn two_stops_and_a_backup_and_a_fault_on_a_slow_journal() {
    with_faults(&Scene::two_stops(), Journal::Slow);
}
