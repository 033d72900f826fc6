//! What only the host's owner may do: freeze, thaw, break the glass.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::Api;
use super::extract::{Asked, At, Body};
use super::problem::ApiProblem;
use super::vms::require_known;
use crate::doors::identity::Caller;
use crate::doors::view;
use crate::doors::wire::{BrokenGlass, FreezeList, FreezeRequest, Frozen, GlassRequest, RunningVm};
use crate::model::{Code, ProviderId, Refusal, VmId};
use crate::sovereignty::{By, Freeze, Reach, Scope, reason};

/// Refuses everybody but the host's owner.
pub(crate) fn require_operator(caller: &Caller, what: &str) -> Result<By, Refusal> {
    if caller.provider.is_operator() {
        return Ok(By { provider: caller.provider.clone(), peer: Some(caller.peer.clone()) });
    }
    Err(Refusal::new(Code::Forbidden, format!("only the operator {what}")))
}

fn scope_of(provider: Option<ProviderId>, vm: Option<VmId>) -> Result<Scope, Refusal> {
    match (provider, vm) {
        (Some(_), Some(_)) => Err(Refusal::new(Code::Malformed, "a freeze names a provider or a VM, not both")),
        (Some(provider), None) => Ok(Scope::Provider { provider }),
        (None, Some(vm)) => Ok(Scope::Vm { vm }),
        (None, None) => Ok(Scope::Host {}),
    }
}

/// Stops new work: of a provider, of a VM, or of the whole host. The answer lists what goes on to its end.
#[utoipa::path(post, path = "/v1/freezes", request_body = FreezeRequest, responses((status = 201, body = Frozen)))]
pub(crate) async fn freeze(
    State(api): State<Api>,
    caller: Caller,
    Body(request): Body<FreezeRequest>,
) -> Result<(StatusCode, Json<Frozen>), ApiProblem> {
    let by = require_operator(&caller, "freezes")?;
    if let Some(provider) = request.provider.as_ref().filter(|provider| !provider.is_operator()) {
        require_known(&api, provider)?;
    }
    let freeze = Freeze {
        scope: scope_of(request.provider, request.vm)?,
        reach: if request.all { Reach::Everyone } else { Reach::Providers },
        reason: request.reason.as_deref().map(reason).transpose()?,
        since: api.lanes.now().wall,
    };
    let running = api.lanes.freeze(by, freeze.clone()).await?;
    Ok((StatusCode::CREATED, Json(Frozen { freeze, running: running.into_iter().map(RunningVm::from).collect() })))
}

/// What `DELETE /v1/freezes` is about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThawQuery {
    provider: Option<ProviderId>,
    vm: Option<VmId>,
    reason: Option<String>,
}

/// Lets new work begin again; answers with what is still frozen.
#[utoipa::path(
    delete, path = "/v1/freezes",
    params(("provider" = Option<String>, Query), ("vm" = Option<String>, Query), ("reason" = Option<String>, Query)),
    responses((status = 200, body = FreezeList))
)]
pub(crate) async fn thaw(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<ThawQuery>,
) -> Result<Json<FreezeList>, ApiProblem> {
    let by = require_operator(&caller, "thaws")?;
    let why = query.reason.as_deref().map(reason).transpose()?;
    api.lanes.thaw(by, scope_of(query.provider, query.vm)?, why).await?;
    Ok(Json(frozen(&api).await))
}

/// What is frozen, and what still runs of it.
#[utoipa::path(get, path = "/v1/freezes", responses((status = 200, body = FreezeList)))]
pub(crate) async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<FreezeList>, ApiProblem> {
    require_operator(&caller, "sees what is frozen on the host")?;
    Ok(Json(frozen(&api).await))
}

async fn frozen(api: &Api) -> FreezeList {
    let host = api.lanes.host().current();
    let mut running: Vec<RunningVm> = Vec::new();
    for freeze in host.freezes() {
        let more = api.lanes.running(&freeze.scope).await.into_iter().map(RunningVm::from);
        running.extend(more.filter(|one| !running.contains(one)).collect::<Vec<_>>());
    }
    let glass = host.glass().iter().map(|(vm, until)| BrokenGlass { vm: *vm, until: *until, running: Vec::new() });
    FreezeList { freezes: host.freezes().to_vec(), glass: glass.collect(), running }
}

/// The operator takes every action of a VM for a while.
#[utoipa::path(
    post, path = "/v1/vms/{vm}/break-glass", params(("vm" = String, Path)), request_body = GlassRequest,
    responses((status = 201, body = BrokenGlass))
)]
pub(crate) async fn break_glass(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
    Body(request): Body<GlassRequest>,
) -> Result<(StatusCode, Json<BrokenGlass>), ApiProblem> {
    let by = require_operator(&caller, "breaks the glass")?;
    let why = reason(&request.reason)?;
    let until = api.lanes.break_glass(vm, by, why, Duration::from_secs(request.for_s)).await?;
    let running = api.lanes.running(&Scope::Vm { vm }).await.into_iter().map(RunningVm::from).collect();
    Ok((StatusCode::CREATED, Json(BrokenGlass { vm, until, running })))
}

/// The operator gives the actions back before the time is up.
#[utoipa::path(delete, path = "/v1/vms/{vm}/break-glass", params(("vm" = String, Path)), responses((status = 204)))]
pub(crate) async fn mend_glass(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
) -> Result<StatusCode, ApiProblem> {
    require_operator(&caller, "mends the glass")?;
    api.lanes.mend_glass(vm, caller.provider).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What of a provider still runs on a VM, after something was taken from it.
pub(crate) async fn still_running(api: &Api, vm: VmId, of: ProviderId) -> Vec<RunningVm> {
    let read = api.lanes.read(vm, move |lane, _| view::running(lane.state(), &of));
    read.await.into_iter().filter(|running| !running.commands.is_empty() || !running.holds.is_empty()).collect()
}
