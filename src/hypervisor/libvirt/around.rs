//! What several VMs have around them: networks with their leases, storage pools and volumes. libvirt is asked once for
//! each while VMs are read; what it does not answer stays unknown.

use std::collections::{BTreeMap, BTreeSet};

use virt::connect::Connect;
use virt::storage_pool::StoragePool;
use virt::storage_vol::StorageVol;
use virt::sys;

use super::surroundings;
use crate::discovery::{
    ChainEnd, Disk, DiskSize, DiskSource, Domain, Lease, Limits, Network, Pool, Volume, parse_network, parse_pool,
    parse_volume,
};

/// How far a chain of images is followed.
const CHAIN_MAX: usize = 64;

/// Which volumes are looked at. Each takes two or three questions, and libvirtd opens its file to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Volumes {
    /// Those of every disk, with all that is under them.
    All,
    /// Those of disks whose size block info does not tell, by themselves.
    WithoutSize,
}

/// What was asked so far.
#[derive(Default)]
pub(super) struct Known {
    networks: BTreeMap<String, (Option<Network>, Vec<Lease>)>,
    /// Without volumes.
    pools: BTreeMap<String, Option<Pool>>,
    /// With the names of their pools.
    volumes: BTreeMap<Place, Option<(String, Volume)>>,
    /// Whether there is any pool at all.
    has_pools: Option<bool>,
}

/// How a volume is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Named {
        pool: String,
        volume: String,
    },
    Path(String),
    /// Ceph's volumes have keys that look like paths and are none.
    Key(String),
}

impl Place {
    fn of(source: &DiskSource) -> Option<Self> {
        match source {
            DiskSource::Volume { pool, volume, .. } => Some(Self::Named { pool: pool.clone(), volume: volume.clone() }),
            DiskSource::File { path } | DiskSource::Block { device: path } => Some(Self::Path(path.clone())),
            DiskSource::Network { protocol, name: Some(name), .. } if protocol == "rbd" => {
                Some(Self::Key(name.clone()))
            }
            DiskSource::Network { .. }
            | DiskSource::Directory { .. }
            | DiskSource::Nvme { .. }
            | DiskSource::VhostUser { .. }
            | DiskSource::Unknown { .. } => None,
        }
    }
}

impl Known {
    /// The networks that a domain's interfaces name, and their leases of those interfaces.
    pub(super) fn networks(&mut self, connect: &Connect, domain: &Domain) -> (Vec<Network>, Vec<Lease>) {
        let names: BTreeSet<&str> = domain.nics.iter().filter_map(|nic| nic.source.network()).collect();
        let (mut networks, mut leases) = (Vec::new(), Vec::new());
        for name in names {
            let (network, of_network) =
                self.networks.entry(name.to_owned()).or_insert_with(|| ask_network(connect, name));
            networks.extend(network.clone());
            let ours = |lease: &&Lease| domain.nics.iter().any(|nic| nic.mac == Some(lease.mac));
            leases.extend(of_network.iter().filter(ours).copied());
        }
        (networks, leases)
    }

    /// The pools of a domain's disks, each with their volumes.
    pub(super) fn pools(
        &mut self,
        connect: &Connect,
        domain: &Domain,
        sizes: &BTreeMap<String, DiskSize>,
        which: Volumes,
    ) -> Vec<Pool> {
        let mut pools: BTreeMap<String, Pool> = BTreeMap::new();
        for disk in &domain.disks {
            if which == Volumes::WithoutSize && sizes.contains_key(&disk.target) {
                continue;
            }
            let mut places = places_of(disk, which);
            let mut asked = BTreeSet::new();
            while let Some(place) = places.pop() {
                if asked.len() >= CHAIN_MAX || !asked.insert(place.clone()) {
                    continue;
                }
                if let Place::Named { pool, .. } = &place {
                    self.add_pool(connect, &mut pools, pool);
                }
                let Some((pool, volume)) = self.volume(connect, &place) else { continue };
                // Where the domain leaves the chain open, its volumes may know more.
                if which == Volumes::All && disk.backing.end == ChainEnd::Unseen {
                    places.extend(volume.backing.as_ref().and_then(|image| Place::of(&image.source)));
                }
                self.add_pool(connect, &mut pools, &pool);
                if let Some(pool) = pools.get_mut(&pool) {
                    pool.volumes.insert(volume.name.clone(), volume);
                }
            }
        }
        pools.into_values().collect()
    }

    fn add_pool(&mut self, connect: &Connect, pools: &mut BTreeMap<String, Pool>, name: &str) {
        let known = self.pools.entry(name.to_owned()).or_insert_with(|| ask_pool(connect, name));
        if let Some(pool) = known
            && !pools.contains_key(name)
        {
            pools.insert(name.to_owned(), pool.clone());
        }
    }

    fn volume(&mut self, connect: &Connect, place: &Place) -> Option<(String, Volume)> {
        let any = || connect.num_of_storage_pools().is_ok_and(|pools| pools > 0);
        if !*self.has_pools.get_or_insert_with(any) {
            return None;
        }
        self.volumes.entry(place.clone()).or_insert_with(|| ask_volume(connect, place)).clone()
    }
}

/// A disk's own place, and those of the images that the domain names under it.
fn places_of(disk: &Disk, which: Volumes) -> Vec<Place> {
    let under = match which {
        Volumes::All => disk.backing.images.as_slice(),
        Volumes::WithoutSize => &[],
    };
    disk.source.iter().chain(under.iter().map(|image| &image.source)).filter_map(Place::of).collect()
}

fn ask_network(connect: &Connect, name: &str) -> (Option<Network>, Vec<Lease>) {
    let Ok(network) = connect.lookup_network_by_name(name) else { return (None, Vec::new()) };
    let parsed = match network.xml_desc(0).map(|xml| parse_network(xml, Limits::default())) {
        Ok(Ok(parsed)) => Some(parsed),
        Ok(Err(error)) => {
            tracing::warn!(network = name, %error, "a network's XML is not understood");
            None
        }
        Err(error) => {
            tracing::debug!(network = name, error = error.message(), "a network cannot be read");
            None
        }
    };
    // A network without libvirt's DHCP has no leases and says so with an error.
    (parsed, surroundings::leases(&network).unwrap_or_default())
}

fn ask_pool(connect: &Connect, name: &str) -> Option<Pool> {
    let xml = connect.lookup_storage_pool_by_name(name).and_then(|pool: StoragePool| pool.xml_desc(0));
    let xml = xml.inspect_err(|error| tracing::debug!(pool = name, error = error.message(), "a pool cannot be read"));
    let read = parse_pool(xml.ok()?, Limits::default());
    read.inspect_err(|error| tracing::warn!(pool = name, %error, "a pool's XML is not understood")).ok()
}

fn ask_volume(connect: &Connect, place: &Place) -> Option<(String, Volume)> {
    let found: Result<(String, StorageVol), virt::error::Error> = match place {
        Place::Named { pool, volume } => connect
            .lookup_storage_pool_by_name(pool)
            .and_then(|found| Ok((pool.clone(), found.lookup_storage_vol_by_name(volume)?))),
        Place::Path(path) => connect.lookup_storage_vol_by_path(path).and_then(with_pool),
        Place::Key(key) => connect.lookup_storage_vol_by_key(key).and_then(with_pool),
    };
    let read = found.and_then(|(pool, volume)| Ok((pool, volume.xml_desc(0)?)));
    match read {
        Ok((pool, xml)) => match parse_volume(xml, Limits::default()) {
            Ok(volume) => Some((pool, volume)),
            Err(error) => {
                tracing::warn!(?place, %error, "a volume's XML is not understood");
                None
            }
        },
        // Most often there is none: the file is in no pool.
        Err(error) if error.code().to_raw() == sys::VIR_ERR_NO_STORAGE_VOL => None,
        Err(error) => {
            tracing::debug!(?place, error = error.message(), "a volume cannot be read");
            None
        }
    }
}

fn with_pool(volume: StorageVol) -> Result<(String, StorageVol), virt::error::Error> {
    Ok((volume.lookup_storage_pool()?.name()?, volume))
}
