//! From what is known about a thing to whether a provider may see it.

use super::eyes::{Eyes, Thing, Whose};
use super::shapes::{Lease, Secret, Volume};

/// What a thing is when no VM has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// The host's, as a pool's ISO image or a network card is: everybody reads it.
    Hosts,
    /// A guest's even then, as a lease is: only the host role sees it.
    Guests,
}

/// Whether a thing, known by all of these, may be seen. One that belongs to somebody else hides it.
pub(super) fn sees(eyes: &dyn Eyes, nature: Nature, things: &[Thing<'_>]) -> bool {
    let mut found = Whose::Nobodys;
    for thing in things {
        found = match (found, eyes.whose(*thing)) {
            (Whose::Unseen, _) | (_, Whose::Unseen) => Whose::Unseen,
            (Whose::Seen, _) | (_, Whose::Seen) => Whose::Seen,
            (Whose::Unknown, _) | (_, Whose::Unknown) => Whose::Unknown,
            (Whose::Nobodys, Whose::Nobodys) => Whose::Nobodys,
        };
    }
    match (found, nature) {
        (Whose::Seen, _) | (Whose::Nobodys, Nature::Hosts) => true,
        (Whose::Unseen, _) => false,
        (Whose::Unknown, _) | (Whose::Nobodys, Nature::Guests) => eyes.sees_host(),
    }
}

/// A volume as libvirt names it.
pub(super) fn sees_volume(eyes: &dyn Eyes, volume: &Volume<'_>) -> bool {
    let Volume { pool, name, key } = *volume;
    sees(eyes, Nature::Hosts, &[Thing::Volume { pool, name, key: Some(key) }])
}

/// A file or a block device.
pub(super) fn sees_path(eyes: &dyn Eyes, path: &str) -> bool {
    sees(eyes, Nature::Hosts, &[Thing::Path(path)])
}

/// A node device: only the host's end of a NIC is ever a VM's, `net_vnet0_fe_54_00_00_00_01`.
pub(super) fn sees_device(eyes: &dyn Eyes, device: &str) -> bool {
    const MAC: usize = "00_00_00_00_00_00".len();
    let Some(nic) = device.strip_prefix("net_") else { return true };
    let mac = nic.len().checked_sub(MAC).and_then(|at| nic.get(at..)).map(|mac| mac.replace('_', ":"));
    let name = nic.len().checked_sub(MAC + 1).and_then(|end| nic.get(..end)).unwrap_or(nic);
    match &mac {
        Some(mac) => sees(eyes, Nature::Hosts, &[Thing::HostNic(name), Thing::Mac(mac)]),
        None => sees(eyes, Nature::Hosts, &[Thing::HostNic(name)]),
    }
}

/// A host interface, with its MAC address where libvirt says it.
pub(super) fn sees_interface(eyes: &dyn Eyes, name: &str, mac: Option<&str>) -> bool {
    match mac.filter(|mac| !mac.is_empty()) {
        Some(mac) => sees(eyes, Nature::Hosts, &[Thing::HostNic(name), Thing::Mac(mac)]),
        None => sees(eyes, Nature::Hosts, &[Thing::HostNic(name)]),
    }
}

/// A port of a network.
pub(super) fn sees_port(eyes: &dyn Eyes, port: uuid::Uuid) -> bool {
    sees(eyes, Nature::Guests, &[Thing::NetworkPort(port)])
}

/// A binding of a network filter, by its port's device.
pub(super) fn sees_binding(eyes: &dyn Eyes, device: &str) -> bool {
    sees(eyes, Nature::Guests, &[Thing::HostNic(device)])
}

/// A lease. A guest says its host name itself, so the MAC address decides where it can.
pub(super) fn sees_lease(eyes: &dyn Eyes, lease: &Lease<'_>) -> bool {
    match lease.mac.map(|mac| eyes.whose(Thing::Mac(mac))) {
        Some(Whose::Seen) => true,
        Some(Whose::Unseen) => false,
        Some(Whose::Nobodys | Whose::Unknown) | None => {
            eyes.sees_host()
                && lease.host.is_none_or(|host| match eyes.whose(Thing::Name(host)) {
                    Whose::Unseen => false,
                    Whose::Seen | Whose::Nobodys | Whose::Unknown => true,
                })
        }
    }
}

/// A secret, by what it is for: a volume, or a text that may have a VM's UUID in it, as that of a TPM's has.
pub(super) fn sees_secret(eyes: &dyn Eyes, secret: &Secret<'_>) -> bool {
    /// *Source*: `VIR_SECRET_USAGE_TYPE_VOLUME`.
    const VOLUME: i32 = 1;
    let path = secret.usage != VOLUME || sees_path(eyes, secret.of);
    path && !uuids(secret.of).any(|vm| !eyes.sees(vm))
}

/// The UUIDs in a text.
pub(super) fn uuids(text: &str) -> impl Iterator<Item = crate::model::VmId> {
    const LENGTH: usize = "00000000-0000-0000-0000-000000000000".len();
    // The first dash of each is looked for: most texts have none, and most dashes are no UUID's.
    text.match_indices('-').filter_map(|(dash, _)| {
        let from = dash.checked_sub(8)?;
        let found = text.get(from..from + LENGTH)?;
        uuid::Uuid::try_parse(found).ok().map(crate::model::VmId)
    })
}

/// A message whose layout nobody knows, for the host role: whether it has the UUID of a VM that is not seen, as libvirt
/// writes it into a message or into a text.
pub(super) fn is_clean(payload: &[u8], eyes: &dyn Eyes) -> bool {
    let raw = payload
        .windows(16)
        .step_by(4)
        .filter_map(|bytes| uuid::Uuid::from_slice(bytes).ok())
        .all(|uuid| eyes.sees(crate::model::VmId(uuid)));
    raw && uuids(&String::from_utf8_lossy(payload)).all(|vm| eyes.sees(vm))
}
