//! One side has gone, or is sent away.

use super::super::refusal::Answer;
use super::book::{Settled, Stage};
use super::error::{client_gone, unreachable};
use super::{Conversation, Deed, Ends, Heard, Ticket};
use crate::model::{Code, Refusal};
use crate::resolver::CallResult;

impl Conversation {
    /// The client broke the protocol: it alone is sent away.
    pub(super) fn misused(&mut self, why: &str) {
        self.client_gone(Some(why));
    }

    /// What is held will not be made; what is at libvirtd by a lane's leave is awaited.
    pub(super) fn client_gone(&mut self, why: Option<&str>) {
        if self.ends != Ends::Both {
            return;
        }
        self.ends = Ends::UpstreamOnly;
        for ticket in self.book.tickets() {
            if !matches!(self.book.stage(ticket), Some(Stage::Forwarded { settled: Settled::NotYet, .. })) {
                self.let_go(ticket, client_gone());
            }
        }
        if let Some(why) = why {
            self.deed(Deed::DropClient(why.to_owned()));
        }
        self.close_if_nothing_is_owed();
    }

    /// Whoever waits for a call that is held is told that it is not made. Its command stays as it is in the journal, and
    /// ends for want of its client when the agent is started again.
    pub(super) fn agent_stops(&mut self) {
        for ticket in self.book.tickets() {
            if self.book.stage(ticket).is_none_or(|stage| stage.held().is_none()) {
                continue;
            }
            let Some((call, stage)) = self.book.take(ticket) else { continue };
            if matches!(stage, Stage::Ready { .. }) {
                self.deed(Deed::Settle(ticket, client_gone()));
            }
            let refusal = Refusal::new(Code::Closing, "covirtd closes this connection, and this call was not made");
            self.refuse(&call, Answer::refused(&refusal));
        }
        self.ready.clear();
        self.waiting.clear();
    }

    pub(super) fn close_if_nothing_is_owed(&mut self) {
        if self.ends == Ends::UpstreamOnly && !self.book.owes() {
            self.close("the client has gone");
        }
    }

    /// Both sides end.
    pub(super) fn close(&mut self, why: &str) {
        if self.ends == Ends::None {
            return;
        }
        for ticket in self.book.tickets() {
            self.let_go(ticket, unreachable(why));
        }
        self.ends = Ends::None;
        self.deed(Deed::Close(why.to_owned()));
    }

    /// Nobody will hear of a call any more. `unmade` is what becomes of one that was released and never left.
    fn let_go(&mut self, ticket: Ticket, unmade: CallResult) {
        match self.book.take(ticket).map(|(_, stage)| stage) {
            Some(Stage::Submitted { .. }) => self.deed(Deed::Cancel(ticket)),
            Some(Stage::Ready { .. }) => self.deed(Deed::Settle(ticket, unmade)),
            Some(Stage::Forwarded { settled: Settled::NotYet, .. } | Stage::Streaming { .. }) => {
                let lost = CallResult::Lost("the connection ended before libvirtd was done".to_owned());
                self.deed(Deed::Settle(ticket, lost));
            }
            Some(
                Stage::Unresolved { .. }
                | Stage::Waiting { .. }
                | Stage::Forwarded { settled: Settled::Yes, .. }
                | Stage::Passed(_)
                | Stage::Enrolling { .. }
                | Stage::Asking(_),
            )
            | None => {}
        }
    }

    /// A lane may still let go what was taken back too late.
    pub(super) fn hear_after_the_end(heard: &Heard) -> Vec<Deed> {
        match heard {
            Heard::Released(ticket) => vec![Deed::Settle(*ticket, client_gone())],
            Heard::FromClient(_)
            | Heard::FromUpstream(_)
            | Heard::Resolved(..)
            | Heard::Waved(_)
            | Heard::Begun(_)
            | Heard::Ended(..)
            | Heard::Refused(..)
            | Heard::Enrolled(_)
            | Heard::ClientGone
            | Heard::UpstreamGone
            | Heard::Stopping
            | Heard::TimeUp => Vec::new(),
        }
    }
}
