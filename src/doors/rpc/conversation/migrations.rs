//! Migrations whose steps the client makes itself. libvirt takes their ends from anybody: who begun none here could bring
//! another's to nothing, and its guest with it. A client's own come over one connection.

use std::collections::{BTreeMap, BTreeSet};

use super::super::frame::{Frame, REMOTE, Status};
use super::super::mapping::{self, Subject, Treatment};
use super::Ticket;
use super::book::Call;
use crate::model::{Action, Operation, VmId};

/// What of a VM goes to another host; what comes later has what comes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Share {
    /// A copy of its definition.
    Copy,
    /// Its definition.
    Definition,
    /// The guest.
    Guest,
}

impl Share {
    /// What goes by a step that is this operation.
    pub(super) fn of(operation: &Operation) -> Self {
        if operation.action() == Action::DefinitionUndefine { Self::Definition } else { Self::Guest }
    }
}

/// A first step.
#[derive(Debug)]
enum Step {
    Sends(VmId, Share),
    Receives(String),
}

/// What was begun on one connection and has not been ended.
#[derive(Debug)]
pub(super) struct Migrations {
    /// First steps that libvirtd has not answered.
    asked: BTreeMap<Ticket, Step>,
    sent: BTreeMap<VmId, Share>,
    awaited: BTreeSet<String>,
}

impl Migrations {
    pub(super) const fn new() -> Self {
        Self { asked: BTreeMap::new(), sent: BTreeMap::new(), awaited: BTreeSet::new() }
    }

    /// A call goes to libvirtd.
    pub(super) fn leaves(&mut self, ticket: Ticket, call: &Call, frame: &Frame) {
        if let Some(step) = first_step(call, frame) {
            self.asked.insert(ticket, step);
        }
    }

    /// libvirtd has answered a call.
    pub(super) fn answered(&mut self, ticket: Ticket, status: Status) {
        match self.asked.remove(&ticket).filter(|_| status == Status::Ok) {
            Some(Step::Sends(vm, share)) => _ = self.sent.insert(vm, share),
            Some(Step::Receives(name)) => _ = self.awaited.insert(name),
            None => {}
        }
    }

    /// Whether a last step is of a migration of at least this share that was begun here.
    pub(super) fn may_end(&self, subject: &Subject, share: Share) -> bool {
        matches!(subject, Subject::Vm(vm) if self.sent.get(vm).is_some_and(|sent| *sent >= share))
            || matches!(subject, Subject::Arriving { name: Some(name), .. } if self.awaited.contains(name))
    }

    /// A last step goes to libvirtd: another one would be another's.
    pub(super) fn ends(&mut self, subject: &Subject) {
        if let Subject::Vm(vm) = subject {
            self.sent.remove(vm);
        }
        if let Subject::Arriving { name: Some(name), .. } = subject {
            self.awaited.remove(name);
        }
    }
}

fn first_step(call: &Call, frame: &Frame) -> Option<Step> {
    let is_first = ["domain_migrate_begin", "domain_migrate_prepare"].iter().any(|name| call.name().starts_with(name));
    if call.head.program != REMOTE || !is_first {
        return None;
    }
    let (subject, share) = match mapping::treatment(call.head.program, call.head.procedure, frame.payload()).ok()? {
        Treatment::Look { subject, .. } => (subject, Share::Copy),
        Treatment::Change { subject, operation, .. } => (subject, Share::of(&operation)),
        Treatment::Pass | Treatment::Host(..) | Treatment::Refuse(_) => return None,
    };
    if let Subject::Vm(vm) = subject {
        return Some(Step::Sends(vm, share));
    }
    subject.known_as().name.map(Step::Receives)
}
