//! What a port lets in.

use std::time::Duration;

use crate::doors::bounds::Room;

/// The bounds of one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsLimits {
    /// For a handshake.
    pub handshake: Duration,
    /// Connections of all.
    pub connections: u32,
    /// Connections of one address; of IPv6, of one /64.
    pub connections_per_address: u32,
    /// Connections of one provider.
    pub connections_per_provider: u32,
    /// Requests of one provider in a second; as many may come at once.
    pub requests_per_second: u32,
}

impl Default for TlsLimits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            connections: 1024,
            connections_per_address: 128,
            connections_per_provider: 256,
            requests_per_second: 100,
        }
    }
}

impl TlsLimits {
    pub(super) fn room(&self) -> Room {
        Room {
            all: self.connections,
            per_origin: self.connections_per_address,
            per_provider: self.connections_per_provider,
        }
    }
}
