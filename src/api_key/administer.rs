//! What an operator does to API keys from the command line: make one for a service, look at a user's, end them.
//!
//! A service is a user without a password: nobody logs in as it, so its keys are made here.
//!
//! Owns: api_keys.  Emits: ApiKeyCreated, ApiKeyRevoked, ApiKeysRevoked.

use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;

use super::key::ApiKey;
use super::store::{self, NewKey};
use super::{ApiKeyId, Described};
use crate::access::rights::Rights;
use crate::access::scope::Scope;
use crate::account::UserId;
use crate::account::email::Email;
use crate::account::store as accounts;
use crate::audit::{self, Event};
use crate::db::{Db, Tx};
use crate::error::{Error, Result};
use crate::http::origin::Origin;

/// The most keys that a command looks at; what a user may have at most is less.
const ALL: i64 = 10_000;

/// Makes a key for a user. How many keys users may make themselves does not count here.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Forbidden`] if the user's roles do not carry all of `scope`; or the database's.
pub async fn create(
    db: &Db,
    rights: Arc<Rights>,
    email: Email,
    name: String,
    scope: Scope,
    ttl: Duration,
) -> Result<ApiKey> {
    let key = ApiKey::generate();
    let made = key.clone();
    let created = db.tx("api_key.create_for", move |tx| {
        let Some(user_id) = accounts::find_id_by_email(tx, &email)? else { return Ok(Err(Error::NotFound)) };
        let Some(standing) = accounts::find_standing(tx, user_id)? else { return Ok(Err(Error::NotFound)) };
        if scope.contains(Scope::ADMIN) || rights.left_of(&scope, &standing.user.roles) != scope {
            return Ok(Err(Error::Forbidden("the user's roles do not carry this scope, or it is for administrators")));
        }
        let new = NewKey { key: &made, user_id, name: &name, scope: &scope, expires_at: tx.now + ttl };
        let created = store::insert_key(tx, &new)?;
        let event = Event::ApiKeyCreated { user: user_id, session: None, key: created.id, scope: scope.clone() };
        audit::record(tx, &Origin::command_line(), &event)?;
        Ok(Ok(()))
    });
    created.await?.map(|()| key)
}

/// A user's keys that work, one line each.
///
/// # Errors
/// [`Error::NotFound`], or the database's.
pub async fn list(db: &Db, email: Email) -> Result<Vec<String>> {
    let listed = db.read("api_key.list_of", move |tx| {
        let Some(user_id) = accounts::find_id_by_email(tx, &email)? else { return Ok(None) };
        store::list_live(tx, user_id, None, ALL).map(Some)
    });
    let listed = listed.await?.ok_or(Error::NotFound)?;
    Ok(listed.iter().map(line).collect())
}

fn line(key: &Described) -> String {
    let last_used = key.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("used {at}"));
    let Described { id, name, hint, scope, expires_at, .. } = key;
    format!("{id}  {hint}…  {name}  [{scope}]  until {expires_at}, {last_used}")
}

/// Ends a key of a user, or all of them; how many there were.
///
/// # Errors
/// [`Error::NotFound`], or the database's.
pub async fn revoke(db: &Db, email: Email, only: Option<ApiKeyId>) -> Result<usize> {
    let revoked = db.tx("api_key.revoke_of", move |tx| {
        let Some(user) = accounts::find_id_by_email(tx, &email)? else { return Ok(None) };
        match only {
            Some(key) => revoke_one(tx, user, key),
            None => revoke_all(tx, user).map(Some),
        }
    });
    revoked.await?.ok_or(Error::NotFound)
}

fn revoke_one(tx: &mut Tx<'_>, user: UserId, key: ApiKeyId) -> QueryResult<Option<usize>> {
    if !store::revoke_one(tx, user, key)? {
        return Ok(None);
    }
    audit::record(tx, &Origin::command_line(), &Event::ApiKeyRevoked { user, session: None, key })?;
    Ok(Some(1))
}

fn revoke_all(tx: &mut Tx<'_>, user: UserId) -> QueryResult<usize> {
    let count = store::revoke_all(tx, user)?;
    if count > 0 {
        audit::record(tx, &Origin::command_line(), &Event::ApiKeysRevoked { user, session: None, count })?;
    }
    Ok(count)
}
