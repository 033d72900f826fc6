//! Pool and volume XML, read.
//!
//! Assumes nothing about the text. Guarantees a whole pool or volume or one refusal with its line, sizes in bytes, that
//! what nobody reads here is listed as unknown, and that no credential is kept.

use std::collections::BTreeMap;

use super::{Pool, PoolType, Volume};
use crate::discovery::disk::{BackingImage, DiskSource};
use crate::discovery::error::{Document, FieldFault, ParseError};
use crate::discovery::known::{Known, keep_children, known, text};
use crate::discovery::limits::Limits;
use crate::discovery::quantity::read_bytes;
use crate::discovery::settings::Settings;
use crate::discovery::xml::{self, Element};
use crate::model::units::Bytes;

/// Namespaces of options that go to what mounts or connects.
const OPTIONS: [(&str, &str); 2] = [
    ("http://libvirt.org/schemas/storagepool/fs/1.0", "mount_opts"),
    ("http://libvirt.org/schemas/storagepool/rbd/1.0", "config_opts"),
];

const ADDRESS: &[&str] = &["type", "domain", "bus", "slot", "function"];
const POOL_SOURCE: &[Known] = &[
    known("host", &["name", "port"], &[]).many(),
    known("device", &["path", "part_separator"], &[known("freeExtent", &["start", "end"], &[]).many()]).many(),
    known("dir", &["path"], &[]),
    known(
        "adapter",
        &["type", "name", "parent", "managed", "wwnn", "wwpn", "parent_wwnn", "parent_wwpn", "parent_fabric_wwn"],
        &[known("parentaddr", &["unique_id"], &[known("address", ADDRESS, &[])])],
    ),
    known("initiator", &[], &[known("iqn", &["name"], &[])]),
    known("format", &["type"], &[]),
    known("protocol", &["ver"], &[]),
    known("vendor", &["name"], &[]),
    known("product", &["name"], &[]),
];
const POOL: &[Known] = &[
    known("features", &[], &[known("cow", &["state"], &[])]),
    known("refresh", &[], &[known("volume", &["allocation"], &[])]),
];
const VOLUME: &[Known] = &[
    known("source", &[], &[known("device", &["path"], &[]).many()]),
    known(
        "target",
        &[],
        &[
            text("compat", &[]),
            text("clusterSize", &["unit"]),
            known("nocow", &[], &[]),
            known(
                "features",
                &[],
                &[known("lazy_refcounts", &[], &[]), known("extended_l2", &[], &[]), known("data_file_raw", &[], &[])],
            ),
        ],
    ),
];

/// Reads a storage pool's XML.
///
/// *Errors*: `pool-too-large`, `pool-too-deep`, `pool-unsupported`, `pool-malformed`.
/// *Source*: <https://libvirt.org/formatstorage.html#storage-pool-xml>.
pub fn parse_pool(xml: impl AsRef<[u8]>, limits: Limits) -> Result<Pool, ParseError> {
    let read = xml::read(xml.as_ref(), Document::Pool.root(), limits, read_pool);
    let (pool, unknown) = read.map_err(|fault| ParseError::new(Document::Pool, fault))?;
    Ok(Pool { unknown, ..pool })
}

/// Reads a storage volume's XML.
///
/// *Errors*: `volume-too-large`, `volume-too-deep`, `volume-unsupported`, `volume-malformed`.
/// *Source*: <https://libvirt.org/formatstorage.html#storage-volume-xml>.
pub fn parse_volume(xml: impl AsRef<[u8]>, limits: Limits) -> Result<Volume, ParseError> {
    let read = xml::read(xml.as_ref(), Document::Volume.root(), limits, read_volume);
    let (volume, unknown) = read.map_err(|fault| ParseError::new(Document::Volume, fault))?;
    Ok(Volume { unknown, ..volume })
}

fn read_pool(pool: Element<'_>) -> Result<Pool, FieldFault> {
    let source = pool.child("source");
    let source_name = source.and_then(|source| source.text_of("name"));
    // libvirt itself falls back to the source's name.
    let name = pool.text_of("name").or_else(|| source_name.clone());
    let target = pool.child("target");
    target.iter().for_each(|target| target.ignore_children("permissions"));
    let auth = source.and_then(|source| source.child("auth"));
    let mut read = Pool {
        name: name.ok_or_else(|| pool.missing("name", "every pool has a name"))?,
        uuid: pool.uuid()?,
        kind: pool.owned("type").map(PoolType::from).ok_or_else(|| pool.fault("the pool has no type"))?,
        capacity: size(pool, "capacity")?,
        allocation: size(pool, "allocation")?,
        available: size(pool, "available")?,
        source: Settings::new(),
        source_name,
        target: target.and_then(|target| target.text_of("path")),
        auth: auth.map(|auth| auth.owned("type").unwrap_or_default()),
        settings: Settings::new(),
        volumes: BTreeMap::new(),
        unknown: Vec::new(),
    };
    // Whose credentials they are is for libvirt alone.
    auth.iter().for_each(Element::ignore);
    source.iter().for_each(|source| keep_children(*source, POOL_SOURCE, "", &mut read.source));
    keep_children(pool, POOL, "", &mut read.settings);
    keep_options(pool, &mut read.settings);
    Ok(read)
}

/// Options that are handed on by name, but for values that may be secret.
fn keep_options(pool: Element<'_>, settings: &mut Settings) {
    for (namespace, name) in OPTIONS {
        let found = pool.elements().find(|element| element.namespace() == Some(namespace) && element.name() == name);
        let Some(options) = found else { continue };
        options.mark();
        let ours =
            options.elements().filter(|option| option.namespace() == Some(namespace) && option.name() == "option");
        for (nth, option) in ours.enumerate() {
            option.mark();
            let told = option.attribute("name").unwrap_or_default();
            let (word, inline) = told.split_once('=').unwrap_or((told, ""));
            let value = option.attribute("value").unwrap_or(inline);
            let value = if may_be_secret(word) { "" } else { value };
            let kept = if value.is_empty() { word.to_owned() } else { format!("{word}={value}") };
            settings.insert(format!("{name}.option[{}]", nth + 1), kept);
        }
    }
}

fn may_be_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["pass", "key", "secret", "cred", "token"].iter().any(|word| name.contains(word))
}

fn read_volume(volume: Element<'_>) -> Result<Volume, FieldFault> {
    let target = volume.child("target");
    let source = volume.child("source");
    // Where its extents are on each device is the volume manager's own.
    for device in source.iter().flat_map(|source| source.children("device")) {
        device.ignore_children("extent");
    }
    target.iter().for_each(|target| ignore_attributes_of_file(*target));
    let encryption = target.and_then(|target| target.child("encryption"));
    let mut read = Volume {
        name: volume.text_of("name").ok_or_else(|| volume.missing("name", "every volume has a name"))?,
        key: volume.text_of("key"),
        kind: volume.owned("type"),
        path: target.and_then(|target| target.text_of("path")),
        // None is said of one that is to be as large as what is under it.
        capacity: size(volume, "capacity")?.unwrap_or_default(),
        allocation: size(volume, "allocation")?,
        physical: size(volume, "physical")?,
        format: target.and_then(|target| target.attribute_of("format", "type")).map(str::to_owned),
        backing: volume.child("backingStore").and_then(read_backing),
        encryption: encryption.map(|encryption| encryption.owned("format").unwrap_or_default()),
        settings: Settings::new(),
        unknown: Vec::new(),
    };
    encryption.iter().for_each(Element::ignore);
    keep_children(volume, VOLUME, "", &mut read.settings);
    Ok(read)
}

/// Times and permissions change by themselves or are the host's own matter.
fn ignore_attributes_of_file(target: Element<'_>) {
    target.ignore_children("permissions");
    target.ignore_children("timestamps");
}

fn read_backing(backing: Element<'_>) -> Option<BackingImage> {
    ignore_attributes_of_file(backing);
    let format = backing.attribute_of("format", "type").map(str::to_owned);
    let source = source_at(backing.text_of("path")?.trim());
    Some(BackingImage { source, format, volume: None })
}

/// What a path of a volume leads to: it may be a URI, or QEMU's own description.
fn source_at(path: &str) -> DiskSource {
    if let Some((protocol, rest)) = path.split_once("://") {
        let (authority, name) = rest.split_once('/').unwrap_or((rest, ""));
        // Before the host there may be a password.
        let host = authority.rsplit('@').next().unwrap_or_default();
        return DiskSource::Network {
            protocol: protocol.to_owned(),
            name: (!name.is_empty()).then(|| name.split('?').next().unwrap_or_default().to_owned()),
            hosts: (!host.is_empty()).then(|| host.to_owned()).into_iter().collect(),
        };
    }
    if path.starts_with("json:") {
        return DiskSource::Unknown { raw: "json".to_owned() };
    }
    if path.starts_with("/dev/") {
        return DiskSource::Block { device: path.to_owned() };
    }
    DiskSource::File { path: path.to_owned() }
}

fn size(parent: Element<'_>, name: &str) -> Result<Option<Bytes>, FieldFault> {
    let Some(element) = parent.child(name) else { return Ok(None) };
    let Some(number) = element.text() else { return Ok(None) };
    let unit = element.attribute("unit");
    read_bytes(&number, unit).map(Some).map_err(|fault| element.fault(fault))
}
