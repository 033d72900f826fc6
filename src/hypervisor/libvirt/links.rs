//! The connections on which calls are made.
//!
//! libvirtd stops reading from a client that has five requests under way, keepalive answers included; a fifth slow
//! call would thus look like a dead client. So at most four share a connection, and more connections are opened when
//! more calls are under way. One connection is always kept; the others go when they have been idle for a while.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use virt::connect::Connect;

use super::failure::{Fault, is_dead};

/// Calls under way on one connection. *Source*: libvirtd.conf, `max_client_requests` (5).
pub(super) const CALLS_PER_LINK: usize = 4;

/// How long an unused connection beyond the first is kept.
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// Seconds between keepalive questions, and how many may stay unanswered.
const KEEPALIVE: (i32, u32) = (5, 5);

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkPolicy {
    /// One, whatever is under way: the driver runs in this process and the connection holds its state.
    Single,
    /// As many as the calls under way need, up to this.
    UpTo(usize),
}

/// The connections.
pub(super) struct Links {
    uri: String,
    policy: LinkPolicy,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    links: Vec<Link>,
    next_id: u64,
    opening: usize,
}

struct Link {
    id: u64,
    connect: Arc<Connect>,
    in_flight: usize,
    idle_since: Instant,
}

/// The right to make one call on a connection.
pub(super) struct Lease<'a> {
    links: &'a Links,
    id: u64,
    connect: Arc<Connect>,
}

impl Lease<'_> {
    pub(super) fn connect(&self) -> &Connect {
        &self.connect
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut state = self.links.lock();
        if let Some(link) = state.links.iter_mut().find(|link| link.id == self.id) {
            link.in_flight = link.in_flight.saturating_sub(1);
            link.idle_since = Instant::now();
        }
        drop(state);
        self.links.freed.notify_one();
    }
}

impl Links {
    pub(super) fn new(uri: &str, policy: LinkPolicy) -> Self {
        Self { uri: uri.to_owned(), policy, state: Mutex::default(), freed: Condvar::new() }
    }

    /// A connection with room for one more call; opened when there is none. It waits only for another opening.
    pub(super) fn take(&self) -> Result<Lease<'_>, Fault> {
        let mut state = self.lock();
        loop {
            let (room, most) = match self.policy {
                LinkPolicy::Single => (usize::MAX, 1),
                LinkPolicy::UpTo(most) => (CALLS_PER_LINK, most),
            };
            if let Some(at) = state.links.iter().position(|link| link.in_flight < room) {
                if is_dead(&state.links[at].connect) {
                    let dead = state.links.swap_remove(at);
                    // Closing takes libvirt's own locks; not while ours is held.
                    drop(state);
                    drop(dead);
                    state = self.lock();
                    continue;
                }
                let link = &mut state.links[at];
                link.in_flight += 1;
                return Ok(Lease { links: self, id: link.id, connect: Arc::clone(&link.connect) });
            }
            // One opening at a time: it makes room for four calls, and a crowd must not open a crowd of connections.
            if state.opening > 0 || state.links.len() >= most {
                state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.opening += 1;
            drop(state);
            let opened = open(&self.uri);
            state = self.lock();
            state.opening -= 1;
            self.freed.notify_all();
            let connect = Arc::new(opened.map_err(Fault::Unsent)?);
            let id = state.next_id;
            state.next_id += 1;
            state.links.push(Link { id, connect, in_flight: 0, idle_since: Instant::now() });
        }
    }

    /// Forgets every connection; calls under way on them end by themselves.
    pub(super) fn clear(&self) {
        let gone = std::mem::take(&mut self.lock().links);
        drop(gone);
    }

    /// Closes connections beyond the first that nobody used for a while.
    pub(super) fn trim(&self) {
        let mut state = self.lock();
        let mut kept = 0;
        let (stay, go) = std::mem::take(&mut state.links).into_iter().partition(|link: &Link| {
            kept += 1;
            kept == 1 || link.in_flight > 0 || link.idle_since.elapsed() < IDLE_LIMIT
        });
        state.links = stay;
        drop(state);
        drop::<Vec<Link>>(go);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a connection whose peer is watched.
pub(super) fn open(uri: &str) -> Result<Connect, String> {
    let connect = Connect::open(Some(uri)).map_err(|error| error.message().to_owned())?;
    let (interval, count) = KEEPALIVE;
    // A driver inside this process has nobody to watch and says so; that is no fault.
    let _ = connect.set_keep_alive(interval, count);
    Ok(connect)
}
