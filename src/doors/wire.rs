//! What travels over the API: one type per message, used by the daemon and the command line alike.
//!
//! Ids and times travel as text. A field that is not set is left out. Unknown fields in a request are refused.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::delegation::Mode;
use crate::model::{
    Action, Class, Code, CommandId, ConflictId, Ending, Guard, Kib, Order, PowerState, ProviderId, VmId, Wall,
};
use crate::resolver::{ConflictRecord, Moment, Rule, Said, StampNote};

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

/// Who the caller is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Identity {
    /// The provider, or `operator`.
    #[schema(value_type = String)]
    pub provider: ProviderId,
    /// Whether it may begin to co-manage VMs.
    pub may_enroll: bool,
}

/// A VM in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmSummary {
    /// libvirt's UUID.
    #[schema(value_type = String)]
    pub vm: VmId,
    /// libvirt's name.
    pub name: String,
    /// Its power state.
    #[schema(value_type = String)]
    pub state: PowerState,
    /// Its primary; none when it is not co-managed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub primary: Option<ProviderId>,
    /// Its other providers.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub secondaries: Vec<ProviderId>,
}

/// A list of VMs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmList {
    /// The VMs the caller may see, by name.
    pub vms: Vec<VmSummary>,
}

/// `GET /v1/inventory`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InventoryList {
    /// By id.
    #[schema(value_type = Vec<Object>)]
    pub inventories: Vec<crate::discovery::Inventory>,
    /// The VMs that could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<UnreadVm>,
}

/// A VM without an inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnreadVm {
    /// libvirt's UUID.
    #[schema(value_type = String)]
    pub vm: VmId,
    /// What is wrong with it.
    pub reason: String,
}

/// One co-managed VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmDetail {
    /// libvirt's UUID.
    #[schema(value_type = String)]
    pub vm: VmId,
    /// libvirt's name.
    pub name: String,
    /// Its power state.
    #[schema(value_type = String)]
    pub state: PowerState,
    /// What a guard's `generation` is compared with.
    pub generation: String,
    /// vCPUs now.
    pub vcpus: u32,
    /// Memory now. *Units*: KiB.
    #[schema(value_type = u64)]
    pub memory_kib: Kib,
    /// Names of its snapshots.
    pub snapshots: BTreeSet<String>,
    /// Who may do what.
    pub delegations: Delegations,
    /// The sequence number that the caller's next command should have.
    pub next_seq: u64,
    /// Commands that have not ended.
    pub live_commands: usize,
}

/// Who may do what to a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Delegations {
    /// The provider that created or hosts it; it holds all that nobody else holds alone.
    #[schema(value_type = String)]
    pub primary: ProviderId,
    /// Rises with every change.
    pub epoch: u64,
    /// What was delegated.
    pub delegations: Vec<DelegatedAction>,
}

/// One action in another provider's hands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DelegatedAction {
    /// The action.
    #[schema(value_type = String)]
    pub action: Action,
    /// Who holds it.
    #[schema(value_type = String)]
    pub provider: ProviderId,
    /// `exclusive` or `shared`.
    #[schema(value_type = String)]
    pub mode: Mode,
    /// The epoch in which it was given.
    pub epoch: u64,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub expires_at: Option<Wall>,
}

/// `POST /v1/vms/{uuid}/enrollment`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrollRequest {
    /// The primary; the caller when left out. Only the operator may name another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub primary: Option<ProviderId>,
}

/// `POST /v1/vms/{uuid}/delegations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DelegateRequest {
    /// Who gets the actions.
    #[schema(value_type = String)]
    pub to: ProviderId,
    /// Which: `group.verb`, or `group.*` for a whole group.
    pub actions: Vec<String>,
    /// `exclusive` or `shared`.
    #[schema(value_type = String)]
    pub mode: Mode,
    /// For how long; until revoked when left out. *Units*: seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_s: Option<u64>,
}

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
    /// What was noticed about that time.
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

/// What the agent sends over a session. Text frames, one JSON object each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum FromAgent {
    /// The session is open.
    Welcome { provider: ProviderId, cursor: u64 },
    /// The answer to `clock`: the agent received at `t1` and answered at `t2`.
    Clock { t0: Wall, t1: Wall, t2: Wall },
    /// What the agent knows of the provider's clock now.
    ClockEstimate { offset_us: i64, uncertainty_us: u64 },
    /// Which of these two goes first?
    Ask {
        ask: ConflictId,
        epoch: u64,
        vm: VmId,
        mine: Value,
        theirs: Value,
        contested: Vec<String>,
        feasible: Vec<Said>,
        answer_within_ms: u64,
    },
    /// The answer was taken.
    Answered { ask: ConflictId },
    /// Something happened.
    Event(Event),
    /// What the provider sent was refused.
    Error {
        code: Code,
        message: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ask: Option<ConflictId>,
    },
}

/// What a provider sends over a session. Text frames, one JSON object each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromProvider {
    /// The provider sent this at `t0`, by its clock.
    Clock { t0: Wall },
    /// All four times of one exchange.
    ClockSample { t0: Wall, t1: Wall, t2: Wall, t3: Wall },
    /// The answer to an ask.
    Answer { ask: ConflictId, epoch: u64, answer: Said },
    /// Send events after this cursor.
    Subscribe { after: u64 },
}

/// What the operator's hook reads on its standard input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HookAsk {
    /// The conflict.
    pub conflict: ConflictId,
    /// The round of asking.
    pub epoch: u64,
    /// The VM.
    pub vm: VmId,
    /// Both commands, whole.
    pub commands: [Value; 2],
    /// What both touch.
    pub contested: Vec<String>,
    /// Why the first of the two cannot be followed by the second; null when it can.
    pub first_then_second_fails: Option<String>,
    /// Why the second cannot be followed by the first; null when it can.
    pub second_then_first_fails: Option<String>,
    /// How long the hook may take.
    pub answer_within_ms: u64,
}

/// What the operator's hook writes on its standard output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookAnswer {
    /// The command that goes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<CommandId>,
    /// Either may.
    #[serde(default)]
    pub no_opinion: bool,
}
