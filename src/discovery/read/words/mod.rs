//! libvirt's words that are kept by name, element by element.
//!
//! Assumes that the readers took the typed parts before. Guarantees that no word here carries a secret's value: those
//! are left out on purpose, and the readers pass over them.
//!
//! *Source*: <https://libvirt.org/formatdomain.html> and libvirt's schema `domaincommon.rng`.

mod devices;
mod machine;
mod network;
mod storage;

pub(super) use devices::*;
pub(super) use machine::*;
pub(super) use network::*;
pub(super) use storage::*;

use crate::discovery::known::{Known, known, text};

/// Options of every virtio device.
const VIRTIO: Known = known("driver", &["iommu", "ats", "packed", "page_per_vq"], &[]);

const ADDRESS: Known = known("address", &["multifunction"], &[known("zpci", &["uid", "fid"], &[])]);

/// What any device may have.
pub(in crate::discovery::read) const DEVICE: &[Known] = &[
    known("alias", &[], &[]),
    known("acpi", &["index"], &[]),
    known("boot", &["loadparm"], &[]),
    ADDRESS,
    known("rom", &["bar", "file", "enabled"], &[]),
];

const SECLABEL: Known = known("seclabel", &["model", "relabel", "labelskip"], &[text("label", &[])]).many();

const RECONNECT: Known = known("reconnect", &["enabled", "timeout", "delay"], &[]);
