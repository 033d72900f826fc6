//! HTTP/1.1 to the agent, over its Unix socket or TLS: one connection a request, JSON both ways.
//!
//! Assumes a path. Guarantees an answer of the type asked for, or which of six things went wrong; never waits for
//! ever, and never reads more than `ANSWER_MAX_BYTES`.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::exit::Exit;
use super::reach::{self, Agent, Connection};
use super::table::plain;
use crate::doors::wire::{PROVIDER_HEADER, Problem};
use crate::model::ProviderId;

/// The agent's socket, unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/covirt/covirt.sock";

/// The largest answer that is read: far above an inventory, far below what would hurt.
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;

/// How long the agent has for an answer that nobody asked it to hold back.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why the agent gave no answer of use.
#[derive(Debug, thiserror::Error)]
pub enum CallAgentError {
    /// Nobody listens.
    #[error("no agent answers at {agent}")]
    Unreachable {
        agent: String,
        #[source]
        source: io::Error,
    },
    /// It is not the one that was meant, or does not take us for whom we say we are.
    #[error("there is no speaking with the agent at {agent}: {reason}")]
    Stranger { agent: String, reason: String },
    /// It took the request and said nothing.
    #[error("the agent at {agent} said nothing for {} s", after.as_secs())]
    Silent { agent: String, after: Duration },
    /// The connection broke.
    #[error("the agent at {agent} hung up ({reason})")]
    Lost { agent: String, reason: String },
    /// It said no, and why.
    #[error("{}", sentence(.0))]
    Refused(Box<Problem>),
    /// What it said makes no sense.
    #[error("the agent's answer (status {status}) makes no sense: {reason}")]
    Garbled { status: u16, reason: String },
}

/// A refusal on one line: the code for programs last, as in every other report.
fn sentence(problem: &Problem) -> String {
    let mut text = plain(&problem.detail);
    if let Some(holder) = &problem.holder
        && !text.contains(holder.as_str())
    {
        text.push_str(&format!("; {holder} holds it"));
    }
    if let Some(until) = problem.until {
        text.push_str(&format!(" (until {until})"));
    }
    if let Some(command) = problem.command.map(|id| id.to_string())
        && !text.contains(&command)
    {
        text.push_str(&format!("; see command {command}"));
    }
    format!("{text} [{}]", problem.code)
}

impl CallAgentError {
    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } | Self::Stranger { .. } | Self::Silent { .. } | Self::Lost { .. } => {
                Exit::Unreachable
            }
            Self::Refused(problem) if problem.status < 500 => Exit::Refused,
            Self::Refused(_) | Self::Garbled { .. } => Exit::AgentFault,
        }
    }

    /// What the reader might do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("hint: the socket belongs to the agent's group; are you in it?")
            }
            Self::Unreachable { agent, .. } if agent.starts_with("https://") => {
                Some("hint: is that the address, and is [tls] listen set in the agent's configuration?")
            }
            Self::Unreachable { .. } => {
                Some("hint: is covirtd running? Does --socket (or COVIRT_SOCKET) name the socket in its configuration?")
            }
            Self::Stranger { .. }
            | Self::Silent { .. }
            | Self::Lost { .. }
            | Self::Refused(_)
            | Self::Garbled { .. } => None,
        }
    }
}

/// One peer of the agent.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    provider: Option<ProviderId>,
}

impl Client {
    /// A peer on this host that speaks for `provider`, or for whom its user id stands.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>, provider: Option<ProviderId>) -> Self {
        Self::of(Agent::Socket(socket.into()), provider)
    }

    /// A peer that reaches the agent so.
    #[must_use]
    pub fn of(agent: Agent, provider: Option<ProviderId>) -> Self {
        Self { agent, provider }
    }

    /// Where the agent is.
    #[must_use]
    pub const fn agent(&self) -> &Agent {
        &self.agent
    }

    /// For whom it speaks.
    #[must_use]
    pub const fn provider(&self) -> Option<&ProviderId> {
        self.provider.as_ref()
    }

    /// A connection.
    ///
    /// *Errors*: [`CallAgentError`].
    pub async fn connect(&self) -> Result<Connection, CallAgentError> {
        self.agent.connect().await
    }

    /// What became of a connection that stood.
    pub(super) fn lost(&self, error: &(dyn std::error::Error + 'static)) -> CallAgentError {
        let agent = self.agent.to_string();
        match reach::refusal_in(error) {
            Some(reason) => CallAgentError::Stranger { agent, reason },
            None => CallAgentError::Lost { agent, reason: error.to_string() },
        }
    }

    /// Reads something; `hold` is how long the agent may hold its answer back.
    ///
    /// *Errors*: [`CallAgentError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str, hold: Duration) -> Result<T, CallAgentError> {
        self.call(Method::GET, path, Bytes::new(), hold).await?.read()
    }

    /// Sends something; `hold` is how long the agent may hold its answer back.
    ///
    /// *Errors*: [`CallAgentError`].
    pub async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        hold: Duration,
    ) -> Result<T, CallAgentError> {
        let garbled = |error: serde_json::Error| CallAgentError::Garbled { status: 0, reason: error.to_string() };
        let body = serde_json::to_vec(body).map_err(garbled)?;
        self.call(Method::POST, path, Bytes::from(body), hold).await?.read()
    }

    /// Takes something away, and reads what is left.
    ///
    /// *Errors*: [`CallAgentError`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallAgentError> {
        self.call(Method::DELETE, path, Bytes::new(), Duration::ZERO).await?.read()
    }

    /// Takes something away of which nothing is left.
    ///
    /// *Errors*: [`CallAgentError`].
    pub async fn delete_whole(&self, path: &str) -> Result<(), CallAgentError> {
        self.call(Method::DELETE, path, Bytes::new(), Duration::ZERO).await.map(|_| ())
    }

    async fn call(&self, method: Method, path: &str, body: Bytes, hold: Duration) -> Result<Answer, CallAgentError> {
        let patience = hold.saturating_add(PATIENCE);
        let silent = |_| CallAgentError::Silent { agent: self.agent.to_string(), after: patience };
        let answer =
            tokio::time::timeout(patience, self.exchange(method, path, body, hold)).await.map_err(silent)??;
        if answer.status.is_success() {
            return Ok(answer);
        }
        match serde_json::from_slice::<Problem>(&answer.body) {
            Ok(problem) => Err(CallAgentError::Refused(Box::new(problem))),
            Err(_) => Err(answer.garbled("an error that is not described")),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        hold: Duration,
    ) -> Result<Answer, CallAgentError> {
        let stream = self.connect().await?;
        let lost = |error: &(dyn std::error::Error + 'static)| self.lost(error);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
        // The request below reports what breaks; this task only moves bytes.
        let moving = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, self.agent.host())
            .header(hyper::header::ACCEPT, "application/json, application/problem+json");
        if !body.is_empty() {
            request = request.header(hyper::header::CONTENT_TYPE, "application/json");
        }
        if let Some(provider) = &self.provider {
            request = request.header(PROVIDER_HEADER, provider.as_str());
        }
        if !hold.is_zero() {
            request = request.header("prefer", format!("wait={}", hold.as_millis().div_ceil(1000)));
        }
        let request = request.body(Full::new(body)).map_err(|error| lost(&error))?;
        let response = sender.send_request(request).await.map_err(|error| lost(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await;
        let body = body.map_err(|error| lost(error.as_ref()))?.to_bytes();
        moving.abort();
        Ok(Answer { status, body })
    }
}

/// What came back.
struct Answer {
    status: StatusCode,
    body: Bytes,
}

impl Answer {
    fn read<T: DeserializeOwned>(&self) -> Result<T, CallAgentError> {
        serde_json::from_slice(&self.body).map_err(|error| self.garbled(&error.to_string()))
    }

    fn garbled(&self, reason: &str) -> CallAgentError {
        let start: String = String::from_utf8_lossy(&self.body).chars().take(120).collect();
        CallAgentError::Garbled { status: self.status.as_u16(), reason: format!("{reason}, in {start:?}") }
    }
}
