//! noVNC itself against the VNC WebSocket of a real guest: its own client code, with a document and a canvas from outside of
//! a browser (`tests/novnc/client.mjs`).

mod access;
#[path = "support/covirtd.rs"]
mod covirtd;
#[path = "support/stage.rs"]
mod stage;
mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use access::guests::screened;
use access::libvirt;
use serde_json::{Value, json};
use stage::{LONG, Stage};
use support::{skip, until};

/// Where noVNC is, or why it is not.
fn environment() -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/novnc-env.sh");
    let output = Command::new(script).output().expect("run novnc-env.sh");
    if output.status.success() {
        return Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// A noVNC that runs; it ends with the test.
struct NoVnc {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl NoVnc {
    #[track_caller]
    fn open(environment: &Path, stage: &Stage<'_>, provider: &str, picture: &Path) -> Self {
        let mut node = Command::new("node");
        node.arg("client.mjs").arg(stage.agent.socket()).args([provider, &stage.vm]).arg(picture);
        node.current_dir(environment).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = node.spawn().expect("run node");
        let lines = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, lines }
    }

    /// Has it write what it shows.
    #[track_caller]
    fn picture(&mut self) {
        self.child.stdin.as_mut().expect("its input").write_all(b"\n").expect("ask it");
        assert!(self.next()["width"].is_u64());
    }

    #[track_caller]
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("read a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

impl Drop for NoVnc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn novnc_shows_what_a_screenshot_shows_and_is_told_when_its_delegation_ends() {
    let name = "novnc_shows_what_a_screenshot_shows_and_is_told_when_its_delegation_ends";
    let environment = match environment() {
        Ok(environment) => environment,
        Err(reason) => return skip(name, &reason),
    };
    let libvirt = libvirt!(name);
    let mut stage = Stage::set(&libvirt, screened(&libvirt, "novnc"), "");
    stage.delegate(&["screen.open"], "shared");
    let (vm, socket) = (stage.vm.clone(), stage.agent.socket());
    let file = |name: &str| stage.agent.folder().join(name);
    let (shown, taken) = (file("novnc.png"), file("screenshot.png"));
    let mut novnc = NoVnc::open(&environment, &stage, "south", &shown);
    let said = novnc.next();
    assert_eq!((&said["asks"], &said["protocol"]), (&json!(0), &json!("binary")), "no password is asked for: {said}");
    // The same picture by another way, but for a cursor that blinks, once the firmware has written all that it has to say.
    until("noVNC shows what a screenshot shows", LONG, || {
        novnc.picture();
        access::covirt(&socket, "north", &["screenshot", &vm, "-o", taken.to_str().expect("a path")]).ok();
        let ((wide, high, seen), (width, height, pixels)) = (access::png(&shown), access::png(&taken));
        let others = seen.chunks(3).zip(pixels.chunks(3)).filter(|(one, other)| one != other).count();
        let bright = pixels.chunks(3).filter(|pixel| pixel.iter().any(|byte| *byte > 128)).count();
        ((wide, high) == (width, height) && bright > 1000 && others < 100).then_some(())
    });
    if let Ok(kept) = std::env::var("COVIRT_KEEP_NOVNC") {
        std::fs::copy(&shown, kept).expect("keep the picture");
    }
    stage.north.delete(&format!("/v1/vms/{vm}/delegations/south")).ok();
    assert_eq!(novnc.next(), json!({ "closed": { "code": 4000, "reason": "delegation-ended" } }));
    // Whoever may not is refused before a WebSocket is open, and noVNC says so.
    let mut refused = NoVnc::open(&environment, &stage, "south", &shown);
    let said = refused.next();
    assert!(said["error"].as_str().is_some_and(|error| error.contains("404") || error.contains("403")), "{said}");
}
