//! Ending sessions of others: a user's, or, from the command line, everybody's, as after a restore.
//!
//! Owns: sessions.  Emits: SessionsEnded.

use std::collections::BTreeMap;

use super::{RevokedReason, store};
use crate::account::UserId;
use crate::account::administer::Who;
use crate::audit::{self, Actor, Event};
use crate::clock::Timestamp;
use crate::db::{Db, Tx};
use crate::error::{Error, Result};

/// How many users' sessions are ended in one transaction: few enough that refreshes hardly wait for their rows.
const USERS_AT_ONCE: i64 = 500;

/// Ends every session of a user; how many there were.
///
/// # Errors
/// [`Error::NotFound`], or the database's.
pub async fn of_user(db: &Db, by: Actor, who: impl Into<Who>) -> Result<usize> {
    let who = who.into();
    let ended = db
        .tx("session.end_user", move |tx| {
            let Some(id) = who.find(tx)? else { return Ok(None) };
            end_range(tx, &by, tx.now, (id, id)).map(Some)
        })
        .await?;
    ended.ok_or(Error::NotFound)
}

/// Ends every session that began until `cutoff`; how many there were.
///
/// It is done in steps, and what a step has ended stays ended: after a failure, run it again.
///
/// # Errors
/// The database's.
pub async fn of_everybody(db: &Db, cutoff: Timestamp) -> Result<usize> {
    let mut ended = 0;
    let mut after = None;
    loop {
        let step = db.tx("session.end_all", move |tx| {
            let users = store::users_signed_in(tx, cutoff, after, USERS_AT_ONCE)?;
            let (Some(first), Some(last)) = (users.first(), users.last()) else { return Ok(None) };
            let count = end_range(tx, &Actor::operator(), cutoff, (*first, *last))?;
            Ok(Some((count, *last)))
        });
        let Some((count, last)) = step.await? else { return Ok(ended) };
        ended += count;
        after = Some(last);
    }
}

fn end_range(tx: &mut Tx<'_>, by: &Actor, cutoff: Timestamp, users: (UserId, UserId)) -> diesel::QueryResult<usize> {
    let ended = store::revoke_range(tx, cutoff, users, RevokedReason::EndedByOperator)?;
    let mut counts = BTreeMap::<UserId, usize>::new();
    for user in &ended {
        *counts.entry(*user).or_default() += 1;
    }
    for (user, count) in counts {
        audit::record_by(tx, by, &Event::SessionsEnded { user, count })?;
    }
    Ok(ended.len())
}
