//! VMs and who may do what to them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RunningVm;
use crate::delegation::Mode;
use crate::discovery::{Inventory, Manager, Recognised};
use crate::model::{Action, CommandId, Kib, PowerState, ProviderId, VmId, Wall};

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
    pub inventories: Vec<Inventory>,
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

/// The answer to `POST /v1/vms/{uuid}/enrollment`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Enrollment {
    /// The VM as it is co-managed now.
    #[serde(flatten)]
    pub vm: VmDetail,
    /// Other managers that may act on it by themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<ManagerWarning>,
}

/// Another manager whose mark a VM bears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ManagerWarning {
    /// Which.
    #[schema(value_type = String)]
    pub manager: Manager,
    /// By what it was recognised.
    pub mark: String,
    /// What its own loops do to a VM that others manage, too.
    pub loops: String,
    /// How to tell it to leave this VM alone.
    pub tell: String,
    /// Where to read more.
    pub documentation: String,
}

impl From<Recognised> for ManagerWarning {
    fn from(Recognised { manager, mark }: Recognised) -> Self {
        let (loops, tell) = (manager.loops().to_owned(), manager.tell().to_owned());
        Self { manager, mark, loops, tell, documentation: manager.documentation() }
    }
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
    /// A change that waits for what is in flight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<Draining>,
    /// After a revoke with `now`: what the provider had begun and is not over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<RunningVm>,
}

/// A hand-over under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Draining {
    /// Who hands over.
    #[schema(value_type = String)]
    pub by: ProviderId,
    /// Whose commands of which actions are not taken in any more.
    #[schema(value_type = Object)]
    pub closing: BTreeMap<ProviderId, BTreeSet<Action>>,
    /// When it is given up.
    #[schema(value_type = String)]
    pub until: Wall,
    /// The commands that have to end first.
    #[schema(value_type = Vec<String>)]
    pub waits_for: Vec<CommandId>,
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
    /// Whether what is in flight ends first; otherwise it is in the way (`action-in-flight`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drain: bool,
}
