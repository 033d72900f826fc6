//! What the tests of reading, writing and passing on share: messages, and a peer that sends them as libvirt does.

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use proptest::prelude::*;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::frame::{Frame, Header, KEEPALIVE, Kind, QEMU, REMOTE, Status};

/// For everything that happens at once on an idle machine.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// Two connected sockets; reading from them gives up after a while.
pub(super) fn pair() -> (UnixStream, UnixStream) {
    let (one, other) = UnixStream::pair().unwrap();
    for socket in [&one, &other] {
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.set_write_timeout(Some(SOON)).unwrap();
    }
    (one, other)
}

pub(super) fn header(kind: Kind, serial: u32) -> Header {
    Header { program: REMOTE, version: 1, procedure: 12, kind, serial, status: Status::Ok }
}

/// A message's bytes, its number of descriptors in front of the payload when its kind has them.
pub(super) fn message(header: Header, descriptors: u32, payload: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    if header.kind.has_descriptors() {
        whole.extend(descriptors.to_be_bytes());
    }
    whole.extend(payload);
    Frame::new(header, &whole).bytes().to_vec()
}

/// A file whose size tells it from others.
pub(super) fn file(size: u64) -> OwnedFd {
    let file = tempfile::tempfile().unwrap();
    file.set_len(size).unwrap();
    file.into()
}

pub(super) fn size(descriptor: &OwnedFd) -> u64 {
    std::fs::File::from(descriptor.try_clone().unwrap()).metadata().unwrap().size()
}

/// Sends bytes with descriptors at them.
pub(super) fn send_with(socket: &UnixStream, bytes: &[u8], descriptors: &[OwnedFd]) {
    assert_eq!(try_send_with(socket, bytes, descriptors), Ok(bytes.len()));
}

/// The same to a peer that may be gone.
pub(super) fn try_send_with(
    socket: &UnixStream,
    bytes: &[u8],
    descriptors: &[OwnedFd],
) -> Result<usize, rustix::io::Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let rights: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    assert!(control.push(SendAncillaryMessage::ScmRights(&rights)));
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
}

/// A message and the sizes of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) bytes: Vec<u8>,
    pub(super) files: Vec<u64>,
}

impl Sample {
    pub(super) fn of(frame: &Frame) -> Self {
        Self { bytes: frame.bytes().to_vec(), files: frame.descriptors().iter().map(size).collect() }
    }

    /// Sends it in pieces, as a peer does whose writes are cut anywhere.
    pub(super) fn send(&self, mut socket: &UnixStream, pieces: &mut impl Iterator<Item = usize>) {
        let mut rest = &self.bytes[..];
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(pieces.next().unwrap_or(rest.len()).clamp(1, rest.len()));
            socket.write_all(piece).unwrap();
            rest = later;
        }
        for size in &self.files {
            send_with(socket, &[0], &[file(*size)]);
        }
    }
}

/// Reads as libvirt does: the message plainly, and then every descriptor with its byte.
pub(super) fn receive(mut socket: &UnixStream) -> Option<Sample> {
    let mut bytes = vec![0; 4];
    socket.read_exact(&mut bytes).ok()?;
    let length = u32::from_be_bytes(bytes[..].try_into().unwrap());
    bytes.resize(usize::try_from(length).unwrap(), 0);
    socket.read_exact(&mut bytes[4..]).unwrap();
    let due = Frame::parse(bytes.clone()).unwrap().descriptors_due();
    let files = (0..due).map(|_| size(&receive_descriptor(socket))).collect();
    Some(Sample { bytes, files })
}

fn receive_descriptor(socket: &UnixStream) -> OwnedFd {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [1];
    let received =
        recvmsg(socket, &mut [std::io::IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    assert_eq!((received.bytes, byte), (1, [0]));
    let mut found: Vec<OwnedFd> = control
        .drain()
        .flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(rights) => rights.collect::<Vec<_>>(),
            _ => panic!("nothing but descriptors is awaited"),
        })
        .collect();
    assert_eq!(found.len(), 1, "one descriptor comes with each byte");
    found.remove(0)
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    // Mostly small, sometimes larger than what is read at once.
    let any = |sizes| (sizes, any::<u8>()).prop_map(|(size, seed): (usize, u8)| scramble(size, seed));
    prop_oneof![8 => any(0..200_usize), 2 => any(0..20_000), 1 => any(0..300_000)]
}

/// Bytes that differ from place to place.
pub(super) fn scramble(size: usize, seed: u8) -> Vec<u8> {
    (0..size).map(|at| (at as u64).wrapping_mul(0x9e37_79b9).to_be_bytes()[4] ^ seed).collect()
}

/// Any message.
pub(super) fn sample() -> impl Strategy<Value = Sample> {
    let kinds = prop::sample::select(vec![
        Kind::Call,
        Kind::Reply,
        Kind::Event,
        Kind::Stream,
        Kind::StreamHole,
        Kind::CallWithDescriptors,
        Kind::ReplyWithDescriptors,
    ]);
    let programs = prop::sample::select(vec![REMOTE, QEMU, KEEPALIVE, 7]);
    let statuses = prop::sample::select(vec![Status::Ok, Status::Error, Status::Continue]);
    let files = prop_oneof![3 => prop::collection::vec(0..1000_u64, 0..4), 1 => prop::collection::vec(0..1000_u64, 32)];
    (kinds, programs, statuses, any::<[u32; 3]>(), payload(), files).prop_map(
        |(kind, program, status, [version, procedure, serial], payload, files)| {
            let files = if kind.has_descriptors() { files } else { Vec::new() };
            let header = Header { program, version, procedure, kind, serial, status };
            Sample { bytes: message(header, u32::try_from(files.len()).unwrap(), &payload), files }
        },
    )
}
