//! What finished commands have left open, who waits for it, and how it came to its end.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::{Action, CommandId, HoldKey, ProviderId, VmId, Wall};
use crate::resolver::{Closed, GivenUp};

/// Something that is open on a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldView {
    /// libvirt's UUID of the VM.
    #[schema(value_type = String)]
    pub vm: VmId,
    /// libvirt's name of it.
    pub name: String,
    /// What: `backup`, `block:vda`, `migration`, `freeze` or `lock`.
    #[schema(value_type = String)]
    pub hold: HoldKey,
    /// Whose; none when it was begun past covirt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub owner: Option<ProviderId>,
    /// The command that left it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub command: Option<CommandId>,
    /// What that command was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub action: Option<Action>,
    /// Since when.
    #[schema(value_type = String)]
    pub since: Wall,
    /// For how long. *Units*: seconds.
    pub age_s: u64,
    /// When covirt ends it if nobody else has; none for what ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub lease_until: Option<Wall>,
    /// How long that is from now. *Units*: seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_left_s: Option<u64>,
    /// Why covirt is ending it, for programs; none while it is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub given_up: Option<GivenUp>,
    /// The same, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<String>,
    /// The commands that wait for it, in the order of receipt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<HeldBack>,
    /// How far it is, where libvirt knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<HoldProgress>,
}

/// A command that waits for something open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldBack {
    /// Its id.
    #[schema(value_type = String)]
    pub command: CommandId,
    /// Who sent it.
    #[schema(value_type = String)]
    pub provider: ProviderId,
    /// What it is to do.
    #[schema(value_type = String)]
    pub action: Action,
}

/// How far something open is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldProgress {
    /// What is done. *Units*: bytes.
    pub done: u64,
    /// What is to be done; zero where nobody knows. *Units*: bytes.
    pub total: u64,
    /// How long it will take, where there is an estimate. *Units*: seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// How long it has taken, where libvirt counts it. *Units*: seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_s: Option<u64>,
}

/// A list of what is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldList {
    /// By VM and kind.
    pub holds: Vec<HoldView>,
}

/// `POST /v1/vms/{uuid}/holds/{hold}/release`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldReleaseRequest {
    /// Why, for the journal and everybody who reads it: one line of 1 to 1,024 bytes.
    pub reason: String,
}

/// What came of asking for the end of something open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldRelease {
    /// libvirt's UUID of the VM.
    #[schema(value_type = String)]
    pub vm: VmId,
    /// What was open.
    #[schema(value_type = String)]
    pub hold: HoldKey,
    /// How it came to its end; none while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<HoldEnd>,
    /// How it stands while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<HoldView>,
}

/// How something open came to its end, and by what that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldEnd {
    /// When.
    #[schema(value_type = String)]
    pub at: Wall,
    /// The place in the journal that says so.
    pub cursor: u64,
    /// How, for programs: `by-command` with its id, `seen`, `stopped`, `gone`, `given-back`, or `unverified` with the
    /// reason why nobody could tell.
    #[schema(value_type = Object)]
    pub how: Closed,
    /// Whether it is known to be over, and not only not waited for any longer.
    pub verified: bool,
    /// The same, as a sentence.
    pub text: String,
}
