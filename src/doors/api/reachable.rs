//! How a provider reaches this agent: what whoever makes an access bundle for it is told, and nothing secret.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::Api;
use super::extract::{Asked, At};
use super::problem::ApiProblem;
use super::vms::require_part;
use crate::doors::identity::Caller;
use crate::doors::tls::{Tls, fingerprint};
use crate::doors::wire::Reachable;
use crate::model::{Code, ProviderId, Refusal, VmId};

/// For whom it is asked; for the caller unless said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReachQuery {
    #[serde(rename = "for")]
    provider: Option<ProviderId>,
}

/// How a provider that has a part in the VM reaches this agent. For itself, for the VM's primary and for the operator.
#[utoipa::path(
    get, path = "/v1/vms/{vm}/access", params(("vm" = String, Path), ("for" = Option<String>, Query)),
    responses((status = 200, body = Reachable))
)]
pub(crate) async fn show(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
    Asked(query): Asked<ReachQuery>,
) -> Result<Json<Reachable>, ApiProblem> {
    require_part(&api, &caller, vm).await?;
    let by = caller.provider;
    let of = query.provider.unwrap_or_else(|| by.clone());
    let receiver = of.clone();
    let standing = api.lanes.read(vm, move |lane, now| {
        let authority = lane.state().authority()?;
        let has_part = authority.providers(now.mono).contains(&&receiver);
        Some((has_part, authority.primary.clone()))
    });
    let (has_part, primary) = standing.await?.unwrap_or((false, ProviderId::operator()));
    if !(by.is_operator() || by == of || by == primary) {
        return Err(Refusal::new(Code::Forbidden, "others' access is told to the primary and to the operator").into());
    }
    if !has_part {
        let message = format!("{of} has no part in this VM: delegate something to it first");
        return Err(Refusal::new(Code::UnknownProvider, message).into());
    }
    let enrollment = &api.enrollment;
    let kind = enrollment.registrar.kind_of(&of);
    let authority = enrollment.registrar.authority().ok().map(|authority| fingerprint(authority.der()));
    // HOST:PORT, of which the port is the one for joining.
    let host = enrollment.endpoint.as_ref().and_then(|endpoint| Some(endpoint.rsplit_once(':')?.0.to_owned()));
    let is_fixed = |port: &u16| *port > 0;
    let has_door = api.welcome.as_ref().is_some_and(|welcome| welcome.lets_in(&of));
    Ok(Json(Reachable {
        provider: of,
        kind,
        host,
        join: enrollment.endpoint.clone(),
        api_port: enrollment.api_port.filter(is_fixed),
        libvirt_port: enrollment.libvirt_port.filter(is_fixed).filter(|_| has_door),
        server: api.tls.as_ref().and_then(Tls::own_fingerprint),
        authority,
    }))
}
