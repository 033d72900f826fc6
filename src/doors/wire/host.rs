//! What the host's owner decides: freezes and the broken glass, and what is running then.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::{Action, CommandId, HoldKey, ProviderId, VmId, Wall};
use crate::sovereignty::Freeze;

/// `POST /v1/freezes`: of a provider, of a VM, or of the whole host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FreezeRequest {
    /// This provider, on every VM.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub provider: Option<ProviderId>,
    /// This VM, for every provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub vm: Option<VmId>,
    /// Why, as one line; providers are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The operator's own commands as well.
    pub all: bool,
}

/// Something that has begun and is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunningVm {
    /// The VM.
    #[schema(value_type = String)]
    pub vm: VmId,
    /// libvirt's name of it.
    pub name: String,
    /// Commands at the hypervisor.
    pub commands: Vec<RunningCommand>,
    /// What finished commands have left open.
    pub holds: Vec<OpenHold>,
}

/// A command at the hypervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunningCommand {
    /// Its id.
    #[schema(value_type = String)]
    pub id: CommandId,
    /// Whose.
    #[schema(value_type = String)]
    pub provider: ProviderId,
    /// What.
    #[schema(value_type = String)]
    pub action: Action,
}

/// Something that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenHold {
    /// What.
    #[schema(value_type = String)]
    pub hold: HoldKey,
    /// Whose; none when it was begun past covirt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub owner: Option<ProviderId>,
}

/// A freeze that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Frozen {
    /// The freeze.
    #[schema(value_type = Object)]
    pub freeze: Freeze,
    /// What goes on to its end.
    pub running: Vec<RunningVm>,
}

/// Everything that is frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FreezeList {
    /// The freezes.
    #[schema(value_type = Vec<Object>)]
    pub freezes: Vec<Freeze>,
    /// The VMs of which the operator has every action.
    pub glass: Vec<BrokenGlass>,
    /// What still runs of what is frozen.
    pub running: Vec<RunningVm>,
}

/// `POST /v1/vms/{vm}/break-glass`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GlassRequest {
    /// Why, as one line; every provider of the VM is told.
    pub reason: String,
    /// For how long. *Units*: seconds.
    #[serde(default = "quarter")]
    pub for_s: u64,
}

const fn quarter() -> u64 {
    15 * 60
}

/// The operator has every action of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrokenGlass {
    /// The VM.
    #[schema(value_type = String)]
    pub vm: VmId,
    /// Until then.
    #[schema(value_type = String)]
    pub until: Wall,
    /// What was begun before and goes on: nothing passes that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<RunningVm>,
}
