//! The report of one part of the VM: a disk, an interface.
//!
//! Assumes the part's path in the inventory. Guarantees rules about its own fields, and no others.

use super::report::Report;

/// The fields of one part; the empty name stands for all of it.
#[derive(Debug)]
pub(super) struct Part<'r, 'f> {
    report: &'r mut Report<'f>,
    path: String,
}

impl<'r, 'f> Part<'r, 'f> {
    /// The part at `path`.
    pub(super) fn new(report: &'r mut Report<'f>, path: String) -> Self {
        Self { report, path }
    }

    fn pattern(&self, field: &str) -> String {
        if field.is_empty() { self.path.clone() } else { format!("{}.{field}", self.path) }
    }

    /// Carried as it is, to the place named.
    pub(super) fn exact(&mut self, field: &str, to: &str) {
        let pattern = self.pattern(field);
        self.report.exact(&pattern, to);
    }

    /// Carried, changed by the rule named.
    pub(super) fn approximate(&mut self, field: &str, to: &str, rule: &str) {
        let pattern = self.pattern(field);
        self.report.approximate(&pattern, to, rule);
    }

    /// Left behind, because.
    pub(super) fn not_carried(&mut self, field: &str, why: &str) {
        let pattern = self.pattern(field);
        self.report.not_carried(&pattern, why);
    }

    /// Cannot be right over there, because.
    pub(super) fn refused(&mut self, field: &str, why: &str) {
        let pattern = self.pattern(field);
        self.report.refused(&pattern, why);
    }
}
