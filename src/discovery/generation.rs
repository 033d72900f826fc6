//! The generation: one value that changes exactly when a part changes that somebody decided on.
//!
//! Assumes a domain, or an inventory. Guarantees that what moves by itself leaves it alone; `settled` says what that is.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::domain::Domain;
use super::inventory::Inventory;
use super::settled::settled;

/// A digest of what matters: 64 hexadecimal digits.
///
/// Disk capacity, the chain of images and a VLAN of a network's portgroup matter too, so compare generations of
/// inventories that were made from the same kinds of source: one without block info has another generation than one
/// with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(String);

impl Generation {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The generation of a domain alone, as its definition has one.
    pub fn of_domain(domain: &Domain) -> Self {
        Self::of(&settled(domain))
    }

    /// The generation of a definition without its metadata: what providers note there by themselves is no change of
    /// the VM.
    pub fn of_definition(domain: &Domain) -> Self {
        Self::of(&Domain { metadata: Vec::new(), ..settled(domain) })
    }

    /// The generation of a domain with its networks. Pools are not in it: who reads all VMs at once does not look at
    /// them, and what a disk has of its volume, its size, is the domain's.
    pub(super) fn of_inventory(inventory: &Inventory) -> Self {
        Self::of(&(settled(&inventory.domain), &inventory.networks))
    }

    fn of(settled: &impl Serialize) -> Self {
        let mut digest = Sha256::new();
        // The rule's version: a later rule must not meet an earlier one's values by accident.
        digest.update(b"covirt generation 2\0");
        // Only a map with keys that are no text can fail, and the model has none; a fault would still be a constant.
        match serde_json::to_vec(settled) {
            Ok(text) => digest.update(text),
            Err(fault) => digest.update(fault.to_string()),
        }
        Self(hex(&digest.finalize()))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
