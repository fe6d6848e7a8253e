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
    /// How far this token reaches: what it says, which may be less than its session has.
    pub scope: Scope,
    /// The user's roles as they are now, which may be others than when the token was issued.
    pub roles: Roles,
    /// When and how they proved who they are.
    pub authentication: Authentication,
}

impl Caller {
    /// Whether this caller's token reaches `scope`.
    pub fn may(&self, scope: &str) -> bool {
        self.scope.contains(scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn a_caller_may_what_the_token_says_and_no_more() {
        let now = Timestamp::from_micros(0);
        let (user_id, session_id) = (UserId::new(now), SessionId::new(now));
        let scope: Scope = "account reports".parse().expect("a scope");
        let caller = Caller { user_id, session_id, scope, roles: Roles::user(), authentication: Authentication::NONE };
        assert_eq!(["account", "reports", "admin"].map(|scope| caller.may(scope)), [true, true, false]);
    }
}
