//! Errors: libvirt's, without what they say about a VM that the provider does not see; and the one that it gives itself
//! where there is nothing.

use super::super::xdr::{ReadXdrError, Reader, Writer};
use super::decided::{self, Names};
use super::eyes::Eyes;
use super::host_names::HostNames;
use super::{Shown, judge, shapes};

/// What stands in the stead of a text that names somebody.
const LEFT_OUT: &str = "libvirt's text about this failure was left out, because it names a VM that is not yours to see";

/// The codes that say that there is no such thing. Their texts name what was asked for and nothing else, and leaving
/// them out would tell that it is there. *Source*: `virterror.h`.
const NOTHING_THERE: [i32; 11] = [42, 43, 49, 50, 53, 57, 62, 66, 101, 103, 107];

/// What the provider gets of an error: the same code, without its text when that names a VM that it does not see, or
/// what is such a VM's.
///
/// *Errors*: [`ReadXdrError`]: to be answered by an error of our own.
pub fn error(payload: &[u8], eyes: &dyn Eyes, host: &HostNames) -> Result<Shown, ReadXdrError> {
    if eyes.sees_all() {
        return Ok(Shown::Same);
    }
    let mut reader = Reader::new(payload);
    let (code, domain) = (reader.i32()?, reader.i32()?);
    let message = reader.optional_string()?;
    let level = reader.i32()?;
    let of_seen = !reader.bool()? || eyes.sees(shapes::vm(&mut reader)?);
    let more = [reader.optional_string()?, reader.optional_string()?, reader.optional_string()?];
    let from = reader.position();
    reader.u64()?;
    if reader.bool()? {
        shapes::named(&mut reader)?;
    }
    let end = reader.since(from);
    let mut texts = std::iter::once(message).chain(more).flatten();
    if of_seen && (NOTHING_THERE.contains(&code) || !texts.any(|text| names_unseen(text, eyes, host))) {
        return Ok(Shown::Same);
    }
    let mut writer = Writer::new();
    writer.i32(code).i32(domain).optional_string(Some(LEFT_OUT)).i32(level).bool(false);
    writer.optional_string(None).optional_string(None).optional_string(None).raw(end);
    Ok(Shown::Changed(writer.into_bytes()))
}

fn names_unseen(text: &str, eyes: &dyn Eyes, host: &HostNames) -> bool {
    // Where not every VM is known, a UUID may be anyone's.
    let may_be_vm = |vm| host.knows(vm) || (!host.is_whole() && !eyes.sees_host());
    judge::uuids(text).any(|vm| !eyes.sees(vm) && may_be_vm(vm))
        || host.names_unseen(text, eyes)
        || quoted_vms(text).any(|name| !eyes.sees_name(name))
}

/// The names that a text says are those of domains: `domain 'web' already exists`.
fn quoted_vms(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("omain '").filter_map(|(at, before)| {
        let rest = text.get(at + before.len()..)?;
        rest.split_once('\'').map(|(name, _)| name)
    })
}

/// The error that libvirt itself gives when there is nothing of what a call asks about. `call` is its payload.
#[must_use]
pub fn absent(program: u32, procedure: u32, call: &[u8]) -> Vec<u8> {
    let names = decided::of(program, procedure).map_or(Names::Nothing, |decided| decided.names);
    let Absence { code, domain, kind, detail } = absence(names, call).unwrap_or(Absence::NO_VM);
    let message = if detail.is_empty() { kind.to_owned() } else { format!("{kind}: {detail}") };
    let mut writer = Writer::new();
    writer.i32(code).i32(domain).optional_string(Some(&message)).i32(2).bool(false);
    match detail.as_str() {
        "" => writer.optional_string(Some(kind)).optional_string(None),
        detail => writer.optional_string(Some(&format!("{kind}: %s"))).optional_string(Some(detail)),
    };
    writer.optional_string(None).i32(-1).i32(-1).bool(false);
    writer.into_bytes()
}

struct Absence {
    code: i32,
    domain: i32,
    kind: &'static str,
    detail: String,
}

impl Absence {
    const NO_VM: Self = Self { code: 42, domain: 10, kind: "Domain not found", detail: String::new() };

    fn vm(detail: String) -> Self {
        Self { detail, ..Self::NO_VM }
    }

    fn volume(detail: String) -> Self {
        Self { code: 50, domain: 18, kind: "Storage volume not found", detail }
    }

    fn device(name: &str) -> Self {
        let detail = format!("no node device with matching name '{name}'");
        Self { code: 53, domain: 22, kind: "Node device not found", detail }
    }

    fn interface(detail: String) -> Self {
        Self { code: 57, domain: 26, kind: "Interface not found", detail }
    }

    fn port(uuid: uuid::Uuid) -> Self {
        let detail = format!("Network port with UUID {uuid} does not exist");
        Self { code: 107, domain: 19, kind: "network port not found", detail }
    }

    fn binding(device: &str) -> Self {
        let detail = format!("no nwfilter binding for port dev '{device}'");
        Self { code: 101, domain: 33, kind: "Network filter binding not found", detail }
    }

    fn secret(detail: String) -> Self {
        Self { code: 66, domain: 30, kind: "Secret not found", detail }
    }
}

fn absence(names: Names, call: &[u8]) -> Result<Absence, ReadXdrError> {
    let mut reader = Reader::new(call);
    let reader = &mut reader;
    Ok(match names {
        Names::Vms => Absence::NO_VM,
        Names::Nothing => match reader.i32() {
            // Look-up by number; everything else that names nothing has its own words.
            Ok(number) if call.len() == 4 => Absence::vm(format!("no domain with matching id {number}")),
            Ok(_) | Err(_) => Absence::NO_VM,
        },
        Names::Vm => vm(reader)?,
        Names::VmAfterName => {
            shapes::skip_string(reader)?;
            vm(reader)?
        }
        Names::VmName => Absence::vm(format!("no domain with matching name '{}'", reader.string()?)),
        Names::VmUuid => Absence::vm(format!("no domain with matching uuid '{}'", reader.uuid()?)),
        Names::MaybeVm => {
            reader.bool()?;
            vm(reader)?
        }
        Names::MaybeVmAfterWord => {
            reader.i32()?;
            reader.bool()?;
            vm(reader)?
        }
        Names::Volume => volume(shapes::volume(reader)?.name),
        Names::VolumeInPool => {
            shapes::named(reader)?;
            volume(reader.string()?)
        }
        Names::VolumeKey => Absence::volume(format!("no storage vol with matching key {}", reader.string()?)),
        Names::VolumePath => Absence::volume(format!("no storage vol with matching path '{}'", reader.string()?)),
        Names::Clone => {
            shapes::named(reader)?;
            shapes::skip_string(reader)?;
            volume(shapes::volume(reader)?.name)
        }
        Names::Device => Absence::device(reader.string()?),
        Names::MaybeDeviceAfterWord => {
            reader.i32()?;
            reader.bool()?;
            Absence::device(reader.string()?)
        }
        Names::Interface | Names::InterfaceName => {
            Absence::interface(format!("couldn't find interface named '{}'", reader.string()?))
        }
        Names::InterfaceMac => {
            Absence::interface(format!("couldn't find interface with MAC address '{}'", reader.string()?))
        }
        Names::Port => Absence::port(shapes::port(reader)?),
        Names::PortInNetwork => {
            shapes::named(reader)?;
            Absence::port(reader.uuid()?)
        }
        Names::Binding | Names::HostNic => Absence::binding(reader.string()?),
        Names::Secret | Names::SecretUuid => {
            Absence::secret(format!("no secret with matching uuid '{}'", reader.uuid()?))
        }
        Names::SecretUsage => {
            reader.i32()?;
            Absence::secret(format!("no secret with matching usage '{}'", reader.string()?))
        }
        Names::MaybeSecretAfterWord => {
            reader.i32()?;
            reader.bool()?;
            Absence::secret(format!("no secret with matching uuid '{}'", reader.uuid()?))
        }
    })
}

fn vm(reader: &mut Reader<'_>) -> Result<Absence, ReadXdrError> {
    let (name, uuid) = (reader.string()?, reader.uuid()?);
    Ok(Absence::vm(format!("no domain with matching uuid '{uuid}' ({name})")))
}

fn volume(name: &str) -> Absence {
    Absence::volume(format!("no storage vol with matching name '{name}'"))
}
