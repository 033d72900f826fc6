//! A port, and the handshakes on it.
//!
//! Guarantees that a client which does not end its handshake, or connects too often, keeps nobody else waiting: each
//! handshake is a task of its own with a limit, and what is beyond a bound is closed and not queued.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::limits::TlsLimits;
use super::live::{Speaking, Tls};
use super::refused::Refused;
use crate::doors::accept;
use crate::doors::bounds::{Bounds, Crowded, Origin, Place};
use crate::doors::pace::Quiet;
use crate::doors::pass::Pass;
use crate::model::{KeyId, ProviderId};

/// After how long without a word a connection is asked whether its other end is there, how often, and how many times in
/// vain. A peer whose network is gone is noticed within two minutes.
const ASKED_AFTER: Duration = Duration::from_secs(60);
const ASKED_EVERY: Duration = Duration::from_secs(15);
const ASKED_TIMES: u32 = 4;

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("the port {address} cannot be opened")]
pub struct BindPortError {
    address: SocketAddr,
    source: io::Error,
}

/// An open port that speaks TLS.
#[derive(Debug)]
pub struct TlsListener {
    port: TcpListener,
    shaker: Arc<Shaker>,
}

#[derive(Debug)]
struct Shaker {
    tls: Tls,
    limits: TlsLimits,
    bounds: Bounds,
    quiet: Quiet,
}

/// Whether a provider has room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Seated,
    /// Its provider has as many connections as it may.
    Surplus,
}

/// Somebody who was let in.
pub(crate) struct TlsClient {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) pass: Pass,
    /// Whom the connection is counted with.
    pub(crate) provider: ProviderId,
    pub(crate) admission: Admission,
    pub(crate) place: Place,
}

impl TlsListener {
    /// Opens a port.
    ///
    /// *Errors*: [`BindPortError`].
    pub async fn bind(address: SocketAddr, tls: Tls, limits: TlsLimits) -> Result<Self, BindPortError> {
        let port = TcpListener::bind(address).await.map_err(|source| BindPortError { address, source })?;
        Ok(Self::over(port, tls, limits))
    }

    /// On a port that is open already.
    #[must_use]
    pub fn over(port: TcpListener, tls: Tls, limits: TlsLimits) -> Self {
        let shaker = Shaker { tls, limits, bounds: Bounds::default(), quiet: Quiet::new(Instant::now()) };
        Self { port, shaker: Arc::new(shaker) }
    }

    /// Where it listens.
    ///
    /// *Errors*: the system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.port.local_addr()
    }

    pub(crate) fn limits(&self) -> TlsLimits {
        self.shaker.limits
    }

    /// Lets clients in until told to stop; each that was let in is served in a task of its own.
    pub(crate) async fn serve<F>(
        self,
        speaking: Speaking,
        mut stop: watch::Receiver<bool>,
        serve: impl Fn(TlsClient) -> F + Clone + Send + Sync + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut connections = JoinSet::new();
        loop {
            let (stream, address) = tokio::select! {
                accepted = accept::next("a port of TLS", || self.port.accept()) => accepted,
                Some(_) = connections.join_next() => continue,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let place = match self.shaker.place(address) {
                Ok(place) => place,
                Err(crowded) => {
                    self.shaker.tell(crowded.into(), address, None);
                    continue;
                }
            };
            let (shaker, serve, mut stop) = (self.shaker.clone(), serve.clone(), stop.clone());
            connections.spawn(async move {
                let client = tokio::select! {
                    client = shaker.shake(stream, address, place, speaking) => client,
                    _ = stop.wait_for(|stop| *stop) => None,
                };
                if let Some(client) = client {
                    serve(client).await;
                }
            });
        }
        drop(self.port);
        while connections.join_next().await.is_some() {}
    }
}

impl Shaker {
    fn place(&self, address: SocketAddr) -> Result<Place, Crowded> {
        self.bounds.take(Origin::of_address(address.ip()), self.limits.room())
    }

    async fn shake(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        mut place: Place,
        speaking: Speaking,
    ) -> Option<TlsClient> {
        prepare(&stream);
        let gate = Arc::new(self.tls.gate(address.to_string()));
        let config = self.tls.config(gate.clone(), speaking).inspect_err(|error| {
            tracing::error!(%error, "a handshake could not be begun");
        });
        let shaking = TlsAcceptor::from(config.ok()?).accept(stream);
        let failed = match tokio::time::timeout(self.limits.handshake, shaking).await {
            Err(_) => Refused::Stalled,
            Ok(Err(error)) => Refused::of_handshake(&error),
            Ok(Ok(stream)) => {
                let Some(shown) = gate.shown() else {
                    self.tell(Refused::NoCertificate, address, None);
                    return None;
                };
                let key = shown.chain.key();
                let callers = self.tls.roster().current().callers(&shown.proven);
                let Some(first) = callers.into_iter().next() else {
                    self.tell(Refused::Stranger, address, Some(key));
                    return None;
                };
                let pass =
                    Pass::certified(shown.proven, shown.chain, self.tls.roster().clone(), self.tls.trust().clone());
                let admission = match place.belongs_to(&first.provider) {
                    Ok(()) => Admission::Seated,
                    Err(crowded) => {
                        self.tell(crowded.into(), address, Some(key));
                        Admission::Surplus
                    }
                };
                return Some(TlsClient { stream, pass, provider: first.provider, admission, place });
            }
        };
        let (refused, key) = gate.refused().unwrap_or((failed, None));
        self.tell(refused, address, key);
        None
    }

    /// One line, with nothing that the other side wrote.
    fn tell(&self, refused: Refused, address: SocketAddr, key: Option<KeyId>) {
        let Some(left_out) = self.quiet.left_out(Instant::now()) else { return };
        let key = key.map(tracing::field::display);
        tracing::warn!(%address, reason = refused.word(), key, left_out, "a client was refused: {refused}");
    }
}

/// What cannot be set is only a matter of how soon something is noticed.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, ASKED_AFTER);
    let _ = sockopt::set_tcp_keepintvl(stream, ASKED_EVERY);
    let _ = sockopt::set_tcp_keepcnt(stream, ASKED_TIMES);
}
