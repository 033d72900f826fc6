//! `[metrics]`: where metrics are served besides the API.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::section::Table;

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct MetricsTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) listen: Option<SocketAddr>,
}

impl Table for MetricsTable {
    const NAME: &'static str = "metrics";
}
