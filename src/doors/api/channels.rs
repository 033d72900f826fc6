//! The channels that are open, and closing one.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::Api;
use super::extract::{Asked, At};
use super::problem::ApiProblem;
use crate::doors::identity::Caller;
use crate::doors::wire::{ChannelList, ChannelView};
use crate::model::{ChannelId, Code, Now, Refusal, VmId};
use crate::resolver::Lane;

/// Why a channel is closed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloseQuery {
    #[serde(default)]
    reason: String,
}

/// The caller's channels; the operator's are all.
#[utoipa::path(get, path = "/v1/channels", responses((status = 200, body = ChannelList)))]
pub(crate) async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<ChannelList>, ApiProblem> {
    let mut channels = Vec::new();
    for vm in api.lanes.vms() {
        channels.extend(of_vm(&api, &caller, vm).await);
    }
    channels.sort_by(|a, b| (&a.name, a.vm, a.opened_at, a.channel).cmp(&(&b.name, b.vm, b.opened_at, b.channel)));
    Ok(Json(ChannelList { channels }))
}

/// Those on one VM; of one that was released meanwhile there are none.
async fn of_vm(api: &Api, caller: &Caller, vm: VmId) -> Vec<ChannelView> {
    let provider = caller.provider.clone();
    let look = move |lane: &Lane, now: Now| -> Vec<ChannelView> {
        let state = lane.state();
        let theirs = state.channels().filter(|open| provider.is_operator() || *open.owner() == provider);
        let view = |open: &crate::resolver::Channel| ChannelView {
            channel: open.id(),
            vm: state.vm(),
            name: state.name().to_owned(),
            kind: open.kind().clone(),
            owner: open.owner().clone(),
            action: open.kind().action(),
            peer: open.from().to_string(),
            opened_at: open.since().wall,
            age_s: now.mono.since(open.since().mono).as_secs(),
            lease_left_s: open.lease().map(|lease| lease.since(now.mono).as_secs()),
            received: 0,
            sent: 0,
        };
        theirs.map(view).collect()
    };
    let mut channels = api.lanes.read(vm, look).await.unwrap_or_default();
    for view in &mut channels {
        let carried = api.channels.carried(view.channel);
        (view.received, view.sent) = (carried.received, carried.sent);
    }
    channels
}

/// Closes a channel of the caller's; the operator closes any.
#[utoipa::path(
    delete, path = "/v1/channels/{channel}",
    params(("channel" = String, Path), ("reason" = Option<String>, Query)), responses((status = 204))
)]
pub(crate) async fn close(
    State(api): State<Api>,
    caller: Caller,
    At(channel): At<ChannelId>,
    Asked(query): Asked<CloseQuery>,
) -> Result<StatusCode, ApiProblem> {
    for vm in api.lanes.vms() {
        let known = api.lanes.read(vm, move |lane, _| lane.state().channels().any(|open| open.id() == channel));
        if known.await.unwrap_or(false) {
            api.lanes.close_channel(vm, caller.provider, channel, query.reason).await?;
            return Ok(StatusCode::NO_CONTENT);
        }
    }
    Err(Refusal::new(Code::UnknownChannel, "you have no channel of this id open").into())
}
