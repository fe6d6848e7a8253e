//! An account for somebody else. Whoever makes it vouches for the address, unless they say that they do not.
//!
//! Emits: UserCreated.

use diesel::QueryResult;

use crate::access::role::Roles;
use crate::account::ManagedUser;
use crate::account::email::Email;
use crate::account::password::NewPassword;
use crate::account::store::{self, NewUser};
use crate::account::{User, search};
use crate::audit::{self, Actor, Event};
use crate::db::{Db, Tx};
use crate::error::{Error, Result};
use crate::hasher::Hasher;

/// Makes an account with these roles and no session, and a password that whoever makes it knows: for an operator.
/// Without a password nobody logs in to it: it is a service's.
///
/// # Errors
/// [`Error::EmailTaken`], or whatever keeps the database or the hasher from answering.
pub async fn create(
    db: &Db,
    hasher: &Hasher,
    by: Actor,
    email: Email,
    name: Option<String>,
    password: Option<&NewPassword>,
    roles: Roles,
) -> Result<User> {
    let password_hash = match password {
        Some(password) => hasher.hash(password.password(), by.origin().address).await?,
        None => hasher.nobodys_hash().as_ref().to_owned(),
    };
    let new = NewUser { email, name, password_hash, roles, is_verified: true, logs_in: false };
    let created = db.tx("account.create", move |tx| create_in(tx, &by, &new)).await?;
    created.map(|managed| managed.user)
}

/// Makes an account in a transaction that does more.
pub(crate) fn create_in(tx: &mut Tx<'_>, by: &Actor, new: &NewUser) -> QueryResult<Result<ManagedUser>> {
    let Some(standing) = store::insert_user(tx, new)? else { return Ok(Err(Error::EmailTaken)) };
    let user = standing.user;
    audit::record_by(tx, by, &Event::UserCreated { user: user.id, roles: user.roles.clone() })?;
    Ok(search::find(tx, user.id)?.ok_or(Error::NotFound))
}
