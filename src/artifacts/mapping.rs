//! The mapping report: what became of every field of the inventory.
//!
//! Assumes that a renderer takes the inventory apart without `..`. Guarantees one entry a field, in the order of the
//! inventory; a field of a list names its element (`disks[vda].bus`).

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

impl Mapping {
    pub(super) fn exact(&mut self, field: impl Into<String>, to: &str) {
        self.push(field, Fate::Exact { to: to.to_owned() });
    }

    pub(super) fn approximate(&mut self, field: impl Into<String>, to: &str, rule: &str) {
        self.push(field, Fate::Approximate { to: to.to_owned(), rule: rule.to_owned() });
    }

    pub(super) fn not_carried(&mut self, field: impl Into<String>, why: &str) {
        self.push(field, Fate::NotCarried { why: why.to_owned() });
    }

    pub(super) fn refused(&mut self, field: impl Into<String>, why: &str) {
        self.push(field, Fate::Refused { why: why.to_owned() });
    }

    fn push(&mut self, field: impl Into<String>, fate: Fate) {
        self.0.push(MappingEntry { field: field.into(), fate });
    }
}
