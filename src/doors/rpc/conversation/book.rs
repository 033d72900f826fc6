//! The calls that have no answer yet.

use std::collections::BTreeMap;

use super::super::frame::{Frame, Header};
use super::super::mapping::{Pace, Subject};
use super::super::procedures;
use super::super::view::Recount;
use super::{HELD_BYTES_MAX, HELD_DESCRIPTORS_MAX, HELD_MAX, Ticket};
use crate::model::{Operation, VmId, Wall};

/// How much of a call's arguments is kept once it has left: enough to say what it asked about. *Units*: bytes.
const KEPT: usize = 8 * 1024;

/// What is kept of a call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) head: Header,
    pub(super) received: Wall,
    /// The beginning of its arguments.
    pub(super) arguments: Vec<u8>,
}

impl Call {
    pub(super) fn of(frame: &Frame, received: Wall) -> Self {
        let payload = frame.payload();
        let arguments = payload.get(..KEPT).unwrap_or(payload).to_vec();
        Self { head: *frame.header(), received, arguments }
    }

    /// Whether what it does is done only when its stream is at its end.
    pub(super) fn goes_on_with_its_stream(&self) -> bool {
        self.name() == "storage_vol_upload"
    }

    /// Whether it is the last step of a migration at the source.
    pub(super) fn confirms_a_migration(&self) -> bool {
        self.name().starts_with("domain_migrate_confirm")
    }

    /// libvirt's name of it.
    pub(super) fn name(&self) -> &'static str {
        procedures::name_of(self.head.program, self.head.procedure).unwrap_or("unknown")
    }
}

/// Why a call waits for its subject.
#[derive(Debug)]
pub(super) enum Purpose {
    /// It only looks.
    Look,
    /// It changes a VM in this way.
    Change(Operation, Pace),
    /// It writes an object of the host, which may be a VM's disk.
    Host,
}

/// Where a call is.
#[derive(Debug)]
pub(super) enum Stage {
    /// It waits until it is known what it is about.
    Unresolved { frame: Frame, purpose: Purpose, subject: Subject },
    /// It waits for an earlier call of the client's to be submitted.
    Waiting { frame: Frame, vm: VmId, operation: Operation, pace: Pace },
    /// It is at the lane.
    Submitted { frame: Frame, vm: VmId },
    /// The lane has released it; there is no room at libvirtd.
    Ready { frame: Frame, vm: VmId },
    /// It is at libvirtd by the lane's leave.
    Forwarded { vm: VmId, settled: Settled },
    /// libvirtd has answered, and what it does goes on for as long as its stream.
    Streaming { vm: VmId },
    /// It is at libvirtd; no lane was asked.
    Passed(Made),
    /// libvirtd has answered; the VM that it made is being enrolled.
    Enrolling { reply: Frame },
    /// A call of our own is made in its stead.
    Asking(Asked),
}

/// What a call of our own is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// An answer that counts what the provider sees.
    Recount(Recount),
    /// The VM that a call would have given.
    Domain,
}

/// Whether the lane was told what became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    NotYet,
    Yes,
}

/// Whether a call makes a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    Nothing,
    /// A VM; its id if the arguments say it.
    Vm(Option<VmId>),
}

impl Stage {
    /// The message of a call that is held.
    pub(super) const fn held(&self) -> Option<&Frame> {
        match self {
            Self::Unresolved { frame, .. }
            | Self::Waiting { frame, .. }
            | Self::Submitted { frame, .. }
            | Self::Ready { frame, .. } => Some(frame),
            Self::Forwarded { .. }
            | Self::Streaming { .. }
            | Self::Passed(_)
            | Self::Enrolling { .. }
            | Self::Asking(_) => None,
        }
    }

    /// Whether libvirtd has it.
    const fn is_upstream(&self) -> bool {
        match self {
            Self::Forwarded { .. } | Self::Passed(_) | Self::Asking(_) => true,
            Self::Unresolved { .. }
            | Self::Waiting { .. }
            | Self::Submitted { .. }
            | Self::Ready { .. }
            | Self::Streaming { .. }
            | Self::Enrolling { .. } => false,
        }
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Book {
    calls: BTreeMap<Ticket, (Call, Stage)>,
    /// By program and serial, as replies name them.
    serials: BTreeMap<(u32, u32), Ticket>,
    next: u64,
}

impl Book {
    pub(super) const fn new() -> Self {
        Self { calls: BTreeMap::new(), serials: BTreeMap::new(), next: 1 }
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// The next ticket.
    pub(super) const fn ticket(&mut self) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        ticket
    }

    pub(super) fn enter(&mut self, ticket: Ticket, call: Call, stage: Stage) {
        self.serials.insert((call.head.program, call.head.serial), ticket);
        self.calls.insert(ticket, (call, stage));
    }

    /// The call of this program and serial.
    pub(super) fn find(&self, program: u32, serial: u32) -> Option<Ticket> {
        self.serials.get(&(program, serial)).copied()
    }

    pub(super) fn stage(&self, ticket: Ticket) -> Option<&Stage> {
        self.calls.get(&ticket).map(|(_, stage)| stage)
    }

    pub(super) fn call(&self, ticket: Ticket) -> Option<&Call> {
        self.calls.get(&ticket).map(|(call, _)| call)
    }

    /// Takes a call out: it is answered, or nobody waits for its answer.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<(Call, Stage)> {
        let (call, stage) = self.calls.remove(&ticket)?;
        self.serials.remove(&(call.head.program, call.head.serial));
        Some((call, stage))
    }

    /// Puts a call that was taken out back, elsewhere.
    pub(super) fn put(&mut self, ticket: Ticket, call: Call, stage: Stage) {
        self.enter(ticket, call, stage);
    }

    pub(super) fn tickets(&self) -> Vec<Ticket> {
        self.calls.keys().copied().collect()
    }

    /// How many are held.
    pub(super) fn held(&self) -> usize {
        self.calls.values().filter(|(_, stage)| stage.held().is_some()).count()
    }

    /// Whether one more may be held.
    pub(super) fn has_room_for(&self, frame: &Frame) -> bool {
        let held = self.calls.values().filter_map(|(_, stage)| stage.held()).chain(std::iter::once(frame));
        let weight = |(count, bytes, descriptors): (usize, usize, usize), frame: &Frame| {
            (count + 1, bytes + frame.bytes().len(), descriptors + frame.descriptors().len())
        };
        let (count, bytes, descriptors) = held.fold((0, 0, 0), weight);
        count <= HELD_MAX && bytes <= HELD_BYTES_MAX && descriptors <= HELD_DESCRIPTORS_MAX
    }

    /// How many calls libvirtd has, and how many of them by a lane's leave.
    pub(super) fn at_libvirtd(&self) -> (usize, usize) {
        let stages = || self.calls.values().map(|(_, stage)| stage);
        let released = stages().filter(|stage| matches!(stage, Stage::Forwarded { .. })).count();
        (stages().filter(|stage| stage.is_upstream()).count(), released)
    }

    /// Whether the lane still has to be told what became of a call at libvirtd.
    pub(super) fn owes(&self) -> bool {
        self.calls.values().any(|(_, stage)| matches!(stage, Stage::Forwarded { settled: Settled::NotYet, .. }))
    }
}
