//! `[audit]`: where the journal is mirrored to.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::absolute;
use super::mistake::Mistakes;
use super::section::{Read, Table};

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct AuditTable {
    journald: PathBuf,
}

impl Default for AuditTable {
    fn default() -> Self {
        Self { journald: "/run/systemd/journal/socket".into() }
    }
}

impl Table for AuditTable {
    const NAME: &'static str = "audit";
}

impl Read<AuditTable> {
    /// The socket of systemd's journal.
    pub(super) fn checked(&self, mistakes: &mut Mistakes) -> PathBuf {
        absolute(self, "journald", &self.value.journald, mistakes);
        self.value.journald.clone()
    }
}
