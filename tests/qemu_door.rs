//! Unmodified libvirt clients at a provider's door, on a real libvirtd and a real guest: virsh, and libvirt's own client
//! library. What passes through is what is said directly, to the byte.

#[path = "support/covirtd.rs"]
mod covirtd;
mod support;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use covirtd::Covirtd;
use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::{skip, until};
use virt::connect::Connect;
use virt::stream::Stream;

const LONG: Duration = Duration::from_secs(120);

/// A libvirtd, an agent on it, and the door of a provider that may see everything.
struct Hall<'a> {
    libvirt: &'a PrivateLibvirt,
    agent: Covirtd,
    doors: tempfile::TempDir,
}

impl<'a> Hall<'a> {
    #[track_caller]
    fn open(libvirt: &'a PrivateLibvirt) -> Self {
        let doors = tempfile::Builder::new().prefix("doors-").tempdir().expect("make a folder");
        let config = format!("door = true\nroles = ['host']\n[doors]\ndir = '{}'\n", doors.path().display());
        let agent = Covirtd::start(env!("CARGO_BIN_EXE_covirtd"), libvirt.uri(), &config);
        Self { libvirt, agent, doors }
    }

    fn uri(&self) -> String {
        format!("qemu:///system?socket={}/south/libvirt-sock", self.doors.path().display())
    }

    fn by_the_door(&self, words: &[&str]) -> Output {
        virsh(&self.uri(), words)
    }

    /// What virsh printed, which must be the same by the door and directly.
    #[track_caller]
    fn same(&self, words: &[&str]) -> String {
        let (direct, door) = (virsh(self.libvirt.uri(), words), self.by_the_door(words));
        assert_eq!((door.status.code(), text(&door)), (direct.status.code(), text(&direct)), "{words:?}");
        text(&door)
    }

    /// What virsh printed by the door; it must succeed.
    #[track_caller]
    fn done(&self, words: &[&str]) -> String {
        let output = self.by_the_door(words);
        assert!(output.status.success(), "{words:?}: {}\n{}", text(&output), self.agent.log());
        text(&output)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.doors.path().join(name)
    }
}

fn virsh(uri: &str, words: &[&str]) -> Output {
    Command::new("virsh").args(["-c", uri]).args(words).env("LC_ALL", "C").output().expect("run virsh")
}

/// All that a program printed.
fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// A program that runs until the test is over.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn virsh_does_at_a_door_what_it_does_directly() {
    const NAME: &str = "virsh_does_at_a_door_what_it_does_directly";
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip(NAME, &reason),
    };
    let hall = Hall::open(&libvirt);
    let guest = Guest::boot(&libvirt, "door-virsh");
    let name = guest.name();
    assert!(hall.same(&["list", "--all", "--name"]).contains(name));
    assert!(hall.same(&["domuuid", name]).len() > 36);
    for words in [["dominfo", name], ["domblklist", name], ["vcpucount", name], ["dumpxml", name]] {
        // Not the time that the guest has run.
        let words = if words[0] == "dominfo" { ["domstate", name] } else { words };
        hall.same(&words);
    }
    hall.same(&["dominfo", "no-such-domain"]);
    hall.same(&["capabilities"]);
    assert!(hall.done(&["dominfo", name]).contains("running"));
    hall.done(&["suspend", name]);
    assert!(hall.same(&["domstate", "--reason", name]).contains("paused (user)"));
    hall.done(&["resume", name]);
    assert!(hall.same(&["domstate", name]).contains("running"));
    assert!(hall.done(&["qemu-agent-command", name, r#"{"execute":"guest-ping"}"#]).contains("return"));
    assert!(hall.done(&["uri"]).contains("/south/libvirt-sock"));
    drop(guest);
    assert!(!hall.same(&["list", "--all", "--name"]).contains("door-virsh"));
    let log = hall.agent.log();
    assert!(!log.contains("a client's connection is closed") && !log.contains("not let in"), "{log}");
}

#[test]
fn events_reach_a_client_at_a_door() {
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("events_reach_a_client_at_a_door", &reason),
    };
    let hall = Hall::open(&libvirt);
    let guest = Guest::boot(&libvirt, "door-events");
    let told = hall.file("events");
    let mut listening = Command::new("virsh");
    listening.args(["-c", &hall.uri(), "event", "--all", "--loop"]).stdout(File::create(&told).expect("make a file"));
    let _listening = Running(listening.stdin(Stdio::null()).spawn().expect("run virsh"));
    let wanted = ["lifecycle", "Suspended", "Resumed"].map(str::to_owned);
    // It tells nobody when it has begun to listen.
    until("both events", LONG, || {
        libvirt.virsh(&["suspend", guest.name()]);
        libvirt.virsh(&["resume", guest.name()]);
        let told = String::from_utf8_lossy(&read(&told)).into_owned();
        (told.contains(guest.name()) && wanted.iter().all(|word| told.contains(word))).then_some(())
    });
}

#[test]
fn volumes_pass_a_door_unchanged_both_ways() {
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("volumes_pass_a_door_unchanged_both_ways", &reason),
    };
    let hall = Hall::open(&libvirt);
    let pool = format!("door-{}", std::process::id());
    let folder = libvirt.folder().join(&pool);
    std::fs::create_dir_all(&folder).expect("make the pool's folder");
    hall.done(&["pool-create-as", &pool, "dir", "--target", &folder.display().to_string()]);
    hall.done(&["vol-create-as", &pool, "whole", "256M", "--format", "raw"]);
    let (sent, came) = (hall.file("sent"), hall.file("came"));
    // As good as random, and quickly made: every block differs from every other.
    let block: Vec<u8> = (0..1_u32 << 18).flat_map(|word| word.wrapping_mul(0x9e37_79b9).to_be_bytes()).collect();
    let bytes: Vec<u8> = (0..256_u32).flat_map(|at| block.iter().map(move |byte| byte ^ at.to_be_bytes()[3])).collect();
    std::fs::write(&sent, &bytes).expect("write the file");
    hall.done(&["vol-upload", "--pool", &pool, "whole", &sent.display().to_string()]);
    assert!(read(&folder.join("whole")) == bytes, "the volume is not what was sent");
    hall.done(&["vol-download", "--pool", &pool, "whole", &came.display().to_string()]);
    assert!(read(&came) == bytes, "what came is not the volume");
    // With holes, which are messages of a kind of their own.
    let sparse = File::create(&sent).expect("make a file");
    sparse.set_len(64 << 20).expect("make it long");
    std::os::unix::fs::FileExt::write_all_at(&sparse, &block, 40 << 20).expect("write in the middle");
    hall.done(&["vol-create-as", &pool, "sparse", "64M", "--format", "raw"]);
    hall.done(&["vol-upload", "--sparse", "--pool", &pool, "sparse", &sent.display().to_string()]);
    hall.done(&["vol-download", "--sparse", "--pool", &pool, "sparse", &came.display().to_string()]);
    assert!(read(&came) == read(&sent), "the file with holes came back changed");
    for volume in ["whole", "sparse"] {
        hall.done(&["vol-delete", "--pool", &pool, volume]);
    }
    hall.done(&["pool-destroy", &pool]);
}

#[test]
fn console_picture_and_descriptor_pass_a_door_unchanged() {
    const NAME: &str = "console_picture_and_descriptor_pass_a_door_unchanged";
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip(NAME, &reason),
    };
    let hall = Hall::open(&libvirt);
    let guest = Guest::define(&libvirt, "door-console");
    let name = guest.name();
    let screen = "<graphics type='vnc' port='-1' autoport='no' socket='@'/><video><model type='vga'/></video>"
        .replace('@', &libvirt.folder().join(format!("{name}.vnc")).display().to_string());
    let xml = libvirt.virsh(&["dumpxml", name]);
    let begin = xml.find("<video>").expect("a video device");
    let end = xml.find("</video>").expect("its end") + "</video>".len();
    let with_screen = hall.file("guest.xml");
    std::fs::write(&with_screen, format!("{}{screen}{}", &xml[..begin], &xml[end..])).expect("write the definition");
    hall.done(&["define", &with_screen.display().to_string()]);
    hall.done(&["start", "--paused", name]);

    // virsh has a console on a terminal only; this is the library it stands on.
    let connection = Connect::open(Some(&hall.uri())).expect("the door opens");
    let domain = guest.domain(&connection);
    let console = Stream::new(&connection, 0).expect("a stream");
    domain.open_console(None, &console, 0).expect("a console");
    hall.done(&["resume", name]);
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("GUEST-READY") {
        let mut part = [0; 4096];
        let count = usize::try_from(console.recv(&mut part).expect("what the guest says")).expect("a number of bytes");
        assert!(count > 0, "the console ended with {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&part[..count]);
    }
    console.abort().expect("let go of the console");
    guest.await_console("GUEST-READY", 1);
    assert_eq!(guest.console().as_bytes().get(..said.len()), Some(&said[..]));

    hall.done(&["suspend", name]);
    let (direct, door) = (hall.file("direct.ppm"), hall.file("door.ppm"));
    libvirt.virsh(&["screenshot", name, &direct.display().to_string()]);
    hall.done(&["screenshot", name, &door.display().to_string()]);
    let (direct, door) = (read(&direct), read(&door));
    let differing = direct.iter().zip(&door).filter(|(direct, door)| direct != door).count();
    assert_eq!((door.len(), differing), (direct.len(), 0));
    assert!(door.len() > 1000, "{} bytes are no picture", door.len());

    // A reply with a descriptor: QEMU's end of a new connection to its screen.
    hall.done(&["resume", name]);
    let descriptor = domain.open_graphics_fd(0, 0).expect("a descriptor");
    let path = format!("/proc/self/fd/{descriptor}");
    assert!(std::fs::read_link(&path).expect("it is open here").to_string_lossy().starts_with("socket:"));
    let descriptor = i32::try_from(descriptor).expect("a descriptor");
    // SAFETY: libvirt has just given this descriptor to its caller, who nobody shares it with.
    let mut screen = unsafe { <std::os::unix::net::UnixStream as std::os::fd::FromRawFd>::from_raw_fd(descriptor) };
    screen.set_read_timeout(Some(LONG)).expect("a limit");
    let mut greeting = [0; 4];
    screen.read_exact(&mut greeting).expect("a greeting");
    assert_eq!(&greeting, b"RFB ");
}

#[test]
fn a_client_is_closed_when_libvirtd_or_the_agent_goes_and_comes_in_again_after() {
    const NAME: &str = "a_client_is_closed_when_libvirtd_or_the_agent_goes_and_comes_in_again_after";
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip(NAME, &reason),
    };
    let mut hall = Hall::open(&libvirt);
    let gone =
        |connection: &Connect| until("the client is closed", LONG, || connection.hostname().is_err().then_some(()));
    let before = Connect::open(Some(&hall.uri())).expect("the door opens");
    before.hostname().expect("an answer");
    libvirt.kill9();
    gone(&before);
    Connect::open(Some(&hall.uri())).expect_err("nobody is behind the door");
    libvirt.up();
    let between = Connect::open(Some(&hall.uri())).expect("the door opens again");
    between.hostname().expect("an answer");
    hall.agent.kill9();
    gone(&between);
    hall.agent.up();
    let after = Connect::open(Some(&hall.uri())).expect("the door opens again");
    after.hostname().expect("an answer");
}
