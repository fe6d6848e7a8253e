//! Links and invitations from an operator's or an administrator's hand: `signet users reset-link`, `verify-link`, `invite`,
//! `POST /v1/admin/invitations`.
//!
//! Emits: LinkIssued, Invited.

use std::time::Duration;

use diesel::QueryResult;

use super::administer::Who;
use super::email::Email;
use super::one_time::{self, By, OneTimeToken, Purpose, invitation};
use super::store;
use crate::audit::{self, Actor, Event};
use crate::db::{Db, Tx};
use crate::error::{Error, Result};
use crate::mail::{Kind, Outbox};

/// How somebody gets a token that is made for them.
pub enum Delivery {
    /// It is made when the mail is sent, and nobody else sees it.
    Mail,
    /// Whoever asked hands it over.
    Token(OneTimeToken),
}

/// How long an invitation works.
pub(crate) const INVITATION_TTL: Duration = invitation::TTL;

/// Makes a token for a user, in place of the one that may have been sent.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::UserDisabled`], since it would work only once they are enabled; or the database's.
pub(crate) async fn token(
    db: &Db,
    by: Actor,
    who: impl Into<Who>,
    purpose: Purpose,
    ttl: Duration,
) -> Result<OneTimeToken> {
    let who = who.into();
    let token = db.tx("account.hand_out", move |tx| {
        let Some(id) = who.find(tx)? else { return Ok(Err(Error::NotFound)) };
        let Some(user) = store::find_addressee_by_id(tx, id)? else { return Ok(Err(Error::NotFound)) };
        if !user.is_active {
            return Ok(Err(Error::UserDisabled));
        }
        let token = one_time::issue(tx, user.id, purpose, By::Operator, ttl)?;
        audit::record_by(tx, &by, &Event::LinkIssued { user: user.id, purpose })?;
        Ok(Ok(token))
    });
    token.await?
}

/// Invites somebody, in place of the invitation that they may have: by a letter in `outbox`, or with a token.
///
/// # Errors
/// [`Error::EmailTaken`], or the database's.
pub(crate) async fn invite(db: &Db, by: Actor, outbox: Option<Outbox>, email: Email) -> Result<Delivery> {
    db.tx("account.invite", move |tx| invite_in(tx, &by, outbox.as_ref(), &email)).await?
}

/// The same in a transaction that does more.
pub(crate) fn invite_in(
    tx: &mut Tx<'_>,
    by: &Actor,
    outbox: Option<&Outbox>,
    email: &Email,
) -> QueryResult<Result<Delivery>> {
    if store::find_id_by_email(tx, email)?.is_some() {
        return Ok(Err(Error::EmailTaken));
    }
    let delivery = match outbox {
        Some(outbox) => {
            outbox.put(tx, Kind::Invitation, None, email.address())?;
            Delivery::Mail
        }
        None => Delivery::Token(invitation::issue(tx, email, By::Operator)?),
    };
    audit::record_by(tx, by, &Event::Invited)?;
    Ok(Ok(delivery))
}
