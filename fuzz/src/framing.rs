//! Bytes and descriptors, cut anywhere, through a socket into the reading half of a connection.

use std::collections::BTreeMap;
use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::LazyLock;

use covirt::doors::rpc::frame::{Frame, Header, Kind, LENGTH_MAX, REMOTE, Status};
use covirt::doors::rpc::{Filled, Intake, ReadFrameError};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::input::Input;
use super::memory;
use super::seeds;

/// What one run may send. *Units*: bytes. Several times what is read at once, and what a large message is given at first.
const SENT_MAX: usize = 1536 * 1024;
/// How many writes of one run are cut as they are told to; the rest is sent at once, so that a run stays short.
const PIECES_MAX: usize = 192;
/// What a socket takes for certain while nobody reads. *Units*: bytes.
const AT_ONCE: usize = 32 * 1024;
/// What the intake has for small messages, and what it gives a large one at first. *Units*: bytes.
const STAGE: usize = 16 * 1024;
const STEP: usize = 264 * 1024;
/// For descriptors and the lists that hold them, and what the socket calls need. *Units*: bytes.
const BESIDE: usize = 32 * 1024;

/// Files that are told from each other by their inode.
static FILES: LazyLock<Vec<(u64, OwnedFd)>> = LazyLock::new(|| {
    let made = (0..4).map(|_| {
        let file = rustix::fs::memfd_create("covirt-fuzz", rustix::fs::MemfdFlags::CLOEXEC).expect("a file in memory");
        (inode(&file), file)
    });
    made.collect()
});

fn inode(file: impl AsFd) -> u64 {
    rustix::fs::fstat(file).expect("it is open").st_ino
}

/// How the reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Closed,
    Fault,
}

/// One end sends, the other is the intake; and what was sent.
struct Wire {
    peer: UnixStream,
    socket: UnixStream,
    intake: Intake,
    /// All bytes, and what descriptors came with which of them.
    sent: Vec<u8>,
    files: BTreeMap<usize, Vec<u64>>,
    pieces: usize,
    /// Up to where it came out again.
    out: usize,
    end: End,
    /// What the intake has. *Units*: bytes.
    kept: isize,
}

impl Wire {
    fn new() -> Self {
        let (peer, socket) = UnixStream::pair().expect("a pair of sockets: none is left open");
        let before = memory::live();
        let intake = Intake::new();
        let kept = memory::live() - before;
        let sent = Vec::with_capacity(AT_ONCE);
        Self { peer, socket, intake, sent, files: BTreeMap::new(), pieces: 0, out: 0, end: End::Open, kept }
    }

    /// Sends bytes in pieces; the intake reads after each.
    fn send(&mut self, mut bytes: &[u8], piece: usize) {
        while !bytes.is_empty() && self.end == End::Open && self.sent.len() < SENT_MAX {
            self.pieces += 1;
            let piece = if self.pieces < PIECES_MAX { piece.clamp(1, AT_ONCE) } else { AT_ONCE };
            let (now, later) = bytes.split_at(piece.min(bytes.len()));
            self.peer.write_all(now).expect("there is room");
            self.sent.extend(now);
            bytes = later;
            self.read();
        }
    }

    /// Bytes of which the last has descriptors.
    fn send_with(&mut self, bytes: &[u8], count: usize) {
        if self.end != End::Open || bytes.is_empty() {
            return;
        }
        let files: Vec<_> = FILES.iter().cycle().skip(self.sent.len() % FILES.len()).take(count).collect();
        let rights: Vec<_> = files.iter().map(|(_, file)| file.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&rights)));
        let taken = sendmsg(&self.peer, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL);
        assert_eq!(taken, Ok(bytes.len()));
        self.sent.extend(bytes);
        if count > 0 {
            self.files.insert(self.sent.len() - 1, files.iter().map(|(inode, _)| *inode).collect());
        }
        self.read();
    }

    /// Reads all that is there.
    fn read(&mut self) {
        while self.end == End::Open {
            let (before, unread) = (memory::live(), self.sent.len() - self.out);
            let (next, peak) = memory::peak_of(|| self.intake.next());
            match next {
                Ok(Some(frame)) => {
                    self.check(&frame);
                    drop(frame);
                    self.weigh(before, peak, unread);
                    continue;
                }
                Ok(None) => self.weigh(before, peak, unread),
                Err(error) => return self.fault(&error),
            }
            let before = memory::live();
            let (filled, peak) = memory::peak_of(|| self.intake.fill(&self.socket));
            self.weigh(before, peak, unread);
            match filled {
                Ok(Filled::Some | Filled::All) => {}
                Ok(Filled::Nothing) => return,
                Ok(Filled::Closed) => {
                    assert_eq!(self.out, self.sent.len(), "it closed with something left");
                    self.end = End::Closed;
                }
                Err(error) => return self.fault(&error),
            }
        }
    }

    fn fault(&mut self, error: &ReadFrameError) {
        assert!(!matches!(error, ReadFrameError::System(_) | ReadFrameError::LostDescriptors), "{error:?}");
        self.end = End::Fault;
    }

    /// Room is made only for what came: at most as much again.
    fn weigh(&mut self, before: isize, peak: usize, unread: usize) {
        let kept_before = usize::try_from(self.kept).expect("more than nothing");
        self.kept += memory::live() - before;
        // A message that is given away is a copy of what the stage had; one that grows is there twice while it does.
        let most = STAGE + 3 * unread.max(STEP) + BESIDE;
        assert!(kept_before + peak <= most, "{kept_before} and {peak} for {unread}");
    }

    /// What came out is what went in, to the byte and the descriptor.
    fn check(&mut self, frame: &Frame) {
        let bytes = frame.bytes();
        let from = self.out;
        assert_eq!(self.sent.get(from..from + bytes.len()), Some(bytes), "at {from}");
        self.out += bytes.len();
        assert!(bytes.len() <= LENGTH_MAX as usize);
        assert!(self.files.range(from..self.out).next().is_none(), "descriptors came with a message's own bytes");
        for file in frame.descriptors() {
            assert_eq!(self.files.get(&self.out), Some(&vec![inode(file)]), "the descriptor at {}", self.out);
            self.out += 1;
        }
        assert_eq!(frame.descriptors_due(), 0);
        let again = Frame::parse(bytes.to_vec()).expect("it was understood once");
        assert_eq!((again.header(), again.payload()), (frame.header(), frame.payload()));
        let count = bytes.len() - 28 - frame.payload().len();
        let made = Frame::new(*frame.header(), bytes.get(28..).unwrap_or_default());
        assert!(made.bytes() == bytes && count == if frame.header().kind.has_descriptors() { 4 } else { 0 });
    }
}

/// Bytes say what is sent: messages, anything else, descriptors; in which pieces; and whether it ends.
pub fn judge(data: &[u8]) {
    let mut input = Input::new(data);
    let mut wire = Wire::new();
    while !input.is_empty() && wire.end == End::Open {
        let deed = input.byte();
        match deed % 8 {
            0 => {
                let count = usize::from(input.byte());
                wire.send(input.take(count), usize::MAX);
            }
            1 => {
                let (count, piece) = (usize::from(input.byte()), usize::from(input.byte()));
                wire.send(input.take(count), piece);
            }
            // A message that is whole, with as many descriptors as it says, or others.
            2..=4 => {
                let (bytes, announced) = message(&mut input);
                let piece = usize::from(input.short());
                wire.send(&bytes, if piece == 0 { usize::MAX } else { piece });
                for _ in 0..announced.min(40) {
                    wire.send_with(&[0], if deed >= 128 { usize::from(input.byte() % 3) } else { 1 });
                }
            }
            5 => {
                let count = usize::from(input.byte()) % 8;
                let bytes = input.take(count);
                wire.send_with(bytes, usize::from(input.byte()) % 64);
            }
            6 => wire.send(&vec![input.byte(); usize::from(input.short()) * 4], usize::from(input.short())),
            // Only the beginning of a large message.
            _ => wire.send(&input.word().to_be_bytes(), usize::MAX),
        }
    }
    if wire.end == End::Open {
        wire.peer.shutdown(std::net::Shutdown::Write).expect("it is open");
        wire.read();
    }
    assert_ne!(wire.end, End::Open, "the end is seen");
}

fn message(input: &mut Input<'_>) -> (Vec<u8>, usize) {
    let kind = input.one_of(&[
        Kind::Call,
        Kind::Reply,
        Kind::Event,
        Kind::Stream,
        Kind::StreamHole,
        Kind::CallWithDescriptors,
        Kind::ReplyWithDescriptors,
    ]);
    let status = input.one_of(&[Status::Ok, Status::Error, Status::Continue]);
    let head = Header { program: REMOTE, version: 1, procedure: input.word(), kind, serial: input.word(), status };
    let (announced, length) = (if kind.has_descriptors() { input.byte() % 34 } else { 0 }, input.short());
    let mut payload = u32::from(announced).to_be_bytes()[..if kind.has_descriptors() { 4 } else { 0 }].to_vec();
    // Mostly such as are read at once, some that are larger, up to half a megabyte; bytes that differ from place to place.
    let length = if length < 0xf000 { usize::from(length % 20_000) } else { usize::from(length - 0xf000) * 128 };
    payload.extend((0..length).map(|at| at.wrapping_mul(0x9e37_79b9).to_be_bytes()[6]));
    (Frame::new(head, &payload).bytes().to_vec(), usize::from(announced))
}

/// A few messages of each kind, cut and uncut; and the recording, each message as bytes.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for kind in 0..7_u8 {
        for (length, piece) in [(0_u16, 0_u16), (40, 1), (16_000, 999), (0xf800, 5000)] {
            let mut seed = Vec::new();
            for _ in 0..3 {
                seed.extend([2, kind, 0, 0, 0, 0, 12, 0, 0, 0, 1]);
                if kind >= 5 {
                    seed.push(2);
                }
                seed.extend([length.to_be_bytes(), piece.to_be_bytes()].concat());
            }
            seeds.push(seed);
        }
    }
    for spoken in seeds::spoken().filter(|spoken| spoken.call.len() < 200) {
        let head = Header {
            program: spoken.program,
            version: 1,
            procedure: spoken.procedure,
            kind: Kind::Call,
            serial: 1,
            status: Status::Ok,
        };
        let bytes = Frame::new(head, &spoken.call).bytes().to_vec();
        seeds.push([&[1, u8::try_from(bytes.len()).unwrap_or(u8::MAX), 7], &bytes[..]].concat());
    }
    seeds
}
