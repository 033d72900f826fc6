//! virsh, unmodified, directly and through a door: the same words and the same exit codes.
//!
//! Needs QEMU. Two guests of one kind go through `fixtures/rpc/virsh.txt` line by line, the near one directly, the far one
//! through a door, while `virsh event --all` listens at either.

#[path = "support/covirtd.rs"]
mod covirtd;
#[path = "support/door.rs"]
mod door;
#[path = "door/script.rs"]
mod script;
mod support;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use covirtd::events;
use door::{Door, with_screen};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use script::{Side, Step, Twins};
use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::{skip, until};

const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/rpc/virsh.txt");

/// A guest that the list may define, and a folder for what the list writes. `number` tells it from its twin.
fn side(libvirt: &PrivateLibvirt, guest: &Guest, uri: &str, number: u32) -> Side {
    let folder = libvirt.folder().join(format!("files-{}", guest.name()));
    std::fs::create_dir_all(&folder).expect("make a folder");
    let xml = libvirt.virsh(&["dumpxml", "--inactive", guest.name()]);
    let between = |first, last| xml.split_once(first).and_then(|(_, rest)| rest.split_once(last)).expect(first).0;
    let (uuid, drawn) = (between("<uuid>", "</uuid>"), between("<mac address='", "'"));
    // Of decimal digits, so that addresses which are made of it have one shape.
    let mac = format!("52:54:00:44:{:02}:{number}{number}", std::process::id() % 100);
    // A drive to put discs into.
    let drive = "<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk></devices>";
    let definition = with_screen(&xml).replace("</devices>", drive).replace(drawn, &mac);
    std::fs::write(folder.join("vm.xml"), definition).expect("write its definition");
    libvirt.virsh(&["undefine", guest.name()]);
    let net = if number == 1 { "192.0.2" } else { "198.51.100" };
    Side { uri: uri.to_owned(), name: guest.name().to_owned(), uuid: uuid.to_owned(), mac, net, folder }
}

/// `virsh event --all`, whose words go to a file.
struct Listener {
    child: Child,
    heard: PathBuf,
}

impl Listener {
    fn start(uri: &str, heard: PathBuf) -> Self {
        let file = File::create(&heard).expect("make a file");
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "virsh", "-c", uri, "event", "--all", "--loop"]).stdin(Stdio::null());
        Self { child: command.stdout(file).spawn().expect("start virsh"), heard }
    }

    fn heard(&self) -> String {
        std::fs::read_to_string(&self.heard).expect("read what was heard")
    }

    /// Ends it as a user does.
    fn end(mut self) -> String {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), Signal::SIGINT).expect("interrupt virsh");
        self.child.wait().expect("wait for virsh");
        self.heard()
    }
}

/// Has both listeners hear of a mark.
#[track_caller]
fn mark(libvirt: &PrivateLibvirt, on: &Guest, listeners: &[Listener; 2], mark: &str) {
    until(&format!("both hear of {mark}"), Duration::from_secs(20), || {
        libvirt.virsh(&["metadata", on.name(), "--config", "--uri", mark, "--key", "m", "--set", "<m/>"]);
        listeners.iter().all(|listener| listener.heard().contains(mark)).then_some(())
    });
}

/// What was heard between two marks, which may have been set more than once.
fn between(heard: &str, first: &str, last: &str) -> Vec<String> {
    let lines: Vec<&str> = heard.lines().collect();
    let begin = lines.iter().rposition(|line| line.contains(first)).expect("the first mark");
    let end = lines.iter().position(|line| line.contains(last)).expect("the last mark");
    lines[begin..end].iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn virsh_is_told_the_same_at_the_door() {
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("virsh_is_told_the_same_at_the_door", &reason),
    };
    let text = std::fs::read_to_string(Path::new(LIST)).expect("read the list");
    let (steps, files) = script::parse(&text);
    let door = Door::open(&libvirt);
    let (near, far) = (Guest::define(&libvirt, "near"), Guest::define(&libvirt, "door"));
    let (near, far) = (side(&libvirt, &near, libvirt.uri(), 1), side(&libvirt, &far, &door.uri(), 2));
    let twins = Twins { near, far, manners: door.manners() };
    twins.write(&files);

    let marker = Guest::define(&libvirt, "mark");
    // libxml2 makes its tables of types when it first validates something, and cannot make them for two at once, as the two
    // sides would have it.
    let described = libvirt.folder().join("validated.xml");
    std::fs::write(&described, libvirt.virsh(&["dumpxml", "--inactive", marker.name()])).expect("write it");
    libvirt.virsh(&["define", "--validate", described.to_str().expect("a plain path")]);
    let heard = |side: &Side| Listener::start(&side.uri, side.folder.join("events"));
    let listeners = [heard(&twins.near), heard(&twins.far)];
    let mark = |name| mark(&libvirt, &marker, &listeners, name);
    mark("urn:covirt:ready");
    mark("urn:covirt:begin");

    let (mut ran, mut wrong, mut section) = (0, Vec::new(), String::new());
    for step in &steps {
        if let Step::Section(title) = step {
            section.clone_from(title);
        }
        ran += usize::from(matches!(step, Step::Run(_)));
        if let Err(difference) = twins.play(step) {
            eprintln!("{section}: {difference}\n");
            wrong.push(format!("{section}: {difference}"));
        }
    }

    mark("urn:covirt:end");
    let [direct, through] = listeners.map(Listener::end);
    let [direct, through] = [direct, through].map(|heard| between(&heard, "urn:covirt:begin", "urn:covirt:end"));
    assert!(direct.len() > 100, "{} events", direct.len());
    assert_eq!(direct, through, "the events");
    eprintln!("{ran} commands, {} events", direct.len());
    // South made the far guest at its door, and is its primary by that.
    if let Some(mut south) = door.client() {
        let told = events(&mut south, &twins.far.uuid);
        let started = told.iter().filter(|event| event["kind"] == "started").count();
        eprintln!("{started} of them were commands on the far guest's lane");
        assert!(started > 100, "only {started} went through the lane");
    }
    assert!(ran >= 200, "only {ran} commands");
    assert!(wrong.is_empty(), "{} of {ran} commands differ:\n{}", wrong.len(), wrong.join("\n\n"));
}
