//! The report of what has one line of the configuration.
//!
//! Assumes that `key` is set before the line is told of. Guarantees that what is carried names its line: `net0`.

use crate::artifacts::part::Part;
use crate::artifacts::report::Report;

/// The report of one disk or interface.
pub(super) struct Told<'r, 'f> {
    part: Part<'r, 'f>,
    /// The key of its line.
    pub(super) key: String,
}

impl<'r, 'f> Told<'r, 'f> {
    /// What is at `path` of the inventory, on the line with that key.
    pub(super) fn new(report: &'r mut Report<'f>, path: String, key: String) -> Self {
        Self { part: Part::new(report, path), key }
    }

    /// Carried as it is, as a property of its line.
    pub(super) fn exact(&mut self, field: &str, to: &str) {
        let to = format!("{}: {to}", self.key);
        self.part.exact(field, &to);
    }

    /// Carried in its line, changed by the rule named.
    pub(super) fn approximate(&mut self, field: &str, rule: &str) {
        self.part.approximate(field, &self.key, rule);
    }

    /// Left behind, because.
    pub(super) fn not_carried(&mut self, field: &str, why: &str) {
        self.part.not_carried(field, why);
    }

    /// Cannot be right over there, because.
    pub(super) fn refused(&mut self, field: &str, why: &str) {
        self.part.refused(field, why);
    }
}
