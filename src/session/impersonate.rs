//! An administrator acts for a user: a session in which every token names both (`act`, RFC 8693 §4.1).
//!
//! It is short, has no refresh token, and hangs on the session of the administrator: whatever ends that, or what makes them one,
//! ends this with it ([`caller`](super::caller)). Nobody acts for an administrator: their rights are not to be had this way.
//!
//! Owns: sessions.  Emits: ImpersonationBegun, DisablingEnded.

use std::time::Duration;

use diesel::QueryResult;

use super::open::Terms;
use super::store::{self, NewSession};
use super::token::RefreshToken;
use super::{Grant, SessionId};
use crate::access::role::Roles;
use crate::account::store::{self as accounts, Standing};
use crate::account::{User, UserId};
use crate::audit::{self, Actor, Event};
use crate::db::Tx;
use crate::error::{Error, Result};

/// A session that has just begun, and its user.
pub(crate) struct Impersonation {
    /// What it entitles to. The refresh token in it was thrown away.
    pub(crate) grant: Grant,
    pub(crate) user: User,
}

/// How an administrator who acts for somebody is called in `amr`: by no word of RFC 8176, since the user proved nothing.
const AMR_IMPERSONATION: &str = "impersonation";

pub(crate) const OF_ADMIN: Error = Error::Forbidden("nobody acts for an administrator");

/// Opens a session of `id` in which `admin` acts for them, in `admin_session`.
pub(crate) fn begin(
    tx: &mut Tx<'_>,
    by: &Actor,
    (admin, admin_session): (UserId, SessionId),
    id: UserId,
    terms: &Terms,
    ttl: Duration,
) -> QueryResult<Result<Impersonation>> {
    // Locked, as by a log-in: disabling the user now waits, and then finds the session.
    let Some(Standing { user, access_version }) = accounts::lock_standing(tx, id)? else {
        return Ok(Err(Error::NotFound));
    };
    if user.roles.contains(Roles::ADMIN) {
        return Ok(Err(OF_ADMIN));
    }
    if !user.is_active {
        return Ok(Err(Error::UserDisabled));
    }
    // As a log-in does: a session is looked at together with what the row says.
    if accounts::end_disabling(tx, id)? {
        audit::record(tx, by.origin(), &Event::DisablingEnded { user: id })?;
    }
    let Some(until) = store::find_expiry(tx, admin_session, admin)? else { return Ok(Err(Error::InvalidToken)) };
    let expires_at = (tx.now + ttl).min(until);
    let scope = terms.rights.grant(terms.requested.as_ref(), &user.roles);
    let grant = Grant {
        session_id: SessionId::new(tx.now),
        user_id: user.id,
        roles: user.roles.clone(),
        scope,
        client_id: terms.client_id.clone(),
        auth_time: tx.now,
        amr: AMR_IMPERSONATION.to_owned(),
        granted_at: tx.now,
        // The row wants one. Nobody is ever given it.
        refresh_token: RefreshToken::generate(),
        refresh_expires_at: expires_at,
    };
    let new = NewSession {
        grant: &grant,
        access_version,
        expires_at,
        address: by.origin().address.map(|address| address.to_string()),
        user_agent: by.origin().user_agent.as_deref(),
        label: terms.label.as_deref(),
        actor: Some((admin, admin_session)),
    };
    store::insert_session(tx, &new)?;
    audit::record_by(tx, by, &Event::ImpersonationBegun { user: user.id, session: grant.session_id })?;
    Ok(Ok(Impersonation { grant, user }))
}
