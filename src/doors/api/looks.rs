//! One look at a VM's own resources: its screen, its guest, its figures.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Api;
use super::extract::{Asked, At};
use super::problem::ApiProblem;
use super::vms::{of_hypervisor, require_part, unknown_vm};
use crate::doors::access::{exposition, png_of};
use crate::doors::identity::Caller;
use crate::doors::wire::{GuestReport, StatsList, VmStats};
use crate::hypervisor::{GuestFacts, Picture};
use crate::model::{Action, Code, Refusal, VmId};
use crate::resolver::may_look;

/// Refuses a caller that may not do this to a VM, and what the VM's state does not allow.
async fn require(api: &Api, caller: &Caller, vm: VmId, action: Action) -> Result<(), Refusal> {
    let provider = caller.provider.clone();
    let look = api.lanes.read(vm, move |lane, now| may_look(lane, &provider, action, now));
    look.await?
}

/// Of which screen a picture is wished.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScreenQuery {
    #[serde(default)]
    screen: u32,
}

/// A picture of the screen.
#[utoipa::path(
    get, path = "/v1/vms/{vm}/screenshot", params(("vm" = String, Path), ("screen" = Option<u32>, Query)),
    responses((status = 200, description = "a PNG", content_type = "image/png"))
)]
pub(crate) async fn screenshot(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
    Asked(query): Asked<ScreenQuery>,
) -> Result<Response, ApiProblem> {
    require(&api, &caller, vm, Action::ScreenCapture).await?;
    let taken = api.lanes.hypervisor().screenshot(vm, query.screen).await;
    let Picture { media_type, bytes } = taken.map_err(|error| of_hypervisor(&error))?;
    let made = tokio::task::spawn_blocking(move || png_of(&media_type, bytes)).await;
    let made = made.map_err(|error| Refusal::new(Code::Internal, error.to_string()))?;
    let png = made.map_err(|error| Refusal::new(Code::HypervisorFailed, error.to_string()))?;
    let heads = [(header::CONTENT_TYPE, "image/png"), (header::CACHE_CONTROL, "no-store")];
    Ok((heads, png).into_response())
}

/// What the guest tells of itself: addresses, and what its agent knows.
#[utoipa::path(get, path = "/v1/vms/{vm}/guest", params(("vm" = String, Path)), responses((status = 200, body = GuestReport)))]
pub(crate) async fn guest(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
) -> Result<Json<GuestReport>, ApiProblem> {
    require(&api, &caller, vm, Action::GuestInfo).await?;
    let told = api.lanes.hypervisor().guest(vm).await.map_err(|error| of_hypervisor(&error))?;
    let GuestFacts { addresses, agent, filesystems, unknown } = told;
    Ok(Json(GuestReport { vm, addresses, agent, filesystems, unknown }))
}

/// What libvirt counts of a VM, as JSON, or for Prometheus by `Accept: text/plain` or `application/openmetrics-text`.
#[utoipa::path(get, path = "/v1/vms/{vm}/stats", params(("vm" = String, Path)), responses((status = 200, body = VmStats)))]
pub(crate) async fn stats(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
    headers: HeaderMap,
) -> Result<Response, ApiProblem> {
    require(&api, &caller, vm, Action::InspectRead).await?;
    let counted = count(&api, vec![vm]).await?.into_iter().next().ok_or_else(unknown_vm)?;
    Ok(told(&headers, vec![counted], |mut vms| {
        vms.pop().map_or_else(|| Json(()).into_response(), |vm| Json(vm).into_response())
    }))
}

/// What libvirt counts of every VM in which the caller has a part.
#[utoipa::path(get, path = "/v1/stats", responses((status = 200, body = StatsList)))]
pub(crate) async fn all_stats(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiProblem> {
    let mut seen = Vec::new();
    for vm in api.lanes.vms() {
        if require_part(&api, &caller, vm).await.is_ok() {
            seen.push(vm);
        }
    }
    let counted = count(&api, seen).await?;
    Ok(told(&headers, counted, |vms| Json(StatsList { vms }).into_response()))
}

async fn count(api: &Api, vms: Vec<VmId>) -> Result<Vec<VmStats>, Refusal> {
    let figures = api.lanes.hypervisor().figures(vms).await.map_err(|error| of_hypervisor(&error))?;
    let mut counted = Vec::new();
    for (vm, figures) in figures {
        // One that was released meanwhile is nobody's to see.
        if let Ok(name) = api.lanes.read(vm, |lane, _| lane.state().name().to_owned()).await {
            counted.push(VmStats { vm, name, figures });
        }
    }
    Ok(counted)
}

/// In the form that the caller takes.
fn told(headers: &HeaderMap, vms: Vec<VmStats>, json: impl FnOnce(Vec<VmStats>) -> Response) -> Response {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let first = accepted.flat_map(|value| value.split(',')).find_map(|one| match one.split(';').next()?.trim() {
        "application/openmetrics-text" => Some(Some("application/openmetrics-text; version=1.0.0; charset=utf-8")),
        "text/plain" => Some(Some("text/plain; version=0.0.4; charset=utf-8")),
        "application/json" | "*/*" => Some(None),
        _ => None,
    });
    match first.flatten() {
        None => json(vms),
        Some(kind) => ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], exposition(&vms)).into_response(),
    }
}
