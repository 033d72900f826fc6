//! One client's connection and the upstream connection that is its own, side by side in one task.
//!
//! ```text
//!             ┌────────── intake ──▶ policy ──▶ outlet ──────────┐
//!   client ◀──┤                      ▲    │                      ├──▶ upstream
//!             └────────── outlet ◀── │ ── ┴ ◀── intake ──────────┘
//!                                    └── news from other tasks
//! ```
//!
//! What becomes of a message is the [`Policy`]'s decision; the relay reads, asks, and writes what it is told to, at once
//! where the socket takes it. The two directions are independent: a peer that takes nothing stops only the reading of the
//! other one, and that only when much is waiting for it. A client that takes nothing for long is closed; libvirt may take its
//! time.
//!
//! Guarantees: order is kept in each direction; memory is bounded by [`Intake`]'s and [`Outlet`]'s limits and by what the
//! policy keeps; when one end is gone the other is closed, after what was on its way to it was written or a moment has
//! passed. A fault of what one end sends ends this relay and nothing else.

use std::future::poll_fn;
use std::io;
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::frame::{Frame, Status};
use super::intake::{Filled, Intake, ReadFrameError};
use super::outlet::{Flushed, Outlet};
use super::refusal::Answer;

mod patience;
mod transparent;

use self::patience::Patience;
pub use self::transparent::{NoNews, Transparent};

/// How long what is on its way to an end is still written once the relay is over.
const LINGER: Duration = Duration::from_secs(2);

/// One of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Upstream,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Client => "the client",
            Self::Upstream => "libvirt",
        })
    }
}

/// Decides what becomes of each message of one client's connection. It never waits: what takes time is done by other
/// tasks, which send it news.
pub trait Policy: Send + 'static {
    /// What other tasks tell it.
    type News: Send + 'static;

    /// The client sent this.
    fn client_says(&mut self, frame: Frame, out: &mut Outputs);

    /// libvirt sent this.
    fn upstream_says(&mut self, frame: Frame, out: &mut Outputs);

    /// Another task says this.
    fn told(&mut self, news: Self::News, out: &mut Outputs);

    /// This end is gone. Without libvirt the connection ends in any case; without its client it goes on until the policy
    /// closes it, and what is meant for the client is let go of.
    fn gone(&mut self, side: Side, out: &mut Outputs);

    /// The agent stops: the last that it says to the client.
    fn stopping(&mut self, _out: &mut Outputs) {}
}

/// What a policy wants done, in its order.
#[derive(Debug, Default)]
pub struct Outputs {
    client: Outlet,
    upstream: Outlet,
    close: Option<String>,
    parting: Parting,
}

/// Whether the client is to be let go before libvirt's end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Parting {
    #[default]
    No,
    /// It is not heard any more, and goes once it has what is on its way to it.
    OfTheClient,
}

impl Outputs {
    /// Send this to the client.
    pub fn to_client(&mut self, frame: Frame) {
        self.client.push(frame);
    }

    /// Send this to libvirt.
    pub fn to_upstream(&mut self, frame: Frame) {
        self.upstream.push(frame);
    }

    /// End the connection once everything is sent; only the first reason counts.
    pub fn close(&mut self, reason: impl Into<String>) {
        self.close.get_or_insert_with(|| reason.into());
    }

    /// Hear the client no more, and let it go once everything is sent to it; libvirt's end stays.
    pub const fn drop_client(&mut self) {
        self.parting = Parting::OfTheClient;
    }

    const fn outlet(&mut self, side: Side) -> &mut Outlet {
        match side {
            Side::Client => &mut self.client,
            Side::Upstream => &mut self.upstream,
        }
    }
}

/// How a relay ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    ClientLeft,
    UpstreamLeft,
    /// It was told to stop.
    Stopped,
    /// The policy said so, and why.
    Decided(String),
}

/// Why a relay could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// An end sent what cannot be understood, or cannot be read.
    #[error("{side} is out of step")]
    Read {
        /// Which.
        side: Side,
        /// How.
        source: ReadFrameError,
    },
    /// An end cannot be written to, though it is there.
    #[error("{side} cannot be written to")]
    Write {
        /// Which.
        side: Side,
        /// Why.
        source: io::Error,
    },
    /// An end is there and takes nothing of what waits for it.
    #[error("{0} takes nothing any more")]
    Stalled(Side),
    /// The socket cannot be waited for.
    #[error("the system gives no word of a socket")]
    Watch(#[source] io::Error),
}

/// Whether an end is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Here,
    /// It takes nothing more; what it sent before is still read.
    Deaf,
    Gone,
}

/// One end of the relay.
#[derive(Debug)]
struct End {
    /// Watched for what comes only: the kernel would otherwise wake this process whenever the peer takes something.
    socket: AsyncFd<UnixStream>,
    /// The same socket, watched for room, while something waits for it.
    room: Option<AsyncFd<UnixStream>>,
    intake: Intake,
    presence: Presence,
    patience: Patience,
}

fn watched(socket: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    // SAFETY: the stream owns its descriptor and is given whole to the result, which gives out only shared references:
    // the descriptor stays open and the same for as long as it is watched. tokio's own stream would be watched for room
    // always.
    unsafe { Ok(AsyncFd::register_with_interest(socket, interest)?) }
}

impl End {
    fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = watched(socket, Interest::READABLE)?;
        Ok(Self { socket, room: None, intake: Intake::new(), presence: Presence::Here, patience: Patience::new() })
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, ReadFrameError>> {
        loop {
            let mut guard = ready!(self.socket.poll_read_ready(cx)).map_err(ReadFrameError::System)?;
            let filled = self.intake.fill(guard.get_inner())?;
            match filled {
                Filled::Nothing => guard.clear_ready(),
                Filled::All => {
                    guard.clear_ready();
                    return Poll::Ready(Ok(filled));
                }
                Filled::Some | Filled::Closed => return Poll::Ready(Ok(filled)),
            }
        }
    }

    /// Ready when it may take something again.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let room = match self.room.take() {
            Some(room) => room,
            None => watched(self.socket.get_ref().try_clone()?, Interest::WRITABLE)?,
        };
        let room = self.room.insert(room);
        let mut guard = ready!(room.poll_write_ready(cx))?;
        // Before it is written to, so that no room that comes meanwhile is missed.
        guard.clear_ready();
        Poll::Ready(Ok(()))
    }

    /// The next message; none when nothing can come any more.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            match self.intake.next() {
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => match poll_fn(|cx| self.poll_fill(cx)).await {
                    Ok(Filled::Some | Filled::All | Filled::Nothing) => {}
                    Ok(Filled::Closed) | Err(_) => return None,
                },
                Err(_) => return None,
            }
        }
    }

    /// Tells it that nothing more comes, and waits until it goes: a client that was answered a moment ago takes its leave,
    /// and if the socket were closed by then, a signal would end it.
    async fn part(&mut self) {
        let _ = self.socket.get_ref().shutdown(std::net::Shutdown::Write);
        while self.next().await.is_some() {}
    }

    /// Writes what its outlet has, as far as it goes.
    fn flush(&mut self, outlet: &mut Outlet) -> io::Result<()> {
        if self.presence != Presence::Here {
            outlet.abandon();
        }
        if outlet.is_empty() {
            return Ok(());
        }
        match outlet.flush(self.socket.get_ref()) {
            Ok(Flushed::Blocked) => Ok(()),
            Ok(Flushed::All) => {
                self.room = None;
                Ok(())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                self.presence = Presence::Deaf;
                outlet.abandon();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// What made the relay go on.
enum Turn<N> {
    Came(Side, Filled),
    Room,
    News(N),
}

/// Both ends, and what decides between them.
pub struct Relay<P: Policy> {
    client: End,
    upstream: End,
    out: Outputs,
    policy: P,
    inbox: Option<mpsc::Receiver<P::News>>,
    /// Which end is looked at first, so that neither waits for the other.
    first: Side,
}

impl<P: Policy> Relay<P> {
    /// Between two connected sockets; other tasks reach the policy by the inbox.
    ///
    /// *Errors*: the system's.
    pub fn new(
        client: UnixStream,
        upstream: UnixStream,
        policy: P,
        inbox: mpsc::Receiver<P::News>,
    ) -> io::Result<Self> {
        Ok(Self {
            client: End::new(client)?,
            upstream: End::new(upstream)?,
            out: Outputs::default(),
            policy,
            inbox: Some(inbox),
            first: Side::Client,
        })
    }

    /// Passes messages until an end is gone or the policy closes.
    ///
    /// *Errors*: [`RelayError`].
    pub async fn run(self) -> Result<Ending, RelayError> {
        self.run_until(std::future::pending()).await
    }

    /// The same, or until `stop` comes.
    ///
    /// *Errors*: [`RelayError`].
    pub async fn run_until(mut self, stop: impl Future<Output = ()> + Send) -> Result<Ending, RelayError> {
        let ending = tokio::select! {
            ending = self.go_on() => ending?,
            () = stop => Ending::Stopped,
        };
        if ending == Ending::Stopped {
            self.policy.stopping(&mut self.out);
        }
        let _ = tokio::time::timeout(LINGER, self.linger()).await;
        if ending == Ending::Stopped {
            let _ = tokio::time::timeout(LINGER, self.client.part()).await;
        }
        Ok(ending)
    }

    async fn go_on(&mut self) -> Result<Ending, RelayError> {
        loop {
            self.flush()?;
            if self.upstream.presence == Presence::Gone {
                return Ok(Ending::UpstreamLeft);
            }
            if self.out.parting == Parting::OfTheClient && self.out.client.is_empty() {
                self.part_with_client();
            }
            if let Some(reason) = self.out.close.take() {
                let is_left = self.client.presence != Presence::Here;
                return Ok(if is_left { Ending::ClientLeft } else { Ending::Decided(reason) });
            }
            match poll_fn(|cx| self.poll_turn(cx)).await? {
                Turn::Came(side, Filled::Closed) => {
                    self.end(side).presence = Presence::Gone;
                    self.policy.gone(side, &mut self.out);
                }
                Turn::Came(side, Filled::Some | Filled::All | Filled::Nothing) => self.hear(side)?,
                Turn::Room => {}
                Turn::News(news) => self.policy.told(news, &mut self.out),
            }
        }
    }

    /// What is still to be written is written, as long as somebody takes it.
    async fn linger(&mut self) -> Result<(), RelayError> {
        loop {
            self.flush()?;
            if self.out.client.is_empty() && self.out.upstream.is_empty() {
                return Ok(());
            }
            poll_fn(|cx| {
                let room = [Side::Client, Side::Upstream].map(|side| self.poll_room(side, cx));
                let ready = room.into_iter().find(Poll::is_ready);
                ready.unwrap_or(Poll::Pending)
            })
            .await?;
        }
    }

    fn part_with_client(&mut self) {
        if self.client.presence != Presence::Gone {
            // It may have gone by itself.
            let _ = self.client.socket.get_ref().shutdown(std::net::Shutdown::Both);
            self.client.presence = Presence::Gone;
        }
    }

    const fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Upstream => &mut self.upstream,
        }
    }

    fn may_read(&self, side: Side) -> bool {
        match side {
            // Every message of a client may be answered by the policy itself.
            Side::Client => {
                self.client.presence != Presence::Gone
                    && self.out.parting == Parting::No
                    && !self.out.upstream.is_full()
                    && !self.out.client.is_crowded()
            }
            Side::Upstream => self.upstream.presence != Presence::Gone && !self.out.client.is_full(),
        }
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<Turn<P::News>, RelayError>> {
        // First: there is little of it, and sockets may always have more.
        if let Some(inbox) = &mut self.inbox {
            match inbox.poll_recv(cx) {
                Poll::Ready(Some(news)) => return Poll::Ready(Ok(Turn::News(news))),
                Poll::Ready(None) => self.inbox = None,
                Poll::Pending => {}
            }
        }
        let order = match self.first {
            Side::Client => [Side::Client, Side::Upstream],
            Side::Upstream => [Side::Upstream, Side::Client],
        };
        for side in order {
            if self.may_read(side)
                && let Poll::Ready(filled) = self.end(side).poll_fill(cx)
            {
                self.first = order[1];
                return Poll::Ready(match filled {
                    Ok(filled) => Ok(Turn::Came(side, filled)),
                    Err(source) => Err(RelayError::Read { side, source }),
                });
            }
        }
        for side in order {
            if let Poll::Ready(room) = self.poll_room(side, cx) {
                return Poll::Ready(room.map(|()| Turn::Room));
            }
        }
        let waits = (!self.out.client.is_empty()).then(|| self.out.client.taken());
        self.client.patience.poll_lost(waits, cx).map(|()| Err(RelayError::Stalled(Side::Client)))
    }

    /// Ready when there is room for something that waits.
    fn poll_room(&mut self, side: Side, cx: &mut Context<'_>) -> Poll<Result<(), RelayError>> {
        if self.out.outlet(side).is_empty() {
            return Poll::Pending;
        }
        self.end(side).poll_room(cx).map_err(RelayError::Watch)
    }

    /// Passes on what has come from a side.
    fn hear(&mut self, side: Side) -> Result<(), RelayError> {
        while self.out.close.is_none() && (side == Side::Upstream || self.out.parting == Parting::No) {
            match self.end(side).intake.next().map_err(|source| RelayError::Read { side, source })? {
                Some(frame) => match side {
                    Side::Client => self.policy.client_says(frame, &mut self.out),
                    Side::Upstream => self.policy.upstream_says(frame, &mut self.out),
                },
                None => break,
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), RelayError> {
        let failed = |side| move |source| RelayError::Write { side, source };
        self.upstream.flush(&mut self.out.upstream).map_err(failed(Side::Upstream))?;
        self.client.flush(&mut self.out.client).map_err(failed(Side::Client))
    }
}

/// Answers a client's first message with an error and parts with it, as it goes no further. One that sends nothing is
/// closed after a moment.
pub(super) async fn turn_away(client: UnixStream, why: &Answer) {
    let Ok(mut client) = End::new(client) else { return };
    let turned_away = async {
        if let Some(first) = client.next().await {
            let mut answer = Outlet::default();
            answer.push(Frame::answer(first.header(), Status::Error, &why.payload()));
            let _ = client.flush(&mut answer);
            client.part().await;
        }
    };
    let _ = tokio::time::timeout(LINGER, turned_away).await;
}

#[cfg(test)]
mod tests;
