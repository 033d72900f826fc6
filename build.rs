//! Gives the library a fingerprint of the code that turns facts into a lane's state. Snapshots in the journal carry it:
//! one that other code made is not believed.

use std::path::{Path, PathBuf};

/// Where facts, and what they do, are defined.
const CODE: [&str; 5] = ["src/model", "src/delegation", "src/sovereignty", "src/resolver", "src/journal/snapshot.rs"];

fn main() {
    let mut files = Vec::new();
    for place in CODE {
        println!("cargo::rerun-if-changed={place}");
        collect(Path::new(place), &mut files);
    }
    files.sort();
    // FNV-1a: nobody is to be kept from forging it, only from forgetting it.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in files {
        let text = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for byte in file.to_string_lossy().bytes().chain([0]).chain(text).chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    // As SQLite and JSON have integers: within 63 bits.
    println!("cargo::rustc-env=COVIRT_FACTS_CODE={}", hash >> 1);
}

fn collect(place: &Path, files: &mut Vec<PathBuf>) {
    let is_test = place.file_name().is_some_and(|name| name == "tests" || name == "tests.rs");
    if is_test {
        return;
    }
    if place.is_file() {
        files.push(place.to_owned());
        return;
    }
    let entries = std::fs::read_dir(place).unwrap_or_else(|error| panic!("{}: {error}", place.display()));
    for entry in entries {
        collect(&entry.unwrap_or_else(|error| panic!("{}: {error}", place.display())).path(), files);
    }
}
