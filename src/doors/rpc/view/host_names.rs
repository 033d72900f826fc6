//! The VMs of the host and what is theirs, as last observed: what answers [`Eyes::whose`], and what error texts are held
//! against.
//!
//! May be given any text; one that is no domain's XML leaves it unknown what the VM has.

use std::collections::{BTreeMap, BTreeSet};

use roxmltree::Node;
use uuid::Uuid;

use super::eyes::{Eyes, Thing, Whose};
use super::judge;
use crate::model::VmId;
use crate::model::xml::parse_up_to;

/// The VMs of the host and what is theirs.
#[derive(Debug, Clone, Default)]
pub struct HostNames {
    vms: BTreeMap<VmId, Known>,
    /// How many of them nobody knows well.
    vague: usize,
    /// Every VM of the host is here.
    whole: bool,
    /// Where the pools are that have their volumes in a directory.
    pools: BTreeMap<String, String>,
    names: Owners<String>,
    macs: Owners<String>,
    /// Without their first byte, which the host's end of a NIC has not.
    tails: Owners<String>,
    nics: Owners<String>,
    paths: Owners<String>,
    /// The last parts of the paths.
    files: Owners<String>,
    volumes: Owners<(String, String)>,
    ports: Owners<Uuid>,
}

type Owners<Key> = BTreeMap<Key, BTreeSet<VmId>>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Known {
    name: String,
    /// Nobody said what it has, or nobody can read it.
    vague: bool,
    macs: BTreeSet<String>,
    nics: BTreeSet<String>,
    paths: BTreeSet<String>,
    volumes: BTreeSet<(String, String)>,
    ports: BTreeSet<Uuid>,
}

impl HostNames {
    /// A VM as it is now, with its XML, as it runs and as it is to start next; it takes the place of what was known.
    /// Without any XML nothing is known but its name.
    pub fn observe(&mut self, vm: VmId, name: &str, xmls: &[&str]) {
        let mut known = Known { name: name.to_owned(), vague: xmls.is_empty(), ..Known::default() };
        for xml in xmls {
            known.read(xml);
        }
        if self.vms.get(&vm) != Some(&known) {
            self.forget(vm);
            self.index(vm, &known);
            self.vague += usize::from(known.vague);
            self.vms.insert(vm, known);
        }
    }

    /// A VM is there no more.
    pub fn forget(&mut self, vm: VmId) {
        let Some(known) = self.vms.remove(&vm) else { return };
        self.vague = self.vague.saturating_sub(usize::from(known.vague));
        drop_owner(&mut self.names, &known.name, vm);
        for mac in &known.macs {
            drop_owner(&mut self.macs, mac, vm);
            drop_owner(&mut self.tails, tail(mac), vm);
        }
        for nic in &known.nics {
            drop_owner(&mut self.nics, nic, vm);
        }
        for path in &known.paths {
            drop_owner(&mut self.paths, path, vm);
            drop_owner(&mut self.files, file(path), vm);
        }
        for volume in &known.volumes {
            drop_owner(&mut self.volumes, volume, vm);
        }
        for port in &known.ports {
            drop_owner(&mut self.ports, port, vm);
        }
    }

    /// Where a pool has its volumes: its XML's `target/path`.
    pub fn observe_pool(&mut self, name: &str, target: &str) {
        self.pools.insert(name.to_owned(), target.trim_end_matches('/').to_owned());
    }

    /// Every VM of the host was observed, with its XML: what no VM has from now on is nobody's.
    pub fn is_all(&mut self) {
        self.whole = true;
    }

    /// VMs may have come that were not observed.
    pub fn may_lack(&mut self) {
        self.whole = false;
    }

    /// The VM of a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<VmId> {
        self.names.get(name).and_then(|vms| vms.first()).copied()
    }

    /// To which VMs something belongs, for a provider that sees those that `sees` says.
    #[must_use]
    pub fn whose(&self, thing: Thing<'_>, sees: &dyn Fn(VmId) -> bool) -> Whose {
        let owners = match thing {
            Thing::Mac(mac) => {
                let mac = mac.to_ascii_lowercase();
                let own = self.macs.get(&mac);
                own.or_else(|| mac.starts_with("fe:").then(|| self.tails.get(tail(&mac))).flatten())
            }
            Thing::HostNic(name) => self.nics.get(name),
            Thing::Path(path) => self.paths.get(path),
            Thing::Volume { pool, name, key } => self.owners_of_volume(pool, name, key),
            Thing::NetworkPort(port) => self.ports.get(&port),
            Thing::Name(name) => self.names.get(name),
        };
        match owners {
            Some(owners) if owners.iter().any(|vm| sees(*vm)) => Whose::Seen,
            Some(_) => Whose::Unseen,
            None if self.is_whole() => Whose::Nobodys,
            None => Whose::Unknown,
        }
    }

    fn owners_of_volume(&self, pool: &str, name: &str, key: Option<&str>) -> Option<&BTreeSet<VmId>> {
        if let Some(owners) = self.volumes.get(&(pool.to_owned(), name.to_owned())) {
            return Some(owners);
        }
        match (self.pools.get(pool), key.filter(|key| key.starts_with('/'))) {
            (Some(target), _) => self.paths.get(&format!("{target}/{name}")),
            (None, Some(path)) => self.paths.get(path),
            // Of another directory perhaps; better too much is hidden than the disk of somebody else shown. An RBD
            // image has a name with its pool's in front.
            (None, None) => self.files.get(name),
        }
    }

    /// Whether this VM is one of the host's.
    pub(super) fn knows(&self, vm: VmId) -> bool {
        self.vms.contains_key(&vm)
    }

    /// Whether every VM is known, with all that is its.
    pub(super) fn is_whole(&self) -> bool {
        self.whole && self.vague == 0
    }

    /// Whether a text has the name of a VM that is not seen, or of something that only such VMs have.
    pub(super) fn names_unseen(&self, text: &str, eyes: &dyn Eyes) -> bool {
        let lower = text.to_ascii_lowercase();
        let unseen = self.vms.iter().filter(|(vm, _)| !eyes.sees(**vm));
        let sees = |vm| eyes.sees(vm);
        let theirs = |thing| self.whose(thing, &sees) == Whose::Unseen;
        for (_, known) in unseen {
            let named = has_word(text, &known.name)
                || known.nics.iter().any(|nic| has_word(text, nic) && theirs(Thing::HostNic(nic)))
                || known.macs.iter().any(|mac| lower.contains(tail(mac)) && theirs(Thing::Mac(mac)))
                || known.paths.iter().any(|path| has_word(text, path) && theirs(Thing::Path(path)))
                || known.volumes.iter().any(|(_, name)| has_word(text, name))
                || judge::uuids(text).any(|uuid| known.ports.contains(&uuid.0));
            if named {
                return true;
            }
        }
        false
    }

    fn index(&mut self, vm: VmId, known: &Known) {
        self.names.entry(known.name.clone()).or_default().insert(vm);
        for mac in &known.macs {
            self.macs.entry(mac.clone()).or_default().insert(vm);
            self.tails.entry(tail(mac).to_owned()).or_default().insert(vm);
        }
        for nic in &known.nics {
            self.nics.entry(nic.clone()).or_default().insert(vm);
        }
        for path in &known.paths {
            self.paths.entry(path.clone()).or_default().insert(vm);
            self.files.entry(file(path).to_owned()).or_default().insert(vm);
        }
        for volume in &known.volumes {
            self.volumes.entry(volume.clone()).or_default().insert(vm);
        }
        for port in &known.ports {
            self.ports.entry(*port).or_default().insert(vm);
        }
    }
}

fn drop_owner<Key, Borrowed>(owners: &mut Owners<Key>, key: &Borrowed, vm: VmId)
where
    Key: Ord + std::borrow::Borrow<Borrowed>,
    Borrowed: Ord + ?Sized,
{
    if let Some(vms) = owners.get_mut(key) {
        vms.remove(&vm);
        if vms.is_empty() {
            owners.remove(key);
        }
    }
}

/// A MAC address without its first byte.
fn tail(mac: &str) -> &str {
    mac.get(2..).unwrap_or(mac)
}

/// The last part of a path.
fn file(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether a text has a word, or words, not as a part of longer ones.
fn has_word(text: &str, word: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    !word.is_empty()
        && text.match_indices(word).any(|(at, found)| {
            let before = text.get(..at).and_then(|before| before.chars().next_back());
            let after = text.get(at + found.len()..).and_then(|after| after.chars().next());
            edge(before) && edge(after)
        })
}

impl Known {
    /// Adds what a domain's XML says that it has.
    fn read(&mut self, xml: &str) {
        /// Far more than any domain has.
        const NODES_MAX: u32 = 500_000;
        let Ok(document) = parse_up_to(xml, NODES_MAX) else {
            self.vague = true;
            return;
        };
        // What is in its metadata is anybody's word.
        let parts = document.root_element().children().filter(|part| !part.has_tag_name("metadata"));
        for node in parts.flat_map(|part| part.descendants()).filter(Node::is_element) {
            match node.tag_name().name() {
                "interface" => self.read_nic(node),
                "source" => self.read_source(node),
                "nvram" => self.paths.extend(node.text().map(|path| path.trim().to_owned())),
                _ => {}
            }
        }
        self.paths.remove("");
    }

    fn read_nic(&mut self, nic: Node<'_, '_>) {
        for child in nic.children().filter(Node::is_element) {
            match child.tag_name().name() {
                "mac" => self.macs.extend(child.attribute("address").map(str::to_ascii_lowercase)),
                "target" => self.nics.extend(child.attribute("dev").map(str::to_owned)),
                "source" => self.ports.extend(child.attribute("portid").and_then(|port| Uuid::try_parse(port).ok())),
                _ => {}
            }
        }
    }

    /// Of a disk, of an image that it lies on, of a mirror, of a shared directory.
    fn read_source(&mut self, source: Node<'_, '_>) {
        let is_of_storage = source
            .ancestors()
            .any(|node| node.has_tag_name("disk") || node.has_tag_name("filesystem") || node.has_tag_name("nvram"));
        if !is_of_storage {
            return;
        }
        for name in ["file", "dev", "dir", "name"] {
            self.paths.extend(source.attribute(name).map(str::to_owned));
        }
        if let (Some(pool), Some(volume)) = (source.attribute("pool"), source.attribute("volume")) {
            self.volumes.insert((pool.to_owned(), volume.to_owned()));
        }
    }
}
