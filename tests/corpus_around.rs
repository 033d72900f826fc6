//! Real XML of what is around domains, when it is at hand beside the project: all of it is read, to the last attribute.

mod support;

use std::path::{Path, PathBuf};

use covirt::discovery::{Limits, ParseError, UnknownPart, parse_capabilities, parse_network, parse_pool, parse_volume};

fn corpus(test: &str, kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus").join(kind);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        support::skip(test, &format!("no corpus at {}", folder.display()));
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Reads each file; its value keeps through JSON, and nothing in it is unknown.
#[track_caller]
fn all_is_known<T>(
    test: &str,
    kind: &str,
    least: usize,
    read: fn(Vec<u8>) -> Result<T, ParseError>,
    unknown: fn(&T) -> &[UnknownPart],
) where
    T: PartialEq + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let paths = corpus(test, kind);
    let mut faults = Vec::new();
    for path in &paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = std::fs::read(path).unwrap();
        for end in (0..bytes.len()).step_by(61) {
            if let Err(fault) = read(bytes[..end].to_vec()) {
                assert!(fault.code().starts_with(kind), "{name} cut at {end}: {}", fault.code());
            }
        }
        match read(bytes) {
            Ok(value) => {
                let json = serde_json::to_string(&value).unwrap();
                assert_eq!(serde_json::from_str::<T>(&json).unwrap(), value, "{name}");
                faults.extend(unknown(&value).iter().map(|part| format!("{name}:{}: {}", part.line, part.path)));
            }
            Err(fault) => faults.push(format!("{name}: {fault} at {:?} [{}]", fault.place(), fault.code())),
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(paths.is_empty() || paths.len() >= least, "only {} files", paths.len());
}

#[test]
fn every_network_is_read_whole() {
    let read = |bytes| parse_network(bytes, Limits::default());
    all_is_known("every_network_is_read_whole", "network", 35, read, |network| &network.unknown);
}

#[test]
fn every_pool_is_read_whole() {
    let read = |bytes| parse_pool(bytes, Limits::default());
    all_is_known("every_pool_is_read_whole", "pool", 15, read, |pool| &pool.unknown);
}

#[test]
fn every_volume_is_read_whole() {
    let read = |bytes| parse_volume(bytes, Limits::default());
    all_is_known("every_volume_is_read_whole", "volume", 7, read, |volume| &volume.unknown);
}

#[test]
fn all_capabilities_are_read_whole() {
    let read = |bytes| parse_capabilities(bytes, Limits::default());
    all_is_known("all_capabilities_are_read_whole", "capabilities", 4, read, |capabilities| &capabilities.unknown);
}
