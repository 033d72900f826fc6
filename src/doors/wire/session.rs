//! What travels over a provider's session, and to and from the operator's hook.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Event;
use crate::model::{Code, CommandId, ConflictId, ProviderId, VmId, Wall};
use crate::resolver::Said;

/// What the agent sends over a session. Text frames, one JSON object each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum FromAgent {
    /// The session is open.
    Welcome { provider: ProviderId, cursor: u64 },
    /// The answer to `clock`: the agent received at `t1` and answered at `t2`.
    Clock { t0: Wall, t1: Wall, t2: Wall },
    /// What the agent knows of the provider's clock now.
    ClockEstimate {
        offset_us: i64,
        uncertainty_us: u64,
        /// Set when the clock is beyond the limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warning: Option<String>,
    },
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
