//! One host with a covirtd that providers on other hosts may join, and the `covirt` that both sides run.
//!
//! All of it is real: the built binaries, TCP on a loopback address of the test's own, files in a folder of its own.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::until;

pub(crate) const API: u16 = 16515;
pub(crate) const JOIN: u16 = 16516;
/// The VM of libvirt's mock driver.
pub(crate) const VM: &str = "test";

/// A loopback address that no other test has: the whole of 127.0.0.0/8 is this machine.
fn own_address() -> Ipv4Addr {
    static TAKEN: AtomicU32 = AtomicU32::new(1);
    let number = (std::process::id() << 5 | TAKEN.fetch_add(1, Ordering::Relaxed)) & 0x00ff_ffff;
    Ipv4Addr::from(0x7f00_0000 | number)
}

pub(crate) struct Site {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) address: Ipv4Addr,
    child: Option<Child>,
}

/// What a `covirt` did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("covirt prints text");
        Self {
            code: output.status.code().expect("it ended by itself"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Its answer in JSON; panics unless it went well.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.code, 0, "{self:#?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Panics unless it ended so, and said this.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, says: &str) {
        // A code stands in brackets for people, and in a field for programs.
        let field = says.strip_prefix('[').and_then(|says| says.strip_suffix(']'));
        let field = field.is_some_and(|code| self.err.contains(&format!("\"code\":\"{code}\"")));
        assert!(
            self.code == code && (field || self.err.contains(says)),
            "{code} and {says:?} were expected: {self:#?}"
        );
    }

    /// Panics unless the agent did not let the key in: by the key itself, or by the list of what is revoked once that is
    /// read again.
    #[track_caller]
    pub(crate) fn shut_out(&self) {
        let says = ["it does not let our key in", "it says that our certificate is revoked"];
        assert!(self.code == 4 && says.iter().any(|says| self.err.contains(says)), "{self:#?}");
    }
}

impl Site {
    /// An agent with a provider north in its file; `more` is added to its configuration.
    #[track_caller]
    pub(crate) fn open(more: &str) -> Self {
        Self::open_before("test:///default", "", "", more)
    }

    /// The same in front of this libvirt, with `tls` and `enrollment` in those tables; `ADDRESS` in it becomes the site's own.
    #[track_caller]
    pub(crate) fn open_before(connect: &str, tls: &str, enrollment: &str, more: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("enroll-").tempdir().expect("make a folder");
        let (dir, uid, address) = (folder.path().display(), nix::unistd::getuid(), own_address());
        let tls = tls.replace("ADDRESS", &address.to_string());
        let text = format!(
            "[agent]\nsocket = '{dir}/api.sock'\nstate_dir = '{dir}/state'\nconnect = '{connect}'\n\
             [operator]\nuids = [{uid}]\n\
             [tls]\nlisten = '{address}:{API}'\n{tls}\n\
             [enrollment]\nlisten = '{address}:{JOIN}'\nnames = ['{address}']\n{enrollment}\n\
             [[provider]]\nid = 'north'\nuids = [{uid}]\nmay_enroll = true\n{more}\n"
        );
        std::fs::write(folder.path().join("covirt.toml"), text).expect("write the configuration");
        let mut site = Self { folder, address, child: None };
        site.up();
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the agent, and fails with what it says when it does not.
    pub(crate) fn try_up(&mut self) -> Result<(), String> {
        let log = File::options().create(true).append(true).open(self.path("log")).expect("open the log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_covirtd"));
        command.arg("--config").arg(self.path("covirt.toml")).env("COVIRT_LOG", "covirt=trace");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // SAFETY: prctl is one system call and may be made between fork and exec. Needed so that a test that is
        // killed leaves no agent behind.
        unsafe {
            command.pre_exec(|| nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(Into::into));
        }
        let mut child = command.spawn().expect("start covirtd");
        let started = until("covirtd answers or ends", Duration::from_secs(60), || {
            if child.try_wait().expect("look at it").is_some() {
                return Some(Err(self.log()));
            }
            (self.operator(&["health", "-o", "json"]).code == 0).then_some(Ok(()))
        });
        if started.is_ok() {
            self.child = Some(child);
        }
        started
    }

    #[track_caller]
    pub(crate) fn up(&mut self) {
        self.try_up().unwrap_or_else(|said| panic!("covirtd does not start:\n{said}"));
    }

    /// Stops the agent as the host's owner does.
    pub(crate) fn down(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("tell it to stop");
        child.wait().expect("it stops");
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).expect("read the log")
    }

    /// `covirt` without anything of the environment's.
    pub(crate) fn covirt(words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_covirt"));
        for name in ["COVIRT_SOCKET", "COVIRT_AS", "COVIRT_URL", "COVIRT_IDENTITY", "COVIRT_TOKEN"] {
            command.env_remove(name);
        }
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(words: &[&str]) -> Ran {
        Ran::of(Self::covirt(words).output().expect("run covirt"))
    }

    /// On the agent's own host, as its operator.
    pub(crate) fn operator(&self, words: &[&str]) -> Ran {
        let socket = self.path("api.sock");
        let mut all = vec!["--socket", socket.to_str().expect("a path"), "--as", "operator"];
        all.extend(words);
        Self::run(&all)
    }

    /// On the agent's own host, as north.
    pub(crate) fn north(&self, words: &[&str]) -> Ran {
        let socket = self.path("api.sock");
        let mut all = vec!["--socket", socket.to_str().expect("a path"), "--as", "north"];
        all.extend(words);
        Self::run(&all)
    }

    /// From another host, with the key in a folder.
    pub(crate) fn remote(&self, folder: &str, words: &[&str]) -> Ran {
        let identity = self.path(folder);
        let mut all = vec!["--identity", identity.to_str().expect("a path")];
        all.extend(words);
        Self::run(&all)
    }

    /// The token of a new invitation.
    #[track_caller]
    pub(crate) fn invite(&self, id: &str, more: &[&str]) -> String {
        let mut words = vec!["provider", "add", id, "--kind", "openstack", "-o", "json"];
        words.extend(more);
        let token = self.operator(&words).ok()["token"].as_str().expect("a token").to_owned();
        self.await_port();
        token
    }

    /// The port for joining opens once somebody is waited for; nobody announces that.
    #[track_caller]
    fn await_port(&self) {
        until("the port for joining opens", Duration::from_secs(20), || {
            std::net::TcpStream::connect((self.address, JOIN)).ok()
        });
    }

    pub(crate) fn join(&self, token: &str, folder: &str) -> Ran {
        let (to, dir) = (format!("{}:{JOIN}", self.address), self.path(folder));
        Self::run(&["provider", "join", token, "--to", &to, "--dir", dir.to_str().expect("a path"), "-o", "json"])
    }

    /// South has joined with the key in the folder `south`.
    #[track_caller]
    pub(crate) fn with_south(more: &str) -> Self {
        let site = Self::open(more);
        let token = site.invite("south", &[]);
        site.join(&token, "south").ok();
        site
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A folder, copied: what a thief has.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("make the folder");
    for entry in std::fs::read_dir(from).expect("read the folder") {
        let entry = entry.expect("read the folder");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copy a file");
    }
}
