//! Links from an operator's hand, for whom mail does not reach: `signet users reset-link`, `verify-link`, `invite`.
//!
//! Emits: LinkIssued, Invited.

use std::time::Duration;

use super::email::Email;
use super::one_time::{self, By, OneTimeToken, Purpose, invitation};
use super::store;
use crate::audit::{self, Event};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::http::origin::Origin;
use crate::mail::{Kind, Outbox};

/// Makes a token for a user, in place of the one that may have been sent.
///
/// # Errors
/// [`Error::NotFound`], for a disabled user too; or the database's.
pub(crate) async fn token(db: &Db, email: Email, purpose: Purpose, ttl: Duration) -> Result<OneTimeToken> {
    let token = db
        .tx("account.hand_out", move |tx| {
            let Some(user) = store::find_addressee(tx, &email)?.filter(|user| user.is_active) else { return Ok(None) };
            let token = one_time::issue(tx, user.id, purpose, By::Operator, ttl)?;
            audit::record(tx, &Origin::command_line(), &Event::LinkIssued { user: user.id, purpose })?;
            Ok(Some(token))
        })
        .await?;
    token.ok_or(Error::NotFound)
}

/// Makes an invitation, in place of the one that the address may have.
///
/// # Errors
/// [`Error::EmailTaken`], or the database's.
pub(crate) async fn invitation(db: &Db, email: Email) -> Result<OneTimeToken> {
    let token = db
        .tx("account.invite", move |tx| {
            if store::find_id_by_email(tx, &email)?.is_some() {
                return Ok(None);
            }
            let token = invitation::issue(tx, &email, By::Operator)?;
            audit::record(tx, &Origin::command_line(), &Event::Invited)?;
            Ok(Some(token))
        })
        .await?;
    token.ok_or(Error::EmailTaken)
}

/// Has the running service send an invitation.
///
/// # Errors
/// [`Error::EmailTaken`], or the database's.
pub(crate) async fn mail_invitation(db: &Db, outbox: Outbox, email: Email) -> Result<()> {
    let invited = db
        .tx("account.invite", move |tx| {
            if store::find_id_by_email(tx, &email)?.is_some() {
                return Ok(false);
            }
            outbox.put(tx, Kind::Invitation, None, email.address())?;
            audit::record(tx, &Origin::command_line(), &Event::Invited)?;
            Ok(true)
        })
        .await?;
    if invited { Ok(()) } else { Err(Error::EmailTaken) }
}
