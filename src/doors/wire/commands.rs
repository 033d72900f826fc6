//! Commands and the conflicts between them.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::model::{Action, Class, Code, CommandId, ConflictId, Ending, Guard, Order, Peer, ProviderId, VmId, Wall};
use crate::resolver::{ConflictRecord, Moment, Rule, StampNote};

/// `POST /v1/vms/{uuid}/commands`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandRequest {
    /// A UUID (version 7) of the provider's choice: the idempotency key.
    #[schema(value_type = String)]
    pub id: CommandId,
    /// What to do.
    #[schema(value_type = String)]
    pub action: Action,
    /// Its arguments.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub args: Value,
    /// Where it stands among others.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub order: Order,
    /// When it was issued, by the provider's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub issued_at: Option<Wall>,
    /// Not to be begun after this, by the provider's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub not_after: Option<Wall>,
    /// Wished to have begun by this, by the provider's clock: near then it goes before its equals. No deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub must_start_by: Option<Wall>,
    /// The operator's reason to pass every delegation and queue; nobody else may give one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<String>,
    /// What the provider expects of the VM.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub guard: Guard,
    /// `routine`, `critical` or `emergency`.
    #[serde(default)]
    #[schema(value_type = String)]
    pub class: Class,
    /// The delegation epoch under which the provider believes to act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// Where a command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CommandState {
    /// Waiting.
    Queued,
    /// At the hypervisor.
    Running,
    /// Its answer was lost; it is being observed.
    Unknown,
    /// Executed.
    Done,
    /// Another command with the same wish was executed for it.
    Coalesced,
    /// Executed without success.
    Failed,
    /// Another command has made it moot.
    Superseded,
    /// The VM's state does not allow it.
    Impossible,
    /// Too late.
    Expired,
    /// Not allowed any more.
    Denied,
    /// Taken back.
    Cancelled,
}

impl CommandState {
    /// Whether it will not change any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::Running | Self::Unknown)
    }

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Unknown => "unknown",
            Self::Done => "done",
            Self::Coalesced => "coalesced",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::Impossible => "impossible",
            Self::Expired => "expired",
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<Ending> for CommandState {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Done => Self::Done,
            Ending::Coalesced => Self::Coalesced,
            Ending::Failed => Self::Failed,
            Ending::Superseded => Self::Superseded,
            Ending::Impossible => Self::Impossible,
            Ending::Expired => Self::Expired,
            Ending::Denied => Self::Denied,
            Ending::Cancelled => Self::Cancelled,
        }
    }
}

/// A libvirt client's own call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallView {
    /// libvirt's name of it.
    pub procedure: String,
    /// The client: its user and process, or its key and address. For the operator and the command's own provider.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub peer: Option<Peer>,
}

impl fmt::Display for CallView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.procedure)?;
        self.peer.as_ref().map_or(Ok(()), |peer| write!(f, " of {peer}"))
    }
}

/// A command as the agent knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CommandView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: CommandId,
    /// Its VM.
    #[schema(value_type = String)]
    pub vm: VmId,
    /// Who sent it.
    #[schema(value_type = String)]
    pub provider: ProviderId,
    /// What to do.
    #[schema(value_type = String)]
    pub action: Action,
    /// Its arguments, defaults filled in.
    #[schema(value_type = Object)]
    pub args: Value,
    /// Where it stands among others; the sequence number is set.
    #[schema(value_type = Object)]
    pub order: Order,
    /// Its class.
    #[schema(value_type = String)]
    pub class: Class,
    /// When it was issued, as its provider said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub issued_at: Option<Wall>,
    /// When it wishes to have begun, as its provider said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub must_start_by: Option<Wall>,
    /// Why the operator sent it past every queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<String>,
    /// The libvirt client's own call that is forwarded for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallView>,
    /// How often another command was put before it.
    #[serde(default)]
    pub deferrals: u32,
    /// What was noticed about the issue time.
    #[schema(value_type = String)]
    pub stamp: StampNote,
    /// The sequence number that was missing when it went on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq_gap: Option<u64>,
    /// Where it stands.
    pub state: CommandState,
    /// Why, for programs: set once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub code: Option<Code>,
    /// Why it waits, or how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The commands it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub waiting_on: Vec<CommandId>,
    /// The rule that decided when it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub rule: Option<Rule>,
    /// The conflicts it has a part in.
    #[schema(value_type = Vec<String>)]
    pub conflicts: Vec<ConflictId>,
    /// The command that caused its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub cause: Option<CommandId>,
    /// What the hypervisor gave back.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Object)]
    pub result: Value,
    /// When it was received.
    #[schema(value_type = String)]
    pub received_at: Wall,
    /// When it was given to the hypervisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub started_at: Option<Wall>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub finished_at: Option<Wall>,
}

/// A list of commands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CommandList {
    /// In the order of receipt.
    pub commands: Vec<CommandView>,
}

/// A list of conflicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConflictList {
    /// In the order in which they were found.
    #[schema(value_type = Vec<Object>)]
    pub conflicts: Vec<ConflictRecord>,
}

/// `POST /v1/conflicts/{id}/decision`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionRequest {
    /// The one of the two commands that goes first.
    #[schema(value_type = String)]
    pub first: CommandId,
}

/// `GET /v1/commands/{id}/explain`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The command.
    pub command: CommandView,
    /// What happened to it, in order.
    #[schema(value_type = Vec<Object>)]
    pub story: Vec<Moment>,
    /// The conflicts it had a part in.
    #[schema(value_type = Vec<Object>)]
    pub conflicts: Vec<ConflictRecord>,
}
