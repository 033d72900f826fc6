//! What a call asks about, where that is not for the mapping alone to say: a client may make up what it never looked up.

use super::super::xdr::{ReadXdrError, Reader, STRING_MAX};
use super::decided::{Decided, Names, Shows};
use super::eyes::{Eyes, Thing};
use super::judge::{self, Nature};
use super::listing::Listing;
use super::recount::{self, Recount};
use super::shapes;
use crate::model::VmId;

/// What a call asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It may be passed on.
    Seen,
    /// About something that the provider does not see: it is answered as by [`absent`](super::absent), and libvirt is
    /// not asked.
    Unseen,
    /// Another question is asked in its stead; what [`reply`](super::reply) would say later, said before the call is
    /// passed on.
    Recount(Recount),
}

pub(super) fn ask(decided: Decided, procedure: u32, payload: &[u8], eyes: &dyn Eyes) -> Result<Asked, ReadXdrError> {
    let recounted = match decided.shows {
        Shows::Recounted => true,
        Shows::List if Listing::of(procedure).is_some_and(Listing::is_counted) => {
            !recount::needs_results(procedure, &mut Reader::new(payload))?
        }
        Shows::List | Shows::Plain | Shows::SecretValue | Shows::One(_) | Shows::Xml(_) | Shows::Event(_) => false,
    };
    Ok(match names_seen(decided.names, payload, eyes)? {
        false => Asked::Unseen,
        true if recounted => Asked::Recount(Recount { procedure }),
        true => Asked::Seen,
    })
}

fn names_seen(names: Names, payload: &[u8], eyes: &dyn Eyes) -> Result<bool, ReadXdrError> {
    let mut reader = Reader::new(payload);
    let reader = &mut reader;
    Ok(match names {
        Names::Nothing | Names::Vms => true,
        Names::Vm => eyes.sees(shapes::vm(reader)?),
        Names::VmAfterName => {
            shapes::skip_string(reader)?;
            eyes.sees(shapes::vm(reader)?)
        }
        Names::VmName => eyes.sees_name(reader.string()?),
        Names::VmUuid => eyes.sees(VmId(reader.uuid()?)),
        Names::MaybeVm => !reader.bool()? || eyes.sees(shapes::vm(reader)?),
        Names::MaybeVmAfterWord => {
            reader.i32()?;
            !reader.bool()? || eyes.sees(shapes::vm(reader)?)
        }
        Names::Volume => volume(reader, eyes)?,
        Names::VolumeInPool => {
            let pool = shapes::named(reader)?;
            claimed(eyes, pool, reader.string()?)
        }
        Names::VolumeKey | Names::VolumePath => judge::sees_path(eyes, reader.string()?),
        Names::Clone => {
            shapes::named(reader)?;
            reader.opaque(STRING_MAX)?;
            volume(reader, eyes)?
        }
        Names::Device => judge::sees_device(eyes, reader.string()?),
        Names::MaybeDeviceAfterWord => {
            reader.i32()?;
            !reader.bool()? || judge::sees_device(eyes, reader.string()?)
        }
        Names::Interface => {
            let (name, mac) = shapes::pair(reader)?;
            judge::sees_interface(eyes, name, Some(mac))
        }
        Names::InterfaceName => judge::sees_interface(eyes, reader.string()?, None),
        Names::InterfaceMac => judge::sees(eyes, Nature::Hosts, &[Thing::Mac(reader.string()?)]),
        Names::Port => judge::sees_port(eyes, shapes::port(reader)?),
        Names::PortInNetwork => {
            shapes::named(reader)?;
            judge::sees_port(eyes, reader.uuid()?)
        }
        Names::Binding => judge::sees_binding(eyes, shapes::pair(reader)?.0),
        Names::HostNic => judge::sees_binding(eyes, reader.string()?),
        Names::Secret => judge::sees_secret(eyes, &shapes::secret(reader)?),
        // The reply says what it is for.
        Names::SecretUuid => true,
        Names::SecretUsage => {
            let (usage, of) = (reader.i32()?, reader.string()?);
            judge::sees_secret(eyes, &shapes::Secret { uuid: uuid::Uuid::nil(), usage, of })
        }
        Names::MaybeSecretAfterWord => {
            reader.i32()?;
            !reader.bool()? || judge::sees_secret(eyes, &shapes::secret(reader)?)
        }
    })
}

fn volume(reader: &mut Reader<'_>, eyes: &dyn Eyes) -> Result<bool, ReadXdrError> {
    let volume = shapes::volume(reader)?;
    Ok(claimed(eyes, volume.pool, volume.name))
}

/// A volume as a client names it: libvirt finds it by pool and name, so a key that the client may have made up counts
/// for nothing.
fn claimed(eyes: &dyn Eyes, pool: &str, name: &str) -> bool {
    judge::sees(eyes, Nature::Hosts, &[Thing::Volume { pool, name, key: None }])
}
