//! Channels that are open, and what is told of guests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::model::{Action, ChannelId, ChannelKind, ProviderId, VmId, Wall};

/// A channel that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChannelView {
    /// Its id.
    #[schema(value_type = String)]
    pub channel: ChannelId,
    /// libvirt's UUID of the VM.
    #[schema(value_type = String)]
    pub vm: VmId,
    /// libvirt's name of it.
    pub name: String,
    /// What it leads to: `console`, `screen`, `nbd` or `disk:vda`.
    #[schema(value_type = String)]
    pub kind: ChannelKind,
    /// Whose it is.
    #[schema(value_type = String)]
    pub owner: ProviderId,
    /// The action under which it was opened.
    #[schema(value_type = String)]
    pub action: Action,
    /// Who is at its other end.
    pub peer: String,
    /// Since when.
    #[schema(value_type = String)]
    pub opened_at: Wall,
    /// For how long. *Units*: seconds.
    pub age_s: u64,
    /// When it is closed at the latest, where it has a lease. *Units*: seconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_left_s: Option<u64>,
    /// What came from its peer. *Units*: bytes.
    pub received: u64,
    /// What its peer was sent. *Units*: bytes.
    pub sent: u64,
}

/// `GET /v1/channels`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChannelList {
    /// By VM and age.
    pub channels: Vec<ChannelView>,
}

/// `GET /v1/vms/{uuid}/guest`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GuestReport {
    /// libvirt's UUID of the VM.
    #[schema(value_type = String)]
    pub vm: VmId,
    /// Addresses by who says so: `lease` (the network's DHCP), `arp` (the host's neighbours), `agent` (the guest).
    #[schema(value_type = Object)]
    pub addresses: BTreeMap<String, Value>,
    /// What the guest's agent says, by libvirt's own names: `os.*`, `hostname`, `timezone.*`, `user.*`, `disk.*` …
    #[schema(value_type = Object)]
    pub agent: BTreeMap<String, Value>,
    /// The mounted file systems. *Units*: bytes.
    #[schema(value_type = Vec<Object>)]
    pub filesystems: Vec<Value>,
    /// What could not be asked, and why.
    pub unknown: BTreeMap<String, String>,
}

/// `GET /v1/vms/{uuid}/stats`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VmStats {
    /// libvirt's UUID of the VM.
    #[schema(value_type = String)]
    pub vm: VmId,
    /// libvirt's name of it.
    pub name: String,
    /// What libvirt counts, by its own names and in its own units.
    #[schema(value_type = Object)]
    pub figures: BTreeMap<String, Value>,
}

/// `GET /v1/stats`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatsList {
    /// By UUID.
    pub vms: Vec<VmStats>,
}
