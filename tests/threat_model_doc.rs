//! Every promise of `docs/threat-model.md` names the tests that hold it, and these are there.

use std::collections::BTreeSet;
use std::path::Path;

/// The names of all functions that are tests, below a folder.
fn tests_below(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for marked in text.split("#[test]").skip(1).chain(text.split("#[tokio::test").skip(1)) {
                let name = marked.split("fn ").nth(1).and_then(|rest| rest.split(['(', '<']).next());
                into.extend(name.map(str::to_owned));
            }
        }
    }
}

#[test]
fn every_promise_is_held_by_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut known = BTreeSet::new();
    tests_below(&root.join("tests"), &mut known);
    tests_below(&root.join("src"), &mut known);
    let text = std::fs::read_to_string(root.join("docs/threat-model.md")).unwrap();
    let (mut promises, mut lacking) = (0, Vec::new());
    let mut is_of_promises = false;
    for line in text.lines() {
        is_of_promises = line.starts_with("| promise |") || is_of_promises && line.starts_with('|');
        let cells: Vec<&str> = line.split(" | ").collect();
        if !is_of_promises || cells[0] == "| promise" || line.starts_with("|---") {
            continue;
        }
        promises += 1;
        let named: Vec<&str> = cells[1].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "nothing holds: {}", cells[0]);
        lacking.extend(named.into_iter().filter(|name| !known.contains(*name)).map(str::to_owned));
    }
    assert!(promises > 40, "{promises} promises were found");
    assert!(lacking.is_empty(), "no test is called {lacking:#?}");
}
