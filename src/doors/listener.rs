//! A Unix socket bound safely, and who connects to it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use crate::model::Peer;

/// Why the socket could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindSocketError {
    /// Another agent serves it.
    #[error("another agent serves {0} already")]
    InUse(PathBuf),
    /// Something that is not a socket is in its place.
    #[error("{0} exists and is not a socket; it is left alone")]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("the socket {path} cannot be bound")]
    System {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A bound socket; its file goes when it is dropped, unless the socket was given.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    origin: Origin,
}

/// Whose a socket's file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// This agent made it.
    Bound,
    /// Whoever started the agent made it, and keeps it.
    Given,
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.origin == Origin::Bound {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Listener {
    /// Binds the socket; one that a dead agent left behind is replaced.
    ///
    /// *Errors*: [`BindSocketError`].
    pub async fn bind(path: &Path, mode: u32) -> Result<Self, BindSocketError> {
        let system = |source| BindSocketError::System { path: path.to_owned(), source };
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(system(error)),
            Ok(found) => {
                if !std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()) {
                    return Err(BindSocketError::NotASocket(path.to_owned()));
                }
                if UnixStream::connect(path).await.is_ok() {
                    return Err(BindSocketError::InUse(path.to_owned()));
                }
                std::fs::remove_file(path).map_err(system)?;
            }
        }
        // Bound with no permission for others, then opened: nobody slips in between.
        let before = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
        let bound = UnixListener::bind(path);
        nix::sys::stat::umask(before);
        let socket = bound.map_err(system)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(system)?;
        Ok(Self { socket, path: path.to_owned(), origin: Origin::Bound })
    }

    /// Takes over a socket that whoever started the agent has bound; its file, mode and owner stay theirs.
    ///
    /// *Errors*: it is no Unix socket that listens.
    pub fn given(socket: OwnedFd) -> io::Result<Self> {
        use nix::sys::socket::{getsockopt, sockopt};
        if !getsockopt(&socket, sockopt::AcceptConn)? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
        }
        let socket = std::os::unix::net::UnixListener::from(socket);
        let path = socket.local_addr()?.as_pathname().map(Path::to_owned);
        let unnamed = || io::Error::new(io::ErrorKind::InvalidInput, "it has no path");
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UnixListener::from_std(socket)?, path: path.ok_or_else(unnamed)?, origin: Origin::Given })
    }

    /// Where its file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection.
    ///
    /// *Errors*: the system's; most often the process is out of descriptors, and the connection still waits.
    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        self.socket.accept().await.map(|(stream, _)| stream)
    }
}

/// Who is at the other end, by the kernel's word.
pub(crate) fn peer_of(stream: &UnixStream) -> io::Result<Peer> {
    stream.peer_cred().map(|cred| Peer::Local { uid: cred.uid(), gid: Some(cred.gid()), pid: cred.pid() })
}
