//! Which VM a call is about, and so what becomes of it.

use std::collections::BTreeSet;

use super::super::frame::Frame;
use super::super::mapping::{self, Pace, Subject};
use super::super::procedures::{self, Returns};
use super::super::refusal::{Answer, ErrorCode};
use super::book::{Call, Made, Purpose, Stage};
use super::client::HOST_OBJECT;
use super::migrations::Share;
use super::{Around, Conversation, Deed, Found, Role, Standing, Submit, Ticket};
use crate::model::action::Repeat;
use crate::model::operation::RelayedArgs;
use crate::model::{Action, Operation, Resource, VmId};

impl Conversation {
    /// A call that only looks.
    pub(super) fn look(&mut self, call: Call, frame: Frame, subject: Subject, around: &dyn Around) {
        let seen = match &subject {
            Subject::Vm(vm) => around.sees(*vm),
            Subject::VmName(name) => around.sees_name(name),
            Subject::Many(vms) => vms.iter().all(|vm| around.sees(*vm)),
            Subject::SavedImage { .. } => return self.resolve(call, frame, subject, Purpose::Look),
            // Their replies and the call's own arguments are looked at.
            Subject::None
            | Subject::VmNumber(_)
            | Subject::DomainXml(_)
            | Subject::Volume { .. }
            | Subject::Process(_)
            | Subject::Arriving { .. } => true,
        };
        if !seen {
            return self.absent(&call);
        }
        // A definition was copied: the guest is not touched, but whose migration it is libvirt does not ask.
        if call.confirms_a_migration() {
            if !self.migrations.may_end(&subject, Share::Copy) {
                return self.refuse(&call, Answer::vm(ErrorCode::Invalid, NOT_BEGUN));
            }
            self.migrations.ends(&subject);
        }
        self.pass_if_seen(call, frame, around);
    }

    /// A call that changes a VM.
    pub(super) fn change(
        &mut self,
        call: Call,
        frame: Frame,
        subject: Subject,
        operation: Operation,
        pace: Pace,
        around: &dyn Around,
    ) {
        let known = match &subject {
            Subject::Vm(vm) => Some(*vm),
            Subject::VmName(name) | Subject::Arriving { name: Some(name), .. } => around.by_name(name),
            Subject::None
            | Subject::VmNumber(_)
            | Subject::DomainXml(_)
            | Subject::SavedImage { .. }
            | Subject::Volume { .. }
            | Subject::Process(_)
            | Subject::Arriving { name: None, .. }
            | Subject::Many(_) => None,
        };
        // What is resolved first is stopped then, and what is a lane's by that.
        let direct = matches!(&subject, Subject::None | Subject::VmName(_) | Subject::Vm(_) | Subject::Many(_));
        if known.is_none()
            && direct
            && pace != Pace::Never
            && around.role() == Role::Host
            && let Some(why) = around.stopped(None)
        {
            return self.stop(&call, &why);
        }
        match (known, pace, subject) {
            (known, Pace::Never, subject) => {
                self.never_held(call, frame, known, (&subject, Share::of(&operation)), around);
            }
            (Some(vm), pace, _) => self.change_known(call, frame, vm, (operation, pace), around),
            (None, _, Subject::VmName(_) | Subject::Vm(_)) => match around.role() {
                Role::Host => self.pass_if_seen(call, frame, around),
                Role::Plain => self.absent(&call),
            },
            (None, _, Subject::None) => match around.role() {
                Role::Host => self.pass_if_seen(call, frame, around),
                Role::Plain => self.refuse(&call, Answer::vm(ErrorCode::Denied, NEW_VM)),
            },
            (None, _, Subject::Many(vms)) => {
                // libvirt has no such call: what is not known to be one VM's is nobody's to change.
                let none = vms.iter().all(|vm| around.standing(*vm) == Standing::Free);
                if none && around.role() == Role::Host {
                    self.pass_if_seen(call, frame, around);
                } else {
                    self.absent(&call);
                }
            }
            (
                None,
                pace,
                subject @ (Subject::VmNumber(_)
                | Subject::DomainXml(_)
                | Subject::SavedImage { .. }
                | Subject::Volume { .. }
                | Subject::Process(_)
                | Subject::Arriving { .. }),
            ) => self.resolve(call, frame, subject, Purpose::Change(operation, pace)),
        }
    }

    /// The end of a migration: the guest stands still until it is through. Of one that others have begun it is no end,
    /// but theirs brought to nothing.
    fn never_held(
        &mut self,
        call: Call,
        frame: Frame,
        known: Option<VmId>,
        (subject, share): (&Subject, Share),
        around: &dyn Around,
    ) {
        let made = if matches!(subject, Subject::Arriving { .. }) { Made::Vm(None) } else { Made::Nothing };
        let seen = known.map_or(around.role() == Role::Host, |vm| around.sees(vm));
        if !seen {
            self.absent(&call);
        } else if self.migrations.may_end(subject, share) {
            self.migrations.ends(subject);
            self.pass(call, frame, made);
        } else {
            self.refuse(&call, Answer::vm(ErrorCode::Invalid, NOT_BEGUN));
        }
    }

    fn change_known(
        &mut self,
        call: Call,
        frame: Frame,
        vm: VmId,
        (operation, pace): (Operation, Pace),
        around: &dyn Around,
    ) {
        match (around.standing(vm), around.role()) {
            (Standing::Own, _) => self.hold(call, frame, vm, (operation, pace)),
            (Standing::Free, Role::Host) => match around.stopped(Some(vm)) {
                Some(why) => self.stop(&call, &why),
                None => drop(self.pass(call, frame, Made::Nothing)),
            },
            (Standing::Free, Role::Plain) | (Standing::Others, _) => self.absent(&call),
        }
    }

    /// Nothing new of the provider's begins.
    pub(super) fn stop(&mut self, call: &Call, why: &str) {
        let text = format!("covirt did not let this through: {why}; ask the host's operator");
        self.refuse(call, Answer::other(ErrorCode::Denied, text));
    }

    /// Has it found out what a call is about.
    pub(super) fn resolve(&mut self, call: Call, frame: Frame, subject: Subject, purpose: Purpose) {
        if !self.book.has_room_for(&frame) {
            return self.refuse(&call, Answer::vm(ErrorCode::Busy, TOO_MANY));
        }
        let ticket = self.book.ticket();
        if !matches!(purpose, Purpose::Look) {
            self.waiting.push_back(ticket);
        }
        self.book.enter(ticket, call, Stage::Unresolved { frame, purpose, subject: subject.clone() });
        self.deed(Deed::Resolve(ticket, subject));
    }

    fn hold(&mut self, call: Call, frame: Frame, vm: VmId, (operation, pace): (Operation, Pace)) {
        if !self.book.has_room_for(&frame) {
            return self.refuse(&call, Answer::vm(ErrorCode::Busy, TOO_MANY));
        }
        let ticket = self.book.ticket();
        self.waiting.push_back(ticket);
        self.book.enter(ticket, call, Stage::Waiting { frame, vm, operation, pace });
        self.submit_in_order();
    }

    /// What was found out about a call.
    pub(super) fn resolved(&mut self, ticket: Ticket, found: Found, around: &dyn Around) {
        match self.book.take(ticket) {
            Some((call, Stage::Unresolved { frame, purpose, subject })) => {
                self.found(ticket, call, frame, (purpose, subject), found, around);
            }
            Some((call, stage)) => self.book.put(ticket, call, stage),
            None => {}
        }
        self.submit_in_order();
    }

    fn found(
        &mut self,
        ticket: Ticket,
        call: Call,
        frame: Frame,
        (purpose, subject): (Purpose, Subject),
        found: Found,
        around: &dyn Around,
    ) {
        let (role, is_look) = (around.role(), matches!(purpose, Purpose::Look));
        let standing = match &found {
            Found::Vm(vm) | Found::New(Some(vm)) | Found::Disk(vm, _) => around.standing(*vm),
            Found::Nothing | Found::New(None) | Found::Unknown(_) => Standing::Free,
        };
        match (purpose, found, standing) {
            // Libvirt has the last word on what cannot be told, where nobody but the host's own is concerned.
            (Purpose::Look, _, Standing::Own) => self.pass_if_seen(call, frame, around),
            (Purpose::Look, _, Standing::Free) if role == Role::Host => self.pass_if_seen(call, frame, around),
            (Purpose::Look, _, _) => self.refuse(&call, Answer::vm(ErrorCode::Denied, NOT_YOURS)),
            (_, Found::Unknown(why), _) => {
                let text = format!(
                    "covirt did not let this through: it cannot tell whose VM this is about: {why}; try again later"
                );
                self.refuse(&call, Answer::vm(ErrorCode::Failed, text));
            }
            (
                Purpose::Change(operation, pace),
                Found::Vm(vm) | Found::New(Some(vm)) | Found::Disk(vm, _),
                Standing::Own,
            ) => {
                self.book.put(ticket, call, Stage::Waiting { frame, vm, operation, pace });
            }
            (Purpose::Host, Found::Disk(vm, target), Standing::Own) => {
                let procedure = call.name().to_owned();
                let touches = BTreeSet::from([Resource::Disk(target)]);
                let operation = Operation::Relayed(RelayedArgs { action: Action::DiskWrite, procedure, touches });
                let pace = Pace::Held;
                self.book.put(ticket, call, Stage::Waiting { frame, vm, operation, pace });
            }
            (_, _, Standing::Others) => self.refuse(&call, Answer::vm(ErrorCode::Denied, NOT_YOURS)),
            (_, _, Standing::Free | Standing::Own) if role == Role::Host && around.stopped(None).is_some() => {
                self.stop(&call, &around.stopped(None).unwrap_or_default());
            }
            (Purpose::Change(..), found, Standing::Free | Standing::Own) => match role {
                Role::Host => {
                    let made = match found {
                        // It is there when its migration is finished, and not before.
                        Found::New(_) if matches!(subject, Subject::Arriving { .. }) => Made::Nothing,
                        Found::New(vm) => Made::Vm(vm),
                        Found::Nothing | Found::Vm(_) | Found::Disk(..) | Found::Unknown(_) => Made::Nothing,
                    };
                    self.pass(call, frame, made);
                }
                Role::Plain => {
                    let text = if matches!(subject, Subject::VmNumber(_)) { NOT_YOURS } else { NEW_VM };
                    self.refuse(&call, Answer::vm(ErrorCode::Denied, text));
                }
            },
            (Purpose::Host, _, Standing::Free | Standing::Own) => match role {
                Role::Host => self.pass_if_seen(call, frame, around),
                Role::Plain => self.refuse(&call, Answer::other(ErrorCode::Denied, HOST_OBJECT)),
            },
        }
        if !is_look && self.book.stage(ticket).is_none() {
            self.waiting.retain(|waiting| *waiting != ticket);
        }
    }

    /// Hands calls to their lanes in the order in which they came; one whose subject is not known keeps those behind it.
    pub(super) fn submit_in_order(&mut self) {
        while let Some(ticket) = self.waiting.front().copied() {
            match self.book.take(ticket) {
                Some((call, Stage::Waiting { frame, vm, operation, pace })) => {
                    self.waiting.pop_front();
                    self.submit(ticket, call, frame, vm, (operation, pace));
                }
                Some((call, stage)) => {
                    let unresolved = matches!(stage, Stage::Unresolved { .. });
                    self.book.put(ticket, call, stage);
                    if unresolved {
                        return;
                    }
                    self.waiting.pop_front();
                }
                None => drop(self.waiting.pop_front()),
            }
        }
    }

    fn submit(&mut self, ticket: Ticket, call: Call, frame: Frame, vm: VmId, (operation, pace): (Operation, Pace)) {
        let (procedure, received) = (call.name(), call.received);
        let after = if pace == Pace::Aborts {
            // It is there to stop what came before it.
            None
        } else {
            let earlier = self.last.entry(vm).or_default();
            let after = earlier.last().copied();
            earlier.insert(ticket);
            after
        };
        let operation = for_itself(&call, operation);
        let asked = mapping::asked(call.head.program, call.head.procedure, operation.action(), frame.payload());
        self.book.put(ticket, call, Stage::Submitted { frame, vm });
        let submit = Submit { vm, operation, pace, asked, procedure, received, after };
        self.deed(Deed::Submit(ticket, Box::new(submit)));
    }

    /// A call has come to its end: later ones need not wait for it.
    pub(super) fn no_longer_last(&mut self, vm: VmId, ticket: Ticket) {
        if let Some(earlier) = self.last.get_mut(&vm) {
            earlier.remove(&ticket);
            if earlier.is_empty() {
                self.last.remove(&vm);
            }
        }
    }
}

/// What only libvirt can answer is made for its own client, whoever else wishes the same: of another's execution nobody
/// here knows the answer.
fn for_itself(call: &Call, operation: Operation) -> Operation {
    let action = operation.action();
    let is_shared = action.spec().repeat == Repeat::Idempotent && !matches!(operation, Operation::Relayed(_));
    match procedures::returns(call.head.program, call.head.procedure) {
        Returns::Other if is_shared => {
            let touches = operation.footprint().writes;
            Operation::Relayed(RelayedArgs { action, procedure: call.name().to_owned(), touches })
        }
        Returns::Nothing | Returns::Zero | Returns::Domain | Returns::Other => operation,
    }
}

const NEW_VM: &str = "covirt did not let this through: only a provider with the host role brings VMs to this host; ask \
    the host's operator";
const NOT_YOURS: &str = "covirt did not let this through: it is about a VM that others manage and this provider has no \
    part in; ask its primary or the host's operator";
const NOT_BEGUN: &str = "covirt did not let this through: no migration of this VM was begun on this connection, and only \
    who began one ends it; begin one, or abort the one that is under way";
const TOO_MANY: &str = "covirt did not let this through: as much of this connection as may be is held already; try again \
    when some of it has ended";
