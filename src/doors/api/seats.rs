//! Who may connect to the Unix socket: connections of one user and of one provider are bounded, so that nobody takes the
//! others' room.

use std::any::Any;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use super::LiveLimits;
use super::problem::ApiProblem;
use crate::doors::accept;
use crate::doors::bounds::{Bounds, Crowded, Origin, Place, Room};
use crate::doors::listener::{Listener, peer_of};
use crate::doors::pace::Quiet;
use crate::doors::pass::Pass;
use crate::doors::roster::Roster;
use crate::model::{Code, Peer, Refusal};

/// How many connections are open at once; more wait to be accepted.
const CONNECTIONS_MAX: u32 = 1024;

/// A place among the connections: a session keeps it when its connection is not HTTP any more.
#[derive(Clone)]
pub(crate) struct Seat(#[expect(dead_code, reason = "it is only held")] Arc<dyn Any + Send + Sync>);

impl Seat {
    pub(super) fn holding(place: impl Any + Send + Sync) -> Self {
        Self(Arc::new(place))
    }
}

/// The Unix socket's places.
pub(super) struct Seats {
    all: Arc<Semaphore>,
    bounds: Bounds,
    limits: LiveLimits,
    roster: Roster,
    quiet: Quiet,
    surplus: Vec<u8>,
}

impl Seats {
    pub(super) fn new(limits: LiveLimits, roster: Roster) -> Self {
        Self {
            all: Arc::new(Semaphore::new(CONNECTIONS_MAX as usize)),
            bounds: Bounds::default(),
            limits,
            roster,
            quiet: Quiet::new(Instant::now()),
            surplus: surplus(),
        }
    }

    /// The next connection that has a place; none when the one that came has none, and was told so.
    pub(super) async fn next(&self, listener: &Listener) -> Option<(UnixStream, Seat, Pass)> {
        let (stream, permit) = accept::next_within(&self.all, "the API's socket", || listener.accept()).await;
        // Whoever is gone already is nobody.
        let peer = peer_of(&stream).ok()?;
        let pass = Pass::local(peer, self.roster.clone());
        match self.place(&pass) {
            Ok(place) => Some((stream, Seat::holding((permit, place)), pass)),
            Err(crowded) => {
                self.tell(crowded, &pass);
                self.refuse(stream);
                None
            }
        }
    }

    /// Waits until all places are free.
    pub(super) async fn empty(&self, within: Duration) -> Result<(), tokio::time::error::Elapsed> {
        tokio::time::timeout(within, self.all.acquire_many(CONNECTIONS_MAX)).await.map(drop)
    }

    fn place(&self, pass: &Pass) -> Result<Option<Place>, Crowded> {
        let most = self.limits.now().connections;
        let room = Room { all: CONNECTIONS_MAX, per_origin: most, per_provider: most };
        let Peer::Local { uid, .. } = pass.peer() else { return Ok(None) };
        let mut place = self.bounds.take(Origin::User(*uid), room)?;
        // A user that may speak for several providers is counted with one of them, as a key is over TLS.
        if let Some(first) = pass.callers().first() {
            place.belongs_to(&first.provider)?;
        }
        Ok(Some(place))
    }

    /// One line, unless there are many.
    fn tell(&self, crowded: Crowded, pass: &Pass) {
        let Some(left_out) = self.quiet.left_out(Instant::now()) else { return };
        let of = match crowded {
            Crowded::All => "all",
            Crowded::Origin => "its user",
            Crowded::Provider => "its provider",
        };
        tracing::warn!(peer = %pass.peer(), left_out, "a connection is closed: as many of {of} are open as may be");
    }

    /// Says why and closes. Nothing is waited for: an answer to a request that was not read yet fits into the socket of
    /// a connection that is new, and whoever does not read it costs nothing.
    fn refuse(&self, stream: UnixStream) {
        if let Ok(mut stream) = stream.into_std() {
            let _ = stream.write_all(&self.surplus);
        }
    }
}

/// Why a connection has no place.
pub(super) fn crowded() -> ApiProblem {
    Refusal::new(Code::TooManyConnections, "this provider has as many connections open as it may").into()
}

/// The answer to whatever a connection without a place asks.
fn surplus() -> Vec<u8> {
    let problem = crowded().told();
    let body = serde_json::to_string(&problem).unwrap_or_default();
    let status = axum::http::StatusCode::from_u16(problem.status).unwrap_or_default();
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}
