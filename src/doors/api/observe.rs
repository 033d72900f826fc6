//! What machines that watch the agent ask: `/livez`, `/readyz` and `/metrics`, on the API and on a port of its own.
//!
//! On the API everybody who has a name sees of the metrics what is about the agent and about itself; only the operator
//! sees what is about others, or about all together, because that would tell one provider how busy another is. On the
//! port, which the operator opens, everything is seen by whoever reaches it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::Api;
use super::problem::ApiProblem;
use crate::doors::accept;
use crate::doors::identity::Caller;
use crate::doors::wire::Readiness;
use crate::model::{Code, ProviderId, Refusal};

/// How long the journal's writer may take to answer before the agent counts as stuck.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// How many connections the port has at once; more wait.
const PORT_CONNECTIONS_MAX: usize = 32;
/// How long a request's head may take there.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// The format that Prometheus reads.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// What everybody may know.
const PUBLIC: [&str; 3] = ["covirt_build_info", "covirt_start_time_seconds", "covirt_libvirt_connected"];

/// Whoever can say how the agent is doing in numbers; the agent implements it.
pub trait Exposition: Send + Sync + 'static {
    /// Every metric in Prometheus' text format, version 0.0.4.
    fn text(&self) -> String;
}

/// Whether the agent works at all; if not, it should be started anew.
#[utoipa::path(get, path = "/livez", responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub(crate) async fn livez(State(api): State<Api>) -> Response {
    answer(stuck(&api).await)
}

/// Whether commands can be taken in and carried out now.
#[utoipa::path(get, path = "/readyz", responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub(crate) async fn readyz(State(api): State<Api>) -> Response {
    let mut reasons = stuck(&api).await;
    if !api.lanes.journal().is_writable() {
        reasons.push("the journal refused the last that was written to it".to_owned());
    }
    if !api.lanes.hypervisor_is_connected() {
        reasons.push(format!("libvirt is not connected at {}", api.lanes.hypervisor().uri()));
    }
    if api.lanes.is_closing() {
        reasons.push("the agent is stopping".to_owned());
    }
    answer(reasons)
}

/// The agent's metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(api): State<Api>, caller: Caller) -> Result<Response, ApiProblem> {
    let text = exposed(&api)?;
    Ok(text_response(if caller.provider.is_operator() { text } else { visible_to(&text, &caller.provider) }))
}

async fn all_metrics(State(api): State<Api>) -> Result<Response, ApiProblem> {
    Ok(text_response(exposed(&api)?))
}

fn exposed(api: &Api) -> Result<String, Refusal> {
    let exposition = api.exposition.as_ref();
    exposition.map(|it| it.text()).ok_or_else(|| Refusal::new(Code::NotFound, "this agent counts nothing"))
}

fn text_response(text: String) -> Response {
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response()
}

async fn stuck(api: &Api) -> Vec<String> {
    match tokio::time::timeout(ANSWER_TIME, api.lanes.journal().ping()).await {
        Ok(true) => Vec::new(),
        Ok(false) => vec!["the journal is closed".to_owned()],
        Err(_) => vec![format!("the journal's writer has not answered for {} s", ANSWER_TIME.as_secs())],
    }
}

fn answer(reasons: Vec<String>) -> Response {
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ok: reasons.is_empty(), reasons })).into_response()
}

/// The lines that a provider may see: public ones, and those with its own name in them.
fn visible_to(text: &str, provider: &ProviderId) -> String {
    let own = format!("provider=\"{provider}\"");
    let (mut shown, mut heading) = (String::new(), Vec::new());
    for line in text.lines() {
        if line.starts_with("# HELP") {
            heading.clear();
        }
        if line.starts_with('#') {
            heading.push(line);
            continue;
        }
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let labels = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(labels, _)| labels);
        if PUBLIC.contains(&name) || labels.split(',').any(|label| label == own) {
            for line in heading.drain(..).chain([line]) {
                shown.push_str(line);
                shown.push('\n');
            }
        }
    }
    shown
}

/// Serves what is to be watched on a port, until told to stop. Nobody is asked who they are.
pub async fn serve_observers(listener: TcpListener, api: Api, mut stop: watch::Receiver<bool>) {
    let router = Router::new()
        .route("/metrics", get(all_metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .fallback(async || ApiProblem::from(Refusal::new(Code::NotFound, "there is no such path")))
        .with_state(api);
    let room = Arc::new(Semaphore::new(PORT_CONNECTIONS_MAX));
    loop {
        let ((stream, _), place) = tokio::select! {
            accepted = accept::next_within(&room, "the port for metrics", || listener.accept()) => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(8 * 1024);
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_sees_what_is_public_and_what_is_its_own() {
        let text = "# HELP covirt_build_info B.\n# TYPE covirt_build_info gauge\ncovirt_build_info{version=\"1\"} 1\n\
                    # HELP covirt_x_total X.\n# TYPE covirt_x_total counter\n\
                    covirt_x_total{provider=\"north\",action=\"a\"} 1\ncovirt_x_total{provider=\"northern\"} 2\n\
                    # HELP covirt_lanes L.\n# TYPE covirt_lanes gauge\ncovirt_lanes 3\n";
        let shown = visible_to(text, &"north".parse().unwrap());
        assert!(shown.contains("build_info{") && shown.contains("action=\"a\""), "{shown}");
        assert!(!shown.contains("northern") && !shown.contains("covirt_lanes"), "{shown}");
        assert_eq!(shown.lines().count(), 6, "{shown}");
    }
}
