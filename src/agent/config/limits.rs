//! `[limits]`: how long a client is waited for, and how many connections it may have.

use serde::{Deserialize, Serialize};

use super::mistake::Mistakes;
use super::section::{Read, Table};
use super::{millis, of_millis};
use crate::doors::Limits;

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct LimitsTable {
    head_timeout_ms: u64,
    body_timeout_ms: u64,
    connections_per_peer: u32,
}

impl Default for LimitsTable {
    fn default() -> Self {
        let Limits { head, body, connections } = Limits::default();
        Self { head_timeout_ms: millis(head), body_timeout_ms: millis(body), connections_per_peer: connections }
    }
}

impl Table for LimitsTable {
    const NAME: &'static str = "limits";
}

impl Read<LimitsTable> {
    pub(super) fn limits(&self, mistakes: &mut Mistakes) -> Limits {
        let LimitsTable { head_timeout_ms, body_timeout_ms, connections_per_peer } = self.value;
        if connections_per_peer == 0 {
            let hint = Some("it is at least 1");
            self.wrong("connections_per_peer", "with 0 nobody could come in", hint, mistakes);
        }
        Limits { head: of_millis(head_timeout_ms), body: of_millis(body_timeout_ms), connections: connections_per_peer }
    }
}
