//! Reads whole messages, with their descriptors, from one end of a connection.
//!
//! The stream is messages, one behind the other; behind a message that announces descriptors comes one byte for each, sent
//! with it and counted by no length. A read ends with the byte that descriptors came with, and libvirt sends each alone
//! with its byte: so they belong to the last byte of the read, and any that belong elsewhere are a fault.
//!
//! Guarantees: messages come out whole, in order, each with its own descriptors; what is kept is one unfinished message and
//! [`STAGE`] bytes more, and room for a message is made only as its bytes arrive. After a fault there is no way back into
//! step: the connection has to end.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

use super::frame::{Frame, FrameError, length_of};

/// What is read at once when no large message is under way; all but large messages are in it as a whole. *Units*: bytes.
const STAGE: usize = 16 * 1024;
/// How much room a large message is given at first; a packet of a stream fits. *Units*: bytes.
const STEP: usize = 264 * 1024;
/// The most descriptors that the kernel gives with one byte. *Source*: `SCM_MAX_FD`.
const DESCRIPTORS_AT_ONCE: usize = 253;

/// Why what came is not a sequence of messages.
#[derive(Debug, thiserror::Error)]
pub enum ReadFrameError {
    /// Bytes that no message begins with.
    #[error("what came is no message of libvirt's")]
    Frame(#[from] FrameError),
    /// Descriptors without a message that announced them, or more with a byte than one.
    #[error("descriptors came with bytes that they do not belong to")]
    StrayDescriptors,
    /// A message's descriptor did not come with its byte.
    #[error("a message announced a descriptor that did not come")]
    NoDescriptor,
    /// The system could not hand all descriptors over.
    #[error("descriptors were lost on the way: this process may have too many open")]
    LostDescriptors,
    /// The other end stopped in the middle of a message.
    #[error("the connection ended in the middle of a message")]
    Half,
    /// The system refused.
    #[error("the connection cannot be read")]
    System(#[source] io::Error),
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// Bytes, and there may be more.
    Some,
    /// Bytes, and there were no more at that moment.
    All,
    /// There was nothing.
    Nothing,
    /// The other end has closed, between two messages.
    Closed,
}

/// A large message of which bytes are missing.
#[derive(Debug)]
struct Unfinished {
    /// Room for what came and for some of what is to come.
    bytes: Vec<u8>,
    filled: usize,
    length: usize,
}

impl Unfinished {
    /// Room for the next bytes; never much more than has come already.
    fn room(&mut self) -> (&mut [u8], Reach) {
        if self.filled == self.bytes.len() {
            let more = self.length.min(STEP.max(self.filled * 2));
            self.bytes.reserve_exact(more - self.filled);
            self.bytes.resize(more, 0);
        }
        let reach = if self.bytes.len() == self.length { Reach::ToTheEnd } else { Reach::NotToTheEnd };
        (self.bytes.get_mut(self.filled..).unwrap_or_default(), reach)
    }
}

/// Whether there is room for the rest of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    ToTheEnd,
    NotToTheEnd,
}

/// One end's incoming half.
#[derive(Debug)]
pub struct Intake {
    stage: Box<[u8]>,
    /// What of the stage was read and belongs to no message yet.
    begin: usize,
    end: usize,
    unfinished: Option<Unfinished>,
    /// A message that is whole but for its descriptors.
    waiting: Option<Frame>,
    /// Where in the stream the next byte to be understood is.
    position: u64,
    /// Descriptors, with the place in the stream of the byte they came with.
    arrived: VecDeque<(u64, OwnedFd)>,
}

impl Default for Intake {
    fn default() -> Self {
        Self::new()
    }
}

impl Intake {
    /// Of a connection on which nothing has come yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            stage: vec![0; STAGE].into_boxed_slice(),
            begin: 0,
            end: 0,
            unfinished: None,
            waiting: None,
            position: 0,
            arrived: VecDeque::new(),
        }
    }

    /// Reads once. [`Self::next`] must have said that there is no whole message.
    ///
    /// *Errors*: [`ReadFrameError`].
    pub fn fill(&mut self, socket: impl AsFd) -> Result<Filled, ReadFrameError> {
        self.stage.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        let came_before = self.position + self.kept();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_AT_ONCE))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let stage = self.stage.get_mut(self.end..).unwrap_or_default();
        let (straight, offered, received) = match &mut self.unfinished {
            Some(unfinished) => {
                let (room, reach) = unfinished.room();
                let straight = room.len();
                // What is read into the stage must be behind the message.
                let staged = if reach == Reach::ToTheEnd { stage } else { &mut [] };
                let offered = straight + staged.len();
                let mut into = [IoSliceMut::new(room), IoSliceMut::new(staged)];
                (straight, offered, recvmsg(socket, &mut into, &mut control, FLAGS))
            }
            None => (0, stage.len(), recvmsg(socket, &mut [IoSliceMut::new(stage)], &mut control, FLAGS)),
        };
        let received = match received.map_err(io::Error::from) {
            Ok(received) => received,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::WouldBlock => Ok(Filled::Nothing),
                    io::ErrorKind::Interrupted => Ok(Filled::Some),
                    // The other end is gone with what we had sent it unread; to it, that was the end.
                    io::ErrorKind::ConnectionReset => self.closed(),
                    _ => Err(ReadFrameError::System(error)),
                };
            }
        };
        if received.bytes == 0 {
            return self.closed();
        }
        let last = came_before + received.bytes as u64 - 1;
        let before = self.arrived.len();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.arrived.extend(descriptors.map(|descriptor| (last, descriptor)));
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(ReadFrameError::LostDescriptors);
        }
        let into_unfinished = received.bytes.min(straight);
        if let Some(unfinished) = &mut self.unfinished {
            unfinished.filled += into_unfinished;
        }
        self.end += received.bytes - into_unfinished;
        // A read also ends behind a byte with descriptors; only one that ends without them has emptied the socket.
        let is_short = received.bytes < offered && self.arrived.len() == before;
        Ok(if is_short { Filled::All } else { Filled::Some })
    }

    fn closed(&self) -> Result<Filled, ReadFrameError> {
        let is_between = self.kept() == 0 && self.waiting.is_none();
        if is_between { Ok(Filled::Closed) } else { Err(ReadFrameError::Half) }
    }

    /// How many bytes have come of what is not understood yet.
    fn kept(&self) -> u64 {
        let unfinished = self.unfinished.as_ref().map_or(0, |unfinished| unfinished.filled);
        (unfinished + self.end - self.begin) as u64
    }

    /// The next whole message, if there is one.
    ///
    /// *Errors*: [`ReadFrameError`].
    #[expect(clippy::should_implement_trait, reason = "it goes on after it had nothing to give")]
    pub fn next(&mut self) -> Result<Option<Frame>, ReadFrameError> {
        let frame = match self.waiting.take() {
            Some(frame) => Some(frame),
            None => self.message()?,
        };
        if let Some(mut frame) = frame {
            self.add_descriptors(&mut frame)?;
            if frame.descriptors_due() == 0 {
                return Ok(Some(frame));
            }
            self.waiting = Some(frame);
        }
        // What has come and is not understood is the beginning of a message: no descriptor belongs to it.
        if self.arrived.is_empty() { Ok(None) } else { Err(ReadFrameError::StrayDescriptors) }
    }

    /// The next message, not yet with its descriptors.
    fn message(&mut self) -> Result<Option<Frame>, ReadFrameError> {
        let bytes = if let Some(unfinished) = self.unfinished.take() {
            if unfinished.filled < unfinished.length {
                self.unfinished = Some(unfinished);
                return Ok(None);
            }
            unfinished.bytes
        } else {
            let come = self.stage.get(self.begin..self.end).unwrap_or_default();
            let Some(word) = come.first_chunk() else { return Ok(None) };
            let length = length_of(*word)?;
            match come.get(..length) {
                Some(whole) => {
                    let bytes = whole.to_vec();
                    self.begin += length;
                    bytes
                }
                None if length > self.stage.len() => {
                    self.unfinished = Some(Unfinished { bytes: come.to_vec(), filled: come.len(), length });
                    (self.begin, self.end) = (0, 0);
                    return Ok(None);
                }
                None => return Ok(None),
            }
        };
        self.position += bytes.len() as u64;
        if self.arrived.front().is_some_and(|(at, _)| *at < self.position) {
            return Err(ReadFrameError::StrayDescriptors);
        }
        Ok(Some(Frame::parse(bytes)?))
    }

    /// Gives a message those of its descriptors that have come.
    fn add_descriptors(&mut self, frame: &mut Frame) -> Result<(), ReadFrameError> {
        while frame.descriptors_due() > 0 && self.begin < self.end {
            let Some((at, descriptor)) = self.arrived.pop_front() else { return Err(ReadFrameError::NoDescriptor) };
            if at > self.position {
                return Err(ReadFrameError::NoDescriptor);
            }
            frame.add_descriptor(descriptor);
            self.begin += 1;
            self.position += 1;
            if self.arrived.front().is_some_and(|(at, _)| *at < self.position) {
                return Err(ReadFrameError::StrayDescriptors);
            }
        }
        Ok(())
    }
}

const FLAGS: RecvFlags = RecvFlags::CMSG_CLOEXEC.union(RecvFlags::DONTWAIT);

#[cfg(test)]
mod tests;
