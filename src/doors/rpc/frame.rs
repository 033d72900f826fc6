//! One message of libvirt's RPC: a length that counts itself, a header of six words, a payload, and descriptors that
//! follow behind it.
//!
//! *Source*: libvirt's "RPC protocol" page, `virnetprotocol.x`.

use std::os::fd::OwnedFd;

use super::xdr::Writer;

/// libvirt's own calls.
pub const REMOTE: u32 = 0x2000_8086;
/// What only the QEMU driver has.
pub const QEMU: u32 = 0x2000_8087;
/// What only the LXC driver has.
pub const LXC: u32 = 0x2000_8088;
/// Signs of life.
pub const KEEPALIVE: u32 = 0x6b65_6570;

/// The most that a message's length may say. *Units*: bytes. *Source*: `VIR_NET_MESSAGE_MAX` and the length itself.
pub const LENGTH_MAX: u32 = 33_554_432 + 4;
/// The most descriptors with one message. *Source*: `VIR_NET_MESSAGE_NUM_FDS_MAX`.
pub const DESCRIPTORS_MAX: u32 = 32;
/// The length word and the header. *Units*: bytes.
pub const HEAD: usize = 28;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Call,
    Reply,
    /// An event, or a sign of life.
    Event,
    Stream,
    CallWithDescriptors,
    ReplyWithDescriptors,
    /// A hole in a sparse stream.
    StreamHole,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Call,
        Self::Reply,
        Self::Event,
        Self::Stream,
        Self::CallWithDescriptors,
        Self::ReplyWithDescriptors,
        Self::StreamHole,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    fn of(number: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// Whether descriptors follow the message, their number being the payload's first word.
    #[must_use]
    pub const fn has_descriptors(self) -> bool {
        matches!(self, Self::CallWithDescriptors | Self::ReplyWithDescriptors)
    }

    /// Whether it asks for a reply.
    #[must_use]
    pub const fn is_call(self) -> bool {
        matches!(self, Self::Call | Self::CallWithDescriptors)
    }

    /// Whether it answers a call.
    #[must_use]
    pub const fn is_reply(self) -> bool {
        matches!(self, Self::Reply | Self::ReplyWithDescriptors)
    }

    /// Whether it belongs to a stream.
    #[must_use]
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Stream | Self::StreamHole)
    }
}

/// How a reply or a stream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Ok,
    /// The payload is libvirt's error.
    Error,
    /// More of the stream follows.
    Continue,
}

impl Status {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    fn of(number: u32) -> Option<Self> {
        [Self::Ok, Self::Error, Self::Continue].get(usize::try_from(number).ok()?).copied()
    }
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub program: u32,
    pub version: u32,
    pub procedure: u32,
    pub kind: Kind,
    /// Which call a reply answers, and which stream a packet is of.
    pub serial: u32,
    pub status: Status,
}

/// Why bytes are no message: the connection cannot be trusted to be in step any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is less than a header or more than libvirt takes.
    #[error("a message of {0} bytes is announced; one has {HEAD} to {LENGTH_MAX}")]
    Length(u32),
    /// A kind that no libvirt has.
    #[error("a message of kind {0} is none of libvirt's")]
    Kind(u32),
    /// A status that no libvirt has.
    #[error("a message of status {0} is none of libvirt's")]
    Status(u32),
    /// More descriptors than libvirt takes, or a message too short to say how many.
    #[error("a message announces descriptors, but not from 0 to {DESCRIPTORS_MAX}")]
    Descriptors,
}

/// How long a whole message is, from its first word.
///
/// *Errors*: [`FrameError::Length`].
pub fn length_of(word: [u8; 4]) -> Result<usize, FrameError> {
    let length = u32::from_be_bytes(word);
    match usize::try_from(length) {
        Ok(whole) if whole >= HEAD && length <= LENGTH_MAX => Ok(whole),
        Ok(_) | Err(_) => Err(FrameError::Length(length)),
    }
}

/// A whole message.
#[derive(Debug)]
pub struct Frame {
    header: Header,
    /// All of it, the length word included.
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Frame {
    /// A message of which all bytes are there. Its descriptors come behind it: [`Self::descriptors_due`] says how many.
    ///
    /// *Errors*: [`FrameError`].
    pub fn parse(bytes: Vec<u8>) -> Result<Self, FrameError> {
        let word = |at: usize| {
            let word = bytes.get(at * 4..at * 4 + 4).and_then(|bytes| bytes.try_into().ok());
            word.map(u32::from_be_bytes).ok_or(FrameError::Length(u32::try_from(bytes.len()).unwrap_or(u32::MAX)))
        };
        let (kind, status) = (word(4)?, word(6)?);
        let header = Header {
            program: word(1)?,
            version: word(2)?,
            procedure: word(3)?,
            kind: Kind::of(kind).ok_or(FrameError::Kind(kind))?,
            serial: word(5)?,
            status: Status::of(status).ok_or(FrameError::Status(status))?,
        };
        let frame = Self { header, bytes, descriptors: Vec::new() };
        if header.kind.has_descriptors() && frame.announced().is_none_or(|count| count > DESCRIPTORS_MAX) {
            return Err(FrameError::Descriptors);
        }
        Ok(frame)
    }

    /// A message of our own, without descriptors.
    #[must_use]
    pub fn new(header: Header, payload: &[u8]) -> Self {
        let mut writer = Writer::new();
        writer.count(HEAD + payload.len()).u32(header.program).u32(header.version).u32(header.procedure);
        writer.u32(header.kind.number()).u32(header.serial).u32(header.status.number()).raw(payload);
        Self { header, bytes: writer.into_bytes(), descriptors: Vec::new() }
    }

    /// The answer to a call, made by us.
    #[must_use]
    pub fn answer(to: &Header, status: Status, payload: &[u8]) -> Self {
        Self::new(Header { kind: Kind::Reply, status, ..*to }, payload)
    }

    /// The same message with another payload; its descriptors stay with it.
    #[must_use]
    pub fn with_payload(self, payload: &[u8]) -> Self {
        let count = self.announced().filter(|_| self.header.kind.has_descriptors());
        let mut whole = Writer::new();
        if let Some(count) = count {
            whole.u32(count);
        }
        whole.raw(payload);
        Self { descriptors: self.descriptors, ..Self::new(self.header, &whole.into_bytes()) }
    }

    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// All of it, as it goes over the wire.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What follows the header, without the number of descriptors.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        let from = if self.header.kind.has_descriptors() { HEAD + 4 } else { HEAD };
        self.bytes.get(from..).unwrap_or_default()
    }

    fn announced(&self) -> Option<u32> {
        self.bytes.get(HEAD..HEAD + 4).and_then(|word| word.try_into().ok()).map(u32::from_be_bytes)
    }

    /// How many descriptors have still to come.
    #[must_use]
    pub fn descriptors_due(&self) -> usize {
        if !self.header.kind.has_descriptors() {
            return 0;
        }
        let announced = self.announced().and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        announced.saturating_sub(self.descriptors.len())
    }

    /// One more of its descriptors has come.
    pub fn add_descriptor(&mut self, descriptor: OwnedFd) {
        self.descriptors.push(descriptor);
    }

    #[must_use]
    pub fn descriptors(&self) -> &[OwnedFd] {
        &self.descriptors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: Kind) -> Header {
        Header { program: REMOTE, version: 1, procedure: 12, kind, serial: 9, status: Status::Ok }
    }

    #[test]
    fn what_is_made_is_read_back() {
        let made = Frame::new(header(Kind::Call), b"abcd");
        assert_eq!(made.bytes().len(), 32);
        assert_eq!(length_of(made.bytes()[..4].try_into().unwrap()), Ok(32));
        let read = Frame::parse(made.bytes().to_vec()).unwrap();
        assert_eq!((read.header(), read.payload()), (&header(Kind::Call), &b"abcd"[..]));
    }

    #[test]
    fn a_length_that_libvirt_would_not_take_is_refused() {
        for length in [0, 3, 27, LENGTH_MAX + 1, u32::MAX] {
            assert_eq!(length_of(length.to_be_bytes()), Err(FrameError::Length(length)));
        }
        assert_eq!(length_of(LENGTH_MAX.to_be_bytes()), Ok(33_554_436));
    }

    #[test]
    fn kinds_statuses_and_numbers_of_descriptors_that_libvirt_has_not_are_refused() {
        let change = |word: usize, value: u32| {
            let mut bytes = Frame::new(header(Kind::CallWithDescriptors), &[0, 0, 0, 1]).bytes().to_vec();
            bytes[word * 4..word * 4 + 4].copy_from_slice(&value.to_be_bytes());
            Frame::parse(bytes)
        };
        assert_eq!(change(4, 7).unwrap_err(), FrameError::Kind(7));
        assert_eq!(change(6, 3).unwrap_err(), FrameError::Status(3));
        assert_eq!(change(7, 33).unwrap_err(), FrameError::Descriptors);
        assert_eq!(
            Frame::parse(Frame::new(header(Kind::CallWithDescriptors), &[]).bytes().to_vec()).unwrap_err(),
            FrameError::Descriptors
        );
        assert_eq!(change(7, 32).unwrap().descriptors_due(), 32);
    }

    #[test]
    fn another_payload_keeps_the_number_of_descriptors() {
        let frame = Frame::new(header(Kind::ReplyWithDescriptors), &[0, 0, 0, 2, 9, 9, 9, 9]);
        let changed = frame.with_payload(b"wxyz");
        assert_eq!((changed.payload(), changed.descriptors_due()), (&b"wxyz"[..], 2));
    }
}
