//! The environment of unmodified libvirt clients that `tools/rpc-clients-env.sh` makes in the cache.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::skip;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// How long a client may take. *Units*: seconds.
const LIMIT: &str = "120";

/// The environment's folder.
#[derive(Debug)]
pub(crate) struct Clients(PathBuf);

impl Clients {
    /// Makes it, or finds it made; none with the reason told when it cannot be.
    pub(crate) fn get(test: &str) -> Option<Self> {
        let made = Command::new(Path::new(ROOT).join("tools/rpc-clients-env.sh")).output().expect("the tool starts");
        if made.status.success() {
            return Some(Self(PathBuf::from(String::from_utf8_lossy(&made.stdout).trim())));
        }
        skip(test, String::from_utf8_lossy(&made.stderr).trim());
        None
    }

    /// Where the Python binding alone is.
    pub(crate) fn binding(&self) -> PathBuf {
        self.0.join("binding")
    }

    /// Starts one of its programs with a limit of time, and waits.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.start(&["timeout", LIMIT], program, arguments)
    }

    /// The same in a mount namespace of its own.
    pub(crate) fn run_apart(&self, program: &str, arguments: &[&str]) -> Output {
        self.start(&["timeout", LIMIT, "unshare", "--mount", "--propagation", "private"], program, arguments)
    }

    fn start(&self, before: &[&str], program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.0.join("run"));
        command.args(before).arg(program).args(arguments).current_dir(std::env::temp_dir());
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }
}

/// A script of `tests/rpc/`.
pub(crate) fn script(name: &str) -> String {
    Path::new(ROOT).join("tests/rpc").join(name).display().to_string()
}

/// What a client printed that had to succeed.
#[track_caller]
pub(crate) fn told(what: &str, output: &Output) -> String {
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}: {}:\n{printed}{errors}", output.status);
    printed.into_owned()
}
