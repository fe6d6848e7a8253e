//! A user has to choose another password: the one they have stops working, every session ends, and what they need to choose
//! one goes out by mail. Where no mail is sent, whoever asked gets it, to hand it over. Nobody but the user ever knows the
//! password.
//!
//! Emits: PasswordResetForced.

use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;

use super::Who;
use crate::account::hand_out::Delivery;
use crate::account::one_time::{self, By, Purpose};
use crate::account::{UserId, change_email, store};
use crate::audit::{self, Actor, Event};
use crate::db::{Db, Tx};
use crate::error::{Error, Result};
use crate::mail::{Kind, Outbox};
use crate::session::{self, RevokedReason};

/// What depends on the configuration.
#[derive(Clone)]
pub struct Terms {
    /// Where the mail is put.
    pub outbox: Outbox,
    /// Whether mail is sent at all.
    pub by_mail: bool,
    /// The hash of a password that nobody knows.
    pub nobodys_hash: Arc<str>,
    /// How long the token works.
    pub token_ttl: Duration,
}

/// Takes a user's password, and tells how they get what they choose another one with.
///
/// # Errors
/// [`Error::NotFound`], [`Error::UserDisabled`], or the database's.
pub async fn force_reset(db: &Db, terms: Terms, by: Actor, who: impl Into<Who>) -> Result<(UserId, Delivery)> {
    let who = who.into();
    let forced = db.tx("account.force_reset", move |tx| {
        let Some(id) = who.find(tx)? else { return Ok(Err(Error::NotFound)) };
        let delivery = force_reset_in(tx, &terms, &by, id)?;
        Ok(delivery.map(|delivery| (id, delivery)))
    });
    forced.await?
}

fn force_reset_in(tx: &mut Tx<'_>, terms: &Terms, by: &Actor, id: UserId) -> QueryResult<Result<Delivery>> {
    let Some(user) = store::find_addressee_by_id(tx, id)? else { return Ok(Err(Error::NotFound)) };
    // A disabled user chooses nothing; their sessions are over anyway.
    if !user.is_active {
        return Ok(Err(Error::UserDisabled));
    }
    store::set_password_hash(tx, id, &terms.nobodys_hash)?;
    session::revoke_all(tx, id, RevokedReason::PasswordTaken)?;
    // Whoever began something with the password cannot end it.
    one_time::void(tx, id, &[Purpose::ResetPassword, Purpose::ConfirmOldAddress, Purpose::ConfirmNewAddress])?;
    change_email::call_off(tx, id)?;
    let delivery = if terms.by_mail {
        terms.outbox.put(tx, Kind::ResetPassword, None, &user.email)?;
        Delivery::Mail
    } else {
        Delivery::Token(one_time::issue(tx, id, Purpose::ResetPassword, By::Operator, terms.token_ttl)?)
    };
    audit::record_by(tx, by, &Event::PasswordResetForced { user: id, by_mail: terms.by_mail })?;
    Ok(Ok(delivery))
}
