//! Who is asking, once their access token was verified and their session found alive.

use super::role::Roles;
use super::scope::Scope;
use super::step_up::Authentication;
use crate::account::UserId;
use crate::session::SessionId;

/// An authenticated caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The subject of the token.
    pub user_id: UserId,
    /// The session that the token belongs to (`sid`).
    pub session_id: SessionId,
    /// How far this token reaches now: what it says, which may be less than its session has, as far as the roles still
    /// carry it.
    pub scope: Scope,
    /// The user's roles as they are now, which may be others than when the token was issued.
    pub roles: Roles,
    /// When and how they proved who they are.
    pub authentication: Authentication,
    /// The administrator who acts for the user, if it is not they themselves (`act`).
    pub actor: Option<UserId>,
}

impl Caller {
    /// Whether this caller's token reaches `scope`.
    pub fn may(&self, scope: &str) -> bool {
        self.scope.contains(scope)
    }

    /// Whether this caller administers Signet: by a role that they have now, and with a token that was issued for it.
    ///
    /// # Errors
    /// What is missing. The role is looked at first: no token helps who has not got it.
    pub fn administers(&self) -> Result<(), NoAdministrator> {
        if !self.roles.contains(Roles::ADMIN) {
            return Err(NoAdministrator::WithoutRole);
        }
        if !self.may(Scope::ADMIN) {
            return Err(NoAdministrator::WithoutScope);
        }
        Ok(())
    }
}

/// Why a caller does not administer Signet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAdministrator {
    /// They are not an administrator, or not any more.
    WithoutRole,
    /// They are, and this token was issued for less.
    WithoutScope,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn caller(scope: &str, roles: &str) -> Caller {
        let now = Timestamp::from_micros(0);
        let (user_id, session_id) = (UserId::new(now), SessionId::new(now));
        let (scope, roles) = (scope.parse().expect("a scope"), roles.parse().expect("roles"));
        Caller { user_id, session_id, scope, roles, authentication: Authentication::NONE, actor: None }
    }

    #[test]
    fn a_caller_may_what_the_token_says_and_no_more() {
        let caller = caller("account reports", "user");
        assert_eq!(["account", "reports", "admin"].map(|scope| caller.may(scope)), [true, true, false]);
    }

    #[test]
    fn only_role_and_scope_together_administer() {
        use NoAdministrator::{WithoutRole, WithoutScope};
        for (scope, roles, expected) in [
            ("account admin", "admin user", Ok(())),
            ("admin", "admin", Ok(())),
            ("account", "admin", Err(WithoutScope)),
            ("admins", "admin", Err(WithoutScope)),
            ("account admin", "user", Err(WithoutRole)),
            ("account", "user", Err(WithoutRole)),
        ] {
            assert_eq!(caller(scope, roles).administers(), expected, "{scope} / {roles}");
        }
    }
}
