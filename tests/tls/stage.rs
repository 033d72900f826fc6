//! A `covirtd` that is served over TLS, its certificates, and clients of it that are no part of this project.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::authority::{Authority, Identity, Wanted};
use crate::covirtd::Covirtd;
use crate::support::until;

/// For what happens at once on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/client.py");

/// North has a key of its own making, pinned; south has a certificate of the authority, with its name.
pub(crate) struct Stage {
    pub(crate) agent: Covirtd,
    pub(crate) authority: Authority,
    pub(crate) server: Identity,
    pub(crate) north: Identity,
    pub(crate) south: Identity,
    pub(crate) port: u16,
    /// Whom clients believe.
    trusted: PathBuf,
    folder: tempfile::TempDir,
    tables: Tables,
}

/// What the configuration says beyond what is the same everywhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tables {
    /// Further keys of north's.
    pub(crate) north_keys: Vec<String>,
    /// Lines of `[tls]`.
    pub(crate) tls: String,
    /// Whole tables.
    pub(crate) more: String,
    pub(crate) crl: Option<String>,
}

impl Stage {
    #[track_caller]
    pub(crate) fn set() -> Self {
        Self::with(|_, _| Tables::default())
    }

    /// With what is made of the authority, and of the folder that certificates are in.
    #[track_caller]
    pub(crate) fn with(tables: impl FnOnce(&Authority, &Path) -> Tables) -> Self {
        let folder = tempfile::Builder::new().prefix("covirt-tls-").tempdir().expect("make a folder");
        let authority = Authority::new(folder.path(), "authority");
        let server = authority.issue(&Wanted::server("server"), 1);
        let north = Identity::of_itself(folder.path(), &Wanted::client("north"));
        let south = authority.issue(&Wanted::client("south").named("spiffe://example.org/provider/south"), 2);
        let tables = tables(&authority, folder.path());
        let (of_north, rest) = words(&authority, &server, &north, &tables);
        let agent = Covirtd::start_with(env!("CARGO_BIN_EXE_covirtd"), "test:///default", &of_north, &rest);
        let port = port_of(&agent, "the API is served over TLS");
        let trusted = folder.path().join("trusted.pem");
        std::fs::copy(&authority.certificate, &trusted).expect("copy a certificate");
        Self { agent, authority, server, north, south, port, trusted, folder, tables }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Changes what the configuration says, and has the agent read it.
    #[track_caller]
    pub(crate) fn reconfigure(&mut self, change: impl FnOnce(&mut Tables)) {
        change(&mut self.tables);
        let (of_north, rest) = words(&self.authority, &self.server, &self.north, &self.tables);
        let path = self.agent.folder().join("covirt.toml");
        let text = std::fs::read_to_string(&path).expect("read the configuration");
        let uid = nix::unistd::getuid();
        let (agent, _) = text.split_once("[[provider]]").expect("providers");
        let text = format!(
            "{agent}[[provider]]\nid = 'north'\nuids = [{uid}]\nmay_enroll = true\n{of_north}\n\
             [[provider]]\nid = 'south'\nuids = [{uid}]\n{rest}\n"
        );
        std::fs::write(path, text).expect("write the configuration");
        self.reload("who may call was read again");
    }

    /// SIGHUP, and wait for this to be said once more.
    #[track_caller]
    pub(crate) fn reload(&self, said: &str) {
        let before = self.agent.log().matches(said).count();
        self.hangup();
        until(&format!("the agent says: {said}"), SOON, || {
            (self.agent.log().matches(said).count() > before).then_some(())
        });
    }

    pub(crate) fn hangup(&self) {
        let pid = i32::try_from(self.agent.pid()).expect("a process id");
        kill(Pid::from_raw(pid), Signal::SIGHUP).expect("SIGHUP");
    }

    /// Waits until the log has a line with all of these.
    #[track_caller]
    pub(crate) fn said(&self, parts: &[&str]) -> String {
        until(&format!("a line with {parts:?}"), SOON, || {
            let log = self.agent.log();
            let line = log.lines().find(|line| parts.iter().all(|part| line.contains(part)));
            line.map(str::to_owned)
        })
    }

    fn python(&self, who: &Identity, words: &[&str]) -> Command {
        let mut python = Command::new("python3");
        python.arg(CLIENT).arg(self.port.to_string()).arg(&self.trusted);
        python.arg(&who.certificate).arg(&who.key).args(words).stdin(Stdio::null()).stdout(Stdio::piped());
        python
    }

    /// A request by Python's own TLS.
    #[track_caller]
    pub(crate) fn get(&self, who: &Identity, path: &str) -> Value {
        let output = self.python(who, &["get", path]).output().expect("run python3");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// Who the agent says that this is; null when it does not let it in.
    #[track_caller]
    pub(crate) fn whoami(&self, who: &Identity) -> Value {
        self.get(who, "/v1/whoami")["body"]["provider"].clone()
    }

    /// A session by Python; it is open when this returns.
    #[track_caller]
    pub(crate) fn session(&self, who: &Identity) -> Talk {
        let mut talk = Talk::begin(self.python(who, &["session"]));
        assert_eq!(talk.next()["type"], "welcome");
        talk
    }

    /// A connection that does nothing; its handshake is over when this returns.
    #[track_caller]
    pub(crate) fn idle(&self, who: &Identity) -> Talk {
        let mut talk = Talk::begin(self.python(who, &["idle"]));
        assert_eq!(talk.next(), json!("in"));
        talk
    }

    /// curl, with these words before the address; what it printed, and its exit code.
    pub(crate) fn curl(&self, who: &Identity, words: &[&str], path: &str) -> (String, Option<i32>) {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "30", "--include", "--cacert"]);
        curl.arg(&self.trusted).arg("--cert").arg(&who.certificate).arg("--key").arg(&who.key);
        curl.args(words).arg(format!("https://localhost:{}{path}", self.port));
        let output = curl.output().expect("run curl");
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
    }

    /// `openssl s_client` with these words, and what it is to send; all that it printed.
    pub(crate) fn openssl(&self, words: &[&str], says: &str) -> String {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-connect", &format!("127.0.0.1:{}", self.port), "-servername", "localhost"]);
        openssl.arg("-CAfile").arg(&self.trusted).args(words).arg("-quiet");
        openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = openssl.spawn().expect("run openssl");
        std::io::Write::write_all(&mut child.stdin.take().expect("its input"), says.as_bytes()).ok();
        let output = child.wait_with_output().expect("wait for openssl");
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }
}

/// Where it listens, by its own word.
#[track_caller]
pub(crate) fn port_of(agent: &Covirtd, said: &str) -> u16 {
    let line = until(&format!("the agent says: {said}"), SOON, || {
        agent.log().lines().find(|line| line.contains(said)).map(str::to_owned)
    });
    let address = line.split("address=").nth(1).expect("an address").split(' ').next().expect("an address");
    address.parse::<SocketAddr>().expect("an address").port()
}

/// What is in north's table, and what is in south's and behind it.
fn words(authority: &Authority, server: &Identity, north: &Identity, tables: &Tables) -> (String, String) {
    let keys: Vec<String> = tables.north_keys.iter().map(|key| format!("'{key}'")).collect();
    let keys = if keys.is_empty() { format!("'{}'", north.id) } else { keys.join(", ") };
    let mut rest = format!(
        "[tls]\nlisten = '127.0.0.1:0'\ncertificate = '{}'\nkey = '{}'\nclient_ca = '{}'\ntrust_domain = 'example.org'\n",
        server.certificate.display(),
        server.key.display(),
        authority.certificate.display()
    );
    if let Some(crl) = &tables.crl {
        writeln!(rest, "crl = '{crl}'").expect("write");
    }
    (format!("keys = [{keys}]"), format!("{rest}{}\n{}", tables.tls, tables.more))
}

/// A client that talks on; it ends with the test.
pub(crate) struct Talk {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Talk {
    #[track_caller]
    fn begin(mut command: Command) -> Self {
        let mut child = command.spawn().expect("start a client");
        let lines = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, lines }
    }

    /// The next thing that it says.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("read a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// The next thing that it says which is so.
    #[track_caller]
    pub(crate) fn next_with(&mut self, key: &str) -> Value {
        loop {
            let said = self.next();
            if !said[key].is_null() {
                return said;
            }
        }
    }

    /// Whether it runs.
    pub(crate) fn is_there(&mut self) -> bool {
        self.child.try_wait().expect("ask for a client").is_none()
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
