//! A private libvirtd and real guests for tests, through the scripts in `tools/`.
//!
//! ```ignore
//! let libvirt = match PrivateLibvirt::get() {
//!     Ok(libvirt) => libvirt,
//!     Err(Skip(reason)) => return skip("name_of_the_test", &reason),
//! };
//! let guest = Guest::boot(&libvirt, "snapshots");
//! guest.domain(&libvirt.connect()).suspend().unwrap();
//! ```
//!
//! Guests and libvirtds of one's own end when their values are dropped; should the test process be killed, its libvirtds
//! end with it, and their guests with them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Output, Stdio};
use std::time::Duration;

use virt::connect::Connect;
use virt::domain::Domain;
use virt::sys;

/// Why real guests cannot be had on this machine.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) String);

/// The tools' exit code for "not on this machine".
const CANNOT: i32 = 77;

fn tool(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(name))
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Run a tool that must succeed here, and return what it printed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = output(command);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {errors}", output.status);
    String::from_utf8(output.stdout).expect("a tool prints UTF-8")
}

/// The same for a tool that may find that it cannot run here.
#[track_caller]
fn attempt(command: &mut Command) -> Result<String, Skip> {
    let output = output(command);
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(CANNOT) {
        return Err(Skip(errors.lines().last().unwrap_or("no reason given").to_owned()));
    }
    assert!(output.status.success(), "{command:?}: {}: {errors}", output.status);
    Ok(String::from_utf8(output.stdout).expect("a tool prints UTF-8"))
}

/// A libvirtd that belongs to the tests, never the host's.
#[derive(Debug)]
pub(crate) struct PrivateLibvirt {
    uri: String,
    /// Its folder, which the control commands name.
    dir: PathBuf,
    guest_dir: PathBuf,
    own: Option<Own>,
}

/// What lasts as long as a libvirtd that this test started itself.
#[derive(Debug)]
struct Own {
    // Dropped first, in this order: libvirtd stops when the writing end goes, then its folder is removed.
    _lifeline: ChildStdin,
    _folder: tempfile::TempDir,
}

impl PrivateLibvirt {
    /// The libvirtd that `tools/test.sh` runs for all tests; without one, a libvirtd of this test's own.
    pub(crate) fn get() -> Result<Self, Skip> {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(reason) = set("COVIRT_QEMU_SKIP") {
            return Err(Skip(reason));
        }
        match (set("COVIRT_QEMU_URI"), set("COVIRT_QEMU_DIR"), set("COVIRT_GUEST_DIR")) {
            (Some(uri), Some(dir), Some(guest_dir)) => {
                Ok(Self { uri, dir: dir.into(), guest_dir: guest_dir.into(), own: None })
            }
            _ => Self::own(),
        }
    }

    /// A libvirtd of this test's own, for tests that kill it, fill it or need a second one.
    pub(crate) fn own() -> Result<Self, Skip> {
        let mut libvirt = Self::start(&[])?;
        match std::env::var_os("COVIRT_GUEST_DIR").filter(|value| !value.is_empty()) {
            Some(built) => libvirt.guest_dir = built.into(),
            None => {
                attempt(tool("build-guest.sh").arg(&libvirt.guest_dir))?;
            }
        }
        Ok(libvirt)
    }

    /// The libvirtd and QEMU of another Debian. It has no network, and the guest's files are not there for it.
    pub(crate) fn of_tree(tree: &Path) -> Result<Self, Skip> {
        Self::start(&["--tree".as_ref(), tree.as_os_str()])
    }

    /// A modular daemon, of this system or of another Debian. It has no network either.
    pub(crate) fn modular(tree: Option<&Path>) -> Result<Self, Skip> {
        let mut options: Vec<&OsStr> = vec!["--modular".as_ref()];
        options.extend(tree.into_iter().flat_map(|tree| ["--tree".as_ref(), tree.as_os_str()]));
        Self::start(&options)
    }

    fn start(options: &[&OsStr]) -> Result<Self, Skip> {
        if let Ok(reason) = std::env::var("COVIRT_QEMU_SKIP") {
            return Err(Skip(reason));
        }
        // Not below cargo's target folder: sockets allow few bytes for their path.
        let folder = tempfile::Builder::new().prefix("covirt-").tempdir().expect("make a folder");
        let mut start = tool("private-libvirtd.sh");
        start.arg("start").arg(folder.path()).arg("--until-stdin-closes").args(options);
        start.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = start.spawn().expect("start private-libvirtd.sh");
        let lifeline = child.stdin.take().expect("stdin is piped");
        let output = child.wait_with_output().expect("wait for private-libvirtd.sh");
        let errors = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(CANNOT) {
            return Err(Skip(errors.lines().last().unwrap_or("no reason given").to_owned()));
        }
        assert!(output.status.success(), "private-libvirtd.sh start: {}: {errors}", output.status);
        let dir = folder.path().canonicalize().expect("the folder is there");
        let uri = format!("qemu:///system?socket={}/run/libvirt-sock", dir.display());
        Ok(Self { uri, guest_dir: dir.join("guest"), dir, own: Some(Own { _lifeline: lifeline, _folder: folder }) })
    }

    /// What to connect to.
    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// Its folder, which its guests see, too.
    pub(crate) fn folder(&self) -> &Path {
        &self.dir
    }

    #[track_caller]
    pub(crate) fn connect(&self) -> Connect {
        Connect::open(Some(&self.uri)).unwrap_or_else(|error| panic!("connect to {}: {error}", self.uri))
    }

    /// SIGKILL libvirtd and leave it down; its guests run on.
    #[track_caller]
    pub(crate) fn kill9(&self) {
        self.control("kill9");
    }

    /// Start it again after [`Self::kill9`]; returns when it answers.
    #[track_caller]
    pub(crate) fn up(&self) {
        self.control("up");
    }

    /// End it politely and start it again; returns when it answers.
    #[track_caller]
    pub(crate) fn restart(&self) {
        self.control("restart");
    }

    /// Stop libvirtd's process in its tracks: requests arrive and are not read. [`Self::go_on`] lets it go on.
    #[track_caller]
    pub(crate) fn halt(&self) {
        self.signal("-STOP");
    }

    /// Let it go on after [`Self::halt`].
    #[track_caller]
    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    #[track_caller]
    fn signal(&self, signal: &str) {
        assert!(self.own.is_some(), "{signal}: other tests use this libvirtd; take PrivateLibvirt::own()");
        run(Command::new("kill").args([signal, &self.pid()]));
    }

    #[track_caller]
    fn control(&self, command: &str) {
        assert!(self.own.is_some(), "{command}: other tests use this libvirtd; take PrivateLibvirt::own()");
        run(tool("private-libvirtd.sh").arg(command).arg(&self.dir));
    }

    /// libvirtd's process, whose namespaces are its own.
    #[track_caller]
    pub(crate) fn pid(&self) -> String {
        let info = run(tool("private-libvirtd.sh").arg("info").arg(&self.dir));
        info.lines().find_map(|line| line.strip_prefix("libvirtd_pid=")).expect("libvirtd runs").to_owned()
    }

    /// Run virsh against it and return what it printed, for what the bindings lack.
    #[track_caller]
    pub(crate) fn virsh(&self, arguments: &[&str]) -> String {
        run(Command::new("virsh").args(["-q", "-c", &self.uri]).args(arguments))
    }
}

/// A guest of firmware alone.
pub(crate) fn firmware_xml(name: &str) -> String {
    format!(
        "<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory>\
         <os><type arch='x86_64' machine='pc'>hvm</type></os>\
         <devices><controller type='usb' model='none'/><memballoon model='none'/></devices></domain>"
    )
}

/// The folder of another Debian's libvirt, as `tools/libvirt-env.sh` prints it.
pub(crate) fn libvirt_of(arguments: &[&str]) -> Result<PathBuf, Skip> {
    attempt(tool("libvirt-env.sh").args(arguments)).map(|printed| PathBuf::from(printed.trim_end()))
}

impl Drop for PrivateLibvirt {
    fn drop(&mut self) {
        if self.own.is_some() {
            // Waits until all of it has ended, which the lifeline alone would not.
            let _ = tool("private-libvirtd.sh").arg("stop").arg(&self.dir).output();
        }
    }
}

/// A running guest with a disk of its own; destroyed and undefined on drop.
#[derive(Debug)]
pub(crate) struct Guest {
    name: String,
    uri: String,
    state: PathBuf,
}

impl Guest {
    /// Define, start, and wait until the guest agent answers. `label` becomes part of the domain's name.
    #[track_caller]
    pub(crate) fn boot(libvirt: &PrivateLibvirt, label: &str) -> Self {
        let guest = Self::define(libvirt, label);
        let connection = libvirt.connect();
        guest.domain(&connection).create().unwrap_or_else(|error| panic!("start {}: {error}", guest.name));
        guest.await_agent();
        guest
    }

    /// Define a guest and leave it shut off.
    #[track_caller]
    pub(crate) fn define(libvirt: &PrivateLibvirt, label: &str) -> Self {
        // Several test processes may share the libvirtd.
        let name = format!("{label}-{}", std::process::id());
        let xml = run(tool("guest-xml.sh").arg(&name).arg(&libvirt.guest_dir).arg(&libvirt.dir));
        Self::define_as(libvirt, name, &xml)
    }

    /// A guest of firmware alone, which has nothing to boot from and so little to do: for any libvirt and QEMU.
    #[track_caller]
    pub(crate) fn firmware(libvirt: &PrivateLibvirt, label: &str) -> Self {
        let name = format!("{label}-{}", std::process::id());
        let xml = firmware_xml(&name);
        Self::define_as(libvirt, name, &xml)
    }

    #[track_caller]
    fn define_as(libvirt: &PrivateLibvirt, name: String, xml: &str) -> Self {
        let connection = libvirt.connect();
        connection.define_domain_xml(xml).unwrap_or_else(|error| panic!("define {name}: {error}"));
        Self { name, uri: libvirt.uri.clone(), state: libvirt.dir.clone() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its handle on a connection.
    #[track_caller]
    pub(crate) fn domain(&self, connection: &Connect) -> Domain {
        connection.lookup_domain_by_name(&self.name).unwrap_or_else(|error| panic!("look {} up: {error}", self.name))
    }

    /// Wait until the guest agent answers: after a boot, or after libvirtd came back and found it again.
    #[track_caller]
    pub(crate) fn await_agent(&self) {
        run(tool("await-guest.sh").arg(&self.uri).arg(&self.name));
    }

    /// Stop QEMU's process in its tracks: it answers nobody. [`Self::go_on`] lets it go on.
    #[track_caller]
    pub(crate) fn halt(&self) {
        run(Command::new("kill").args(["-STOP", &self.qemu_pid()]));
    }

    /// Let it go on after [`Self::halt`].
    #[track_caller]
    pub(crate) fn go_on(&self) {
        run(Command::new("kill").args(["-CONT", &self.qemu_pid()]));
    }

    /// End QEMU's process as a crash would.
    #[track_caller]
    pub(crate) fn kill9(&self) {
        run(Command::new("kill").args(["-KILL", &self.qemu_pid()]));
    }

    /// Start a program in the guest by its agent and do not wait for its end.
    #[track_caller]
    pub(crate) fn exec(&self, program: &str, arguments: &[&str]) {
        let listed = arguments.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(",");
        let asked =
            format!("{{\"execute\":\"guest-exec\",\"arguments\":{{\"path\":\"{program}\",\"arg\":[{listed}]}}}}");
        // A guest that goes down at once may not answer any more.
        let _ = output(Command::new("virsh").args(["-q", "-c", &self.uri, "qemu-agent-command", &self.name, &asked]));
    }

    /// QEMU's process, found by the domain's name on its command line: libvirt's own note has another namespace's number.
    #[track_caller]
    fn qemu_pid(&self) -> String {
        let named = format!("guest={},", self.name);
        let processes = std::fs::read_dir("/proc").expect("read /proc").filter_map(Result::ok);
        let runs = |process: &std::fs::DirEntry| {
            let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            words.split(|byte| *byte == 0).any(|word| word.starts_with(named.as_bytes()))
        };
        let found = processes.into_iter().find(runs).unwrap_or_else(|| panic!("no QEMU runs {}", self.name));
        found.file_name().into_string().expect("a number")
    }

    /// What it has written to its serial console so far, over all its boots.
    pub(crate) fn console(&self) -> String {
        let log = std::fs::read(self.state.join(format!("{}.console", self.name))).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Wait until the console shows `text` `times` times.
    #[track_caller]
    pub(crate) fn await_console(&self, text: &str, times: usize) {
        super::until(&format!("{text} on the console of {}", self.name), Duration::from_secs(90), || {
            (self.console().matches(text).count() >= times).then_some(())
        });
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // The test may have ended it already, or killed the libvirtd; then there is nothing to clear away.
        let Ok(connection) = Connect::open(Some(&self.uri)) else { return };
        let Ok(domain) = connection.lookup_domain_by_name(&self.name) else { return };
        let _ = domain.destroy();
        let _ = domain.undefine_flags(
            sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
                | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
                | sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA,
        );
    }
}

/// A Debian with cloud-init, shut off until started; destroyed and undefined on drop.
#[derive(Debug)]
pub(crate) struct CloudGuest {
    guest: Guest,
    uuid: uuid::Uuid,
}

impl CloudGuest {
    /// Builds the image, or finds it built, and defines a guest with two interfaces on the default network.
    pub(crate) fn define(libvirt: &PrivateLibvirt, label: &str, macs: [&str; 2]) -> Result<Self, Skip> {
        let state = libvirt.dir.join(format!("{label}-{}", std::process::id()));
        std::fs::create_dir_all(&state).expect("make the guest's folder");
        attempt(tool("build-cloud-image.sh").arg(&state))?;
        let name = format!("{}-{}", label.to_lowercase(), std::process::id());
        let disk = state.join(format!("{name}.qcow2"));
        let mut overlay = Command::new("qemu-img");
        overlay.args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"]).arg(state.join("root.qcow2")).arg(&disk);
        run(&mut overlay);
        let uuid = uuid::Uuid::now_v7();
        let kind = if tool("kvm-works.sh").status().is_ok_and(|status| status.success()) { "kvm" } else { "qemu" };
        let [mac0, mac1] = macs;
        let path = state.display().to_string();
        let values = [("TYPE", kind), ("NAME", &name), ("UUID", &uuid.to_string()), ("STATE", &path)];
        let xml = include_str!("../../fixtures/guest/cloud.xml").to_owned();
        let xml = values
            .into_iter()
            .chain([("MAC0", mac0), ("MAC1", mac1)])
            .fold(xml, |xml, (key, value)| xml.replace(&format!("@{key}@"), value));
        let connection = libvirt.connect();
        connection.define_domain_xml(&xml).unwrap_or_else(|error| panic!("define {name}: {error}"));
        Ok(Self { guest: Guest { name, uri: libvirt.uri.clone(), state }, uuid })
    }

    pub(crate) fn name(&self) -> &str {
        &self.guest.name
    }

    pub(crate) fn uuid(&self) -> uuid::Uuid {
        self.uuid
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.guest.state
    }

    #[track_caller]
    fn virsh(&self, arguments: &[&str]) {
        run(Command::new("virsh").args(["-q", "-c", &self.guest.uri]).args(arguments));
    }

    /// Has the default network keep an address for a MAC.
    #[track_caller]
    pub(crate) fn reserve(&self, mac: &str, ip: &str) {
        let host = format!("<host mac='{mac}' ip='{ip}'/>");
        self.virsh(&["net-update", "default", "add", "ip-dhcp-host", &host, "--live", "--config"]);
    }

    /// Adds a disc to the definition.
    #[track_caller]
    pub(crate) fn attach_read_only(&self, disc: &Path, target: &str) {
        let disc = disc.to_str().expect("a path of letters");
        self.virsh(&["attach-disk", &self.guest.name, disc, target, "--mode", "readonly", "--config"]);
    }

    #[track_caller]
    pub(crate) fn start(&self) {
        self.virsh(&["start", &self.guest.name]);
    }

    /// Waits until the console shows `text`.
    #[track_caller]
    pub(crate) fn await_console(&self, text: &str, within: Duration) {
        super::until(&format!("{text} on the console of {}", self.guest.name), within, || {
            self.guest.console().contains(text).then_some(())
        });
    }

    /// Waits until the console shows a line with `text` to its end, and gives all it shows: a part of it may come first.
    #[track_caller]
    pub(crate) fn await_line(&self, text: &str, within: Duration) -> String {
        let is_whole = |line: &str| line.contains(text) && line.ends_with('\n');
        super::until(&format!("a line with {text} on the console of {}", self.guest.name), within, || {
            Some(self.guest.console()).filter(|console| console.split_inclusive('\n').any(is_whole))
        })
    }
}
