//! Opening channels as WebSockets: the serial console, the screen, the export of a backup.
//!
//! Everything that can be refused is refused before the upgrade, as an HTTP answer with its reason.

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde::Deserialize;

use super::Api;
use super::extract::{Asked, At};
use super::problem::ApiProblem;
use super::seats::Seat;
use super::vms::of_hypervisor;
use crate::doors::access::{Open, carry};
use crate::doors::identity::Caller;
use crate::doors::pass::Pass;
use crate::hypervisor::{AskHypervisorError, Later, Others, Pipe, Reach};
use crate::model::{ChannelKind, Code, HoldKey, Refusal, VmId};
use crate::resolver::{ChannelEnd, Force};

/// The largest message that is taken. *Units*: bytes.
const MESSAGE_MAX: usize = 1024 * 1024;
/// The subprotocol by which noVNC and others ask for raw bytes.
const BINARY: &str = "binary";

/// What is wished of a console.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsoleQuery {
    /// Whether a console of the caller's own that is open, and whoever is there past covirt, are cut off.
    #[serde(default)]
    force: bool,
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// Opens the serial console: its bytes in binary messages, both ways.
#[utoipa::path(
    get, path = "/v1/vms/{vm}/console", params(("vm" = String, Path), ("force" = Option<bool>, Query)),
    responses((status = 101, description = "the WebSocket is open"))
)]
#[expect(clippy::too_many_arguments, reason = "they are what it takes of the request")]
pub(crate) async fn console(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
    Asked(query): Asked<ConsoleQuery>,
    headers: HeaderMap,
    Extension(seat): Extension<Seat>,
    Extension(pass): Extension<Pass>,
    upgrade: Upgrade,
) -> Result<Response, ApiProblem> {
    let (force, others) = if query.force { (Force::Yes, Others::CutOff) } else { (Force::No, Others::Stay) };
    let way = Way { kind: ChannelKind::Console, force };
    open(&api, &caller, vm, &headers, (seat, pass, upgrade), way, |reach| reach.open_console(vm, others)).await
}

/// Opens the graphical screen: the bytes of RFB in binary messages, as noVNC speaks it. No password is asked for.
#[utoipa::path(
    get, path = "/v1/vms/{vm}/vnc", params(("vm" = String, Path)),
    responses((status = 101, description = "the WebSocket is open"))
)]
pub(crate) async fn vnc(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
    headers: HeaderMap,
    Extension(seat): Extension<Seat>,
    Extension(pass): Extension<Pass>,
    upgrade: Upgrade,
) -> Result<Response, ApiProblem> {
    let way = Way { kind: ChannelKind::Screen, force: Force::No };
    open(&api, &caller, vm, &headers, (seat, pass, upgrade), way, |reach| reach.open_screen(vm)).await
}

/// Opens what the caller's pull backup serves: the bytes of NBD in binary messages. Exports are named as their disks.
#[utoipa::path(
    get, path = "/v1/vms/{vm}/holds/{hold}/nbd", params(("vm" = String, Path), ("hold" = String, Path)),
    responses((status = 101, description = "the WebSocket is open"))
)]
pub(crate) async fn nbd(
    State(api): State<Api>,
    caller: Caller,
    At((vm, hold)): At<(VmId, HoldKey)>,
    headers: HeaderMap,
    Extension(seat): Extension<Seat>,
    Extension(pass): Extension<Pass>,
    upgrade: Upgrade,
) -> Result<Response, ApiProblem> {
    if hold != HoldKey::Backup {
        return Err(Refusal::new(Code::UnknownHold, format!("a {hold} serves nothing over NBD")).into());
    }
    let way = Way { kind: ChannelKind::Nbd, force: Force::No };
    open(&api, &caller, vm, &headers, (seat, pass, upgrade), way, |reach| reach.open_nbd(vm)).await
}

struct Way {
    kind: ChannelKind,
    force: Force,
}

async fn open(
    api: &Api,
    caller: &Caller,
    vm: VmId,
    headers: &HeaderMap,
    (seat, pass, upgrade): (Seat, Pass, Upgrade),
    way: Way,
    reach: impl FnOnce(&dyn Reach) -> Later<Result<Pipe, AskHypervisorError>>,
) -> Result<Response, ApiProblem> {
    may_come_from(headers)?;
    let upgrade = upgrade.map_err(|_| Refusal::new(Code::Malformed, "a WebSocket upgrade is expected here"))?;
    let kind = way.kind.clone();
    let opened = api.channels.open(&api.lanes, caller, vm, way.kind, way.force).await?;
    let pipe = reached(opened, reach(api.lanes.hypervisor().as_ref()).await).await;
    let (opened, pipe) = pipe.map_err(|error| of_hypervisor(&error))?;
    tracing::info!(%vm, provider = %caller.provider, channel = %opened.id(), %kind, "a channel is open");
    let upgrade = upgrade.protocols([BINARY]).max_message_size(MESSAGE_MAX).max_frame_size(MESSAGE_MAX);
    let owner = caller.provider.clone();
    Ok(upgrade.on_upgrade(async move |socket| {
        carry(opened, pass.lapsed_for(&owner), socket, pipe).await;
        drop(seat);
    }))
}

/// What the hypervisor opened; a channel that leads nowhere is over.
async fn reached<T>(opened: Open, found: Result<T, AskHypervisorError>) -> Result<(Open, T), AskHypervisorError> {
    match found {
        Ok(found) => Ok((opened, found)),
        Err(error) => {
            opened.over(ChannelEnd::Failed { reason: error.to_string() }).await;
            Err(error)
        }
    }
}

/// A page of somebody else's could have a browser open a channel with its user's certificate: browsers say from which
/// page a request comes, and only this very agent's own may.
fn may_come_from(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let host = headers.get(header::HOST).map(text).unwrap_or_default();
    match text(origin).split_once("://") {
        Some((_, from)) if from.eq_ignore_ascii_case(&host) => Ok(()),
        Some(_) | None => Err(Refusal::new(Code::Forbidden, "a page from elsewhere opens no channel")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_from_elsewhere_opens_nothing() {
        let from = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "agent:16515".parse().unwrap());
            origin.map(|origin| headers.insert(header::ORIGIN, origin.parse().unwrap()));
            may_come_from(&headers).map_err(|refusal| refusal.code)
        };
        assert_eq!(from(None), Ok(()));
        assert_eq!(from(Some("https://agent:16515")), Ok(()));
        for origin in ["https://elsewhere", "https://agent", "null", "https://agent:16515.elsewhere"] {
            assert_eq!(from(Some(origin)), Err(Code::Forbidden), "{origin}");
        }
    }
}
