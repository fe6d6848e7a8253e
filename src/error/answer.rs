//! How HTTP says what went wrong: the only place that knows statuses, bodies and headers of errors.
//!
//! `/oauth2/*` answers in the form of RFC 6749 §5.2, everything else as problem+json (RFC 9457) with a stable `code`.
//! The bodies are written by [`http::respond`](crate::http::respond), because only there the request's id is known.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use super::{Error, FieldError};
use crate::mfa::Pending;

impl Error {
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
