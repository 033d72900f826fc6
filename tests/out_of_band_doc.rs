//! The tables of `docs/out-of-band.md` and `docs/managers.md` are those of the code.

use std::path::Path;

use covirt::discovery::Manager;
use covirt::model::Cause;

fn document(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name))
        .expect("the document is there")
}

#[test]
fn every_cause_is_in_the_table_with_its_origin() {
    let text = document("out-of-band.md");
    let table = text.split("## Causes").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a table");
    let rows: Vec<(String, String)> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(cause, rest)| (cause.to_owned(), rest.split(" |").next().unwrap_or_default().to_owned()))
        .collect();
    let expected: Vec<(String, String)> =
        Cause::ALL.iter().map(|cause| (cause.as_str().to_owned(), cause.actor().as_str().to_owned())).collect();
    assert_eq!(rows, expected);
}

#[test]
fn every_manager_has_its_section() {
    let text = document("managers.md");
    for manager in Manager::ALL {
        assert!(text.contains(&format!("\n## {}\n", manager.as_str())), "{manager}");
        assert!(manager.documentation().ends_with(&format!("#{}", manager.as_str())));
    }
}
