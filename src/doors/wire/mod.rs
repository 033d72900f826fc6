//! What travels over the API: one type per message, used by the daemon and the command line alike.
//!
//! Ids and times travel as text. A field that is not set is left out. Unknown fields in a request are refused.

mod access;
mod artifacts;
mod commands;
mod holds;
mod audit;
mod host;
mod providers;
mod session;
mod vms;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::model::{Code, CommandId, ProviderId, VmId, Wall};

pub use access::{ChannelList, ChannelView, GuestReport, Reachable, StatsList, VmStats};
pub use artifacts::{ArtifactFile, Artifacts, FormatList, FormatSummary};
pub use audit::{Deed, DeedList, ExportedRecord, RecordList};
pub use commands::{
    CallView, CommandList, CommandRequest, CommandState, CommandView, ConflictList, DecisionRequest, Explanation,
};
pub use holds::{HeldBack, HoldEnd, HoldList, HoldProgress, HoldRelease, HoldReleaseRequest, HoldView};
pub use host::{BrokenGlass, FreezeList, FreezeRequest, Frozen, GlassRequest, OpenHold, RunningCommand, RunningVm};
pub use providers::{
    AddProviderRequest, Certificate, Invitation, JoinRequest, KeyStanding, KeyView, Origin, ProviderList,
    ProviderRemoved, ProviderView, ReplaceKeyRequest, TokenView,
};
pub use session::{FromAgent, FromProvider, HookAnswer, HookAsk};
pub use vms::{
    DelegateRequest, DelegatedAction, Delegations, Draining, EnrollRequest, Enrollment, InventoryList, ManagerWarning,
    UnreadVm, VmDetail, VmList, VmSummary,
};

/// The header by which a peer that may speak for several providers says for which it does.
pub const PROVIDER_HEADER: &str = "covirt-provider";

/// An error, as RFC 9457 has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:covirt:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    #[schema(value_type = String)]
    pub code: Code,
    /// What is wrong, as one sentence.
    pub detail: String,
    /// Who holds what was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub holder: Option<ProviderId>,
    /// Until when they hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub until: Option<Wall>,
    /// The command in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub command: Option<CommandId>,
    /// When it may be tried again. *Units*: seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// The field of a binding that is at fault, by path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Its line in the binding's file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How the agent is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`, or `degraded` while the hypervisor does not answer.
    pub status: String,
    /// The agent's version.
    pub version: String,
    /// libvirt's URI.
    pub hypervisor: String,
    /// The last durable position of the journal.
    pub journal: u64,
    /// VMs that are co-managed.
    pub lanes: usize,
}

/// Whether the agent is alive, or ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// It is.
    pub ok: bool,
    /// Why it is not.
    pub reasons: Vec<String>,
}

/// Who the caller is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Identity {
    /// The provider, or `operator`.
    #[schema(value_type = String)]
    pub provider: ProviderId,
    /// Whether it may begin to co-manage VMs.
    pub may_enroll: bool,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its place in the journal; `after` this comes the next.
    pub cursor: u64,
    /// When.
    #[schema(value_type = String)]
    pub at: Wall,
    /// To which VM.
    #[schema(value_type = String)]
    pub vm: VmId,
    /// What, for programs: `enrolled`, `admitted`, `settled`, `ended`, …
    pub kind: String,
    /// What, as one sentence.
    pub text: String,
    /// The fact itself.
    #[schema(value_type = Object)]
    pub fact: Value,
}

/// `GET /v1/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// In order; several facts of one step share a cursor.
    pub events: Vec<Event>,
    /// Where to go on.
    pub cursor: u64,
}

/// `GET /v1/audit/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditReport {
    /// `intact`, or `damaged`.
    pub verdict: String,
    /// How many records were checked.
    pub records: u64,
    /// The chain's last digest, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// What is damaged, and where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}
