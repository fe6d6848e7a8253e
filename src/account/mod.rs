//! People: their accounts and what they may do with them themselves.
//!
//! Owns: users, one_time_tokens, invitations, email_changes.  Emits: what each file says.

pub mod administer;
pub mod breached;
pub mod change_email;
pub mod change_password;
pub(crate) mod current_password;
pub mod deletion;
pub mod email;
pub mod export;
pub mod forgot_password;
pub(crate) mod hand_out;
pub mod import;
mod last_admin;
pub(crate) mod letters;
pub mod me;
pub mod one_time;
pub mod password;
pub mod register;
pub mod reset_password;
pub(crate) mod search;
pub(crate) mod store;
pub mod verify_email;

use serde::Serialize;

use crate::access::role::Roles;
use crate::clock::Timestamp;
use crate::db::types::id;

id! {
    /// Names a user for ever (`sub`): never reused, says nothing about the person.
    UserId
}

/// A user as clients see one.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct User {
    /// The subject of the user's tokens.
    pub id: UserId,
    /// The address as the user wrote it.
    pub email: String,
    /// What the user wants to be called.
    pub name: Option<String>,
    /// What the user may do.
    pub roles: Roles,
    /// A disabled user can do nothing.
    pub is_active: bool,
    /// Whether the address was shown to be the user's.
    pub is_verified: bool,
    /// When the account was made.
    pub created_at: Timestamp,
    /// The last time a session was opened.
    pub last_login_at: Option<Timestamp>,
}

/// A user as administrators see one.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ManagedUser {
    /// What the user sees, too.
    #[serde(flatten)]
    pub user: User,
    /// When the user may log in again; `null` for who is not disabled, or not for a time.
    pub disabled_until: Option<Timestamp>,
}
