//! What an operator at the command line, or an administrator over HTTP, does to other people's accounts. Both use these verbs,
//! and the trail names who it was.
//!
//! An administrator cannot leave Signet without one: whatever would take the role, or the use of it, from the last is refused
//! (`account/last_admin.rs`). An operator can: they have the database, and make another.
//!
//! Owns: users.  Emits: UserCreated, RolesChanged, UserUpdated, UserDisabled, UserEnabled, UserDeleted, UserRestored, PasswordSet, PasswordResetForced,
//! EmailChanged.

pub(crate) mod create;
mod delete;
mod disable;
pub(crate) mod force_reset;
mod set_password;
mod update;

use diesel::QueryResult;

pub use create::create;
pub use delete::{delete, is_deleted, restore};
pub use disable::{disable, enable};
pub use force_reset::force_reset;
pub use set_password::set_password;
pub use update::{Changes, set_roles, update};

use super::email::Email;
use super::{UserId, store};
use crate::db::Tx;

/// Whose account it is.
#[derive(Debug, Clone)]
pub enum Who {
    /// By what programs call them.
    Id(UserId),
    /// By what people call them.
    Email(Email),
}

impl From<UserId> for Who {
    fn from(id: UserId) -> Self {
        Self::Id(id)
    }
}

impl From<Email> for Who {
    fn from(email: Email) -> Self {
        Self::Email(email)
    }
}

impl Who {
    /// Their id, if there is such an account.
    pub(crate) fn find(&self, tx: &mut Tx<'_>) -> QueryResult<Option<UserId>> {
        match self {
            Self::Id(id) => Ok(store::find_standing(tx, *id)?.map(|standing| standing.user.id)),
            Self::Email(email) => store::find_id_by_email(tx, email),
        }
    }
}
