//! `[limits]`: how long a client is waited for.

use serde::{Deserialize, Serialize};

use super::section::{Read, Table};
use super::{millis, of_millis};
use crate::doors::Limits;

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct LimitsTable {
    head_timeout_ms: u64,
    body_timeout_ms: u64,
}

impl Default for LimitsTable {
    fn default() -> Self {
        let Limits { head, body } = Limits::default();
        Self { head_timeout_ms: millis(head), body_timeout_ms: millis(body) }
    }
}

impl Table for LimitsTable {
    const NAME: &'static str = "limits";
}

impl Read<LimitsTable> {
    pub(super) fn limits(&self) -> Limits {
        Limits { head: of_millis(self.value.head_timeout_ms), body: of_millis(self.value.body_timeout_ms) }
    }
}
