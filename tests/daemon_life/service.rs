//! A `covirtd` started as a service manager starts one, and the socket on which it reports.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::agent::DEFAULT_VM;
use crate::support::until;

const SOON: Duration = Duration::from_secs(30);

/// What the agent tells its manager.
pub(crate) struct Manager(UnixDatagram);

impl Manager {
    /// Every message that comes within this time.
    pub(crate) fn within(&self, time: Duration) -> Vec<String> {
        let end = Instant::now() + time;
        let mut all = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return all;
            }
            self.0.set_read_timeout(Some(left)).expect("a time limit");
            let mut message = [0; 4096];
            if let Ok(length) = self.0.recv(&mut message) {
                all.push(String::from_utf8_lossy(&message[..length]).into_owned());
            }
        }
    }

    /// The next message that has this line; those before it are passed over.
    #[track_caller]
    pub(crate) fn next(&self, line: &str) -> String {
        let end = Instant::now() + SOON;
        let mut passed = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.0.set_read_timeout(Some(left)).expect("a time limit");
            let mut message = [0; 4096];
            let length = self.0.recv(&mut message).unwrap_or_else(|_| panic!("{line} is not told, but {passed:?}"));
            let message = String::from_utf8_lossy(&message[..length]).into_owned();
            if message.lines().any(|one| one.starts_with(line)) {
                return message;
            }
            passed.push(message);
        }
    }
}

/// The agent, and what it is started with.
pub(crate) struct Service {
    folder: tempfile::TempDir,
    pub(crate) manager: Manager,
    pub(crate) socket: PathBuf,
    pub(crate) environment: Vec<(String, String)>,
    passed: Option<(OwnedFd, String)>,
    wrapper: Vec<String>,
    process: Option<Child>,
}

impl Service {
    /// With these tables behind the usual ones; not started yet.
    pub(crate) fn new(tables: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("covirtd-").tempdir().expect("a folder");
        let manager = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        std::fs::create_dir(folder.path().join("conf.d")).expect("a folder");
        let (dir, uid) = (folder.path().display(), nix::unistd::getuid());
        let text = format!(
            "[agent]\nsocket = '{dir}/api.sock'\nstate_dir = '{dir}/state'\nconnect = 'test:///default'\n\
             [operator]\nuids = [{uid}]\n[[provider]]\nid = 'north'\nuids = [{uid}]\nmay_enroll = true\n\
             [[provider]]\nid = 'south'\nuids = [{uid}]\n{tables}\n"
        );
        std::fs::write(folder.path().join("covirt.toml"), text).expect("write");
        let socket = folder.path().join("api.sock");
        Self {
            folder,
            manager: Manager(manager),
            socket,
            environment: Vec::new(),
            passed: None,
            wrapper: Vec::new(),
            process: None,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder().join(name), text).expect("write");
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    /// Passes a socket under a name from the next start on.
    pub(crate) fn pass(&mut self, socket: &impl AsFd, name: &str) {
        let socket = socket.as_fd().try_clone_to_owned().expect("a second handle");
        self.passed = Some((socket, name.to_owned()));
    }

    /// Starts it by this program from the next start on.
    pub(crate) fn wrap(&mut self, words: &[&str]) {
        self.wrapper = words.iter().map(|&word| word.to_owned()).collect();
    }

    fn spawn(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder().join("log")).expect("a log");
        let mut command = Command::new("/bin/sh");
        // The socket comes as standard input and becomes descriptor 3; the process keeps its number.
        let passing = "LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&0 0</dev/null";
        let script = if self.passed.is_some() { passing } else { "exec \"$0\" \"$@\"" };
        command.args(["-c", script]).args(&self.wrapper).args([env!("CARGO_BIN_EXE_covirtd"), "--config"]);
        command.arg(self.folder().join("covirt.toml")).stderr(log).stdin(Stdio::null());
        command.env_remove("COVIRT_LOG").env_remove("JOURNAL_STREAM");
        command.env("NOTIFY_SOCKET", self.folder().join("notify"));
        if let Some((socket, name)) = &self.passed {
            command.stdin(socket.try_clone().expect("a second handle"));
            command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", name).env("LISTEN_PID", "0");
        }
        command.envs(self.environment.iter().cloned());
        self.process = Some(command.spawn().expect("start covirtd"));
    }

    /// Starts it, and waits until it says that it is ready. From then on it must serve.
    #[track_caller]
    pub(crate) fn start(&mut self) {
        self.spawn();
        self.manager.next("READY=1");
        assert_eq!(self.get("/healthz", "").0, 200);
    }

    /// Starts it, and waits for its failure; gives what it said.
    #[track_caller]
    pub(crate) fn fails(&mut self) -> String {
        self.spawn();
        assert!(!self.ended().success());
        self.log()
    }

    pub(crate) fn pid(&self) -> Pid {
        let id = self.process.as_ref().expect("it runs").id();
        Pid::from_raw(i32::try_from(id).expect("a process id"))
    }

    pub(crate) fn signal(&self, name: &str) {
        let signal: Signal = format!("SIG{name}").parse().expect("a signal");
        kill(self.pid(), signal).expect("signal");
    }

    /// Has it read its configuration again, and waits until it has.
    #[track_caller]
    pub(crate) fn reload(&self) {
        self.signal("HUP");
        let told = self.manager.next("RELOADING=1");
        assert!(told.lines().any(|line| line.starts_with("MONOTONIC_USEC=")), "{told}");
        self.manager.next("READY=1");
    }

    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut child = self.process.take().expect("it runs");
        until("covirtd ends", SOON, || child.try_wait().expect("wait"))
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str, who: &str) -> (u16, Value) {
        get(&self.socket, path, who)
    }

    #[track_caller]
    pub(crate) fn text(&self, path: &str, who: &str) -> String {
        let stream = UnixStream::connect(&self.socket).expect("connect");
        exchange(stream, "GET", path, who, "").1
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, who: &str, body: &Value) -> (u16, Value) {
        let stream = UnixStream::connect(&self.socket).expect("connect");
        let (status, text) = exchange(stream, "POST", path, who, &body.to_string());
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// North enrolls the VM.
    #[track_caller]
    pub(crate) fn enroll(&self) {
        assert_eq!(self.post(&format!("/v1/vms/{DEFAULT_VM}/enrollment"), "north", &json!({})).0, 201);
    }

    /// North sends a command.
    #[track_caller]
    pub(crate) fn submit(&self, action: &str, order: &Value) -> (u16, Value) {
        self.submit_with(action, &json!({}), order)
    }

    #[track_caller]
    pub(crate) fn submit_with(&self, action: &str, args: &Value, order: &Value) -> (u16, Value) {
        let body = json!({ "id": uuid::Uuid::now_v7(), "action": action, "args": args, "order": order });
        self.post(&format!("/v1/vms/{DEFAULT_VM}/commands"), "north", &body)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("covirtd's log:\n{}", self.log());
        }
    }
}

#[track_caller]
pub(crate) fn get(socket: &Path, path: &str, who: &str) -> (u16, Value) {
    let (status, text) = exchange(UnixStream::connect(socket).expect("connect"), "GET", path, who, "");
    (status, serde_json::from_str(&text).unwrap_or_default())
}

/// One request on a connection of its own.
#[track_caller]
pub(crate) fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    who: &str,
    body: &str,
) -> (u16, String) {
    let named = if who.is_empty() { String::new() } else { format!("covirt-provider: {who}\r\n") };
    let waits = if path.ends_with("/commands") { "prefer: wait=20\r\n" } else { "" };
    let waits = if body.contains("\"after\":[\"") { "" } else { waits };
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: covirt\r\nconnection: close\r\n{named}{waits}content-length: {length}\r\n\r\n{body}"
    )
    .expect("write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, body.to_owned())
}
