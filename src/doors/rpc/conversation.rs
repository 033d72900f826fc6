//! One client's connection as a machine without I/O: messages and the lanes' words in, deeds out.
//!
//! ```text
//!            mapping           subject known       lane releases        libvirtd answers
//!  call ──▶ to be held ──▶ waiting ──▶ submitted ──▶ ready ──▶ forwarded ──▶ settled, answered
//!    │                        └── refused, ended by the lane ──▶ answered by us
//!    └─ anything else ──▶ passed ──▶ answered (as the view shows it)
//! ```
//!
//! Assumes that it hears every message of both sides, whole and in order, and that its deeds are performed in order.
//! Guarantees: a call on a co-managed VM that changes it leaves for libvirtd only after its lane has released it; every
//! call is answered at most once, and never by the reply to a call of our own; nothing but the call itself is held: signs
//! of life, reads, streams and events go on at once; a released command is settled exactly once; at most
//! [`RELEASED_AT_ONCE`] of them are at libvirtd on this connection. What it keeps is bounded.
//!
//! | file | idea |
//! |---|---|
//! | `around` | what it asks of its surroundings |
//! | `book` | the calls that have no answer yet |
//! | `client` | what the client sends |
//! | `subject` | which VM a call is about, and so what becomes of it |
//! | `lane` | what the lane says of held calls |
//! | `upstream` | what libvirtd sends |
//! | `migrations` | those that the client has begun, and so may end |
//! | `own` | our own calls on the client's connection to libvirtd |
//! | `ends` | one side has gone |
//! | `error` | what libvirt's error means to a command |
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)
)]

mod around;
mod book;
mod client;
mod ends;
mod error;
mod lane;
mod migrations;
mod own;
mod subject;
#[cfg(test)]
mod tests;
mod upstream;

use crate::delegation::confinement::Asked;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::frame::Frame;
use super::mapping::{Pace, Subject};
use super::refusal::Answer;
use crate::model::{CommandId, Operation, Outcome, Refusal, VmId, Wall};
use crate::resolver::CallResult;

pub use self::around::{Around, Role, Standing, Wire};
use self::book::{Book, Call};
use self::migrations::Migrations;
use self::own::Own;

/// How many released calls are at libvirtd at once. It stops reading a connection, signs of life included, with five.
pub const RELEASED_AT_ONCE: usize = 4;
/// How many calls may be held at once; more are refused.
pub const HELD_MAX: usize = 128;
/// How large they may be together. *Units*: bytes.
pub const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How many descriptors they may have together.
pub const HELD_DESCRIPTORS_MAX: usize = 64;
/// How many calls may be without an answer at once; a client that makes more is sent away.
pub const CALLS_MAX: usize = 4096;

/// A call that is not answered yet. Never used again on the same connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What the machine hears.
#[derive(Debug)]
pub enum Heard {
    /// A message of the client's.
    FromClient(Frame),
    /// A message of libvirtd's.
    FromUpstream(Frame),
    /// What [`Deed::Resolve`] came to.
    Resolved(Ticket, Found),
    /// The lane lets the call go.
    Released(Ticket),
    /// The call needs no leave of the lane: it only stops what its own provider does.
    Waved(Ticket),
    /// What a released call does is seen under way: its command counts as executed.
    Begun(Ticket),
    /// The command of a call ended.
    Ended(Ticket, CommandId, Outcome),
    /// The lane does not take the call in.
    Refused(Ticket, Refusal),
    /// What [`Deed::Enroll`] asked for was done or given up.
    Enrolled(Ticket),
    /// The client's connection is at its end.
    ClientGone,
    /// libvirtd's is.
    UpstreamGone,
    /// The agent stops.
    Stopping,
    /// What was still under way when the client went has had its time.
    TimeUp,
}

/// What is behind a call's arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing of a VM's.
    Nothing,
    /// A VM that is not there yet; its id if it is known already.
    New(Option<VmId>),
    /// A VM that is there.
    Vm(VmId),
    /// A disk of a VM, by its target.
    Disk(VmId, String),
    /// It could not be found out, and why.
    Unknown(String),
}

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Deed {
    ToClient(Frame),
    ToUpstream(Frame),
    /// Find out what is behind this; answered by [`Heard::Resolved`].
    Resolve(Ticket, Subject),
    /// Hand a call to its VM's lane.
    Submit(Ticket, Box<Submit>),
    /// What libvirtd made of a released call.
    Settle(Ticket, CallResult),
    /// The call will not be made any more.
    Cancel(Ticket),
    /// The client has made this VM: its provider becomes the primary. Answered by [`Heard::Enrolled`].
    Enroll(Ticket, VmId),
    /// A call was refused here, before any lane: for the log.
    Told(&'static str, Answer),
    /// The client is sent away for this reason, after what was sent to it; libvirtd's side stays.
    DropClient(String),
    /// Both sides are over. The last deed of all.
    Close(String),
}

/// A call on its way to a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submit {
    pub vm: VmId,
    pub operation: Operation,
    /// Held, unless what the provider has under way says otherwise.
    pub pace: Pace,
    /// What it names of the host.
    pub asked: Asked,
    /// libvirt's name of the call.
    pub procedure: &'static str,
    /// When it came.
    pub received: Wall,
    /// The client's call before it on the same VM, if that has not ended.
    pub after: Option<Ticket>,
}

/// How a connection was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    ReadWrite,
    /// libvirtd itself refuses every write.
    ReadOnly,
}

/// Whether the driver is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    NotYet,
    Asked(Ticket, Mode),
    Open(Mode),
}

/// Which ends are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Both,
    /// The client has gone; what it had released is awaited.
    UpstreamOnly,
    None,
}

/// One client's connection.
#[derive(Debug)]
pub struct Conversation {
    book: Book,
    own: Own,
    migrations: Migrations,
    opening: Opening,
    ends: Ends,
    /// Calls that are to be held and were not submitted yet, as they came.
    waiting: VecDeque<Ticket>,
    /// Released calls that find no room at libvirtd yet.
    ready: VecDeque<Ticket>,
    /// The calls on each VM that have not ended, those that only end others left out.
    last: BTreeMap<VmId, BTreeSet<Ticket>>,
    /// How many replies passed while a released call found no room.
    passed_by: u32,
    deeds: Vec<Deed>,
}

impl Default for Conversation {
    fn default() -> Self {
        Self::new()
    }
}

impl Conversation {
    /// At its beginning.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            book: Book::new(),
            own: Own::new(),
            migrations: Migrations::new(),
            opening: Opening::NotYet,
            ends: Ends::Both,
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            last: BTreeMap::new(),
            passed_by: 0,
            deeds: Vec::new(),
        }
    }

    /// Hears one thing; gives what is to be done about it.
    pub fn hear(&mut self, heard: Heard, around: &dyn Around) -> Vec<Deed> {
        if self.ends == Ends::None {
            return Self::hear_after_the_end(&heard);
        }
        match heard {
            Heard::FromClient(frame) => self.hear_client(frame, around),
            Heard::FromUpstream(frame) => self.hear_upstream(frame, around),
            Heard::Resolved(ticket, found) => self.resolved(ticket, found, around),
            Heard::Released(ticket) => self.released(ticket),
            Heard::Waved(ticket) => self.waved(ticket),
            Heard::Begun(ticket) => self.begun(ticket),
            Heard::Ended(ticket, id, outcome) => self.ended(ticket, id, &outcome),
            Heard::Refused(ticket, refusal) => self.refused(ticket, &refusal),
            Heard::Enrolled(ticket) => self.enrolled(ticket, around),
            Heard::ClientGone => self.client_gone(None),
            Heard::UpstreamGone => self.close("libvirtd has closed its side"),
            Heard::Stopping => self.agent_stops(),
            Heard::TimeUp => self.close("what the client left under way was not answered in time"),
        }
        std::mem::take(&mut self.deeds)
    }

    /// How many calls are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.book.held()
    }

    fn deed(&mut self, deed: Deed) {
        self.deeds.push(deed);
    }

    fn tell(&mut self, frame: Frame) {
        if self.ends == Ends::Both {
            self.deed(Deed::ToClient(frame));
        }
    }

    /// Answers a call with an error of our own; it must not be in the book any more.
    fn refuse(&mut self, call: &Call, answer: Answer) {
        let frame = Frame::answer(&call.head, super::frame::Status::Error, &answer.payload());
        self.deed(Deed::Told(call.name(), answer));
        self.tell(frame);
    }
}
