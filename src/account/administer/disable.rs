//! Keeping somebody out, for good or for a time, and letting them in again.
//!
//! Emits: UserDisabled, UserEnabled.

use diesel::QueryResult;

use super::Who;
use crate::account::last_admin::may_lose_an_admin;
use crate::account::one_time::{self, Purpose};
use crate::account::{UserId, change_email, deletion, store};
use crate::audit::{self, Actor, Event};
use crate::clock::Timestamp;
use crate::db::{Db, Tx};
use crate::error::{Error, Result};
use crate::session::{self, RevokedReason};

/// Disables a user and ends every session; until a time, if one is given: from then on they may log in again. Of who is
/// disabled already only the time is changed.
///
/// # Errors
/// [`Error::NotFound`], [`Error::LastAdmin`], or the database's.
pub async fn disable(db: &Db, by: Actor, who: impl Into<Who>, until: Option<Timestamp>) -> Result<UserId> {
    let who = who.into();
    let disabled = db.tx("account.disable", move |tx| {
        let Some(id) = who.find(tx)? else { return Ok(Err(Error::NotFound)) };
        disable_in(tx, &by, id, until).map(|done| done.map(|()| id))
    });
    disabled.await?
}

fn disable_in(tx: &mut Tx<'_>, by: &Actor, id: UserId, until: Option<Timestamp>) -> QueryResult<Result<()>> {
    if let Err(refusal) = may_lose_an_admin(tx, by, id)? {
        return Ok(Err(refusal));
    }
    if store::disable(tx, id, until)? || deletion::keep_out(tx, id)? {
        session::revoke_all(tx, id, RevokedReason::UserDisabled)?;
        one_time::void(tx, id, &Purpose::OF_USERS)?;
        change_email::call_off(tx, id)?;
    } else if !store::set_disabled_until(tx, id, until)? {
        return Ok(Ok(()));
    }
    audit::record_by(tx, by, &Event::UserDisabled { user: id, until })?;
    Ok(Ok(()))
}

/// Lets a disabled user log in again; the sessions that ended stay ended. Enabling an active user changes nothing.
///
/// # Errors
/// [`Error::NotFound`], [`Error::UserDisabled`] if the account is deleted, which is brought back in another way; or the
/// database's.
pub async fn enable(db: &Db, by: Actor, who: impl Into<Who>) -> Result<UserId> {
    let who = who.into();
    let enabled = db.tx("account.enable", move |tx| {
        let Some(id) = who.find(tx)? else { return Ok(Err(Error::NotFound)) };
        if store::enable(tx, id)? {
            audit::record_by(tx, &by, &Event::UserEnabled { user: id })?;
        } else if deletion::is_deleted(tx, id)? {
            return Ok(Err(Error::UserDisabled));
        }
        Ok(Ok(id))
    });
    enabled.await?
}
