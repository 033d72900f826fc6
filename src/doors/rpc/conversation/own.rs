//! Our own calls on the client's connection to libvirtd. Their replies go no further.

use std::collections::BTreeMap;

use super::super::frame::{Frame, Header, Kind, REMOTE, Status};
use super::super::view::{self, Question, Recount};
use super::book::{Asked, Call, Stage};
use super::client::unreadable;
use super::{Around, Conversation, Deed, Ticket};
use crate::model::VmId;

/// No client gets so far by counting.
const FIRST: u32 = 0x8000_0001;
const DOMAIN_LOOKUP_BY_UUID: u32 = 24;

/// Our calls that have no answer yet.
#[derive(Debug)]
pub(super) struct Own {
    asked: BTreeMap<u32, Ticket>,
    next: u32,
}

impl Own {
    pub(super) const fn new() -> Self {
        Self { asked: BTreeMap::new(), next: FIRST }
    }

    /// Whether a call of ours has this serial. Each program's are its own, and ours are of the remote one.
    pub(super) fn has(&self, program: u32, serial: u32) -> bool {
        program == REMOTE && self.asked.contains_key(&serial)
    }
}

/// The question for a VM as libvirt gives it back.
pub(super) fn look_up(vm: VmId) -> Question {
    Question { procedure: DOMAIN_LOOKUP_BY_UUID, payload: vm.0.as_bytes().to_vec() }
}

impl Conversation {
    /// Asks another question in a call's stead.
    pub(super) fn recount(&mut self, call: Call, recount: Recount) {
        match recount.question(&call.arguments) {
            Ok(question) => {
                let ticket = self.book.ticket();
                self.ask(ticket, call, Asked::Recount(recount), question);
            }
            Err(error) => self.refuse(&call, unreadable(error)),
        }
    }

    pub(super) fn ask(&mut self, ticket: Ticket, call: Call, asked: Asked, question: Question) {
        let serial = self.serial();
        self.own.asked.insert(serial, ticket);
        self.book.put(ticket, call, Stage::Asking(asked));
        let Question { procedure, payload } = question;
        let head = Header { program: REMOTE, version: 1, procedure, kind: Kind::Call, serial, status: Status::Ok };
        self.deed(Deed::ToUpstream(Frame::new(head, &payload)));
    }

    /// A serial that nobody uses.
    fn serial(&mut self) -> u32 {
        loop {
            let serial = self.own.next;
            self.own.next = serial.checked_add(1).unwrap_or(FIRST);
            if !self.own.has(REMOTE, serial) && self.book.find(REMOTE, serial).is_none() {
                return serial;
            }
        }
    }

    /// A reply to a call of ours.
    pub(super) fn own_reply(&mut self, reply: &Frame, around: &dyn Around) {
        let Some(ticket) = self.own.asked.remove(&reply.header().serial) else { return };
        let (call, asked) = match self.book.take(ticket) {
            Some((call, Stage::Asking(asked))) => (call, asked),
            Some((call, stage)) => return self.book.put(ticket, call, stage),
            None => return,
        };
        let payload = match (reply.header().status, asked) {
            (Status::Error, _) => {
                let shown = self.shown_error(reply.payload(), around);
                return self.tell(Frame::answer(&call.head, Status::Error, &shown));
            }
            (Status::Ok | Status::Continue, Asked::Domain) => Ok(reply.payload().to_vec()),
            (Status::Ok | Status::Continue, Asked::Recount(recount)) => {
                recount.answer(&call.arguments, reply.payload(), around)
            }
        };
        match payload {
            Ok(payload) => self.tell(Frame::answer(&call.head, Status::Ok, &payload)),
            Err(_) => self.absent(&call),
        }
    }

    /// An error's payload as the provider may see it.
    pub(super) fn shown_error(&self, payload: &[u8], around: &dyn Around) -> Vec<u8> {
        match view::error(payload, around, around.host()) {
            Ok(view::Shown::Same | view::Shown::Recount(_)) => payload.to_vec(),
            Ok(view::Shown::Changed(changed)) => changed,
            Ok(view::Shown::Hidden) | Err(_) => super::error::hidden().payload(),
        }
    }
}
