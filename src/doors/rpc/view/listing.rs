//! Lists: what is in them, which of it may be seen, and the list without the rest.

use super::super::xdr::{ReadXdrError, Reader};
use super::eyes::Eyes;
use super::shapes::{self, Lease, Secret, Volume};
use super::{Recount, Shown, judge};
use crate::model::VmId;

/// What a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Vms,
    Stats,
    Volumes,
    Devices,
    Interfaces,
    InterfaceNames,
    Secrets,
    Leases,
    Ports,
    Bindings,
}

/// What follows the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    Nothing,
    /// How many there are, also where the client asked for no more than that and the list is empty.
    Count,
}

/// The layout of a reply that is a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listing {
    procedure: u32,
    of: Of,
    max: u32,
    tail: Tail,
}

/// One of a list.
pub(super) enum Item<'a> {
    Vm { name: &'a str, vm: VmId, number: i32 },
    Stats(VmId),
    Volume(Volume<'a>),
    Device(&'a str),
    Interface(&'a str, Option<&'a str>),
    Secret(Secret<'a>),
    Lease(Lease<'a>),
    Port(uuid::Uuid),
    Binding(&'a str),
}

impl Listing {
    /// The layout of a procedure's reply, of the remote program, if it is a list that is sifted.
    pub(super) const fn of(procedure: u32) -> Option<Self> {
        let (of, max, tail) = match procedure {
            273 => (Of::Vms, shapes::MAX, Tail::Count),
            344 => (Of::Stats, shapes::MAX, Tail::Nothing),
            282 => (Of::Volumes, shapes::MAX, Tail::Count),
            112 => (Of::Devices, shapes::DEVICES_MAX, Tail::Nothing),
            285 => (Of::Devices, shapes::DEVICES_MAX, Tail::Count),
            127 | 138 => (Of::InterfaceNames, shapes::MAX, Tail::Nothing),
            284 => (Of::Interfaces, shapes::MAX, Tail::Count),
            287 => (Of::Secrets, shapes::MAX, Tail::Count),
            341 => (Of::Leases, shapes::LEASES_MAX, Tail::Count),
            404 => (Of::Ports, shapes::MAX, Tail::Count),
            401 => (Of::Bindings, shapes::MAX, Tail::Count),
            _ => return None,
        };
        Some(Self { procedure, of, max, tail })
    }

    /// Whether its length follows, and may be all that a client asks for.
    pub(super) fn is_counted(self) -> bool {
        self.tail == Tail::Count
    }

    fn item<'a>(self, reader: &mut Reader<'a>) -> Result<Item<'a>, ReadXdrError> {
        Ok(match self.of {
            Of::Vms => Item::Vm { name: reader.string()?, vm: VmId(reader.uuid()?), number: reader.i32()? },
            Of::Stats => Item::Stats(shapes::stats(reader)?),
            Of::Volumes => Item::Volume(shapes::volume(reader)?),
            Of::Devices => Item::Device(reader.string()?),
            Of::Interfaces => {
                let (name, mac) = shapes::pair(reader)?;
                Item::Interface(name, Some(mac))
            }
            Of::InterfaceNames => Item::Interface(reader.string()?, None),
            Of::Secrets => Item::Secret(shapes::secret(reader)?),
            Of::Leases => Item::Lease(shapes::lease(reader)?),
            Of::Ports => Item::Port(shapes::port(reader)?),
            Of::Bindings => Item::Binding(shapes::pair(reader)?.0),
        })
    }

    /// Hands over every one that may be seen.
    pub(super) fn each_seen<'a>(
        self,
        payload: &'a [u8],
        eyes: &dyn Eyes,
        mut seen: impl FnMut(Item<'a>),
    ) -> Result<(), ReadXdrError> {
        let mut reader = Reader::new(payload);
        for _ in 0..reader.count(self.max)? {
            let item = self.item(&mut reader)?;
            if item.is_seen(eyes) {
                seen(item);
            }
        }
        Ok(())
    }

    /// The list with what may be seen. Without a change nothing is built.
    pub(super) fn sift(self, payload: &[u8], eyes: &dyn Eyes) -> Result<Shown, ReadXdrError> {
        let mut reader = Reader::new(payload);
        let count = reader.count(self.max)?;
        let mut kept = 0_u32;
        let mut changed: Option<Vec<u8>> = None;
        for _ in 0..count {
            let from = reader.position();
            let is_seen = self.item(&mut reader)?.is_seen(eyes);
            match &mut changed {
                Some(changed) if is_seen => changed.extend_from_slice(reader.since(from)),
                None if !is_seen => changed = payload.get(..from).map(<[u8]>::to_vec),
                Some(_) | None => {}
            }
            kept += u32::from(is_seen);
        }
        let total = match self.tail {
            Tail::Nothing => count,
            Tail::Count => usize::try_from(reader.u32()?).unwrap_or(usize::MAX),
        };
        if count == 0 && total > 0 {
            return Ok(Shown::Recount(Recount { procedure: self.procedure }));
        }
        // Of another length, and of what stands behind the end of the list, nothing is known.
        if total != count || !reader.rest().is_empty() {
            return Ok(Shown::Hidden);
        }
        let Some(mut changed) = changed else { return Ok(Shown::Same) };
        if let Some(count) = changed.first_chunk_mut() {
            *count = kept.to_be_bytes();
        }
        if self.tail == Tail::Count {
            changed.extend_from_slice(&kept.to_be_bytes());
        }
        Ok(Shown::Changed(changed))
    }
}

impl Item<'_> {
    fn is_seen(&self, eyes: &dyn Eyes) -> bool {
        match self {
            Self::Vm { vm, .. } | Self::Stats(vm) => eyes.sees(*vm),
            Self::Volume(volume) => judge::sees_volume(eyes, volume),
            Self::Device(name) => judge::sees_device(eyes, name),
            Self::Interface(name, mac) => judge::sees_interface(eyes, name, *mac),
            Self::Secret(secret) => judge::sees_secret(eyes, secret),
            Self::Lease(lease) => judge::sees_lease(eyes, lease),
            Self::Port(port) => judge::sees_port(eyes, *port),
            Self::Binding(device) => judge::sees_binding(eyes, device),
        }
    }
}
