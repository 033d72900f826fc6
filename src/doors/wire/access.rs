//! Channels that are open, and what is told of guests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::doors::enrollment::Kind;
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

/// `GET /v1/vms/{uuid}/access`: how a provider reaches this agent. Nothing of it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reachable {
    /// Whose access it is.
    #[schema(value_type = String)]
    pub provider: ProviderId,
    /// What it is, when it was added at run time: a format of artifacts, `libvirt` or `other`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub kind: Option<Kind>,
    /// This agent's host, by the name under which providers reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where a provider with a token joins, `HOST:PORT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<String>,
    /// The API's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_port: Option<u16>,
    /// The port for libvirt's clients, if this provider has a door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libvirt_port: Option<u16>,
    /// The SHA-256 of this agent's certificate, as `sha256:HEX`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The same of its own authority's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}
