//! A connection on a desk: what both sides and the lane say is typed in, what the machine does is read off.

use std::collections::BTreeMap;

use super::super::*;
use crate::doors::rpc::frame::{Header, KEEPALIVE, Kind, REMOTE, Status};
use crate::doors::rpc::view::{Eyes, HostNames, Thing, Whose};
use crate::doors::rpc::xdr::{Reader, Writer};
use crate::model::{Code, Ending};

pub(super) const OPEN: u32 = 1;
pub(super) const DESTROY: u32 = 12;
pub(super) const GET_INFO: u32 = 16;
pub(super) const LOOKUP_BY_UUID: u32 = 24;
pub(super) const RESUME: u32 = 28;
pub(super) const SUSPEND: u32 = 34;
pub(super) const HOSTNAME: u32 = 59;
pub(super) const CREATE_WITH_FLAGS: u32 = 196;

pub(super) fn vm(number: u128) -> VmId {
    VmId(uuid::Uuid::from_u128(number))
}

/// The provider's own VM, one of others, and one that nobody co-manages.
pub(super) const OWN: u128 = 1;
pub(super) const OTHERS: u128 = 2;
pub(super) const FREE: u128 = 3;

#[derive(Debug)]
pub(super) struct World {
    pub(super) standing: BTreeMap<VmId, Standing>,
    pub(super) role: Role,
    pub(super) secrets: bool,
    pub(super) wire: Wire,
    host: HostNames,
}

impl Eyes for World {
    fn sees(&self, vm: VmId) -> bool {
        match self.standing(vm) {
            Standing::Own => true,
            Standing::Others => false,
            Standing::Free => self.role == Role::Host,
        }
    }

    fn sees_name(&self, name: &str) -> bool {
        self.by_name(name).map_or(self.role == Role::Host, |vm| self.sees(vm))
    }

    fn sees_secrets(&self) -> bool {
        self.secrets
    }

    fn sees_host(&self) -> bool {
        self.role == Role::Host
    }

    /// Whose volumes are is looked at elsewhere.
    fn whose(&self, _thing: Thing<'_>) -> Whose {
        Whose::Seen
    }
}

impl Around for World {
    fn standing(&self, vm: VmId) -> Standing {
        self.standing.get(&vm).copied().unwrap_or(Standing::Free)
    }

    fn by_name(&self, name: &str) -> Option<VmId> {
        let number = name.strip_prefix("vm")?.parse().ok()?;
        Some(vm(number)).filter(|vm| self.standing(*vm) != Standing::Free)
    }

    fn now(&self) -> Wall {
        Wall::from_micros(1)
    }

    fn wire(&self) -> Wire {
        self.wire
    }

    fn host(&self) -> &HostNames {
        &self.host
    }
}

/// A domain as libvirt writes it.
pub(super) fn domain(number: u128) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.string(&format!("vm{number}")).raw(vm(number).0.as_bytes()).i32(5);
    writer.into_bytes()
}

pub(super) fn head(procedure: u32, kind: Kind, serial: u32) -> Header {
    Header { program: REMOTE, version: 1, procedure, kind, serial, status: Status::Ok }
}

pub(super) struct Desk {
    pub(super) talk: Conversation,
    pub(super) world: World,
    pub(super) deeds: Vec<Deed>,
}

impl Desk {
    pub(super) fn new() -> Self {
        let standing = BTreeMap::from([(vm(OWN), Standing::Own), (vm(OTHERS), Standing::Others)]);
        let world =
            World { standing, role: Role::Plain, secrets: false, wire: Wire::Local, host: HostNames::default() };
        Self { talk: Conversation::new(), world, deeds: Vec::new() }
    }

    pub(super) fn of_the_host() -> Self {
        let mut desk = Self::new();
        desk.world.role = Role::Host;
        desk
    }

    pub(super) fn hear(&mut self, heard: Heard) -> Vec<String> {
        let deeds = self.talk.hear(heard, &self.world);
        let said = deeds.iter().map(said).collect();
        self.deeds.extend(deeds);
        said
    }

    pub(super) fn client(&mut self, procedure: u32, serial: u32, payload: &[u8]) -> Vec<String> {
        self.hear(Heard::FromClient(Frame::new(head(procedure, Kind::Call, serial), payload)))
    }

    /// A call about a VM.
    pub(super) fn call(&mut self, procedure: u32, serial: u32, number: u128) -> Vec<String> {
        let mut payload = domain(number);
        if procedure == CREATE_WITH_FLAGS {
            payload.extend([0; 4]);
        }
        self.client(procedure, serial, &payload)
    }

    pub(super) fn libvirtd(&mut self, procedure: u32, serial: u32, payload: &[u8]) -> Vec<String> {
        self.hear(Heard::FromUpstream(Frame::new(head(procedure, Kind::Reply, serial), payload)))
    }

    pub(super) fn libvirtd_fails(&mut self, procedure: u32, serial: u32, code: i32, text: &str) -> Vec<String> {
        let mut writer = Writer::new();
        writer.i32(code).i32(10).optional_string(Some(text)).i32(2).raw(&[0; 28]);
        let head = Header { status: Status::Error, ..head(procedure, Kind::Reply, serial) };
        self.hear(Heard::FromUpstream(Frame::new(head, &writer.into_bytes())))
    }

    pub(super) fn released(&mut self, ticket: u64) -> Vec<String> {
        self.hear(Heard::Released(Ticket(ticket)))
    }

    pub(super) fn ended(&mut self, ticket: u64, ending: Ending, code: Code) -> Vec<String> {
        let id = CommandId(uuid::Uuid::from_u128(u128::from(ticket)));
        self.hear(Heard::Ended(Ticket(ticket), id, Outcome::new(ending, code, "so it is")))
    }
}

/// A deed as one reads it.
fn said(deed: &Deed) -> String {
    let of = |frame: &Frame| {
        let Header { procedure, serial, kind, status, program, .. } = *frame.header();
        match (program, kind, status) {
            (KEEPALIVE, ..) => format!("keepalive {procedure}"),
            (_, Kind::Reply | Kind::ReplyWithDescriptors, Status::Error) => {
                format!("{procedure}#{serial} error {}", Reader::new(frame.payload()).i32().unwrap())
            }
            (_, Kind::Reply | Kind::ReplyWithDescriptors, _) => format!("{procedure}#{serial} ok"),
            (_, Kind::Event, _) => format!("event {procedure}"),
            (_, Kind::Stream | Kind::StreamHole, _) => format!("stream {procedure}#{serial}"),
            (_, Kind::Call | Kind::CallWithDescriptors, _) => format!("call {procedure}#{serial}"),
        }
    };
    match deed {
        Deed::ToClient(frame) => format!("client {}", of(frame)),
        Deed::ToUpstream(frame) => format!("libvirtd {}", of(frame)),
        Deed::Resolve(ticket, _) => format!("resolve {}", ticket.0),
        Deed::Submit(ticket, submit) => {
            let after = submit.after.map(|after| format!(" after {}", after.0)).unwrap_or_default();
            format!("submit {} {}{after}", ticket.0, submit.operation.action())
        }
        Deed::Settle(ticket, CallResult::Done(_)) => format!("settle {} done", ticket.0),
        Deed::Settle(ticket, CallResult::Failed(outcome)) => {
            format!("settle {} {} {}", ticket.0, outcome.ending, outcome.code)
        }
        Deed::Settle(ticket, CallResult::Lost(_)) => format!("settle {} lost", ticket.0),
        Deed::Cancel(ticket) => format!("cancel {}", ticket.0),
        Deed::Enroll(ticket, vm) => format!("enroll {} {}", ticket.0, vm.0.as_u128()),
        Deed::Told(procedure, answer) => format!("told {procedure} {}", answer.code.number()),
        Deed::DropClient(_) => "drop the client".to_owned(),
        Deed::Close(_) => "close".to_owned(),
    }
}

/// The text of the last error that the client got.
pub(super) fn last_error(deeds: &[Deed]) -> String {
    let mut errors = deeds.iter().filter_map(|deed| match deed {
        Deed::ToClient(frame) if frame.header().status == Status::Error => Some(frame.payload()),
        _ => None,
    });
    let mut reader = Reader::new(errors.next_back().unwrap());
    reader.i32().unwrap();
    reader.i32().unwrap();
    reader.optional_string().unwrap().unwrap().to_owned()
}
