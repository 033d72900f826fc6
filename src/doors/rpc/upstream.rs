//! Where libvirt itself is, and a connection to it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use crate::doors::listener::peer_of;
use crate::model::Peer;

/// The modular daemon's socket and then the monolithic one's, as libvirt's own clients look for them.
const SYSTEM: [&str; 2] = ["/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock"];
/// How long a place in libvirt's queue of connections is waited for.
const QUEUE: Duration = Duration::from_secs(10);
/// How long until it is asked again: the kernel tells nobody when there is a place.
const AGAIN: Duration = Duration::from_millis(5);

/// Why no socket follows from a URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSocketError {
    /// A driver that lives in its client's own process.
    #[error("{0} has no socket: it lives in the agent itself")]
    InProcess(String),
    /// Something whose socket is not where the system's is.
    #[error("{0} does not tell on which socket libvirt listens")]
    Unknown(String),
}

/// Why libvirt is not reached.
#[derive(Debug, thiserror::Error)]
pub enum ReachUpstreamError {
    /// Nobody listens.
    #[error("{path} cannot be connected")]
    Connect {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What listens there is this agent: a client would be passed on for ever.
    #[error("{0} is a socket of this agent itself")]
    Ourselves(PathBuf),
}

/// The sockets at which libvirt may be: the first that is there is taken, at each connection anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream(Vec<PathBuf>);

impl Upstream {
    /// This one.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self(vec![path])
    }

    /// Where a client with this URI would go.
    ///
    /// *Errors*: [`NoSocketError`].
    pub fn of_uri(uri: &str) -> Result<Self, NoSocketError> {
        let unknown = || NoSocketError::Unknown(uri.to_owned());
        let (scheme, rest) = uri.split_once(':').ok_or_else(unknown)?;
        let (driver, transport) = scheme.split_once('+').unwrap_or((scheme, "unix"));
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        if driver == "test" && transport == "unix" && !query.contains("socket=") {
            return Err(NoSocketError::InProcess(uri.to_owned()));
        }
        let of = |key: &str| query.split(['&', ';']).find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        if transport != "unix" {
            return Err(unknown());
        }
        if let Some(socket) = of("socket") {
            return decoded(socket).map(|path| Self(vec![path])).ok_or_else(unknown);
        }
        let [modular, monolithic] = SYSTEM.map(PathBuf::from);
        match (place, of("mode")) {
            ("///system", None | Some("auto")) if driver == "qemu" => Ok(Self(vec![modular, monolithic])),
            ("///system", Some("direct")) if driver == "qemu" => Ok(Self(vec![modular])),
            ("///system", Some("legacy")) => Ok(Self(vec![monolithic])),
            _ => Err(unknown()),
        }
    }

    /// Connects.
    ///
    /// *Errors*: [`ReachUpstreamError`].
    pub(super) async fn connect(&self) -> Result<UnixStream, ReachUpstreamError> {
        let path = self.0.iter().find(|path| path.exists()).or(self.0.last()).cloned().unwrap_or_default();
        let give_up = Instant::now() + QUEUE;
        let stream = loop {
            match UnixStream::connect(&path).await {
                Ok(stream) => break stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < give_up => {
                    sleep(AGAIN).await;
                }
                Err(source) => return Err(ReachUpstreamError::Connect { path, source }),
            }
        };
        let own = i32::try_from(std::process::id()).ok();
        match peer_of(&stream) {
            Ok(Peer::Local { pid: Some(pid), .. }) if Some(pid) == own => Err(ReachUpstreamError::Ourselves(path)),
            Ok(_) => Ok(stream),
            Err(source) => Err(ReachUpstreamError::Connect { path, source }),
        }
    }
}

/// A path as a URI writes it.
fn decoded(text: &str) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |byte: u8| char::from(byte).to_digit(16);
        bytes.push(match byte {
            b'%' => u8::try_from(hex(rest.next()?)? * 16 + hex(rest.next()?)?).ok()?,
            other => other,
        });
    }
    let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
    path.is_absolute().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libvirt_is_where_the_uri_says() {
        let socket = |path: &str| Ok(Upstream::at(path.into()));
        let [modular, monolithic] = SYSTEM;
        for (uri, wanted) in [
            ("qemu:///system", Ok(Upstream(vec![modular.into(), monolithic.into()]))),
            ("qemu:///system?mode=legacy", socket(monolithic)),
            ("qemu:///system?mode=direct", socket(modular)),
            ("qemu+unix:///system?socket=/a/b", socket("/a/b")),
            ("qemu:///system?keepalive=1&socket=%2fa%2Fb%20c", socket("/a/b c")),
            ("qemu:///session?socket=/a/b", socket("/a/b")),
            ("lxc:///system?mode=legacy", socket(monolithic)),
        ] {
            assert_eq!(Upstream::of_uri(uri), wanted, "{uri}");
        }
    }

    #[test]
    fn where_no_socket_follows_it_is_said() {
        for uri in ["qemu:///session", "qemu+ssh://there/system", "qemu:///system?socket=a", "nonsense", "xen:///x"] {
            assert_eq!(Upstream::of_uri(uri), Err(NoSocketError::Unknown(uri.to_owned())));
        }
        for uri in ["test:///default", "test:///file.xml"] {
            assert_eq!(Upstream::of_uri(uri), Err(NoSocketError::InProcess(uri.to_owned())));
        }
    }

    #[tokio::test]
    async fn the_agent_is_never_its_own_upstream() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sock");
        let _listener = tokio::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(Upstream::at(path).connect().await, Err(ReachUpstreamError::Ourselves(_))));
    }
}
