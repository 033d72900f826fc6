//! The address for joining: TLS for those who have no certificate yet, and nothing behind it but one path.
//!
//! It is a port of its own, so that the API's port can refuse whoever has no certificate before it says a word of HTTP,
//! and it is open only while a token waits. Everything is bounded hard: few connections at once and from one address, one
//! request on each, a small head and body, a short life. Whoever comes sees the agent's certificate and its authority's
//! first, and says its secret only to the authority that its token names.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::{Method, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::csr::CSR_MAX;
use super::files::{self, Readers};
use super::registrar::Joining;
use super::{Enrollment, Joined};
use crate::doors::accept;
use crate::doors::api::ApiProblem;
use crate::doors::bounds::{Bounds, Origin, Room};
use crate::doors::wire::{Certificate, JoinRequest};
use crate::model::{Code, Refusal, Wall};

/// The only path.
pub const JOIN_PATH: &str = "/v1/join";

/// How many connections there are at once, and how many of one address; nobody is a provider here yet.
const ROOM: Room = Room { all: 16, per_origin: 4, per_provider: 0 };
/// From the first byte to the last.
const WHOLE: Duration = Duration::from_secs(10);
/// For the handshake, and for the head of the request.
const EACH: Duration = Duration::from_secs(5);
const HEAD_MAX: usize = 8 * 1024;
/// A request in PEM as a JSON string, and the little that goes with it.
const BODY_MAX: usize = 2 * CSR_MAX;
/// Between two attempts to open the port.
const RETRY: Duration = Duration::from_secs(5);

/// Serves joining at this address whenever somebody is waited for, until told to stop.
pub async fn serve(
    listen: SocketAddr,
    enrollment: Enrollment,
    now: impl Fn() -> Wall + Clone + Send + Sync + 'static,
    mut stop: watch::Receiver<bool>,
) {
    let mut joined = enrollment.registrar.joined();
    loop {
        let waited = tokio::select! {
            waited = joined.wait_for(|joined| joined.open_until.is_some()) => waited.is_ok(),
            _ = stop.wait_for(|stop| *stop) => false,
        };
        if !waited {
            return;
        }
        let opened = async { Ok::<_, std::io::Error>((TcpListener::bind(listen).await?, acceptor(&enrollment)?)) };
        match opened.await {
            Ok((port, acceptor)) => {
                tracing::info!(address = %listen, "the port for joining is open");
                tokio::select! {
                    () = serve_port(&port, acceptor, &enrollment, &now) => {}
                    _ = joined.wait_for(is_over(&joined_files(&enrollment))) => {}
                    _ = stop.wait_for(|stop| *stop) => {}
                }
                tracing::info!(address = %listen, "the port for joining is closed");
            }
            Err(error) => {
                tracing::error!(address = %listen, %error, "the port for joining cannot be opened");
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    _ = stop.wait_for(|stop| *stop) => {}
                }
            }
        }
    }
}

fn joined_files(enrollment: &Enrollment) -> u64 {
    enrollment.registrar.joined().borrow().files
}

/// Nobody is waited for any more, or the certificate is another.
fn is_over(files: &u64) -> impl FnMut(&Joined) -> bool + use<> {
    let files = *files;
    move |joined| joined.open_until.is_none() || joined.files != files
}

fn acceptor(enrollment: &Enrollment) -> std::io::Result<TlsAcceptor> {
    let wrong = |what: &str| std::io::Error::other(format!("{what} of this agent's authority cannot be used"));
    let authority = enrollment.registrar.authority().map_err(|refusal| std::io::Error::other(refusal.message))?;
    let (chain, key) = authority.server_files();
    let chain = files::read(&chain, Readers::Everybody).map_err(std::io::Error::other)?.unwrap_or_default();
    let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(&chain).collect();
    let key = files::read(&key, Readers::Owner).map_err(std::io::Error::other)?.unwrap_or_default();
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| wrong("the key"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| wrong("TLS 1.3"))?
        .with_no_client_auth()
        .with_single_cert(chain.map_err(|_| wrong("the certificate"))?, key);
    let mut config = config.map_err(|_| wrong("the certificate"))?;
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve_port(
    port: &TcpListener,
    acceptor: TlsAcceptor,
    enrollment: &Enrollment,
    now: &(impl Fn() -> Wall + Clone + Send + Sync + 'static),
) {
    let (waiting, bounds) = (Arc::new(Semaphore::new(ROOM.all as usize)), Bounds::default());
    loop {
        let ((stream, address), seat) = accept::next_within(&waiting, "the port for joining", || port.accept()).await;
        // One that has as many as it may is closed without a word: a word would be a handshake.
        let Ok(place) = bounds.take(Origin::of_address(address.ip()), ROOM) else { continue };
        let (acceptor, enrollment, now) = (acceptor.clone(), enrollment.clone(), now.clone());
        tokio::spawn(async move {
            let serving = connection(stream, address, acceptor, enrollment, now);
            if tokio::time::timeout(WHOLE, serving).await.is_err() {
                tracing::debug!(%address, "a connection to join took too long");
            }
            drop((seat, place));
        });
    }
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    enrollment: Enrollment,
    now: impl Fn() -> Wall + Clone + Send + Sync + 'static,
) {
    let Ok(Ok(stream)) = tokio::time::timeout(EACH, acceptor.accept(stream)).await else { return };
    let service = hyper::service::service_fn(move |request| {
        let (enrollment, now) = (enrollment.clone(), now.clone());
        async move { Ok::<_, Infallible>(answer(request, address, enrollment, now()).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(EACH).max_buf_size(HEAD_MAX).keep_alive(false);
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    address: SocketAddr,
    enrollment: Enrollment,
    now: Wall,
) -> Response<axum::body::Body> {
    match join(request, address, &enrollment, now).await {
        Ok(certificate) => {
            (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(certificate)).into_response()
        }
        Err(refusal) => ApiProblem::from(refusal).into_response(),
    }
}

async fn join(
    request: Request<Incoming>,
    address: SocketAddr,
    enrollment: &Enrollment,
    now: Wall,
) -> Result<Certificate, Refusal> {
    if request.uri().path() != JOIN_PATH {
        return Err(Refusal::new(Code::NotFound, "nothing but joining is served here"));
    }
    if request.method() != Method::POST {
        return Err(Refusal::new(Code::MethodNotAllowed, "who joins sends POST"));
    }
    let body = Limited::new(request.into_body(), BODY_MAX).collect().await;
    let too_large =
        |_| Refusal::new(Code::TooLarge, format!("a request to join is at most {BODY_MAX} bytes, and whole"));
    let body = body.map_err(too_large)?.to_bytes();
    // The parser's own words could repeat the secret.
    let request: JoinRequest = serde_json::from_slice(&body).map_err(|_| {
        Refusal::new(Code::Malformed, "this is no request to join; its fields are token, secret, provider and csr")
    })?;
    let registrar = enrollment.registrar.clone();
    let done = tokio::task::spawn_blocking(move || {
        let JoinRequest { token, secret, provider, csr } = &request;
        let joining = Joining { token: *token, secret, provider, csr: csr.as_bytes(), address };
        registrar.join(&joining, now)
    });
    let certified = done.await.map_err(|_| Refusal::new(Code::Internal, "the registrar failed"))??;
    Ok(enrollment.certificate(certified))
}
