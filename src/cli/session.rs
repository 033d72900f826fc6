//! A provider's session: a WebSocket to the agent, one JSON object a text frame.
//!
//! Assumes an open socket path. Guarantees typed messages both ways; what is no message of ours ends the session with
//! a reason instead of being skipped.

use std::borrow::Cow;
use std::io;

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::{self, handshake};

use super::client::{CallAgentError, Client};
use super::exit::Exit;
use super::reach::Connection;
use super::table::plain;
use crate::doors::wire::{FromAgent, FromProvider, PROVIDER_HEADER, Problem};

/// Why there is no session, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum HoldSessionError {
    /// The agent did not open it.
    #[error(transparent)]
    Open(#[from] CallAgentError),
    /// The agent ended it.
    #[error("the agent ended the session{}", reason(.0))]
    Ended(String),
    /// The connection broke.
    #[error("the session broke")]
    Broken(#[source] Box<tungstenite::Error>),
    /// The agent sent what is no message.
    #[error("the agent sent what is no message of a session ({reason}): {text:?}")]
    Garbled { reason: String, text: String },
}

fn reason(text: &str) -> Cow<'_, str> {
    if text.is_empty() { Cow::Borrowed("") } else { Cow::Owned(format!(": {}", plain(text))) }
}

impl HoldSessionError {
    fn hung_up() -> Self {
        Self::Ended("it hung up without a word".to_owned())
    }

    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Open(error) => error.exit(),
            Self::Ended(_) | Self::Broken(_) => Exit::SessionEnded,
            Self::Garbled { .. } => Exit::AgentFault,
        }
    }
}

impl From<tungstenite::Error> for HoldSessionError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::ConnectionClosed => Self::Ended(String::new()),
            tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::hung_up(),
            // Whichever side of the connection notices first.
            tungstenite::Error::Io(error)
                if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) =>
            {
                Self::hung_up()
            }
            error => Self::Broken(Box::new(error)),
        }
    }
}

/// A WebSocket to the agent.
pub(super) type Web = WebSocketStream<Connection>;

/// Opens a WebSocket.
///
/// *Errors*: [`HoldSessionError::Open`], [`HoldSessionError::Broken`].
pub(super) async fn dial(client: &Client, path: &str) -> Result<Web, HoldSessionError> {
    let stream = client.connect().await?;
    let mut request = format!("ws://{}{path}", client.agent().host()).into_client_request()?;
    if let Some(provider) = client.provider()
        && let Ok(name) = HeaderValue::from_str(provider.as_str())
    {
        request.headers_mut().insert(PROVIDER_HEADER, name);
    }
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((stream, _)) => Ok(stream),
        Err(tungstenite::Error::Http(response)) => Err(refused(&response, client)),
        Err(tungstenite::Error::Io(error)) => Err(client.lost(&error).into()),
        Err(error) => Err(error.into()),
    }
}

/// An open session.
pub struct Session {
    stream: Web,
}

impl Session {
    /// Opens a session.
    ///
    /// *Errors*: [`HoldSessionError::Open`], [`HoldSessionError::Broken`].
    pub async fn open(client: &Client) -> Result<Self, HoldSessionError> {
        Ok(Self { stream: dial(client, "/v1/session").await? })
    }

    /// Sends a message.
    ///
    /// *Errors*: [`HoldSessionError::Broken`].
    pub async fn send(&mut self, message: &FromProvider) -> Result<(), HoldSessionError> {
        // The type has no map and no float, so that it always becomes JSON.
        let text = serde_json::to_string(message).unwrap_or_default();
        match self.stream.send(Message::text(text)).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.parting(error.into()).await),
        }
    }

    /// Why nobody listens any more: what the agent said before it went is still to be read.
    async fn parting(&mut self, error: HoldSessionError) -> HoldSessionError {
        if !matches!(error, HoldSessionError::Ended(_)) {
            return error;
        }
        loop {
            match self.next().await {
                Ok(_) => {}
                Err(said @ HoldSessionError::Ended(_)) => return said,
                Err(_) => return error,
            }
        }
    }

    /// The next message. May be dropped and called again without losing one.
    ///
    /// *Errors*: [`HoldSessionError`] when there will be none.
    pub async fn next(&mut self) -> Result<FromAgent, HoldSessionError> {
        loop {
            match self.stream.next().await {
                None => return Err(HoldSessionError::Ended(String::new())),
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text).map_err(|error| HoldSessionError::Garbled {
                        reason: error.to_string(),
                        text: text.chars().take(200).collect(),
                    });
                }
                Some(Ok(Message::Close(frame))) => {
                    let said = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                    return Err(HoldSessionError::Ended(said));
                }
                Some(Ok(Message::Binary(_))) => {
                    return Err(HoldSessionError::Garbled { reason: "a binary frame".to_owned(), text: String::new() });
                }
                // Answered by the library itself while reading.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            }
        }
    }

    /// Says goodbye. What the agent makes of it is its own business.
    pub async fn close(mut self) {
        let _ = self.stream.close(None).await;
    }
}

fn refused(response: &handshake::client::Response, client: &Client) -> HoldSessionError {
    let status = response.status().as_u16();
    let body = response.body().as_deref().unwrap_or_default();
    HoldSessionError::Open(match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => CallAgentError::Refused(Box::new(problem)),
        Err(_) if status == 200 => {
            CallAgentError::Lost { agent: client.agent().to_string(), reason: "no WebSocket".to_owned() }
        }
        Err(_) => CallAgentError::Garbled {
            status,
            reason: format!("no session, and no description of why: {:?}", String::from_utf8_lossy(body)),
        },
    })
}
