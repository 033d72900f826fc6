//! The mapping report: what became of every field of the inventory.
//!
//! Assumes a finished `Report`. Guarantees one entry for every field the inventory has, in its order; a field of a list
//! names its element (`disks[vda].bus`). What the VM does not have is not listed.

use serde::{Deserialize, Serialize};

/// What became of each field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mapping(pub Vec<MappingEntry>);

/// What became of one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingEntry {
    /// The field's path in the inventory.
    pub field: String,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// What became of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "kebab-case")]
pub enum Fate {
    /// Carried as it is, to the place named.
    Exact { to: String },
    /// Carried, changed by the rule named.
    Approximate { to: String, rule: String },
    /// Left behind, because.
    NotCarried { why: String },
    /// Cannot be right over there, because.
    Refused { why: String },
}
