//! `covirt discover FILE…|-`: domain XML files to inventories, with neither agent nor libvirt.
//!
//! Assumes paths and two streams. Guarantees that each file is read within the limits, that one refused file does not
//! keep the others from being printed, and that a refusal is one line of the form `FILE:LINE: reason [code]`.

use std::io::{self, Write};
use std::path::PathBuf;

use super::documents::{Around, read_domain};
use crate::discovery::Inventory;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every file was read.
    Done,
    /// At least one was refused; the others were printed.
    Refused,
}

impl Outcome {
    /// The exit status.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
        }
    }
}

/// Prints one inventory for each file, in the same surroundings: indented when there is one file, else each on its own
/// line.
///
/// *Errors*: only those of writing to `out` and `err`; what is wrong with a file is a line on `err`.
pub fn discover(files: &[PathBuf], around: &Around, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Outcome> {
    let mut outcome = Outcome::Done;
    for file in files {
        match read_domain(file) {
            Ok(domain) => {
                let inventory = Inventory::build(around.of(domain));
                if files.len() == 1 {
                    serde_json::to_writer_pretty(&mut *out, &inventory)?;
                } else {
                    serde_json::to_writer(&mut *out, &inventory)?;
                }
                writeln!(out)?;
            }
            Err(refused) => {
                outcome = Outcome::Refused;
                writeln!(err, "{refused}")?;
            }
        }
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "<domain type='kvm'><name>web01</name><memory unit='GiB'>1</memory></domain>";

    fn run(files: &[(&str, &str)]) -> (Outcome, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            paths.push(path);
        }
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let outcome = discover(&paths, &Around::default(), &mut out, &mut err).unwrap();
        let err = String::from_utf8(err).unwrap().replace(&format!("{}/", folder.path().display()), "");
        (outcome, String::from_utf8(out).unwrap(), err)
    }

    #[test]
    fn one_file_is_one_indented_document() {
        let (outcome, out, err) = run(&[("a.xml", GOOD)]);
        assert_eq!((outcome.exit_code(), err.as_str()), (0, ""));
        assert!(out.starts_with("{\n  \"format\": 2,"), "{out}");
        let inventory: Inventory = serde_json::from_str(&out).unwrap();
        assert_eq!(inventory.domain.memory.max_kib.0, 1_048_576);
    }

    #[test]
    fn a_refused_file_does_not_stop_the_others() {
        let (outcome, out, err) = run(&[("a.xml", GOOD), ("b.xml", "<domain>\n<name>x</nam>"), ("c.xml", GOOD)]);
        assert_eq!(outcome, Outcome::Refused);
        assert_eq!(out.lines().count(), 2);
        assert!(err.starts_with("b.xml:2: "), "{err}");
        assert!(err.ends_with(" [domain-malformed]\n"), "{err}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let outcome = discover(&[PathBuf::from("no-such-file.xml")], &Around::default(), &mut out, &mut err).unwrap();
        assert_eq!(outcome, Outcome::Refused);
        assert!(String::from_utf8(err).unwrap().contains("[file-unreadable]"));
    }
}
