//! What a handler gets from a request: who sends it, and its body, read within bounds.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::Api;
use super::problem::ApiProblem;
use crate::doors::identity::Caller;
use crate::doors::pass::Pass;
use crate::doors::wire::PROVIDER_HEADER;
use crate::model::{Code, Refusal};

/// The largest body the agent reads: a metadata element fits with its escapes.
pub(crate) const BODY_MAX: usize = 1024 * 1024;
/// How much of a larger one is read and forgotten, so that its sender hears why it is refused: most clients only listen
/// once all is sent.
const DRAIN_MAX: usize = 16 * 1024 * 1024;
/// The longest a request may wait for a command to end.
const WAIT_MAX: Duration = Duration::from_secs(600);

impl FromRequestParts<Api> for Caller {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, _api: &Api) -> Result<Self, Self::Rejection> {
        let unknown = || Refusal::new(Code::Unidentified, "nothing says who is at the other end");
        let pass = parts.extensions.get::<Pass>().ok_or_else(unknown)?;
        Ok(pass.caller(named(&parts.headers)?)?)
    }
}

/// Whom a request says that it is from.
///
/// *Errors*: [`Code::Malformed`].
pub(crate) fn named(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let text = headers.get(PROVIDER_HEADER).map(HeaderValue::to_str).transpose();
    text.map_err(|_| Refusal::new(Code::Malformed, "the provider's name is not text"))
}

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Api> for Body<T> {
    type Rejection = ApiProblem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Self::Rejection> {
        let bytes = read(request, api.limits.now().body).await?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let value = serde_json::from_slice(text);
        Ok(Self(value.map_err(|error| Refusal::new(Code::Malformed, format!("the body does not fit: {error}")))?))
    }
}

async fn read(request: Request, within: Duration) -> Result<Vec<u8>, Refusal> {
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: usize| length > DRAIN_MAX) {
        return Err(too_large());
    }
    let late = || Refusal::new(Code::TooSlow, format!("the body did not arrive within {within:?}"));
    tokio::time::timeout(within, collect(request.into_body())).await.map_err(|_| late())?
}

async fn collect(mut body: axum::body::Body) -> Result<Vec<u8>, Refusal> {
    let (mut bytes, mut arrived) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::new(Code::Malformed, "the body did not arrive whole"))?;
        let Some(part) = frame.data_ref() else { continue };
        arrived += part.len();
        if arrived > DRAIN_MAX {
            return Err(too_large());
        }
        if arrived <= BODY_MAX {
            bytes.extend_from_slice(part);
        }
    }
    if arrived <= BODY_MAX { Ok(bytes) } else { Err(too_large()) }
}

fn too_large() -> Refusal {
    Refusal::new(Code::TooLarge, format!("a body is at most {BODY_MAX} bytes"))
}

/// Parts of the path, as one of our own types.
pub(crate) struct At<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for At<T> {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Self::Rejection> {
        let Path(at) = Path::<T>::from_request_parts(parts, api)
            .await
            .map_err(|error| Refusal::new(Code::Malformed, format!("the path does not fit: {}", error.body_text())))?;
        Ok(Self(at))
    }
}

/// The query, as one of our own types.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Asked<T> {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Self::Rejection> {
        let axum::extract::Query(asked) = axum::extract::Query::<T>::from_request_parts(parts, api)
            .await
            .map_err(|error| Refusal::new(Code::Malformed, format!("the query does not fit: {}", error.body_text())))?;
        Ok(Self(asked))
    }
}

/// How long the caller wishes to wait: `Prefer: wait=N` (RFC 7240), in seconds; not at all unless it says so.
pub(crate) fn wait_of(headers: &HeaderMap) -> Duration {
    wished_wait(headers).unwrap_or(Duration::ZERO)
}

/// How long the caller said that it wishes to wait. Other preferences are ignored.
pub(crate) fn wished_wait(headers: &HeaderMap) -> Option<Duration> {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    preferences
        .flat_map(|value| value.split([',', ';']))
        .filter_map(|preference| preference.trim().strip_prefix("wait="))
        .find_map(|seconds| seconds.trim().parse::<u32>().ok())
        .map(|seconds| Duration::from_secs(u64::from(seconds)).min(WAIT_MAX))
}

/// The answer under its entity tag; 304 without a body when the caller has it (`If-None-Match`, RFC 9110 section 13.1.2).
pub(crate) fn unless_known(headers: &HeaderMap, tag: &str, answer: impl FnOnce() -> Response) -> Response {
    let mut response = if is_known(headers, tag) { StatusCode::NOT_MODIFIED.into_response() } else { answer() };
    if let Ok(value) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

/// A tag without its mark of weakness.
fn opaque(tag: &str) -> &str {
    tag.trim_start_matches("W/")
}

/// Whether one of the tags in `If-None-Match` is this one; they are compared weakly.
pub(crate) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|value| value.split(',')).map(str::trim).any(|one| one == "*" || opaque(one) == opaque(tag))
}
