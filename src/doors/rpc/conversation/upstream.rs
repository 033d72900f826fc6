//! What libvirtd sends.

use super::super::frame::{Frame, Header, KEEPALIVE, Kind, Status};
use super::super::view::{self, Shown};
use super::book::{Call, Made, Settled, Stage};
use super::error::result_of;
use super::{Around, Conversation, Deed, Ends, Opening, Standing};
use crate::model::VmId;
use crate::resolver::CallResult;

const PING: u32 = 1;
const PONG: u32 = 2;

impl Conversation {
    pub(super) fn hear_upstream(&mut self, frame: Frame, around: &dyn Around) {
        let head = *frame.header();
        match head.kind {
            Kind::Event if head.program == KEEPALIVE => self.sign_of_life(frame, head),
            Kind::Event => self.event(frame, around),
            Kind::Stream | Kind::StreamHole => self.stream(frame, around),
            Kind::Reply | Kind::ReplyWithDescriptors => self.reply(frame, around),
            Kind::Call | Kind::CallWithDescriptors => self.close("libvirtd made a call, which only clients do"),
        }
    }

    /// With the client gone somebody has to answer, or libvirtd would give the connection up.
    fn sign_of_life(&mut self, frame: Frame, head: Header) {
        match self.ends {
            Ends::Both => self.tell(frame),
            Ends::UpstreamOnly if head.procedure == PING => {
                self.deed(Deed::ToUpstream(Frame::new(Header { procedure: PONG, ..head }, &[])));
            }
            Ends::UpstreamOnly | Ends::None => {}
        }
    }

    fn event(&mut self, frame: Frame, around: &dyn Around) {
        match view::event(frame.header().program, frame.header().procedure, frame.payload(), around) {
            Ok(Shown::Same) => self.tell(frame),
            Ok(Shown::Changed(payload)) => self.tell(frame.with_payload(&payload)),
            Ok(Shown::Hidden | Shown::Recount(_)) | Err(_) => {}
        }
    }

    fn stream(&mut self, frame: Frame, around: &dyn Around) {
        if frame.header().status != Status::Continue {
            self.stream_ends(&frame);
        }
        if frame.header().status == Status::Error {
            let shown = self.shown_error(frame.payload(), around);
            return self.tell(frame.with_payload(&shown));
        }
        self.tell(frame);
    }

    /// libvirtd has taken all of a stream, or no more of it.
    fn stream_ends(&mut self, frame: &Frame) {
        let Some(ticket) = self.book.find(frame.header().program, frame.header().serial) else { return };
        match self.book.take(ticket) {
            Some((_, Stage::Streaming { vm })) => {
                self.no_longer_last(vm, ticket);
                self.deed(Deed::Settle(ticket, result_of(frame)));
            }
            Some((call, stage)) => self.book.put(ticket, call, stage),
            None => {}
        }
    }

    fn reply(&mut self, frame: Frame, around: &dyn Around) {
        let head = *frame.header();
        if self.own.has(head.program, head.serial) {
            self.passed_by = self.passed_by.saturating_add(1);
            self.own_reply(&frame, around);
            return self.forward_ready();
        }
        let ticket = self.book.find(head.program, head.serial);
        let asked = ticket
            .and_then(|ticket| self.book.call(ticket))
            .is_some_and(|call| (call.head.version, call.head.procedure) == (head.version, head.procedure));
        if ticket.is_none() && self.ends == Ends::UpstreamOnly {
            // The client has gone without it; what is awaited may come behind it.
            return;
        }
        let (Some(ticket), true) = (ticket, asked) else {
            return self.close("libvirtd sent a reply that nobody asked for");
        };
        self.passed_by = self.passed_by.saturating_add(1);
        self.migrations.answered(ticket, head.status);
        match self.book.take(ticket) {
            Some((call, Stage::Forwarded { vm, settled: Settled::NotYet }))
                if head.status == Status::Ok && call.goes_on_with_its_stream() =>
            {
                self.book.put(ticket, call.clone(), Stage::Streaming { vm });
                self.show_reply(call, frame, around);
            }
            Some((call, Stage::Forwarded { vm, settled })) => {
                self.no_longer_last(vm, ticket);
                if settled == Settled::NotYet {
                    self.deed(Deed::Settle(ticket, result_of(&frame)));
                }
                self.show_reply(call, frame, around);
            }
            Some((call, Stage::Passed(made))) => {
                self.note_opening(ticket, head.status);
                match made_by(made, &frame) {
                    Some(vm) if head.status == Status::Ok && around.standing(vm) == Standing::Free => {
                        self.book.put(ticket, call, Stage::Enrolling { reply: frame });
                        self.deed(Deed::Enroll(ticket, vm));
                    }
                    Some(_) | None => self.show_reply(call, frame, around),
                }
            }
            Some((
                call,
                stage @ (Stage::Unresolved { .. }
                | Stage::Waiting { .. }
                | Stage::Submitted { .. }
                | Stage::Ready { .. }
                | Stage::Streaming { .. }
                | Stage::Enrolling { .. }
                | Stage::Asking(_)),
            )) => {
                self.book.put(ticket, call, stage);
                return self.close("libvirtd sent a reply that nobody asked for");
            }
            None => {}
        }
        self.forward_ready();
        self.close_if_nothing_is_owed();
    }

    fn note_opening(&mut self, ticket: super::Ticket, status: Status) {
        if let Opening::Asked(asked, mode) = self.opening
            && asked == ticket
        {
            self.opening = if status == Status::Error { Opening::NotYet } else { Opening::Open(mode) };
        }
    }

    /// Gives the client libvirtd's reply, as its provider may see it.
    pub(super) fn show_reply(&mut self, call: Call, frame: Frame, around: &dyn Around) {
        if frame.header().status == Status::Error {
            let shown = match view::error(frame.payload(), around, around.host()) {
                Ok(Shown::Same) => return self.tell(frame),
                Ok(Shown::Changed(payload)) => payload,
                Ok(Shown::Hidden | Shown::Recount(_)) | Err(_) => super::error::hidden().payload(),
            };
            return self.tell(frame.with_payload(&shown));
        }
        match view::reply(call.head.program, call.head.procedure, frame.payload(), around) {
            Ok(Shown::Same) => self.tell(frame),
            Ok(Shown::Changed(payload)) => self.tell(frame.with_payload(&payload)),
            Ok(Shown::Recount(recount)) => self.recount(call, recount),
            Ok(Shown::Hidden) | Err(_) => self.absent(&call),
        }
    }
}

/// The VM that a call has made.
fn made_by(made: Made, reply: &Frame) -> Option<VmId> {
    match made {
        Made::Nothing => None,
        Made::Vm(Some(vm)) => Some(vm),
        Made::Vm(None) => super::error::domain_in(reply.payload()),
    }
}

/// What becomes of a call's command by its reply.
pub(super) const fn done() -> CallResult {
    CallResult::Done(serde_json::Value::Null)
}
