//! Sessions: refresh-token families, one row each, from log-in to their end.
//!
//! [`family`] is the state table, [`token`] the format; the other files are one route or verb each.
//!
//! Owns: sessions.  Emits: LoggedIn, LoginFailed, LoggedOut, TokenReused, ResponseRecovered, SessionRevoked,
//! SessionsEnded, ImpersonationBegun.

pub mod caller;
pub mod end;
pub mod family;
pub mod impersonate;
pub mod list;
pub mod login;
pub mod logout;
pub mod open;
pub mod refresh;
pub mod revoke;
pub mod rotation;
mod store;
pub mod token;

pub(crate) use store::{
    count_latest, delete_all, delete_ended, find_impersonator as impersonator, look_for_ended, revoke_all,
    revoke_others, set_access_version,
};

use crate::access::scope::Scope;
use crate::account::UserId;
use crate::clock::Timestamp;
use crate::db::types::id;
use token::RefreshToken;

id! {
    /// Names a session to its user and to sibling services (`sid`). Knowing it neither opens nor ends anything.
    SessionId
}

/// What a session entitles to at this moment: the claims of the next access token, and the refresh token to send.
#[derive(Debug)]
pub struct Grant {
    /// `sid`.
    pub session_id: SessionId,
    /// `sub`.
    pub user_id: UserId,
    /// The roles as they are under the row's lock.
    pub roles: crate::access::role::Roles,
    /// What the session may do: what was granted to it, as far as the user's roles still carry it.
    pub scope: Scope,
    /// `client_id`.
    pub client_id: String,
    /// `auth_time`: when the password was checked.
    pub auth_time: Timestamp,
    /// How the user proved who they are (RFC 8176), space-separated.
    pub amr: String,
    /// The time of the transaction that granted it: `iat`, and where lifetimes are counted from.
    pub granted_at: Timestamp,
    /// The refresh token in force.
    pub refresh_token: RefreshToken,
    /// When it expires unless it is used before.
    pub refresh_expires_at: Timestamp,
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RevokedReason {
    /// Its user logged out.
    Logout,
    /// Its user ended it from another session.
    RevokedByUser,
    /// A second holder showed up.
    TokenReused,
    /// The password was changed in another session.
    PasswordChanged,
    /// The user was disabled.
    UserDisabled,
    /// The account was deleted.
    UserDeleted,
    /// An operator ended it.
    EndedByOperator,
    /// An operator set the user's password.
    PasswordSet,
    /// A new password was chosen with a token that came by mail.
    PasswordReset,
    /// A second factor was added in another session.
    FactorAdded,
    /// It was removed, in another session or by an operator.
    FactorRemoved,
    /// An administrator took the user's password.
    PasswordTaken,
}

impl RevokedReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::RevokedByUser => "revoked_by_user",
            Self::TokenReused => "token_reused",
            Self::PasswordChanged => "password_changed",
            Self::UserDisabled => "user_disabled",
            Self::UserDeleted => "user_deleted",
            Self::EndedByOperator => "ended_by_operator",
            Self::PasswordSet => "password_set",
            Self::PasswordReset => "password_reset",
            Self::FactorAdded => "factor_added",
            Self::FactorRemoved => "factor_removed",
            Self::PasswordTaken => "password_taken",
        }
    }
}
