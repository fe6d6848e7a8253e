//! One-time tokens: who has one may do one thing to one account, once, for a while.
//!
//! Of each purpose a user has one at most, so the newest mail is the one that works. A token is bound to its purpose twice: by
//! its text, and by its row. Using one is one guarded DELETE, so of any number of attempts one succeeds.
//!
//! Owns: one_time_tokens, invitations.

pub(super) mod invitation;
mod store;
mod token;

use std::time::Duration;

use diesel::QueryResult;

pub(crate) use store::{delete_expired, find_holder as holder, void, void_all};
pub(super) use token::TokenField;
pub use token::{OneTimeToken, Purpose};

use super::UserId;
use crate::db::Tx;

/// A token is not sent again for so long: not to whoever is impatient, and not to whoever is to be annoyed.
const PAUSE: Duration = Duration::from_secs(60);

/// How a token reaches its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// To the user's address, so that whoever has it reads mail there.
    Mail,
    /// From an operator's hand.
    Operator,
}

/// Makes a token in place of the one that there may be.
pub(super) fn issue(
    tx: &mut Tx<'_>,
    user: UserId,
    purpose: Purpose,
    by: By,
    ttl: Duration,
) -> QueryResult<OneTimeToken> {
    let token = OneTimeToken::generate(purpose);
    store::replace(tx, user, &token, by == By::Mail, ttl)?;
    Ok(token)
}

/// Whether one was made so short a while ago that another would only be a nuisance.
pub(super) fn is_too_soon(tx: &mut Tx<'_>, user: UserId, purpose: Purpose) -> QueryResult<bool> {
    store::was_issued_since(tx, user, purpose, tx.now - PAUSE)
}

/// What a token that was used entitled to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) user: UserId,
    /// Whether it shows that its bearer reads mail at the user's address.
    pub(super) by_mail: bool,
}

/// Uses a token up. `None`: there is no such token, or no more; which of it, nobody is told.
pub(super) fn take(tx: &mut Tx<'_>, token: &OneTimeToken) -> QueryResult<Option<Taken>> {
    store::take(tx, token)
}
