//! The journal for whoever audits it: who did what, and records with the chain that proves them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::{CommandId, Peer, ProviderId, VmId, Wall};
use crate::resolver::Rule;

/// Something that somebody did to a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deed {
    /// The record it is in.
    pub position: u64,
    /// When it came, by the agent's clock.
    #[schema(value_type = String)]
    pub received_at: Wall,
    /// When it was issued, by the provider's clock, if it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub issued_at: Option<Wall>,
    /// In whose name.
    #[schema(value_type = String)]
    pub provider: ProviderId,
    /// Who was at the other end: a user and process of this host, or a key and an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub peer: Option<Peer>,
    /// What: an action, or a sentence.
    pub what: String,
    /// The command, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub command: Option<CommandId>,
    /// Its number among its provider's on this VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The commands that it was put before, and those that it was put behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// The rule that decided so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub rule: Option<Rule>,
    /// How it stands or ended: `done executed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Why, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A page of deeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeedList {
    /// The deeds, in order.
    pub deeds: Vec<Deed>,
    /// Where the next page begins; the same as was asked for at the end.
    pub cursor: u64,
}

/// One record of the journal, with all that its digest covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExportedRecord {
    /// Its position, from 1, without gaps.
    pub position: u64,
    /// The digest of the record before; 64 zeros before the first.
    pub previous: String,
    /// Its own digest.
    pub digest: String,
    /// The VM; the nil UUID for the host as a whole.
    #[schema(value_type = String)]
    pub vm: VmId,
    /// When, for people.
    #[schema(value_type = String)]
    pub at: Wall,
    /// When. *Units*: microseconds since 1970.
    pub wall_us: i64,
    /// When, on the agent's own clock. *Units*: microseconds.
    pub mono_us: u64,
    /// How the facts are written.
    pub encoding: i64,
    /// The facts, as the bytes that the digest covers.
    pub facts: String,
}

/// A page of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordList {
    /// The records, in order.
    pub records: Vec<ExportedRecord>,
    /// Where the next page begins; the same as was asked for at the end.
    pub cursor: u64,
}
