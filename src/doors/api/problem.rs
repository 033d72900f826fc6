//! Refusals on the wire: one table from code to status, without a wildcard, so that a new code needs a decision.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::artifacts::{BindingFault, RenderError};
use crate::doors::wire::Problem;
use crate::model::{Code, Refusal};

/// A refusal on its way out.
#[derive(Debug)]
pub struct ApiProblem {
    refusal: Refusal,
    /// The place in a binding that is at fault.
    at: Option<Box<BindingFault>>,
}

impl From<Refusal> for ApiProblem {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, at: None }
    }
}

impl From<RenderError> for ApiProblem {
    fn from(error: RenderError) -> Self {
        let code = match &error {
            RenderError::UnknownFormat { .. } => Code::FormatUnknown,
            RenderError::Binding(_) => Code::BindingMalformed,
            RenderError::Refused { .. } => Code::ArtifactRefused,
            RenderError::Missing { .. } => Code::ArtifactIncomplete,
            RenderError::Secret { .. } => Code::ArtifactSecret,
            RenderError::TooLarge { .. } => Code::ArtifactTooLarge,
        };
        let refusal = Refusal::new(code, error.to_string());
        let at = if let RenderError::Binding(fault) = error { Some(Box::new(fault)) } else { None };
        Self { refusal, at }
    }
}

impl ApiProblem {
    /// What is told of it.
    pub(super) fn told(self) -> Problem {
        let Refusal { code, message, holder, until, command, retry_after_s } = self.refusal;
        let (field, line, hint) = self.at.map_or((None, None, None), |fault| {
            let BindingFault { line, field, reason: _, hint } = *fault;
            (Some(field).filter(|field| !field.is_empty()), line, hint)
        });
        Problem {
            kind: format!("urn:covirt:problem:{code}"),
            status: status_of(code).as_u16(),
            code,
            detail: message,
            holder,
            until,
            command,
            retry_after_s,
            field,
            line,
            hint,
        }
    }
}

impl IntoResponse for ApiProblem {
    fn into_response(self) -> Response {
        let problem = self.told();
        let Problem { code, detail: message, retry_after_s, .. } = &problem;
        let (status, retry_after_s) = (status_of(*code), *retry_after_s);
        if status.is_server_error() {
            tracing::warn!(%code, message, "a request failed");
        } else {
            tracing::debug!(%code, message, "a request is refused");
        }
        let mut response = (status, Json(problem)).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The status of a code. A refusal never gets the status of a fault, nor the reverse.
#[must_use]
pub const fn status_of(code: Code) -> StatusCode {
    match code {
        Code::Malformed => StatusCode::BAD_REQUEST,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::TooSlow => StatusCode::REQUEST_TIMEOUT,
        Code::NotFound
        | Code::UnknownVm
        | Code::UnknownCommand
        | Code::UnknownConflict
        | Code::UnknownProvider
        | Code::UnknownAsk
        | Code::UnknownHold
        | Code::UnknownChannel
        | Code::NoSuchDisk
        | Code::UnknownKey
        | Code::FormatUnknown => StatusCode::NOT_FOUND,
        Code::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::Unidentified
        | Code::IdentityRevoked
        | Code::IdentityExpired
        | Code::TokenRefused
        | Code::TokenExpired
        | Code::TokenSpent => StatusCode::UNAUTHORIZED,
        Code::Forbidden
        | Code::NotDelegated
        | Code::DelegationEnded
        | Code::NameNotYours
        | Code::BeyondVm
        | Code::AboveCeiling => StatusCode::FORBIDDEN,
        Code::AlreadyEnrolled
        | Code::CommandsInFlight
        | Code::HoldOpen
        | Code::IdReused
        | Code::SeqReplayed
        | Code::SeqTaken
        | Code::AfterCycle
        | Code::StaleEpoch
        | Code::ActionInFlight
        | Code::SetsEqual
        | Code::HeldByOther
        | Code::Draining
        | Code::ConflictSettled
        | Code::AnswerLate
        | Code::SessionReplaced
        | Code::VmGone
        | Code::StateForbids
        | Code::GuardFailed
        | Code::Overwritten
        | Code::Withdrawn
        | Code::CancelledByRequest
        | Code::Frozen
        | Code::NotFrozen
        | Code::GlassBroken
        | Code::ClientGone
        | Code::Released
        | Code::SameWish
        | Code::AfterUnknown
        | Code::Executed
        | Code::ProviderExists
        | Code::ProviderOfFile
        | Code::EnrollmentOff
        | Code::ObservedDone => StatusCode::CONFLICT,
        Code::DeadlinePassed
        | Code::BadDelegate
        | Code::BadClockSample
        | Code::OpensChannel
        | Code::OnlyRelayed
        | Code::BindingMalformed
        | Code::CsrRefused
        | Code::ArtifactRefused
        | Code::ArtifactIncomplete
        | Code::ArtifactSecret
        | Code::ArtifactTooLarge => StatusCode::UNPROCESSABLE_ENTITY,
        Code::RangeUnsatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        Code::QueueFull
        | Code::QuotaExceeded
        | Code::SessionMisused
        | Code::TooManyChannels
        | Code::TooManySessions
        | Code::TooManyConnections
        | Code::TooManyRequests
        | Code::TooManyAttempts => StatusCode::TOO_MANY_REQUESTS,
        Code::JournalUnwritable | Code::StoreUnwritable => StatusCode::INSUFFICIENT_STORAGE,
        Code::HypervisorUnreachable | Code::Closing => StatusCode::SERVICE_UNAVAILABLE,
        Code::HypervisorFailed | Code::GuestTimeout | Code::OutcomeUnknowable => StatusCode::BAD_GATEWAY,
        Code::BindingUnreadable | Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
