//! A link that somebody planted where the command line writes or reads: nothing goes through it.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use crate::covirtd::Covirtd;
use crate::support::agent::DEFAULT_VM;
use crate::support::cli::{code, covirt, ends, tree};

const DOMAIN: &str = "fixtures/domain/live-uefi-two-nics.xml";

/// Somebody's folder with a file in it, and a folder of mallory's with links to both and to a file that is not there.
struct Planted {
    folder: tempfile::TempDir,
}

impl Planted {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("precious")).unwrap();
        std::fs::create_dir(path("shared")).unwrap();
        std::fs::write(path("precious/file"), "precious").unwrap();
        symlink(path("precious"), path("shared/folder")).unwrap();
        symlink(path("precious/file"), path("shared/file")).unwrap();
        symlink(path("precious/made"), path("shared/dangling")).unwrap();
        Self { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What was somebody's is as it was.
    #[track_caller]
    fn is_untouched(&self) {
        let kept = tree(&self.at("precious"));
        assert_eq!(kept, [(self.at("precious/file"), b"precious".to_vec())]);
        for (link, to) in [("folder", "precious"), ("file", "precious/file"), ("dangling", "precious/made")] {
            assert_eq!(std::fs::read_link(self.at("shared").join(link)).unwrap(), self.at(to));
        }
    }

    /// Each link as a target is refused.
    #[track_caller]
    fn refuses(&self, links: &[&str], deed: impl Fn(&str) -> Output) {
        for link in links {
            let output = deed(self.at("shared").join(link).to_str().unwrap());
            assert_ne!(code(&output), 0, "{link}: {output:?}");
            self.is_untouched();
        }
    }
}

fn render(target: &str) -> Output {
    covirt(&["artifacts", "render", "--for", "nocloud", "-o", target, "--domain", DOMAIN])
}

#[test]
fn artifacts_are_not_rendered_through_a_link() {
    let planted = Planted::new();
    planted.refuses(&["folder", "file", "dangling"], render);
    // In a folder of artifacts, too: what is written anew takes its place and is not written through it.
    let target = planted.at("shared/seed");
    ends(&render(target.to_str().unwrap()), 0);
    for entry in ["user-data", "meta-data"] {
        std::fs::remove_file(target.join(entry)).unwrap();
        symlink(planted.at("precious/file"), target.join(entry)).unwrap();
    }
    symlink(planted.at("precious"), target.join("deep")).unwrap();
    ends(&render(target.to_str().unwrap()), 0);
    assert!(!target.join("user-data").is_symlink() && !target.join("deep").is_symlink());
    planted.is_untouched();
}

#[test]
fn a_binding_is_not_drafted_through_a_link() {
    let planted = Planted::new();
    planted.refuses(&["folder", "file", "dangling"], |target| {
        covirt(&["artifacts", "bind", "--for", "ec2", "--init", "-o", target, "--domain", DOMAIN])
    });
}

#[test]
fn an_access_bundle_is_not_written_through_a_link() {
    let planted = Planted::new();
    let agent = Covirtd::start(env!("CARGO_BIN_EXE_covirtd"), "test:///default", "");
    let mut north = agent.client("north");
    north.post(&format!("/v1/vms/{DEFAULT_VM}/enrollment"), &json!({})).ok();
    let grant = json!({ "to": "south", "actions": ["power.start"], "mode": "shared" });
    north.post(&format!("/v1/vms/{DEFAULT_VM}/delegations"), &grant).ok();
    let bundle = |target: &str| {
        let mut covirt = Command::new(env!("CARGO_BIN_EXE_covirt"));
        covirt.arg("--socket").arg(agent.socket()).args(["--as", "north", "access", "bundle", DEFAULT_VM]);
        covirt.args(["--for", "south", "--api", "https://host:16515", "-o", target]).output().expect("run covirt")
    };
    planted.refuses(&["folder", "file", "dangling"], bundle);
    let plain = planted.at("shared/plain.tar");
    for _ in 0..2 {
        ends(&bundle(plain.to_str().unwrap()), 0);
    }
}

#[test]
fn a_report_reads_nothing_through_a_link() {
    let planted = Planted::new();
    let target = planted.at("shared/seed");
    ends(&render(target.to_str().unwrap()), 0);
    let report = |folder: &Path| covirt(&["artifacts", "report", folder.to_str().unwrap()]);
    ends(&report(&target), 0);
    // The same bytes behind a link are no manifest of this folder.
    let manifest = target.join("manifest.json");
    std::fs::rename(&manifest, planted.at("manifest.json")).unwrap();
    symlink(planted.at("manifest.json"), &manifest).unwrap();
    assert_ne!(code(&report(&target)), 0);
    planted.is_untouched();
}
