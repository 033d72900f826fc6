//! What every file of a bundle is about: the VM with its binding, its name as OpenStack takes it, and ids.
//!
//! Assumes an inventory and a checked binding. Guarantees that an id is the operator's, or the one the VM's switch
//! already knows, or derived from the VM's UUID and what is lasting about the thing (an interface's MAC, a volume's
//! key), never from anything libvirt makes anew at each start.

use serde_json::Value;
use uuid::Uuid;

use super::super::bundle::{BundleFile, pretty};
use super::binding::Binding;
use crate::discovery::Inventory;

/// The VM.
#[derive(Debug)]
pub(super) struct Vm<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) binding: &'a Binding,
    pub(super) uuid: Uuid,
    /// Its name, of the form that Nova takes.
    pub(super) name: String,
}

impl<'a> Vm<'a> {
    pub(super) fn new(inventory: &'a Inventory, binding: &'a Binding, uuid: Uuid) -> Self {
        Self { inventory, binding, uuid, name: printable(&inventory.domain.identity.name, 255) }
    }
}

/// An id, and whether OpenStack knows it yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) uuid: Uuid,
    pub(super) origin: Origin,
}

/// Where an id comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The operator says that OpenStack has it.
    Bound,
    /// The VM's switch knows the interface by it, and Neutron may or may not.
    InterfaceId,
    /// Made here; it holds the place of the one that OpenStack will give.
    Derived,
}

impl Id {
    /// The operator's id, else one made from `key`.
    pub(super) fn bound_or_derived(bound: Option<Uuid>, vm: Uuid, key: &str) -> Self {
        match bound {
            Some(uuid) => Self { uuid, origin: Origin::Bound },
            None => Self { uuid: Uuid::new_v5(&vm, key.as_bytes()), origin: Origin::Derived },
        }
    }
}

/// `text` as a name of at most `most` characters: printable, without blanks at its ends, never empty.
pub(super) fn printable(text: &str, most: usize) -> String {
    // Nova's pattern ends at U+FFFD and leaves out what is not assigned; letters, digits and ASCII are all inside.
    let fits = |c: char| c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() && u32::from(c) <= 0xffff;
    let text: String = text.trim().chars().map(|c| if fits(c) { c } else { '-' }).take(most).collect();
    let text = text.trim_end();
    if text.is_empty() { "vm".to_owned() } else { text.to_owned() }
}

/// A JSON file.
pub(super) fn json_file(path: impl Into<String>, value: &Value) -> BundleFile {
    BundleFile::new(path, pretty(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_printable_and_never_empty() {
        assert_eq!(printable(" web\t01 ", 255), "web-01");
        assert_eq!(printable("\u{1f600}", 255), "-");
        assert_eq!(printable("  ", 255), "vm");
        assert_eq!(printable("abc d", 4), "abc");
    }
}
