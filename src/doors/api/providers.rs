//! Providers: invited, listed, shown out by the operator; another key for a provider that has one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::Api;
use super::extract::{At, Body};
use super::problem::ApiProblem;
use crate::delegation::ChangeRequest;
use crate::doors::enrollment::{self, Enrollment, Entry, Key, KeyState, Registrar, Waiting};
use crate::doors::identity::{Caller, Enrolling};
use crate::doors::wire::{
    AddProviderRequest, Certificate, Invitation, KeyStanding, KeyView, Origin, ProviderList, ProviderRemoved,
    ProviderView, ReplaceKeyRequest, TokenView,
};
use crate::model::{Code, CommandId, KeyId, Peer, ProviderId, Refusal, VmId, Wall};
use crate::sovereignty::By;

/// How often a token may be used at most.
const USES_MAX: u32 = 64;
/// How long a token may wait at most, and how long it does unless said.
const EXPIRES_MAX_S: u64 = 30 * 24 * 3600;
const EXPIRES_S: u64 = 3600;

fn require_operator(caller: &Caller) -> Result<(), Refusal> {
    if caller.provider.is_operator() {
        return Ok(());
    }
    Err(Refusal::new(Code::Forbidden, "only the operator says who the providers are"))
}

fn by(caller: Caller) -> By {
    By { provider: caller.provider, peer: Some(caller.peer) }
}

/// Runs what blocks on the disk where that is no harm.
async fn registrar<T: Send + 'static>(
    enrollment: &Enrollment,
    work: impl FnOnce(&Registrar) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let registrar: Arc<Registrar> = enrollment.registrar.clone();
    let done = tokio::task::spawn_blocking(move || work(&registrar)).await;
    done.map_err(|_| Refusal::new(Code::Internal, "the registrar failed"))?
}

/// Whether a provider is one of the configuration file, and what the file lets it do.
fn of_file(api: &Api, provider: &ProviderId) -> Option<Enrolling> {
    api.roster.configured(provider)
}

/// Invites a provider: makes the token with which it joins.
#[utoipa::path(
    post, path = "/v1/providers", request_body = AddProviderRequest, responses((status = 201, body = Invitation))
)]
pub(crate) async fn add(
    State(api): State<Api>,
    caller: Caller,
    Body(request): Body<AddProviderRequest>,
) -> Result<(StatusCode, Json<Invitation>), ApiProblem> {
    require_operator(&caller)?;
    let AddProviderRequest { id, kind, may_enroll, uses, expires_s, endpoint } = request;
    if id.is_operator() || id.is_agent() {
        return Err(Refusal::new(Code::Malformed, format!("a provider cannot be called {id}")).into());
    }
    let (uses, expires_s) = (uses.unwrap_or(1), expires_s.unwrap_or(EXPIRES_S));
    if !(1..=USES_MAX).contains(&uses) {
        return Err(Refusal::new(Code::Malformed, format!("uses is 1 to {USES_MAX}")).into());
    }
    if !(1..=EXPIRES_MAX_S).contains(&expires_s) {
        return Err(Refusal::new(Code::Malformed, format!("expires_s is 1 to {EXPIRES_MAX_S}")).into());
    }
    let endpoint = match endpoint {
        None => api.enrollment.endpoint.clone().unwrap_or_default(),
        Some(said) if is_endpoint(&said) => said,
        Some(_) => return Err(Refusal::new(Code::Malformed, "endpoint is HOST:PORT").into()),
    };
    let (file, by, now) = (of_file(&api, &id), by(caller), api.lanes.now().wall);
    let invitation =
        enrollment::Invitation { provider: id.clone(), kind, may_enroll, uses, lasts: Duration::from_secs(expires_s) };
    let invited = registrar(&api.enrollment, move |registrar| registrar.invite(invitation, file, by, now)).await?;
    let (token, expires_at) = (invited.token.reveal(), invited.expires_at);
    Ok((StatusCode::CREATED, Json(Invitation { provider: id, token, uses, expires_at, endpoint })))
}

fn is_endpoint(text: &str) -> bool {
    let host = text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0));
    let plain =
        |host: &str| !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    host.is_some_and(|(host, _)| plain(host))
}

/// Every provider, with its keys and the tokens that wait for it.
#[utoipa::path(get, path = "/v1/providers", responses((status = 200, body = ProviderList)))]
pub(crate) async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<ProviderList>, ApiProblem> {
    require_operator(&caller)?;
    let now = api.lanes.now().wall;
    let mut views: BTreeMap<ProviderId, ProviderView> = BTreeMap::new();
    for (id, entry, waiting) in api.enrollment.registrar.list(now) {
        views.insert(id.clone(), view(id, entry, waiting, now));
    }
    for (id, (_, enrolling)) in &api.roster.current().providers {
        let Some(file) = of_file(&api, id) else { continue };
        let view = views.entry(id.clone()).or_insert_with(|| ProviderView {
            id: id.clone(),
            kind: None,
            may_enroll: *enrolling == Enrolling::Yes,
            origin: Origin::File,
            added_at: None,
            keys: Vec::new(),
            tokens: Vec::new(),
        });
        (view.origin, view.may_enroll) = (Origin::File, file == Enrolling::Yes);
    }
    Ok(Json(ProviderList { providers: views.into_values().collect() }))
}

fn view(id: ProviderId, entry: Entry, waiting: Vec<Waiting>, now: Wall) -> ProviderView {
    let tokens =
        waiting.into_iter().map(|token| TokenView { uses_left: token.uses_left, expires_at: token.expires_at });
    let mut keys: Vec<KeyView> = entry.keys.into_iter().map(|(id, key)| key_view(id, key, now)).collect();
    keys.sort_by_key(|key| (key.added_at, key.key));
    ProviderView {
        id,
        kind: Some(entry.kind),
        may_enroll: entry.may_enroll,
        origin: Origin::Added,
        added_at: Some(entry.added_at),
        keys,
        tokens: tokens.collect(),
    }
}

fn key_view(id: KeyId, key: Key, now: Wall) -> KeyView {
    let good = key.is_good(now);
    let (state, at) = match key.state {
        KeyState::Active if good => (KeyStanding::Active, None),
        KeyState::Retiring { until } if good => (KeyStanding::Retiring, Some(until)),
        // It ended, and nobody has noted it yet.
        KeyState::Active => (KeyStanding::Revoked, Some(key.not_after)),
        KeyState::Retiring { until } => (KeyStanding::Revoked, Some(until)),
        KeyState::Revoked { at } => (KeyStanding::Revoked, Some(at)),
    };
    KeyView { key: id, serial: key.serial, added_at: key.added_at, not_after: key.not_after, state, at }
}

/// Shows a provider out: its keys are revoked and its connections end, then what it was given on VMs is taken back.
#[utoipa::path(
    delete, path = "/v1/providers/{id}", params(("id" = String, Path)), responses((status = 200, body = ProviderRemoved))
)]
pub(crate) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    At(id): At<ProviderId>,
) -> Result<Json<ProviderRemoved>, ApiProblem> {
    require_operator(&caller)?;
    if of_file(&api, &id).is_some() {
        let message = format!(
            "{id} is a provider of the configuration file: take it out there and reload; a key that came with a token \
             can be removed here"
        );
        return Err(Refusal::new(Code::ProviderOfFile, message).into());
    }
    let (by, now, gone) = (by(caller), api.lanes.now().wall, id.clone());
    let keys = registrar(&api.enrollment, move |registrar| registrar.remove(&gone, by, now)).await?;
    // From here on nobody speaks for it; what it left is ended VM by VM.
    let mut removed =
        ProviderRemoved { provider: id, keys, taken_back_on: Vec::new(), cancelled: 0, primary_of: Vec::new() };
    for vm in api.lanes.vms() {
        take_back(&api, vm, &mut removed).await;
    }
    Ok(Json(removed))
}

/// Takes back what a provider holds on one VM, and cancels what of it waits there.
async fn take_back(api: &Api, vm: VmId, removed: &mut ProviderRemoved) {
    let id = removed.provider.clone();
    let look = move |lane: &crate::resolver::Lane, _| {
        let state = lane.state();
        let own = |tracked: &&crate::resolver::Tracked| tracked.is_queued() && tracked.command().provider == id;
        let waiting: Vec<CommandId> = state.commands().filter(own).map(|tracked| tracked.command().id).collect();
        let primary = state.authority().is_some_and(|authority| authority.primary == id);
        (waiting, primary)
    };
    let operator = ProviderId::operator;
    let change = ChangeRequest::Revoke { by: operator(), from: removed.provider.clone(), actions: Default::default() };
    if api.lanes.change(vm, change).await.is_ok() {
        removed.taken_back_on.push(vm);
    }
    // A VM that was released meanwhile has nothing left to end.
    let Ok((waiting, primary)) = api.lanes.read(vm, look).await else { return };
    for command in waiting {
        // One that began meanwhile runs to its end, as every command at the hypervisor does.
        if api.lanes.cancel(vm, operator(), command).await.is_ok() {
            removed.cancelled += 1;
        }
    }
    if primary {
        removed.primary_of.push(vm);
    }
}

/// Ends one key of a provider; its connections with it end.
#[utoipa::path(
    delete, path = "/v1/providers/{id}/keys/{key}", params(("id" = String, Path), ("key" = String, Path)),
    responses((status = 200, body = ProviderRemoved))
)]
pub(crate) async fn remove_key(
    State(api): State<Api>,
    caller: Caller,
    At((id, key)): At<(ProviderId, KeyId)>,
) -> Result<Json<ProviderRemoved>, ApiProblem> {
    require_operator(&caller)?;
    let (by, now, of) = (by(caller), api.lanes.now().wall, id.clone());
    registrar(&api.enrollment, move |registrar| registrar.revoke(&of, key, by, now)).await?;
    let nothing = Vec::new();
    Ok(Json(ProviderRemoved {
        provider: id,
        keys: vec![key],
        taken_back_on: nothing,
        cancelled: 0,
        primary_of: Vec::new(),
    }))
}

/// Gives the caller a certificate for another key; the key of this connection ends after a while.
#[utoipa::path(
    post, path = "/v1/keys", request_body = ReplaceKeyRequest, responses((status = 201, body = Certificate))
)]
pub(crate) async fn replace_key(
    State(api): State<Api>,
    caller: Caller,
    Body(request): Body<ReplaceKeyRequest>,
) -> Result<(StatusCode, Json<Certificate>), ApiProblem> {
    let Peer::Key { key: old, .. } = &caller.peer else {
        return Err(Refusal::new(Code::Forbidden, "this connection is made with no key that could be replaced").into());
    };
    let most = api.enrollment.overlap;
    let overlap = request.overlap_s.map_or(most, |seconds| most.min(Duration::from_secs(seconds)));
    let (old, by, csr, now) = (*old, by(caller), request.csr, api.lanes.now().wall);
    let replace = move |registrar: &Registrar| registrar.replace(by, old, csr.as_bytes(), overlap, now);
    let certified = registrar(&api.enrollment, replace).await?;
    let certificate = Certificate { overlap_s: Some(overlap.as_secs()), ..api.enrollment.certificate(certified) };
    Ok((StatusCode::CREATED, Json(certificate)))
}
