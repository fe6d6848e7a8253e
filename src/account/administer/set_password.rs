//! A password from an operator's hand. No administrator has this verb: they trigger a reset and never know the password
//! (SECURITY_BAR P12).
//!
//! Emits: PasswordSet.

use super::Who;
use crate::account::email::Email;
use crate::account::password::NewPassword;
use crate::account::reset_password::password_was_changed;
use crate::account::{UserId, store};
use crate::audit::{self, Actor, Event};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::hasher::Hasher;
use crate::mail::Outbox;
use crate::session::{self, RevokedReason};
use crate::throttle;

/// Sets a user's password and ends every session: for somebody whose account was taken. Wrong passwords are
/// forgotten, and so are the devices and addresses that the account knew. A disabled user stays disabled.
///
/// # Errors
/// [`Error::NotFound`], or whatever keeps the database or the hasher from answering.
pub async fn set_password(
    db: &Db,
    hasher: &Hasher,
    outbox: Outbox,
    by: Actor,
    email: Email,
    password: &NewPassword,
) -> Result<UserId> {
    let password_hash = hasher.hash(password.password(), by.origin().address).await?;
    let changed = db
        .tx("account.set_password", move |tx| {
            let Some(id) = Who::Email(email.clone()).find(tx)? else { return Ok(None) };
            // First, as a log-in takes these locks in the same order.
            throttle::start_over(tx, &email, id)?;
            store::set_password_hash(tx, id, &password_hash)?;
            session::revoke_all(tx, id, RevokedReason::PasswordSet)?;
            password_was_changed(tx, &outbox, id, email.key())?;
            audit::record_by(tx, &by, &Event::PasswordSet { user: id })?;
            Ok(Some(id))
        })
        .await?;
    changed.ok_or(Error::NotFound)
}
