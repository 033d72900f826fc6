//! A `covirtd` of a test's own: its folder, its process, and a client that sees the raw answers.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper_util::rt::TokioIo;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use uuid::Uuid;

use super::until;

/// The VM of `test:///default`.
pub(crate) const DEFAULT_VM: &str = "6695eb01-f6a4-8304-79aa-97f2502e193f";
/// For everything that happens at once on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// How an agent is started.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    connect: String,
    agent: String,
    tables: String,
    vms: Vec<Uuid>,
    inside: String,
    ceiling: Option<String>,
}

impl Default for Setup {
    /// One VM, on `test:///default`, with north (which may enroll) and south.
    fn default() -> Self {
        Self {
            connect: "test:///default".to_owned(),
            agent: String::new(),
            tables: String::new(),
            vms: vec![DEFAULT_VM.parse().expect("a UUID")],
            inside: String::new(),
            ceiling: None,
        }
    }
}

impl Setup {
    /// Several VMs, all of them running, on libvirt's mock driver.
    pub(crate) fn with_vms(count: u128) -> Self {
        Self { vms: (1..=count).map(Uuid::from_u128).collect(), connect: String::new(), ..Self::default() }
    }

    /// One running VM with this in its definition.
    pub(crate) fn with_definition(inside: &str) -> Self {
        Self { inside: inside.to_owned(), ..Self::with_vms(1) }
    }

    /// A hypervisor that cannot be connected.
    pub(crate) fn without_hypervisor() -> Self {
        Self { connect: "test:///no/such/file.xml".to_owned(), ..Self::default() }
    }

    /// With these tables in the configuration as well.
    pub(crate) fn and(mut self, tables: &str) -> Self {
        self.tables.push_str(tables);
        self.tables.push('\n');
        self
    }

    /// Under this ceiling.
    pub(crate) fn under(mut self, ceiling: &str) -> Self {
        self.ceiling = Some(ceiling.to_owned());
        self
    }

    fn write(&self, folder: &Path) -> PathBuf {
        let connect = if self.connect.is_empty() {
            let domain = |(number, id): (usize, &Uuid)| {
                format!(
                    "<domain type='test'><name>vm{}</name><uuid>{id}</uuid>{}<memory>65536</memory>\
                     <vcpu current='1'>4</vcpu><os><type>hvm</type></os></domain>",
                    number + 1,
                    self.inside
                )
            };
            let domains: String = self.vms.iter().enumerate().map(domain).collect();
            let node = folder.join("node.xml");
            std::fs::write(&node, format!("<node>{domains}</node>")).expect("write the node");
            format!("test://{}", node.display())
        } else {
            self.connect.clone()
        };
        let mut agent = self.agent.clone();
        if let Some(ceiling) = &self.ceiling {
            let path = folder.join("ceiling.toml");
            std::fs::write(&path, ceiling).expect("write the ceiling");
            agent.push_str(&format!("\nceiling = {path:?}"));
        }
        let uid = nix::unistd::getuid();
        let (socket, state, bindings) = (folder.join("sock"), folder.join("state"), folder.join("bindings"));
        // Everybody is the user that runs the tests, and says for whom it speaks with the header.
        let text = format!(
            "[agent]\nsocket = {socket:?}\nstate_dir = {state:?}\nbindings = {bindings:?}\nconnect = \"{connect}\"\n{}\n\
             [operator]\nuids = [{uid}]\n\n\
             [[provider]]\nid = \"north\"\nuids = [{uid}]\nmay_enroll = true\n\n\
             [[provider]]\nid = \"south\"\nuids = [{uid}]\n\n{}",
            agent, self.tables
        );
        let path = folder.join("covirt.toml");
        std::fs::write(&path, text).expect("write the configuration");
        path
    }

    /// Starts an agent and waits until it answers.
    pub(crate) fn start(&self) -> Agent {
        let folder = tempfile::tempdir().expect("a folder");
        self.write(folder.path());
        let mut agent = Agent { folder, process: None, vms: self.vms.clone() };
        agent.run();
        agent
    }
}

/// A running agent; it ends with the test.
pub(crate) struct Agent {
    folder: TempDir,
    process: Option<Child>,
    vms: Vec<Uuid>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the agent's words:\n{}", self.log());
        }
        self.kill9();
    }
}

impl Agent {
    /// Starts the agent on the same folder again.
    pub(crate) fn run(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder().join("log")).expect("a log");
        let mut command = Command::new("/bin/sh");
        // A write beyond a file size limit is an error like a full disk's then, and not a signal.
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_covirtd"), "--config"]);
        command.arg(self.folder().join("covirt.toml"));
        let child = command.process_group(0).stdin(Stdio::null()).stderr(log).spawn().expect("start covirtd");
        self.process = Some(child);
        until("covirtd listens", SOON, || {
            let exited = self.process.as_mut().expect("a process").try_wait().expect("wait");
            assert!(exited.is_none(), "covirtd ended at once: {}", self.log());
            std::os::unix::net::UnixStream::connect(self.socket()).ok()
        });
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder().join("sock")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.process.as_ref().expect("it runs").id()).expect("a process id")
    }

    /// The `number`th VM, counted from 1.
    pub(crate) fn vm(&self, number: usize) -> Uuid {
        self.vms[number - 1]
    }

    /// Ends it as a crash would.
    pub(crate) fn kill9(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Tells it to stop.
    pub(crate) fn terminate(&self) {
        kill(Pid::from_raw(self.pid()), Signal::SIGTERM).expect("signal");
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut child = self.process.take().expect("it runs");
        until("covirtd ends", SOON, || child.try_wait().expect("wait"))
    }

    /// Puts a binding for the `number`th VM into the agent's folder.
    pub(crate) fn bind(&self, number: usize, name: &str, text: &str) {
        let folder = self.folder().join("bindings");
        std::fs::create_dir_all(&folder).expect("make the folder of bindings");
        std::fs::write(folder.join(format!("{}.{name}", self.vm(number))), text).expect("write a binding");
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn request(&self, method: &str, path: &str, who: &str, body: Option<Value>) -> Answer {
        self.request_with(method, path, who, body.map(|body| body.to_string()).unwrap_or_default(), &[]).await
    }

    /// The same with any body and more headers.
    pub(crate) async fn request_with(
        &self,
        method: &str,
        path: &str,
        who: &str,
        body: String,
        headers: &[(&str, &str)],
    ) -> Answer {
        let asking = async {
            let stream = UnixStream::connect(self.socket()).await.expect("connect");
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("handshake");
            tokio::spawn(connection);
            let mut request = hyper::Request::builder().method(method).uri(path).header("host", "covirt");
            if !who.is_empty() {
                request = request.header("covirt-provider", who);
            }
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(Full::new(Bytes::from(body))).expect("a request");
            let answer = sender.send_request(request).await.expect("an answer");
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            let bytes = answer.into_body().collect().await.expect("a whole answer").to_bytes();
            let is_json = headers.get("content-type").is_some_and(|kind| kind.as_bytes().ends_with(b"json"));
            let json = if is_json { serde_json::from_slice(&bytes).expect("JSON") } else { Value::Null };
            Answer { status, headers, json, body: bytes }
        };
        tokio::time::timeout(SOON, asking).await.unwrap_or_else(|_| panic!("{method} {path}: no answer in time"))
    }

    pub(crate) async fn get(&self, path: &str, who: &str) -> Answer {
        self.request("GET", path, who, None).await
    }

    /// North enrolls the `number`th VM.
    pub(crate) async fn enroll(&self, number: usize) {
        let path = format!("/v1/vms/{}/enrollment", self.vm(number));
        self.request("POST", &path, "north", None).await.expect(201);
    }

    /// North gives south some actions.
    pub(crate) async fn delegate(&self, number: usize, actions: &[&str], mode: &str) -> Answer {
        let body = json!({ "to": "south", "actions": actions, "mode": mode });
        self.request("POST", &format!("/v1/vms/{}/delegations", self.vm(number)), "north", Some(body)).await.expect(201)
    }

    /// Sends a command; `more` is merged into it.
    pub(crate) async fn submit(&self, number: usize, who: &str, action: &str, more: Value) -> Answer {
        self.submit_with(number, who, action, more, &[]).await
    }

    /// Sends a command and waits for its end.
    pub(crate) async fn run_command(&self, number: usize, who: &str, action: &str, more: Value) -> Answer {
        self.submit_with(number, who, action, more, &[("prefer", "wait=20")]).await
    }

    async fn submit_with(
        &self,
        number: usize,
        who: &str,
        action: &str,
        more: Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut body = json!({ "id": Uuid::now_v7(), "action": action });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        let path = format!("/v1/vms/{}/commands", self.vm(number));
        self.request_with("POST", &path, who, body.to_string(), headers).await
    }

    /// A command as the agent knows it.
    pub(crate) async fn command(&self, id: &str, who: &str) -> Value {
        self.get(&format!("/v1/commands/{id}"), who).await.expect(200).json
    }

    /// Asks until a command has ended: the answer that would have waited for it was given already.
    pub(crate) async fn ended_command(&self, id: &str, who: &str) -> Value {
        let live = ["queued", "running", "unknown"];
        let ended = async {
            loop {
                let command = self.command(id, who).await;
                if !live.contains(&command["state"].as_str().expect("a state")) {
                    return command;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, ended).await.unwrap_or_else(|_| panic!("{id} does not end"))
    }

    /// That a VM still takes and executes commands.
    pub(crate) async fn still_works(&self, number: usize) {
        let answer = self.run_command(number, "operator", "inspect.read", Value::Null).await.expect(200);
        assert_eq!(answer.json["state"], "done", "{}", answer.json);
    }

    /// Opens a provider's session; it has been welcomed.
    pub(crate) async fn session(&self, who: &str) -> Session {
        let mut session = self.session_unwelcomed(who).await;
        session.welcome = session.next_of("welcome").await;
        session
    }

    async fn session_unwelcomed(&self, who: &str) -> Session {
        let stream = UnixStream::connect(self.socket()).await.expect("connect");
        let mut request = "ws://covirt/v1/session".into_client_request().expect("a request");
        request.headers_mut().insert("covirt-provider", who.parse().expect("a header"));
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("a session");
        Session { socket, welcome: Value::Null }
    }
}

/// What an agent answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The body, when it says that it is JSON.
    pub(crate) json: Value,
    /// The body as it came.
    pub(crate) body: Bytes,
}

impl Answer {
    /// The answer, if it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.json);
        self
    }

    /// The answer, if it is a whole problem with this status and code.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, &self.json["code"]), (status, &json!(code)), "{}", self.json);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.json["status"], json!(status));
        assert_eq!(self.json["type"], format!("urn:covirt:problem:{code}"));
        let detail = self.json["detail"].as_str().unwrap_or_default();
        assert!(detail.len() > 10 && detail.contains(' '), "not a sentence: {detail:?}");
        self
    }

    pub(crate) fn text(&self, field: &str) -> String {
        self.json[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.json)).to_owned()
    }
}

/// A provider's session.
pub(crate) struct Session {
    pub(crate) socket: WebSocketStream<UnixStream>,
    pub(crate) welcome: Value,
}

impl Session {
    pub(crate) async fn send(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.expect("send");
    }

    /// The next message of this type; others are passed over.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Value {
        let next = async {
            loop {
                let message = self.socket.next().await.expect("the session is open").expect("a message");
                let Message::Text(text) = message else { panic!("{kind} was expected, not {message:?}") };
                let message: Value = serde_json::from_str(&text).expect("JSON");
                if message["type"] == kind {
                    return message;
                }
            }
        };
        tokio::time::timeout(SOON, next).await.unwrap_or_else(|_| panic!("no {kind} came"))
    }

    /// With which code and reason the agent closes it.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        let closed = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), frame.reason.to_string()),
                    Some(Ok(Message::Close(None)) | Err(_)) | None => return (0, "no close frame".to_owned()),
                    Some(Ok(_)) => {}
                }
            }
        };
        tokio::time::timeout(SOON, closed).await.expect("the session is closed")
    }

    /// Answers an ask.
    pub(crate) async fn answer(&mut self, ask: &Value, said: &str) {
        self.send(json!({ "type": "answer", "ask": ask["ask"], "epoch": ask["epoch"], "answer": said })).await;
    }
}
