//! The units, judged by systemd's own tools: `tools/check-units.sh` on a tree of its own.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::skip;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn check(folder: &Path) -> Output {
    Command::new(Path::new(ROOT).join("tools/check-units.sh")).arg(folder).output().expect("run check-units.sh")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_units_mean_what_they_say_and_reach_little_of_the_host() {
    let output = check(&Path::new(ROOT).join("systemd"));
    if output.status.code() == Some(77) {
        return skip("the_units_mean_what_they_say_and_reach_little_of_the_host", said(&output).trim());
    }
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn units_that_are_wrong_or_reach_more_are_noticed() {
    for (good, bad) in [
        ("WatchdogSec=30", "WatchdogSeconds=30"),
        ("Type=notify", "Type=tell"),
        ("NoNewPrivileges=yes", "NoNewPrivileges=no"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        for entry in std::fs::read_dir(Path::new(ROOT).join("systemd")).expect("units") {
            let path = entry.expect("a unit").path();
            let text = std::fs::read_to_string(&path).expect("text").replace(good, bad);
            std::fs::write(folder.path().join(path.file_name().expect("a name")), text).expect("write");
        }
        let output = check(folder.path());
        if output.status.code() == Some(77) {
            return skip("units_that_are_wrong_or_reach_more_are_noticed", said(&output).trim());
        }
        assert_eq!(output.status.code(), Some(1), "{bad}: {}", said(&output));
    }
}

/// The kernel's word on a peer is all that covirtd goes by, and inside a user namespace every peer is nobody.
#[test]
fn the_unit_leaves_users_as_they_are() {
    let unit = std::fs::read_to_string(Path::new(ROOT).join("systemd/covirtd.service")).expect("the unit");
    assert!(unit.lines().any(|line| line == "PrivateUsers=no"));
    assert!(unit.lines().any(|line| line == "User=covirt"));
}
