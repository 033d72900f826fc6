//! What a provider may see of libvirt's replies, events and error texts. Pure.
//!
//! ```text
//!  client's call ──call──▶ passed on, answered as by `absent`, or another question is asked instead
//!  reply, event, error ──reply, event, error──▶ the same, another payload, or nothing
//! ```
//!
//! Assumes that [`call()`] is asked about every call before it is passed on, and that the mapping checks what only it can
//! read. Guarantees that a list and its count agree, that what is shown is to the last byte as libvirt wrote it, and
//! that what cannot be read is not shown. Looks at nothing, and keeps nothing, where nothing of a VM can be.
//!
//! | file | idea |
//! |---|---|
//! | `eyes` | what the view asks about a provider |
//! | `host_names` | which VM has which MAC address, disk, port: answers most of that |
//! | `remote`, `decided` | every procedure, and what was decided about it |
//! | `shapes` | the structures on the wire that name something |
//! | `judge` | from whose a thing is to whether it is shown |
//! | `call` | what a call names |
//! | `listing`, `single`, `xml` | lists, single things and events, texts |
//! | `recount` | counts that are taken again |
//! | `failure` | errors, and the one for what is not there |
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod eyes;
mod remote;
mod decided;
mod shapes;
mod judge;
mod call;
mod listing;
mod recount;
mod single;
mod xml;
mod failure;
mod host_names;
#[cfg(test)]
mod tests;

pub use call::Asked;
pub use eyes::{Eyes, Thing, Whose};
pub use failure::{absent, error};
pub use host_names::HostNames;
pub use recount::{Question, Recount};

use super::frame::REMOTE;
use super::xdr::ReadXdrError;
use decided::{Decided, Event, Shows};
use listing::Listing;

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

/// Whether a call asks about a VM that the provider does not see, or about what is such a VM's: volumes, ports, filter
/// bindings, node devices, registrations for the events of one VM.
///
/// What only the mapping can read is not looked at: domain XML, migrations, files.
///
/// *Errors*: [`ReadXdrError`]: to be answered as a call that libvirt could not read.
pub fn call(program: u32, procedure: u32, payload: &[u8], eyes: &dyn Eyes) -> Result<Asked, ReadXdrError> {
    match decided::of(program, procedure) {
        Some(decided) if !eyes.sees_all() => call::ask(decided, procedure, payload, eyes),
        Some(_) | None => Ok(Asked::Seen),
    }
}

/// What the provider gets of a successful reply.
///
/// *Errors*: [`ReadXdrError`]: to be answered as [`Shown::Hidden`].
pub fn reply(program: u32, procedure: u32, payload: &[u8], eyes: &dyn Eyes) -> Result<Shown, ReadXdrError> {
    let Some(decided) = decided::of(program, procedure) else { return Ok(unknown(payload, eyes)) };
    match decided.shows {
        Shows::Plain => Ok(Shown::Same),
        Shows::SecretValue => Ok(if eyes.sees_secrets() { Shown::Same } else { Shown::Hidden }),
        _ if eyes.sees_all() => Ok(Shown::Same),
        Shows::Recounted => Ok(Shown::Recount(Recount { procedure })),
        Shows::List => match Listing::of(procedure) {
            Some(listing) => listing.sift(payload, eyes),
            None => Ok(unknown(payload, eyes)),
        },
        Shows::One(one) => single::sift(one, payload, eyes),
        Shows::Xml(of) => xml::sift(of, payload, eyes),
        // No reply is an event.
        Shows::Event(_) => Ok(Shown::Hidden),
    }
}

/// What the provider gets of an event.
///
/// *Errors*: [`ReadXdrError`]: the event is dropped.
pub fn event(program: u32, procedure: u32, payload: &[u8], eyes: &dyn Eyes) -> Result<Shown, ReadXdrError> {
    if eyes.sees_all() {
        return Ok(Shown::Same);
    }
    if let Some(Decided { shows: Shows::Event(event), .. }) = decided::of(program, procedure) {
        return single::sift_event(event, payload, eyes);
    }
    // Every event about a VM since libvirt 1.2 begins alike, and no other bytes are a VM that somebody co-manages.
    let of_vm = single::sift_event(Event::VmAfterWord, payload, eyes);
    let begins_with_seen = program == REMOTE && of_vm == Ok(Shown::Same);
    Ok(if begins_with_seen && !eyes.sees_host() { Shown::Same } else { unknown(payload, eyes) })
}

/// A message of which nothing is known: empty, or for the host role and without the UUID of a VM that it does not see.
fn unknown(payload: &[u8], eyes: &dyn Eyes) -> Shown {
    let is_shown = payload.is_empty() || eyes.sees_all() || (eyes.sees_host() && judge::is_clean(payload, eyes));
    if is_shown { Shown::Same } else { Shown::Hidden }
}
