//! Replies that are one thing, and events: shown whole or not at all.

use super::super::xdr::{ReadXdrError, Reader};
use super::Shown;
use super::decided::{Event, One};
use super::eyes::Eyes;
use super::{judge, shapes};

/// What is shown of one thing.
pub(super) fn sift(one: One, payload: &[u8], eyes: &dyn Eyes) -> Result<Shown, ReadXdrError> {
    let mut reader = Reader::new(payload);
    let is_seen = match one {
        One::Vm => eyes.sees(shapes::vm(&mut reader)?),
        One::Volume => judge::sees_volume(eyes, &shapes::volume(&mut reader)?),
        One::Path => judge::sees_path(eyes, reader.string()?),
        One::Device => judge::sees_device(eyes, reader.string()?),
        One::Interface => {
            let (name, mac) = shapes::pair(&mut reader)?;
            judge::sees_interface(eyes, name, Some(mac))
        }
        One::Secret => judge::sees_secret(eyes, &shapes::secret(&mut reader)?),
        One::Port => judge::sees_port(eyes, shapes::port(&mut reader)?),
        One::Binding => judge::sees_binding(eyes, shapes::pair(&mut reader)?.0),
    };
    Ok(shown_if(is_seen))
}

/// What is shown of an event.
pub(super) fn sift_event(event: Event, payload: &[u8], eyes: &dyn Eyes) -> Result<Shown, ReadXdrError> {
    let mut reader = Reader::new(payload);
    match event {
        Event::Vm | Event::Host => {}
        Event::VmAfterWord | Event::Device | Event::Secret => reader.i32().map(|_| ())?,
    }
    let is_seen = match event {
        Event::Vm | Event::VmAfterWord => eyes.sees(shapes::vm(&mut reader)?),
        Event::Device => judge::sees_device(eyes, reader.string()?),
        Event::Secret => judge::sees_secret(eyes, &shapes::secret(&mut reader)?),
        Event::Host => true,
    };
    Ok(shown_if(is_seen))
}

fn shown_if(is_seen: bool) -> Shown {
    if is_seen { Shown::Same } else { Shown::Hidden }
}
