//! What can go wrong for a caller, and the only place that knows how HTTP says so.
//!
//! `/oauth2/*` answers in the form of RFC 6749 §5.2, everything else as problem+json (RFC 9457) with a stable `code`.
//! The bodies are written by [`http::respond`](crate::http::respond), because only there the request's id is known.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use crate::access::step_up::Freshness;
use crate::mfa::Pending;
use crate::throttle::bucket::Refusal;
use crate::{db, hasher};

/// The result of a handler or a use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request was not granted. Nouns, not statuses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is malformed as a whole; the text says how and quotes nothing of it.
    #[error("{0}")]
    InvalidRequest(Cow<'static, str>),
    /// Fields that are missing, unknown or not what they should be.
    #[error("one or more fields are invalid")]
    InvalidFields(Vec<FieldError>),
    /// E-mail and password do not open an account: unknown, wrong or disabled, all the same.
    #[error("the e-mail address or the password is wrong")]
    InvalidCredentials,
    /// The password was right, and the account has a second factor: what the second step needs, if there is one.
    #[error("{}", mfa_required(.0.is_some()))]
    MfaRequired(Option<Pending>),
    /// A code that is wrong or was used, or a log-in that waits for none, all the same.
    #[error("the code is wrong or was used, or the log-in took too long and has to begin anew")]
    InvalidCode,
    /// The log-in behind the access token is too old for this, or was made without a second factor (RFC 9470 §3).
    #[error("the log-in is too old for this, or was made without a second factor: log in again")]
    InsufficientAuthentication(Freshness),
    /// The account has a second factor already.
    #[error("there is a second factor already; remove it first")]
    FactorExists,
    /// No access token where one is needed.
    #[error("an access token is required")]
    MissingToken,
    /// An access token that is malformed, expired, forged, or whose session is over.
    #[error("the access token is invalid or no longer valid")]
    InvalidToken,
    /// The access token is good but its scope does not reach this far (RFC 6750 §3.1).
    #[error("the access token lacks the scope {0}")]
    InsufficientScope(&'static str),
    /// A refresh token that is malformed, unknown, used up, expired or revoked, all the same.
    #[error("the refresh token is invalid, expired or revoked")]
    InvalidGrant,
    /// A token that came by mail, or an invitation, that is malformed, unknown, expired or used, all the same.
    #[error("the token is invalid, expired or was used")]
    InvalidOneTimeToken,
    /// The caller is known and may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// No such thing, or nothing that this caller may see.
    #[error("there is nothing here")]
    NotFound,
    /// The path exists, the method does not; what does is listed.
    #[error("this method is not supported here")]
    MethodNotAllowed(String),
    /// The address has an account already.
    #[error("an account with this e-mail address exists")]
    EmailTaken,
    /// The user has as many API keys as one may have.
    #[error("this account has as many API keys as one may have; revoke one first")]
    ApiKeyLimit,
    /// Nobody would be left to administer.
    #[error("there would be no administrator left who can log in")]
    LastAdmin,
    /// The user can do nothing, so this cannot be done for them.
    #[error("the user is disabled")]
    UserDisabled,
    /// The key came with another request before.
    #[error("this Idempotency-Key came with another request before")]
    IdempotencyKeyReused,
    /// The request that came with the key first is not answered yet.
    #[error("the request with this Idempotency-Key is still under way")]
    IdempotencyKeyInUse,
    /// The body is larger than any legitimate one.
    #[error("the body is larger than {} bytes", crate::http::body::MAX_BODY_BYTES)]
    PayloadTooLarge,
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    RequestTimeout,
    /// The path and query are longer than any legitimate ones.
    #[error("the URI is longer than {} bytes", crate::http::respond::MAX_TARGET_BYTES)]
    UriTooLong,
    /// The header fields are larger than any legitimate ones.
    #[error("the header fields are larger than {} bytes", crate::http::respond::MAX_HEADER_BYTES)]
    HeadersTooLarge,
    /// Another media type or encoding than the one that this route reads.
    #[error("this route reads {0}")]
    UnsupportedMediaType(&'static str),
    /// RFC 6749 §5.2: a grant that is unknown or switched off.
    #[error("this grant type is not supported")]
    UnsupportedGrantType,
    /// RFC 6749 §5.2: a scope that is malformed or wider than what was granted.
    #[error("the scope is malformed or exceeds what was granted")]
    InvalidScope,
    /// RFC 8693 §2.2.2: a token for another service than those that this one issues tokens for.
    #[error("tokens are issued for no such audience")]
    InvalidTarget,
    /// RFC 6749 §5.2: an unknown client, or one that authenticated and should not have.
    #[error("the client is unknown")]
    InvalidClient,
    /// Too many attempts of somebody's; nothing was looked at. The same whether there is such an account or not.
    #[error("too many attempts; try again later")]
    TooManyRequests(Refusal),
    /// More work waits than can be done in time; nothing was begun.
    #[error("the service is busy; try again")]
    Overloaded {
        /// Whole seconds until trying again makes sense, at least 1.
        retry_after_seconds: u64,
    },
    /// The database is away. A change under way may have been made.
    #[error("the service is temporarily unavailable; try again")]
    Unavailable,
    /// A defect of ours; the details are in the log.
    #[error("something went wrong")]
    Internal,
}

/// One field that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct FieldError {
    /// The field's name as sent.
    pub field: String,
    /// What is wrong, for programs: `missing`, `unknown`, `wrong_type`, `too_short`, …
    pub code: &'static str,
    /// What is wrong, for people.
    pub detail: Cow<'static, str>,
}

impl Error {
    /// A malformed request, described without quoting it.
    pub fn invalid_request(detail: &'static str) -> Self {
        Self::InvalidRequest(Cow::Borrowed(detail))
    }

    /// The stable `code` of the problem document.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_)
            | Self::RequestTimeout
            | Self::UriTooLong
            | Self::HeadersTooLarge
            | Self::UnsupportedGrantType
            | Self::InvalidScope
            | Self::InvalidTarget
            | Self::InvalidClient => "invalid_request",
            Self::InvalidFields(_) => "invalid_field",
            Self::InvalidCredentials => "invalid_credentials",
            Self::MfaRequired(_) => "mfa_required",
            Self::InvalidCode => "invalid_mfa_code",
            Self::InsufficientAuthentication(_) => "insufficient_user_authentication",
            Self::FactorExists => "factor_exists",
            Self::MissingToken | Self::InvalidToken => "invalid_token",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidOneTimeToken => "invalid_one_time_token",
            Self::InsufficientScope(_) | Self::Forbidden(_) => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::EmailTaken => "email_taken",
            Self::ApiKeyLimit => "api_key_limit",
            Self::LastAdmin => "last_admin",
            Self::UserDisabled => "user_disabled",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::IdempotencyKeyInUse => "idempotency_key_in_use",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UnsupportedMediaType(_) => "unsupported_media_type",
            Self::TooManyRequests(_) => "too_many_requests",
            Self::Overloaded { .. } => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// The status of the problem document.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::InvalidRequest(_)
            | Self::UnsupportedGrantType
            | Self::InvalidScope
            | Self::InvalidTarget
            | Self::InvalidOneTimeToken => StatusCode::BAD_REQUEST,
            Self::InvalidFields(_) | Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::InvalidCredentials
            | Self::MfaRequired(_)
            | Self::InvalidCode
            | Self::InsufficientAuthentication(_)
            | Self::MissingToken
            | Self::InvalidToken
            | Self::InvalidGrant
            | Self::InvalidClient => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope(_) | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::EmailTaken
            | Self::ApiKeyLimit
            | Self::FactorExists
            | Self::LastAdmin
            | Self::UserDisabled
            | Self::IdempotencyKeyInUse => StatusCode::CONFLICT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded { .. } | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The status and the `error` of the token endpoint (RFC 6749 §5.2), where nearly everything is a 400.
    pub fn oauth(&self) -> (StatusCode, &'static str) {
        let bad_request = StatusCode::BAD_REQUEST;
        match self {
            Self::InvalidRequest(_)
            | Self::InvalidFields(_)
            | Self::EmailTaken
            | Self::ApiKeyLimit
            | Self::FactorExists
            | Self::LastAdmin
            | Self::UserDisabled
            | Self::IdempotencyKeyReused
            | Self::IdempotencyKeyInUse
            | Self::InvalidOneTimeToken => (bad_request, "invalid_request"),
            Self::InvalidCredentials | Self::MfaRequired(_) | Self::InvalidCode | Self::InvalidGrant => {
                (bad_request, "invalid_grant")
            }
            Self::InsufficientAuthentication(_) => (StatusCode::UNAUTHORIZED, "insufficient_user_authentication"),
            Self::UnsupportedGrantType => (bad_request, "unsupported_grant_type"),
            Self::InvalidScope => (bad_request, "invalid_scope"),
            Self::InvalidTarget => (bad_request, "invalid_target"),
            Self::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client"),
            Self::MissingToken | Self::InvalidToken => (StatusCode::UNAUTHORIZED, "invalid_token"),
            Self::InsufficientScope(_) | Self::Forbidden(_) => (StatusCode::FORBIDDEN, "access_denied"),
            Self::NotFound
            | Self::MethodNotAllowed(_)
            | Self::PayloadTooLarge
            | Self::RequestTimeout
            | Self::UriTooLong
            | Self::HeadersTooLarge
            | Self::UnsupportedMediaType(_) => (self.status(), "invalid_request"),
            // RFC 6749 has no word of its own for it.
            Self::TooManyRequests(_) | Self::Overloaded { .. } | Self::Unavailable => {
                (self.status(), "temporarily_unavailable")
            }
            Self::Internal => (self.status(), "server_error"),
        }
    }

    /// The body for a path, in the form that its clients read, with its status.
    pub fn body(&self, path: &str, request_id: &str) -> (StatusCode, &'static str, Vec<u8>) {
        if is_oauth(path) {
            let (status, error) = self.oauth();
            let body = OAuthError { error, error_description: self.to_string() };
            (status, "application/json", to_json(&body))
        } else {
            let status = self.status();
            let errors = if let Self::InvalidFields(errors) = self { errors.as_slice() } else { &[] };
            let pending = if let Self::MfaRequired(pending) = self { pending.as_ref() } else { None };
            let body = Problem {
                r#type: "about:blank",
                title: status.canonical_reason().unwrap_or_default(),
                status: status.as_u16(),
                code: self.code(),
                detail: self.to_string(),
                request_id,
                errors,
                mfa_token: pending.map(|pending| pending.mfa_token().to_string()),
                expires_in: pending.map(Pending::expires_in),
            };
            (status, "application/problem+json", to_json(&body))
        }
    }

    /// The headers that go with the error: challenges (RFC 6750 §3, RFC 6749 §5.2), `Allow`, `Retry-After`.
    pub fn write_headers(&self, path: &str, headers: &mut HeaderMap) {
        let challenge = match self {
            Self::InvalidToken => Some(r#"Bearer realm="signet", error="invalid_token""#.to_owned()),
            Self::MissingToken => Some(r#"Bearer realm="signet""#.to_owned()),
            Self::InvalidCredentials | Self::MfaRequired(_) | Self::InvalidCode | Self::InvalidGrant
                if !is_oauth(path) =>
            {
                Some(r#"Bearer realm="signet""#.to_owned())
            }
            Self::InsufficientAuthentication(freshness) => {
                Some(format!(r#"Bearer realm="signet", {}"#, freshness.challenge()))
            }
            Self::InsufficientScope(scope) => {
                Some(format!(r#"Bearer realm="signet", error="insufficient_scope", scope="{scope}""#))
            }
            Self::InvalidClient => Some(r#"Basic realm="signet""#.to_owned()),
            _ => None,
        };
        let mut set = |name, value: &str| {
            headers.insert(name, HeaderValue::from_str(value).expect("our own words are valid header values"));
        };
        if let Some(challenge) = challenge {
            set(header::WWW_AUTHENTICATE, &challenge);
        }
        match self {
            Self::MethodNotAllowed(allowed) => set(header::ALLOW, allowed),
            Self::TooManyRequests(refusal) => {
                set(header::RETRY_AFTER, &refusal.retry_after_seconds().to_string());
                for (name, value) in refusal.header_values() {
                    set(HeaderName::from_static(name), &value);
                }
            }
            Self::Overloaded { retry_after_seconds } => set(header::RETRY_AFTER, &retry_after_seconds.to_string()),
            Self::Unavailable => set(header::RETRY_AFTER, "1"),
            _ => {}
        }
    }

    /// Whether the connection cannot carry another request: what is left of this one is not read, or more of the kind is
    /// to be feared.
    pub fn ends_connection(&self) -> bool {
        matches!(self, Self::PayloadTooLarge | Self::RequestTimeout | Self::UriTooLong | Self::HeadersTooLarge)
    }
}

/// At the token endpoint the code stands in the description, for there is no other place (RFC 6749 §5.2).
fn mfa_required(has_second_step: bool) -> &'static str {
    if has_second_step {
        "the code of a second factor is required"
    } else {
        "mfa_required: the account has a second factor, which this grant cannot ask for"
    }
}

/// Whether a path answers in the form of RFC 6749.
pub(crate) fn is_oauth(path: &str) -> bool {
    path.starts_with("/oauth2/")
}

fn to_json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("error bodies are plain data")
}

/// The problem document of RFC 9457.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    /// Stable; programs decide by this.
    code: &'static str,
    detail: String,
    /// The same as in the `X-Request-Id` header and in the logs.
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    /// With `mfa_required`: for `POST /v1/auth/login/mfa`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    mfa_token: Option<String>,
    /// Whole seconds that it lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    expires_in: Option<u64>,
}

/// The error of RFC 6749 §5.2.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct OAuthError {
    error: &'static str,
    error_description: String,
}

/// Carries the error to [`http::respond`](crate::http::respond), which writes the body.
impl actix_web::ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        self.status()
    }
    fn error_response(&self) -> actix_web::HttpResponse {
        actix_web::HttpResponse::new(self.status())
    }
}

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Self {
        match error {
            // Whatever it was, the database layer has counted it and told the log.
            db::Error::Overloaded => Self::Overloaded { retry_after_seconds: 1 },
            db::Error::Unavailable(_) => Self::Unavailable,
            db::Error::Failed(_) => Self::Internal,
        }
    }
}

impl From<hasher::Error> for Error {
    fn from(error: hasher::Error) -> Self {
        match error {
            hasher::Error::Overloaded { wait } => Self::Overloaded { retry_after_seconds: whole_seconds(wait).max(1) },
            hasher::Error::Malformed(_) => {
                tracing::error!(%error, "a stored password hash cannot be read");
                Self::Internal
            }
            hasher::Error::Panicked => Self::Internal,
        }
    }
}

/// Not a second less: who comes back too early is refused again.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_refused_for_too_many_hashes_is_told_when_they_are_done() {
        for (millis, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (3_400, 4)] {
            let wait = Duration::from_millis(millis);
            let error = Error::from(hasher::Error::Overloaded { wait });
            assert!(
                matches!(error, Error::Overloaded { retry_after_seconds } if retry_after_seconds == seconds),
                "{wait:?}"
            );
        }
    }
}
