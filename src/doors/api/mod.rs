//! HTTP/1.1 and JSON on the Unix socket, and the same over TLS.
//!
//! Everything from outside is bounded: connections, the time until a request's head is there, the body's size and
//! time, a provider's queue. Every error is a [`Problem`](super::wire::Problem) with a stable code.

mod access;
mod artifacts;
mod audit;
mod channels;
mod commands;
mod content;
mod events;
mod exchanges;
mod extract;
mod holds;
mod looks;
mod host;
mod observe;
mod openapi;
mod problem;
mod providers;
mod reachable;
mod seats;
mod serve;
mod socket;
mod vms;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::routing::{delete, get};
use axum::{Json, Router};

use super::access::Channels;
use super::bindings::Bindings;
use super::enrollment::Enrollment;
use super::identity::Caller;
use super::reach::Reaches;
use super::roster::Roster;
use super::rpc::Welcome;
use super::session::Sessions;
use super::tls::Tls;
use super::wire::{Health, Identity};
use crate::lanes::Lanes;
use crate::model::{Code, Refusal};
pub(crate) use problem::ApiProblem;

pub use observe::{Exposition, serve_observers};
pub use openapi::document as openapi_document;
pub use problem::status_of;
pub use serve::{serve, serve_tls};

/// How long a client is waited for, and how many connections it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a request's head, and for the next request of an idle connection.
    pub head: Duration,
    /// For a request's body.
    pub body: Duration,
    /// Connections on the Unix socket of one user, and of one provider.
    pub connections: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: Duration::from_secs(30), body: Duration::from_secs(10), connections: 256 }
    }
}

/// What a client may take now: a reload may change it. Clones are the same.
#[derive(Debug, Clone)]
pub struct LiveLimits(Arc<Mutex<Limits>>);

impl LiveLimits {
    fn new(limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(limits)))
    }

    /// As they are now.
    #[must_use]
    pub fn now(&self) -> Limits {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From the next connection and request on.
    pub fn set(&self, limits: Limits) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }
}

/// What every handler works with.
#[derive(Clone)]
pub struct Api {
    pub(crate) lanes: Lanes,
    pub(crate) roster: Roster,
    pub(crate) sessions: Sessions,
    pub(crate) limits: LiveLimits,
    pub(crate) bindings: Bindings,
    pub(crate) reaches: Reaches,
    pub(crate) channels: Channels,
    pub(crate) exposition: Option<Arc<dyn Exposition>>,
    pub(crate) enrollment: Enrollment,
    pub(crate) tls: Option<Tls>,
    /// Whose clients of libvirt are served.
    pub(crate) welcome: Option<Welcome>,
}

impl Api {
    /// The API over these lanes, for these callers.
    #[must_use]
    pub fn new(
        lanes: Lanes,
        roster: Roster,
        sessions: Sessions,
        limits: Limits,
        bindings: Bindings,
        reaches: Reaches,
        enrollment: Enrollment,
    ) -> Self {
        let limits = LiveLimits::new(limits);
        Self {
            lanes,
            roster,
            sessions,
            limits,
            bindings,
            reaches,
            channels: Channels::default(),
            enrollment,
            exposition: None,
            tls: None,
            welcome: None,
        }
    }

    /// How long clients are waited for, to be changed.
    #[must_use]
    pub fn limits(&self) -> LiveLimits {
        self.limits.clone()
    }

    /// The same, with metrics.
    #[must_use]
    pub fn exposing(self, exposition: Arc<dyn Exposition>) -> Self {
        Self { exposition: Some(exposition), ..self }
    }

    /// The same, served over TLS, too, beside doors for these clients of libvirt.
    #[must_use]
    pub fn over(self, tls: Option<Tls>, welcome: Option<Welcome>) -> Self {
        Self { tls, welcome, ..self }
    }

    /// Every path.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(health))
            .route("/livez", get(observe::livez))
            .route("/readyz", get(observe::readyz))
            .route("/metrics", get(observe::metrics))
            .route("/openapi.json", get(openapi::serve))
            .route("/v1/whoami", get(whoami))
            .route("/v1/inventory", get(vms::inventories))
            .route("/v1/vms", get(vms::list))
            .route("/v1/vms/{vm}", get(vms::show))
            .route("/v1/vms/{vm}/enrollment", axum::routing::post(vms::enroll).delete(vms::release))
            .route("/v1/vms/{vm}/inventory", get(vms::inventory))
            .route("/v1/vms/{vm}/artifacts", get(artifacts::list))
            .route("/v1/vms/{vm}/artifacts/{format}", get(artifacts::show))
            .route("/v1/vms/{vm}/delegations", get(vms::delegations).post(vms::delegate))
            .route("/v1/vms/{vm}/delegations/{provider}", delete(vms::revoke))
            .route("/v1/vms/{vm}/commands", get(commands::list).post(commands::submit))
            .route("/v1/vms/{vm}/commands/{id}", get(commands::show).delete(commands::cancel))
            .route("/v1/vms/{vm}/conflicts", get(commands::conflicts))
            .route("/v1/vms/{vm}/holds", get(holds::list))
            .route("/v1/vms/{vm}/holds/{hold}/release", axum::routing::post(holds::release))
            .route("/v1/holds", get(holds::list_all))
            .route("/v1/channels", get(channels::list))
            .route("/v1/channels/{channel}", delete(channels::close))
            .route("/v1/vms/{vm}/console", get(access::console))
            .route("/v1/vms/{vm}/vnc", get(access::vnc))
            .route("/v1/vms/{vm}/holds/{hold}/nbd", get(access::nbd))
            .route("/v1/vms/{vm}/screenshot", get(looks::screenshot))
            .route("/v1/vms/{vm}/guest", get(looks::guest))
            .route("/v1/vms/{vm}/access", get(reachable::show))
            .route("/v1/vms/{vm}/stats", get(looks::stats))
            .route("/v1/stats", get(looks::all_stats))
            .route("/v1/vms/{vm}/disks/{target}/content", get(content::show))
            .route("/v1/conflicts/{id}/decision", axum::routing::post(commands::decide))
            .route("/v1/commands/{id}", get(commands::find))
            .route("/v1/commands/{id}/explain", get(commands::explain))
            .route("/v1/events", get(events::page))
            .route("/v1/freezes", get(host::list).post(host::freeze).delete(host::thaw))
            .route("/v1/vms/{vm}/break-glass", axum::routing::post(host::break_glass).delete(host::mend_glass))
            .route("/v1/audit/verify", get(audit::verify))
            .route("/v1/audit/records", get(audit::records))
            .route("/v1/audit/deeds", get(audit::deeds))
            .route("/v1/providers", get(providers::list).post(providers::add))
            .route("/v1/providers/{id}", delete(providers::remove))
            .route("/v1/providers/{id}/keys/{key}", delete(providers::remove_key))
            .route("/v1/keys", axum::routing::post(providers::replace_key))
            .route("/v1/session", get(socket::open))
            .fallback(async || ApiProblem::from(Refusal::new(Code::NotFound, "there is no such path")))
            .method_not_allowed_fallback(async || {
                ApiProblem::from(Refusal::new(Code::MethodNotAllowed, "the path exists, but not with this method"))
            })
            .with_state(self)
    }
}

/// How the agent is.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = Health)))]
pub(crate) async fn health(axum::extract::State(api): axum::extract::State<Api>) -> Json<Health> {
    Json(Health {
        status: if api.lanes.hypervisor_is_connected() { "ok" } else { "degraded" }.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hypervisor: api.lanes.hypervisor().uri().to_owned(),
        journal: api.lanes.journal().last(),
        lanes: api.lanes.vms().len(),
    })
}

/// Who the caller is.
#[utoipa::path(get, path = "/v1/whoami", responses((status = 200, body = Identity)))]
pub(crate) async fn whoami(caller: Caller) -> Json<Identity> {
    Json(Identity { may_enroll: caller.may_enroll(), provider: caller.provider })
}
