//! cloud-init, netplan and readers of discs, unpacked from Debian's packages by `tools/cloud-init-env.sh`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The unpacked tree.
#[derive(Debug, Clone)]
pub(crate) struct Debian {
    folder: PathBuf,
}

impl Debian {
    /// Unpacks it, or finds it unpacked; none with the reason told when it cannot be.
    pub(crate) fn of(test: &str) -> Option<Self> {
        static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let found = FOLDER.get_or_init(|| {
            let run = Command::new(Path::new(ROOT).join("tools/cloud-init-env.sh")).output();
            let output = run.map_err(|fault| fault.to_string())?;
            if output.status.success() {
                Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
            } else {
                Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
            }
        });
        match found {
            Ok(folder) => Some(Self { folder: folder.clone() }),
            Err(reason) => {
                super::skip(test, reason);
                None
            }
        }
    }

    /// A path in the tree.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.join("root").join(path)
    }

    /// Runs a program with the tree's modules and libraries.
    pub(crate) fn run(&self, program: &Path, arguments: &[&Path]) -> Output {
        Command::new(self.folder.join("run")).arg(program).args(arguments).output().expect("a shell starts")
    }

    /// Runs a script of `tests/consumers/` with the tree's modules.
    pub(crate) fn python(&self, script: &str, arguments: &[&Path]) -> Output {
        let script = Path::new(ROOT).join("tests/consumers").join(script);
        let words: Vec<&Path> = std::iter::once(script.as_path()).chain(arguments.iter().copied()).collect();
        self.run(Path::new("/usr/bin/python3"), &words)
    }
}
