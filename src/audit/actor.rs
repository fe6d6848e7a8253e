//! Who does something to another's account.

use crate::access::Caller;
use crate::account::UserId;
use crate::http::origin::Origin;
use crate::session::SessionId;

/// Who acts upon a user who is not themselves: in the trail, the actor beside the subject.
#[derive(Debug, Clone)]
pub enum Actor {
    /// An operator at the command line, who has the database anyway.
    Operator(Origin),
    /// An administrator who is signed in.
    Admin {
        /// Who.
        user: UserId,
        /// In which session of theirs.
        session: SessionId,
        /// Where from.
        from: Origin,
    },
}

impl Actor {
    /// An operator at the command line.
    pub fn operator() -> Self {
        Self::Operator(Origin::command_line())
    }

    /// An administrator.
    pub fn admin(caller: &Caller, from: Origin) -> Self {
        Self::Admin { user: caller.user_id, session: caller.session_id, from }
    }

    /// Which user it is; an operator is none.
    pub(crate) fn user(&self) -> Option<UserId> {
        match self {
            Self::Operator(_) => None,
            Self::Admin { user, .. } => Some(*user),
        }
    }

    pub(crate) fn origin(&self) -> &Origin {
        match self {
            Self::Operator(from) | Self::Admin { from, .. } => from,
        }
    }
}
