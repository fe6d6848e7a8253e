//! What an operator at the command line, or an administrator over HTTP, does to other people's API keys: make one, look at them,
//! give one a new secret, end them. Both use these verbs, and the trail names who it was.
//!
//! A service is a user without a password: nobody logs in as it, so its keys are made and rotated here. How many keys users
//! may make themselves does not count. Whoever administers makes no key for another who does: it would speak in their name,
//! and nobody acts for an administrator (`session/impersonate.rs`). An operator can; they have the database.
//!
//! The user is told by mail, unless their address is one that nobody can have (`backup@service.invalid`).
//!
//! Owns: api_keys.  Emits: ApiKeyCreated, ApiKeyRotated, ApiKeyRevoked, ApiKeysRevoked.

use std::sync::Arc;

use diesel::QueryResult;

use super::create::Wanted;
use super::key::ApiKey;
use super::list::{self, ApiKeyPage};
use super::rotate::{self, Renewal};
use super::{ApiKeyId, Described, store};
use crate::access::rights::Rights;
use crate::access::role::Roles;
use crate::account::administer::Who;
use crate::account::store as accounts;
use crate::account::{User, UserId};
use crate::audit::{self, Actor, Event};
use crate::db::{Db, Tx};
use crate::error::{Error, Result};
use crate::field::Invalid;
use crate::http::query::Page;
use crate::mail::{Notice, Outbox};

/// The answer to an administrator who would have a key in the name of another.
pub(crate) const OF_ADMIN: Error = Error::Forbidden("only they themselves have keys made for an administrator");

/// Makes a key for a user.
///
/// # Errors
/// As [`create_in`], or [`Error::NotFound`], or the database's.
pub async fn create(
    db: &Db,
    rights: Arc<Rights>,
    outbox: Outbox,
    by: Actor,
    who: impl Into<Who>,
    wanted: Wanted,
) -> Result<ApiKey> {
    let (who, key) = (who.into(), ApiKey::generate());
    let made = key.clone();
    let created = db.tx("api_key.create_for", move |tx| {
        let Some(id) = who.find(tx)? else { return Ok(Err(Error::NotFound)) };
        create_in(tx, &rights, &outbox, &by, id, (&made, &wanted))
    });
    created.await?.map(|_| key)
}

const NOT_GRANTED: Invalid = Invalid::new("not_granted", "the user's roles do not carry all of these words");

/// The same in a transaction that does more: [`Error::NotFound`], [`Error::UserDisabled`], [`OF_ADMIN`], or
/// [`Error::InvalidFields`] if the user's roles do not carry all of the scope.
pub(crate) fn create_in(
    tx: &mut Tx<'_>,
    rights: &Rights,
    outbox: &Outbox,
    by: &Actor,
    user_id: UserId,
    (key, wanted): (&ApiKey, &Wanted),
) -> QueryResult<Result<Described>> {
    let user = match lock_owner(tx, by, user_id)? {
        Ok(user) => user,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let scope = &wanted.scope;
    if rights.left_of(scope, &user.roles) != *scope {
        return Ok(Err(Error::invalid_field("scope", NOT_GRANTED)));
    }
    let created = store::insert_key(tx, key, user_id, wanted)?;
    let event = Event::ApiKeyCreated { user: user_id, session: None, key: created.id, scope: scope.clone() };
    audit::record_by(tx, by, &event)?;
    outbox.tell(tx, Notice::ApiKeyHandedOut, user_id, &user.email)?;
    Ok(Ok(created))
}

/// The user whom somebody else is to get a secret for, locked as they are.
fn lock_owner(tx: &mut Tx<'_>, by: &Actor, id: UserId) -> QueryResult<Result<User>> {
    let Some(standing) = accounts::lock_standing(tx, id)? else { return Ok(Err(Error::NotFound)) };
    let user = standing.user;
    let is_anothers = by.user().is_some_and(|asking| asking != id);
    if is_anothers && user.roles.contains(Roles::ADMIN) {
        return Ok(Err(OF_ADMIN));
    }
    Ok(if user.is_active { Ok(user) } else { Err(Error::UserDisabled) })
}

/// A page of a user's keys that work.
///
/// # Errors
/// [`Error::NotFound`], or the database's.
pub(crate) async fn list(db: &Db, who: impl Into<Who>, page: Page<ApiKeyId>) -> Result<ApiKeyPage> {
    let who = who.into();
    let listed = db.read("api_key.list_of", move |tx| match who.find(tx)? {
        Some(id) => list::page_of(tx, id, &page).map(Some),
        None => Ok(None),
    });
    listed.await?.ok_or(Error::NotFound)
}

/// Gives a key of a user a new secret, as [`rotate`] does for the user.
///
/// # Errors
/// [`Error::NotFound`] if there is no such key; [`Error::UserDisabled`]; [`OF_ADMIN`]; or the database's.
pub(crate) async fn rotate(
    db: &Db,
    outbox: Outbox,
    by: Actor,
    who: impl Into<Who>,
    key: ApiKeyId,
    renewal: Renewal,
) -> Result<(Described, ApiKey)> {
    let who = who.into();
    let rotated = db.tx("api_key.rotate_of", move |tx| {
        let Some(user) = who.find(tx)? else { return Ok(Err(Error::NotFound)) };
        let user = match lock_owner(tx, &by, user)? {
            Ok(user) => user,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(rotated) = rotate::rotate_in(tx, user.id, key, &renewal)? else { return Ok(Err(Error::NotFound)) };
        audit::record_by(tx, &by, &rotated.event(user.id, None))?;
        outbox.tell(tx, Notice::ApiKeyHandedOut, user.id, &user.email)?;
        Ok(Ok((rotated.described, rotated.key)))
    });
    rotated.await?
}

/// Ends a key of a user.
///
/// # Errors
/// [`Error::NotFound`] if there is no such key, or the database's.
pub async fn revoke(db: &Db, outbox: Outbox, by: Actor, who: impl Into<Who>, key: ApiKeyId) -> Result<()> {
    let who = who.into();
    let revoked = db.tx("api_key.revoke_of", move |tx| {
        let Some(user) = who.find(tx)? else { return Ok(false) };
        let revoked = store::revoke_one(tx, user, key)?;
        if revoked {
            audit::record_by(tx, &by, &Event::ApiKeyRevoked { user, session: None, key })?;
            tell_of_end(tx, &outbox, user)?;
        }
        Ok(revoked)
    });
    if revoked.await? { Ok(()) } else { Err(Error::NotFound) }
}

/// Ends all keys of a user; how many there were.
///
/// # Errors
/// [`Error::NotFound`], or the database's.
pub async fn revoke_all(db: &Db, outbox: Outbox, by: Actor, who: impl Into<Who>) -> Result<usize> {
    let who = who.into();
    let revoked = db.tx("api_key.revoke_all_of", move |tx| {
        let Some(user) = who.find(tx)? else { return Ok(None) };
        let count = store::revoke_all(tx, user)?;
        if count > 0 {
            audit::record_by(tx, &by, &Event::ApiKeysRevoked { user, session: None, count })?;
            tell_of_end(tx, &outbox, user)?;
        }
        Ok(Some(count))
    });
    revoked.await?.ok_or(Error::NotFound)
}

fn tell_of_end(tx: &mut Tx<'_>, outbox: &Outbox, user: UserId) -> QueryResult<()> {
    match accounts::find_standing(tx, user)? {
        Some(standing) => outbox.tell(tx, Notice::ApiKeyRevoked, user, &standing.user.email),
        None => Ok(()),
    }
}
