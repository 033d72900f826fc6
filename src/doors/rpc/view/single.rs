//! Replies that are one thing, and events: shown whole or not at all.

use super::super::xdr::{ReadXdrError, Reader};
use super::Shown;
use super::decided::Shows;
use super::eyes::Eyes;
use super::{judge, shapes};

/// What is shown of a reply or an event that is about one thing.
pub(super) fn sift(shows: Shows, payload: &[u8], eyes: &dyn Eyes) -> Result<Shown, ReadXdrError> {
    let mut reader = Reader::new(payload);
    let is_seen = match shows {
        Shows::Vm | Shows::EventOfVm => eyes.sees(shapes::vm(&mut reader)?),
        Shows::EventOfVmAfterWord => {
            reader.i32()?;
            eyes.sees(shapes::vm(&mut reader)?)
        }
        Shows::Volume => judge::sees_volume(eyes, &shapes::volume(&mut reader)?),
        Shows::VolumePath => judge::sees_path(eyes, reader.string()?),
        Shows::Device => judge::sees_device(eyes, reader.string()?),
        Shows::EventOfDevice => {
            reader.i32()?;
            judge::sees_device(eyes, reader.string()?)
        }
        Shows::Interface => {
            let (name, mac) = shapes::pair(&mut reader)?;
            judge::sees_interface(eyes, name, Some(mac))
        }
        Shows::Secret => judge::sees_secret(eyes, &shapes::secret(&mut reader)?),
        Shows::EventOfSecret => {
            reader.i32()?;
            judge::sees_secret(eyes, &shapes::secret(&mut reader)?)
        }
        Shows::Port => judge::sees_port(eyes, shapes::port(&mut reader)?),
        Shows::Binding => judge::sees_binding(eyes, shapes::pair(&mut reader)?.0),
        _ => true,
    };
    Ok(if is_seen { Shown::Same } else { Shown::Hidden })
}
