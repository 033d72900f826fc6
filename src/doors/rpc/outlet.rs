//! Writes whole messages, with their descriptors, to one end of a connection: at once as far as it takes them, the rest in
//! order as it takes more.
//!
//! A message's bytes are written plainly and each descriptor is then sent with a byte of its own, because libvirt reads the
//! message without asking for descriptors, which would be lost with it. Messages without descriptors are written together.
//!
//! Guarantees: nothing comes between a message and its descriptors; what was sent is let go of, descriptors included. The
//! queue itself has no bound: [`Outlet::is_full`] and [`Outlet::is_crowded`] tell when no more should be made for it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, send, sendmsg};

use super::frame::Frame;

/// With so much in the queue, the other peer is not read any more. *Units*: bytes.
const FULL: usize = 1024 * 1024;
/// With so many messages in the queue, the peer itself is not read any more: it takes no answers.
const CROWDED: usize = 4096;
/// How many messages are written together.
const TOGETHER: usize = 64;

/// How a flush ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Everything is written.
    All,
    /// The other end takes no more now.
    Blocked,
}

/// One end's outgoing half.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    queue: VecDeque<Frame>,
    /// How many bytes of all that is in the queue are not written.
    left: usize,
    /// How many bytes of the first message are written.
    written: usize,
    /// How many of its descriptors are sent.
    sent: usize,
    /// How much was taken in all. *Units*: bytes and descriptors.
    taken: u64,
}

impl Outlet {
    pub(super) fn push(&mut self, frame: Frame) {
        self.left += frame.bytes().len();
        self.queue.push_back(frame);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the peer whose messages go here should not be read for now.
    pub(super) fn is_full(&self) -> bool {
        self.left > FULL || self.is_crowded()
    }

    /// Whether not even the peer that this goes to should be read for now, because every message of it may be answered.
    pub(super) fn is_crowded(&self) -> bool {
        self.queue.len() > CROWDED
    }

    /// How much was taken since the beginning; it grows whenever anything is.
    pub(super) const fn taken(&self) -> u64 {
        self.taken
    }

    /// Lets go of everything: there is nobody to write to any more.
    pub(super) fn abandon(&mut self) {
        *self = Self::default();
    }

    /// Writes as much as the other end takes.
    ///
    /// *Errors*: the system's; the other end is then gone.
    pub(super) fn flush(&mut self, socket: impl AsFd) -> io::Result<Flushed> {
        let socket = socket.as_fd();
        loop {
            let Some(first) = self.queue.front() else { return Ok(Flushed::All) };
            let done =
                if self.written < first.bytes().len() { self.write(socket) } else { self.send_descriptor(socket) };
            match done {
                Ok(Flushed::All) => {}
                Ok(Flushed::Blocked) => return Ok(Flushed::Blocked),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes the bytes of as many messages as may go together.
    fn write(&mut self, socket: BorrowedFd<'_>) -> io::Result<Flushed> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let mut slices = [IoSlice::new(&[]); TOGETHER];
        let (mut count, mut offered) = (0, 0);
        for (slice, frame) in slices.iter_mut().zip(&self.queue) {
            let from = if count == 0 { self.written } else { 0 };
            let bytes = frame.bytes().get(from..).unwrap_or_default();
            *slice = IoSlice::new(bytes);
            (count, offered) = (count + 1, offered + bytes.len());
            if !frame.descriptors().is_empty() {
                break;
            }
        }
        let written = match slices.get(..count) {
            Some([one]) => send(socket, one, flags)?,
            Some(slices) => sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags)?,
            None => 0,
        };
        self.wrote(written);
        // The kernel took less than it was offered because it has no more room.
        Ok(if written < offered { Flushed::Blocked } else { Flushed::All })
    }

    fn wrote(&mut self, mut count: usize) {
        self.left -= count;
        self.taken += count as u64;
        while count > 0 {
            let Some(first) = self.queue.front() else { return };
            let step = count.min(first.bytes().len() - self.written);
            (count, self.written) = (count - step, self.written + step);
            if self.written == first.bytes().len() && first.descriptors().is_empty() {
                self.next();
            }
        }
    }

    fn send_descriptor(&mut self, socket: BorrowedFd<'_>) -> io::Result<Flushed> {
        let descriptors = self.queue.front().map(Frame::descriptors).unwrap_or_default();
        if let Some(descriptor) = descriptors.get(self.sent) {
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let rights = [descriptor.as_fd()];
            control.push(SendAncillaryMessage::ScmRights(&rights));
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            sendmsg(socket, &[IoSlice::new(&[0])], &mut control, flags)?;
            (self.sent, self.taken) = (self.sent + 1, self.taken + 1);
        }
        if self.sent >= descriptors.len() {
            self.next();
        }
        Ok(Flushed::All)
    }

    /// The first message is done with.
    fn next(&mut self) {
        self.queue.pop_front();
        (self.written, self.sent) = (0, 0);
        // A burst's queue is not kept for ever.
        if self.queue.is_empty() && self.queue.capacity() > TOGETHER {
            self.queue.shrink_to(TOGETHER);
        }
    }
}
