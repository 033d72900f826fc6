//! The built `covirt`, run where no agent answers.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Runs `covirt` where no agent answers.
pub(crate) fn covirt(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_covirt"));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("COVIRT_AS")
        .env("COVIRT_SOCKET", "/nonexistent/covirt.sock");
    command.args(words).output().unwrap()
}

/// Its exit code.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("it ended by a signal: {output:?}"))
}

/// What it wrote to standard output.
pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it wrote to standard error.
pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Its answer in JSON.
pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|fault| panic!("{fault} in {output:?}"))
}

/// Holds it to an exit code.
#[track_caller]
pub(crate) fn ends(output: &Output, expected: i32) {
    assert_eq!(code(output), expected, "{}{}", out(output), err(output));
}

/// Every file below a folder with its content, sorted.
pub(crate) fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        } else if path.is_file() {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}
