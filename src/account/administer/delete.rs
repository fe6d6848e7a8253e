//! The end of somebody else's account, and its return.
//!
//! Emits: UserDeleted, UserRestored.

use std::time::Duration;

use super::Who;
use crate::account::UserId;
use crate::account::deletion::{self, Deleted};
use crate::audit::Actor;
use crate::clock::Timestamp;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::mail::Outbox;

/// Deletes an account; when everything of it goes, or nothing if it is gone already.
///
/// # Errors
/// [`Error::NotFound`], for a deleted account too; [`Error::LastAdmin`]; or the database's.
pub async fn delete(
    db: &Db,
    outbox: Outbox,
    by: Actor,
    who: impl Into<Who>,
    grace: Duration,
) -> Result<Option<Timestamp>> {
    let who = who.into();
    let deleted = db
        .tx("account.delete", move |tx| {
            let Some(id) = who.find(tx)? else { return Ok(Ok(Deleted::Gone)) };
            deletion::delete(tx, &outbox, id, &deletion::By::Other(by.clone()), grace, by.origin())
        })
        .await?;
    match deleted? {
        Deleted::Until(purge_at) => Ok(Some(purge_at)),
        Deleted::Purged => Ok(None),
        Deleted::Gone => Err(Error::NotFound),
        Deleted::Changed => Err(Error::Unavailable),
    }
}

/// Whether an account is deleted, and can still be brought back.
///
/// # Errors
/// The database's.
pub async fn is_deleted(db: &Db, who: impl Into<Who>) -> Result<bool> {
    let who = who.into();
    let found = db.read("account.is_deleted", move |tx| match who.find(tx)? {
        Some(id) => deletion::is_deleted(tx, id),
        None => Ok(false),
    });
    Ok(found.await?)
}

/// Brings a deleted account back.
///
/// # Errors
/// [`Error::NotFound`] if there is no such account, or it was not deleted; or the database's.
pub async fn restore(db: &Db, by: Actor, who: impl Into<Who>) -> Result<UserId> {
    let who = who.into();
    let restored = db
        .tx("account.restore", move |tx| {
            let Some(id) = who.find(tx)? else { return Ok(None) };
            let restored = deletion::restore(tx, id, false, by.user(), by.origin())?;
            Ok(restored.then_some(id))
        })
        .await?;
    restored.ok_or(Error::NotFound)
}
