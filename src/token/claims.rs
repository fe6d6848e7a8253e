//! The claims of an access token (RFC 9068 §2.2).

use serde::{Deserialize, Serialize};

use crate::access::role::Roles;
use crate::access::scope::Scope;
use crate::account::UserId;
use crate::session::SessionId;

/// What an access token says. Every claim is demanded when one is verified here, but for those that configuration adds.
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
    pub sid: SessionId,
    /// Seconds since 1970 at which the user proved who they are.
    pub auth_time: i64,
    /// How (RFC 8176).
    pub amr: Vec<String>,
    /// Who acts for the user, if it is not they themselves (RFC 8693 §4.1).
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

/// Somebody who acts for the subject.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Act {
    /// The administrator.
    pub sub: UserId,
}
