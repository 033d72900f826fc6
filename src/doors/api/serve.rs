//! Serving the API's connections within bounds.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Api;
use crate::doors::listener::{Listener, peer_of};

/// How many connections are open at once; more wait to be accepted.
const CONNECTIONS_MAX: u32 = 1024;
/// How long requests under way may go on once the agent stops.
const GRACE: Duration = Duration::from_secs(2);
/// How large a request's head may be.
const HEAD_MAX: usize = 32 * 1024;

/// A place among the connections: a session keeps it when its connection is not HTTP any more.
#[derive(Clone)]
pub(crate) struct Seat(#[expect(dead_code, reason = "it is only held")] Arc<OwnedSemaphorePermit>);

/// Serves the API until told to stop; sessions are then closed, and requests under way finished, within bounds.
pub async fn serve(listener: Listener, api: Api, mut stop: watch::Receiver<bool>) {
    let (sessions, head) = (api.sessions.clone(), api.limits.head);
    let router = api.router();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = stopped(&mut stop) => break,
        };
        match accepted {
            Ok((stream, seat)) => {
                tokio::spawn(connection(stream, router.clone().layer(Extension(seat)), head, stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Mostly the process is out of file descriptors, and the kernel tells nobody when one is free; without
                // this pause the connection that waits would keep a core busy.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    sessions.end();
    if tokio::time::timeout(GRACE, room.acquire_many(CONNECTIONS_MAX)).await.is_err() {
        tracing::warn!("requests were still under way; they are cut off");
    }
}

async fn accept(listener: &Listener, room: &Arc<Semaphore>) -> io::Result<(UnixStream, Seat)> {
    let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    let stream = listener.accept().await?;
    Ok((stream, Seat(Arc::new(permit))))
}

async fn connection(stream: UnixStream, router: axum::Router, head: Duration, mut stop: watch::Receiver<bool>) {
    let Ok(peer) = peer_of(&stream) else { return };
    let router = router.layer(Extension(peer));
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(HEAD_MAX);
    let serving = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).with_upgrades();
    tokio::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => {}
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
