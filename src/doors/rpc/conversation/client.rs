//! What the client sends.

use super::super::frame::{Frame, KEEPALIVE, Kind, REMOTE, Status};
use super::super::mapping::{self, HostAccess, Secrecy, Subject, Treatment, Why};
use super::super::procedures;
use super::super::refusal::{Answer, ErrorCode};
use super::super::view;
use super::super::xdr::{ReadXdrError, Reader};
use super::book::{Call, Made, Purpose, Stage};
use super::{Around, CALLS_MAX, Conversation, Deed, Ends, Mode, Opening, Role, Wire};

const CONNECT_OPEN: u32 = 1;
/// `VIR_CONNECT_RO`
const READ_ONLY: u32 = 1;

impl Conversation {
    pub(super) fn hear_client(&mut self, frame: Frame, around: &dyn Around) {
        if self.ends != Ends::Both {
            return;
        }
        let head = *frame.header();
        match head.kind {
            Kind::Call | Kind::CallWithDescriptors => self.call(frame, around),
            Kind::Event if head.program == KEEPALIVE => self.deed(Deed::ToUpstream(frame)),
            Kind::Stream | Kind::StreamHole => {
                let held = self.book.find(head.program, head.serial).and_then(|ticket| self.book.stage(ticket));
                if held.is_some_and(|stage| stage.held().is_some()) {
                    self.misused("it sent data of a stream whose call has no answer yet");
                } else {
                    self.deed(Deed::ToUpstream(frame));
                }
            }
            Kind::Event => self.misused("it sent an event, which only libvirtd does"),
            Kind::Reply | Kind::ReplyWithDescriptors => self.misused("it sent a reply to a call that nobody made"),
        }
    }

    fn call(&mut self, frame: Frame, around: &dyn Around) {
        let head = *frame.header();
        if self.own.has(head.program, head.serial) || self.book.find(head.program, head.serial).is_some() {
            return self.misused("it used the serial of a call that has no answer yet");
        }
        if self.book.len() >= CALLS_MAX {
            return self.misused("it has more calls without an answer than any client needs");
        }
        let call = Call::of(&frame, around.now());
        if around.wire() == Wire::Remote && procedures::passes_files(head.program, head.procedure) {
            return self.refuse(&call, Answer::other(ErrorCode::Denied, OPEN_FILE));
        }
        match mapping::treatment(head.program, head.procedure, frame.payload()) {
            Ok(treatment) => self.treat(call, frame, treatment, around),
            Err(error) => self.refuse(&call, unreadable(error)),
        }
    }

    fn treat(&mut self, call: Call, frame: Frame, treatment: Treatment, around: &dyn Around) {
        match treatment {
            Treatment::Pass if (call.head.program, call.head.procedure) == (REMOTE, CONNECT_OPEN) => {
                self.open(call, frame);
            }
            Treatment::Pass => self.pass_if_seen(call, frame, around),
            Treatment::Look { secret: Secrecy::Secret, .. } if !around.sees_secrets() => {
                let text = "covirt did not let this through: the answer holds secrets, and this provider has not the \
                            read-secure role; ask without them, or have the host's operator give it the role";
                self.refuse(&call, Answer::vm(ErrorCode::Denied, text));
            }
            Treatment::Look { subject, .. } => self.look(call, frame, subject, around),
            // libvirtd refuses it by itself, and says why better than anybody else.
            Treatment::Change { .. } | Treatment::Host(HostAccess::Write, _)
                if self.opening == Opening::Open(Mode::ReadOnly) =>
            {
                self.pass_if_seen(call, frame, around);
            }
            Treatment::Change { subject, operation, pace } => {
                self.change(call, frame, subject, operation, pace, around);
            }
            Treatment::Host(HostAccess::Read, _) => self.pass_if_seen(call, frame, around),
            Treatment::Host(HostAccess::Write, subject @ Subject::Volume { .. }) => {
                match view::call(call.head.program, call.head.procedure, frame.payload(), around) {
                    Ok(view::Asked::Unseen) => self.absent(&call),
                    Ok(_) => self.resolve(call, frame, subject, Purpose::Host),
                    Err(error) => self.refuse(&call, unreadable(error)),
                }
            }
            Treatment::Host(HostAccess::Write, _) => match around.role() {
                Role::Host => match around.stopped(None) {
                    Some(why) => self.stop(&call, &why),
                    None => self.pass_if_seen(call, frame, around),
                },
                Role::Plain => self.refuse(&call, Answer::other(ErrorCode::Denied, HOST_OBJECT)),
            },
            Treatment::Refuse(why @ Why::Unknown) => {
                self.refuse(&call, Answer::newer(call.head.procedure, why.sentence()));
            }
            Treatment::Refuse(why) => self.refuse(&call, Answer::other(ErrorCode::Denied, why.sentence())),
        }
    }

    /// The driver is opened once: whoever could open it anew could turn a connection that reads into one that writes
    /// while calls that no lane has seen are on their way.
    fn open(&mut self, call: Call, frame: Frame) {
        if self.opening != Opening::NotYet {
            let text = "covirt did not let this through: the connection has been opened already; open another one";
            return self.refuse(&call, Answer::other(ErrorCode::Invalid, text));
        }
        let mode = match flags_of_open(frame.payload()) {
            Ok(flags) if flags & READ_ONLY != 0 => Mode::ReadOnly,
            Ok(_) => Mode::ReadWrite,
            Err(error) => return self.refuse(&call, unreadable(error)),
        };
        let ticket = self.pass(call, frame, Made::Nothing);
        self.opening = Opening::Asked(ticket, mode);
    }

    /// Passes a call on unless it asks about something that the provider does not see.
    pub(super) fn pass_if_seen(&mut self, call: Call, frame: Frame, around: &dyn Around) {
        match view::call(call.head.program, call.head.procedure, frame.payload(), around) {
            Ok(view::Asked::Seen) => {
                self.pass(call, frame, Made::Nothing);
            }
            Ok(view::Asked::Unseen) => self.absent(&call),
            Ok(view::Asked::Recount(recount)) => self.recount(call, recount),
            Err(error) => self.refuse(&call, unreadable(error)),
        }
    }

    pub(super) fn pass(&mut self, call: Call, frame: Frame, made: Made) -> super::Ticket {
        let ticket = self.book.ticket();
        self.migrations.leaves(ticket, &call, &frame);
        self.book.enter(ticket, call, Stage::Passed(made));
        self.deed(Deed::ToUpstream(frame));
        ticket
    }

    /// Answers as libvirt does when there is nothing of what the call asks about.
    pub(super) fn absent(&mut self, call: &Call) {
        let payload = view::absent(call.head.program, call.head.procedure, &call.arguments);
        self.tell(Frame::answer(&call.head, Status::Error, &payload));
    }
}

/// What a provider without the host role is told that wants to write an object of the host.
pub(super) const HOST_OBJECT: &str = "covirt did not let this through: pools, volumes, networks and the host's other \
    objects may be changed by providers with the host role only; ask the host's operator";

/// What a client on another machine is told of a call that passes an open file.
const OPEN_FILE: &str = "covirt did not let this through: it passes an open file between client and host, which no \
    network carries; make the call on the host itself, or use covirt's own console and screen there";

/// libvirtd would say the same of arguments that are none.
pub(super) fn unreadable(error: ReadXdrError) -> Answer {
    Answer::other(
        ErrorCode::Unreadable,
        format!("covirt did not let this through: its arguments cannot be read: {error}"),
    )
}

fn flags_of_open(payload: &[u8]) -> Result<u32, ReadXdrError> {
    let mut reader = Reader::new(payload);
    reader.optional_string()?;
    reader.u32()
}
