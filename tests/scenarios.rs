//! Conflicts told as stories: each file in `fixtures/scenario` is a list of lines that say what happens, and below
//! each group of them, after `----`, what the lane did about it. `COVIRT_BLESS=1` writes what it does now.
//!
//! A file begins with `# title`, what must hold in prose, and `policy`, `providers` and `names` lines if it needs them.

use std::fmt::Write as _;
use std::path::Path;

#[path = "../src/resolver/tests/script.rs"]
mod script;
#[path = "../src/resolver/tests/world.rs"]
mod world;

use world::World;

/// What a scenario file becomes when it is played.
fn play(text: &str) -> String {
    let mut told = String::new();
    let mut policy = covirt::resolver::Policy::default();
    let mut world: Option<World> = None;
    let mut pending: Vec<String> = Vec::new();
    let mut answering = false;
    let answer = |world: &mut Option<World>, pending: &mut Vec<String>, policy: &covirt::resolver::Policy| {
        let world = world.get_or_insert_with(|| World::shared(policy.clone()));
        let lines: Vec<String> = pending.drain(..).flat_map(|line| script::run(world, &line)).collect();
        if lines.is_empty() { "         nothing\n".to_owned() } else { lines.join("\n") + "\n" }
    };
    for line in text.lines() {
        match line {
            _ if answering && !line.is_empty() => {}
            "----" => {
                answering = true;
                told.push_str("----\n");
                told.push_str(&answer(&mut world, &mut pending, &policy));
            }
            "" => {
                assert!(pending.is_empty(), "lines without `----`: {pending:?}");
                answering = false;
                told.push('\n');
            }
            comment if comment.starts_with('#') => writeln!(told, "{comment}").unwrap(),
            setting if setting.starts_with("policy ") => {
                policy = script::policy(&setting["policy ".len()..]);
                writeln!(told, "{setting}").unwrap();
            }
            who if who.starts_with("providers ") => {
                world = Some(match &who["providers ".len()..] {
                    "north" => World::alone(policy.clone()),
                    "north south" => World::shared(policy.clone()),
                    "north south west" => World::of_three(policy.clone()),
                    other => panic!("{other:?} is not a set of providers that scenarios know"),
                });
                writeln!(told, "{who}").unwrap();
            }
            names if names.starts_with("names ") => {
                // Their ids in this order, whoever comes first.
                let world = world.get_or_insert_with(|| World::shared(policy.clone()));
                names.split_whitespace().skip(1).for_each(|name| _ = world.id(name));
                writeln!(told, "{names}").unwrap();
            }
            line => {
                pending.push(line.to_owned());
                writeln!(told, "{line}").unwrap();
            }
        }
    }
    assert!(pending.is_empty(), "lines without `----`: {pending:?}");
    told
}

#[test]
fn every_scenario_ends_as_it_is_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenario");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let bless = std::env::var_os("COVIRT_BLESS").is_some();
    let mut wrong = Vec::new();
    for file in files {
        let expected = std::fs::read_to_string(&file).unwrap();
        let told = play(&expected);
        if told != expected && bless {
            std::fs::write(&file, &told).unwrap();
        } else if told != expected {
            let first = told.lines().zip(expected.lines()).find(|(a, b)| a != b);
            wrong.push(format!(
                "{}\n  now:  {:?}\n  file: {:?}",
                file.display(),
                first.map(|f| f.0),
                first.map(|f| f.1)
            ));
        }
    }
    assert!(wrong.is_empty(), "scenarios changed; read the difference, then COVIRT_BLESS=1:\n{}", wrong.join("\n"));
}
