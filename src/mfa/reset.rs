//! `signet users reset-mfa`, `POST /v1/admin/users/{id}/reset-mfa` — an operator or an administrator takes the second factor from
//! somebody who has lost it, phone and codes.
//!
//! Every session ends: whoever asks for it may not be who they say. The password stays.
//!
//! Owns: totp_factors, recovery_codes, mfa_challenges; through accounts' and sessions' verbs users and sessions.
//! Emits: FactorRemoved.

use crate::account::UserId;
use crate::account::administer::Who;
use crate::account::store as accounts;
use crate::audit::{self, Actor, Event};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::mail::{Notice, Outbox};
use crate::session::{self, RevokedReason};

/// Removes a user's factor and ends every session; tells whether there was a factor. Without one nothing is changed.
///
/// # Errors
/// [`Error::NotFound`], or the database's.
pub async fn of_user(db: &Db, outbox: Outbox, by: Actor, who: impl Into<Who>) -> Result<(UserId, bool)> {
    let who = who.into();
    let reset = db
        .tx("mfa.reset", move |tx| {
            let Some(id) = who.find(tx)? else { return Ok(None) };
            super::forget(tx, id)?;
            // Not by what was removed: somebody may have been at the tables by hand.
            let Some(email) = accounts::set_second_factor(tx, id, false)? else { return Ok(Some((id, false))) };
            session::revoke_all(tx, id, RevokedReason::FactorRemoved)?;
            outbox.tell(tx, Notice::FactorRemoved, id, &email)?;
            audit::record_by(tx, &by, &Event::FactorRemoved { user: id, session: None })?;
            Ok(Some((id, true)))
        })
        .await?;
    reset.ok_or(Error::NotFound)
}
