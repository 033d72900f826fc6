//! `<disk>`.

use super::boot::Orders;
use super::parts::device_parts;
use super::source::{keep_source, read_source};
use super::words;
use crate::discovery::disk::{
    Backing, BackingImage, ChainEnd, Disk, DiskBus, DiskCache, DiskDevice, DiskSource, Encryption, Mirror, Writes,
};
use crate::discovery::error::FieldFault;
use crate::discovery::known::keep_children;
use crate::discovery::settings::Settings;
use crate::discovery::xml::Element;

/// Reads a disk.
pub(super) fn read(element: Element<'_>, orders: &mut Orders) -> Result<Disk, FieldFault> {
    let mut settings = Settings::new();
    let target = element.child("target");
    let name = target.and_then(|target| target.owned("dev"));
    let name = name.ok_or_else(|| element.fault("the disk has no target dev"))?;
    let boot_order = orders.read(element, || format!("disk:{name}"))?;
    let driver = element.child("driver");
    let option = |name| driver.and_then(|driver: Element<'_>| driver.owned(name));
    let (format, cache) = (option("type"), option("cache").map(DiskCache::from));
    let (io, discard) = (option("io"), option("discard"));
    let kind = element.attribute("type").unwrap_or("file");
    let source = element.child("source");
    let writes = match (element.child("readonly").is_some(), element.child("shareable").is_some()) {
        (false, false) => Writes::Exclusive,
        (false, true) => Writes::Shared,
        (true, false) => Writes::ReadOnly,
        (true, true) => Writes::ReadOnlyShared,
    };
    let mut iotune = Settings::new();
    if let Some(tune) = element.child("iotune") {
        keep_children(tune, words::IOTUNE, "", &mut iotune);
    }
    // Encryption is the image's; older libvirt wrote it beside the source.
    let encryption = element.child("encryption").or_else(|| source.and_then(|source| source.child("encryption")));
    let encryption = encryption.map(read_encryption);
    let disk = Disk {
        target: name,
        bus: target.and_then(|target| target.owned("bus")).map(DiskBus::from),
        device: DiskDevice::from(element.attribute("device").unwrap_or("disk").to_owned()),
        source: source.and_then(|source| read_source(kind, source)),
        format,
        volume: None,
        backing: read_chain(element, &mut settings),
        cache,
        io,
        discard,
        serial: element.text_of("serial"),
        wwn: element.text_of("wwn"),
        writes,
        boot_order,
        address: device_parts(element, &mut settings),
        mirror: element.child("mirror").map(|mirror| read_mirror(mirror, &mut settings)),
        encryption,
        iotune,
        settings: Settings::new(),
        size: None,
    };
    if let Some(source) = source {
        keep_source(source, "source", &mut settings);
    }
    // What libvirt remembers of a blockdev chain between its own restarts.
    element.ignore_children("privateData");
    words::DISK.keep(element, "", &mut settings);
    Ok(Disk { settings, ..disk })
}

fn read_encryption(element: Element<'_>) -> Encryption {
    Encryption { format: element.owned("format").unwrap_or_default(), engine: element.owned("engine") }
}

/// Follows nested `<backingStore>` elements; an empty one says that there is nothing under the image.
fn read_chain(disk: Element<'_>, settings: &mut Settings) -> Backing {
    let mut backing = Backing::default();
    let mut next = disk.child("backingStore");
    while let Some(store) = next {
        // The number of the image in this run.
        store.ignore_attributes(&["index"]);
        let (format, source) = (store.child("format"), store.child("source"));
        let kind = store.attribute("type");
        if source.is_none() && format.is_none() {
            backing.end = ChainEnd::Seen;
            break;
        }
        let prefix = format!("backing[{}]", backing.images.len() + 1);
        let kind = kind.unwrap_or("file");
        let image = BackingImage {
            source: source
                .and_then(|source| read_source(kind, source))
                .unwrap_or_else(|| DiskSource::Unknown { raw: kind.to_owned() }),
            format: format.and_then(|format| format.owned("type")),
            volume: None,
        };
        backing.images.push(image);
        if let Some(source) = source {
            keep_source(source, &format!("{prefix}.source"), settings);
        }
        words::BACKING.keep(store, &prefix, settings);
        next = store.child("backingStore");
    }
    backing
}

fn read_mirror(element: Element<'_>, settings: &mut Settings) -> Mirror {
    let kind = element.attribute("type").unwrap_or("file");
    let source = element.child("source");
    let format = element.child("format");
    // Since libvirt 1.2.6 in elements; before, and for old readers, in attributes.
    let (old_file, old_format) = (element.owned("file"), element.owned("format"));
    let mirror = Mirror {
        job: element.owned("job"),
        source: source
            .and_then(|source| read_source(kind, source))
            .or_else(|| old_file.map(|path| DiskSource::File { path })),
        format: format.and_then(|format| format.owned("type")).or(old_format),
        ready: element.owned("ready"),
    };
    if let Some(source) = source {
        keep_source(source, "mirror.source", settings);
    }
    // The chain under a copy is the job's own state.
    element.ignore_children("backingStore");
    words::MIRROR.keep(element, "mirror", settings);
    mirror
}
