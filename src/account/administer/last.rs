//! There is always an administrator: SECURITY_BAR Z4.

use diesel::QueryResult;

use crate::account::{UserId, store};
use crate::audit::Actor;
use crate::db::Tx;
use crate::error::{Error, Result};

/// Whether an administrator may take `target`'s role, or the use of it: somebody else must have it still, and whoever asks
/// must have it now. To be asked before anything is changed, since it locks every administrator in the order of their ids:
/// of two who do it to each other at the same moment the second is judged when it is known what the first has done.
pub(super) fn may_lose_an_admin(tx: &mut Tx<'_>, by: &Actor, target: UserId) -> QueryResult<Result<()>> {
    let Actor::Admin { user: asking, .. } = by else { return Ok(Ok(())) };
    let admins = store::lock_admins(tx)?;
    Ok(judge(&admins, *asking, target))
}

fn judge(admins: &[(UserId, bool)], asking: UserId, target: UserId) -> Result<()> {
    let active = || admins.iter().filter(|(_, is_active)| *is_active).map(|(id, _)| *id);
    if !active().any(|id| id == asking) {
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
        let code =
            |admins: &[(UserId, bool)], asking, target| judge(admins, asking, target).map_err(|error| error.code());
        assert_eq!(code(&[(ada, true)], ada, ada), Err("last_admin"), "not oneself");
        assert_eq!(code(&[(ada, true)], ada, bob), Ok(()), "who is none");
        assert_eq!(code(&[(ada, true), (eve, false)], ada, ada), Err("last_admin"), "the other cannot use it");
        assert_eq!(code(&[(ada, true), (eve, false)], ada, eve), Ok(()), "who cannot use it anyway");
        assert_eq!(code(&[(ada, true), (eve, true)], ada, eve), Ok(()));
        assert_eq!(code(&[(ada, true), (eve, true)], ada, ada), Ok(()));
        assert_eq!(code(&[(ada, false), (eve, true)], ada, eve), Err("invalid_token"), "who was disabled a moment ago");
    }
}
