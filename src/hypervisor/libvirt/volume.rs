//! The contents of a VM's disk, by libvirt's storage streams and nothing else.
//!
//! libvirt's client keeps whatever a stream brings until it is taken, so that a long one that is read slowly would fill
//! the memory. A volume is read in parts instead, each a short stream of its own: nothing is kept between them.

use roxmltree::Node;
use virt::connect::Connect;
use virt::stream::Stream;
use virt::sys;

use super::core::look_up;
use super::failure::Fault;
use super::screen::drained;
use super::xml::{child, devices, without_metadata};
use crate::hypervisor::Volume;
use crate::model::VmId;
use crate::model::xml::parse;

/// Where a disk's contents are, as the definition says.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Path(String),
    InPool { pool: String, volume: String },
    Elsewhere,
}

/// Finds the volume that a disk is, or says why there is none.
pub(super) fn find(connect: &Connect, vm: VmId, target: &str) -> Result<Result<Volume, String>, Fault> {
    let fault = Fault::harmless(connect);
    let xml = look_up(connect, vm)?.xml_desc(0).map_err(fault)?;
    let Some((place, format)) = place_of(&xml, target) else {
        return Ok(Err(format!("the VM has no disk {target}")));
    };
    let found = match &place {
        Place::Path(path) => connect.lookup_storage_vol_by_path(path),
        Place::InPool { pool, volume } => {
            connect.lookup_storage_pool_by_name(pool).and_then(|pool| pool.lookup_storage_vol_by_name(volume))
        }
        Place::Elsewhere => return Ok(Err(format!("{target} is no file or device of this host"))),
    };
    let volume = match found {
        Ok(volume) => volume,
        Err(error) if matches!(error.code().to_raw(), sys::VIR_ERR_NO_STORAGE_VOL | sys::VIR_ERR_NO_STORAGE_POOL) => {
            return Ok(Err(format!(
                "{target} lies in no active storage pool that libvirt has looked through, so libvirt cannot stream it"
            )));
        }
        Err(error) => return Err(fault(error)),
    };
    let info = volume.info_flags(sys::VIR_STORAGE_VOL_GET_PHYSICAL).map_err(fault)?;
    Ok(Ok(Volume { key: volume.key().map_err(fault)?, length: info.allocation, format }))
}

/// Reads a part of a volume.
pub(super) fn read(connect: &Connect, key: &str, offset: u64, length: u64) -> Result<Vec<u8>, Fault> {
    let fault = Fault::harmless(connect);
    let volume = connect.lookup_storage_vol_by_key(key).map_err(fault)?;
    let stream = Stream::new(connect, 0).map_err(fault)?;
    volume.download(&stream, offset, length, 0).map_err(fault)?;
    drained(connect, stream, usize::try_from(length).unwrap_or(usize::MAX))
}

/// Where the disk of this target is, and its format; none when there is no such disk.
fn place_of(xml: &str, target: &str) -> Option<(Place, Option<String>)> {
    let xml = without_metadata(xml);
    let document = parse(&xml).ok()?;
    let is_it = |disk: &Node<'_, '_>| {
        disk.has_tag_name("disk") && child(*disk, "target").and_then(|node| node.attribute("dev")) == Some(target)
    };
    let disk = devices(&document).find(is_it)?;
    let format = child(disk, "driver").and_then(|driver| driver.attribute("type")).map(str::to_owned);
    let source = child(disk, "source");
    let named = |key: &str| source.and_then(|source| source.attribute(key)).map(str::to_owned);
    let place = match (disk.attribute("type"), named("file"), named("dev"), named("pool"), named("volume")) {
        (Some("file"), Some(path), ..) | (Some("block"), _, Some(path), ..) => Place::Path(path),
        (Some("volume"), _, _, Some(pool), Some(volume)) => Place::InPool { pool, volume },
        _ => Place::Elsewhere,
    };
    Some((place, format))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disks_place_is_what_the_definition_says_and_not_its_metadata() {
        let disk = |kind: &str, source: &str| {
            format!(
                "<domain><metadata><devices><disk type='file'><source file='/etc/shadow'/><target dev='vda'/></disk>\
                 </devices></metadata><devices><disk type='{kind}'><driver type='raw'/><source {source}/>\
                 <target dev='vda'/></disk></devices></domain>"
            )
        };
        let raw = Some("raw".to_owned());
        let path = |path: &str| Some((Place::Path(path.to_owned()), raw.clone()));
        assert_eq!(place_of(&disk("file", "file='/a'"), "vda"), path("/a"));
        assert_eq!(place_of(&disk("block", "dev='/dev/b'"), "vda"), path("/dev/b"));
        let pool = Place::InPool { pool: "p".to_owned(), volume: "v".to_owned() };
        assert_eq!(place_of(&disk("volume", "pool='p' volume='v'"), "vda"), Some((pool, raw.clone())));
        assert_eq!(place_of(&disk("network", "protocol='rbd'"), "vda"), Some((Place::Elsewhere, raw.clone())));
        assert_eq!(place_of(&disk("file", "file='/a'"), "vdb"), None);
    }
}
