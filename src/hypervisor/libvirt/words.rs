//! VMs and what is theirs in libvirt's own words: who has which file, which NIC, which volume.

use roxmltree::Node;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::storage_pool::StoragePool;
use virt::sys;

use super::core::present;
use super::failure::Fault;
use super::xml::{devices, without_metadata};
use crate::hypervisor::{Description, DiskOf, PoolFolder};
use crate::model::VmId;
use crate::model::xml::parse;

pub(super) fn describe(connect: &Connect, which: Option<VmId>) -> Result<Vec<Description>, Fault> {
    let domains = match which {
        Some(vm) => present(connect, vm)?.into_iter().collect(),
        None => connect.list_all_domains(0).map_err(Fault::harmless(connect))?,
    };
    // One that goes meanwhile is left out.
    Ok(domains.iter().filter_map(description).collect())
}

fn description(domain: &Domain) -> Option<Description> {
    let (vm, name) = (VmId(domain.uuid().ok()?), domain.name().ok()?);
    let xmls = [0, sys::VIR_DOMAIN_XML_INACTIVE].into_iter().filter_map(|flags| domain.xml_desc(flags).ok());
    Some(Description { vm, name, xmls: xmls.map(|xml| without_metadata(&xml).into_owned()).collect() })
}

pub(super) fn pool_folders(connect: &Connect) -> Result<Vec<PoolFolder>, Fault> {
    let pools = match connect.list_all_storage_pools(0) {
        Ok(pools) => pools,
        // A driver without storage.
        Err(error) if error.code().to_raw() == sys::VIR_ERR_NO_SUPPORT => return Ok(Vec::new()),
        Err(error) => return Err(Fault::harmless(connect)(error)),
    };
    Ok(pools.iter().filter_map(folder).collect())
}

fn folder(pool: &StoragePool) -> Option<PoolFolder> {
    let xml = pool.xml_desc(0).ok()?;
    let document = parse(&xml).ok()?;
    let target = document.root_element().children().find(|node| node.has_tag_name("target"))?;
    let path = target.children().find(|node| node.has_tag_name("path"))?.text()?;
    Some(PoolFolder { pool: pool.name().ok()?, path: path.to_owned() })
}

pub(super) fn saved_in(connect: &Connect, file: &str) -> Result<VmId, Fault> {
    let xml = connect.save_image_xml_desc(file, 0).map_err(Fault::harmless(connect))?;
    let nothing = || Fault::Failed("the image does not say whose memory it holds".to_owned());
    let document = parse(&xml).map_err(|_| nothing())?;
    let uuid = document.root_element().children().find(|node| node.has_tag_name("uuid")).and_then(|node| node.text());
    uuid.and_then(|uuid| uuid.trim().parse().ok()).ok_or_else(nothing)
}

pub(super) fn disks_on(connect: &Connect, pool: &str, volume: &str) -> Result<Vec<DiskOf>, Fault> {
    let missing = |error: &virt::error::Error| {
        matches!(error.code().to_raw(), sys::VIR_ERR_NO_STORAGE_POOL | sys::VIR_ERR_NO_STORAGE_VOL)
    };
    let found = connect.lookup_storage_pool_by_name(pool).and_then(|pool| pool.lookup_storage_vol_by_name(volume));
    let path = match found.and_then(|volume| volume.path()) {
        Ok(path) => path,
        Err(error) if missing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(Fault::harmless(connect)(error)),
    };
    let mut disks = Vec::new();
    for Description { vm, xmls, .. } in describe(connect, None)? {
        for xml in xmls {
            let targets = targets_on(&xml, &path, (pool, volume));
            let unread = || Fault::Failed(format!("the XML of the VM {vm} cannot be read"));
            for target in targets.ok_or_else(unread)? {
                let disk = DiskOf { vm, target };
                if !disks.contains(&disk) {
                    disks.push(disk);
                }
            }
        }
    }
    Ok(disks)
}

/// The targets of the disks that a volume is, or that lie on it; none when the XML cannot be read.
fn targets_on(xml: &str, path: &str, (pool, volume): (&str, &str)) -> Option<Vec<String>> {
    let document = parse(xml).ok()?;
    let is_it = |source: Node<'_, '_>| {
        source.has_tag_name("source")
            && (["file", "dev", "name"].iter().any(|key| source.attribute(*key) == Some(path))
                || (source.attribute("pool"), source.attribute("volume")) == (Some(pool), Some(volume)))
    };
    // What is elsewhere in it, its metadata for one, is anybody's word.
    let disks = devices(&document).filter(|node| node.has_tag_name("disk"));
    let found = disks
        .filter(|disk| disk.descendants().any(is_it))
        .filter_map(|disk| disk.children().find(|node| node.has_tag_name("target"))?.attribute("dev"));
    Some(found.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets_on(xml: &str, path: &str, volume: (&str, &str)) -> Vec<String> {
        super::targets_on(xml, path, volume).unwrap()
    }

    #[test]
    fn a_disk_is_found_by_its_path_its_volume_and_what_it_lies_on() {
        let xml = "<domain><devices>\
            <disk><source file='/a/top'/><backingStore><source file='/a/base'/></backingStore><target dev='vda'/></disk>\
            <disk><source pool='p' volume='v'/><target dev='vdb'/></disk></devices></domain>";
        assert_eq!(targets_on(xml, "/a/base", ("q", "base")), ["vda"]);
        assert_eq!(targets_on(xml, "/p/v", ("p", "v")), ["vdb"]);
        assert_eq!(targets_on(xml, "/a/other", ("p", "w")), [""; 0]);
        assert_eq!(super::targets_on("<", "/a/top", ("p", "v")), None, "nobody knows");
    }

    #[test]
    fn what_a_vms_metadata_says_makes_no_disk_of_its() {
        let disk = "<disk><source file='/a/other'/><target dev='vda'/></disk>";
        let xml = format!("<domain><metadata><devices>{disk}</devices>{disk}</metadata><devices/></domain>");
        assert_eq!(targets_on(&xml, "/a/other", ("p", "v")), [""; 0]);
        assert_eq!(without_metadata(&xml), "<domain><devices/></domain>");
        let given = "<domain><metadata a='&lt;' b='/>'><c/></metadata><devices/></domain>";
        assert_eq!(without_metadata(given), "<domain><devices/></domain>");
        let tricky = "<domain><metadata><!-- </metadata> --><metadata>a</metadata></metadata><devices/></domain>";
        assert_eq!(without_metadata(tricky), "<domain><devices/></domain>");
        for whole in
            ["<domain><metadata/></domain>", "<domain><metadata a='b'/></domain>", "<domain/>", "</metadata><metadata>"]
        {
            assert_eq!(without_metadata(whole), whole);
        }
    }
}
