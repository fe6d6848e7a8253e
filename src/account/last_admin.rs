//! There is always an administrator: SECURITY_BAR Z4. An operator at the command line is not stopped: they have the database, and
//! make another.

use diesel::QueryResult;

use super::{UserId, store};
use crate::audit::Actor;
use crate::db::Tx;
use crate::error::{Error, Result};

/// Whether somebody may take `target`'s role, or the use of it: somebody else must have it still, and an administrator who asks
/// must have it now. To be asked before anything is changed, since it locks every administrator in the order of their ids:
/// of two who do it to each other at the same moment the second is judged when it is known what the first has done.
pub(super) fn may_lose_an_admin(tx: &mut Tx<'_>, by: &Actor, target: UserId) -> QueryResult<Result<()>> {
    match by {
        Actor::Operator(_) => Ok(Ok(())),
        Actor::Admin { user, .. } => Ok(judge(&store::lock_admins(tx)?, Some(*user), target)),
    }
}

/// The same for a user who goes by themselves, administrator or not.
pub(super) fn may_go(tx: &mut Tx<'_>, user: UserId) -> QueryResult<Result<()>> {
    Ok(judge(&store::lock_admins(tx)?, None, user))
}

fn judge(admins: &[(UserId, bool)], asking: Option<UserId>, target: UserId) -> Result<()> {
    let active = || admins.iter().filter(|(_, is_active)| *is_active).map(|(id, _)| *id);
    if asking.is_some_and(|asking| !active().any(|id| id == asking)) {
        return Err(Error::InvalidToken);
    }
    let is_one = active().any(|id| id == target);
    if is_one && !active().any(|id| id != target) { Err(Error::LastAdmin) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn somebody_else_must_be_left() {
        let [ada, eve, bob] = [0, 1, 2].map(|_| UserId::new(Timestamp::from_micros(0)));
        let code = |admins: &[(UserId, bool)], asking, target| {
            judge(admins, Some(asking), target).map_err(|error| error.code())
        };
        assert_eq!(code(&[(ada, true)], ada, ada), Err("last_admin"), "not oneself");
        assert_eq!(code(&[(ada, true)], ada, bob), Ok(()), "who is none");
        assert_eq!(code(&[(ada, true), (eve, false)], ada, ada), Err("last_admin"), "the other cannot use it");
        assert_eq!(code(&[(ada, true), (eve, false)], ada, eve), Ok(()), "who cannot use it anyway");
        assert_eq!(code(&[(ada, true), (eve, true)], ada, eve), Ok(()));
        assert_eq!(code(&[(ada, true), (eve, true)], ada, ada), Ok(()));
        assert_eq!(code(&[(ada, false), (eve, true)], ada, eve), Err("invalid_token"), "who was disabled a moment ago");
        let goes = |admins: &[(UserId, bool)]| judge(admins, None, ada).map_err(|error| error.code());
        assert_eq!(goes(&[(eve, true)]), Ok(()), "who never was one");
        assert_eq!(goes(&[(ada, true), (eve, true)]), Ok(()));
        assert_eq!(goes(&[(ada, true), (eve, false)]), Err("last_admin"));
    }
}
