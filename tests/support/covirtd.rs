//! A covirtd of the test's own, spoken to as providers do: HTTP and WebSocket over its Unix socket.
//!
//! It runs as a process of its own, so that it can be killed; it ends with the test. Its client blocks and keeps one
//! connection, so that a bench measures the agent and no runtime of its own; the client of `agent.rs` is for tests of
//! the API, which look at headers and sessions of many providers at once.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};

/// How long an answer may take before the test gives up.
const ANSWER_LIMIT: Duration = Duration::from_secs(300);

/// One provider's keep-alive connection.
pub(crate) struct Client {
    socket: PathBuf,
    provider: String,
    stream: Option<BufReader<UnixStream>>,
    request: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Reply {
    /// The body of a success; panics with the problem otherwise.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.body);
        self.body
    }

    /// The code of a refusal; panics when it was none.
    #[track_caller]
    pub(crate) fn code(&self) -> &str {
        assert!(self.status >= 400, "{}: {}", self.status, self.body);
        self.body["code"].as_str().expect("a problem has a code")
    }
}

impl Client {
    pub(crate) fn new(socket: &Path, provider: &str) -> Self {
        Self { socket: socket.to_owned(), provider: provider.to_owned(), stream: None, request: Vec::new() }
    }

    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.send("GET", path, 0, None).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    #[track_caller]
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, 0, Some(body)).unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    #[track_caller]
    pub(crate) fn delete(&mut self, path: &str) -> Reply {
        self.send("DELETE", path, 0, None).unwrap_or_else(|error| panic!("DELETE {path}: {error}"))
    }

    /// Sends a command and does not wait for its end; gives its id.
    #[track_caller]
    pub(crate) fn submit(&mut self, vm: &str, action: &str, args: &Value) -> String {
        let view = self.try_submit(vm, action, args, 0).unwrap_or_else(|error| panic!("{action}: {error}")).ok();
        view["id"].as_str().expect("a command has an id").to_owned()
    }

    /// Sends a command and waits for its end; gives the command.
    #[track_caller]
    pub(crate) fn run(&mut self, vm: &str, action: &str, args: &Value) -> Value {
        self.try_submit(vm, action, args, 120).unwrap_or_else(|error| panic!("{action}: {error}")).ok()
    }

    /// Sends a command under a new id; an error when the agent goes away meanwhile.
    pub(crate) fn try_submit(&mut self, vm: &str, action: &str, args: &Value, wait: u32) -> std::io::Result<Reply> {
        let body = json!({ "id": uuid::Uuid::now_v7(), "action": action, "args": args });
        self.send("POST", &format!("/v1/vms/{vm}/commands"), wait, Some(&body))
    }

    #[track_caller]
    pub(crate) fn command(&mut self, vm: &str, id: &str) -> Value {
        self.get(&format!("/v1/vms/{vm}/commands/{id}")).ok()
    }

    /// Waits until a command is in one of these states. It asks again and again, because only a command's end has an
    /// answer that waits for it, and that of its submission was not held back.
    #[track_caller]
    pub(crate) fn until_state(&mut self, vm: &str, id: &str, states: &[&str], within: Duration) -> Value {
        let end = Instant::now() + within;
        loop {
            let view = self.command(vm, id);
            if states.iter().any(|state| view["state"] == *state) {
                return view;
            }
            assert!(Instant::now() < end, "{id} is not {states:?} within {within:?}: {view:#}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until a command has ended.
    #[track_caller]
    pub(crate) fn ended(&mut self, vm: &str, id: &str, within: Duration) -> Value {
        let ends = ["done", "coalesced", "failed", "superseded", "impossible", "expired", "denied", "cancelled"];
        self.until_state(vm, id, &ends, within)
    }

    /// One request on the connection; a connection that the agent closed is opened again once.
    pub(crate) fn send(&mut self, method: &str, path: &str, wait: u32, body: Option<&Value>) -> std::io::Result<Reply> {
        self.request.clear();
        let provider = &self.provider;
        write!(self.request, "{method} {path} HTTP/1.1\r\nhost: covirt\r\ncovirt-provider: {provider}\r\n")?;
        if wait > 0 {
            write!(self.request, "prefer: wait={wait}\r\n")?;
        }
        match body {
            Some(body) => {
                let body = serde_json::to_vec(body)?;
                write!(self.request, "content-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len())?;
                self.request.extend_from_slice(&body);
            }
            None => self.request.extend_from_slice(b"\r\n"),
        }
        let kept = self.stream.is_some();
        match self.exchange() {
            Err(error) if kept && error.kind() == std::io::ErrorKind::BrokenPipe => self.exchange(),
            other => other,
        }
    }

    fn exchange(&mut self) -> std::io::Result<Reply> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = UnixStream::connect(&self.socket)?;
                stream.set_read_timeout(Some(ANSWER_LIMIT))?;
                BufReader::new(stream)
            }
        };
        stream.get_mut().write_all(&self.request)?;
        let reply = read_reply(&mut stream)?;
        self.stream = Some(stream);
        Ok(reply)
    }
}

fn read_reply(stream: &mut BufReader<UnixStream>) -> std::io::Result<Reply> {
    let garbled = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
    let (mut status, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if status.is_none() {
            status = Some(line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| garbled(line))?);
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(|_| garbled(line))?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
    Ok(Reply { status: status.ok_or_else(|| garbled("no status"))?, body })
}

/// A provider's session; it answers asks as it was told, and notes them.
pub(crate) struct Session {
    stream: UnixStream,
    /// What the provider was asked.
    pub(crate) asks: Receiver<Value>,
}

impl Session {
    /// Opens it; `answer` is said to every ask, none leaves them unanswered.
    #[track_caller]
    pub(crate) fn open(socket: &Path, provider: &str, answer: Option<&'static str>) -> Self {
        let stream = UnixStream::connect(socket).expect("the agent listens");
        let mut request = "ws://covirt/v1/session".into_client_request().expect("a request");
        request.headers_mut().insert("covirt-provider", provider.parse().expect("a header"));
        let kept = stream.try_clone().expect("a second handle");
        let (mut web, _) = tungstenite::client(request, stream).expect("the session opens");
        let (told, asks) = channel();
        let welcome: Value = read_message(&mut web).expect("a welcome");
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        std::thread::spawn(move || {
            while let Some(message) = read_message(&mut web) {
                if message["type"] != "ask" {
                    continue;
                }
                if let Some(answer) = answer {
                    let said =
                        json!({"type": "answer", "ask": message["ask"], "epoch": message["epoch"], "answer": answer});
                    if web.send(Message::text(said.to_string())).is_err() {
                        return;
                    }
                }
                if told.send(message).is_err() {
                    return;
                }
            }
        });
        Self { stream: kept, asks }
    }
}

/// What a provider's session is told, each event with when it came.
pub(crate) struct Listener {
    stream: UnixStream,
    events: Receiver<(jiff::Timestamp, Value)>,
}

impl Listener {
    /// Opens a session and subscribes to what comes after a cursor; it is open when this returns.
    #[track_caller]
    pub(crate) fn open(socket: &Path, provider: &str, after: u64) -> Self {
        let stream = UnixStream::connect(socket).expect("the agent listens");
        let mut request = "ws://covirt/v1/session".into_client_request().expect("a request");
        request.headers_mut().insert("covirt-provider", provider.parse().expect("a header"));
        let kept = stream.try_clone().expect("a second handle");
        let (mut web, _) = tungstenite::client(request, stream).expect("the session opens");
        let welcome = read_message(&mut web).expect("a welcome");
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        let subscribe = json!({ "type": "subscribe", "after": after });
        web.send(Message::text(subscribe.to_string())).expect("subscribe");
        let (told, events) = channel();
        std::thread::spawn(move || {
            while let Some(message) = read_message(&mut web) {
                if message["type"] == "event" && told.send((jiff::Timestamp::now(), message)).is_err() {
                    return;
                }
            }
        });
        Self { stream: kept, events }
    }

    /// The next event that is so, and when it came; those before it are passed over.
    #[track_caller]
    pub(crate) fn next(&self, what: &str, is: impl Fn(&Value) -> bool) -> (jiff::Timestamp, Value) {
        let end = Instant::now() + Duration::from_secs(90);
        let mut passed = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let heard = self.events.recv_timeout(left);
            let (at, event) = heard.unwrap_or_else(|_| panic!("not told: {what}; but {passed:#?}"));
            if is(&event) {
                return (at, event);
            }
            passed.push(event);
        }
    }

    /// Everything that has come so far and was not passed over.
    pub(crate) fn so_far(&self) -> Vec<Value> {
        self.events.try_iter().map(|(_, event)| event).collect()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

/// The next text message; none when the session is over.
fn read_message(web: &mut tungstenite::WebSocket<UnixStream>) -> Option<Value> {
    loop {
        match web.read() {
            Ok(Message::Text(text)) => return serde_json::from_str(&text).ok(),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

/// The agent itself.
pub(crate) struct Covirtd {
    folder: tempfile::TempDir,
    program: PathBuf,
    child: Option<Child>,
}

impl Covirtd {
    /// Starts one on `connect`, with providers north (may enroll) and south; `more` is added to its configuration.
    #[track_caller]
    pub(crate) fn start(program: &str, connect: &str, more: &str) -> Self {
        Self::start_with(program, connect, "", more)
    }

    /// The same; `north` is added to north's table, and `more` to south's and behind it.
    #[track_caller]
    pub(crate) fn start_with(program: &str, connect: &str, north: &str, more: &str) -> Self {
        // Not below cargo's target folder: sockets allow few bytes for their path.
        let folder = tempfile::Builder::new().prefix("covirtd-").tempdir().expect("make a folder");
        let (dir, uid) = (folder.path().display(), nix::unistd::getuid());
        let text = format!(
            "[agent]\nsocket = '{dir}/api.sock'\nstate_dir = '{dir}/state'\nconnect = '{connect}'\n\
             ceiling = '{dir}/ceiling.toml'\n\
             [[provider]]\nid = 'north'\nuids = [{uid}]\nmay_enroll = true\n{north}\n\
             [[provider]]\nid = 'south'\nuids = [{uid}]\n{more}\n"
        );
        std::fs::write(folder.path().join("covirt.toml"), text).expect("write the configuration");
        // It bounds nothing, until a test says otherwise; that of this host is nothing to a test.
        std::fs::write(folder.path().join("ceiling.toml"), "").expect("write the ceiling");
        let mut agent = Self { folder, program: program.into(), child: None };
        agent.up();
        agent
    }

    /// Starts it again after [`Self::kill9`], with the same journal; returns when it answers.
    #[track_caller]
    pub(crate) fn up(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(self.log_path()).expect("open the log");
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.folder.path().join("covirt.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // SAFETY: prctl is one system call and may be made between fork and exec. Needed so that a test that is
        // killed leaves no agent behind.
        unsafe {
            command.pre_exec(|| nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(Into::into));
        }
        self.child = Some(command.spawn().expect("start covirtd"));
        let end = Instant::now() + Duration::from_secs(60);
        // A process announces its socket to nobody: it is tried until it answers.
        loop {
            let answered = Client::new(&self.socket(), "north").send("GET", "/healthz", 0, None);
            if answered.is_ok_and(|reply| reply.status == 200) {
                return;
            }
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none() && Instant::now() < end, "covirtd does not answer ({ended:?}):\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL, and wait until it is gone.
    #[track_caller]
    pub(crate) fn kill9(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("kill covirtd");
        child.wait().expect("wait for covirtd");
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn end(&mut self) -> std::process::ExitStatus {
        self.child.take().expect("it runs").wait().expect("wait for covirtd")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// SIGHUP: has it read its files again.
    #[track_caller]
    pub(crate) fn hangup(&self) {
        let pid = i32::try_from(self.pid()).expect("a process id");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGHUP).expect("SIGHUP");
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("api.sock")
    }

    pub(crate) fn client(&self, provider: &str) -> Client {
        Client::new(&self.socket(), provider)
    }

    #[track_caller]
    pub(crate) fn session(&self, provider: &str, answer: Option<&'static str>) -> Session {
        Session::open(&self.socket(), provider, answer)
    }

    #[track_caller]
    pub(crate) fn listen(&self, provider: &str, after: u64) -> Listener {
        Listener::open(&self.socket(), provider, after)
    }

    /// Where its configuration, its journal and its log are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("covirtd.log")
    }
}

impl Drop for Covirtd {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("covirtd's log:\n{}", self.log());
        }
    }
}

/// Every event of a VM since the beginning.
#[track_caller]
pub(crate) fn events(client: &mut Client, vm: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let page = client.get(&format!("/v1/events?after={after}&vm={vm}")).ok();
        let events = page["events"].as_array().expect("events").clone();
        if events.is_empty() {
            return all;
        }
        after = page["cursor"].as_u64().expect("a cursor");
        all.extend(events);
    }
}
