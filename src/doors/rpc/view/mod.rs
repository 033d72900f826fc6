//! What a provider may see of libvirt's replies, events and error texts. Pure.
//!
//! Assumes that every call that names a VM was checked by its UUID before it was passed on, and that [`call`] was asked
//! about every other call. Guarantees that a list and its count agree, that what is shown is as libvirt wrote it to the
//! last byte, and that what cannot be read is not shown: a provider that does not see the whole host is to be answered
//! as by [`absent`] when reading fails.

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
use decided::Shows;
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
        Shows::Vms
        | Shows::Volumes
        | Shows::Devices
        | Shows::Interfaces
        | Shows::Secrets
        | Shows::Leases
        | Shows::Ports
        | Shows::Bindings
        | Shows::Stats => match Listing::of(procedure) {
            Some(listing) => listing.sift(payload, eyes),
            None => Ok(unknown(payload, eyes)),
        },
        Shows::Vm
        | Shows::Volume
        | Shows::VolumePath
        | Shows::Device
        | Shows::Interface
        | Shows::Secret
        | Shows::Port
        | Shows::Binding => single::sift(decided.shows, payload, eyes),
        Shows::VolumeXml
        | Shows::NetworkXml
        | Shows::InterfaceXml
        | Shows::SecretXml
        | Shows::SavedXml
        | Shows::OwnedXml => xml::sift(decided.shows, payload, eyes),
        // No reply is an event.
        Shows::EventOfVm
        | Shows::EventOfVmAfterWord
        | Shows::EventOfDevice
        | Shows::EventOfSecret
        | Shows::EventOfHost => Ok(Shown::Hidden),
    }
}

/// What the provider gets of an event.
///
/// *Errors*: [`ReadXdrError`]: the event is dropped.
pub fn event(program: u32, procedure: u32, payload: &[u8], eyes: &dyn Eyes) -> Result<Shown, ReadXdrError> {
    if eyes.sees_all() {
        return Ok(Shown::Same);
    }
    match decided::of(program, procedure).map(|decided| decided.shows) {
        Some(Shows::EventOfHost) => Ok(Shown::Same),
        Some(shows @ (Shows::EventOfVm | Shows::EventOfVmAfterWord | Shows::EventOfDevice | Shows::EventOfSecret)) => {
            single::sift(shows, payload, eyes)
        }
        Some(_) | None => {
            // Every event about a VM since libvirt 1.2 begins alike, and no other bytes are a VM that somebody
            // co-manages.
            let of_vm = single::sift(Shows::EventOfVmAfterWord, payload, eyes);
            let begins_with_seen = program == REMOTE && of_vm == Ok(Shown::Same);
            Ok(if begins_with_seen && !eyes.sees_host() { Shown::Same } else { unknown(payload, eyes) })
        }
    }
}

/// A message of which nothing is known: empty, or for the host role and without the UUID of a VM that it does not see.
fn unknown(payload: &[u8], eyes: &dyn Eyes) -> Shown {
    let is_shown = payload.is_empty() || eyes.sees_all() || (eyes.sees_host() && judge::is_clean(payload, eyes));
    if is_shown { Shown::Same } else { Shown::Hidden }
}
