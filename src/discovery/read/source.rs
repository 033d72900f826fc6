//! `<source>` of disks, images under them, copies and UEFI variables.

use super::words;
use crate::discovery::address::DeviceAddress;
use crate::discovery::disk::DiskSource;
use crate::discovery::settings::Settings;
use crate::discovery::xml::Element;

/// Reads where the bytes are; a source without a location is an empty drive.
pub(super) fn read_source(kind: &str, source: Element<'_>) -> Option<DiskSource> {
    match kind {
        "file" => source.owned("file").map(|path| DiskSource::File { path }),
        "block" => source.owned("dev").map(|device| DiskSource::Block { device }),
        "dir" => source.owned("dir").map(|path| DiskSource::Directory { path }),
        "network" => source.owned("protocol").map(|protocol| DiskSource::Network {
            protocol,
            name: source.owned("name"),
            hosts: source.children("host").filter_map(spell_host).collect(),
        }),
        "volume" => {
            let (pool, volume) = (source.owned("pool"), source.owned("volume"));
            let mode = source.owned("mode");
            // libvirt wants both; of a file that names one, that one is kept.
            let named = pool.is_some() || volume.is_some();
            let (pool, volume) = (pool.unwrap_or_default(), volume.unwrap_or_default());
            named.then_some(DiskSource::Volume { pool, volume, mode })
        }
        "nvme" => Some(DiskSource::Nvme {
            // It is a PCI address that does not say so.
            address: source.child("address").and_then(|address| DeviceAddress::read_as("pci", address)),
            namespace: source.owned("namespace"),
        }),
        "vhostuser" => source.owned("path").map(|path| DiskSource::VhostUser { path }),
        other => Some(DiskSource::Unknown { raw: other.to_owned() }),
    }
}

/// Keeps the options of a source, under `prefix`.
pub(super) fn keep_source(source: Element<'_>, prefix: &str, settings: &mut Settings) {
    // The number of the image in this run, what libvirt needs to find it again, and the chain's own state.
    source.ignore_attributes(&["index"]);
    source.ignore_children("privateData");
    if let Some(reservations) = source.child("reservations")
        && reservations.attribute("managed") == Some("yes")
    {
        // The helper's socket is made up at each start.
        reservations.ignore_children("source");
        settings.insert(format!("{prefix}.reservations.managed"), "yes".to_owned());
    }
    if source.attribute("query").is_some() {
        // What follows the `?` of a signed address is a credential: only that there is one is kept.
        settings.insert(format!("{prefix}.query"), String::new());
    }
    // A cookie's value is a credential: only its name is kept.
    for cookie in source.child("cookies").iter().flat_map(|cookies| cookies.children("cookie")) {
        cookie.text();
    }
    words::DISK_SOURCE.keep(source, prefix, settings);
}

/// `name:port`, `[v6]:port`, or the path of a socket.
fn spell_host(host: Element<'_>) -> Option<String> {
    // A socket beside a name means nothing, and stays unread.
    match host.attribute("name") {
        Some(name) => match host.attribute("port") {
            Some(port) if name.contains(':') => Some(format!("[{name}]:{port}")),
            Some(port) => Some(format!("{name}:{port}")),
            None => Some(name.to_owned()),
        },
        None => host.owned("socket"),
    }
}
