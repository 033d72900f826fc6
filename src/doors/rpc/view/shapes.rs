//! The structures of libvirt's protocol that name something, read as far as that needs.
//!
//! *Source*: `remote_protocol.x`.

use super::super::xdr::{LIST_MAX, ReadXdrError, Reader, STRING_MAX};
use crate::model::VmId;

/// The most node devices in a list. *Source*: `REMOTE_NODE_DEVICE_LIST_MAX`.
pub(super) const DEVICES_MAX: u32 = 65536;
/// The most leases in a list. *Source*: `REMOTE_NETWORK_DHCP_LEASES_MAX`.
pub(super) const LEASES_MAX: u32 = 65536;
/// The most parameters of one VM in bulk statistics. *Source*: `REMOTE_CONNECT_GET_ALL_DOMAIN_STATS_MAX`.
const STATS_MAX: u32 = 262_144;

/// A string, of whatever encoding, that nobody looks at.
pub(super) fn skip_string(reader: &mut Reader<'_>) -> Result<(), ReadXdrError> {
    reader.opaque(STRING_MAX).map(|_| ())
}

/// `remote_nonnull_domain`: its UUID is what counts.
pub(super) fn vm(reader: &mut Reader<'_>) -> Result<VmId, ReadXdrError> {
    skip_string(reader)?;
    let vm = reader.uuid()?;
    reader.i32()?;
    Ok(VmId(vm))
}

/// `remote_nonnull_network`, `remote_nonnull_storage_pool`: a name and a UUID.
pub(super) fn named<'a>(reader: &mut Reader<'a>) -> Result<&'a str, ReadXdrError> {
    let name = reader.string()?;
    reader.uuid()?;
    Ok(name)
}

/// `remote_nonnull_storage_vol`.
pub(super) struct Volume<'a> {
    pub(super) pool: &'a str,
    pub(super) name: &'a str,
    pub(super) key: &'a str,
}

pub(super) fn volume<'a>(reader: &mut Reader<'a>) -> Result<Volume<'a>, ReadXdrError> {
    Ok(Volume { pool: reader.string()?, name: reader.string()?, key: reader.string()? })
}

/// `remote_nonnull_interface`, `remote_nonnull_nwfilter_binding`: two strings.
pub(super) fn pair<'a>(reader: &mut Reader<'a>) -> Result<(&'a str, &'a str), ReadXdrError> {
    Ok((reader.string()?, reader.string()?))
}

/// `remote_nonnull_network_port`: its own UUID.
pub(super) fn port(reader: &mut Reader<'_>) -> Result<uuid::Uuid, ReadXdrError> {
    named(reader)?;
    reader.uuid()
}

/// `remote_nonnull_secret`.
pub(super) struct Secret<'a> {
    pub(super) uuid: uuid::Uuid,
    pub(super) usage: i32,
    pub(super) of: &'a str,
}

pub(super) fn secret<'a>(reader: &mut Reader<'a>) -> Result<Secret<'a>, ReadXdrError> {
    Ok(Secret { uuid: reader.uuid()?, usage: reader.i32()?, of: reader.string()? })
}

/// `remote_network_dhcp_lease`.
pub(super) struct Lease<'a> {
    pub(super) mac: Option<&'a str>,
    pub(super) host: Option<&'a str>,
}

pub(super) fn lease<'a>(reader: &mut Reader<'a>) -> Result<Lease<'a>, ReadXdrError> {
    skip_string(reader)?;
    reader.i64()?;
    reader.i32()?;
    let mac = reader.optional_string()?;
    reader.optional_string()?;
    skip_string(reader)?;
    reader.u32()?;
    let host = reader.optional_string()?;
    reader.optional_string()?;
    Ok(Lease { mac, host })
}

/// `remote_typed_param`, which nobody looks at.
fn skip_parameter(reader: &mut Reader<'_>) -> Result<(), ReadXdrError> {
    skip_string(reader)?;
    match reader.u32()? {
        // A whole number with a sign and without, a yes or no.
        1 | 2 | 6 => reader.u32().map(|_| ()),
        // The same with 64 bits, a fraction.
        3..=5 => reader.u64().map(|_| ()),
        7 => skip_string(reader),
        other => Err(ReadXdrError::NoSuchValue(other)),
    }
}

/// `remote_domain_stats_record`.
pub(super) fn stats(reader: &mut Reader<'_>) -> Result<VmId, ReadXdrError> {
    let vm = vm(reader)?;
    for _ in 0..reader.count(STATS_MAX)? {
        skip_parameter(reader)?;
    }
    Ok(vm)
}

/// The most of what is listed with nothing said about it.
pub(super) const MAX: u32 = LIST_MAX;
