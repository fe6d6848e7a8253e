//! The end of an account: deleted at once to the world, removed when the time to think again is over.
//!
//! A deleted account is an inactive one with a time at which its row goes (`account.deletion_grace`). So whatever refuses a
//! disabled user refuses a deleted one, in the same words and at the same cost, and a refresh asks nothing more than before.
//! Until then the address stays taken, and the account can be brought back: by its user with the token in the notice, if they
//! deleted it themselves, and by an operator in any case. Then everything that names the user goes, but for the trail, which
//! has their id and never their address. Who registers with the address afterwards is another subject.
//!
//! Owns: users.  Emits: UserDeleted, UserDeletionFailed, UserRestored, UserPurged.

pub mod delete;
pub mod restore;
mod store;

use std::time::Duration;

use diesel::QueryResult;

pub(super) use store::{find_restorable, is_deleted};

use super::last_admin::{may_go, may_lose_an_admin};
use super::{UserId, change_email, one_time};
use crate::access::role::Roles;
use crate::audit::{self, Actor, Event};
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::Result;
use crate::http::origin::Origin;
use crate::mail::{Kind, Notice, Outbox};
use crate::mfa;
use crate::session::{self, RevokedReason, SessionId};
use crate::throttle;

/// Who wants an account deleted.
#[derive(Debug, Clone)]
pub(crate) enum By {
    /// Its user, whose password was checked against this hash in this session.
    Owner { checked: String, session: SessionId },
    /// Somebody else, by their right.
    Other(Actor),
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// Nobody gets in any more, and this is when everything of it goes.
    Until(Timestamp),
    /// Everything of it is gone.
    Purged,
    /// There is no such account, or it was deleted before.
    Gone,
    /// It was changed while this was decided: its password, or its roles.
    Changed,
}

/// Deletes an account: every session ends, every token is void, where it was used from is forgotten, and its address is
/// told. With no `grace` it is removed in the same transaction. [`LastAdmin`](crate::error::Error::LastAdmin) if nobody would be left to administer.
pub(crate) fn delete(
    tx: &mut Tx<'_>,
    outbox: &Outbox,
    id: UserId,
    by: &By,
    grace: Duration,
    from: &Origin,
) -> QueryResult<Result<Deleted>> {
    let Some(roles) = store::find_roles(tx, id)? else { return hasten(tx, id, by, grace, from).map(Ok) };
    let admitted = match by {
        By::Other(by) => may_lose_an_admin(tx, by, id)?,
        By::Owner { .. } if roles.contains(Roles::ADMIN) => may_go(tx, id)?,
        By::Owner { .. } => Ok(()),
    };
    if let Err(refusal) = admitted {
        return Ok(Err(refusal));
    }
    let checked = match by {
        By::Owner { checked, .. } => Some(checked.as_str()),
        By::Other(_) => None,
    };
    let purge_at = tx.now + grace;
    let Some(email) = store::mark_deleted(tx, id, &roles, checked, purge_at)? else {
        return Ok(Ok(Deleted::Changed));
    };
    session::revoke_all(tx, id, RevokedReason::UserDeleted)?;
    throttle::forget_sources(tx, id)?;
    one_time::void_all(tx, id)?;
    change_email::call_off(tx, id)?;
    audit::record(tx, from, &deletion(id, by, purge_at))?;
    if grace.is_zero() {
        remove(tx, id, by.actor(id), from)?;
        outbox.put(tx, Kind::Notice(Notice::AccountDeleted), None, &email)?;
        return Ok(Ok(Deleted::Purged));
    }
    // With the user's name the notice carries a token.
    let may_restore = matches!(by, By::Owner { .. });
    outbox.put(tx, Kind::Notice(Notice::AccountDeleted), may_restore.then_some(id), &email)?;
    Ok(Ok(Deleted::Until(purge_at)))
}

/// An account that was deleted before goes at once, if that is what is wanted now.
fn hasten(tx: &mut Tx<'_>, id: UserId, by: &By, grace: Duration, from: &Origin) -> QueryResult<Deleted> {
    if !grace.is_zero() || !store::is_deleted(tx, id)? {
        return Ok(Deleted::Gone);
    }
    remove(tx, id, by.actor(id), from)?;
    Ok(Deleted::Purged)
}

impl By {
    fn actor(&self, owner: UserId) -> Option<UserId> {
        match self {
            Self::Owner { .. } => Some(owner),
            Self::Other(by) => by.user(),
        }
    }
}

fn deletion(user: UserId, by: &By, purge_at: Timestamp) -> Event {
    let session = match by {
        By::Owner { session, .. } => Some(*session),
        By::Other(_) => None,
    };
    Event::UserDeleted { user, actor: by.actor(user), session, purge_at }
}

/// Brings a deleted account back as it was: a user who was disabled is so again, and the sessions that ended stay ended.
/// `until_purge`: only while its time has not come. Tells whether there was one.
pub(super) fn restore(
    tx: &mut Tx<'_>,
    id: UserId,
    until_purge: bool,
    actor: Option<UserId>,
    from: &Origin,
) -> QueryResult<bool> {
    if !store::unmark_deleted(tx, id, until_purge.then_some(tx.now))? {
        return Ok(false);
    }
    one_time::void_all(tx, id)?;
    audit::record(tx, from, &Event::UserRestored { user: id, actor })?;
    Ok(true)
}

/// Has a deleted account come back disabled, if it comes back; tells whether there is one of which that is new.
pub(super) fn keep_out(tx: &mut Tx<'_>, id: UserId) -> QueryResult<bool> {
    store::unmark_active(tx, id)
}

/// Removes at most `limit` accounts whose time came at `before` or earlier.
pub(crate) fn purge_due(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> QueryResult<usize> {
    let due = store::lock_due(tx, before, limit)?;
    for id in &due {
        remove(tx, *id, None, &Origin::default())?;
    }
    Ok(due.len())
}

/// Removes all that names a user; API keys go with the row itself (ON DELETE CASCADE). A new table that does is a line here, or
/// says so; `tests/api/account/deletion.rs` asks the database which tables do.
fn remove(tx: &mut Tx<'_>, id: UserId, actor: Option<UserId>, from: &Origin) -> QueryResult<()> {
    // Whoever writes a row that refers to the user waits from here on.
    store::lock(tx, id)?;
    session::delete_all(tx, id)?;
    mfa::forget(tx, id)?;
    throttle::forget_sources(tx, id)?;
    one_time::void_all(tx, id)?;
    change_email::call_off(tx, id)?;
    Outbox::forget(tx, id)?;
    store::delete_user(tx, id)?;
    audit::record(tx, from, &Event::UserPurged { user: id, actor })
}
