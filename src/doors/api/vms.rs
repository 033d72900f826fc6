//! VMs: list, show, enroll, release, inventory, delegations.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Api;
use super::extract::{Asked, At, Body, unless_known};
use super::host::still_running;
use super::problem::ApiProblem;
use crate::delegation::ChangeRequest;
use crate::discovery::Inventory;
use crate::doors::identity::Caller;
use crate::doors::view;
use crate::doors::wire::{
    DelegateRequest, Delegations, EnrollRequest, Enrollment, InventoryList, ManagerWarning, UnreadVm, VmDetail, VmList,
    VmSummary,
};
use crate::hypervisor::AskHypervisorError;
use crate::model::action::Reach;
use crate::model::{Action, Code, ProviderId, Refusal, VmId};

/// The refusal for whatever the caller has no part in: it does not learn whether it exists.
pub(crate) fn unknown_vm() -> Refusal {
    Refusal::new(Code::UnknownVm, "there is no VM of this id that you co-manage")
}

/// Refuses a caller that has no part in a VM.
pub(crate) async fn require_part(api: &Api, caller: &Caller, vm: VmId) -> Result<(), Refusal> {
    if caller.provider.is_operator() {
        return api.lanes.read(vm, |_, _| ()).await;
    }
    let provider = caller.provider.clone();
    let part = api.lanes.read(vm, move |lane, now| {
        lane.state().authority().is_some_and(|authority| authority.providers(now.mono).contains(&&provider))
    });
    if part.await? { Ok(()) } else { Err(unknown_vm()) }
}

/// The VMs the caller may see.
#[utoipa::path(get, path = "/v1/vms", responses((status = 200, body = VmList)))]
pub(crate) async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<VmList>, ApiProblem> {
    let mut managed = BTreeMap::new();
    for vm in api.lanes.vms() {
        let summary = api.lanes.read(vm, |lane, now| {
            let (authority, believed) = (lane.state().authority()?, lane.state().believed()?);
            let mut providers = authority.providers(now.mono).into_iter().cloned();
            let primary = providers.next();
            let secondaries = providers.collect();
            let name = lane.state().name().to_owned();
            Some(VmSummary { vm: lane.vm(), name, state: believed.power, primary, secondaries })
        });
        if let Ok(Some(summary)) = summary.await {
            managed.insert(vm, summary);
        }
    }
    let lanes: BTreeSet<VmId> = api.lanes.vms().into_iter().collect();
    if !caller.provider.is_operator() {
        managed.retain(|_, summary| {
            summary.primary.as_ref() == Some(&caller.provider) || summary.secondaries.contains(&caller.provider)
        });
    }
    if caller.may_enroll() {
        let listed = api.lanes.hypervisor().list().await.map_err(|error| of_hypervisor(&error))?;
        for listing in listed.into_iter().filter(|listing| !lanes.contains(&listing.vm)) {
            managed.entry(listing.vm).or_insert(VmSummary {
                vm: listing.vm,
                name: listing.name,
                state: listing.state.power,
                primary: None,
                secondaries: Vec::new(),
            });
        }
    }
    let mut vms: Vec<VmSummary> = managed.into_values().collect();
    vms.sort_by(|a, b| a.name.cmp(&b.name).then(a.vm.cmp(&b.vm)));
    Ok(Json(VmList { vms }))
}

/// The refusal for what the hypervisor said.
pub(crate) fn of_hypervisor(error: &AskHypervisorError) -> Refusal {
    match error {
        AskHypervisorError::NoSuchVm(_) => unknown_vm(),
        AskHypervisorError::Unreachable { .. } => Refusal::new(Code::HypervisorUnreachable, error.to_string()),
        AskHypervisorError::Failed(_) => Refusal::new(Code::HypervisorFailed, error.to_string()),
    }
}

async fn detail(api: &Api, caller: &Caller, vm: VmId) -> Result<VmDetail, Refusal> {
    require_part(api, caller, vm).await?;
    let provider = caller.provider.clone();
    let detail = api.lanes.read(vm, move |lane, now| view::vm(lane, &provider, now)).await?;
    detail.ok_or_else(unknown_vm)
}

/// One co-managed VM.
#[utoipa::path(get, path = "/v1/vms/{vm}", params(("vm" = String, Path)), responses((status = 200, body = VmDetail)))]
pub(crate) async fn show(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
) -> Result<Json<VmDetail>, ApiProblem> {
    Ok(Json(detail(&api, &caller, vm).await?))
}

/// A VM's resources and network settings, read anew. The ETag is its generation: weak, for what moves by itself (addresses,
/// allocation) leaves it alone. A caller that wants those sends no `If-None-Match`.
#[utoipa::path(
    get, path = "/v1/vms/{vm}/inventory",
    params(("vm" = String, Path), ("If-None-Match" = Option<String>, Header)),
    responses((status = 200, body = Object), (status = 304, description = "its generation is the same"))
)]
pub(crate) async fn inventory(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
    headers: HeaderMap,
) -> Result<Response, ApiProblem> {
    let inventory = look(&api, &caller, vm).await?;
    let tag = format!("W/\"{}\"", inventory.generation());
    Ok(unless_known(&headers, &tag, || Json(inventory).into_response()))
}

/// A VM's inventory, for whoever may see it.
pub(crate) async fn look(api: &Api, caller: &Caller, vm: VmId) -> Result<Inventory, Refusal> {
    // Whoever may enroll a VM may see first what it is, until somebody has enrolled it.
    if !caller.may_enroll() || api.lanes.vms().contains(&vm) {
        require_part(api, caller, vm).await?;
    }
    api.lanes.hypervisor().inventory(vm).await.map_err(|error| of_hypervisor(&error))
}

/// The inventories of all VMs the caller may see, read anew in one go; without what only guests' agents tell.
#[utoipa::path(get, path = "/v1/inventory", responses((status = 200, body = InventoryList)))]
pub(crate) async fn inventories(State(api): State<Api>, caller: Caller) -> Result<Json<InventoryList>, ApiProblem> {
    let mut read = api.lanes.hypervisor().inventories().await.map_err(|error| of_hypervisor(&error))?;
    let mut lanes: BTreeMap<VmId, bool> = BTreeMap::new();
    for vm in api.lanes.vms() {
        lanes.insert(vm, require_part(&api, &caller, vm).await.is_ok());
    }
    read.retain(|(vm, _)| lanes.get(vm).copied().unwrap_or(caller.may_enroll()));
    let mut list = InventoryList::default();
    for (vm, inventory) in read {
        match inventory {
            Ok(inventory) => list.inventories.push(inventory),
            Err(reason) => list.unread.push(UnreadVm { vm, reason }),
        }
    }
    Ok(Json(list))
}

/// Begins to co-manage a VM.
#[utoipa::path(
    post, path = "/v1/vms/{vm}/enrollment", params(("vm" = String, Path)),
    request_body = EnrollRequest, responses((status = 201, body = Enrollment))
)]
pub(crate) async fn enroll(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
    Body(request): Body<EnrollRequest>,
) -> Result<(StatusCode, Json<Enrollment>), ApiProblem> {
    if !caller.may_enroll() {
        return Err(Refusal::new(Code::Forbidden, format!("{} may not enroll VMs", caller.provider)).into());
    }
    let primary = match request.primary {
        Some(named) if named != caller.provider && !caller.provider.is_operator() => {
            return Err(Refusal::new(Code::Forbidden, "only the operator names another primary").into());
        }
        Some(named) => named,
        None if caller.provider.is_operator() => {
            return Err(Refusal::new(Code::Malformed, "the operator names the primary").into());
        }
        None => caller.provider.clone(),
    };
    require_known(&api, &primary)?;
    if !caller.provider.is_operator() {
        api.lanes.host().holds().ceiling.allows_enrolling(&caller.provider)?;
    }
    let warnings = api.lanes.enroll(vm, primary).await?.into_iter().map(ManagerWarning::from).collect();
    Ok((StatusCode::CREATED, Json(Enrollment { vm: detail(&api, &caller, vm).await?, warnings })))
}

pub(crate) fn require_known(api: &Api, provider: &ProviderId) -> Result<(), Refusal> {
    if api.roster.current().knows(provider) {
        return Ok(());
    }
    Err(Refusal::new(Code::UnknownProvider, format!("no provider is called {provider}")))
}

/// Ends co-management of a VM; nothing at the VM changes.
#[utoipa::path(delete, path = "/v1/vms/{vm}/enrollment", params(("vm" = String, Path)), responses((status = 204)))]
pub(crate) async fn release(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
) -> Result<StatusCode, ApiProblem> {
    require_part(&api, &caller, vm).await?;
    api.lanes.release(vm, caller.provider).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn read_delegations(api: &Api, vm: VmId) -> Result<Delegations, Refusal> {
    let read = api.lanes.read(vm, |lane, now| view::delegations(lane.state(), now.mono));
    read.await?.ok_or_else(unknown_vm)
}

/// Who may do what.
#[utoipa::path(get, path = "/v1/vms/{vm}/delegations", params(("vm" = String, Path)), responses((status = 200, body = Delegations)))]
pub(crate) async fn delegations(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
) -> Result<Json<Delegations>, ApiProblem> {
    require_part(&api, &caller, vm).await?;
    Ok(Json(read_delegations(&api, vm).await?))
}

/// The longest lease: ten years.
const LEASE_MAX_S: u64 = 10 * 365 * 24 * 3600;

/// Gives actions to another provider.
#[utoipa::path(
    post, path = "/v1/vms/{vm}/delegations", params(("vm" = String, Path)),
    request_body = DelegateRequest, responses((status = 201, body = Delegations))
)]
pub(crate) async fn delegate(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
    Body(request): Body<DelegateRequest>,
) -> Result<(StatusCode, Json<Delegations>), ApiProblem> {
    require_part(&api, &caller, vm).await?;
    if !request.to.is_operator() {
        require_known(&api, &request.to)?;
    }
    if request.lease_s.is_some_and(|lease| lease == 0 || lease > LEASE_MAX_S) {
        return Err(Refusal::new(Code::Malformed, format!("lease_s is 1 to {LEASE_MAX_S}")).into());
    }
    let change = ChangeRequest::Delegate {
        by: caller.provider,
        to: request.to,
        actions: expand(request.actions.iter().map(String::as_str), Patterns::Giving)?,
        mode: request.mode,
        lease: request.lease_s.map(Duration::from_secs),
    };
    change_or_drain(&api, vm, change, request.drain).await?;
    Ok((StatusCode::CREATED, Json(read_delegations(&api, vm).await?)))
}

/// Which actions `DELETE …/delegations/{provider}` is about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeQuery {
    actions: Option<String>,
    #[serde(default)]
    drain: bool,
    /// The answer says what of it still runs.
    #[serde(default)]
    now: bool,
}

async fn change_or_drain(api: &Api, vm: VmId, change: ChangeRequest, drain: bool) -> Result<(), Refusal> {
    if drain { api.lanes.drain(vm, change).await } else { api.lanes.change(vm, change).await.map(drop) }
}

/// Takes actions back.
#[utoipa::path(
    delete, path = "/v1/vms/{vm}/delegations/{provider}",
    params(("vm" = String, Path), ("provider" = String, Path), ("actions" = Option<String>, Query),
           ("drain" = Option<bool>, Query), ("now" = Option<bool>, Query)),
    responses((status = 200, body = Delegations))
)]
pub(crate) async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    At((vm, from)): At<(VmId, ProviderId)>,
    Asked(query): Asked<RevokeQuery>,
) -> Result<Json<Delegations>, ApiProblem> {
    require_part(&api, &caller, vm).await?;
    let actions = match query.actions.as_deref().filter(|actions| !actions.is_empty()) {
        Some(actions) => expand(actions.split(','), Patterns::Taking)?,
        None => BTreeSet::new(),
    };
    if query.drain && query.now {
        return Err(Refusal::new(Code::Malformed, "what is revoked now waits for nothing; drain it, or now").into());
    }
    let of = from.clone();
    change_or_drain(&api, vm, ChangeRequest::Revoke { by: caller.provider, from, actions }, query.drain).await?;
    let mut delegations = read_delegations(&api, vm).await?;
    if query.now {
        delegations.running = still_running(&api, vm, of).await;
    }
    Ok(Json(delegations))
}

/// What patterns mean: whoever gives must name what has reach only by its name, whoever takes takes all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patterns {
    Giving,
    Taking,
}

/// Names and `group.*` as actions.
fn expand<'a>(names: impl Iterator<Item = &'a str>, patterns: Patterns) -> Result<BTreeSet<Action>, Refusal> {
    let mut actions = BTreeSet::new();
    for name in names {
        let name = name.trim();
        let before = actions.len();
        let meant = |action: &Action| patterns == Patterns::Taking || action.spec().reach == Reach::Usual;
        match name.strip_suffix(".*") {
            Some(group) => actions.extend(Action::ALL.into_iter().filter(|one| one.group() == group).filter(meant)),
            None => {
                actions.insert(name.parse().map_err(|error| Refusal::new(Code::Malformed, format!("{error}")))?);
            }
        }
        if name.ends_with(".*") && actions.len() == before {
            return Err(Refusal::new(Code::Malformed, format!("{name:?} names no new action")));
        }
    }
    Ok(actions)
}
