//! Sockets that the service manager bound and passed on, by their names.

use std::io;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::doors::Listener;

/// Why a socket that was passed cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TakeSocketError {
    /// What the environment says makes no sense.
    #[error("the sockets that the service manager passed cannot be taken")]
    Environment(#[source] io::Error),
    /// It is not what its name says.
    #[error("the socket that the service manager passed as {name:?} cannot be used")]
    Unfit {
        /// Its name (`FileDescriptorName=`).
        name: String,
        /// Why.
        source: io::Error,
    },
}

/// The sockets that were passed.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// The API's Unix socket, called `api`.
    pub(super) api: Option<Listener>,
    /// The API's TLS port, called `tls`.
    pub(super) tls: Option<TcpListener>,
    /// The libvirt door's TLS port, called `libvirt-tls`.
    pub(super) libvirt_tls: Option<TcpListener>,
}

impl Given {
    /// Takes what was passed to this process. To be called once, on the runtime: the descriptors change hands.
    ///
    /// *Errors*: [`TakeSocketError`].
    pub(super) fn take() -> Result<Self, TakeSocketError> {
        let mut given = Self::default();
        for (number, name) in sd_notify::listen_fds_with_names().map_err(TakeSocketError::Environment)? {
            // SAFETY: the service manager opened this descriptor for this process, which is the one that it names, and
            // nothing else here knows of it.
            let socket = unsafe { OwnedFd::from_raw_fd(number) };
            let unfit = |source| TakeSocketError::Unfit { name: name.clone(), source };
            match name.as_str() {
                "api" => given.api = Some(Listener::given(socket).map_err(unfit)?),
                "tls" => given.tls = Some(port(socket).map_err(unfit)?),
                "libvirt-tls" => given.libvirt_tls = Some(port(socket).map_err(unfit)?),
                other => {
                    tracing::warn!(name = other, "a socket was passed under a name that means nothing; it is closed");
                }
            }
        }
        Ok(given)
    }
}

fn port(socket: OwnedFd) -> io::Result<TcpListener> {
    use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt};
    use std::os::fd::AsRawFd;
    let address: SockaddrStorage = getsockname(socket.as_raw_fd())?;
    let is_port = matches!(address.family(), Some(AddressFamily::Inet | AddressFamily::Inet6));
    if !is_port || !getsockopt(&socket, sockopt::AcceptConn)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no TCP port that listens"));
    }
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(listener)
}
