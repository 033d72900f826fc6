//! The providers' own software, in environments that `tools/consumers-env.sh` makes in the cache.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// An environment: `light` or `openstack` are Python virtual environments, `debian` is an unpacked tree with `run`.
#[derive(Debug, Clone)]
pub(crate) struct Consumers {
    folder: PathBuf,
}

impl Consumers {
    /// Makes the environment, or finds it made; none with the reason told when it cannot be.
    pub(crate) fn of(test: &str, name: &str) -> Option<Self> {
        let run = Command::new(Path::new(ROOT).join("tools/consumers-env.sh")).arg(name).output();
        match run {
            Ok(output) if output.status.success() => {
                Some(Self { folder: PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()) })
            }
            Ok(output) => {
                super::skip(test, String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(fault) => {
                super::skip(test, &fault.to_string());
                None
            }
        }
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs a script of `tests/consumers/` with the environment's Python.
    pub(crate) fn python(&self, script: &str, arguments: &[&Path]) -> Output {
        let python = self.folder.join("bin/python");
        let script = Path::new(ROOT).join("tests/consumers").join(script);
        let mut command = Command::new(python);
        command.arg("-B").arg(script).args(arguments).current_dir(std::env::temp_dir());
        command.output().expect("the environment's Python starts")
    }
}

/// What a program wrote, both streams.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
