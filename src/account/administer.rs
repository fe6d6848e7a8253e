//! What an operator does to accounts from the command line: create, set roles, disable, delete, set a password or an address.
//!
//! Owns: users.  Emits: UserCreated, RolesChanged, UserDisabled, UserEnabled, UserDeleted, UserRestored,
//! PasswordSet, EmailChanged.

use std::time::Duration;

use super::change_email::{self, confirm::change_address};
use super::deletion::{self, Deleted, LAST_ADMINISTRATOR};
use super::email::Email;
use super::one_time::{self, Purpose};
use super::password::NewPassword;
use super::reset_password::password_was_changed;
use super::store::{self, NewUser};
use super::{User, UserId};
use crate::access::role::Roles;
use crate::audit::{self, Event};
use crate::clock::Timestamp;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::hasher::Hasher;
use crate::http::origin::Origin;
use crate::mail::Outbox;
use crate::session::{self, RevokedReason};
use crate::throttle;

/// Makes an account with these roles and no session. Without a password nobody logs in to it: it is a service's.
///
/// # Errors
/// [`Error::EmailTaken`], or whatever keeps the database or the hasher from answering.
pub async fn create(
    db: &Db,
    hasher: &Hasher,
    email: Email,
    name: Option<String>,
    password: Option<&NewPassword>,
    roles: Roles,
) -> Result<User> {
    let password_hash = match password {
        Some(password) => hasher.hash(password.password(), Origin::command_line().address).await?,
        None => hasher.nobodys_hash().as_ref().to_owned(),
    };
    // Whoever makes an account for somebody vouches for the address.
    let new = NewUser { email, name, password_hash, roles, is_verified: true, logs_in: false };
    let created = db
        .tx("account.create", move |tx| {
            let Some(standing) = store::insert_user(tx, &new)? else { return Ok(None) };
            let event = Event::UserCreated { user: standing.user.id, roles: standing.user.roles.clone() };
            audit::record(tx, &Origin::command_line(), &event)?;
            Ok(Some(standing.user))
        })
        .await?;
    created.ok_or(Error::EmailTaken)
}

/// Sets a user's roles. Once this has returned, no token with the old ones is issued.
///
/// # Errors
/// [`Error::NotFound`], or the database's.
pub async fn set_roles(db: &Db, email: Email, roles: Roles) -> Result<UserId> {
    let changed = db
        .tx("account.set_roles", move |tx| {
            let Some(id) = store::find_id_by_email(tx, &email)? else { return Ok(None) };
            let Some(access_version) = store::update_roles(tx, id, &roles)? else { return Ok(None) };
            session::set_access_version(tx, id, access_version)?;
            audit::record(tx, &Origin::command_line(), &Event::RolesChanged { user: id, roles: roles.clone() })?;
            Ok(Some(id))
        })
        .await?;
    changed.ok_or(Error::NotFound)
}

/// Disables a user and ends every session. Disabling a disabled user changes nothing.
///
/// # Errors
/// [`Error::NotFound`], or the database's.
pub async fn disable(db: &Db, email: Email) -> Result<UserId> {
    let disabled = db
        .tx("account.disable", move |tx| {
            let Some(id) = store::find_id_by_email(tx, &email)? else { return Ok(None) };
            if store::disable(tx, id)? || deletion::keep_out(tx, id)? {
                session::revoke_all(tx, id, RevokedReason::UserDisabled)?;
                one_time::void(tx, id, &Purpose::OF_USERS)?;
                change_email::call_off(tx, id)?;
                audit::record(tx, &Origin::command_line(), &Event::UserDisabled { user: id })?;
            }
            Ok(Some(id))
        })
        .await?;
    disabled.ok_or(Error::NotFound)
}

/// Lets a disabled user log in again; the sessions that ended stay ended. Enabling an active user changes nothing.
///
/// # Errors
/// [`Error::NotFound`], or the database's.
pub async fn enable(db: &Db, email: Email) -> Result<UserId> {
    let enabled = db
        .tx("account.enable", move |tx| {
            let Some(id) = store::find_id_by_email(tx, &email)? else { return Ok(None) };
            if store::enable(tx, id)? {
                audit::record(tx, &Origin::command_line(), &Event::UserEnabled { user: id })?;
            }
            Ok(Some(id))
        })
        .await?;
    enabled.ok_or(Error::NotFound)
}

/// Deletes an account; when everything of it goes, or nothing if it is gone already.
///
/// # Errors
/// [`Error::NotFound`], for a deleted account too; [`Error::Forbidden`] for the last administrator; or the database's.
pub async fn delete(db: &Db, outbox: Outbox, email: Email, grace: Duration) -> Result<Option<Timestamp>> {
    let deleted = db
        .tx("account.delete", move |tx| {
            let Some(id) = store::find_id_by_email(tx, &email)? else { return Ok(Deleted::Gone) };
            deletion::delete(tx, &outbox, id, &deletion::By::Other(None), grace, &Origin::command_line())
        })
        .await?;
    match deleted {
        Deleted::Until(purge_at) => Ok(Some(purge_at)),
        Deleted::Purged => Ok(None),
        Deleted::Gone => Err(Error::NotFound),
        Deleted::Changed => Err(Error::Unavailable),
        Deleted::LastAdministrator => Err(LAST_ADMINISTRATOR),
    }
}

/// Brings a deleted account back.
///
/// # Errors
/// [`Error::NotFound`] if there is no such account, or it was not deleted; or the database's.
pub async fn restore(db: &Db, email: Email) -> Result<UserId> {
    let restored = db
        .tx("account.restore", move |tx| {
            let Some(id) = store::find_id_by_email(tx, &email)? else { return Ok(None) };
            let restored = deletion::restore(tx, id, false, None, &Origin::command_line())?;
            Ok(restored.then_some(id))
        })
        .await?;
    restored.ok_or(Error::NotFound)
}

/// Sets a user's password and ends every session: for somebody whose account was taken. Wrong passwords are
/// forgotten, and so are the devices and addresses that the account knew. A disabled user stays disabled.
///
/// # Errors
/// [`Error::NotFound`], or whatever keeps the database or the hasher from answering.
pub async fn set_password(
    db: &Db,
    hasher: &Hasher,
    outbox: Outbox,
    email: Email,
    password: &NewPassword,
) -> Result<UserId> {
    let password_hash = hasher.hash(password.password(), Origin::command_line().address).await?;
    let changed = db
        .tx("account.set_password", move |tx| {
            let Some(id) = store::find_id_by_email(tx, &email)? else { return Ok(None) };
            // First, as a log-in takes these locks in the same order.
            throttle::start_over(tx, &email, id)?;
            store::set_password_hash(tx, id, &password_hash)?;
            session::revoke_all(tx, id, RevokedReason::PasswordSet)?;
            password_was_changed(tx, &outbox, id, email.key())?;
            audit::record(tx, &Origin::command_line(), &Event::PasswordSet { user: id })?;
            Ok(Some(id))
        })
        .await?;
    changed.ok_or(Error::NotFound)
}

/// Puts another address in force, for which the operator vouches; sessions go on.
///
/// # Errors
/// [`Error::NotFound`], [`Error::EmailTaken`], or the database's.
pub(crate) async fn set_email(db: &Db, outbox: Outbox, email: Email, new: Email) -> Result<UserId> {
    db.tx("account.set_email", move |tx| {
        let Some(id) = store::find_id_by_email(tx, &email)? else { return Ok(Err(Error::NotFound)) };
        let changed = change_address(tx, &outbox, id, new.address(), &Origin::command_line(), true)?;
        Ok(if changed { Ok(id) } else { Err(Error::EmailTaken) })
    })
    .await?
}
