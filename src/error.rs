//! What can go wrong for a caller. How HTTP says so knows `answer` alone.

mod answer;

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;

use crate::access::step_up::Freshness;
use crate::field::Invalid;
use crate::mfa::Pending;
use crate::throttle::bucket::Refusal;
use crate::{db, hasher};

pub(crate) use answer::{OAuthError, Problem, is_oauth};

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

    /// One field that was looked at after all were parsed.
    pub(crate) fn invalid_field(field: &str, Invalid { code, detail }: Invalid) -> Self {
        Self::InvalidFields(vec![FieldError { field: field.to_owned(), code, detail }])
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
