//! What is open on VMs, and ending it with proof.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::Api;
use super::events::changed;
use super::extract::{At, Body, wished_wait};
use super::problem::ApiProblem;
use super::vms::{require_part, unknown_vm};
use crate::doors::identity::Caller;
use crate::doors::view;
use crate::doors::wire::{HoldEnd, HoldList, HoldProgress, HoldRelease, HoldReleaseRequest, HoldView};
use crate::hypervisor::JobProgress;
use crate::model::{Code, HoldKey, Now, Refusal, VmId};
use crate::resolver::{Closed, Fact, GivenUp, Lane};

/// The longest reason. *Units*: bytes.
const REASON_MAX: usize = 1024;
/// How long an end is waited for by a caller that does not say: an errand that fails is sent again after seconds.
const END_WAIT: Duration = Duration::from_secs(30);
/// How long libvirt is waited for to say how far something is: what is open is shown all the same.
const PROGRESS_WAIT: Duration = Duration::from_secs(2);
/// How many journal records are read at once.
const PAGE: usize = 64;

/// What is open on one VM.
#[utoipa::path(get, path = "/v1/vms/{vm}/holds", params(("vm" = String, Path)), responses((status = 200, body = HoldList)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
) -> Result<Json<HoldList>, ApiProblem> {
    let holds = of_vm(&api, &caller, vm).await?;
    Ok(Json(HoldList { holds }))
}

/// What is open on every VM in which the caller has a part.
#[utoipa::path(get, path = "/v1/holds", responses((status = 200, body = HoldList)))]
pub(crate) async fn list_all(State(api): State<Api>, caller: Caller) -> Result<Json<HoldList>, ApiProblem> {
    let mut holds = Vec::new();
    for vm in api.lanes.vms() {
        // A VM that was released meanwhile, or that is not the caller's, has nothing to show.
        holds.extend(of_vm(&api, &caller, vm).await.unwrap_or_default());
    }
    holds.sort_by(|a, b| (&a.name, a.vm, &a.hold).cmp(&(&b.name, b.vm, &b.hold)));
    Ok(Json(HoldList { holds }))
}

async fn of_vm(api: &Api, caller: &Caller, vm: VmId) -> Result<Vec<HoldView>, Refusal> {
    let provider = caller.provider.clone();
    let look = move |lane: &Lane, now: Now| {
        let state = lane.state();
        let has_part = provider.is_operator()
            || state.authority().is_some_and(|authority| authority.providers(now.mono).contains(&&provider));
        has_part.then(|| view::holds(state, now))
    };
    let mut holds = api.lanes.read(vm, look).await?.ok_or_else(unknown_vm)?;
    if holds.iter().any(|view| view.hold.is_observable()) {
        let progress = progress_of(api, vm).await;
        for view in &mut holds {
            view.progress = progress.iter().find(|(hold, _)| *hold == view.hold).map(|(_, progress)| *progress);
        }
    }
    Ok(holds)
}

/// How far everything is that libvirt knows to be open on a VM; nothing where it cannot say so in time.
async fn progress_of(api: &Api, vm: VmId) -> Vec<(HoldKey, HoldProgress)> {
    let asked = tokio::time::timeout(PROGRESS_WAIT, api.lanes.hypervisor().progress(vm)).await;
    let known = asked.ok().and_then(Result::ok).unwrap_or_default().into_iter();
    known
        .map(|JobProgress { hold, done, total, seconds_left, elapsed_s }| {
            (hold, HoldProgress { done, total, seconds_left, elapsed_s })
        })
        .collect()
}

/// Ends what is open, and answers with the proof that it is over.
#[utoipa::path(
    post, path = "/v1/vms/{vm}/holds/{hold}/release",
    params(("vm" = String, Path), ("hold" = String, Path), ("Prefer" = Option<String>, Header)),
    request_body = HoldReleaseRequest,
    responses((status = 200, description = "it is over", body = HoldRelease),
              (status = 202, description = "it is being ended", body = HoldRelease))
)]
pub(crate) async fn release(
    State(api): State<Api>,
    caller: Caller,
    At((vm, hold)): At<(VmId, HoldKey)>,
    headers: HeaderMap,
    Body(request): Body<HoldReleaseRequest>,
) -> Result<Response, ApiProblem> {
    require_part(&api, &caller, vm).await?;
    let reason = request.reason;
    if reason.trim().is_empty() || reason.len() > REASON_MAX || reason.chars().any(char::is_control) {
        let message = format!("reason is one line of 1 to {REASON_MAX} bytes");
        return Err(Refusal::new(Code::Malformed, message).into());
    }
    let wait = wished_wait(&headers).unwrap_or(END_WAIT);
    let before = api.lanes.journal().last();
    let by = caller.provider.clone();
    api.lanes.release_hold(vm, by.clone(), hold.clone(), reason.clone()).await?;
    let asked = GivenUp::Requested { by, reason };
    let end = |within| tokio::time::timeout(within, end_of(&api, vm, &hold, &asked, before));
    let mut closed = end(wait).await.ok().transpose()?;
    let mut open = None;
    if closed.is_none() {
        open = of_vm(&api, &caller, vm).await?.into_iter().find(|view| view.hold == hold);
        if open.is_none() {
            // It ended just now, and what a look has seen is in the journal.
            closed = end(END_WAIT).await.ok().transpose()?;
        }
    }
    let status = if closed.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(HoldRelease { vm, hold: hold.clone(), closed, open })).into_response())
}

/// How what was asked to end came to its end, as the journal has it; waits until it has.
async fn end_of(api: &Api, vm: VmId, key: &HoldKey, asked: &GivenUp, mut after: u64) -> Result<HoldEnd, Refusal> {
    let mut is_asked = false;
    loop {
        let known = api.lanes.journal().last();
        let records = api.lanes.journal().page(after, PAGE, Some(vm)).await.map_err(|error| {
            tracing::error!(%vm, %error, "the end of a hold cannot be read");
            Refusal::new(Code::Internal, "the journal cannot be read")
        })?;
        let is_last = records.len() < PAGE;
        for (position, entry) in records {
            after = position;
            for fact in &entry.facts {
                match fact {
                    // Something of the same kind may have ended and begun again before it was asked for.
                    Fact::HoldGivenUp { hold, why } if hold == key && why == asked => is_asked = true,
                    Fact::HoldClosed { hold, how } if is_asked && hold == key => {
                        let (cursor, at, text) = (position, entry.at.wall, how.to_string());
                        let verified = !matches!(how, Closed::Unverified { .. });
                        return Ok(HoldEnd { at, cursor, how: how.clone(), verified, text });
                    }
                    _ => {}
                }
            }
        }
        if is_last {
            changed(api, known).await;
        }
    }
}
