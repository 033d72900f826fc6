//! A client, libvirtd and the lanes say anything, in any order: what the machine between them does about it.
//!
//! The judge keeps its own books, from what it says and from the deeds alone. Lanes keep to their part: they release what
//! was submitted, once; libvirtd and the client keep to nothing.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use covirt::doors::rpc::conversation::{
    Around, CALLS_MAX, Conversation, Deed, Found, HELD_MAX, Heard, RELEASED_AT_ONCE, Standing, Ticket,
};
use covirt::doors::rpc::frame::{Frame, Header, KEEPALIVE, Kind, REMOTE, Status};
use covirt::doors::rpc::mapping::{Pace, Subject, Treatment, treatment};
use covirt::doors::rpc::procedures;
use covirt::doors::rpc::xdr::{Reader, Writer};
use covirt::model::{Code, CommandId, Ending, Outcome, Refusal};
use covirt::resolver::CallResult;

use super::input::Input;
use super::memory;
use super::seeds::{self, place, spoken};
use super::world::{GUESTS, MINE, World};

/// Our own calls have serials from here on.
const OWN_SERIALS: u32 = 0x8000_0000;
/// What may be kept of a call: its message, its beginning, what the mapping made of it, a place in each list.
const KEPT_FOR_EACH: usize = 4096;
const KEPT_MAX: usize = 32;

/// Whose call: replies name a call by its program and serial.
type Key = (u32, u32);

/// A call as its client sent it.
struct Asked {
    procedure: u32,
    size: usize,
    /// Whether it may reach libvirtd only by its lane's leave.
    needs_leave: bool,
}

impl Asked {
    const fn allowance(&self) -> usize {
        KEPT_FOR_EACH + KEPT_MAX * self.size
    }
}

#[derive(Default)]
struct Judge {
    /// The client's calls without an answer, and what may be kept of them together.
    asked: BTreeMap<Key, Asked>,
    allowance: usize,
    /// When which of them came; the machine tells lanes the time, and so which call it hands over.
    came: BTreeMap<i64, Key>,
    submitted: BTreeMap<Ticket, Key>,
    /// Those of them that have no answer.
    at_lanes: BTreeMap<Key, Ticket>,
    /// Those whose lane has no more to say of them.
    over: BTreeSet<Ticket>,
    released: BTreeSet<Ticket>,
    waved: BTreeSet<Ticket>,
    settled: BTreeSet<Ticket>,
    /// Every ticket that there was.
    tickets: Vec<Ticket>,
    /// What libvirtd has, with its ticket where a lane released it.
    at_libvirtd: Vec<(Header, Option<Ticket>)>,
    /// What libvirtd said and the machine may keep until a VM is enrolled. *Units*: bytes.
    replies: usize,
    /// A connection that only reads is libvirtd's to refuse.
    may_be_read_only: bool,
    /// libvirtd answers what it was asked: no reason to give anything up.
    is_right: bool,
    gone: bool,
    closed: bool,
}

impl Judge {
    fn look(&mut self, deeds: &[Deed]) {
        for deed in deeds {
            assert!(!self.closed || matches!(deed, Deed::Settle(..)), "{deed:?} after the end");
            match deed {
                Deed::ToClient(frame) => {
                    assert!(!self.gone, "to a client that has gone");
                    let head = frame.header();
                    if head.kind.is_reply() {
                        let key = (head.program, head.serial);
                        let asked = self.asked.remove(&key);
                        self.allowance -= asked.as_ref().map_or(0, Asked::allowance);
                        self.at_lanes.remove(&key);
                        let procedure = asked.map(|asked| asked.procedure);
                        assert_eq!(procedure, Some(head.procedure), "answered unasked or twice");
                    }
                    assert!(!head.kind.is_call(), "clients are not called");
                }
                Deed::ToUpstream(frame) if frame.header().kind.is_call() => self.forwarded(*frame.header()),
                Deed::Submit(ticket, submit) => {
                    let key = self.came[&submit.received.micros()];
                    assert!(self.asked.contains_key(&key), "handed over with its client gone");
                    assert!(self.submitted.insert(*ticket, key).is_none(), "submitted twice");
                    self.at_lanes.insert(key, *ticket);
                    assert!(submit.after.is_none_or(|after| self.submitted.contains_key(&after) && after < *ticket));
                    self.tickets.push(*ticket);
                }
                Deed::Settle(ticket, result) => {
                    assert!(!self.is_right || !matches!(result, CallResult::Lost(_)), "lost by an answer");
                    assert!(self.released.contains(ticket), "settled unreleased");
                    assert!(self.settled.insert(*ticket), "settled twice");
                }
                Deed::Cancel(ticket) => {
                    assert!(!self.released.contains(ticket), "taken back after its release");
                    assert!(self.submitted.contains_key(ticket), "taken back before it was handed over");
                }
                Deed::Resolve(ticket, _) | Deed::Enroll(ticket, _) => self.tickets.push(*ticket),
                Deed::DropClient(_) => self.gone = true,
                Deed::Close(_) => (self.closed, self.gone) = (true, true),
                Deed::ToUpstream(_) | Deed::Told(..) => {}
            }
        }
        let unanswered = if self.gone { 0 } else { self.asked.len() };
        assert!(unanswered <= CALLS_MAX, "{unanswered} calls without an answer");
    }

    fn forwarded(&mut self, head: Header) {
        let key = (head.program, head.serial);
        let mut leave = None;
        // Every other one is a call of our own.
        let asked = self.asked.get(&key);
        assert!(asked.is_some() || (head.program == REMOTE && head.serial >= OWN_SERIALS), "made for nobody");
        if let Some(asked) = asked {
            assert_eq!(asked.procedure, head.procedure);
            let ticket = self.at_lanes.get(&key).copied();
            let is_free = ticket.is_some_and(|ticket| self.released.contains(&ticket) || self.waved.contains(&ticket));
            assert!(is_free || !asked.needs_leave || self.may_be_read_only, "{head:?} was not released");
            leave = ticket.filter(|ticket| self.released.contains(ticket) && !self.settled.contains(ticket));
        }
        self.at_libvirtd.push((head, leave));
        let released = self.at_libvirtd.iter().filter(|(_, ticket)| ticket.is_some()).count();
        assert!(released <= RELEASED_AT_ONCE, "{released} at once");
    }
}

/// A connection and all around it.
struct Scene {
    talk: Conversation,
    world: World,
    judge: Judge,
    serial: u32,
    /// What the machine keeps. *Units*: bytes.
    kept: isize,
}

impl Scene {
    /// Has the machine hear something that is made in the telling, so that all of it can be weighed.
    fn hear(&mut self, make: impl FnOnce(&mut Judge, &World) -> Option<Heard>) {
        self.world.now.set(self.world.now.get() + 1);
        let Some(heard) = make(&mut self.judge, &self.world) else { return };
        // As large as it is, without the room that it was made in.
        let again = |frame: Frame| Frame::parse(frame.bytes().to_vec()).expect("a message");
        let heard = match heard {
            Heard::FromClient(frame) => Heard::FromClient(again(frame)),
            Heard::FromUpstream(frame) => Heard::FromUpstream(again(frame)),
            other => other,
        };
        let own = size_of(&heard);
        let before = memory::live();
        let deeds = self.talk.hear(heard, &self.world);
        let after = memory::live();
        self.judge.look(&deeds);
        self.judge.is_right = false;
        let looked = memory::live();
        drop(deeds);
        // What was heard was there before, and has been taken in or dropped.
        self.kept += after - before + memory::live() - looked + isize::try_from(own).expect("it is small");
        self.weigh();
    }

    fn weigh(&self) {
        let calls = self.judge.allowance;
        // Books have room for as many as they had.
        let most = calls + self.judge.replies + 64 * KEPT_FOR_EACH + 32 * self.judge.tickets.len();
        assert!(usize::try_from(self.kept).unwrap_or(0) <= most, "{} for {calls}", self.kept);
    }

    fn call(&mut self, (program, procedure): (u32, u32), kind: Kind, serial: Option<u32>, payload: &[u8]) {
        let serial = serial.unwrap_or_else(|| {
            self.serial += 1;
            self.serial
        });
        let payload = if kind.has_descriptors() { [&[0; 4], payload].concat() } else { payload.to_vec() };
        let now = self.world.now.get() + 1;
        self.hear(|judge, world| {
            let head = Header { program, version: 1, procedure, kind, serial, status: Status::Ok };
            let frame = Frame::new(head, &payload);
            judge.may_be_read_only |= (program, procedure) == (REMOTE, 1) && flags_of_open(frame.payload()) & 1 != 0;
            if !judge.gone {
                let needs_leave = matches!(
                    treatment(program, procedure, frame.payload()),
                    Ok(Treatment::Change { subject: Subject::Vm(vm), pace: Pace::Held, .. })
                        if world.standing(vm) == Standing::Own
                );
                let asked = Asked { procedure, size: frame.bytes().len(), needs_leave };
                // Of a serial that is in use the older call stays: the client is sent away.
                if let Entry::Vacant(place) = judge.asked.entry((program, serial)) {
                    judge.allowance += asked.allowance();
                    place.insert(asked);
                }
                judge.came.insert(now, (program, serial));
            }
            Some(Heard::FromClient(frame))
        });
    }
}

/// No flags where there are none to be read.
fn flags_of_open(payload: &[u8]) -> u32 {
    let mut reader = Reader::new(payload);
    reader.optional_string().and_then(|_| reader.u32()).unwrap_or(0)
}

/// What a message or a lane's word brings with it. *Units*: bytes.
fn size_of(heard: &Heard) -> usize {
    match heard {
        Heard::FromClient(frame) | Heard::FromUpstream(frame) => frame.bytes().len(),
        Heard::Ended(_, _, outcome) => outcome.reason.capacity(),
        Heard::Refused(_, refusal) => refusal.message.capacity(),
        Heard::Resolved(_, Found::Disk(_, text) | Found::Unknown(text)) => text.capacity(),
        _ => 0,
    }
}

/// Bytes say who says what.
pub fn judge(data: &[u8]) {
    let mut input = Input::new(data);
    let world = World::new(input.byte());
    // It is read at its first use, and is nothing that is kept for a connection.
    assert!(procedures::find(REMOTE, 1).is_some());
    let mut scene = Scene { talk: Conversation::new(), world, judge: Judge::default(), serial: 0, kept: 0 };
    let mut floods = 0;
    while !input.is_empty() {
        match input.byte() % 24 {
            0..=7 => {
                let (what, kind, serial, payload) = call(&mut input);
                scene.call(what, kind, serial, &payload);
            }
            8..=10 => reply(&mut scene, &mut input),
            11..=13 => release(&mut scene, &mut input),
            14 => lane(&mut scene, &mut input),
            15 | 16 => resolve(&mut scene, &mut input),
            17 => {
                let (from_client, frame) = (input.byte().is_multiple_of(2), other(&mut input));
                scene
                    .hear(|_, _| Some(if from_client { Heard::FromClient(frame) } else { Heard::FromUpstream(frame) }));
            }
            18 => stray(&mut scene, &mut input),
            // As many calls as a machine makes that has gone wild, which takes long: once.
            19 => {
                floods += 1;
                let (what, kind, _, payload) = call(&mut input);
                let count = match input.byte() {
                    255 if floods == 1 => CALLS_MAX + 1,
                    byte => usize::from(byte % 64),
                };
                for _ in 0..count {
                    scene.call(what, kind, None, &payload);
                }
            }
            20 => {
                let word = input.byte();
                scene.hear(|judge, _| {
                    judge.gone |= word < 16;
                    match word {
                        0..8 => Some(Heard::ClientGone),
                        8..16 => Some(Heard::UpstreamGone),
                        _ => None,
                    }
                });
            }
            _ => {
                let program = KEEPALIVE;
                let head =
                    Header { program, version: 1, procedure: 1, kind: Kind::Event, serial: 0, status: Status::Ok };
                let frame = Frame::new(head, &[]);
                let from_client = input.byte().is_multiple_of(2);
                scene
                    .hear(|_, _| Some(if from_client { Heard::FromClient(frame) } else { Heard::FromUpstream(frame) }));
            }
        }
        let held = if floods == 0 { scene.talk.held() } else { 0 };
        assert!(held <= HELD_MAX, "{held} are held");
    }
    assert!(scene.talk.held() <= HELD_MAX);
    scene.hear(|judge, _| {
        judge.gone = true;
        Some(Heard::ClientGone)
    });
    scene.hear(|_, _| Some(Heard::TimeUp));
    assert!(scene.judge.closed, "it ends");
    assert_eq!(scene.talk.held(), 0);
    let owed: Vec<_> = scene.judge.released.difference(&scene.judge.settled).collect();
    assert!(owed.is_empty(), "never settled: {owed:?}");
    let Scene { talk, judge, kept, .. } = scene;
    drop(judge);
    let before = memory::live();
    drop(talk);
    // To the byte, or the weighing was wrong.
    assert_eq!(memory::live() - before, -kept, "all that it kept was counted");
}

/// A call of any procedure, mostly with a VM in front.
fn call(input: &mut Input<'_>) -> ((u32, u32), Kind, Option<u32>, Vec<u8>) {
    const USUAL: [u32; 12] = [12, 28, 34, 196, 16, 24, 59, 8, 10, 1, 273, 208];
    let how = input.byte();
    let what = if how.is_multiple_of(2) { (REMOTE, input.one_of(&USUAL)) } else { seeds::procedure(input.short()) };
    let kind = if how / 2 % 8 == 7 { Kind::CallWithDescriptors } else { Kind::Call };
    let serial = (how / 16 % 4 == 3).then(|| {
        let serial = u32::from(input.byte());
        if serial < 240 { serial % 16 } else { OWN_SERIALS + serial % 16 }
    });
    let front = match how / 64 {
        0 | 1 => MINE.domain(),
        2 => input.one_of(&GUESTS).domain(),
        _ => Vec::new(),
    };
    let length = usize::from(input.byte());
    (what, kind, serial, [&front, input.take(length), &[0; 16][..usize::from(length < 64) * 16]].concat())
}

/// libvirtd's reply to something that it has.
fn reply(scene: &mut Scene, input: &mut Input<'_>) {
    let (at, how) = (usize::from(input.byte()), input.byte());
    let mut payload = match how % 4 {
        0 => input.one_of(&GUESTS).domain(),
        1 => Vec::new(),
        2 => error(input.one_of(&[1, 42, 55, 86, 38]), input.one_of(&["failed", "Domain not found: 'theirs'"])),
        _ => vec![0; 48],
    };
    let length = usize::from(input.byte());
    payload.extend(input.take(length));
    let status = if how % 4 == 2 || how >= 240 { Status::Error } else { Status::Ok };
    scene.hear(|judge, _| {
        let at = at.checked_rem(judge.at_libvirtd.len())?;
        let (call, _) = judge.at_libvirtd.remove(at);
        let frame = Frame::answer(&call, status, &payload);
        if judge.asked.contains_key(&(call.program, call.serial)) {
            judge.replies += frame.bytes().len();
        }
        judge.is_right = true;
        Some(Heard::FromUpstream(frame))
    });
}

fn error(code: i32, text: &str) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.i32(code).i32(10).optional_string(Some(text)).i32(2).raw(&[0; 28]);
    writer.into_bytes()
}

/// A reply that nobody asked for, or one to something that was asked long ago.
fn stray(scene: &mut Scene, input: &mut Input<'_>) {
    let (program, procedure) = seeds::procedure(input.short());
    let serial = if input.byte() < 128 { u32::from(input.byte()) } else { OWN_SERIALS + u32::from(input.byte()) };
    let head = Header { program, version: 1, procedure, kind: Kind::Reply, serial, status: Status::Ok };
    let length = usize::from(input.byte());
    let frame = Frame::new(head, input.take(length));
    scene.hear(|judge, _| {
        // Of a call of our own only the serial counts.
        let own = !judge.asked.contains_key(&(program, serial));
        judge.at_libvirtd.retain(|(call, _)| {
            (call.program, call.serial) != (program, serial) || (!own && call.procedure != procedure)
        });
        judge.replies += frame.bytes().len();
        Some(Heard::FromUpstream(frame))
    });
}

/// A message of any kind that is no call of the client's and no reply of libvirtd's that is looked at.
fn other(input: &mut Input<'_>) -> Frame {
    let (program, procedure) = seeds::procedure(input.short());
    let kind = input.one_of(&[Kind::Event, Kind::Stream, Kind::StreamHole]);
    let status = input.one_of(&[Status::Ok, Status::Error, Status::Continue]);
    let head = Header { program, version: 1, procedure, kind, serial: u32::from(input.byte()), status };
    let guest = if input.byte() < 128 { input.one_of(&GUESTS).domain() } else { Vec::new() };
    let length = usize::from(input.byte());
    Frame::new(head, &[&guest, input.take(length)].concat())
}

fn ticket(judge: &Judge, byte: u8) -> Ticket {
    let at = usize::from(byte).checked_rem(judge.tickets.len());
    at.map_or(Ticket(u64::from(byte)), |at| judge.tickets[judge.tickets.len() - 1 - at])
}

fn release(scene: &mut Scene, input: &mut Input<'_>) {
    let byte = input.byte();
    scene.hear(|judge, _| {
        let ticket = ticket(judge, byte);
        let known = judge.submitted.contains_key(&ticket);
        let known = known && !judge.waved.contains(&ticket) && !judge.over.contains(&ticket);
        (known && judge.released.insert(ticket)).then_some(Heard::Released(ticket))
    });
}

fn lane(scene: &mut Scene, input: &mut Input<'_>) {
    let (byte, what, ending) = (input.byte(), input.byte() % 5, input.byte());
    let ending = [Ending::Done, Ending::Coalesced, Ending::Denied, Ending::Cancelled][usize::from(ending % 4)];
    scene.hear(|judge, _| {
        let ticket = ticket(judge, byte);
        let id = CommandId(uuid::Uuid::from_u128(1));
        Some(match what {
            0 => Heard::Begun(ticket),
            1 => {
                let is_over = judge.released.contains(&ticket) || judge.over.contains(&ticket);
                if is_over || !judge.submitted.contains_key(&ticket) {
                    return None;
                }
                judge.waved.insert(ticket);
                Heard::Waved(ticket)
            }
            2 if judge.over.insert(ticket) => Heard::Ended(ticket, id, Outcome::new(ending, Code::SameWish, "so")),
            3 if judge.over.insert(ticket) => Heard::Refused(ticket, Refusal::new(Code::QueueFull, "full")),
            2 | 3 => return None,
            _ => Heard::Enrolled(ticket),
        })
    });
}

fn resolve(scene: &mut Scene, input: &mut Input<'_>) {
    let (byte, what, guest) = (input.byte(), input.byte() % 6, input.one_of(&GUESTS));
    scene.hear(|judge, _| {
        let found = match what {
            0 => Found::Nothing,
            1 => Found::New(None),
            2 => Found::New(Some(guest.vm)),
            3 => Found::Vm(guest.vm),
            4 => Found::Disk(guest.vm, "vda".to_owned()),
            _ => Found::Unknown("who knows".to_owned()),
        };
        Some(Heard::Resolved(ticket(judge, byte), found))
    });
}

/// A call of each usual kind, released and answered; each recorded call with its reply; a flood.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for who in 0..3 {
        for usual in 0..12 {
            // Suspended, resumed, and between them something else; then released one after the other.
            let talk = [
                &[who, 0, 0, 2, 0, 0, 0, usual, 0, 15, 0, 3, 0, 0, 0, 1, 0][..],
                &[11, 0, 11, 1, 11, 2, 8, 0, 1, 0, 8, 0, 2, 0, 0, 0, 14, 0, 4, 0, 8, 1, 0, 0, 0, 14, 1, 2, 0, 20, 0],
            ];
            seeds.push(talk.concat());
        }
        seeds.push(vec![who, 19, 0, 2, 0, 255, 11, 0, 11, 1, 11, 2, 11, 3, 11, 4, 8, 0, 1, 0, 20, 8]);
    }
    for (who, spoken) in (0..3).cycle().zip(spoken().filter(|spoken| spoken.kind != "event")) {
        let [high, low] = place(spoken.program, spoken.procedure);
        let length = u8::try_from(spoken.call.len()).unwrap_or(u8::MAX);
        let call = [&[who, 0, 193, high, low, length], &spoken.call[..usize::from(length)]].concat();
        let length = u8::try_from(spoken.answer.len()).unwrap_or(u8::MAX);
        let answer = [&[15, 0, 3, 0, 11, 0, 8, 0, 1, length], &spoken.answer[..usize::from(length)]].concat();
        seeds.push([call, answer, vec![14, 0, 4]].concat());
    }
    seeds
}
