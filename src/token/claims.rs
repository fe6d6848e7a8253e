//! The claims of an access token (RFC 9068 §2.2).

use serde::{Deserialize, Serialize};

use crate::access::role::Roles;
use crate::access::scope::Scope;
use crate::account::UserId;
use crate::api_key::ApiKeyId;
use crate::session::SessionId;

/// What an access token says. Every claim is demanded when one is verified here, but for those that configuration adds; and a
/// token is either a session's or an API key's, with all the claims of the one and none of the other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// The issuer, byte for byte as configured.
    pub iss: String,
    /// The user.
    pub sub: UserId,
    /// The audience: one string, since some verifiers refuse an array.
    pub aud: String,
    /// Seconds since 1970 from which on the token is refused.
    pub exp: i64,
    /// Seconds since 1970 of issue, rounded down.
    pub iat: i64,
    /// Never issued, since verifiers without leeway would refuse it; heeded if it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// 128 random bits, base64url.
    pub jti: String,
    /// The client that the session is bound to.
    pub client_id: String,
    /// What this token may do, space-separated.
    pub scope: Scope,
    /// The user's roles at the time of issue (RFC 9068 §2.2.3.1).
    pub roles: Roles,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<SessionId>,
    /// Of a session: seconds since 1970 at which the user proved who they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// Of a session: how (RFC 8176).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amr: Option<Vec<String>>,
    /// Of a session, and only if a second factor was used (RFC 9068 §2.2.1, RFC 9470 §5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// The API key that the token was given in exchange for: no user was there, so nothing is said of when and how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<ApiKeyId>,
    /// Of a session: who acts for the user, if it is not they themselves (RFC 8693 §4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Act>,
    /// Only if configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Only if configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_verified: Option<bool>,
    /// Only if configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// In what capacity a token speaks for its user, and by what it can be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A user who logged in.
    Session(SessionId),
    /// A program that exchanged its key.
    ApiKey(ApiKeyId),
}

impl Claims {
    /// Who holds the token; `None` if its claims are those of neither, or of both.
    pub fn holder(&self) -> Option<Holder> {
        match (self.sid, self.auth_time, &self.amr, self.key_id) {
            (Some(session), Some(_), Some(_), None) => Some(Holder::Session(session)),
            (None, None, None, Some(key)) if self.act.is_none() => Some(Holder::ApiKey(key)),
            _ => None,
        }
    }
}

/// Somebody who acts for the subject.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Act {
    /// The administrator.
    pub sub: UserId,
}
