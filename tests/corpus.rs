//! Real libvirt XML, when it is at hand beside the project: all that libvirt itself accepts becomes an inventory.

use std::collections::BTreeMap;
use std::path::PathBuf;

use covirt::discovery::{Discovered, Inventory, Limits, parse_domain, parse_network, recognise};

/// The folder of real XML, or none with the reason printed.
fn corpus() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus"));
    if folder.join("accepted.txt").is_file() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no corpus at {}", folder.display());
    None
}

#[test]
fn every_domain_that_libvirt_accepts_becomes_an_inventory() {
    let Some(folder) = corpus() else { return };
    let names = std::fs::read_to_string(folder.join("accepted.txt")).unwrap();
    let mut refused = Vec::new();
    let mut read = 0;
    for name in names.lines().filter(|line| !line.is_empty()) {
        let bytes = std::fs::read(folder.join("domain").join(name)).unwrap();
        match parse_domain(&bytes, Limits::default()) {
            Ok(domain) => {
                let inventory = Inventory::build(Discovered::from_domain(domain));
                let json = serde_json::to_string(&inventory).unwrap();
                assert_eq!(serde_json::from_str::<Inventory>(&json).unwrap(), inventory, "{name}");
                read += 1;
            }
            Err(error) => refused.push(format!("{name}: {error} at {:?} [{}]", error.place(), error.code())),
        }
    }
    assert!(refused.is_empty(), "{read} read, refused:\n{}", refused.join("\n"));
    assert!(read > 700, "only {read} files");
}

#[test]
fn nothing_in_a_domain_that_libvirt_accepts_is_unknown() {
    let Some(folder) = corpus() else { return };
    let names = std::fs::read_to_string(folder.join("accepted.txt")).unwrap();
    let mut unknown = BTreeMap::<String, (usize, String)>::new();
    for name in names.lines().filter(|line| !line.is_empty()) {
        let bytes = std::fs::read(folder.join("domain").join(name)).unwrap();
        for part in parse_domain(&bytes, Limits::default()).unwrap().unknown {
            let place = format!("{name}:{}", part.line);
            unknown.entry(part.path).or_insert((0, place)).0 += 1;
        }
    }
    let list: Vec<String> =
        unknown.iter().map(|(path, (count, place))| format!("{path}: {count} times, first in {place}")).collect();
    assert!(list.is_empty(), "{}", list.join("\n"));
}

#[test]
fn no_manager_is_seen_in_what_none_has_made() {
    let Some(folder) = corpus() else { return };
    let names = std::fs::read_to_string(folder.join("accepted.txt")).unwrap();
    for name in names.lines().filter(|line| !line.is_empty()) {
        let bytes = std::fs::read(folder.join("domain").join(name)).unwrap();
        assert_eq!(recognise(&parse_domain(&bytes, Limits::default()).unwrap()), [], "{name}");
    }
}

#[test]
fn every_domain_that_libvirt_refuses_is_read_or_refused_with_a_line() {
    let Some(folder) = corpus() else { return };
    let accepted = std::fs::read_to_string(folder.join("accepted.txt")).unwrap();
    let accepted: std::collections::BTreeSet<&str> = accepted.lines().collect();
    let mut read = 0;
    for entry in std::fs::read_dir(folder.join("domain")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if accepted.contains(name.as_str()) {
            continue;
        }
        match parse_domain(std::fs::read(&path).unwrap(), Limits::default()) {
            Ok(domain) => {
                let inventory = Inventory::build(Discovered::from_domain(domain));
                let json = serde_json::to_string(&inventory).unwrap();
                assert_eq!(serde_json::from_str::<Inventory>(&json).unwrap(), inventory, "{name}");
                read += 1;
            }
            Err(error) => assert!(error.place().is_some(), "{name}: {error}"),
        }
    }
    assert!(read > 50, "only {read} files");
}

#[test]
fn every_network_is_read_or_refused_with_a_line() {
    let Some(folder) = corpus() else { return };
    let mut refused = Vec::new();
    for entry in std::fs::read_dir(folder.join("network")).unwrap() {
        let path = entry.unwrap().path();
        if let Err(error) = parse_network(std::fs::read(&path).unwrap(), Limits::default()) {
            refused.push(format!("{}: {error} at {:?} [{}]", path.display(), error.place(), error.code()));
        }
    }
    assert!(refused.is_empty(), "refused:\n{}", refused.join("\n"));
}

#[test]
fn no_domain_of_the_corpus_makes_the_parser_panic_when_cut_short() {
    let Some(folder) = corpus() else { return };
    for entry in std::fs::read_dir(folder.join("domain")).unwrap().step_by(16) {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for end in (0..bytes.len()).step_by(97) {
            if let Err(error) = parse_domain(bytes.get(..end).unwrap(), Limits::default()) {
                assert!(error.code().starts_with("domain-"));
            }
        }
    }
}
