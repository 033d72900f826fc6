//! OVF 1.x: one descriptor, `<name>.ovf`, that describes a copy of the VM; its disks are exported beside it.
//!
//! Assumes an inventory whose disks have a known size, from libvirt or from the binding: the format asks for it.
//! Guarantees a descriptor in the namespace of OVF 1.0 and 1.1 that DMTF's schema accepts, device names that VMware's
//! products and virt-v2v know, and disk files under names that need no escaping. Without digests of the disks, which
//! are not there yet, a manifest (`.mf`) would be against the standard: none is written.
//! *Source*: <https://www.dmtf.org/standards/ovf> (DSP0243, DSP8023).

mod binding;
mod descriptor;
mod hardware;
mod layout;
mod mapping;
mod os_type;

use super::binding::DraftField;
use super::bundle::BundleFile;
use super::report::Report;
use super::{Files, Renderer};
use crate::discovery::Inventory;
use binding::OvfBinding;
use layout::Layout;

/// The renderer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ovf;

impl Renderer for Ovf {
    type Binding = OvfBinding;

    const NAME: &'static str = "ovf";
    const TITLE: &'static str = "OVF 1.x descriptor";

    /// *Errors*: `binding-malformed` (also when a disk's size is unknown), `artifact-refused`.
    fn files(inventory: &Inventory, binding: &OvfBinding, report: &mut Report<'_>) -> Files {
        let layout = Layout::of(inventory, binding)?;
        let descriptor = descriptor::envelope(inventory, binding, &layout).document()?;
        mapping::map(report, inventory, binding, &layout);
        Ok(vec![BundleFile::new(format!("{}.ovf", layout.file_stem), descriptor)])
    }

    fn draft(inventory: &Inventory) -> Vec<DraftField> {
        binding::draft(inventory)
    }
}
