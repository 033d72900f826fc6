//! An agent, a VM of north's, and mallory with one delegation on it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::covirtd::{Client, Covirtd, events};
use crate::support::agent::DEFAULT_VM;

/// For what happens at once on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Mallory's user where the tests may become another one; otherwise all have the user of the tests.
const MALLORY: u32 = 54_321;

pub(crate) struct Scene {
    pub(crate) agent: Covirtd,
    north: Client,
}

/// What north can see of its VM, without what its own looking changes.
#[derive(Debug, PartialEq)]
pub(crate) struct Picture(Value);

impl Scene {
    /// With these tables behind the usual ones.
    #[track_caller]
    pub(crate) fn set(tables: &str) -> Self {
        let uid = nix::unistd::getuid().as_raw();
        let mallory = if uid == 0 { format!("{uid}, {MALLORY}") } else { uid.to_string() };
        let more = format!("[[provider]]\nid = 'mallory'\nuids = [{mallory}]\n{tables}");
        let agent = Covirtd::start(env!("CARGO_BIN_EXE_covirtd"), "test:///default", &more);
        let mut north = agent.client("north");
        north.post(&format!("/v1/vms/{DEFAULT_VM}/enrollment"), &json!({})).ok();
        let grant = json!({ "to": "mallory", "actions": ["metadata.set"], "mode": "shared" });
        north.post(&format!("/v1/vms/{DEFAULT_VM}/delegations"), &grant).ok();
        Self { agent, north }
    }

    #[track_caller]
    pub(crate) fn picture(&mut self) -> Picture {
        let vm = self.north.get(&format!("/v1/vms/{DEFAULT_VM}")).ok();
        let held = self.north.get(&format!("/v1/vms/{DEFAULT_VM}/delegations")).ok();
        Picture(json!([vm, held, events(&mut self.north, DEFAULT_VM)]))
    }

    /// North is answered, and has a command executed.
    #[track_caller]
    pub(crate) fn north_is_served(&mut self) {
        self.north = self.agent.client("north");
        assert_eq!(self.north.get("/v1/whoami").ok()["provider"], "north");
        for action in ["power.suspend", "power.resume"] {
            assert_eq!(self.north.run(DEFAULT_VM, action, &json!({}))["state"], "done");
        }
    }

    /// What mallory does changes nothing, and north is served afterwards.
    #[track_caller]
    pub(crate) fn unmoved_by(&mut self, mut deed: impl FnMut(&Covirtd)) {
        let before = self.picture();
        deed(&self.agent);
        assert_eq!(self.picture(), before);
        self.north_is_served();
    }

    /// Mallory's own connection.
    #[track_caller]
    pub(crate) fn mallory(&self) -> UnixStream {
        connect(&self.agent)
    }
}

#[track_caller]
pub(crate) fn connect(agent: &Covirtd) -> UnixStream {
    let stream = UnixStream::connect(agent.socket()).expect("the agent listens");
    stream.set_read_timeout(Some(SOON)).expect("a limit");
    stream.set_write_timeout(Some(SOON)).expect("a limit");
    stream
}

/// How the agent ended something.
#[derive(Debug)]
pub(crate) enum End {
    Answered(u16, Value),
    Closed,
}

impl End {
    /// It is a refusal with this code.
    #[track_caller]
    pub(crate) fn is(&self, wanted: u16, code: &str) {
        let Self::Answered(status, body) = self else { panic!("closed, and not {wanted} {code}") };
        assert_eq!((*status, &body["code"]), (wanted, &json!(code)), "{body}");
    }

    /// It is one of these, or the connection was closed.
    #[track_caller]
    pub(crate) fn is_one_of(&self, statuses: &[u16]) {
        if let Self::Answered(status, body) = self {
            assert!(statuses.contains(status), "{status} {body}");
        }
    }
}

/// Sends as much as the agent takes, and reads the answer until the agent closes or has answered whole.
pub(crate) fn say(stream: &mut (impl Read + Write), bytes: &[u8]) -> End {
    // What is not taken shows in the answer.
    let _ = stream.write_all(bytes).and_then(|()| stream.flush());
    heard(stream)
}

pub(crate) fn heard(stream: &mut impl Read) -> End {
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        if let Some(end) = whole(&answer) {
            return end;
        }
        match stream.read(&mut part) {
            Ok(0) => return End::Closed,
            Ok(length) => answer.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no end within {SOON:?}"),
            Err(_) => return End::Closed,
        }
    }
}

/// The answer, if all of it is there.
fn whole(answer: &[u8]) -> Option<End> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let body = body.get(..length.unwrap_or(0))?;
    Some(End::Answered(status, serde_json::from_str(body).unwrap_or_default()))
}

/// Does this as mallory's own user, if the tests may: the kernel then tells the agent so.
pub(crate) fn as_mallory<T: Send>(agent: &Covirtd, deed: impl FnOnce() -> T + Send) -> T {
    use std::os::unix::fs::PermissionsExt;
    if !nix::unistd::getuid().is_root() {
        return deed();
    }
    for (path, mode) in [(agent.folder().to_owned(), 0o755), (agent.socket(), 0o666)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
    }
    let become_mallory = || {
        // SAFETY: one system call with numbers; called past the C library it changes this thread alone, which ends here.
        let done = unsafe { nix::libc::syscall(nix::libc::SYS_setresuid, MALLORY, MALLORY, MALLORY) };
        assert_eq!(done, 0, "setresuid");
        deed()
    };
    std::thread::scope(|scope| scope.spawn(become_mallory).join().expect("the thread ends"))
}
