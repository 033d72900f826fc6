//! What the lane says of held calls.

use super::super::frame::{Frame, Status};
use super::super::procedures::{self, Returns};
use super::super::refusal::{Answer, ErrorCode};
use super::book::{Asked, Made, Settled, Stage};
use super::error::client_gone;
use super::{Conversation, Deed, RELEASED_AT_ONCE, Ticket};
use crate::model::{CommandId, Ending, Outcome, Refusal};
use crate::resolver::CallResult;

/// After so many replies that passed it by, a released call counts only its own kind: what fills libvirtd's places
/// comes and goes.
const PATIENCE: u32 = 8;

impl Conversation {
    pub(super) fn released(&mut self, ticket: Ticket) {
        match self.book.take(ticket) {
            Some((call, Stage::Submitted { frame, vm })) => {
                self.book.put(ticket, call, Stage::Ready { frame, vm });
                self.ready.push_back(ticket);
                self.forward_ready();
            }
            Some((call, stage)) => self.book.put(ticket, call, stage),
            // It was let go too late.
            None => self.deed(Deed::Settle(ticket, client_gone())),
        }
    }

    /// Forwards what is released, as far as there is room at libvirtd.
    pub(super) fn forward_ready(&mut self) {
        while let Some(ticket) = self.ready.front().copied() {
            if !self.has_room() {
                return;
            }
            self.ready.pop_front();
            match self.book.take(ticket) {
                Some((call, Stage::Ready { frame, vm })) => {
                    self.migrations.leaves(ticket, &call, &frame);
                    self.book.put(ticket, call, Stage::Forwarded { vm, settled: Settled::NotYet });
                    self.deed(Deed::ToUpstream(frame));
                }
                Some((call, stage)) => self.book.put(ticket, call, stage),
                None => {}
            }
        }
        self.passed_by = 0;
    }

    fn has_room(&self) -> bool {
        let (all, released) = self.book.at_libvirtd();
        released < RELEASED_AT_ONCE && (all < RELEASED_AT_ONCE || self.passed_by >= PATIENCE)
    }

    /// The call goes on without a command.
    pub(super) fn waved(&mut self, ticket: Ticket) {
        match self.book.take(ticket) {
            Some((call, Stage::Submitted { frame, vm })) => {
                self.no_longer_last(vm, ticket);
                self.migrations.leaves(ticket, &call, &frame);
                self.book.put(ticket, call, Stage::Passed(Made::Nothing));
                self.deed(Deed::ToUpstream(frame));
            }
            Some((call, stage)) => self.book.put(ticket, call, stage),
            None => {}
        }
    }

    /// What a call does is seen under way, and will be for long: others that may go beside it need not wait for its answer.
    pub(super) fn begun(&mut self, ticket: Ticket) {
        match self.book.take(ticket) {
            Some((call, Stage::Forwarded { vm, settled: Settled::NotYet })) => {
                self.no_longer_last(vm, ticket);
                self.book.put(ticket, call, Stage::Forwarded { vm, settled: Settled::Yes });
                self.deed(Deed::Settle(ticket, CallResult::Done(serde_json::Value::Null)));
            }
            Some((call, stage)) => self.book.put(ticket, call, stage),
            None => {}
        }
        self.close_if_nothing_is_owed();
    }

    pub(super) fn ended(&mut self, ticket: Ticket, id: CommandId, outcome: &Outcome) {
        let (call, vm) = match self.book.take(ticket) {
            Some((call, Stage::Submitted { vm, .. })) => (call, vm),
            Some((call, Stage::Ready { vm, .. })) => {
                self.ready.retain(|ready| *ready != ticket);
                self.deed(Deed::Settle(ticket, client_gone()));
                (call, vm)
            }
            // It was made: libvirtd's own reply is the answer.
            Some((call, stage)) => return self.book.put(ticket, call, stage),
            None => return,
        };
        self.no_longer_last(vm, ticket);
        match outcome.ending {
            Ending::Done | Ending::Coalesced => match procedures::returns(call.head.program, call.head.procedure) {
                Returns::Nothing => self.tell(Frame::answer(&call.head, Status::Ok, &[])),
                Returns::Zero => self.tell(Frame::answer(&call.head, Status::Ok, &0_u32.to_be_bytes())),
                Returns::Domain => self.look_up(ticket, call, vm),
                Returns::Other => {
                    let text = format!(
                        "covirt did not let this through: an equal call was made in its stead ({}); look at what it \
                         made; `covirt explain {id}` tells the whole story",
                        outcome.reason
                    );
                    self.refuse(&call, Answer::vm(ErrorCode::Invalid, text));
                }
            },
            Ending::Failed
            | Ending::Superseded
            | Ending::Impossible
            | Ending::Expired
            | Ending::Denied
            | Ending::Cancelled => self.refuse(&call, Answer::ended(id, outcome)),
        }
    }

    pub(super) fn refused(&mut self, ticket: Ticket, refusal: &Refusal) {
        match self.book.take(ticket) {
            Some((call, Stage::Submitted { vm, .. })) => {
                self.no_longer_last(vm, ticket);
                self.refuse(&call, Answer::refused(refusal));
            }
            Some((call, stage)) => self.book.put(ticket, call, stage),
            None => {}
        }
    }

    /// The VM that a call made is co-managed, or that took too long.
    pub(super) fn enrolled(&mut self, ticket: Ticket, around: &dyn super::Around) {
        match self.book.take(ticket) {
            Some((call, Stage::Enrolling { reply })) => self.show_reply(call, reply, around),
            Some((call, stage)) => self.book.put(ticket, call, stage),
            None => {}
        }
    }

    fn look_up(&mut self, ticket: Ticket, call: super::book::Call, vm: crate::model::VmId) {
        let question = super::own::look_up(vm);
        self.ask(ticket, call, Asked::Domain, question);
    }
}
