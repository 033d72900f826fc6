//! From a disk to the volumes that hold it: its own, and those of the images under it.
//!
//! Assumes disks as the domain has them, and volumes as their pools have them. Guarantees that a volume is named only
//! when its pool was looked at and has it, that the chain the domain tells is never replaced, and that a chain is said
//! to end only where it was seen to.

use std::collections::{BTreeMap, BTreeSet};

use crate::discovery::disk::{BackingImage, ChainEnd, Disk, DiskSize, DiskSource, VolumeRef};
use crate::discovery::storage::{Pool, PoolType, Volume};

/// Fills in sizes, volumes and chains; gives the pools that are used, by name, each with the volumes that are.
pub(super) fn resolve(
    disks: &mut [Disk],
    sizes: &BTreeMap<String, DiskSize>,
    pools: Vec<Pool>,
) -> BTreeMap<String, Pool> {
    let mut pools: BTreeMap<String, Pool> = pools.into_iter().map(|pool| (pool.name.clone(), pool)).collect();
    let index = Index::of(&pools);
    let mut used = BTreeSet::new();
    for disk in disks.iter_mut() {
        disk.volume = disk.source.as_ref().and_then(|source| index.find(source));
        let volume = disk.volume.as_ref().and_then(|volume| named(&pools, volume));
        disk.size = sizes.get(&disk.target).copied().or_else(|| volume.and_then(size_of));
        resolve_chain(disk, &pools, &index);
        used.extend(disk.volume.clone());
        used.extend(disk.backing.images.iter().filter_map(|image| image.volume.clone()));
    }
    let named_pools: BTreeSet<&str> = disks.iter().filter_map(|disk| disk.source.as_ref()?.pool()).collect();
    pools.retain(|name, pool| {
        pool.volumes.retain(|volume, _| used.contains(&VolumeRef { pool: name.clone(), volume: volume.clone() }));
        !pool.volumes.is_empty() || named_pools.contains(name.as_str())
    });
    pools
}

fn named<'a>(pools: &'a BTreeMap<String, Pool>, volume: &VolumeRef) -> Option<&'a Volume> {
    pools.get(&volume.pool)?.volumes.get(&volume.volume)
}

/// What block info would have said, when the volume says all of it.
fn size_of(volume: &Volume) -> Option<DiskSize> {
    Some(DiskSize { capacity: volume.capacity, allocation: volume.allocation?, physical: volume.physical? })
}

/// Every volume by the ways a disk may name it.
struct Index {
    by_name: BTreeSet<VolumeRef>,
    /// By path and by key: some drivers' paths change with each start and only the key stays.
    by_path: BTreeMap<String, VolumeRef>,
    /// Images of Ceph, as `POOL/IMAGE`.
    by_rbd_name: BTreeMap<String, VolumeRef>,
}

impl Index {
    fn of(pools: &BTreeMap<String, Pool>) -> Self {
        let (mut by_name, mut by_path, mut by_rbd_name) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        for (pool_name, pool) in pools {
            for (name, volume) in &pool.volumes {
                let found = VolumeRef { pool: pool_name.clone(), volume: name.clone() };
                let into = if pool.kind == PoolType::Rbd { &mut by_rbd_name } else { &mut by_path };
                for place in volume.path.iter().chain(&volume.key) {
                    into.entry(place.clone()).or_insert_with(|| found.clone());
                }
                by_name.insert(found);
            }
        }
        Self { by_name, by_path, by_rbd_name }
    }

    fn find(&self, source: &DiskSource) -> Option<VolumeRef> {
        match source {
            DiskSource::Volume { pool, volume, .. } => {
                let named = VolumeRef { pool: pool.clone(), volume: volume.clone() };
                self.by_name.contains(&named).then_some(named)
            }
            DiskSource::File { path } | DiskSource::Block { device: path } | DiskSource::Directory { path } => {
                self.by_path.get(path).cloned()
            }
            DiskSource::Network { protocol, name: Some(name), .. } if protocol == "rbd" => {
                self.by_rbd_name.get(name).cloned()
            }
            DiskSource::Network { .. }
            | DiskSource::Nvme { .. }
            | DiskSource::VhostUser { .. }
            | DiskSource::Unknown { .. } => None,
        }
    }
}

/// Names the volumes of the chain, and follows it where the domain leaves it open: libvirt tells of a volume only the
/// image right under it.
fn resolve_chain(disk: &mut Disk, pools: &BTreeMap<String, Pool>, index: &Index) {
    for image in &mut disk.backing.images {
        image.volume = index.find(&image.source);
    }
    let (mut last, mut format) = match disk.backing.images.last() {
        Some(image) => (image.volume.clone(), image.format.clone()),
        None => (disk.volume.clone(), disk.format.clone()),
    };
    let mut seen: BTreeSet<VolumeRef> = disk.volume.iter().cloned().collect();
    seen.extend(disk.backing.images.iter().filter_map(|image| image.volume.clone()));
    while disk.backing.end == ChainEnd::Unseen {
        // The guest's format decides, not the file's: a qcow2 file used as raw has nothing under it.
        if format.as_deref() == Some("raw") {
            disk.backing.end = ChainEnd::Seen;
            return;
        }
        let Some(volume) = last.and_then(|last| named(pools, &last)) else { return };
        let Some(under) = &volume.backing else {
            // A volume whose format was looked at and that has nothing under it.
            if volume.format.is_some() && volume.kind.as_deref() == Some("file") {
                disk.backing.end = ChainEnd::Seen;
            }
            return;
        };
        let found = index.find(&under.source);
        // Volumes that stand on each other would never end.
        if found.as_ref().is_some_and(|found| !seen.insert(found.clone())) {
            return;
        }
        disk.backing.images.push(BackingImage { volume: found.clone(), ..under.clone() });
        (last, format) = (found, under.format.clone());
    }
}
