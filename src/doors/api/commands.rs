//! Commands: submit, wait, list, show, cancel, explain; and the conflicts between them.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::Api;
use super::extract::{At, Body, wait_of};
use super::problem::ApiProblem;
use super::vms::{require_part, unknown_vm};
use crate::delegation::confinement::Asked;
use crate::doors::identity::Caller;
use crate::doors::view;
use crate::doors::wire::{CommandList, CommandRequest, CommandView, ConflictList, DecisionRequest, Explanation};
use crate::model::action::Way;
use crate::model::{Code, Command, CommandId, ConflictId, Operation, Refusal, VmId};
use crate::resolver::{ConflictRecord, Lane, State as LaneState, Tracked};

/// How many commands `after` may name.
const AFTER_MAX: usize = 64;

/// Submits a command; with `Prefer: wait=N` the answer waits for its end.
#[utoipa::path(
    post, path = "/v1/vms/{vm}/commands", params(("vm" = String, Path), ("Prefer" = Option<String>, Header)),
    request_body = CommandRequest,
    responses((status = 200, description = "it has ended", body = CommandView),
              (status = 202, description = "it was accepted", body = CommandView))
)]
pub(crate) async fn submit(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
    headers: HeaderMap,
    Body(request): Body<CommandRequest>,
) -> Result<Response, ApiProblem> {
    let command = command_of(&caller, vm, request)?;
    let (action, asked) = (command.operation.action(), Asked::of(&command.operation));
    api.reaches.judge(&api.lanes, &caller.provider, vm, action, &asked).await?;
    let (id, digest, wait) = (command.id, command.digest(), wait_of(&headers));
    let clock = api.sessions.clock_of(&caller.provider, api.lanes.now());
    match api.lanes.submit(command, Some(clock), Some(caller.peer.clone())).await {
        Ok(submission) => {
            if wait > Duration::ZERO {
                let _ = tokio::time::timeout(wait, submission.ended).await;
            }
            let view = live(&api, &caller, vm, id).await?;
            let status = if view.state.is_terminal() { StatusCode::OK } else { StatusCode::ACCEPTED };
            Ok((status, Json(view)).into_response())
        }
        // The lane may have forgotten a command that the journal remembers.
        Err(refusal) if refusal.code == Code::SeqReplayed => match archived(&api, vm, id).await? {
            Some((state, past)) if past.admission().digest == digest => {
                Ok((StatusCode::OK, Json(view::past_command(&state, &past, &caller.provider))).into_response())
            }
            Some(_) => {
                Err(Refusal::new(Code::IdReused, format!("the id {id} was used before with other content")).into())
            }
            None => Err(refusal.into()),
        },
        Err(refusal) => Err(refusal.into()),
    }
}

fn command_of(caller: &Caller, vm: VmId, request: CommandRequest) -> Result<Command, Refusal> {
    if request.action.spec().way == Way::Relay {
        let message = format!(
            "{} is asked for by a libvirt client's own call, through its provider's door; no request can say it",
            request.action
        );
        return Err(Refusal::new(Code::OnlyRelayed, message));
    }
    let operation = Operation::parse(request.action, request.args)
        .map_err(|error| Refusal::new(Code::Malformed, error.to_string()))?;
    if request.order.after.len() > AFTER_MAX {
        return Err(Refusal::new(Code::Malformed, format!("`after` names at most {AFTER_MAX} commands")));
    }
    if request.id.0.is_nil() {
        return Err(Refusal::new(Code::Malformed, "the nil UUID is no command id"));
    }
    Ok(Command {
        id: request.id,
        vm,
        provider: caller.provider.clone(),
        operation,
        order: request.order,
        issued_at: request.issued_at,
        not_after: request.not_after,
        must_start_by: request.must_start_by,
        break_glass: request.break_glass,
        guard: request.guard,
        class: request.class,
        epoch: request.epoch,
        call: None,
    })
}

async fn live(api: &Api, caller: &Caller, vm: VmId, id: CommandId) -> Result<CommandView, Refusal> {
    let reader = caller.provider.clone();
    let look = move |lane: &Lane, now| lane.state().command(id).map(|known| view::command(lane, known, now, &reader));
    let found = api.lanes.read(vm, look);
    match found.await? {
        Some(view) => Ok(view),
        None => {
            let past = archived(api, vm, id).await?;
            past.map(|(state, past)| view::past_command(&state, &past, &caller.provider))
                .ok_or_else(|| unknown_command(id))
        }
    }
}

fn unknown_command(id: CommandId) -> Refusal {
    Refusal::new(Code::UnknownCommand, format!("there is no command {id} that you may see"))
}

async fn archived(api: &Api, vm: VmId, id: CommandId) -> Result<Option<(LaneState, Tracked)>, Refusal> {
    let state = api.lanes.history(vm).await.map_err(|error| {
        tracing::error!(%vm, %error, "the VM's history cannot be read");
        Refusal::new(Code::Internal, "the VM's history cannot be read from the journal")
    })?;
    let found = state.command(id).cloned();
    Ok(found.map(|tracked| (state, tracked)))
}

/// Refuses a caller that has no part in a command's VM, unless the command is its own: whoever lost its part still learns
/// what became of what it sent.
async fn require_sight(api: &Api, caller: &Caller, vm: VmId, id: CommandId) -> Result<(), Refusal> {
    let Err(refusal) = require_part(api, caller, vm).await else { return Ok(()) };
    let own = caller.provider.clone();
    let look = move |lane: &Lane, _| lane.state().command(id).is_some_and(|known| known.command().provider == own);
    if api.lanes.read(vm, look).await? { Ok(()) } else { Err(refusal) }
}

/// A VM's commands that the lane remembers.
#[utoipa::path(get, path = "/v1/vms/{vm}/commands", params(("vm" = String, Path)), responses((status = 200, body = CommandList)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
) -> Result<Json<CommandList>, ApiProblem> {
    require_part(&api, &caller, vm).await?;
    let read = api.lanes.read(vm, move |lane, now| {
        let mut tracked: Vec<_> = lane.state().commands().collect();
        tracked.sort_by_key(|tracked| (tracked.times().0.mono, tracked.command().id));
        tracked.into_iter().map(|tracked| view::command(lane, tracked, now, &caller.provider)).collect()
    });
    Ok(Json(CommandList { commands: read.await? }))
}

/// One command.
#[utoipa::path(
    get, path = "/v1/vms/{vm}/commands/{id}", params(("vm" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = CommandView))
)]
pub(crate) async fn show(
    State(api): State<Api>,
    caller: Caller,
    At((vm, id)): At<(VmId, CommandId)>,
) -> Result<Json<CommandView>, ApiProblem> {
    require_sight(&api, &caller, vm, id).await?;
    Ok(Json(live(&api, &caller, vm, id).await?))
}

/// Takes a command back that has not been started.
#[utoipa::path(
    delete, path = "/v1/vms/{vm}/commands/{id}", params(("vm" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = CommandView))
)]
pub(crate) async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    At((vm, id)): At<(VmId, CommandId)>,
) -> Result<Json<CommandView>, ApiProblem> {
    require_part(&api, &caller, vm).await?;
    api.lanes.cancel(vm, caller.provider.clone(), id).await?;
    Ok(Json(live(&api, &caller, vm, id).await?))
}

/// A VM's conflicts that the lane remembers.
#[utoipa::path(get, path = "/v1/vms/{vm}/conflicts", params(("vm" = String, Path)), responses((status = 200, body = ConflictList)))]
pub(crate) async fn conflicts(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
) -> Result<Json<ConflictList>, ApiProblem> {
    require_part(&api, &caller, vm).await?;
    let read = api.lanes.read(vm, |lane, _| {
        let mut conflicts: Vec<_> = lane.state().conflicts().collect();
        conflicts.sort_by_key(|conflict| (conflict.opened().mono, conflict.id()));
        conflicts.into_iter().map(ConflictRecord::from).collect()
    });
    Ok(Json(ConflictList { conflicts: read.await? }))
}

/// The operator's word: which of a conflict's two commands goes first.
#[utoipa::path(
    post, path = "/v1/conflicts/{id}/decision", params(("id" = String, Path)), request_body = DecisionRequest,
    responses((status = 200, description = "the conflict, settled so", body = Object))
)]
pub(crate) async fn decide(
    State(api): State<Api>,
    caller: Caller,
    At(id): At<ConflictId>,
    Body(request): Body<DecisionRequest>,
) -> Result<Json<ConflictRecord>, ApiProblem> {
    if !caller.provider.is_operator() {
        return Err(Refusal::new(Code::Forbidden, "only the operator decides a conflict by its word").into());
    }
    let unknown = || Refusal::new(Code::UnknownConflict, format!("there is no conflict {id} that a lane remembers"));
    let look = move |lane: &Lane, _| lane.state().conflict(id).map(ConflictRecord::from);
    for vm in api.lanes.vms() {
        if api.lanes.read(vm, look).await.ok().flatten().is_some() {
            api.lanes.decide(vm, caller.provider, id, request.first).await?;
            return Ok(Json(api.lanes.read(vm, look).await?.ok_or_else(unknown)?));
        }
    }
    Err(unknown().into())
}

/// The VM that a command is on, if the caller may see it.
async fn vm_of(api: &Api, caller: &Caller, id: CommandId) -> Result<VmId, Refusal> {
    for vm in api.lanes.vms() {
        let known = api.lanes.read(vm, move |lane, _| lane.state().command(id).is_some()).await.unwrap_or(false);
        if known && require_sight(api, caller, vm, id).await.is_ok() {
            return Ok(vm);
        }
    }
    for vm in api.lanes.vms() {
        if require_part(api, caller, vm).await.is_ok() && archived(api, vm, id).await?.is_some() {
            return Ok(vm);
        }
    }
    Err(unknown_command(id))
}

/// One command, wherever it is.
#[utoipa::path(get, path = "/v1/commands/{id}", params(("id" = String, Path)), responses((status = 200, body = CommandView)))]
pub(crate) async fn find(
    State(api): State<Api>,
    caller: Caller,
    At(id): At<CommandId>,
) -> Result<Json<CommandView>, ApiProblem> {
    let vm = vm_of(&api, &caller, id).await?;
    Ok(Json(live(&api, &caller, vm, id).await?))
}

/// What happened to a command, and why.
#[utoipa::path(get, path = "/v1/commands/{id}/explain", params(("id" = String, Path)), responses((status = 200, body = Explanation)))]
pub(crate) async fn explain(
    State(api): State<Api>,
    caller: Caller,
    At(id): At<CommandId>,
) -> Result<Json<Explanation>, ApiProblem> {
    let vm = vm_of(&api, &caller, id).await?;
    let reader = caller.provider.clone();
    let read = api.lanes.read(vm, move |lane, now| {
        let tracked = lane.state().command(id)?;
        Some(view::explanation(lane.state(), tracked, view::command(lane, tracked, now, &reader)))
    });
    if let Some(explanation) = read.await? {
        return Ok(Json(explanation));
    }
    let (state, past) = archived(&api, vm, id).await?.ok_or_else(unknown_vm)?;
    Ok(Json(view::explanation(&state, &past, view::past_command(&state, &past, &caller.provider))))
}
