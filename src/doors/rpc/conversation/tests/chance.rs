//! Whatever is said: nothing is answered twice, nothing is forwarded unreleased, what is released is settled once.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::*;
use super::desk::*;
use crate::doors::rpc::frame::{Header, KEEPALIVE, Kind, REMOTE, Status};
use crate::model::{Code, Ending};

#[derive(Debug, Clone, Copy)]
enum Say {
    Call {
        procedure: u32,
        serial: u32,
        number: u128,
    },
    /// A reply to what libvirtd has, by its place; or to nothing.
    Reply {
        place: usize,
        fails: bool,
    },
    Stray {
        procedure: u32,
        serial: u32,
    },
    Release(u64),
    Begin(u64),
    Wave(u64),
    End(u64, Ending),
    Refuse(u64),
    Resolve(u64, u8),
    Enrolled(u64),
    Ping {
        from_client: bool,
    },
    Gone {
        client: bool,
    },
}

fn say() -> impl Strategy<Value = Say> {
    let procedure = prop_oneof![
        Just(SUSPEND),
        Just(RESUME),
        Just(DESTROY),
        Just(CREATE_WITH_FLAGS),
        Just(GET_INFO),
        Just(HOSTNAME)
    ];
    let ending =
        prop_oneof![Just(Ending::Done), Just(Ending::Coalesced), Just(Ending::Denied), Just(Ending::Cancelled)];
    let ticket = 1..24_u64;
    prop_oneof![
        12 => (procedure.clone(), 1..30_u32, 1..4_u128)
            .prop_map(|(procedure, serial, number)| Say::Call { procedure, serial, number }),
        10 => (0..8_usize, any::<bool>()).prop_map(|(place, fails)| Say::Reply { place, fails }),
        1 => (procedure, 1..30_u32).prop_map(|(procedure, serial)| Say::Stray { procedure, serial }),
        8 => ticket.clone().prop_map(Say::Release),
        2 => ticket.clone().prop_map(Say::Begin),
        1 => ticket.clone().prop_map(Say::Wave),
        4 => (ticket.clone(), ending).prop_map(|(ticket, ending)| Say::End(ticket, ending)),
        2 => ticket.clone().prop_map(Say::Refuse),
        2 => (ticket.clone(), 0..5_u8).prop_map(|(ticket, found)| Say::Resolve(ticket, found)),
        1 => ticket.prop_map(Say::Enrolled),
        2 => any::<bool>().prop_map(|from_client| Say::Ping { from_client }),
        1 => any::<bool>().prop_map(|client| Say::Gone { client }),
    ]
}

const WRITES: [u32; 4] = [SUSPEND, RESUME, DESTROY, CREATE_WITH_FLAGS];

/// Keeps the books that the machine is held against.
#[derive(Default)]
struct Judge {
    /// The client's calls without an answer, serial to procedure.
    asked: BTreeMap<u32, u32>,
    /// What lanes have, serial to ticket.
    submitted: BTreeMap<u32, Ticket>,
    released: BTreeSet<Ticket>,
    waved: BTreeSet<Ticket>,
    settled: BTreeSet<Ticket>,
    /// What libvirtd has, with its ticket where a lane released it.
    at_libvirtd: Vec<(Header, Option<Ticket>)>,
    gone: bool,
    closed: bool,
}

impl Judge {
    fn look(&mut self, desk: &Desk, deeds: &[Deed]) {
        for deed in deeds {
            assert!(!self.closed || matches!(deed, Deed::Settle(..)), "{deed:?} after the end");
            match deed {
                Deed::ToClient(frame) => {
                    assert!(!self.gone, "to a client that has gone");
                    let head = frame.header();
                    if head.kind.is_reply() {
                        assert_eq!(self.asked.remove(&head.serial), Some(head.procedure), "answered unasked or twice");
                        self.submitted.remove(&head.serial);
                    }
                }
                Deed::ToUpstream(frame) if frame.header().program == REMOTE => self.forwarded(desk, *frame.header()),
                Deed::Submit(ticket, _) => {
                    let call = desk.talk.book.call(*ticket).expect("it is in the book");
                    self.submitted.insert(call.head.serial, *ticket);
                }
                Deed::Settle(ticket, _) => {
                    assert!(self.released.contains(ticket), "settled unreleased");
                    assert!(self.settled.insert(*ticket), "settled twice");
                }
                Deed::DropClient(_) => self.gone = true,
                Deed::Close(_) => (self.closed, self.gone) = (true, true),
                Deed::ToUpstream(_) | Deed::Resolve(..) | Deed::Cancel(_) | Deed::Enroll(..) | Deed::Told(..) => {}
            }
        }
    }

    fn forwarded(&mut self, desk: &Desk, head: Header) {
        let ticket = self.submitted.get(&head.serial).copied().filter(|_| WRITES.contains(&head.procedure));
        if head.serial < 0x8000_0000 {
            assert!(self.asked.contains_key(&head.serial), "made without its client");
            let free = ticket.is_some_and(|ticket| self.released.contains(&ticket) || self.waved.contains(&ticket));
            assert!(free || !WRITES.contains(&head.procedure) || desk.world.role == Role::Host, "not released");
        }
        let ticket = ticket.filter(|ticket| self.released.contains(ticket));
        self.at_libvirtd.push((head, ticket));
        let released = self.at_libvirtd.iter().filter(|(_, ticket)| ticket.is_some()).count();
        assert!(released <= RELEASED_AT_ONCE, "{released} at once");
    }

    /// What the machine hears of this; none when it would be no such thing.
    fn heard(&mut self, say: Say) -> Option<Heard> {
        let id = CommandId(uuid::Uuid::from_u128(1));
        Some(match say {
            Say::Call { procedure, serial, number } => {
                if !self.gone {
                    // Of a serial that is in use the older call stays: the client is sent away.
                    self.asked.entry(serial).or_insert(procedure);
                }
                let mut payload = domain(number);
                payload.extend([0; 4]);
                Heard::FromClient(Frame::new(head(procedure, Kind::Call, serial), &payload))
            }
            Say::Reply { place, fails } => {
                let at = place.checked_rem(self.at_libvirtd.len())?;
                let (call, _) = self.at_libvirtd.remove(at);
                let status = if fails { Status::Error } else { Status::Ok };
                let payload = if fails { vec![0; 48] } else { domain(OWN) };
                Heard::FromUpstream(Frame::answer(&call, status, &payload))
            }
            Say::Stray { procedure, serial } => {
                self.at_libvirtd.retain(|(call, _)| (call.procedure, call.serial) != (procedure, serial));
                Heard::FromUpstream(Frame::new(head(procedure, Kind::Reply, serial), &domain(OWN)))
            }
            Say::Release(ticket) => {
                let known = self.submitted.values().any(|submitted| submitted.0 == ticket);
                if !known || !self.released.insert(Ticket(ticket)) {
                    return None;
                }
                Heard::Released(Ticket(ticket))
            }
            Say::Begin(ticket) => Heard::Begun(Ticket(ticket)),
            Say::Wave(ticket) => {
                if self.released.contains(&Ticket(ticket)) {
                    return None;
                }
                self.waved.insert(Ticket(ticket));
                Heard::Waved(Ticket(ticket))
            }
            Say::End(ticket, ending) => Heard::Ended(Ticket(ticket), id, Outcome::new(ending, Code::SameWish, "so")),
            Say::Refuse(ticket) => Heard::Refused(Ticket(ticket), Refusal::new(Code::QueueFull, "full")),
            Say::Resolve(ticket, found) => {
                let found = match found {
                    0 => Found::Nothing,
                    1 => Found::New(None),
                    2 => Found::Vm(vm(OWN)),
                    3 => Found::Disk(vm(OTHERS), "vda".to_owned()),
                    _ => Found::Unknown("who knows".to_owned()),
                };
                Heard::Resolved(Ticket(ticket), found)
            }
            Say::Enrolled(ticket) => Heard::Enrolled(Ticket(ticket)),
            Say::Ping { from_client } => {
                let ping = Frame::new(Header { program: KEEPALIVE, ..head(1, Kind::Event, 0) }, &[]);
                if from_client { Heard::FromClient(ping) } else { Heard::FromUpstream(ping) }
            }
            Say::Gone { client } => {
                self.gone = true;
                if client { Heard::ClientGone } else { Heard::UpstreamGone }
            }
        })
    }
}

fn play(mut desk: Desk, says: Vec<Say>) {
    let mut judge = Judge::default();
    for say in says {
        let Some(heard) = judge.heard(say) else { continue };
        let deeds = desk.talk.hear(heard, &desk.world);
        judge.look(&desk, &deeds);
    }
    let deeds = desk.talk.hear(Heard::ClientGone, &desk.world);
    judge.gone = true;
    judge.look(&desk, &deeds);
    let deeds = desk.talk.hear(Heard::TimeUp, &desk.world);
    judge.look(&desk, &deeds);
    assert!(judge.closed, "it ends");
    assert_eq!(desk.talk.held(), 0);
    let owed: Vec<_> = judge.released.difference(&judge.settled).collect();
    assert!(owed.is_empty(), "never settled: {owed:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_answered_twice_and_nothing_leaves_unreleased(says in proptest::collection::vec(say(), 1..120)) {
        play(Desk::new(), says);
    }

    #[test]
    fn nor_with_the_host_role(says in proptest::collection::vec(say(), 1..120)) {
        play(Desk::of_the_host(), says);
    }
}
