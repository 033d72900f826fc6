//! Doors to the libvirts of other releases, and the clients of other releases at a door.
//!
//! Needs QEMU, and `tools/libvirt-env.sh` for other releases than this system's: the oldest and the newest that can be
//! had are unpacked when they are not there yet, one between them is taken if it is.

#[path = "support/covirtd.rs"]
mod covirtd;
#[path = "support/doors.rs"]
mod doors;
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use virt::sys;

use doors::Doors;
use support::qemu::{Guest, PrivateLibvirt, Skip, firmware_xml, libvirt_of};
use support::{skip, until};

/// A libvirt: its daemon, its virsh and its QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Release {
    /// This system's.
    Here,
    /// Of an unpacked Debian.
    Of(PathBuf),
}

/// The oldest that Debian still has: 7.0.
fn oldest() -> Result<Release, Skip> {
    libvirt_of(&["bullseye"]).map(Release::Of)
}

/// The newest that Debian has.
fn newest() -> Result<Release, Skip> {
    libvirt_of(&["trixie-backports"]).map(Release::Of)
}

/// One between them, if somebody has unpacked it.
fn between() -> Result<Release, Skip> {
    libvirt_of(&["--cached", "trixie"]).map(Release::Of)
}

fn here() -> Result<Release, Skip> {
    Ok(Release::Here)
}

impl Release {
    fn start(&self) -> Result<PrivateLibvirt, Skip> {
        match self {
            Self::Here => PrivateLibvirt::own(),
            Self::Of(tree) => PrivateLibvirt::of_tree(tree),
        }
    }

    fn virsh(&self) -> PathBuf {
        match self {
            Self::Here => "virsh".into(),
            Self::Of(tree) => tree.join("virsh"),
        }
    }
}

/// How a virsh ended.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// A release's virsh at one place.
struct Client<'a> {
    virsh: &'a Path,
    uri: String,
}

impl Client<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut virsh = Command::new(self.virsh);
        virsh.args(["-q", "-c", &self.uri]).args(words).env("LC_ALL", "C");
        virsh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        virsh
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> Said {
        let output = self.command(words).output().expect("run virsh");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// What it printed; it must succeed, and complain of nothing.
    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        let said = self.run(words);
        assert!(said.code == Some(0) && said.err.trim().is_empty(), "{words:?} at {}: {said:?}", self.uri);
        said.out
    }

    #[track_caller]
    fn fails(&self, words: &[&str]) -> String {
        let said = self.run(words);
        assert_eq!(said.code, Some(1), "{words:?} at {}: {said:?}", self.uri);
        said.err
    }
}

/// Lines that are asked for by procedures which a door passes on to no libvirt, so that a client is told as by a libvirt
/// that has them not.
fn without_newer(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("Autostart Once:")).map(|line| format!("{line}\n")).collect()
}

/// What is asked of a guest that is off, and answered alike directly and at a door.
const READS: [&[&str]; 6] = [
    &["dominfo", "@"],
    &["domstats", "--state", "--balloon", "--vcpu", "--block", "@"],
    &["dumpxml", "@"],
    &["domblklist", "@", "--details"],
    &["snapshot-list", "@"],
    &["vcpucount", "@"],
];

/// Doors to one release's daemon, and a VM that only the host role sees.
struct Ground<'a> {
    doors: Doors<'a>,
    unseen: Guest,
}

impl<'a> Ground<'a> {
    fn set(libvirt: &'a PrivateLibvirt) -> Self {
        let unseen = Guest::firmware(libvirt, "unseen");
        let mut doors = Doors::set(libvirt, Guest::firmware(libvirt, "guest"), "");
        doors.delegate(&["power.*"], "shared");
        Self { doors, unseen }
    }

    /// A client does what clients do.
    fn met_by(&mut self, release: &Release) {
        let virsh = release.virsh();
        let at = |uri: &str| Client { virsh: &virsh, uri: uri.to_owned() };
        let direct = at(self.doors.libvirt.uri());
        let (north, south) = (at(&self.doors.uri("north")), at(&self.doors.uri("south")));
        let name = self.doors.guest.name().to_owned();
        for client in [&north, &south] {
            assert_eq!(client.ok(&["version", "--daemon"]), direct.ok(&["version", "--daemon"]));
        }
        for read in READS {
            let words: Vec<&str> = read.iter().map(|word| if *word == "@" { &*name } else { word }).collect();
            let told = without_newer(&direct.ok(&words));
            for client in [&north, &south] {
                assert_eq!(without_newer(&client.ok(&words)), told, "{words:?}");
            }
        }
        assert_eq!(north.ok(&["list", "--all", "--name"]), direct.ok(&["list", "--all", "--name"]));
        self.lives(&north);
        self.is_all_that_south_sees(&south);
        self.tells_of(&south);
        self.is_refused(&south);
        self.asks_for_what_is_newer(&[&direct, &north, &south]);
    }

    /// A VM is made, lives and ends at north's door, by the way of every command.
    fn lives(&mut self, north: &Client<'_>) {
        let uuid = uuid::Uuid::now_v7();
        let name = format!("made-{}", uuid.simple());
        let xml = firmware_xml(&name).replace("<memory", &format!("<uuid>{uuid}</uuid><memory"));
        let file = self.doors.agent.folder().join("made.xml");
        std::fs::write(&file, xml).expect("write a definition");
        let is = |state: &str| assert_eq!(north.ok(&["domstate", &name]).trim(), state);
        north.ok(&["define", file.to_str().expect("a path of letters")]);
        is("shut off");
        north.ok(&["start", &name, "--paused"]);
        is("paused");
        north.ok(&["resume", &name]);
        is("running");
        assert!(north.ok(&["list", "--name"]).contains(&name));
        north.ok(&["suspend", &name]);
        is("paused");
        assert!(north.ok(&["domstats", "--state", &name]).contains("state.state=3"));
        north.ok(&["destroy", &name]);
        north.ok(&["undefine", &name]);
        assert!(north.fails(&["dominfo", &name]).contains("failed to get domain"));
        let commands = self.doors.north.get(&format!("/v1/vms/{uuid}/commands")).ok();
        let mut actions: Vec<_> = commands["commands"].as_array().expect("commands").clone();
        actions.sort_by_key(|command| command["received_at"].to_string());
        let actions: Vec<_> = actions.iter().map(|command| (&command["action"], &command["state"])).collect();
        let wanted = ["power.start", "power.resume", "power.suspend", "power.stop", "definition.undefine"];
        assert!(actions.iter().map(|(action, _)| *action).eq(wanted), "{actions:?}");
        assert!(actions.iter().all(|(_, state)| *state == "done"), "{actions:?}");
    }

    fn is_all_that_south_sees(&self, south: &Client<'_>) {
        assert_eq!(south.ok(&["list", "--all", "--name"]).trim(), self.doors.guest.name());
        assert!(south.fails(&["dominfo", self.unseen.name()]).contains("failed to get domain"));
        assert!(!south.ok(&["domstats"]).contains(self.unseen.name()));
        south.ok(&["start", self.doors.guest.name()]);
        south.ok(&["destroy", self.doors.guest.name()]);
    }

    /// An event reaches it: its virsh ends with the first one.
    fn tells_of(&self, south: &Client<'_>) {
        let mut listener = south.command(&["event", "--event", "metadata-change"]).spawn().expect("start virsh");
        let name = self.doors.guest.name();
        until("the event comes", Duration::from_secs(60), || {
            for of in [self.unseen.name(), name] {
                let to = ["metadata", of, "--config", "--uri", "urn:covirt:told", "--key", "m", "--set", "<m/>"];
                self.doors.libvirt.virsh(&to);
            }
            listener.try_wait().expect("ask for virsh")
        });
        let output = listener.wait_with_output().expect("wait for virsh");
        let heard = String::from_utf8_lossy(&output.stdout);
        assert!(heard.contains("metadata-change") && heard.contains(name), "{output:?}");
        assert!(!heard.contains(self.unseen.name()), "{heard}");
    }

    fn is_refused(&self, south: &Client<'_>) {
        let name = self.doors.guest.name();
        let told = south.fails(&["undefine", name]);
        assert!(told.starts_with(&format!("error: Failed to undefine domain '{name}'\nerror: covirt ")), "{told}");
        assert!(told.contains("definition.undefine"), "{told}");
        // A program sees the code.
        let connection = self.doors.connect("south");
        let error = self.doors.guest.domain(&connection).undefine().expect_err("it is not delegated");
        assert_eq!((error.code().to_raw(), error.domain().to_raw()), (sys::VIR_ERR_ACCESS_DENIED, sys::VIR_FROM_QEMU));
    }

    /// A procedure that libvirt got after the table was made is answered as by a libvirt that has it not, and the
    /// connection goes on.
    fn asks_for_what_is_newer(&self, [direct, north, south]: &[&Client<'_>; 3]) {
        let name = self.doors.guest.name();
        // This virsh may be older than the procedure.
        if direct.run(&["help", "autostart"]).out.contains("--once") {
            for door in [north, south] {
                let said = door.run(&[&format!("autostart --once {name}; domstate {name}")]);
                assert!(said.err.contains("error: unknown procedure: "), "{said:?}");
                assert!(said.out.contains("shut off"), "{said:?}");
            }
        }
    }
}

/// Clients of these releases do at doors to this daemon what they do without.
fn at_doors_to(test: &str, daemon: Result<PrivateLibvirt, Skip>, clients: &[fn() -> Result<Release, Skip>]) {
    let libvirt = match daemon {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip(test, &reason),
    };
    let mut ground = Ground::set(&libvirt);
    for client in clients {
        match client() {
            Ok(release) => ground.met_by(&release),
            Err(Skip(reason)) => eprintln!("without one of the clients: {reason}"),
        }
    }
}

#[test]
fn the_oldest_libvirt_is_behind_a_door_as_it_is_without() {
    let daemon = oldest().and_then(|release| release.start());
    at_doors_to("the_oldest_libvirt_is_behind_a_door_as_it_is_without", daemon, &[oldest, here]);
}

#[test]
fn the_newest_libvirt_is_behind_a_door_as_it_is_without() {
    let daemon = newest().and_then(|release| release.start());
    at_doors_to("the_newest_libvirt_is_behind_a_door_as_it_is_without", daemon, &[newest, here]);
}

#[test]
fn a_libvirt_between_them_is_behind_a_door_as_it_is_without() {
    let daemon = between().and_then(|release| release.start());
    at_doors_to("a_libvirt_between_them_is_behind_a_door_as_it_is_without", daemon, &[between, here]);
}

#[test]
fn older_and_newer_clients_meet_this_systems_libvirt_behind_a_door() {
    let daemon = PrivateLibvirt::own();
    at_doors_to("older_and_newer_clients_meet_this_systems_libvirt_behind_a_door", daemon, &[oldest, newest]);
}

/// virtqemud is packaged by other systems than Debian: it is this system's, or in the place of the libvirtd of an unpacked
/// Debian that `COVIRT_VIRTQEMUD` names.
#[test]
fn a_modular_daemon_is_behind_a_door_as_it_is_without() {
    let tree = std::env::var_os("COVIRT_VIRTQEMUD").map(PathBuf::from);
    let daemon = PrivateLibvirt::modular(tree.as_deref());
    at_doors_to("a_modular_daemon_is_behind_a_door_as_it_is_without", daemon, &[here, newest]);
}
