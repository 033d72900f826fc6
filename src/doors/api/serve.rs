//! Serving the API's connections within bounds, on the Unix socket and over TLS.

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::{Extensions, HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::Api;
use super::extract::named;
use super::problem::ApiProblem;
use super::seats::{Seat, Seats, crowded};
use crate::doors::listener::Listener;
use crate::doors::pace::Rates;
use crate::doors::pass::Pass;
use crate::doors::tally::{Counted, Kind};
use crate::doors::tls::{Admission, Speaking, TlsClient, TlsListener};
use crate::model::{Code, ProviderId, Refusal};

/// How long requests under way may go on once the agent stops.
const GRACE: Duration = Duration::from_secs(2);
/// How large a request's head may be.
const HEAD_MAX: usize = 32 * 1024;
/// How long a connection that is one too many may take to ask, so that it hears why it is refused.
const SURPLUS: Duration = Duration::from_secs(5);

/// Serves the API until told to stop; sessions are then closed, and requests under way finished, within bounds.
pub async fn serve(listener: Listener, api: Api, mut stop: watch::Receiver<bool>) {
    let (sessions, limits) = (api.sessions.clone(), api.limits.clone());
    let seats = Seats::new(limits.clone(), api.roster.clone());
    let router = api.router();
    loop {
        let accepted = tokio::select! {
            accepted = seats.next(&listener) => accepted,
            () = stopped(&mut stop) => break,
        };
        if let Some((stream, seat, pass)) = accepted {
            let client = Client { pass, seat, meter: None };
            let head = limits.now().head;
            tokio::spawn(connection(Kind::Api, stream, router.clone(), client, head, stop.clone()));
        }
    }
    drop(listener);
    sessions.end();
    if seats.empty(GRACE).await.is_err() {
        tracing::warn!("requests were still under way; they are cut off");
    }
}

/// Serves the same API to whoever proves over TLS to be somebody, until told to stop.
pub async fn serve_tls(listener: TlsListener, api: Api, stop: watch::Receiver<bool>) {
    let (sessions, limits) = (api.sessions.clone(), api.limits.clone());
    let rates = Rates::new(listener.limits().requests_per_second);
    let router = api.router().layer(from_fn(metered));
    let mut stopping = stop.clone();
    let serving = listener.serve(Speaking::Http, stop.clone(), move |client: TlsClient| {
        let TlsClient { stream, pass, provider, admission, place } = client;
        let head = limits.now().head;
        let (router, head) = match admission {
            Admission::Seated => (router.clone(), head),
            Admission::Surplus => (surplus(), head.min(SURPLUS)),
        };
        let meter = Meter { rates: rates.clone(), pass: pass.clone(), provider };
        let client = Client { pass, seat: Seat::holding(place), meter: Some(meter) };
        connection(Kind::Tls, stream, router, client, head, stop.clone())
    });
    let ending = async {
        stopped(&mut stopping).await;
        sessions.end();
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        () = serving => {}
        () = ending => tracing::warn!("requests over TLS were still under way; they are cut off"),
    }
}

/// Whose requests these are.
#[derive(Clone)]
struct Meter {
    rates: Rates,
    pass: Pass,
    /// Whose they are when a request does not say.
    provider: ProviderId,
}

/// Passes on as many requests of a provider as may come in a second.
async fn metered(request: Request, next: Next) -> Response {
    let Some(meter) = request.extensions().get::<Meter>().cloned() else { return next.run(request).await };
    let said = named(request.headers()).ok().flatten();
    let speaks_for = |name: &str| meter.pass.callers().into_iter().find(|caller| caller.provider.as_str() == name);
    let provider = said.and_then(speaks_for).map_or_else(|| meter.provider.clone(), |caller| caller.provider);
    let Err(wait) = meter.rates.take(&provider, Instant::now()) else { return next.run(request).await };
    let message =
        format!("{provider} sends more requests than it may; the next one may come in {} ms", wait.as_millis());
    let mut response = ApiProblem::from(Refusal::new(Code::TooManyRequests, message)).into_response();
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

/// Says to every request that its connection is one too many, and closes it.
fn surplus() -> Router {
    Router::new().fallback(async || {
        let mut response = crowded().into_response();
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    })
}

/// Who is at the other end of a connection, and what it holds.
struct Client {
    pass: Pass,
    seat: Seat,
    /// None when its requests are not counted.
    meter: Option<Meter>,
}

impl Client {
    /// Says of a request whose it is. A layer of the connection's own would copy every route: 50 KiB for one that is idle.
    fn sign(&self, on: &mut Extensions) {
        on.insert(self.pass.clone());
        on.insert(self.seat.clone());
        if let Some(meter) = &self.meter {
            on.insert(meter.clone());
        }
    }
}

async fn connection(
    kind: Kind,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    client: Client,
    head: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let _counted = Counted::at(kind);
    let pass = client.pass.clone();
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        client.sign(request.extensions_mut());
        router.call(request)
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(HEAD_MAX);
    let serving = server.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => {}
        lapse = pass.lapsed() => {
            // What waits on it is not answered: whoever is there now is nobody.
            tracing::warn!(peer = %pass.peer(), why = %lapse, "a connection is closed");
        }
        () = stopped(&mut stop) => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}

/// Returns once the agent is to stop, or nobody can say so any more.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
