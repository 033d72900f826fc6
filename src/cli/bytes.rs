//! Answers that are no JSON: a picture, figures as text, the contents of a disk.

use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;

use http_body_util::{BodyExt, Empty, Limited};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::client::{CallAgentError, Client};
use crate::doors::wire::{PROVIDER_HEADER, Problem};

/// The largest answer that is held whole.
const WHOLE_MAX: usize = 256 * 1024 * 1024;
/// The largest description of a refusal.
const PROBLEM_MAX: usize = 1024 * 1024;

/// Why what was read did not get to where it should.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The agent did not give it, or not all of it.
    #[error(transparent)]
    Call(#[from] CallAgentError),
    /// It cannot be written.
    #[error("what was read cannot be written")]
    Write(#[source] std::io::Error),
}

/// *Errors* of every call: [`CallAgentError`].
impl Client {
    /// Reads something whole.
    pub async fn bytes(&self, path: &str, accept: &str) -> Result<Vec<u8>, CallAgentError> {
        let answer = self.opened(path, accept).await?;
        let body = Limited::new(answer.into_body(), WHOLE_MAX).collect().await;
        Ok(body.map_err(|error| self.broke(&error))?.to_bytes().to_vec())
    }

    /// Reads something of any length and writes it; how much that was. *Units*: bytes.
    pub async fn fetch(&self, path: &str, into: &mut (impl AsyncWrite + Unpin)) -> Result<u64, FetchError> {
        let mut body = self.opened(path, "application/octet-stream, application/problem+json").await?.into_body();
        let mut written = 0_u64;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.broke(&error))?;
            let Some(part) = frame.data_ref() else { continue };
            into.write_all(part).await.map_err(FetchError::Write)?;
            written = written.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
        }
        into.flush().await.map_err(FetchError::Write)?;
        Ok(written)
    }

    async fn opened(&self, path: &str, accept: &str) -> Result<Response<Incoming>, CallAgentError> {
        let stream = self.connect().await?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.broke(&error))?;
        // The request reports what breaks; this task only moves bytes, and ends with the answer.
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(path)
            .header(hyper::header::HOST, "localhost")
            .header(hyper::header::ACCEPT, accept);
        if let Some(provider) = self.provider() {
            request = request.header(PROVIDER_HEADER, provider.as_str());
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| self.broke(&error))?;
        let response = sender.send_request(request).await.map_err(|error| self.broke(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = Limited::new(response.into_body(), PROBLEM_MAX).collect().await;
        let body = body.map_err(|error| self.broke(&error))?.to_bytes();
        Err(match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => CallAgentError::Refused(Box::new(problem)),
            Err(error) => CallAgentError::Garbled { status: status.as_u16(), reason: error.to_string() },
        })
    }

    fn broke(&self, error: &dyn std::fmt::Display) -> CallAgentError {
        CallAgentError::Lost { agent: self.agent().to_string(), reason: error.to_string() }
    }
}
