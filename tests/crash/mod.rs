//! An agent that dies at a chosen effect on the world outside: what it writes, asks and answers is watched from inside its
//! process by `points.c`, which is loaded into it. The program itself knows nothing of that.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One effect, and whether it is before or after it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Effect {
    pub(crate) kind: String,
    /// libvirt's number of the procedure, for what goes to and comes from libvirtd.
    pub(crate) procedure: u32,
    pub(crate) moment: String,
}

/// The `nth` time that an effect comes about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) effect: Effect,
    pub(crate) nth: usize,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Effect { kind, procedure, moment } = &self.effect;
        write!(f, "{kind} {procedure} {} {moment}", self.nth)
    }
}

/// Every point of a way, in order.
pub(crate) fn points(way: &[Effect]) -> Vec<Point> {
    let nth = |place: usize| way[..=place].iter().filter(|effect| **effect == way[place]).count();
    (0..way.len()).map(|place| Point { effect: way[place].clone(), nth: nth(place) }).collect()
}

/// What watches over the effects of a program.
pub(crate) struct Watcher {
    folder: tempfile::TempDir,
}

impl Watcher {
    /// Builds it; an error says why it cannot be built on this machine.
    pub(crate) fn build() -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("crash-").tempdir().expect("make a folder");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/points.c");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(folder.path().join("points.so")).arg(source);
        match compile.output() {
            Ok(output) if output.status.success() => Ok(Self { folder }),
            Ok(output) => panic!("points.c: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => Err(format!("there is no C compiler: {error}")),
        }
    }

    /// A program that is `program` under this watch.
    pub(crate) fn of(&self, program: &str) -> PathBuf {
        let (path, folder) = (self.folder.path().join("watched"), self.folder.path().display());
        let text = format!(
            "#!/bin/sh\nLD_PRELOAD='{folder}/points.so' COVIRT_CRASH_POINTS='{folder}' exec '{program}' \"$@\"\n"
        );
        std::fs::write(&path, text).expect("write a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("make it a program");
        path
    }

    /// From now on it dies at this point, or at none.
    pub(crate) fn arm(&self, point: Option<&Point>) {
        let rule = point.map(ToString::to_string).unwrap_or_default();
        std::fs::write(self.folder.path().join("rule"), rule).expect("write the rule");
    }

    /// Forgets what has happened.
    pub(crate) fn forget(&self) {
        std::fs::write(self.folder.path().join("trace"), "").expect("empty the trace");
    }

    /// What has happened since.
    pub(crate) fn happened(&self) -> Vec<Effect> {
        let effect = |line: &str| {
            let mut words = line.split(' ');
            let (kind, procedure, moment) = (words.next()?, words.next()?, words.next()?);
            Some(Effect { kind: kind.into(), procedure: procedure.parse().ok()?, moment: moment.into() })
        };
        self.trace().lines().filter_map(effect).collect()
    }

    /// Whether it has died of it since.
    pub(crate) fn died(&self) -> bool {
        self.trace().lines().any(|line| line == "died")
    }

    fn trace(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("trace")).unwrap_or_default()
    }
}
